//! TLS to memcached: the settings, the handshake, and a session over a socket that
//! does not wait. Of what is said over it, it knows only where a command ends.

use super::encode;
use super::stream::waits;
use crate::config;
use crate::error::{Error, Kind, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Commands of so many bytes go into one TLS record. memcached (1.6.18) waits for the
/// socket while OpenSSL still holds the rest of a record that it read a part of: so a
/// record must fit its buffer of 16 KiB, and no command may begin in one record and
/// end in another beside the next command.
const RECORD_BYTES: usize = 8 * 1024;

/// What every handshake needs.
#[derive(Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl Tls {
    /// Reads the certificates that the section names.
    ///
    /// # Errors
    /// [`Kind::Config`]: one of them cannot be used.
    pub(super) fn new(tls: &config::Tls) -> Result<Tls> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &tls.ca_file {
            for certificate in certificates("ca_file", file)? {
                roots.add(certificate).map_err(|e| unusable("ca_file", file, &e))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let text = "memcached.tls: this system has no certificates of authorities (Debian: apt install ca-certificates); or name yours in memcached.tls.ca_file";
                return Err(Error::new(Kind::Config, text));
            }
        }
        let wrong = |e: rustls::Error| Error::new(Kind::Config, format!("memcached.tls: {e}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots);
        let config = match (&tls.cert_file, &tls.key_file) {
            (Some(file), Some(key_file)) => {
                let chain = certificates("cert_file", file)?;
                let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| unusable("key_file", key_file, &e))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| unusable("cert_file", file, &e))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Tls { config: Arc::new(config), server_name: tls.server_name.clone() })
    }

    /// Greets the server; each wait is bounded by `timeout`.
    pub(super) fn handshake(&self, mut socket: TcpStream, host: &str, timeout: Duration) -> io::Result<TlsStream> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
            io::Error::other(format!("{name:?} can stand in no certificate; set memcached.tls.server_name"))
        })?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), server_name)
            .map_err(|e| io::Error::other(explain(&e, name)))?;
        // One command is taken whole, however large its value is.
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|e| in_handshake(e, name, timeout))?;
        }
        Ok(TlsStream { session, socket, unread: 0, name: name.to_owned() })
    }
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e: rustls::pki_types::pem::Error| unusable(key, file, &e))?;
    if found.is_empty() {
        return Err(unusable(key, file, &"there is no certificate in it"));
    }
    Ok(found)
}

fn unusable(key: &str, file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Config, format!("memcached.tls.{key} {}: it cannot be used: {why}", file.display()))
}

/// A session over a socket.
pub(super) struct TlsStream {
    session: ClientConnection,
    socket: TcpStream,
    /// Bytes that came and were not read yet.
    unread: usize,
    name: String,
}

impl TlsStream {
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn holds_unsent(&self) -> bool {
        self.session.wants_write()
    }

    pub(super) fn holds_unread(&self) -> bool {
        self.unread > 0
    }

    /// Sends what the session holds; true if that was anything.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        let mut any = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => any = true,
                Err(e) if waits(&e) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(any)
    }

    /// Encrypts and sends the first of these commands; what the socket does not take is
    /// held until [`Self::push`].
    pub(super) fn write(&mut self, commands: &[u8]) -> io::Result<usize> {
        self.push()?;
        if self.session.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let some = &commands[..encode::first_commands(commands, RECORD_BYTES)];
        self.session.writer().write_all(some)?;
        self.push()?;
        Ok(some.len())
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(n) => {
                    self.unread -= n.min(self.unread);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // memcached ends a session without saying so.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(e) => return Err(e),
            }
            self.session.read_tls(&mut self.socket)?;
            match self.session.process_new_packets() {
                Ok(state) => self.unread = state.plaintext_bytes_to_read(),
                Err(e) => {
                    // The server is told why, if it still listens.
                    let _ = self.push();
                    return Err(io::Error::other(explain(&e, &self.name)));
                }
            }
        }
    }
}

fn in_handshake(e: io::Error, name: &str, timeout: Duration) -> io::Error {
    if let Some(cause) = e.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return io::Error::other(explain(cause, name));
    }
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other(format!(
            "it did not answer the TLS greeting within {} s (memcached.timeout); does it speak TLS (memcached -Z)?",
            timeout.as_secs()
        )),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::other(
            "it closed the connection at the TLS greeting; does it speak TLS (memcached -Z), and does it want a client certificate (memcached.tls.cert_file)?",
        ),
        _ => e,
    }
}

/// What failed in TLS, and what to change.
fn explain(e: &rustls::Error, name: &str) -> String {
    use CertificateError as C;
    let certificate = "its certificate";
    match e {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            format!(
                "{certificate} was issued by nobody who is trusted here; name the authority in memcached.tls.ca_file"
            )
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            format!(
                "{certificate} is not for {name:?}; write the name that stands in it, as host or under memcached.tls.server_name ({e})"
            )
        }
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            format!("{certificate} has expired; give memcached a new one (or set this machine's clock) ({e})")
        }
        rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            format!("{certificate} is not valid yet; is this machine's clock right? ({e})")
        }
        rustls::Error::InvalidCertificate(C::Other(other)) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            format!(
                "{certificate} is an authority's own; give memcached one that the authority has signed (CA:FALSE), and name the authority in memcached.tls.ca_file"
            )
        }
        rustls::Error::InvalidCertificate(_) => {
            format!("{certificate} cannot be trusted: {e}; check it, and memcached.tls.ca_file")
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        ) => format!(
            "it does not accept our certificate ({e}); set memcached.tls.cert_file and key_file to one that its authority (ssl_ca_cert) has signed"
        ),
        rustls::Error::InvalidMessage(_) => {
            format!("it does not speak TLS ({e}); start it with -Z, or take memcached.tls out")
        }
        _ => format!("TLS failed: {e}"),
    }
}
