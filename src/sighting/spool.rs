//! The journal's file: sightings that wait and what was reported lately. Several runs
//! may use it at once; each takes a lock for the moment in which it reads what the
//! others have added and adds its own. It knows what lines come to, and not who sends.

use super::batch::Item;
use super::journal::{Added, Entry};
use super::state::State;
use super::{Sighting, Standing};
use crate::atomic_file;
use crate::error::{Error, Kind, Result};
use crate::lock::Lock;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "sightings.jsonl";

/// The lock for reading and adding, held for moments.
const LOCK: &str = "sightings.lock";

/// The lock of the one run that sends.
const SENDER_LOCK: &str = "sightings.sender.lock";

/// How long the first lock is waited for: its holder may be on a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Values and sources may say whom somebody talks to.
const MODE: u32 = 0o600;

/// The journal and what it comes to.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    path: PathBuf,
    window: u64,
    most: u64,
    file: Option<File>,
    /// How far the file was read.
    offset: u64,
    state: State,
    damaged: bool,
}

/// What became of sightings that were handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Those that wait to be sent, or for the cache.
    pub waiting: Vec<u64>,
    /// Those that were reported lately, or stand twice in what was handed over.
    pub folded: u64,
    /// Those there was no room for.
    pub full: u64,
    /// Those that MISP did not want a few minutes ago, and why.
    pub refused: Vec<(String, String)>,
}

impl Spool {
    /// That of a state directory, which is there. `window` is in seconds; `most` bytes
    /// may wait.
    pub fn new(directory: &Path, window: u64, most: u64) -> Spool {
        Spool {
            directory: directory.to_owned(),
            path: directory.join(FILE_NAME),
            window,
            most,
            file: None,
            offset: 0,
            state: State::new(window),
            damaged: false,
        }
    }

