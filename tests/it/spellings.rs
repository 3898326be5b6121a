//! Every reader against the loader's keys: a value that MISP has, in the spellings in which
//! logs have it, is asked for by `lookup` and by Logstash's script under a key that the loader
//! writes. `tests/logstash/spellings.json` has what is told apart, and whoever finds a spelling
//! that is missed adds it there; strangers' texts are random.

use crate::logstash::{directory, rubies, script};
use crate::support::random::Random;
use ipnet::IpNet;
use misp2memcached::cache::key::Keys;
use misp2memcached::cache::networks::Networks;
use misp2memcached::indicator::{MispType, Namespace, split};
use misp2memcached::lookup::form::candidates;
use misp2memcached::lookup::held::Held;
use serde::Deserialize;
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

/// What the loader keeps of an attribute.
struct Kept {
    keys: Vec<String>,
    networks: Networks,
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl Kept {
    fn of(indicators: &[(Namespace, String)]) -> Kept {
        let keys = Keys::new("misp");
        let key = |(namespace, value): &(Namespace, String)| {
            String::from_utf8(keys.indicator(*namespace, value)).expect("values are text")
        };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (_, network) in indicators.iter().filter(|(namespace, _)| *namespace == Namespace::Cidr) {
            let network: IpNet = network.parse().unwrap();
            if network.addr().is_ipv4() { &mut v4 } else { &mut v6 }.push(network.prefix_len());
        }
        let networks = Networks::from_lengths(v4.iter().copied(), v6.iter().copied());
        Kept { keys: indicators.iter().map(key).collect(), networks, v4, v6 }
    }

    /// A line for `spellings.rb`.
    fn line(&self, kind: &str, log: &str, wanted: bool) -> String {
        let networks = json!({"32": self.v4, "128": self.v6});
        json!({"kind": kind, "log": log, "networks": networks, "keys": self.keys, "wanted": wanted}).to_string()
    }
}

fn indicators(kind: &str, value: &str) -> Vec<(Namespace, String)> {
    let mut all = Vec::new();
    let kind = MispType::from_name(kind).unwrap_or_else(|| panic!("MISP has no type {kind}"));
    let _ = split(kind, value, |namespace, value| all.push((namespace, value.to_owned())));
    all
}

/// Kind of a field, MISP's type and value, and what logs have.
type Spelled = (String, String, String, Vec<String>);

/// Spellings of the value, and what is like it but another.
#[derive(Deserialize)]
struct Table {
    found: Vec<Spelled>,
    others: Vec<Spelled>,
}

impl Table {
    fn read() -> Table {
        let text = std::fs::read_to_string(directory().join("spellings.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Each row's kind, what is kept of its value, a text of a log, and whether it is to be found.
    fn each(&self, mut each: impl FnMut(&str, &Kept, &str, bool)) {
        for (rows, wanted) in [(&self.found, true), (&self.others, false)] {
            for (field, kind, value, logs) in rows {
                let kept = Kept::of(&indicators(kind, value));
                assert!(!kept.keys.is_empty(), "{kind} {value} is none");
                logs.iter().for_each(|log| each(field, &kept, log, wanted));
            }
        }
    }
}

/// Runs the script's side of the test.
fn in_ruby(ruby: &[String], lines: &[String]) {
    let mut command = script(ruby, "spellings.rb", &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{ruby:?}\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_logs_write_is_found_by_lookup() {
    let mut wrong = Vec::new();
    Table::read().each(|_, kept, log, wanted| {
        let asked = candidates(log, &Held::with_networks(kept.networks.clone()));
        let asked: Vec<_> = asked.into_iter().map(|c| (c.namespace, c.value)).collect();
        let keys = Kept::of(&asked).keys;
        if keys.iter().any(|key| kept.keys.contains(key)) != wanted {
            wrong.push(format!("{log:?}: {} of {:?} in {keys:?}", if wanted { "none" } else { "one" }, kept.keys));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_logs_write_is_found_by_the_script() {
    let mut lines = Vec::new();
    Table::read().each(|field, kept, log, wanted| lines.push(kept.line(field, log, wanted)));
    rubies().iter().for_each(|ruby| in_ruby(ruby, &lines));
}

/// Pieces of values: what ends a key, is read as something else, or has several forms.
const PIECES: &[&str] = &[
    "a",
    "B",
    "0x",
    "7b",
    ".",
    ":",
    "/",
    "\\",
    "|",
    "#",
    ",",
    "%",
    "%41",
    "%20",
    " ",
    "\t",
    "\u{1}",
    "\u{7f}",
    "@",
    "=",
    "[",
    "]",
    "(",
    "\"",
    "é",
    "ß",
    "ﬀ",
    "ー",
    "\u{301}",
    "\u{200b}",
    "\u{1f600}",
    "\u{feff}",
    "http://",
    "SHA256=",
    "sha256:",
    "misp-",
];

/// Namespaces whose values MISP takes in one form only; the table above has it.
const OF_ONE_FORM: [&str; 4] = ["email", "as", "mac-address", "tlsh"];

/// Whatever MISP shows is found by who asks for just that, also in a key of any length.
#[test]
fn what_misp_shows_is_found_by_the_script() {
    let seed = 20_261_121;
    let mut random = Random::new(seed);
    let mut lines = Vec::new();
    for round in 0..30 {
        for kind in MispType::all() {
            let length = if round % 6 == 0 { 300 } else { random.between(1, 12) };
            let text: String = (0..length).map(|_| *random.pick(PIECES)).collect();
            let digits: String = (0..*random.pick(&[32, 40, 56, 62, 64, 96, 128]))
                .map(|_| char::from_digit(random.below(16) as u32, 16).unwrap())
                .collect();
            for value in [&text, &digits, &format!("x|{digits}"), &format!("{text}|{text}")] {
                let kept = indicators(kind.name(), value).into_iter();
                for (namespace, value) in kept.filter(|(n, _)| !OF_ONE_FORM.contains(&n.name())) {
                    let kept = Kept::of(&[(namespace, value.clone())]);
                    lines.push(kept.line(namespace.name(), &value, true));
                }
            }
        }
    }
    println!("seed {seed}, {} values", lines.len());
    assert!(lines.len() > 2500);
    in_ruby(&rubies()[0], &lines);
}
