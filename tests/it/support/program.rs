//! Runs the built program and waits for it, but not for ever.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest run of the program in a test, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run left.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program with these arguments and environment variables (and none of
/// the caller's that it would read). Fails the test when it takes too long.
pub fn run<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Finished {
    finish(&mut command(arguments, environment), PATIENCE)
}

/// The same, to be started by the caller; its input is empty.
pub fn command<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_misp2memcached"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MISP") || text.to_ascii_lowercase().ends_with("_proxy") || text.ends_with("_DIRECTORY") {
            command.env_remove(&name);
        }
    }
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the program by another one, which is given the program's path and arguments
/// behind its own: `["sh", "-c", "ulimit -f 0; exec \"$0\" \"$@\""]`.
pub fn run_by(wrapper: &[&str], arguments: &[&str]) -> Finished {
    let inner = command(arguments, &[]);
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    finish(&mut outer, PATIENCE)
}

/// Runs the program; with the most memory it took, in MiB; not told: 0.
pub fn run_measured<S: AsRef<OsStr>>(arguments: &[S]) -> (Finished, u64) {
    measured(&mut command(arguments, &[]), PATIENCE)
}

fn finish(command: &mut Command, patience: Duration) -> Finished {
    measured(command, patience).0
}

fn measured(command: &mut Command, patience: Duration) -> (Finished, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = std::thread::spawn(move || text_of(stdout));
    let stderr = std::thread::spawn(move || text_of(stderr));
    let begun = Instant::now();
    // The kernel keeps the peak, so that only the last milliseconds are missed.
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            break Some(status);
        }
        peak = peak_of(child.id()).unwrap_or(peak);
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().expect("its output"), stderr.join().expect("its log"));
    let Some(status) = status else {
        panic!("still running after {patience:?}\n-- stdout\n{stdout}\n-- stderr\n{stderr}");
    };
    (Finished { code: status.code(), stdout, stderr }, peak)
}

/// The peak of a process's resident memory in MiB, from Linux.
pub fn peak_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.div_ceil(1024))
}

/// All of a stream; what is no UTF-8 is shown as such.
fn text_of(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn output_and_code_are_told() {
    let shell = |script: &str, patience| finish(Command::new("sh").args(["-c", script]), patience);
    let finished = shell("echo out; echo err >&2; exit 7", PATIENCE);
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (Some(7), "out\n", "err\n"));
    let late = std::panic::catch_unwind(|| shell("echo early; exec sleep 60", Duration::from_millis(200)));
    assert!(late.unwrap_err().downcast_ref::<String>().unwrap().contains("early"));
}

#[test]
fn the_built_program_runs() {
    assert!(run::<&str>(&["--help"], &[("RUST_BACKTRACE", "0")]).code.is_some());
}
