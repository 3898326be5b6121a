//! One request to MISP, and what its failure means.
//!
//! The key goes bare in `Authorization` (a real MISP refuses `Bearer`) and is
//! marked as sensitive, so no log shows it. Redirects are not followed: a key is
//! never carried to another address.

use super::answer::Answer;
use super::quote::Quote;
use crate::config::Misp;
use crate::error::{Error, Kind, Result};
use reqwest::StatusCode;
use reqwest::blocking::{Client as Http, ClientBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use secrecy::ExposeSecret;
use std::error::Error as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A connection that is not there within this is not coming.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An error page is read no further than this for its message.
const MAX_ERROR_BODY: u64 = 64 * 1024;

/// The shortest wait that a rate limit may ask for: one that asks for none would be
/// asked again without end.
const MIN_RATE_WAIT: u64 = 1;

/// The longest wait that is believed; it is too long to be waited for, in any case.
const MAX_RATE_WAIT: u64 = 86_400;

/// The HTTP library's words where this machine trusts nobody.
const NO_AUTHORITIES: &str = "No CA certificates";

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static MICROSECONDS: AtomicU64 = AtomicU64::new(0);

/// Requests to MISP.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Requests {
    /// All of them.
    pub all: u64,
    /// Those that failed.
    pub failed: u64,
    /// Seconds from the request to the first byte of the answer, which MISP sends when
    /// it has all of it (recordings, "The shape of an answer").
    pub seconds: f64,
}

/// The requests of this process since this was last asked.
pub fn requests() -> Requests {
    Requests {
        all: REQUESTS.swap(0, Ordering::Relaxed),
        failed: FAILED.swap(0, Ordering::Relaxed),
        seconds: MICROSECONDS.swap(0, Ordering::Relaxed) as f64 / 1e6,
    }
}

/// A connection to one MISP server; cheap to share between threads.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    url: String,
    timeout: Duration,
    quote: Quote,
    has_certificate: bool,
}

/// A request that failed.
#[derive(Debug)]
pub enum Failure {
    /// Trying again may help: a smaller request, or a moment later.
    Passing(Error),
    /// The same, and the request never left: MISP cannot have acted on it.
    Unreached(Error),
    /// MISP limits the rate and says how long to wait.
    RateLimited(Duration),
    /// Trying again does not help.
    Final(Error),
}

impl Client {
    /// A client for the server of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Config`]: a certificate file or the proxy cannot be used.
    pub fn new(misp: &Misp) -> Result<Client> {
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        let token = misp.token.as_ref().ok_or_else(|| Error::new(Kind::Config, "misp.token is missing"))?;
        let mut key = HeaderValue::from_str(token.expose_secret())
            .map_err(|_| Error::new(Kind::Config, "misp.token has characters that no key has"))?;
        key.set_sensitive(true);
        headers.insert(AUTHORIZATION, key);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if misp.ignore_cert_errors {
            log::warn!(
                "misp.ignore_cert_errors is on: anybody between here and MISP can read the key and forge indicators"
            );
        }
        let http = match builder(misp, &headers)?.build() {
            // Without TLS nobody's certificate is looked at. A proxy that speaks it is not trusted then.
            Err(e) if misp.url.starts_with("http://") && chain(&e).contains(NO_AUTHORITIES) => {
                builder(misp, &headers)?.tls_certs_only([]).build()
            }
            built => built,
        };
        let http = http.map_err(|e| {
            let reason = chain(&e);
            let text = if reason.contains("KeyMismatch") {
                format!("misp.client_key_file: {reason}")
            } else if reason.contains(NO_AUTHORITIES) {
                // The library says so too, behind words about an unexpected error.
                "this machine trusts no authority: install ca-certificates, or name MISP's authority in misp.ca_file"
                    .to_owned()
            } else {
                format!("misp: {reason}")
            };
            Error::new(Kind::Config, text)
        })?;
        Ok(Client {
            http,
            url: misp.url.clone(),
            timeout: misp.timeout.duration(),
            quote: Quote::new(token),
            has_certificate: misp.client_cert_file.is_some(),
        })
    }

    /// MISP's address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// MISP's words as a message may show them.
    pub fn quote(&self, text: &str) -> String {
        self.quote.of(text)
    }

    /// The same for whoever quotes more.
    pub fn quoting(&self) -> &Quote {
        &self.quote
    }

