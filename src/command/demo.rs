//! `demo`: the whole way shown in half a minute, with a sample MISP in this
//! process and a real memcached of its own. Nothing of it stays.

use super::lookup::as_table;
use super::print;
use crate::cache::fleet::Fleet;
use crate::cache::server::Server;
use crate::config::{self, Config, Sources};
use crate::demo::story::{self, Story};
use crate::demo::{SampleMisp, World};
use crate::error::{Error, Kind, Result};
use crate::misp::client::local_now;
use crate::pass::progress::Progress;
use crate::pass::run::{Options, run as pass};
use crate::report::Report;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long the demo's memcached may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The key of the sample MISP: it opens nothing else.
const KEY: &str = "demo-key-of-the-sample-misp";

pub(super) fn run() -> Result<u8> {
    let directory =
        tempfile::tempdir().map_err(|e| Error::new(Kind::CannotWrite, format!("a temporary directory: {e}")))?;
    let socket = directory.path().join("memcached.sock");
    let _memcached = Memcached::start(&socket)?;
    let mut world = World::new();
    let story = story::fill(&mut world, local_now());
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| unusable(&e))?;
    let misp = SampleMisp::start(listener, Arc::new(Mutex::new(world)), KEY).map_err(|e| unusable(&e))?;
    let config = configuration(directory.path(), &socket, &misp)?;
    let mut demo = Demo { fleet: Fleet::open(&config.memcached)?, config, misp, directory: directory.path() };
    demo.tell(story)?;
    Ok(0)
}

fn unusable(e: &io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("the sample MISP cannot listen on the loopback interface: {e}"))
}

/// The demo's configuration, by way of a file as everybody's.
fn configuration(directory: &Path, socket: &Path, misp: &SampleMisp) -> Result<Config> {
    let falco = directory.join("falco");
    let file = directory.join("misp2memcached.yaml");
    let text = format!(
        "memcached: {{host: {:?}}}\nmisp: {{url: {:?}, token: {KEY:?}}}\nfalco: {{enabled: true, directory: {falco:?}, allow_private: true, falco_binary: \"\"}}\nstate: {{directory: {:?}}}\n",
        socket,
        misp.url(),
        directory.join("state"),
    );
    let written = fs::create_dir(&falco).and_then(|()| fs::write(&file, text));
    written.map_err(|e| Error::new(Kind::CannotWrite, format!("{}: {e}", file.display())))?;
    Ok(config::load(&Sources { file: Some(file), ..Sources::default() })?.config)
}

struct Demo<'a> {
    config: Config,
    fleet: Fleet,
    misp: SampleMisp,
    directory: &'a Path,
}

impl Demo<'_> {
    fn tell(&mut self, story: Story) -> Result<()> {
        let events = self.misp.world().events().count();
        say(&format!(
            "1. A sample MISP with {events} events answers in this process; a real memcached was started beside it."
        ))?;

        say("2. The first pass: memcached has no misp-stats, so everything of the initial window is loaded.")?;
        show(&self.pass()?.table())?;

        say(
            "3. What a log line would find. Values are folded as they occur in logs: hashes in any case, defanged names and URLs, hosts below a listed domain, addresses within a listed network.",
        )?;
        let hash = format!("SHA256={}", story::sha256(3).to_uppercase());
        let seen = [
            hash.as_str(),
            "hxxp://update-check[.]example/gate.php?id=1",
            "WWW.Update-Check.Example.",
            "198.51.100.17",
            "2001:0DB8:0066:0000:0000:0000:0000:0080",
            story::OLD_SERVER,
            story::FALSE_ALARM,
            "www.example.org",
        ];
        self.look_up(&seen)?;

        say(&format!(
            "4. In MISP an analyst corrects {} to {} and deletes event {} as a false alarm. Deleting leaves no trace that a time window could show.",
            story::OLD_SERVER,
            story::NEW_SERVER,
            story.false_alarm
        ))?;
        {
            let mut world = self.misp.world();
            world.edit_value(story.server, story::NEW_SERVER, local_now());
            world.publish(story.servers, local_now());
            world.delete_event(story.false_alarm);
        }

        say("5. The next pass fetches the one event that changed and takes out what is gone.")?;
        show(&self.pass()?.table())?;
        self.look_up(&[story::OLD_SERVER, story::NEW_SERVER, story::FALSE_ALARM])?;

        say("6. The same pass wrote Falco's rules: addresses our hosts must not talk to, one rule per direction.")?;
        let rules = self.directory.join("falco").join(&self.config.falco.file);
        let text =
            fs::read_to_string(&rules).map_err(|e| Error::new(Kind::Bug, format!("{}: {e}", rules.display())))?;
        let lists: Vec<&str> = text.lines().skip_while(|l| !l.starts_with("- list")).take(14).collect();
        show(&format!("{}\n...\n", lists.join("\n")))?;

        say("7. memcached is emptied, as by a restart: the next pass refills it from its ledger.")?;
        self.fleet.each(Server::flush)?;
        let report = self.pass()?;
        show(&format!("{}\n", report.line()))?;
        self.look_up(&[story::NEW_SERVER])?;

        say("That is all. Point it at your own MISP: misp2memcached.example.yaml says how.")
    }

    fn pass(&self) -> Result<Report> {
        let state = self.directory.join("state");
        pass(&self.config, &state, Options::default(), &Progress::new(false), &mut io::sink())
    }

    fn look_up(&mut self, values: &[&str]) -> Result<()> {
        let table = as_table(&mut self.fleet, values, &self.config.misp.url)?;
        show(&table)?;
        Ok(())
    }
}

fn say(text: &str) -> Result<()> {
    print(format!("\n==> {text}\n").as_bytes()).map(drop)
}

fn show(text: &str) -> Result<()> {
    let indented: String =
        text.lines().map(|l| if l.is_empty() { "\n".into() } else { format!("    {l}\n") }).collect();
    print(indented.as_bytes()).map(drop)
}

/// A memcached that ends with the demo.
struct Memcached(Child);

impl Memcached {
    fn start(socket: &Path) -> Result<Memcached> {
        let program = find("memcached").ok_or_else(|| {
            Error::new(
                Kind::Unavailable,
                "no memcached is on the PATH; install it (Debian, Ubuntu: apt install memcached)",
            )
        })?;
        let mut command = Command::new(program);
        command.arg("-s").arg(socket).args(["-m", "64", "-u", "root"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().map_err(|e| Error::new(Kind::Unavailable, format!("memcached cannot be started: {e}")))?;
        let mut memcached = Memcached(child);
        let start = Instant::now();
        while UnixStream::connect(socket).is_err() {
            let ended = memcached.0.try_wait().ok().flatten();
            if ended.is_some() || start.elapsed() > START_TIMEOUT {
                return Err(Error::new(Kind::Unavailable, "the demo's memcached did not start"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(memcached)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(program)).find(|p| p.is_file())
}
