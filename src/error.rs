//! What can go wrong for a whole run, and the exit code that says so.
//!
//! One type for every stage. A bad indicator is no error: it is skipped and
//! counted (see [`crate::indicator`]). Messages name the thing to change (file,
//! line, key, URL, status) and never a secret.

use std::fmt;

/// The reason a run ended, each with its own exit code (sysexits where one fits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 64: the command line cannot be understood.
    Usage,
    /// 65: MISP's answer cannot be trusted (not whole, not JSON, too small a world).
    Untrusted,
    /// 69: MISP or memcached cannot be reached.
    Unavailable,
    /// 70: a bug in this program.
    Bug,
    /// 73: an output cannot be written (ledger, Falco file, metrics).
    CannotWrite,
    /// 75: another run holds the lock.
    Locked,
    /// 75: a signal ended the run before it was done.
    Interrupted,
    /// 77: MISP refuses the key.
    Refused,
    /// 78: the configuration is wrong.
    Config,
}

impl Kind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 64,
            Kind::Untrusted => 65,
            Kind::Unavailable => 69,
            Kind::Bug => 70,
            Kind::CannotWrite => 73,
            Kind::Locked | Kind::Interrupted => 75,
            Kind::Refused => 77,
            Kind::Config => 78,
        }
    }
}

/// An error that ends the run: a kind and one message for the person who reads it.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error of `kind` with a message that says what to change.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    /// The kind, which decides the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A result whose error ends the run.
pub type Result<T, E = Error> = std::result::Result<T, E>;
