//! How every server of the configuration is reached: time-out, TLS, user.

use super::tls::Tls;
use crate::config::Memcached;
use crate::error::Result;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// The settings that all servers share.
#[derive(Debug)]
pub struct Dialer {
    pub(super) timeout: Duration,
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
}

impl Dialer {
    /// Reads the certificates that the configuration names; nothing is connected yet.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`]: one of them cannot be used.
    pub fn new(config: &Memcached) -> Result<Dialer> {
        let login = config.username.as_ref().zip(config.password.as_ref());
        Ok(Dialer {
            timeout: config.timeout.duration(),
            tls: config.tls.as_ref().map(Tls::new).transpose()?,
            login: login.map(|(user, password)| Login { user: user.clone(), password: password.clone() }),
        })
    }
}

/// A user of memcached's text authentication.
#[derive(Debug)]
pub(super) struct Login {
    user: String,
    password: SecretString,
}

impl Login {
    /// The command: a `set` of any key whose data are user and password.
    pub(super) fn command(&self, out: &mut Vec<u8>) {
        let password = self.password.expose_secret();
        let length = self.user.len() + 1 + password.len();
        out.extend_from_slice(format!("set login 0 0 {length}\r\n{} ", self.user).as_bytes());
        out.extend_from_slice(password.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_and_its_secret() {
        let login = Login { user: "misp".into(), password: "S3CRET".into() };
        let mut out = Vec::new();
        login.command(&mut out);
        assert_eq!(out, b"set login 0 0 11\r\nmisp S3CRET\r\n");
        assert!(!format!("{login:?}").contains("S3CRET"));
    }
}
