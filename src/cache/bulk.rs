//! Changes applied to one server in bulk.
//!
//! A tag whose key is new costs one quiet `ms` in add mode, answered only if the
//! key is there already. Those few, and those that are known to be there
//! beforehand, are read with their CAS value, merged and written back under it; a
//! key that changed in between is read again.

use super::changes::{Change, Changes};
use super::encode;
use super::merge::{Action, Expiry, Present, merge};
use super::reply::Reply;
use super::server::{BATCH_BYTES, Server, command};
use super::ttl;
use super::value::{self, Tag};
use crate::error::Result;
use memcache::exp::{MetaOp, ReturnCode};

/// Keys of one read-merge-write round. Their values are held until written.
const MERGE_KEYS: usize = 2_000;

/// How often a key that another writer keeps changing is tried.
const MERGE_ROUNDS: usize = 16;

/// Refused keys of one list that are named in the log; the report counts them all.
const NAMED_REFUSALS: u64 = 10;

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
    /// Answers that refused something. A server that does drops what the key held before,
    /// which others may have put there.
    pub refusals: u64,
}

impl std::ops::AddAssign for Applied {
    fn add_assign(&mut self, other: Applied) {
        self.created += other.created;
        self.merged += other.merged;
        self.deleted += other.deleted;
        self.left_out += other.left_out;
        self.refused += other.refused;
        self.refusals += other.refusals;
    }
}

impl Server {
    /// Applies the changes; those for which `mine` is false are left out. Of those
    /// for which `known` is true the key is probably there already.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`]: the connection broke; some changes may be done.
    pub fn apply(
        &mut self,
        changes: &Changes,
        mine: impl Fn(&[u8]) -> bool,
        known: &[bool],
        expiry: Expiry,
        now: u64,
    ) -> Result<Applied> {
        let mut done = Applied::default();
        let mut again = Vec::new();
        self.add_new(changes, &mine, known, now, &mut done, &mut again)?;
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
        known: &[bool],
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
                if first.remove || known[start] {
                    again.extend(start as u32..next as u32);
                    continue;
                }
                group.clear();
                let mut expires = None;
                for i in start..next {
                    let change = changes.get(i);
                    if let Some(t) = ttl::wire(change.expires, now) {
                        expires = Some(expires.map_or(t, |e| ttl::later(e, t)));
                        group.push(Tag { event: change.event, kind: change.kind.name(), context: change.context });
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
            Reply::Meta { .. } => failed = true,
            Reply::Failure(_) => {
                failed = true;
                done.refusals += 1;
            }
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
                done.refusals += 1;
                // The line does not say which command it means.
                if open.len() == 1 {
                    done.refused += 1;
                    if done.refused <= NAMED_REFUSALS {
                        log::warn!(
                            "memcached {} refuses {}: {text}",
                            self.address(),
                            String::from_utf8_lossy(open[0][0].key)
                        );
                    }
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