    /// Posts a JSON body; the answer has status 200, its body is not read yet.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        self.send(self.http.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json").body(body))
    }

    /// Gets a path; the answer has status 200, its body is not read yet.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.http.get(format!("{}{path}", self.url)))
    }

    /// Posts a JSON body, or gets the path without one, where MISP may refuse what is
    /// asked: its status then comes back with the answer, for whoever knows what it means.
    ///
    /// # Errors
    /// See [`Failure`]; of the 4xx only 401 and 429.
    pub fn ask(&self, path: &str, body: Option<Vec<u8>>) -> Result<(StatusCode, Answer), Failure> {
        let url = format!("{}{path}", self.url);
        let request = match body {
            Some(body) => self.http.post(url).header(CONTENT_TYPE, "application/json").body(body),
            None => self.http.get(url),
        };
        let response = request.send().map_err(|e| self.unsent(&e))?;
        let status = response.status();
        let other = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if status == StatusCode::OK || status.is_client_error() && !other {
            Ok((status, Answer::new(response, self.timeout)))
        } else {
            Err(self.refused(status, response))
        }
    }

    fn send(&self, request: reqwest::blocking::RequestBuilder) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let answer = self.exchange(request);
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        FAILED.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        MICROSECONDS.fetch_add(begun.elapsed().as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        answer
    }

    fn exchange(&self, request: reqwest::blocking::RequestBuilder) -> Result<Answer, Failure> {
        let response = request.send().map_err(|e| self.unsent(&e))?;
        let status = response.status();
        if status == StatusCode::OK {
            Ok(Answer::new(response, self.timeout))
        } else {
            Err(self.refused(status, response))
        }
    }

    /// What follows from MISP not letting the key in, or its user not do something.
    pub fn refused_key(&self, status: StatusCode, said: &str) -> Failure {
        let said = self.quote(said);
        let text = format!("MISP refuses the key ({status}): {said}; check misp.token and the rights of its user");
        Failure::Final(Error::new(Kind::Refused, text))
    }

    fn unsent(&self, e: &reqwest::Error) -> Failure {
        let url = &self.url;
        if e.is_timeout() && !e.is_connect() {
            let text = format!("{url} did not answer within {} s (misp.timeout)", self.timeout.as_secs());
            return Failure::Passing(Error::new(Kind::Unavailable, text));
        }
        let reason = chain(e);
        if e.is_builder() {
            return Failure::Final(Error::new(Kind::Config, format!("misp.url {url}: {reason}")));
        }
        if let Some(hint) = self.certificate_hint(&reason) {
            return Failure::Final(Error::new(Kind::Unavailable, format!("{url}: {reason}; {hint}")));
        }
        let text = match (e.is_connect(), reason.contains("InvalidContentType")) {
            (true, true) => {
                format!(
                    "MISP at {url} cannot be reached: no TLS is spoken there; write http:// in misp.url, or the port that speaks TLS"
                )
            }
            (true, false) => {
                format!("MISP at {url} cannot be reached: {reason}; is it running, and does misp.url name it?")
            }
            (false, _) => format!("MISP at {url} broke off: {reason}"),
        };
        let error = Error::new(Kind::Unavailable, text);
        if e.is_connect() { Failure::Unreached(error) } else { Failure::Passing(error) }
    }

    /// What to change where the reason is one of TLS.
    fn certificate_hint(&self, reason: &str) -> Option<&'static str> {
        const HINTS: [(&str, &str); 5] = [
            ("UnknownIssuer", "name its authority in misp.ca_file"),
            // Another authority has the same name.
            ("BadSignature", "name its authority in misp.ca_file"),
            ("not valid for name", "write the host name in misp.url that its certificate has"),
            ("certificate expired", "renew MISP's certificate, or set this machine's clock"),
            ("not valid yet", "set this machine's clock, or MISP's certificate is for later"),
        ];
        // An alert is what the other side has to say, and that is about our certificate.
        if reason.contains("received fatal alert") {
            return Some(if self.has_certificate {
                "MISP's side does not take the certificate of misp.client_cert_file"
            } else {
                "if MISP's side asks for a certificate, name one in misp.client_cert_file and misp.client_key_file"
            });
        }
        if !reason.contains("ertificate") {
            return None;
        }
        let hint = HINTS.iter().find(|(words, _)| reason.contains(words)).map(|(_, hint)| *hint);
        Some(hint.unwrap_or("name its authority in misp.ca_file, or correct the host name in misp.url"))
    }

    fn refused(&self, status: StatusCode, response: Response) -> Failure {
        let url = response.url().to_string();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let reset = header(response.headers(), "x-rate-limit-reset").or(header(response.headers(), "retry-after"));
            let seconds = reset.unwrap_or(60).clamp(MIN_RATE_WAIT, MAX_RATE_WAIT);
            return Failure::RateLimited(Duration::from_secs(seconds));
        }
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or("somewhere else");
            let to = self.quote(to);
            let text = format!("misp.url: {url} redirects to {to}; write the address that answers itself");
            return Failure::Final(Error::new(Kind::Config, text));
        }
        let said = message(Answer::new(response, self.timeout));
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return self.refused_key(status, &said);
        }
        let said = self.quote(&said);
        match status {
            StatusCode::NOT_FOUND => {
                let text = format!(
                    "misp.url: {url} is not there (404): write the address of MISP itself, without the path of a page"
                );
                Failure::Final(Error::new(Kind::Config, text))
            }
            _ if status.is_server_error() => {
                Failure::Passing(Error::new(Kind::Unavailable, format!("{url} answers {status}: {said}")))
            }
            _ => Failure::Final(Error::new(Kind::Untrusted, format!("{url} answers {status}: {said}"))),
        }
    }
}

