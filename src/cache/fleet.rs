//! All servers of the configuration, as one cache.
//!
//! `replicate`: every server holds every key. `ring`: each key is on the one
//! server where Dalli looks for it. A server that fails is left out until the fleet
//! is opened again; the others go on, and somebody else remembers what it misses.

use super::address::{self, Address, DEFAULT_PORT, Place};
use super::answers::Answers;
use super::bulk::Applied;
use super::changes::Changes;
use super::dialer::Dialer;
use super::enforce::{Mended, Wanted};
use super::key::Keys;
use super::merge::Expiry;
use super::ring::Ring;
use super::sent::Sent;
use super::server::Server;
use crate::config::{Distribution, Memcached};
use crate::error::{Error, Kind, Result};
use std::thread;

/// The servers, those that can be reached and those that cannot.
pub struct Fleet {
    /// In the order of the configuration, which a ring counts by.
    members: Vec<Member>,
    /// Only where keys are spread.
    ring: Option<Ring>,
    keys: Keys,
    /// Members lost since [`Fleet::newly_lost`] was last asked.
    lost: Vec<usize>,
    /// Keys to which tags were added, by whoever holds them.
    sent: Sent,
}

/// A server of the configuration.
struct Member {
    address: Address,
    /// The open server, or why there is none (any more).
    server: Result<Server>,
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
    /// Connects to every server, to all at once.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: none of them can be reached; [`Kind::Config`].
    pub fn open(config: &Memcached) -> Result<Fleet> {
        let addresses = addresses(config)?;
        let dialer = Dialer::new(config)?;
        let servers: Vec<Result<Server>> = thread::scope(|scope| {
            let dialer = &dialer;
            let threads: Vec<_> =
                addresses.iter().map(|address| scope.spawn(move || Server::open(address, dialer))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        });
        let ring = ring(config, &addresses);
        let members: Vec<Member> =
            addresses.into_iter().zip(servers).map(|(address, server)| Member { address, server }).collect();
        let fleet = Fleet { members, ring, keys: Keys::new(&config.prefix), lost: Vec::new(), sent: Sent::default() };
        if fleet.live().is_empty() {
            return Err(fleet.none_left());
        }
        fleet.unreachable().for_each(|(_, e)| log::warn!("{e}"));
        Ok(fleet)
    }

    /// The builder of this cache's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The servers that can be reached, by their index.
    pub fn live(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|i| self.members[*i].server.is_ok()).collect()
    }

    /// The address of a server.
    pub fn address(&self, index: usize) -> &Address {
        &self.members[index].address
    }

    /// The servers that cannot be reached, or broke off, and why.
    pub fn unreachable(&self) -> impl Iterator<Item = (&Address, &Error)> {
        self.members.iter().filter_map(|m| m.server.as_ref().err().map(|e| (&m.address, e)))
    }

    /// The addresses of the servers that broke off since this was last asked.
    pub fn newly_lost(&mut self) -> Vec<String> {
        self.lost.drain(..).map(|i| self.members[i].address.to_string()).collect()
    }

    /// What decides which keys a server holds: the same for all of them, or the
    /// names and weights of a ring.
    pub fn layout(&self) -> String {
        if self.ring.is_none() {
            return "replicate".to_owned();
        }
        let one = |m: &Member| format!(" {}*{}", m.address.ring_name(), m.address.weight);
        "ring".to_owned() + &self.members.iter().map(one).collect::<String>()
    }

    /// About which part of all keys a server holds.
    pub fn share(&self, index: usize) -> f64 {
        if self.ring.is_none() {
            return 1.0;
        }
        let weight = |m: &Member| f64::from(m.address.weight);
        weight(&self.members[index]) / self.members.iter().map(weight).sum::<f64>()
    }

    /// The most bytes that key and value may have together on every server.
    pub fn value_limit(&self) -> usize {
        let limits = self.members.iter().filter_map(|m| m.server.as_ref().ok().map(|s| s.value_limit(&[])));
        limits.min().unwrap_or(0)
    }

    /// Does something on every server that can be reached; gives what came of it by
    /// the server's index. A server that fails is left out from then on.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: no server is left; and what else `job` fails with.
    pub fn each<T: Send>(&mut self, job: impl Fn(&mut Server) -> Result<T> + Sync) -> Result<Vec<(usize, T)>> {
        let all = self.live();
        self.on(&all, |_, server| job(server))
    }

