//! A ledger that is not what this program wrote: damaged, or of another format. Told
//! from a disk that fails or a file that another run holds, which pass by themselves.
//!
//! It knows what a full pass does with such a file, and nothing of records.

use super::{FILE_NAME, Ledger, Store};
use crate::error::{Error, Kind, Result};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::Path;

/// Name that a damaged file gets, for whoever wants to know why.
const SET_ASIDE: &str = "ledger.redb.damaged";

/// What to do about such a file, `or` something else that is named first.
pub(super) fn advice(or: &str) -> String {
    format!("{or}run `misp2memcached load --full`: it sets the file aside and builds it anew")
}

/// Whether an error of the store says that the file is not what was written. Others
/// pass: no room, no right, too many open files, another process that has it open.
pub(super) fn is_damage(e: &redb::Error) -> bool {
    match e {
        redb::Error::Io(e) => matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        _ => false,
    }
}

impl Ledger {
    /// Opens the ledger for a pass that fetches every event again: one that is
    /// damaged, or of another format, is set aside and begun anew.
    ///
    /// # Errors
    /// As [`Ledger::open`]: what may pass by itself is no reason to give a ledger up.
    pub fn open_or_rebuild(directory: &Path) -> Result<Ledger> {
        let reason = match Ledger::examine(directory)? {
            Ok(ledger) => return Ok(ledger),
            Err(reason) => reason,
        };
        let (path, aside) = (directory.join(FILE_NAME), directory.join(SET_ASIDE));
        log::warn!("{reason}; it is set aside as {} and built anew", aside.display());
        std::fs::rename(&path, &aside).map_err(|e| {
            Error::new(Kind::CannotWrite, format!("{} cannot be renamed to {}: {e}", path.display(), aside.display()))
        })?;
        Ledger::open(directory)
    }

    /// What is wrong with the ledger of a state directory, after a panic while it was
    /// open; `None`: nothing, so the panic had another cause.
    pub fn damage(directory: &Path) -> Option<Error> {
        let reason = Ledger::examine(directory).ok()?.err()?;
        Some(Error::new(Kind::CannotWrite, format!("{reason}; {}", advice(""))))
    }

    /// Holds every page against its checksum, which finds also damage that reads like records.
    fn check_pages(&self) -> Result<()> {
        self.open_for_writing()?;
        let checked = match &mut *self.store.borrow_mut() {
            Store::Writing(database) => database.check_integrity(),
            Store::Reading(_) | Store::Closed => return Err(self.shut()),
        };
        if checked.map_err(|e| self.broken(e))? {
            return Ok(());
        }
        Err(self.unfit("is damaged (a checksum is wrong)".into(), ""))
    }

