//! One MISP, one memcached and one configuration with Falco's file on, the worlds
//! they are shown, and the comparison of all that was written with the model.

use super::KEY;
use super::config::Configuration;
use super::memcached::Memcached;
use super::model::expected;
use super::program::{Finished, run};
use misp2memcached::demo::{Attribute, Event, Options, Request, Response, SampleMisp, World, answer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// The program's own keys: no indicators.
pub const OWN: [&str; 4] = ["misp-stats", "misp-last-load", "misp-networks", "misp-namespaces"];

/// The system's clock, which is also the sample's.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970").as_secs()
}

/// Where MISP lists its events.
pub const INDEX: &str = "/events/index";

/// Where MISP gives attributes.
pub const SEARCH: &str = "/attributes/restSearch";

/// The event ids that an attribute search asks for.
pub fn asked(request: &Request) -> Vec<u64> {
    body(request)["eventid"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// The rows of a page that an attribute search asks for.
pub fn limit(request: &Request) -> u64 {
    body(request)["limit"].as_u64().expect("a limit")
}

/// The number of the page that an attribute search asks for.
pub fn page(request: &Request) -> Option<u64> {
    body(request)["page"].as_u64()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// Keys and values.
pub type Held = BTreeMap<String, String>;

/// What memcached holds, and Falco's directory.
pub type Outside = (Held, BTreeMap<String, String>);

/// What one test works on.
pub struct Scene {
    pub misp: SampleMisp,
    pub memcached: Memcached,
    pub configuration: Configuration,
    world: Arc<Mutex<World>>,
}

impl Scene {
    /// A world, an empty memcached, an empty state directory. `yaml` holds lines of
    /// the configuration's `misp` section.
    pub fn new(world: World, yaml: &str) -> Scene {
        let world = Arc::new(Mutex::new(world));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let misp = SampleMisp::start(listener, world.clone(), KEY).expect("an address");
        let memcached = Memcached::start(&["-t", "1"]);
        let mut configuration = Configuration::new(&misp, &memcached);
        let falco = configuration.directory().join("falco");
        fs::create_dir(&falco).expect("a directory for Falco's file");
        configuration.misp(yaml).extra(&falco_section(&falco));
        let scene = Scene { misp, memcached, configuration, world };
        scene.configuration.write();
        scene
    }

    /// What MISP has, to look at or to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.misp.world()
    }

    /// The same, for a fault that changes it while it is asked for.
    pub fn shared_world(&self) -> Arc<Mutex<World>> {
        self.world.clone()
    }

    /// The right answer to a request, for whoever spoils it.
    pub fn answers(&self) -> impl Fn(&Request) -> Response + Send + Sync + 'static {
        let world = self.world.clone();
        move |request| answer(request, &world.lock().expect("a world"), &Options::new(KEY, now()))
    }

    /// The path of the configuration file.
    pub fn file(&self) -> String {
        self.configuration.directory().join("misp2memcached.yaml").display().to_string()
    }

    /// Runs the program with this configuration.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let file = self.file();
        run(&[&["--config", &file], arguments].concat(), &[])
    }

    /// A pass that has to go well and to leave everything as the world is.
    pub fn good(&self, what: &str) {
        let finished = self.run(&["load"]);
        assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
        self.exact(what);
    }

    /// Fails unless memcached and Falco's file are what the world says.
    pub fn exact(&self, what: &str) {
        let held = self.held();
        let wanted = self.wanted();
        let mut differences = differences(&held, &wanted);
        let stats = held.get("misp-stats").map(String::as_str);
        if stats != Some(&wanted.len().to_string()) {
            differences.push(format!("misp-stats is {stats:?} with {} keys", wanted.len()));
        }
        let networks = held.get("misp-networks").map(String::as_str);
        if networks != Some(&lengths(&wanted)) {
            differences.push(format!("misp-networks is {networks:?}, not {:?}", lengths(&wanted)));
        }
        let namespaces = held.get("misp-namespaces").map(String::as_str);
        if namespaces != Some(&with_keys(&wanted)) {
            differences.push(format!("misp-namespaces is {namespaces:?}, not {:?}", with_keys(&wanted)));
        }
        let loaded: u64 = held.get("misp-last-load").and_then(|t| t.parse().ok()).unwrap_or(0);
        if now().abs_diff(loaded) > 600 {
            differences.push(format!("misp-last-load is {loaded}"));
        }
        let (listed, meant) = (self.listed(), self.to_be_listed());
        if listed != meant {
            let (more, less) = (listed.difference(&meant), meant.difference(&listed));
            differences.extend(more.map(|item| format!("Falco lists {item:?}")));
            differences.extend(less.map(|item| format!("Falco does not list {item:?}")));
        }
        assert!(differences.is_empty(), "{what}: {} differences:\n{}", differences.len(), differences.join("\n"));
    }

    /// The indicator keys and values that the world asks for.
    pub fn wanted(&self) -> Held {
        text(expected(&self.world(), |_, attribute| attribute.to_ids))
    }

    /// All that memcached holds.
    pub fn held(&self) -> Held {
        held(&self.memcached)
    }

    /// As if nothing had ever been loaded: no ledger, no key, no file.
    pub fn forget(&self) {
        for entry in fs::read_dir(self.configuration.state()).expect("a state directory") {
            fs::remove_file(entry.expect("an entry").path()).expect("a file");
        }
        self.memcached.flush_all();
        let _ = fs::remove_file(self.rules());
    }

    /// Falco's directory: names and contents.
    pub fn falco(&self) -> BTreeMap<String, String> {
        let files = fs::read_dir(self.configuration.directory().join("falco")).expect("Falco's directory");
        let files = files.map(|entry| entry.expect("an entry").path());
        files.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap_or_default())).collect()
    }

    /// Everything outside the state directory that a pass could change.
    pub fn outside(&self) -> Outside {
        (self.held(), self.falco())
    }

    /// Direction and address of all that Falco's file lists.
    fn listed(&self) -> BTreeSet<(String, String)> {
        let path = self.rules();
        let rules = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut direction = "";
        let mut listed = BTreeSet::new();
        for line in rules.lines() {
            if let Some(list) = line.strip_prefix("- list: misp_") {
                direction = list.split('_').next().unwrap_or_default();
            } else if let Some(item) = line.trim_start().strip_prefix("- \"") {
                listed.insert((direction.to_owned(), item.trim_end_matches('"').to_owned()));
            }
        }
        listed
    }

    /// Falco's rules.
    pub fn rules(&self) -> PathBuf {
        self.configuration.directory().join("falco/misp2memcached.yaml")
    }

    fn to_be_listed(&self) -> BTreeSet<(String, String)> {
        let world = self.world();
        let live = world.events().flat_map(|e| &e.attributes).filter(|a| a.to_ids && !a.deleted);
        live.filter_map(|a| {
            let direction = match a.kind.split('|').next() {
                Some("ip-dst") => "outbound",
                Some("ip-src") => "inbound",
                _ => return None,
            };
            let address = a.value.split('|').next().unwrap_or_default();
            Some((direction.to_owned(), address.to_owned()))
        })
        .collect()
    }
}

