//! The file of the ledger, made if need be, and who may read it. Knows nothing of
//! what is in it.

use redb::DatabaseError;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A new file is its owner's alone, whoever may enter the state directory: what an
/// organisation watches for is not for every account of the machine.
const MODE: u32 = 0o600;

/// The file for reading and writing; one that is there keeps its mode.
pub(super) fn open(path: &Path) -> Result<File, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path);
    file.map_err(DatabaseError::from)
}

#[cfg(test)]
mod tests {
    use crate::ledger::{FILE_NAME, Ledger};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// Whoever may enter the state directory; a file that is there keeps its mode,
    /// as the operator may have given it to a group.
    #[test]
    fn a_new_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join(FILE_NAME);
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(Ledger::open(directory.path()).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        Ledger::open(directory.path()).unwrap().change().unwrap().commit().unwrap();
        assert_eq!(mode(), 0o640);
        // What is built anew is a new file.
        std::fs::write(&path, "no ledger").unwrap();
        drop(Ledger::open_or_rebuild(directory.path()).unwrap());
        assert_eq!(mode(), 0o600);
    }
}
