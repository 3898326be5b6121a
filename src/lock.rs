//! One run at a time: a lock on a file in the state directory.

use crate::error::{Error, Kind, Result};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Name of the lock file; it stays, only its lock comes and goes.
const FILE_NAME: &str = "lock";

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
        let path = directory.join(FILE_NAME);
        let cannot = |e: std::io::Error| {
            let text = format!("state.directory: the lock {} cannot be taken: {e}", path.display());
            Error::new(Kind::CannotWrite, text)
        };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another run of misp2memcached is under way (it holds {})", path.display());
                Err(Error::new(Kind::Locked, text))
            }
            Err(TryLockError::Error(e)) => Err(cannot(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_is_turned_away() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        assert_eq!(Lock::take(directory.path()).unwrap_err().kind(), Kind::Locked);
        drop(first);
        Lock::take(directory.path()).unwrap();
        assert_eq!(Lock::take(Path::new("/nonexistent")).unwrap_err().kind(), Kind::CannotWrite);
    }
}
