//! Asking a falco whether it would take a rules file, before the file is put where
//! it is read: at its start Falco stops at the first file it cannot load.
//!
//! Knows how to find and run falco, and nothing of rules. The candidate lies in a
//! temporary directory meanwhile, since all that ends in `.yaml` in the rules
//! directory is read.

use crate::error::{Error, Kind, Result};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{env, iter, thread};

/// How long falco may take: a million addresses cost it 25 seconds of CPU, and the
/// machine may have better things to do.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How often a running falco is looked after.
const POLL: Duration = Duration::from_millis(10);

/// How long to wait for the end of falco's output after its own end: a child of
/// its own may hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// Output that is kept; the rest is read and dropped, so that falco never blocks.
const MAX_OUTPUT: usize = 16 * 1024;

/// Lines of output, and characters of each, that an error message quotes: falco
/// says where and why in the first few, and then prints the place.
const QUOTED_LINES: usize = 12;
const QUOTED_CHARS: usize = 300;

/// What is known of a rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// This falco takes it.
    Passed(PathBuf),
    /// There is no falco: none on the PATH, or none at the configured path.
    NotFound,
    /// `falco.falco_binary: ""` asks for no check.
    Off,
    /// It is the file that is in place; it was checked when it was written.
    Unchanged,
}

/// Has falco validate `text`. `binary` is `falco.falco_binary`.
///
/// # Errors
/// [`Kind::CannotWrite`] where falco refuses the file, cannot be run or takes too long.
pub fn validate(binary: Option<&Path>, text: &[u8]) -> Result<Checked> {
    if binary.is_some_and(|path| path.as_os_str().is_empty()) {
        return Ok(Checked::Off);
    }
    match find(binary, env::var_os("PATH").as_deref()) {
        Some(falco) => run(&falco, text, TIME_LIMIT).map(|()| Checked::Passed(falco)),
        None => Ok(Checked::NotFound),
    }
}

/// The falco to run: the configured one if it is there, else the first of the search path.
pub(super) fn find(binary: Option<&Path>, search: Option<&OsStr>) -> Option<PathBuf> {
    let runs = |path: &Path| fs::metadata(path).is_ok_and(|found| executable(&found));
    match binary {
        Some(path) => runs(path).then(|| path.to_owned()),
        None => env::split_paths(search?).filter(|d| d.is_absolute()).map(|d| d.join("falco")).find(|path| runs(path)),
    }
}

fn executable(found: &Metadata) -> bool {
    found.is_file() && found.permissions().mode() & 0o111 != 0
}

fn run(falco: &Path, text: &[u8], limit: Duration) -> Result<()> {
    let candidate = candidate(text).map_err(|e| {
        let directory = env::temp_dir();
        failed(falco, format_args!("no temporary file in {}: {e}; make room or set TMPDIR", directory.display()))
    })?;
    let mut command = Command::new(falco);
    // MISP's key may stand in the environment, or in a directory that it names.
    let secret = |name: &OsStr| name.as_encoded_bytes().starts_with(b"MISP") || name == "CREDENTIALS_DIRECTORY";
    for (name, _) in env::vars_os().filter(|(name, _)| secret(name)) {
        command.env_remove(name);
    }
    let mut child = command
        .arg("-V")
        .arg(candidate.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(falco, e))?;
    let output = Output::of(&mut child);
    match wait(&mut child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => {
            let told = if status.code() == Some(1) { "refuses".into() } else { format!("ended with {status} over") };
            Err(Error::new(
                Kind::CannotWrite,
                format!(
                    "{} {told} the new rules file; the old one stays. It says:\n{}",
                    falco.display(),
                    output.quote()
                ),
            ))
        }
        Ok(None) => Err(failed(falco, format_args!("no answer within {} seconds", limit.as_secs()))),
        Err(e) => Err(failed(falco, e)),
    }
}

/// A file with a name that falco takes for rules; it goes when dropped.
fn candidate(text: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("misp2memcached-").suffix(".yaml").tempfile()?;
    io::Write::write_all(&mut file, text)?;
    Ok(file)
}

/// The status, or nothing where the child had to be stopped.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            // It may have ended just now: then there is nothing to stop.
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn failed(falco: &Path, why: impl std::fmt::Display) -> Error {
    let falco = falco.display();
    Error::new(
        Kind::CannotWrite,
        format!(
            "{falco} cannot check the new rules file: {why}. The old one stays; \
             correct falco.falco_binary, or set it to \"\" to go without the check"
        ),
    )
}

