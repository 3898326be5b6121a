//! MISP over TLS: what is trusted, what is refused and how that is told, and that
//! the key goes to nobody else.

use crate::support::authority::Authority;
use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::program::{Finished, run};
use crate::support::tls_proxy::TlsProxy;
use crate::support::{KEY, sample};
use misp2memcached::demo::{Attribute, Event, Fault, SampleMisp, World};
use rustls::version::{TLS12, TLS13};
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const LOCAL: &str = "IP:127.0.0.1";

/// A MISP, a memcached, an authority, and the configuration that belongs to them.
struct Site {
    authority: Authority,
    misp: SampleMisp,
    memcached: Memcached,
    configuration: Configuration,
}

impl Site {
    fn new() -> Site {
        let mut world = World::new();
        let mut draft = Event::new("event");
        for i in 0..2_000 {
            draft = draft.with(Attribute::new("domain", &format!("host{i}.example")));
        }
        world.add_event(draft, 1_795_000_000);
        let misp = sample(world);
        misp.set_now(Some(1_795_000_000 + 86_400));
        let memcached = Memcached::start(&["-t", "1"]);
        let configuration = Configuration::new(&misp, &memcached);
        Site { authority: Authority::new(), misp, memcached, configuration }
    }

    /// TLS before MISP with this certificate of the authority's.
    fn proxy(&self, name: &str) -> TlsProxy {
        self.proxy_for(name, false, &[&TLS12, &TLS13])
    }

    fn proxy_for(
        &self,
        name: &str,
        asks_for_certificate: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsProxy {
        let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let clients = asks_for_certificate.then(|| self.path("ca.pem"));
        TlsProxy::start(
            &self.misp.url(),
            certificate.as_ref(),
            key.as_ref(),
            clients.as_deref().map(AsRef::as_ref),
            versions,
        )
    }

    fn path(&self, file: &str) -> String {
        self.authority.path(file).display().to_string()
    }

    /// Loads from this proxy with these lines in the `misp` section.
    fn load(&mut self, proxy: &TlsProxy, misp: &str) -> Finished {
        let file = self.configuration.url(&proxy.url()).misp(misp).write();
        let finished = run(&["--config".as_ref(), file.as_os_str(), "load".as_ref()], &[]);
        assert!(!finished.stderr.contains(KEY), "{}", finished.stderr);
        finished
    }

    fn loads(&mut self, proxy: &TlsProxy, misp: &str) -> String {
        let finished = self.load(proxy, misp);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(self.memcached.dump("misp-domain:").len(), 2_000);
        finished.stderr
    }

    /// It must end with 69, at once, and with these words; the key was sent to nobody.
    fn fails(&mut self, proxy: &TlsProxy, misp: &str, words: &[&str]) {
        let before = proxy.handed_on();
        let finished = self.load(proxy, misp);
        assert_eq!(finished.code, Some(69), "{}", finished.stderr);
        for words in words {
            assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("trying again"), "{}", finished.stderr);
        assert_eq!(
            finished.stderr.lines().filter(|line| line.contains("certificate")).count(),
            1,
            "{}",
            finished.stderr
        );
        assert_eq!(proxy.handed_on(), before, "something was sent");
        assert!(self.memcached.dump("misp-").is_empty());
    }

    fn ca_file(&self) -> String {
        format!("ca_file: {}\n", self.path("ca.pem"))
    }
}

#[test]
fn an_authority_has_to_be_known() {
    let mut site = Site::new();
    site.authority.issue("server", LOCAL);
    let proxy = site.proxy("server");
    site.fails(&proxy, "", &["invalid peer certificate: UnknownIssuer", "name its authority in misp.ca_file"]);
    let other = Authority::new();
    let stranger = format!("ca_file: {}\n", other.path("ca.pem").display());
    site.fails(&proxy, &stranger, &["invalid peer certificate", "name its authority in misp.ca_file"]);
    let ca_file = site.ca_file();
    assert!(!site.loads(&proxy, &ca_file).contains("ignore_cert_errors"));
    assert!(proxy.handed_on() > 0);
}

/// A container that has no authorities at all.
#[test]
fn a_system_without_authorities() {
    let mut site = Site::new();
    site.authority.issue("server", LOCAL);
    let proxy = site.proxy("server");
    let empty = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/no/such/directory")];
    for (misp, code) in [(String::new(), 78), (site.ca_file(), 0)] {
        let file = site.configuration.url(&proxy.url()).misp(&misp).write();
        let finished = run(&["--config".as_ref(), file.as_os_str(), "load".as_ref()], &empty);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        assert_eq!(
            finished.stderr.contains("trusts no authority: install ca-certificates, or name"),
            code != 0,
            "{}",
            finished.stderr
        );
    }
    // Where nobody's certificate is to be looked at it needs none; a MISP behind TLS does then too.
    let plain = site.misp.url();
    let file = site.configuration.url(&plain).misp("").write();
    let finished = run(&["--config".as_ref(), file.as_os_str(), "load".as_ref()], &empty);
    assert_eq!((finished.code, site.memcached.dump("misp-domain:").len()), (Some(0), 2_000), "{}", finished.stderr);
    let proxied = format!("proxy: {}\n", proxy.url());
    let file = site.configuration.misp(&proxied).write();
    let finished = run(&["--config".as_ref(), file.as_os_str(), "load".as_ref()], &empty);
    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    assert!(finished.stderr.contains("UnknownIssuer"), "{}", finished.stderr);
}

#[test]
fn a_certificate_has_to_be_for_this_name_and_this_time() {
    let mut site = Site::new();
    site.authority.issue("elsewhere", "DNS:misp.example");
    site.authority.issue_for_2020("over", LOCAL);
    let (elsewhere, over) = (site.proxy("elsewhere"), site.proxy("over"));
    let ca_file = site.ca_file();
    site.fails(&elsewhere, &ca_file, &["not valid for name", "127.0.0.1", "write the host name in misp.url"]);
    site.fails(&over, &ca_file, &["certificate expired", "renew MISP's certificate, or set this machine's clock"]);
}

#[test]
fn errors_are_passed_over_only_where_that_is_asked_for_and_never_silently() {
    let mut site = Site::new();
    site.authority.issue_for_2020("over", "DNS:misp.example");
    let proxy = site.proxy("over");
    site.fails(&proxy, "ignore_cert_errors: false\n", &["invalid peer certificate"]);
    for _ in 0..2 {
        let told = site.loads(&proxy, "ignore_cert_errors: true\n");
        assert_eq!(told.matches("misp.ignore_cert_errors is on").count(), 1, "{told}");
        assert!(told.contains("WARN"), "{told}");
    }
}

#[test]
fn a_certificate_of_ours_is_shown_where_it_is_asked_for() {
    let mut site = Site::new();
    site.authority.issue("server", LOCAL);
    site.authority.issue("client", "DNS:client.example");
    let stranger = Authority::new();
    stranger.issue("client", "DNS:client.example");
    let ours = |pem: String, key: String| format!("client_cert_file: {pem}\nclient_key_file: {key}\n");
    let good = ours(site.path("client.pem"), site.path("client.key"));
    let path = |file: &str| stranger.path(file).display().to_string();
    let bad = ours(path("client.pem"), path("client.key"));
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let proxy = site.proxy_for("server", true, versions);
        let ca_file = site.ca_file();
        let none = ["received fatal alert", "misp.client_cert_file and misp.client_key_file"];
        site.fails(&proxy, &ca_file, &none);
        site.fails(&proxy, &format!("{ca_file}{bad}"), &["does not take the certificate of misp.client_cert_file"]);
        site.loads(&proxy, &format!("{ca_file}{good}"));
        site.memcached.restart();
        std::fs::remove_dir_all(site.configuration.state()).unwrap();
    }
}