    /// The same on some of the servers, those of `which` that can be reached.
    fn on<T: Send>(
        &mut self,
        which: &[usize],
        job: impl Fn(usize, &mut Server) -> Result<T> + Sync,
    ) -> Result<Vec<(usize, T)>> {
        let members = self.members.iter_mut().enumerate().filter(|(i, _)| which.contains(i));
        let mut chosen: Vec<(usize, &mut Server)> =
            members.filter_map(|(i, m)| Some((i, m.server.as_mut().ok()?))).collect();
        let results: Vec<(usize, Result<T>)> = if let [(index, server)] = chosen.as_mut_slice() {
            vec![(*index, job(*index, server))]
        } else {
            let job = &job;
            thread::scope(|scope| {
                let threads: Vec<_> =
                    chosen.into_iter().map(|(i, server)| (i, scope.spawn(move || job(i, server)))).collect();
                let join =
                    |t: thread::ScopedJoinHandle<'_, _>| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
                threads.into_iter().map(|(i, t)| (i, join(t))).collect()
            })
        };
        let mut done = Vec::with_capacity(results.len());
        for (index, result) in results {
            match result {
                Ok(value) => done.push((index, value)),
                Err(e) if e.kind() == Kind::Unavailable => self.lose(index, e),
                Err(e) => return Err(e),
            }
        }
        if self.live().is_empty() { Err(self.none_left()) } else { Ok(done) }
    }

    /// Goes on without a server. Its connection is of no more use.
    fn lose(&mut self, index: usize, why: Error) {
        log::warn!("{why}; the pass goes on without it");
        self.members[index].server = Err(why);
        self.lost.push(index);
    }

    fn none_left(&self) -> Error {
        let all: Vec<String> = self.unreachable().map(|(_, e)| e.to_string()).collect();
        Error::new(Kind::Unavailable, all.join("\n"))
    }

