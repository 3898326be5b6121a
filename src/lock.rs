//! One run at a time: a lock on a file in the state directory.

use crate::error::{Error, Kind, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Name of the lock file; it stays, only its lock comes and goes.
const FILE_NAME: &str = "lock";

/// How soon a lock that is held is tried again.
const POLL: Duration = Duration::from_millis(10);

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a state directory.
    ///
    /// # Errors
    /// [`Kind::Locked`]: another run holds it. [`Kind::CannotWrite`]: the file cannot be made.
    pub fn take(directory: &Path) -> Result<Lock> {
        let held = || held(&directory.join(FILE_NAME), "; where `follow` runs, it makes the passes itself");
        Lock::take_named(directory, FILE_NAME)?.ok_or_else(held)
    }

    /// Takes another lock of a state directory, if nobody holds it.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be made.
    pub fn take_named(directory: &Path, name: &str) -> Result<Option<Lock>> {
        let path = directory.join(name);
        let cannot = |e: std::io::Error| {
            let shown = path.display();
            let text = format!("state.directory: the lock {shown} cannot be taken: {e}; it has to be this user's");
            Error::new(Kind::CannotWrite, text)
        };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(cannot(e)),
        }
    }

    /// The same for one that is held for moments only: waits so long for it.
    ///
    /// # Errors
    /// Those of [`Lock::take`].
    pub fn wait_named(directory: &Path, name: &str, patience: Duration) -> Result<Lock> {
        let begun = Instant::now();
        loop {
            match Lock::take_named(directory, name)? {
                Some(lock) => return Ok(lock),
                None if begun.elapsed() > patience => return Err(held(&directory.join(name), "")),
                None => thread::sleep(POLL),
            }
        }
    }
}

fn held(path: &Path, more: &str) -> Error {
    let text = format!(
        "another run of misp2memcached is under way: wait until it ends, or stop it (`fuser -v {}` shows which it is){more}",
        path.display()
    );
    Error::new(Kind::Locked, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_is_turned_away() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        let turned_away = Lock::take(directory.path()).unwrap_err();
        assert_eq!(turned_away.kind(), Kind::Locked);
        for words in ["wait until it ends", "fuser -v ", "/lock`", "`follow`"] {
            assert!(turned_away.to_string().contains(words), "{turned_away}");
        }
        drop(first);
        Lock::take(directory.path()).unwrap();
        let other = Lock::take_named(directory.path(), "other").unwrap();
        assert!(other.is_some() && Lock::take_named(directory.path(), "other").unwrap().is_none());
        let waited = Lock::wait_named(directory.path(), "other", Duration::from_millis(20));
        assert_eq!(waited.unwrap_err().kind(), Kind::Locked);
        drop(other);
        Lock::wait_named(directory.path(), "other", Duration::from_millis(20)).unwrap();
        assert_eq!(Lock::take(Path::new("/nonexistent")).unwrap_err().kind(), Kind::CannotWrite);
    }
}
