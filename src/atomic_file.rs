//! Replacing a file so that a reader sees the old one or the new one, whole, and
//! only when its bytes differ: Falco reloads its engine at every change.
//!
//! Knows nothing of what is in a file. Every failure leaves the old file as it
//! was and no temporary file behind.

mod rewrite;

pub use rewrite::Rewrite;

use crate::error::{Error, Kind, Result};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// The temporary file's name: hidden, and not ending in `.yaml` or `.yml`, which
/// Falco would read as rules, dotfile or not.
const TEMPORARY_PREFIX: &str = ".misp2memcached-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Puts `contents` at `path` unless just these bytes are there already.
///
/// The new file is written beside the old one, given `mode` whatever the umask
/// says, brought to the disk and renamed. Returns whether anything was written;
/// if not, nothing was touched, not even the file's time.
///
/// # Errors
/// [`Kind::CannotWrite`], with the path and what to change.
pub fn replace_if_changed(path: &Path, contents: &[u8], mode: u32) -> Result<bool> {
    if holds(path, contents)? {
        return Ok(false);
    }
    replace(path, contents, mode).map(|()| true)
}

fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let mut temporary = temporary_for(path)?;
    temporary.write_all(contents).map_err(|e| not_filled(path, &e))?;
    into_place(temporary, path, mode)
}

/// The new file, beside the old one. It goes with any error.
fn temporary_for(path: &Path) -> Result<NamedTempFile> {
    let directory = parent(path);
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .suffix(TEMPORARY_SUFFIX)
        .tempfile_in(directory)
        .map_err(|e| no_room_in(directory, path, &e))
}

/// The new file under its name, once it is safe on the disk.
fn into_place(temporary: NamedTempFile, path: &Path, mode: u32) -> Result<()> {
    let directory = parent(path);
    let file = temporary.as_file();
    file.set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.sync_all())
        .map_err(|e| not_filled(path, &e))?;
    let handle = File::open(directory).map_err(|e| no_room_in(directory, path, &e))?;
    // The temporary file goes with the error.
    temporary.persist(path).map_err(|e| no_room_in(directory, path, &e.error))?;
    match handle.sync_all() {
        // Some file systems cannot sync a directory; the rename itself is done.
        Err(e) if !matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(cannot_write(path, format_args!("replaced, but not safely on the disk: {e}")))
        }
        _ => Ok(()),
    }
}

/// Whether the file at `path` has just these bytes. No file has none.
///
/// # Errors
/// [`Kind::CannotWrite`] where something is at `path` that cannot be read, and so not compared.
pub fn holds(path: &Path, contents: &[u8]) -> Result<bool> {
    let same = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(is_directory(path)),
        Ok(found) if found.len() != contents.len() as u64 => return Ok(false),
        Ok(_) => fs::read(path).map(|present| present == contents),
        Err(e) => Err(e),
    };
    match same {
        Ok(same) => Ok(same),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unreadable(path, &e)),
    }
}

/// Whether `path` could be replaced: its directory is there and takes a new file,
/// and `path` itself is no directory. Leaves no trace: where the file system can,
/// the trial file never has a name, so whoever watches the directory (Falco does,
/// and reloads) sees nothing.
///
/// # Errors
/// [`Kind::CannotWrite`], with the path and what to change.
pub fn probe(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(is_directory(path));
    }
    let directory = parent(path);
    tempfile::tempfile_in(directory).map(drop).map_err(|e| no_room_in(directory, path, &e))
}

/// The directory a path lies in; a bare name lies in the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn cannot_write(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::CannotWrite, format!("cannot write {}: {why}", path.display()))
}

/// The new file cannot be filled.
fn not_filled(path: &Path, e: &io::Error) -> Error {
    let directory = parent(path).display();
    cannot_write(path, format_args!("{e} (is there room on the file system of {directory}?)"))
}

fn unreadable(path: &Path, e: &io::Error) -> Error {
    cannot_write(path, format_args!("the present file cannot be read: {e}; correct its permissions"))
}

fn is_directory(path: &Path) -> Error {
    cannot_write(path, "it is a directory; name a file in it")
}