impl Failure {
    /// The error, where there will be no other try.
    pub fn into_error(self) -> Error {
        match self {
            Failure::Passing(e) | Failure::Unreached(e) | Failure::Final(e) => e,
            Failure::RateLimited(wait) => {
                let text = format!("MISP limits the rate of this key and asks to wait {} s", wait.as_secs());
                Error::new(Kind::Unavailable, text)
            }
        }
    }
}

/// A header that is a whole number.
pub fn header(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// MISP's clock, from the `Date` header; Unix seconds.
pub fn date(headers: &HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Our own clock; Unix seconds.
pub fn local_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// MISP's own words in an error answer, or the beginning of what stands there.
fn message(response: Answer) -> String {
    let mut body = Vec::new();
    let _ = response.take(MAX_ERROR_BODY).read_to_end(&mut body);
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(json) => json["message"].as_str().or(json["name"].as_str()).unwrap_or("no message").to_owned(),
        Err(_) if body.trim_ascii_start().starts_with(b"<") => "an HTML page".to_owned(),
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    }
}

/// An error and what caused it, in one line.
pub fn chain(e: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = e.source();
    while let Some(c) = cause {
        let part = c.to_string();
        // "client error (Connect)" tells nobody anything.
        if !text.contains(&part) && !part.starts_with("client error (") {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = c.source();
    }
    if text.is_empty() { e.to_string() } else { text }
}

/// What the configuration says of how MISP is connected to.
fn builder(misp: &Misp, headers: &HeaderMap) -> Result<ClientBuilder> {
    let mut builder = Http::builder()
        .default_headers(headers.clone())
        .user_agent(concat!("misp2memcached/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(misp.timeout.duration())
        .tcp_nodelay(true)
        .http1_only();
    if misp.ignore_cert_errors {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(file) = &misp.ca_file {
        let pem = read("misp.ca_file", file)?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unusable("misp.ca_file", file, &e))?;
        if certificates.is_empty() {
            let text = format!("misp.ca_file {}: there is no certificate in it", file.display());
            return Err(Error::new(Kind::Config, text));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let (Some(certificate), Some(key)) = (&misp.client_cert_file, &misp.client_key_file) {
        let mut pem = read("misp.client_cert_file", certificate)?;
        pem.push(b'\n');
        pem.extend(read("misp.client_key_file", key)?);
        let identity =
            reqwest::Identity::from_pem(&pem).map_err(|e| unusable("misp.client_cert_file", certificate, &e))?;
        builder = builder.identity(identity);
    }
    match misp.proxy.as_ref().map(ExposeSecret::expose_secret) {
        None => {}
        Some("") => builder = builder.no_proxy(),
        Some(proxy) => {
            let proxy = reqwest::Proxy::all(proxy).map_err(|_| {
                Error::new(Kind::Config, "misp.proxy: allowed are http://, https:// and socks5:// addresses")
            })?;
            builder = builder.proxy(proxy);
        }
    }
    Ok(builder)
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|e| Error::new(Kind::Config, format!("{key} {}: {e}", file.display())))
}

fn unusable(key: &str, file: &Path, e: &reqwest::Error) -> Error {
    Error::new(Kind::Config, format!("{key} {}: it cannot be used: {}", file.display(), chain(e)))
}
