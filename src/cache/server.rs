//! One server: changes applied in bulk, keys read in bulk, its statistics.
//!
//! A tag whose key is new costs one quiet `ms` in add mode, answered only if the
//! key is there already. Those few are read with their CAS value, merged and
//! written back under it; a key that changed in between is read again.

use super::address::Address;
use super::changes::{Change, Changes};
use super::connection::Connection;
use super::encode;
use super::key::Keys;
use super::merge::{Action, Expiry, Present, merge};
use super::reply::Reply;
use super::ttl;
use super::value::{self, Tag};
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use memcache::exp::{MetaCommand, MetaOp, ReturnCode};
use std::collections::BTreeMap;
use std::time::Duration;

/// Commands are sent in batches of about so many bytes: large enough that the
/// round trip does not count, small enough to stay in the processor's cache.
const BATCH_BYTES: usize = 128 * 1024;

/// Keys of one read-merge-write round. Their values are held until written.
const MERGE_KEYS: usize = 2_000;

/// How often a key that another writer keeps changing is tried.
const MERGE_ROUNDS: usize = 16;

/// Room that memcached needs in an item beside key and value (header, CAS, flags:
/// 56 bytes in 1.6.18), with a margin.
const ITEM_OVERHEAD: usize = 128;

/// memcached's limit for an item where `stats settings` does not tell it.
const DEFAULT_ITEM_SIZE: usize = 1024 * 1024;

/// What a server did with a list of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Keys that were not there before.
    pub created: u64,
    /// Keys that were merged with what was there.
    pub merged: u64,
    /// Keys that are gone.
    pub deleted: u64,
    /// Tags that did not fit below the item limit.
    pub left_out: u64,
    /// Keys that the server refused to store.
    pub refused: u64,
}

impl std::ops::AddAssign for Applied {
    fn add_assign(&mut self, other: Applied) {
        self.created += other.created;
        self.merged += other.merged;
        self.deleted += other.deleted;
        self.left_out += other.left_out;
        self.refused += other.refused;
    }
}

/// An open server.
pub struct Server {
    connection: Connection,
    item_size: usize,
    out: Vec<u8>,
}

impl Server {
    /// Connects and asks for the item limit.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], naming the address.
    pub fn open(address: &Address, timeout: Duration) -> Result<Server> {
        let mut connection = Connection::open(address, timeout)?;
        let settings = text_stats(&mut connection, "settings")?;
        let item_size = settings.get("item_size_max").and_then(|v| v.parse().ok()).unwrap_or(DEFAULT_ITEM_SIZE);
        Ok(Server { connection, item_size, out: Vec::with_capacity(BATCH_BYTES + 4096) })
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        self.connection.address()
    }