    /// Applies the changes on every server that holds their keys. The counts are
    /// those of all servers in a ring; otherwise those of one of them, but what did
    /// not fit or was refused on any of them counts.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn apply(&mut self, changes: &Changes, expiry: Expiry, now: u64) -> Result<Applied> {
        let all = self.live();
        self.apply_on(&all, changes, expiry, now)
    }

    /// The same on some of the servers, by their index.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn apply_on(&mut self, which: &[usize], changes: &Changes, expiry: Expiry, now: u64) -> Result<Applied> {
        let ring = self.ring.clone();
        let mine = |index: usize, key: &[u8]| ring.as_ref().is_none_or(|r| r.server(key) == index);
        let known: Vec<bool> = changes.iter().map(|change| !change.remove && self.sent.note(change.key)).collect();
        let job = |index, server: &mut Server| server.apply(changes, |key| mine(index, key), &known, expiry, now);
        let results = self.on(which, job)?;
        let mut total = Applied::default();
        for (i, (_, applied)) in results.into_iter().enumerate() {
            if i == 0 || ring.is_some() {
                total += applied;
            } else {
                total.refused = total.refused.max(applied.refused);
                total.left_out = total.left_out.max(applied.left_out);
                total.refusals = total.refusals.max(applied.refusals);
            }
        }
        Ok(total)
    }

    /// Holds the keys against what they must be, each on those servers of `which`
    /// that hold it.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn enforce(&mut self, which: &[usize], wanted: &[Wanted], now: u64) -> Result<Mended> {
        let ring = self.ring.clone();
        let mended = self.on(which, |index, server| match &ring {
            None => server.enforce(wanted, now),
            Some(ring) => {
                let mine: Vec<Wanted> = wanted.iter().filter(|w| ring.server(&w.key) == index).cloned().collect();
                server.enforce(&mine, now)
            }
        })?;
        Ok(sum(mended))
    }

    /// Deletes every indicator key on the servers `which` that `backed` does not know,
    /// or that stands on a server where nobody looks for it. Counts them.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn sweep(&mut self, which: &[usize], backed: impl Fn(&[u8]) -> bool + Sync) -> Result<Mended> {
        let prefix = self.keys.prefix().to_owned();
        let ring = self.ring.clone();
        let mended = self.on(which, |index, server| {
            let mine = |key: &[u8]| ring.as_ref().is_none_or(|r| r.server(key) == index);
            let swept = server.sweep(&prefix, |key| backed(key) && mine(key))?;
            Ok(Mended { swept, ..Mended::default() })
        })?;
        Ok(sum(mended))
    }

    /// Those servers of `which` that hold none of our keys.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn empty_ones(&mut self, which: &[usize]) -> Result<Vec<usize>> {
        let prefix = self.keys.prefix().to_owned();
        let counts = self.on(which, |_, server| server.count_keys(&prefix))?;
        Ok(counts.into_iter().filter(|(_, keys)| keys.is_empty()).map(|(index, _)| index).collect())
    }

    /// Stores one of our own keys on every server.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn set_everywhere(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.each(|server| server.set(key, value)).map(drop)
    }

    /// Deletes one of our own keys on every server, if it is there.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn delete_everywhere(&mut self, key: &[u8]) -> Result<()> {
        self.each(|server| server.delete(key)).map(drop)
    }

    /// The values of some keys, in their order: from a server that holds all, or from
    /// the servers of a ring that hold them.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: no server that can be reached holds all of the keys.
    /// On a ring a missing server is an error, since it may hold what is asked for.
    pub fn get(&mut self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>> {
        self.begin_get(keys)?.finish(self).map(|answers| answers.values)
    }

    /// Asks for the values of some keys. The servers work on it until
    /// [`Asked::finish`] is called, and nothing else may be asked of them before.
    ///
    /// # Errors
    /// As [`Fleet::get`].
    pub fn begin_get(&mut self, keys: Vec<Vec<u8>>) -> Result<Asked> {
        let Some(ring) = &self.ring else {
            while let Some(&first) = self.live().first() {
                let server = self.members[first].server.as_mut().map_err(|e| e.clone())?;
                match server.begin_get(&keys) {
                    Ok(()) => return Ok(Asked { keys, of: Whom::One(first) }),
                    Err(e) if e.kind() == Kind::Unavailable => self.lose(first, e),
                    Err(e) => return Err(e),
                }
            }
            return Err(self.none_left());
        };
        let mut shares = vec![Vec::new(); self.members.len()];
        for (i, key) in keys.iter().enumerate() {
            shares[ring.server(key)].push(i);
        }
        for (member, share) in self.members.iter_mut().zip(&shares) {
            if !share.is_empty() {
                let asked: Vec<Vec<u8>> = share.iter().map(|i| keys[*i].clone()).collect();
                member.server.as_mut().map_err(|e| e.clone())?.begin_get(&asked)?;
            }
        }
        Ok(Asked { keys, of: Whom::Ring(shares) })
    }
}

/// Keys whose values are on their way.
#[must_use = "their replies have to be read"]
pub struct Asked {
    keys: Vec<Vec<u8>>,
    of: Whom,
}

enum Whom {
    /// The server that was asked for all of them.
    One(usize),
    /// Which of the keys each server was asked for.
    Ring(Vec<Vec<usize>>),
}

impl Asked {
    /// Waits for them.
    ///
    /// # Errors
    /// As [`Fleet::get`].
    pub fn finish(self, fleet: &mut Fleet) -> Result<Answers> {
        let Asked { keys, of } = self;
        match of {
            Whom::One(index) => {
                let server = fleet.members[index].server.as_mut().map_err(|e| e.clone())?;
                match server.finish_get(keys.len()) {
                    Ok(values) => Ok(Answers { keys, values }),
                    // Another one holds the same.
                    Err(e) if e.kind() == Kind::Unavailable => {
                        fleet.lose(index, e);
                        fleet.begin_get(keys)?.finish(fleet)
                    }
                    Err(e) => Err(e),
                }
            }
            Whom::Ring(shares) => {
                let mut values = vec![None; keys.len()];
                for (member, share) in fleet.members.iter_mut().zip(shares) {
                    if !share.is_empty() {
                        let server = member.server.as_mut().map_err(|e| e.clone())?;
                        for (value, i) in server.finish_get(share.len())?.into_iter().zip(share) {
                            values[i] = value;
                        }
                    }
                }
                Ok(Answers { keys, values })
            }
        }
    }
}

fn sum(of: Vec<(usize, Mended)>) -> Mended {
    of.into_iter().fold(Mended::default(), |mut all, (_, mended)| {
        all += mended;
        all
    })
}