    /// Opens a ledger and reads all of it. The inner error is the reason why it is not
    /// what this program wrote.
    fn examine(directory: &Path) -> Result<Result<Ledger, String>> {
        // The store panics on some kinds of damage; that is damage too, and no bug of the pass.
        let read = catch_unwind(|| {
            let ledger = Ledger::closed(directory);
            let whole = ledger.begin().and_then(|()| ledger.check_pages());
            let all = whole.and_then(|()| ledger.headers()).and_then(|_| ledger.for_each(|_, _| Ok(())));
            let unfit = ledger.unfit.borrow_mut().take();
            match (all, unfit) {
                (Ok(()), _) => Ok(Ok(ledger)),
                (Err(_), Some(reason)) => Ok(Err(reason)),
                (Err(e), None) => Err(e),
            }
        });
        read.unwrap_or_else(|_| Ok(Err(format!("the ledger {} is damaged", directory.join(FILE_NAME).display()))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::Header;
    use super::super::tests::record;
    use super::super::{Chunks, Ledger};
    use super::*;

    /// Another program has it open, or it is no file: that is no damage, and a full
    /// pass does not give up what the ledger knows.
    #[test]
    fn what_passes_is_no_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let open = Ledger::open(directory.path()).unwrap();
        let change = open.change().unwrap();
        let error = Ledger::open_or_rebuild(directory.path()).err().unwrap();
        assert_eq!(error.kind(), Kind::CannotWrite);
        assert!(!error.to_string().contains("--full"), "{error}");
        assert!(Ledger::damage(directory.path()).is_none());
        drop(change);
        drop(open);
        assert!(path.is_file() && !directory.path().join(SET_ASIDE).exists());
        Ledger::open_or_rebuild(directory.path()).unwrap();

        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Ledger::open_or_rebuild(directory.path()).err().unwrap().kind(), Kind::CannotWrite);
        assert!(path.is_dir() && !directory.path().join(SET_ASIDE).exists());
        let gone = directory.path().join("gone");
        assert_eq!(Ledger::open_or_rebuild(&gone).err().unwrap().kind(), Kind::CannotWrite);
    }

    /// One digit of one value is another: still a good record, but not the one that was written.
    #[test]
    fn damage_that_reads_like_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut change = ledger.change().unwrap();
        let mut chunks = Chunks::default();
        change.put(7, &mut chunks, record("0123456789abcdef0123456789abcdef")).unwrap();
        change.finish(7, chunks).unwrap();
        change.commit().unwrap();
        drop(ledger);
        let path = directory.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        let value = b"0123456789abcdef0123456789abcdef";
        let places: Vec<usize> = (0..bytes.len() - 32).filter(|at| bytes[*at..].starts_with(value)).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at] = b'f');
        std::fs::write(&path, bytes).unwrap();
        let mut read = String::new();
        let damaged = Ledger::open(directory.path()).unwrap();
        damaged
            .for_each(|_, r| {
                read.push_str(r.value);
                Ok(())
            })
            .unwrap();
        drop(damaged);
        assert_eq!(read, "f123456789abcdef0123456789abcdef");
        let rebuilt = Ledger::open_or_rebuild(directory.path()).unwrap();
        assert!(directory.path().join(SET_ASIDE).exists());
        rebuilt.for_each(|_, r| panic!("{r:?}")).unwrap();
    }

    /// Whatever bytes are wrong: a full pass has a ledger to work with.
    #[test]
    fn damage_anywhere_is_rebuilt() {
        let mut rebuilt = 0;
        for seed in 0..40u64 {
            let directory = tempfile::tempdir().unwrap();
            {
                let ledger = Ledger::open(directory.path()).unwrap();
                let mut change = ledger.change().unwrap();
                let mut chunks = Chunks::default();
                for i in 0..3000 {
                    change.put(7, &mut chunks, record(&format!("{i:032x}"))).unwrap();
                }
                change.finish(7, chunks).unwrap();
                change.set_header(7, &Header { records: 3000, ..Header::default() }).unwrap();
                change.commit().unwrap();
            }
            let path = directory.path().join(FILE_NAME);
            let mut bytes = std::fs::read(&path).unwrap();
            // A different part of the file each time, a page's worth of garbage.
            let at = (seed as usize * 104_729) % (bytes.len() - 4096);
            bytes[at..at + 4096].iter_mut().enumerate().for_each(|(i, b)| *b ^= (i as u8) | 1);
            if seed % 5 == 0 {
                bytes.truncate(bytes.len() / 3);
            }
            std::fs::write(&path, &bytes).unwrap();
            let ledger = Ledger::open_or_rebuild(directory.path()).unwrap();
            rebuilt += u32::from(directory.path().join(SET_ASIDE).exists());
            let mut records = 0;
            ledger
                .for_each(|_, _| {
                    records += 1;
                    Ok(())
                })
                .unwrap();
            assert!(records == 0 || records == 3000, "{records}");
            let mut change = ledger.change().unwrap();
            change.set_meta("question", b"x").unwrap();
            change.commit().unwrap();
        }
        assert!(rebuilt > 5, "{rebuilt}");
    }
}