    /// `stats`, or `stats settings` and the like.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn stats(&mut self, which: &str) -> Result<BTreeMap<String, String>> {
        text_stats(&mut self.connection, which)
    }

    /// How many of our keys the server holds, by namespace: it lists them all
    /// (`lru_crawler metadump hash`, some 700,000 keys a second).
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn count_keys(&mut self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let mut counts: BTreeMap<Namespace, u64> = BTreeMap::new();
        let keys = Keys::new(prefix);
        self.connection.lines(b"lru_crawler metadump hash\r\n", |line| {
            // The key is percent-encoded; prefix and namespace, but for `/`, are not touched by that.
            let key = line.strip_prefix(b"key=").and_then(|rest| rest.split(|b| *b == b' ').next());
            let plain = key.map(|k| String::from_utf8_lossy(k).replace("%3A", ":").replace("%2F", "/"));
            if let Some((namespace, _)) = plain.as_deref().and_then(|k| keys.parse(k.as_bytes())) {
                *counts.entry(namespace).or_default() += 1;
            }
        })?;
        Ok(counts.into_iter().map(|(namespace, n)| (namespace.name().to_owned(), n)).collect())
    }

    /// The values of some keys, in their order.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn get(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = vec![None; keys.len()];
        let mut start = 0;
        while start < keys.len() {
            self.out.clear();
            let mut end = start;
            while end < keys.len() && self.out.len() < BATCH_BYTES {
                encode::get(&mut self.out, &keys[end], end)?;
                end += 1;
            }
            self.out.extend_from_slice(b"mn\r\n");
            let mut failed = None;
            self.connection.exchange(&mut self.out, |reply| match reply {
                Reply::Meta { code: ReturnCode::Va, opaque: Some(i), value: Some(value), .. } => {
                    if let Some(slot) = values.get_mut(i as usize) {
                        *slot = Some(value.to_vec());
                    }
                }
                Reply::Meta { .. } => {}
                Reply::Failure(text) => failed = Some(text),
            })?;
            if let Some(text) = failed {
                return Err(self.refusal(&text));
            }
            start = end;
        }
        Ok(values)
    }

    /// Stores one of our own keys (`misp-stats` and the like), for ever.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], also where the server refuses it.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.quietly(command(MetaOp::Set, key).value(value).flag("q"))
    }

    /// Deletes one of our own keys, if it is there.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], also where the server refuses it.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.quietly(command(MetaOp::Delete, key).flag("q"))
    }

    /// Empties the server, other programs' keys included: for a server of one's own.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn flush(&mut self) -> Result<()> {
        self.connection.lines(b"flush_all\r\n", |_| {})
    }

    /// One command that answers only where it fails.
    fn quietly(&mut self, command: MetaCommand) -> Result<()> {
        self.out.clear();
        encode::command(&mut self.out, command, 0)?;
        self.out.extend_from_slice(b"mn\r\n");
        let mut failed = None;
        self.connection.exchange(&mut self.out, |reply| failed = Some(format!("{reply:?}")))?;
        failed.map_or(Ok(()), |text| Err(self.refusal(&text)))
    }

    /// Applies the changes; those for which `mine` is false are left out.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: the connection broke; some changes may be done.
    pub fn apply(
        &mut self,
        changes: &Changes,
        mine: impl Fn(&[u8]) -> bool,
        expiry: Expiry,
        now: u64,
    ) -> Result<Applied> {
        let mut done = Applied::default();
        let mut again = Vec::new();
        self.add_new(changes, &mine, now, &mut done, &mut again)?;
        if !again.is_empty() {
            // One round for all changes of a key: a key in 20,000 events is merged once.
            again.sort_unstable_by(|a, b| changes.get(*a as usize).key.cmp(changes.get(*b as usize).key));
            self.merge_all(changes, &again, expiry, now, &mut done)?;
        }
        Ok(done)
    }

    /// Adds tags to keys that do not exist yet; the indices of all other changes go to `again`.
    fn add_new(
        &mut self,
        changes: &Changes,
        mine: &impl Fn(&[u8]) -> bool,
        now: u64,
        done: &mut Applied,
        again: &mut Vec<u32>,
    ) -> Result<()> {
        let mut next = 0;
        let (mut group, mut value): (Vec<Tag>, Vec<u8>) = (Vec::new(), Vec::new());
        // First change and number of changes of each command: of the batch that is
        // made, and of the one that the server works on meanwhile.
        let (mut made, mut flying): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
        loop {
            self.out.clear();
            made.clear();
            while next < changes.len() && self.out.len() < BATCH_BYTES {
                let start = next;
                next += same_key(changes, start);
                let first = changes.get(start);
                if !mine(first.key) {
                    continue;
                }
                if first.remove {
                    again.extend(start as u32..next as u32);
                    continue;
                }
                group.clear();
                let mut expires = None;
                for i in start..next {
                    let change = changes.get(i);
                    if let Some(t) = ttl::wire(change.expires, now) {
                        expires = Some(expires.map_or(t, |e| ttl::later(e, t)));
                        group.push(Tag { event: change.event, kind: change.kind.name() });
                    }
                }
                let Some(expires) = expires else { continue };
                value.clear();
                done.left_out += value::render_into(&mut group, self.value_limit(first.key), &mut value) as u64;
                encode::add(&mut self.out, first.key, &value, expires, made.len())?;
                made.push((start as u32, next as u32));
            }
            if !flying.is_empty() {
                self.settle_adds(&flying, done, again)?;
                flying.clear();
            }
            if made.is_empty() {
                if next >= changes.len() {
                    return Ok(());
                }
                continue;
            }
            self.out.extend_from_slice(b"mn\r\n");
            self.connection.begin(&mut self.out)?;
            std::mem::swap(&mut made, &mut flying);
        }
    }

    /// Reads the replies to the additions on their way.
    fn settle_adds(&mut self, flying: &[Span], done: &mut Applied, again: &mut Vec<u32>) -> Result<()> {
        let mut existing = 0;
        let mut failed = false;
        let before = again.len();
        self.connection.complete(|reply| match reply {
            Reply::Meta { code: ReturnCode::Ns, opaque: Some(i), .. } => {
                if let Some((start, end)) = flying.get(i as usize) {
                    existing += 1;
                    again.extend(*start..*end);
                }
            }
            // Some command failed, and the line does not say which: all of the
            // batch are looked at one by one.
            Reply::Meta { .. } | Reply::Failure(_) => failed = true,
        })?;
        if failed {
            again.truncate(before);
            again.extend(flying.iter().flat_map(|(start, end)| *start..*end));
        } else {
            done.created += flying.len() as u64 - existing;
        }
        Ok(())
    }

    /// Reads, merges and writes back the changes of `indices`, which are sorted by key.
    fn merge_all(
        &mut self,
        changes: &Changes,
        indices: &[u32],
        expiry: Expiry,
        now: u64,
        done: &mut Applied,
    ) -> Result<()> {
        let same = |a: &u32, b: &u32| changes.get(*a as usize).key == changes.get(*b as usize).key;
        let keys: Vec<&[u32]> = indices.chunk_by(same).collect();
        for some in keys.chunks(MERGE_KEYS) {
            let mut open: Vec<Vec<Change>> =
                some.iter().map(|group| group.iter().map(|i| changes.get(*i as usize)).collect()).collect();
            for _ in 0..MERGE_ROUNDS {
                if open.is_empty() {
                    break;
                }
                open = self.merge_round(open, expiry, now, done)?;
            }
            if !open.is_empty() {
                let text = format!("another program keeps changing {} of our keys", open.len());
                return Err(self.refusal(&text));
            }
        }
        Ok(())
    }

    /// One round over some keys; gives back those that changed while it went on.
    fn merge_round<'a>(
        &mut self,
        open: Vec<Vec<Change<'a>>>,
        expiry: Expiry,
        now: u64,
        done: &mut Applied,
    ) -> Result<Vec<Vec<Change<'a>>>> {
        let mut present: Vec<Option<(Vec<u8>, i64, u64)>> = vec![None; open.len()];
        self.out.clear();
        for (i, group) in open.iter().enumerate() {
            encode::command(
                &mut self.out,
                command(MetaOp::Get, group[0].key).flag("v").flag("c").flag("t").flag("q"),
                i,
            )?;
        }
        self.out.extend_from_slice(b"mn\r\n");
        let mut failed = None;
        self.connection.exchange(&mut self.out, |reply| match reply {
            Reply::Meta { opaque: Some(i), cas: Some(cas), ttl: Some(ttl), value: Some(value), .. } => {
                if let Some(slot) = present.get_mut(i as usize) {
                    *slot = Some((value.to_vec(), ttl, cas));
                }
            }
            Reply::Meta { .. } => {}
            Reply::Failure(text) => failed = Some(text),
        })?;
        if let Some(text) = failed {
            return Err(self.refusal(&text));
        }

        self.out.clear();
        let mut outcome = vec![Outcome::Done; open.len()];
        for (i, (group, there)) in open.iter().zip(&present).enumerate() {
            let key = group[0].key;
            let now_there = there.as_ref().map(|(value, ttl, _)| Present { value, ttl: *ttl });
            match merge(now_there, group, expiry, now, self.value_limit(key)) {
                Action::Nothing => {}
                Action::Delete => {
                    let cas = there.as_ref().map_or(0, |t| t.2);
                    encode::command(&mut self.out, command(MetaOp::Delete, key).flag(format!("C{cas}")).flag("q"), i)?;
                    outcome[i] = Outcome::Deleted;
                }
                Action::Store { value, ttl, left_out } => {
                    let mut store = command(MetaOp::Set, key).value(value).flag("q");
                    store = match there {
                        Some((_, _, cas)) => store.flag(format!("C{cas}")),
                        None => store.flag("ME"),
                    };
                    if ttl != 0 {
                        store = store.flag(format!("T{ttl}"));
                    }
                    encode::command(&mut self.out, store, i)?;
                    done.left_out += left_out as u64;
                    outcome[i] = if there.is_some() { Outcome::Merged } else { Outcome::Created };
                }
            }
        }
        if !self.out.is_empty() {
            self.out.extend_from_slice(b"mn\r\n");
            let mut failed = None;
            self.connection.exchange(&mut self.out, |reply| match reply {
                // EX: changed since it was read. NF: gone since. NS: there since.
                Reply::Meta { opaque: Some(i), .. } => {
                    if let Some(o) = outcome.get_mut(i as usize) {
                        *o = Outcome::Again;
                    }
                }
                Reply::Meta { .. } => {}
                Reply::Failure(text) => failed = Some(text),
            })?;
            if let Some(text) = failed {
                // The line does not say which command it means.
                if open.len() == 1 {
                    done.refused += 1;
                    log::warn!(
                        "memcached {} refuses {}: {text}",
                        self.address(),
                        String::from_utf8_lossy(open[0][0].key)
                    );
                    return Ok(Vec::new());
                }
                for group in open {
                    let mut again = vec![group];
                    while !again.is_empty() {
                        again = self.merge_round(again, expiry, now, done)?;
                    }
                }
                return Ok(Vec::new());
            }
        }
        for o in &outcome {
            match o {
                Outcome::Done | Outcome::Again => {}
                Outcome::Created => done.created += 1,
                Outcome::Merged => done.merged += 1,
                Outcome::Deleted => done.deleted += 1,
            }
        }
        Ok(open.into_iter().zip(outcome).filter(|(_, o)| *o == Outcome::Again).map(|(g, _)| g).collect())
    }

    /// The most bytes a value may have under this key.
    fn value_limit(&self, key: &[u8]) -> usize {
        self.item_size.saturating_sub(ITEM_OVERHEAD + key.len())
    }

    fn refusal(&self, text: &str) -> Error {
        Error::new(Kind::Unavailable, format!("memcached {}: {text}", self.address()))
    }
}

/// First change, and the one behind the last, of a command.
type Span = (u32, u32);

/// The number of changes from `start` on that have its key and its direction: one
/// event may list a value as several types.
fn same_key(changes: &Changes, start: usize) -> usize {
    let first = changes.get(start);
    let same = |i: &usize| {
        let change = changes.get(*i);
        change.key == first.key && change.remove == first.remove
    };
    (start..changes.len()).take_while(same).count()
}

/// What became of one key in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Again,
    Created,
    Merged,
    Deleted,
}

fn command(op: MetaOp, key: &[u8]) -> MetaCommand {
    MetaCommand::new(op, key)
}

fn text_stats(connection: &mut Connection, which: &str) -> Result<BTreeMap<String, String>> {
    let command = if which.is_empty() { "stats\r\n".to_owned() } else { format!("stats {which}\r\n") };
    let mut stats = BTreeMap::new();
    connection.lines(command.as_bytes(), |line| {
        let line = String::from_utf8_lossy(line);
        let mut words = line.splitn(3, ' ').skip(1);
        if let (Some(name), Some(value)) = (words.next(), words.next()) {
            stats.insert(name.to_owned(), value.to_owned());
        }
    })?;
    Ok(stats)
}
