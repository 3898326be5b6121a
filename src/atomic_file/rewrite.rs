//! A file that is too large for memory, replaced as [`super::replace_if_changed`] does:
//! what is written is held against the old file as long as both are the same, and only
//! from the first difference on is there a new one.
//!
//! Knows nothing of what is in a file.

use super::{cannot_write, into_place, is_directory, not_filled, temporary_for, unreadable};
use crate::error::Result;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The new content of a file, given piece by piece. Dropped before its end, it leaves the
/// old file as it was.
#[derive(Debug)]
pub struct Rewrite {
    path: PathBuf,
    mode: u32,
    old: Option<BufReader<File>>,
    /// Bytes that are the old file's.
    same: u64,
    new: Option<BufWriter<NamedTempFile>>,
    piece: Vec<u8>,
}

impl Rewrite {
    /// Begins with nothing written.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]: what is at `path` is no file that can be read,
    /// or the directory takes no new one.
    pub fn begin(path: &Path, mode: u32) -> Result<Rewrite> {
        let old = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(is_directory(path)),
            // Opening a pipe would wait for somebody to write to it.
            Ok(found) if !found.is_file() => return Err(cannot_write(path, "it is no file; take it away")),
            Ok(_) => Some(BufReader::new(File::open(path).map_err(|e| unreadable(path, &e))?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(path, &e)),
        };
        let mut rewrite = Rewrite { path: path.to_owned(), mode, old, same: 0, new: None, piece: Vec::new() };
        if rewrite.old.is_none() {
            rewrite.part()?;
        }
        Ok(rewrite)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]; the old file stays.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.new.is_none() && !self.is_next(bytes)? {
            self.part()?;
        }
        match &mut self.new {
            Some(new) => new.write_all(bytes).map_err(|e| not_filled(&self.path, &e)),
            None => Ok(()),
        }
    }

    /// Whether these are the old file's next bytes; they count as written then.
    fn is_next(&mut self, bytes: &[u8]) -> Result<bool> {
        let Some(old) = &mut self.old else { return Ok(false) };
        self.piece.resize(bytes.len(), 0);
        match old.read_exact(&mut self.piece) {
            Ok(()) if self.piece == bytes => {
                self.same += bytes.len() as u64;
                Ok(true)
            }
            Ok(()) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(unreadable(&self.path, &e)),
        }
    }

    /// Begins a new file with what was the same.
    fn part(&mut self) -> Result<()> {
        let mut new = BufWriter::new(temporary_for(&self.path)?);
        if let Some(old) = self.old.take() {
            let mut old = old.into_inner();
            let copied = old.rewind().and_then(|()| io::copy(&mut old.take(self.same), &mut new));
            if copied.map_err(|e| not_filled(&self.path, &e))? != self.same {
                return Err(cannot_write(&self.path, "somebody else changes it; give the program a file of its own"));
            }
        }
        self.new = Some(new);
        Ok(())
    }

    /// Puts the file in its place, unless it is there with just these bytes. Returns
    /// whether it did.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]; the old file stays.
    pub fn finish(mut self) -> Result<bool> {
        if self.new.is_none() && !self.at_end()? {
            self.part()?;
        }
        let Some(new) = self.new else { return Ok(false) };
        let temporary = new.into_inner().map_err(|e| not_filled(&self.path, e.error()))?;
        into_place(temporary, &self.path, self.mode).map(|()| true)
    }

    fn at_end(&mut self) -> Result<bool> {
        let Some(old) = &mut self.old else { return Ok(true) };
        let mut one = [0];
        old.read(&mut one).map(|read| read == 0).map_err(|e| unreadable(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt;

    fn rewrite(path: &Path, pieces: &[&[u8]]) -> bool {
        let mut rewrite = Rewrite::begin(path, 0o640).unwrap();
        pieces.iter().for_each(|piece| rewrite.write(piece).unwrap());
        rewrite.finish().unwrap()
    }

    fn names(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// As writing it whole would be, and the file is another one only if it has to be.
        #[test]
        fn old_and_new(
            old in proptest::option::of("[ab]{0,8}"),
            pieces in proptest::collection::vec("[ab]{0,3}", 0..5),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("list");
            if let Some(old) = &old {
                fs::write(&path, old).unwrap();
            }
            let before = fs::metadata(&path).ok().map(|m| m.ino());
            let new = pieces.concat();
            let bytes: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            let changed = rewrite(&path, &bytes);
            prop_assert_eq!(changed, old.as_ref() != Some(&new));
            prop_assert_eq!(fs::read_to_string(&path).unwrap(), new);
            let after = fs::metadata(&path).unwrap();
            prop_assert_eq!(before == Some(after.ino()), !changed);
            prop_assert!(!changed || after.mode() & 0o7777 == 0o640);
            prop_assert_eq!(names(directory.path()), 1);
        }
    }

    #[test]
    fn left_before_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        fs::write(&path, "old").unwrap();
        for piece in [&b"ol"[..], b"new"] {
            let mut rewrite = Rewrite::begin(&path, 0o644).unwrap();
            rewrite.write(piece).unwrap();
            drop(rewrite);
            assert_eq!((fs::read(&path).unwrap(), names(directory.path())), (b"old".to_vec(), 1));
        }
    }

    #[test]
    fn what_cannot_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/list");
        for path in [directory.path(), &missing, Path::new("/dev/null"), Path::new("/proc/misp2memcached-test")] {
            let e = Rewrite::begin(path, 0o644).unwrap_err();
            assert_eq!(e.kind(), Kind::CannotWrite);
            assert!(e.to_string().contains(path.to_str().unwrap()), "{e}");
        }
    }

    /// Another one writes to the file that is compared: better no new file than half of one.
    #[test]
    fn an_old_file_that_shrinks_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        fs::write(&path, "x".repeat(100)).unwrap();
        let mut rewrite = Rewrite::begin(&path, 0o644).unwrap();
        rewrite.write(&[b'x'; 50]).unwrap();
        fs::write(&path, "x").unwrap();
        let e = rewrite.write(b"new").unwrap_err();
        assert!(e.to_string().contains("somebody else"), "{e}");
        assert_eq!((fs::read(&path).unwrap(), names(directory.path())), (b"x".to_vec(), 1));
    }
}
