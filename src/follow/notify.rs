//! What systemd is told: ready, status, and that the watchdog need not bite
//! (sd_notify(3), the protocol of `$NOTIFY_SOCKET`).

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A writer that has not come round for so long hangs. It comes round several times a
/// second but for a pass, which has its own time-outs.
const HANGS: Duration = Duration::from_secs(60);

/// While the first pass runs the start is given so much more time, again and again.
const EXTENSION: Duration = Duration::from_secs(60);

/// systemd, if it started us and wants to know.
#[derive(Clone)]
pub struct Notify(Option<Arc<Line>>);

struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
    started: Instant,
    ready: AtomicBool,
    in_pass: AtomicBool,
    /// Milliseconds from `started` to the writer's last round.
    round: AtomicU64,
}

impl Notify {
    /// As the environment says.
    pub fn from_environment() -> Notify {
        let Some(line) = env::var_os("NOTIFY_SOCKET").and_then(|path| open(path.to_str()?)) else {
            return Notify(None);
        };
        let line = Arc::new(line);
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        let beat = Arc::clone(&line);
        thread::spawn(move || beat.run(watchdog));
        Notify(Some(line))
    }

    /// The first pass was made, or tried, and messages are being applied.
    pub fn ready(&self) {
        if let Some(line) = &self.0
            && !line.ready.swap(true, Ordering::Relaxed)
        {
            line.send("READY=1");
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The writer came round.
    pub fn round(&self) {
        if let Some(line) = &self.0 {
            line.round.store(line.age(), Ordering::Relaxed);
        }
    }

    /// A pass begins or ends.
    pub fn in_pass(&self, is: bool) {
        if let Some(line) = &self.0 {
            line.in_pass.store(is, Ordering::Relaxed);
        }
        self.round();
    }

    fn send(&self, text: &str) {
        if let Some(line) = &self.0 {
            line.send(text);
        }
    }
}

fn open(path: &str) -> Option<Line> {
    let to = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    Some(Line {
        socket: UnixDatagram::unbound().ok()?,
        to: to.ok()?,
        started: Instant::now(),
        ready: AtomicBool::new(false),
        in_pass: AtomicBool::new(false),
        round: AtomicU64::new(0),
    })
}

impl Line {
    fn age(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn send(&self, text: &str) {
        // Where systemd does not listen there is nobody to tell.
        let _ = self.socket.send_to_addr(text.as_bytes(), &self.to);
    }

    fn run(&self, watchdog: Option<Duration>) {
        let pause = watchdog.unwrap_or(EXTENSION).min(EXTENSION) / 3;
        loop {
            let silent = Duration::from_millis(self.age().saturating_sub(self.round.load(Ordering::Relaxed)));
            if self.in_pass.load(Ordering::Relaxed) || silent < HANGS {
                if watchdog.is_some() {
                    self.send("WATCHDOG=1");
                }
                if !self.ready.load(Ordering::Relaxed) {
                    self.send(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
                }
            }
            thread::sleep(pause);
        }
    }
}