/// Falco's section: every address of the tests' documentation ranges is listed.
pub fn falco_section(directory: &std::path::Path) -> String {
    format!("falco:\n  enabled: true\n  directory: {directory:?}\n  allow_private: true\n  falco_binary: \"\"\n")
}

/// All that a memcached on TCP holds, asked for in one go.
pub fn held(memcached: &Memcached) -> Held {
    let keys: Vec<Vec<u8>> = memcached.keys().into_iter().collect();
    let stream = TcpStream::connect(memcached.server()).expect("memcached accepts");
    let mut lines = BufReader::new(stream);
    let mut held = BTreeMap::new();
    for some in keys.chunks(500) {
        // The worlds of this file give keys without blanks.
        let asked: Vec<u8> = some.iter().flat_map(|k| [b"mg ", k.as_slice(), b" v\r\n"].concat()).collect();
        lines.get_mut().write_all(&asked).expect("memcached takes commands");
        for key in some {
            let mut line = String::new();
            lines.read_line(&mut line).expect("memcached answers");
            let Some(length) = line.strip_prefix("VA ") else { continue };
            let mut value = vec![0; length.trim().parse::<usize>().expect("a length") + 2];
            lines.read_exact(&mut value).expect("a whole value");
            value.truncate(value.len() - 2);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            held.insert(text(key), text(&value));
        }
    }
    held
}

