//! All servers of the configuration, as one cache.
//!
//! `replicate`: every server holds every key. `ring`: each key is on the one
//! server where Dalli looks for it.

use super::address::{self, Address, DEFAULT_PORT, Place};
use super::bulk::Applied;
use super::changes::Changes;
use super::dialer::Dialer;
use super::enforce::{Mended, Wanted};
use super::key::Keys;
use super::merge::Expiry;
use super::ring::Ring;
use super::server::Server;
use crate::config::{Distribution, Memcached};
use crate::error::Result;
use std::thread;

/// The open servers.
pub struct Fleet {
    servers: Vec<Server>,
    /// Only where keys are spread.
    ring: Option<Ring>,
    keys: Keys,
}

/// The addresses that the configuration names.
///
/// # Errors
/// [`crate::error::Kind::Config`]: one of them cannot be read.
pub fn addresses(config: &Memcached) -> Result<Vec<Address>> {
    if config.servers.is_empty() {
        return Ok(vec![if config.host.starts_with('/') || config.host.starts_with("unix:") {
            Address::parse(&config.host, DEFAULT_PORT)?
        } else {
            Address { place: Place::Tcp(config.host.clone(), config.port), weight: 1 }
        }]);
    }
    address::parse_list(&config.servers, config.port)
}

/// The ring of these servers, where the configuration spreads keys over several.
pub fn ring(config: &Memcached, addresses: &[Address]) -> Option<Ring> {
    let spread = config.distribution == Distribution::Ring && addresses.len() > 1;
    spread.then(|| Ring::new(addresses))
}

impl Fleet {
    /// Connects to every server.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`]: one of them cannot be reached.
    pub fn open(config: &Memcached) -> Result<Fleet> {
        let addresses = addresses(config)?;
        let dialer = Dialer::new(config)?;
        let servers = addresses.iter().map(|a| Server::open(a, &dialer)).collect::<Result<Vec<_>>>()?;
        Ok(Fleet { servers, ring: ring(config, &addresses), keys: Keys::new(&config.prefix) })
    }

    /// The builder of this cache's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The servers, in the order of the configuration.
    pub fn servers(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// The most bytes that key and value may have together on every server.
    pub fn value_limit(&self) -> usize {
        self.servers.iter().map(|s| s.value_limit(&[])).min().unwrap_or(0)
    }

    /// Whether keys are spread over the servers.
    pub fn is_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Applies the changes on every server that holds their keys. The counts are
    /// those of all servers in a ring, of the first one otherwise.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`]: a server broke off; the others were served.
    pub fn apply(&mut self, changes: &Changes, expiry: Expiry, now: u64) -> Result<Applied> {
        let all: Vec<usize> = (0..self.servers.len()).collect();
        self.apply_on(&all, changes, expiry, now)
    }

    /// The same on some of the servers, by their index.
    ///
    /// # Errors
    /// As [`Fleet::apply`].
    pub fn apply_on(&mut self, which: &[usize], changes: &Changes, expiry: Expiry, now: u64) -> Result<Applied> {
        let ring = self.ring.as_ref();
        let one = |index: usize, server: &mut Server| {
            server.apply(changes, |key| ring.is_none_or(|r| r.server(key) == index), expiry, now)
        };
        let chosen = self.servers.iter_mut().enumerate().filter(|(i, _)| which.contains(i));
        let results: Vec<Result<Applied>> = if which.len() == 1 {
            chosen.map(|(i, server)| one(i, server)).collect()
        } else {
            thread::scope(|scope| {
                let threads: Vec<_> = chosen.map(|(i, server)| scope.spawn(move || one(i, server))).collect();
                threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
            })
        };
        let mut total = Applied::default();
        for (i, result) in results.into_iter().enumerate() {
            let applied = result?;
            if i == 0 || ring.is_some() {
                total += applied;
            }
        }
        Ok(total)
    }

    /// Holds the keys against what they must be, each on the servers that hold it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn enforce(&mut self, wanted: &[Wanted]) -> Result<Mended> {
        let mut mended = Mended::default();
        for (index, server) in self.servers.iter_mut().enumerate() {
            mended += match &self.ring {
                None => server.enforce(wanted)?,
                Some(ring) => {
                    let mine: Vec<Wanted> = wanted.iter().filter(|w| ring.server(&w.key) == index).cloned().collect();
                    server.enforce(&mine)?
                }
            };
        }
        Ok(mended)
    }

    /// Deletes every indicator key that `backed` does not know, or that stands on a
    /// server where nobody looks for it. Returns how many there were.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn sweep(&mut self, backed: impl Fn(&[u8]) -> bool) -> Result<u64> {
        let prefix = self.keys.prefix().to_owned();
        let mut swept = 0;
        for (index, server) in self.servers.iter_mut().enumerate() {
            let ring = self.ring.as_ref();
            swept += server.sweep(&prefix, |key| backed(key) && ring.is_none_or(|r| r.server(key) == index))?;
        }
        Ok(swept)
    }

    /// Stores one of our own keys on every server.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn set_everywhere(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.servers.iter_mut().try_for_each(|s| s.set(key, value))
    }

    /// Deletes one of our own keys on every server, if it is there.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn delete_everywhere(&mut self, key: &[u8]) -> Result<()> {
        self.servers.iter_mut().try_for_each(|s| s.delete(key))
    }

    /// The values of some keys, in their order: from the servers that hold them.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn get(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let Some(ring) = &self.ring else { return self.servers[0].get(keys) };
        let mut values = vec![None; keys.len()];
        for (index, server) in self.servers.iter_mut().enumerate() {
            let mine: Vec<usize> = (0..keys.len()).filter(|i| ring.server(&keys[*i]) == index).collect();
            let asked: Vec<Vec<u8>> = mine.iter().map(|i| keys[*i].clone()).collect();
            for (i, value) in mine.into_iter().zip(server.get(&asked)?) {
                values[i] = value;
            }
        }
        Ok(values)
    }
}