#[test]
fn files_that_hold_something_else() {
    let mut site = Site::new();
    site.authority.issue("server", LOCAL);
    let proxy = site.proxy("server");
    std::fs::write(site.authority.path("empty.pem"), "").unwrap();
    let (empty, key, ca) = (site.path("empty.pem"), site.path("server.key"), site.path("ca.pem"));
    for (misp, words) in [
        (format!("ca_file: {empty}\n"), "misp.ca_file"),
        (format!("ca_file: {key}\n"), "misp.ca_file"),
        ("ca_file: /no/such/file\n".to_owned(), "misp.ca_file /no/such/file: No such file"),
        (format!("client_cert_file: {ca}\nclient_key_file: {empty}\n"), "misp.client_cert_file"),
        (format!("client_cert_file: {ca}\nclient_key_file: {key}\n"), "misp.client_key_file: "),
    ] {
        let finished = site.load(&proxy, &misp);
        assert_eq!(finished.code, Some(78), "{misp}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{misp}: {}", finished.stderr);
        assert!(!finished.stderr.contains("PRIVATE KEY"), "{}", finished.stderr);
    }
}

/// Where a redirect leads to; it counts who comes.
fn elsewhere() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let came = Arc::new(AtomicUsize::new(0));
    let counter = came.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1]);
        }
    });
    (address, came)
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let mut site = Site::new();
    site.authority.issue("server", LOCAL);
    let proxy = site.proxy("server");
    let ca_file = site.ca_file();
    let (address, came) = elsewhere();
    for status in [301, 302, 303, 307, 308] {
        for scheme in ["http", "https"] {
            let to = format!("{scheme}://{address}/events/index?key={KEY}");
            site.misp.set_fault(Box::new(move |_, _| {
                Fault::Status(status, vec![("Location".into(), to.clone())], Vec::new())
            }));
            let finished = site.load(&proxy, &ca_file);
            assert_eq!(finished.code, Some(78), "{}", finished.stderr);
            let told = format!("redirects to {scheme}://{address}/events/index?key=***; write the address");
            assert!(finished.stderr.contains(&told), "{}", finished.stderr);
        }
    }
    assert_eq!(came.load(Ordering::SeqCst), 0, "the key may have gone there");
}
