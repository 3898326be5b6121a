//! TLS before a plain server: what nginx or Apache is before MISP.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How long one side is listened to before it is the other's turn.
const TURN: Duration = Duration::from_millis(2);

/// How long a client may take for its part of a handshake, or to hang up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server with a certificate that hands everything on; its threads end with the
/// test's process.
pub struct TlsProxy {
    address: SocketAddr,
    handed_on: Arc<AtomicUsize>,
}

impl TlsProxy {
    /// One before `upstream` (`http://ADDRESS:PORT`), with a certificate and its key
    /// as PEM files. With `clients` it asks for a certificate of that authority.
    pub fn start(
        upstream: &str,
        certificate: &Path,
        key: &Path,
        clients: Option<&Path>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsProxy {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<_, _>>().unwrap();
        let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
        let (config, upstream) = (Arc::new(config), upstream.trim_start_matches("http://").to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let handed_on = Arc::new(AtomicUsize::new(0));
        let counter = handed_on.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (config, upstream, counter) = (config.clone(), upstream.clone(), counter.clone());
                // What ends a connection early is the client's affair.
                thread::spawn(move || serve(client, config, &upstream, &counter));
            }
        });
        TlsProxy { address, handed_on }
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Decrypted bytes that clients have sent.
    pub fn handed_on(&self) -> usize {
        self.handed_on.load(Ordering::Relaxed)
    }
}

fn serve(mut client: TcpStream, config: Arc<ServerConfig>, upstream: &str, counter: &AtomicUsize) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        if let Err(refused) = tls.complete_io(&mut client) {
            // The alert has been sent. A reset, which unread bytes would cause, must not overtake it.
            client.shutdown(Shutdown::Write)?;
            while client.read(&mut [0; 4096])? > 0 {}
            return Err(refused);
        }
    }
    let mut upstream = TcpStream::connect(upstream)?;
    upstream.set_nodelay(true)?;
    client.set_read_timeout(Some(TURN))?;
    upstream.set_read_timeout(Some(TURN))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if take(tls.read_tls(&mut client))? == Some(0) {
            return Ok(());
        }
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let plain = &mut buffer[..state.plaintext_bytes_to_read()];
        tls.reader().read_exact(plain)?;
        counter.fetch_add(plain.len(), Ordering::Relaxed);
        upstream.write_all(plain)?;
        match take(upstream.read(&mut buffer))? {
            Some(0) => {
                tls.send_close_notify();
                tls.write_tls(&mut client)?;
                return Ok(());
            }
            Some(n) => tls.writer().write_all(&buffer[..n])?,
            None => {}
        }
        while tls.wants_write() {
            tls.write_tls(&mut client)?;
        }
    }
}

/// Nothing has come in time: `None`.
fn take(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}