/// The directory refuses a new file.
fn no_room_in(directory: &Path, path: &Path, e: &io::Error) -> Error {
    let shown = directory.display();
    let advice = match e.kind() {
        io::ErrorKind::NotFound => format!("create the directory {shown} or name another"),
        io::ErrorKind::NotADirectory => format!("{shown} is no directory; name another"),
        // Of what is mounted so, and of systemd's sandbox.
        io::ErrorKind::ReadOnlyFilesystem => format!("name another, or where systemd runs it, ReadWritePaths={shown}"),
        _ => format!("a new file must be possible in the directory {shown}; correct its permissions or name another"),
    };
    cannot_write(path, format_args!("{e}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn refused(result: Result<impl std::fmt::Debug>, path: &Path) -> String {
        let e = result.unwrap_err();
        assert_eq!(e.kind(), Kind::CannotWrite);
        let message = e.to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        message
    }

    #[test]
    fn writes_with_the_mode_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        for (contents, mode) in [(&b"one"[..], 0o644), (b"two", 0o640), (b"", 0o644)] {
            assert!(replace_if_changed(&path, contents, mode).unwrap());
            assert_eq!(fs::read(&path).unwrap(), contents);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
            assert_eq!(names(directory.path()), ["rules.yaml"]);
        }
    }

    #[test]
    fn equal_bytes_touch_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        fs::write(&path, "same").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        File::open(directory.path()).unwrap().set_modified(long_ago).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert!(!replace_if_changed(&path, b"same", 0o600).unwrap());
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mode(), before.ctime()), (after.ino(), after.mode(), after.ctime()));
        assert_eq!(after.modified().unwrap(), long_ago);
        assert_eq!(fs::metadata(directory.path()).unwrap().modified().unwrap(), long_ago);
        // The same length is not the same file.
        assert!(replace_if_changed(&path, b"diff", 0o644).unwrap());
    }

    #[test]
    fn a_reader_that_holds_the_old_file_reads_it_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        fs::write(&path, "the old rules").unwrap();
        let old = File::open(&path).unwrap();
        assert!(replace_if_changed(&path, b"new", 0o644).unwrap());
        assert_eq!(io::read_to_string(old).unwrap(), "the old rules");
    }

    #[test]
    fn a_directory_at_the_path_or_a_missing_one_above_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub");
        fs::create_dir(&path).unwrap();
        assert!(refused(replace_if_changed(&path, b"x", 0o644), &path).contains("is a directory"));
        assert!(refused(probe(&path), &path).contains("is a directory"));
        let path = directory.path().join("missing/rules.yaml");
        assert!(refused(replace_if_changed(&path, b"x", 0o644), &path).contains("create the directory"));
        assert!(refused(probe(&path), &path).contains("create the directory"));
        fs::write(directory.path().join("file"), "x").unwrap();
        let path = directory.path().join("file/rules.yaml");
        assert!(replace_if_changed(&path, b"x", 0o644).is_err());
        assert!(refused(probe(&path), &path).contains("is no directory"));
        assert_eq!(names(directory.path()), ["file", "sub"]);
    }

    /// /proc refuses new files even to root, who passes every permission.
    #[test]
    fn a_directory_that_takes_no_file() {
        let path = PathBuf::from("/proc/misp2memcached-test.yaml");
        refused(replace_if_changed(&path, b"x", 0o644), &path);
        refused(probe(&path), &path);
    }

    /// A run that died before its rename left a temporary file: the old file is
    /// whole, and neither Falco nor the next run minds the remnant.
    #[test]
    fn a_crash_before_the_rename_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        fs::write(&path, "old").unwrap();
        let mut temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .suffix(TEMPORARY_SUFFIX)
            .tempfile_in(directory.path())
            .unwrap();
        temporary.write_all(b"half of the n").unwrap();
        let (_, remnant) = temporary.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let name = remnant.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with('.') && !name.ends_with(".yaml") && !name.ends_with(".yml"), "{name}");
        assert!(replace_if_changed(&path, b"new", 0o644).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    /// The rename fails, since a directory came into being meanwhile.
    #[test]
    fn a_failed_rename_cleans_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        fs::create_dir(&path).unwrap();
        refused(replace(&path, b"x", 0o644), &path);
        assert_eq!(names(directory.path()), ["rules.yaml"]);
    }

    /// Falco watches the directory for new names and reloads: a probe makes none.
    #[test]
    fn a_probe_is_not_seen() {
        const O_TMPFILE: i32 = 0o20_200_000;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.yaml");
        probe(&path).unwrap();
        assert!(names(directory.path()).is_empty());
        if OpenOptions::new().write(true).custom_flags(O_TMPFILE).open(directory.path()).is_err() {
            return; // This file system gives every file a name, if only for a moment.
        }
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::open(directory.path()).unwrap().set_modified(long_ago).unwrap();
        probe(&path).unwrap();
        assert_eq!(fs::metadata(directory.path()).unwrap().modified().unwrap(), long_ago);
    }
}
