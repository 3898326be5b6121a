//! Events that MISP could not take, one file each in the state directory, until a later
//! run sends them, oldest first.
//!
//! A file is written whole or not at all, and is gone only after MISP has answered; an
//! event that two runs send is one event to MISP. No lock is needed, and no key is kept.

use crate::atomic_file::replace_if_changed;
use crate::error::{Error, Kind, Result};
use crate::misp::draft::Draft;
use crate::state;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The directory's name in the state directory.
const DIRECTORY: &str = "share";

/// Events that wait at most: some kilobytes each, and weeks of detections of a site.
const MAX_WAITING: usize = 10_000;

/// Only its owner reads it: it holds what is not shared yet.
const MODE: u32 = 0o600;

/// What a file holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Which MISP it is for.
    url: String,
    /// Whether it is to be published.
    pub(super) publish: bool,
    /// The event.
    pub(super) draft: Draft,
}

/// The directory of waiting events of one MISP.
pub(super) struct Spool {
    directory: PathBuf,
    url: String,
    written: u64,
    /// The files as they were last listed, and those that were written since.
    known: Vec<PathBuf>,
}

impl Spool {
    /// The spool in this state directory for the MISP at `url`.
    pub(super) fn new(state: &Path, url: &str) -> Spool {
        Spool { directory: state.join(DIRECTORY), url: url.to_owned(), written: 0, known: Vec::new() }
    }

    /// Where it is, for messages.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps an event, unless it waits already: a beacon goes on while MISP is down.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the directory cannot be written, or is full.
    pub(super) fn keep(&mut self, draft: Draft, publish: bool) -> Result<()> {
        state::make(&self.directory)?;
        let of_it = format!("-{}.json", draft.uuid);
        let same = self.known.iter().filter(|file| file.to_string_lossy().ends_with(&of_it));
        if same.filter_map(|file| self.read(file)).any(|w| w.publish == publish && covers(&w.draft, &draft)) {
            return Ok(());
        }
        if self.known.len() >= MAX_WAITING {
            let text = format!(
                "{}: {MAX_WAITING} events wait already; see why MISP does not take them, or remove the oldest files",
                self.directory.display()
            );
            return Err(Error::new(Kind::CannotWrite, text));
        }
        let waiting = Waiting { url: self.url.clone(), publish, draft };
        let bytes = serde_json::to_vec(&waiting).map_err(|e| Error::new(Kind::Bug, format!("JSON: {e}")))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.written += 1;
        // In the order of time, and no two runs write the same one.
        let file = self.directory.join(format!("{now:016}-{:08}-{}{of_it}", self.written, std::process::id()));
        replace_if_changed(&file, &bytes, MODE)?;
        self.known.push(file);
        Ok(())
    }

    /// The files, oldest first.
    pub(super) fn files(&mut self) -> Vec<PathBuf> {
        self.known = listed(&self.directory);
        self.known.clone()
    }

    /// What a file holds; `None`: another run has sent it, it is for another MISP, or it
    /// is damaged, which is said and the file put aside.
    pub(super) fn read(&self, file: &Path) -> Option<Waiting> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return None,
            Err(e) => {
                log::error!("{}: {e}", file.display());
                return None;
            }
        };
        match serde_json::from_slice::<Waiting>(&bytes) {
            Ok(waiting) if waiting.url == self.url => Some(waiting),
            Ok(_) => None,
            Err(e) => {
                log::error!("{}: no event is in it ({e}); it is put aside as .damaged", file.display());
                // If even that fails it is said again at the next run.
                let _ = fs::rename(file, file.with_extension("damaged"));
                None
            }
        }
    }

    /// Removes a file: MISP has its event, or has said that it will not have it.
    pub(super) fn done(&self, file: &Path) {
        if let Err(e) = fs::remove_file(file)
            && e.kind() != ErrorKind::NotFound
        {
            log::error!("{}: {e}; its event will be sent again, which does no harm", file.display());
        }
    }
}

/// The files of all events that wait in this state directory, oldest first.
pub(super) fn files(state: &Path) -> Vec<PathBuf> {
    listed(&state.join(DIRECTORY))
}

fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    files
}

/// Whether an event that waits has all attributes of another detection of it.
fn covers(waiting: &Draft, draft: &Draft) -> bool {
    draft.attributes.iter().all(|a| waiting.attributes.iter().any(|w| w.uuid == a.uuid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn draft(uuid: &str) -> Draft {
        let json = format!(
            r#"{{"uuid": "{uuid}", "info": "i", "threat_level_id": 1, "analysis": 0, "distribution": 0, "Attribute": []}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn oldest_first_and_each_for_its_misp() {
        let state = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(state.path(), "https://a.example");
        assert!(spool.files().is_empty());
        for uuid in ["3", "1", "2"] {
            spool.keep(draft(uuid), true).unwrap();
        }
        spool.keep(draft("1"), true).unwrap();
        Spool::new(state.path(), "https://b.example").keep(draft("b"), false).unwrap();
        let files = spool.files();
        let order: Vec<String> = files.iter().filter_map(|f| spool.read(f)).map(|w| w.draft.uuid).collect();
        assert_eq!(order, ["3", "1", "2"]);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, MODE);
        spool.done(&files[0]);
        spool.done(&files[0]);
        assert!(spool.read(&files[0]).is_none());
        assert_eq!(spool.files().len(), 3);
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let state = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(state.path(), "u");
        spool.keep(draft("1"), true).unwrap();
        let file = spool.files().remove(0);
        fs::write(&file, "{").unwrap();
        assert!(spool.read(&file).is_none() && spool.files().is_empty());
        assert!(file.with_extension("damaged").exists());
    }

    #[test]
    fn it_is_bounded() {
        let state = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(state.path(), "u");
        state::make(spool.directory()).unwrap();
        for i in 0..MAX_WAITING {
            fs::write(spool.directory().join(format!("{i}.json")), "").unwrap();
        }
        assert_eq!(spool.files().len(), MAX_WAITING);
        let error = spool.keep(draft("1"), true).unwrap_err();
        assert_eq!(error.kind(), Kind::CannotWrite);
        assert!(error.to_string().contains("10000 events wait already"), "{error}");
    }
}