fn text(keys: BTreeMap<Vec<u8>, Vec<u8>>) -> Held {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("worlds of plain text");
    keys.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// What is missing, wrong or too much.
fn differences(held: &Held, wanted: &Held) -> Vec<String> {
    let keys: BTreeSet<&String> = held.keys().filter(|k| !OWN.contains(&k.as_str())).chain(wanted.keys()).collect();
    let of = |map: &Held, key: &String| map.get(key).cloned();
    keys.into_iter()
        .filter(|key| of(held, key) != of(wanted, key))
        .map(|key| format!("{key}: {:?}, wanted {:?}", of(held, key), of(wanted, key)))
        .collect()
}

/// `misp-namespaces` by the keys.
fn with_keys(wanted: &Held) -> String {
    let names: BTreeSet<&str> =
        wanted.keys().filter_map(|key| key.strip_prefix("misp-")?.split_once(':')).map(|(name, _)| name).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// `misp-networks` by the keys.
fn lengths(wanted: &Held) -> String {
    let networks = wanted.keys().filter_map(|key| key.strip_prefix("misp-cidr:")).filter_map(|n| n.split_once('/'));
    let mut of: [BTreeSet<u8>; 2] = Default::default();
    for (address, length) in networks {
        of[usize::from(address.contains(':'))].insert(length.parse().expect("a prefix length"));
    }
    let family = |number: u8, lengths: &BTreeSet<u8>| {
        let all: Vec<String> = lengths.iter().rev().map(u8::to_string).collect();
        (!all.is_empty()).then(|| format!("{number}:{}", all.join(",")))
    };
    [family(4, &of[0]), family(6, &of[1])].into_iter().flatten().collect::<Vec<_>>().join(";")
}

/// The tags of a value.
pub fn tags(value: &str) -> BTreeSet<&str> {
    value.split(',').filter(|tag| !tag.is_empty()).collect()
}

/// xorshift64*: the tests' chance, the same for the same seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// A good attribute; its values come from a pool, so that events share keys.
pub fn attribute(random: &mut Random) -> Attribute {
    let n = 1 + random.below(4000);
    let (kind, value) = match random.below(9) {
        0 => ("ip-dst", format!("198.51.{}.{}", n >> 8, n & 255)),
        1 => ("ip-src", format!("203.0.{}.{}", n >> 8, n & 255)),
        2 => ("ip-dst|port", format!("198.51.{}.{}|443", n >> 8, n & 255)),
        3 => ("ip-dst", format!("2001:db8:{n:x}::/{}", 48 + n % 3)),
        4 => ("domain", format!("n{n}.example")),
        5 => ("domain|ip", format!("n{n}.example|192.0.2.{}", n & 255)),
        6 => ("sha256", format!("{n:064x}")),
        7 => ("filename|md5", format!("f{n}.exe|{n:032x}")),
        _ => ("url", format!("http://n{n}.example/{}", "x".repeat(n as usize % 300))),
    };
    Attribute::new(kind, &value)
}

/// A draft of about so many attributes, none of them twice.
pub fn event(random: &mut Random, attributes: u64) -> Event {
    let mut seen = BTreeSet::new();
    let all = (0..attributes).map(|_| attribute(random)).filter(|a| seen.insert((a.kind.clone(), a.value.clone())));
    all.fold(Event::new("event"), Event::with)
}

/// Events that were changed two days ago: outside the refresh window.
pub fn old_world(random: &mut Random, events: usize, attributes: u64) -> World {
    let mut world = World::new();
    for _ in 0..events {
        let draft = event(random, attributes);
        world.add_event(draft, now() - 2 * 86_400);
    }
    world
}

/// Changes a world here and there, as analysts do, at the present time.
pub fn change(world: &mut World, random: &mut Random, changes: usize) {
    change_at(world, random, changes, now());
}

/// The same at another time.
pub fn change_at(world: &mut World, random: &mut Random, changes: usize, at: u64) {
    for _ in 0..changes {
        let ids: Vec<u64> = world.events().map(|e| e.id).collect();
        let event = *random.of(&ids);
        let attributes: Vec<u64> =
            world.event(event).map(|e| e.attributes.iter().map(|a| a.id).collect()).unwrap_or_default();
        if attributes.is_empty() {
            world.delete_event(event);
            continue;
        }
        let one = *random.of(&attributes);
        let draft = self::event(random, 20);
        match random.below(10) {
            0 => world.soft_delete(one, at),
            1 => world.restore(one, at),
            2 => world.hard_delete(one, at),
            3 => world.set_to_ids(one, draft.attributes.len().is_multiple_of(2), at),
            4 if ids.len() > 5 => world.delete_event(event),
            5 => world.add_event(draft, at) > 0,
            _ => world.add_attribute(event, attribute(random), at).is_some(),
        };
    }
}

#[test]
fn a_difference_is_noticed() {
    let mut random = Random::new(1);
    let scene = Scene::new(old_world(&mut random, 3, 10), "");
    scene.good("the first load");
    let one = scene.wanted().into_keys().next().unwrap();
    let spoils: [&dyn Fn(); 6] = [
        &|| assert!(scene.memcached.delete(one.as_bytes())),
        &|| scene.memcached.set(one.as_bytes(), b"1#md5"),
        &|| scene.memcached.set(b"misp-ip:192.0.2.9", b"1#ip-dst"),
        &|| scene.memcached.set(b"misp-stats", b"7"),
        &|| scene.memcached.set(b"misp-networks", b""),
        &|| fs::write(scene.rules(), "").unwrap(),
    ];
    for spoil in spoils {
        let before = scene.outside();
        spoil();
        let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.exact("spoilt")));
        assert!(noticed.is_err());
        for (key, _) in scene.held() {
            scene.memcached.delete(key.as_bytes());
        }
        before.0.iter().for_each(|(key, value)| scene.memcached.set(key.as_bytes(), value.as_bytes()));
        before.1.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
        scene.exact("mended");
    }
    change(&mut scene.world(), &mut random, 20);
    scene.good("a refresh");
}