/// What falco writes to both its outputs, as much as is kept.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Output {
    fn of(child: &mut Child) -> Output {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = mpsc::channel();
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        for mut pipe in stdout.into_iter().chain(stderr) {
            let (kept, end) = (Arc::clone(&kept), end.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = MAX_OUTPUT - kept.len();
                    kept.extend_from_slice(&buffer[..n.min(room)]);
                }
                drop(end);
            });
        }
        Output { kept, ended }
    }

    /// The first lines, without what a terminal would obey.
    fn quote(self) -> String {
        // Nothing is ever sent: both readers have ended when the channel closes.
        let _ = self.ended.recv_timeout(OUTPUT_GRACE);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let shown = lines.by_ref().take(QUOTED_LINES).map(|line| {
            let clean: String = line.chars().filter(|c| !c.is_control()).take(QUOTED_CHARS).collect();
            format!("    {clean}")
        });
        let shown: Vec<String> = shown.collect();
        let more = lines.next().map(|_| "    ...".to_owned());
        if shown.is_empty() {
            return "    (nothing)".into();
        }
        shown.into_iter().chain(iter::once(more).flatten()).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::ffi::OsString;

    /// A falco that is a shell script. Another process writes it: were it open for
    /// writing here while a test beside this one starts its own child, it could
    /// not be run ("text file busy").
    pub(in crate::falco) fn fake(directory: &Path, script: &str) -> PathBuf {
        let path = directory.join("falco");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let status = Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap();
        assert!(status.success());
        path
    }

    fn refusal(result: Result<Checked>) -> String {
        let e = result.unwrap_err();
        assert_eq!(e.kind(), Kind::CannotWrite);
        e.to_string()
    }

    #[test]
    fn a_falco_that_takes_it() {
        let directory = tempfile::tempdir().unwrap();
        // Called as `falco -V FILE.yaml`, with the text, outside the rules directory.
        let seen = directory.path().join("seen");
        let script = format!(
            r#"[ "$#" = 2 ] && [ "$1" = -V ] || exit 3; case "$2" in *.yaml) cat "$2" > '{0}'; echo "$2" > '{0}.name';; esac"#,
            seen.display()
        );
        let falco = fake(directory.path(), &script);
        assert_eq!(validate(Some(&falco), b"- list: x\n").unwrap(), Checked::Passed(falco));
        assert_eq!(fs::read(&seen).unwrap(), b"- list: x\n");
        let name = fs::read_to_string(directory.path().join("seen.name")).unwrap();
        assert!(!Path::new(name.trim()).exists(), "the candidate goes");
    }

    #[test]
    fn a_falco_that_refuses_is_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let script = r"echo '1 Error: In rules content'; printf 'bad \033[31mitem\n' >&2; exit 1";
        let falco = fake(directory.path(), script);
        let message = refusal(validate(Some(&falco), b"x"));
        assert!(message.contains("refuses the new rules file; the old one stays"), "{message}");
        assert!(message.contains("    1 Error: In rules content"), "{message}");
        assert!(message.contains("    bad [31mitem"), "{message}");
        assert!(message.contains(falco.to_str().unwrap()), "{message}");
    }

    #[test]
    fn other_ends() {
        let directory = tempfile::tempdir().unwrap();
        let falco = fake(directory.path(), "exit 1");
        assert!(refusal(validate(Some(&falco), b"x")).ends_with("(nothing)"));
        let falco = fake(directory.path(), "exit 7");
        assert!(refusal(validate(Some(&falco), b"x")).contains("exit status: 7"));
        let falco = fake(directory.path(), "kill -9 $$");
        assert!(refusal(validate(Some(&falco), b"x")).contains("signal: 9"));
        // An interpreter that is not there.
        let other = directory.path().join("other");
        let status = Command::new("sh")
            .args(["-c", r#"echo '#!/no/such/interpreter' > "$0" && chmod 755 "$0""#])
            .arg(&other)
            .status();
        assert!(status.unwrap().success());
        assert!(refusal(validate(Some(&other), b"x")).contains("falco.falco_binary"));
    }

    #[test]
    fn endless_output_is_drained_and_cut() {
        let directory = tempfile::tempdir().unwrap();
        let falco = fake(directory.path(), "yes 0123456789 | head -c 2000000; exit 1");
        let message = refusal(validate(Some(&falco), b"x"));
        assert!(message.ends_with("\n    ..."), "{message}");
        assert!(message.len() < 1000, "{}", message.len());
    }

    #[test]
    fn a_falco_that_hangs_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let falco = fake(directory.path(), "exec sleep 60");
        let started = Instant::now();
        let e = run(&falco, b"x", Duration::from_millis(100)).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(e.kind(), Kind::CannotWrite);
        assert!(e.to_string().contains("no answer within"), "{e}");
    }

    /// A child of falco's that lives on holds the pipe; its end is not waited for.
    #[test]
    fn a_grandchild_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let falco = fake(directory.path(), "sleep 15 & echo told; exit 1");
        let started = Instant::now();
        assert!(refusal(validate(Some(&falco), b"x")).ends_with("    told"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn where_a_falco_is_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        let (empty, full) = (directory.path().join("empty"), directory.path().join("full"));
        for d in [&empty, &full] {
            fs::create_dir(d).unwrap();
        }
        let falco = fake(&full, "exit 0");
        let search = env::join_paths([&empty, &full]).unwrap();
        assert_eq!(find(None, Some(&search)), Some(falco.clone()));
        assert_eq!(find(None, Some(empty.as_os_str())), None);
        assert_eq!(find(None, Some(&OsString::new())), None);
        assert_eq!(find(None, None), None);
        // What is configured is not looked for elsewhere.
        assert_eq!(find(Some(&falco), None), Some(falco.clone()));
        assert_eq!(find(Some(&empty.join("falco")), Some(&search)), None);
        assert_eq!(find(Some(&full), Some(&search)), None, "a directory");
        fs::write(empty.join("falco"), "no program").unwrap();
        assert_eq!(find(None, Some(&search)), Some(falco), "a file that cannot be run");
        assert_eq!(validate(Some(&directory.path().join("none")), b"x").unwrap(), Checked::NotFound);
        assert_eq!(validate(Some(Path::new("")), b"x").unwrap(), Checked::Off);
    }
}
