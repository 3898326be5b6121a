//! Keys held against what they must be, on one server: what is missing is stored,
//! what differs is corrected, and what nothing backs is swept.

use super::encode;
use super::reply::Reply;
use super::server::{Server, command};
use super::ttl;
use crate::error::Result;
use memcache::exp::{MetaOp, ReturnCode};

/// What a key must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// memcached's `T`.
    pub ttl: u64,
}

/// What was put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Keys that were not there.
    pub restored: u64,
    /// Keys that had another value or expiry.
    pub corrected: u64,
    /// Keys that no event backs.
    pub swept: u64,
    /// Keys that were counted before, but that the server refused to store.
    pub refused: u64,
}

impl std::ops::AddAssign for Mended {
    fn add_assign(&mut self, other: Mended) {
        self.restored += other.restored;
        self.corrected += other.corrected;
        self.swept += other.swept;
        self.refused += other.refused;
    }
}

/// Keys that are deleted at once.
const SWEEP_KEYS: usize = 20_000;

impl Server {
    /// Reads the keys and puts right what is not as it must be, value and expiry. A
    /// key that another program changes at this moment is left to the next time, and so
    /// is one that the server refuses.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn enforce(&mut self, wanted: &[Wanted], now: u64) -> Result<Mended> {
        if wanted.is_empty() {
            return Ok(Mended::default());
        }
        // Per key: right as it is, or the CAS value of what is there.
        let mut there: Vec<Option<(bool, u64)>> = vec![None; wanted.len()];
        self.out.clear();
        for (i, w) in wanted.iter().enumerate() {
            encode::command(&mut self.out, command(MetaOp::Get, &w.key).flag("v").flag("c").flag("t").flag("q"), i)?;
        }
        self.out.extend_from_slice(b"mn\r\n");
        let mut failed = None;
        self.connection.exchange(&mut self.out, |reply| match reply {
            Reply::Meta { opaque: Some(i), cas: Some(cas), ttl: Some(ttl), value: Some(value), .. } => {
                if let (Some(slot), Some(w)) = (there.get_mut(i as usize), wanted.get(i as usize)) {
                    *slot = Some((value == w.value && ttl::agrees(w.ttl, ttl, now), cas));
                }
            }
            Reply::Meta { .. } => {}
            Reply::Failure(text) => failed = Some(text),
        })?;
        if let Some(text) = failed {
            return Err(self.refusal(&text));
        }

        let mut mended = Mended::default();
        self.out.clear();
        for (i, (w, found)) in wanted.iter().zip(&there).enumerate() {
            let mut store = command(MetaOp::Set, &w.key).value(w.value.as_slice()).flag("q");
            match found {
                Some((true, _)) => continue,
                Some((false, cas)) => {
                    store = store.flag(format!("C{cas}"));
                    mended.corrected += 1;
                }
                None => {
                    store = store.flag("ME");
                    mended.restored += 1;
                }
            }
            if w.ttl != 0 {
                store = store.flag(format!("T{}", w.ttl));
            }
            encode::command(&mut self.out, store, i)?;
        }
        if self.out.is_empty() {
            return Ok(mended);
        }
        self.out.extend_from_slice(b"mn\r\n");
        let mut failed = None;
        self.connection.exchange(&mut self.out, |reply| {
            if let Reply::Failure(text) = reply {
                mended.refused += 1;
                failed = Some(text);
            }
        })?;
        if let Some(text) = failed {
            log::debug!("memcached {} refuses {} keys: {text}", self.address(), mended.refused);
        }
        Ok(mended)
    }

    /// Deletes those of our keys for which `backed` is false; `list` calls back with
    /// each of our keys. Returns how many there were.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn sweep(&mut self, prefix: &str, backed: impl Fn(&[u8]) -> bool) -> Result<u64> {
        let mut swept = 0;
        loop {
            let mut unbacked: Vec<Vec<u8>> = Vec::new();
            self.list_keys(prefix, |key| {
                if unbacked.len() < SWEEP_KEYS && !backed(key) {
                    unbacked.push(key.to_vec());
                }
            })?;
            if unbacked.is_empty() {
                return Ok(swept);
            }
            self.out.clear();
            for (i, key) in unbacked.iter().enumerate() {
                encode::command(&mut self.out, command(MetaOp::Delete, key).flag("q"), i)?;
            }
            self.out.extend_from_slice(b"mn\r\n");
            let mut failed = None;
            self.connection.exchange(&mut self.out, |reply| match reply {
                // Gone since it was listed.
                Reply::Meta { code: ReturnCode::Nf, .. } => {}
                other => failed = Some(format!("{other:?}")),
            })?;
            if let Some(text) = failed {
                return Err(self.refusal(&text));
            }
            swept += unbacked.len() as u64;
        }
    }
}