    /// What the journal says, as last read.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The right to send, if no other run has it.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn sender(&self) -> Result<Option<Lock>> {
        Lock::take_named(&self.directory, SENDER_LOCK)
    }

    /// Reads the journal without a trace, for a dry run.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: it is there and cannot be read.
    pub fn look(&mut self) -> Result<()> {
        match File::open(&self.path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|e| self.cannot("be read", &e))?;
                self.apply(&bytes);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(self.cannot("be read", &e)),
        }
    }

    /// What would be taken of these, without writing it down; the sightings that would wait.
    pub fn try_out(&mut self, all: Vec<(Sighting, Standing)>, now: u64) -> (Taken, Vec<Sighting>) {
        let (taken, added) = self.admit(all, now);
        (taken, added.into_iter().map(|added| added.sighting).collect())
    }

    /// Reads what other runs have added.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Locked`].
    pub fn refresh(&mut self) -> Result<()> {
        self.locked(|_| Ok(()))
    }

    /// Takes sightings, each with what is known of its value. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: none of them was taken. [`Kind::Locked`].
    pub fn take(&mut self, all: Vec<(Sighting, Standing)>, now: u64) -> Result<Taken> {
        self.locked(|spool| {
            let (taken, added) = spool.admit(all, now);
            let entries: Vec<Entry> = added.into_iter().map(Entry::Add).collect();
            spool.append(&entries, true).map(|()| taken)
        })
    }

    /// The oldest that can be sent, noted as begun: from now on MISP may have them.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Locked`].
    pub fn begin(&mut self, most: usize, skip: &BTreeSet<u64>) -> Result<Vec<Item>> {
        self.locked(|spool| {
            let items = spool.state.oldest(most, skip);
            let begun: Vec<u64> = items.iter().filter(|item| !item.doubtful).map(|item| item.n).collect();
            if !begun.is_empty() {
                spool.write(&[Entry::Begun(begun)], true)?;
            }
            Ok(items)
        })
    }

    /// Notes what became of some. This is not brought to the disk at once: what is lost
    /// of it is asked of MISP again.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Locked`].
    pub fn note(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.locked(|spool| spool.write(entries, false))
    }

    /// Of those that waited for the cache: what it says they are, with their numbers.
    /// Of a value that it does not list that is nothing.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Locked`].
    pub fn checked(&mut self, found: Vec<(u64, Vec<Sighting>)>, now: u64) -> Result<Taken> {
        self.locked(|spool| {
            let all = found.iter().flat_map(|(_, sightings)| sightings.iter().map(|s| (s.clone(), Standing::Listed)));
            // They take the place of what waits, so there is room for them.
            let most = std::mem::replace(&mut spool.most, u64::MAX);
            let (taken, added) = spool.admit(all.collect(), now);
            spool.most = most;
            let mut entries: Vec<Entry> = added.into_iter().map(Entry::Add).collect();
            let (listed, unlisted): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, names)| !names.is_empty());
            let numbers = |some: Vec<(u64, Vec<Sighting>)>| some.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
            for after in [Entry::Sent(numbers(listed)), Entry::Unlisted(numbers(unlisted))] {
                spool.state.apply(after.clone());
                entries.push(after);
            }
            spool.append(&entries, true).map(|()| taken)
        })
    }

    /// Rewrites the file if most of it is past. Only for the one that sends.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Locked`].
    pub fn tidy(&mut self, now: u64) -> Result<()> {
        self.locked(|spool| {
            if !spool.state.is_worth_compacting(spool.offset, now) {
                return Ok(());
            }
            if spool.damaged {
                let kept = spool.path.with_extension("jsonl.damaged");
                fs::copy(&spool.path, &kept).map_err(|e| spool.cannot("be copied", &e))?;
                log::warn!("lines that could not be read are kept in {}", kept.display());
            }
            let text: String = spool.state.compacted(now).iter().map(Entry::encode).collect();
            atomic_file::replace_if_changed(&spool.path, text.as_bytes(), MODE)?;
            spool.read()
        })
    }

    /// Decides about each, in the order they came, and takes in those that wait.
    fn admit(&mut self, all: Vec<(Sighting, Standing)>, now: u64) -> (Taken, Vec<Added>) {
        let (mut taken, mut added) = (Taken::default(), Vec::new());
        for (sighting, standing) in all {
            if self.state.folds(&sighting, standing == Standing::Unchecked) {
                taken.folded += 1;
            } else if let Some(why) = self.state.refused_lately(&sighting, now) {
                taken.refused.push((sighting.subject.text().to_owned(), why.to_owned()));
            } else if self.state.bytes() >= self.most {
                taken.full += 1;
            } else {
                let one = self.state.entry(sighting, standing, now);
                self.state.apply(Entry::Add(one.clone()));
                taken.waiting.push(one.n);
                added.push(one);
            }
        }
        (taken, added)
    }

    /// Does something while no other run reads or writes.
    fn locked<T>(&mut self, job: impl FnOnce(&mut Spool) -> Result<T>) -> Result<T> {
        let _lock = Lock::wait_named(&self.directory, LOCK, PATIENCE)?;
        self.read()?;
        job(self)
    }

    /// Reads what was added since; all of it, if the file is another one.
    fn read(&mut self) -> Result<()> {
        let there = fs::metadata(&self.path).ok().map(|m| (m.dev(), m.ino(), m.len()));
        let ours = self.file.as_ref().and_then(|f| f.metadata().ok()).map(|m| (m.dev(), m.ino()));
        let same = there.zip(ours).is_some_and(|((dev, ino, len), ours)| (dev, ino) == ours && len >= self.offset);
        if !same {
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create(true).mode(MODE).open(&self.path);
            self.file = Some(file.map_err(|e| self.cannot("be opened", &e))?);
            self.offset = 0;
            self.state = State::new(self.window);
            self.damaged = false;
        }
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(|e| self.cannot("be read", &e))?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // A run died while it wrote this line; whoever has the lock now ends it.
            file.write_all(b"\n").map_err(|e| self.cannot("be written", &e))?;
            bytes.push(b'\n');
        }
        self.offset += bytes.len() as u64;
        self.apply(&bytes);
        Ok(())
    }

    fn apply(&mut self, bytes: &[u8]) {
        let mut unread = 0;
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match Entry::decode(line) {
                Some(entry) => self.state.apply(entry),
                None => unread += 1,
            }
        }
        if unread > 0 {
            self.damaged = true;
            log::warn!("{}: {unread} lines cannot be read and are passed over", self.path.display());
        }
    }

    fn write(&mut self, entries: &[Entry], safely: bool) -> Result<()> {
        entries.iter().for_each(|entry| self.state.apply(entry.clone()));
        self.append(entries, safely)
    }

    /// Adds the lines of what is in the state already.
    fn append(&mut self, entries: &[Entry], safely: bool) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let text: String = entries.iter().map(Entry::encode).collect();
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let written = file.write_all(text.as_bytes()).and_then(|()| if safely { file.sync_data() } else { Ok(()) });
        if let Err(e) = written {
            // As if nothing had been written: neither half a line nor a state without its lines.
            let _ = file.set_len(self.offset);
            self.file = None;
            return Err(self.cannot("be written", &e));
        }
        self.offset += text.len() as u64;
        Ok(())
    }

    fn cannot(&self, what: &str, e: &io::Error) -> Error {
        let text = format!("{} cannot {what}: {e} (state.directory; is there room?)", self.path.display());
        Error::new(Kind::CannotWrite, text)
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
