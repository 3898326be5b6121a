//! The driver against a cache of a few keys that writes down what it is asked.

use super::*;
use std::collections::HashMap;

#[derive(Default)]
struct Cache {
    held: HashMap<Vec<u8>, Vec<u8>>,
    /// Number of keys of each question.
    asked: Vec<usize>,
    /// How often it was asked what it has.
    own: usize,
    flying: bool,
    fails: bool,
    forgets: bool,
}

impl Cache {
    fn of(held: &[(&str, &str)]) -> Cache {
        let held = held.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        Cache { held, ..Cache::default() }
    }
}

impl Ask for Cache {
    type Asked = Vec<Vec<u8>>;

    fn begin(&mut self, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        assert!(!keys.is_empty());
        assert!(!self.flying, "the answer before was not waited for");
        self.flying = true;
        if keys[0] == b"misp-networks" {
            self.own += 1;
        } else {
            self.asked.push(keys.len());
        }
        Ok(keys)
    }

    fn finish(&mut self, keys: Vec<Vec<u8>>) -> Result<Answers> {
        self.flying = false;
        if self.fails {
            return Err(Error::new(Kind::Unavailable, "memcached is gone"));
        }
        let forgotten = usize::from(self.forgets && keys[0] != b"misp-networks");
        let values = keys.iter().skip(forgotten).map(|key| self.held.get(key).cloned()).collect();
        Ok(Answers { keys, values })
    }
}

fn ok(values: &[&str]) -> impl Iterator<Item = io::Result<String>> {
    values.iter().map(|v| Ok((*v).to_owned())).collect::<Vec<_>>().into_iter()
}

fn run(cache: &mut Cache, networks: &str, values: &[&str]) -> (Vec<Found>, Summary) {
    let mut all = Vec::new();
    cache.held.insert(b"misp-networks".to_vec(), networks.into());
    let summary = look_up(cache, &Keys::new("misp"), ok(values), |found| {
        all.push(found);
        Ok(())
    });
    (all, summary.unwrap())
}

fn matched(found: &Found) -> Vec<(&str, &str, &str)> {
    found.matches.iter().map(|m| (m.event_id.as_str(), m.kind.as_str(), m.key.as_str())).collect()
}

#[test]
fn answers_in_the_order_of_the_values() {
    let mut cache = Cache::of(&[
        ("misp-ip:10.1.2.3", "7#ip-src,12#ip-dst"),
        ("misp-cidr:10.0.0.0/8", "12#ip-dst,13#ip-dst"),
        ("misp-domain:example.com", "9#domain"),
    ]);
    let (all, summary) = run(&mut cache, "4:8", &["nowhere.test", "Evil.Example.COM.", " ", "[::ffff:10.1.2.3]:80"]);
    assert_eq!(summary, Summary { values: 3, matched: 2, too_long: 0 });
    assert_eq!(
        all.iter().map(|f| f.value.as_str()).collect::<Vec<_>>(),
        ["nowhere.test", "Evil.Example.COM.", "[::ffff:10.1.2.3]:80"]
    );
    assert_eq!(matched(&all[0]), []);
    assert_eq!(matched(&all[1]), [("9", "domain", "misp-domain:example.com")]);
    // Event 12 lists the address and its network under one type: the first key is named.
    assert_eq!(
        matched(&all[2]),
        [
            ("7", "ip-src", "misp-ip:10.1.2.3"),
            ("12", "ip-dst", "misp-ip:10.1.2.3"),
            ("13", "ip-dst", "misp-cidr:10.0.0.0/8")
        ]
    );
    assert_eq!(cache.asked.len(), 1);
}

#[test]
fn long_keys_are_asked_for_by_their_hash() {
    let url = format!("http://a.example/{}", "x".repeat(300));
    let key = String::from_utf8(Keys::new("misp").indicator(Namespace::Url, &url)).unwrap();
    let (all, _) = run(&mut Cache::of(&[(&key, "3#url")]), "", &[&url]);
    assert_eq!(matched(&all[0]), [("3", "url", key.as_str())]);
}

#[test]
fn batches_are_bounded() {
    let mut cache = Cache::default();
    run(&mut cache, "", &vec!["1.2.3.4"; 5000]);
    assert_eq!(cache.asked, [2048, 2048, 904]);
    let values = vec!["1.2.3.4"; 600];
    // Many keys a value: a question has at most one value more than the limit.
    let every = crate::cache::networks::Networks::from_lengths(0..=32, []).to_string();
    let mut cache = Cache::default();
    run(&mut cache, &every, &values);
    assert!(cache.asked.iter().all(|n| *n < BATCH_KEYS + form::MAX_CANDIDATES));
    assert_eq!(cache.asked.iter().sum::<usize>(), 600 * 34);
    // Long values.
    let long = "x".repeat(60_000);
    let mut cache = Cache::default();
    run(&mut cache, "", &vec![long.as_str(); 30]);
    assert_eq!(cache.asked.len(), 2);
}

#[test]
fn an_empty_value_asks_at_once() {
    let mut cache = Cache::default();
    run(&mut cache, "", &["1.2.3.4", "1.2.3.5", "", "", "1.2.3.6"]);
    assert_eq!(cache.asked, [2, 1]);
}

#[test]
fn a_value_too_long_is_named() {
    let long = "x".repeat(MAX_VALUE + 1);
    let (all, summary) = run(&mut Cache::default(), "", &[&long]);
    assert_eq!(summary, Summary { values: 1, matched: 0, too_long: 1 });
    assert_eq!(all[0].value, format!("{}... (not looked up: over 65535 bytes)", "x".repeat(60)));
}

#[test]
fn one_namespace() {
    let mut cache = Cache::of(&[("misp-mutex:1.2.3.4", "5#mutex"), ("misp-ip:1.2.3.4", "6#ip-dst")]);
    let mut all = Vec::new();
    let each = |step| {
        all.push(step);
        Ok(())
    };
    let scope = Scope::Within(Namespace::Mutex);
    let summary = stream(&mut cache, &Keys::new("misp"), scope, ok(&["1.2.3.4", ""]), each);
    assert_eq!(summary.unwrap().matched, 1);
    let [Step::Found(found), Step::Pause] = &all[..] else { panic!("{all:?}") };
    assert_eq!(matched(found), [("5", "mutex", "misp-mutex:1.2.3.4")]);
}

/// Where the cache says what it has, nothing else is asked for; who waits for values
/// asks it again, since a pass may have begun meanwhile.
#[test]
fn only_what_the_cache_has_is_asked_for() {
    let mut cache =
        Cache::of(&[("misp-sha256:".to_owned() + &"a".repeat(64), "5#sha256")].each_ref().map(|(k, v)| (&**k, *v)));
    let hash = "a".repeat(64);
    let (all, _) = run(&mut cache, "", &[&hash]);
    assert_eq!((all[0].matches.len(), &cache.asked[..]), (1, &[5][..]));
    for (names, asked) in [("sha256", 1), ("x509,sha256", 2), ("domain", 0)] {
        cache.asked.clear();
        cache.held.insert(b"misp-namespaces".to_vec(), names.into());
        let (all, _) = run(&mut cache, "", &[&hash]);
        assert_eq!(
            (all[0].matches.len(), cache.asked.iter().sum::<usize>()),
            (usize::from(asked > 0), asked),
            "{names}"
        );
    }
    cache.asked.clear();
    cache.own = 0;
    run(&mut cache, "", &[&hash, &hash, "", &hash]);
    assert_eq!(cache.own, 2);
}

#[test]
fn what_ends_a_look_up() {
    let keys = Keys::new("misp");
    let mut cache = Cache { fails: true, ..Cache::default() };
    let error = look_up(&mut cache, &keys, ok(&["1.2.3.4"]), |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let mut cache = Cache { forgets: true, ..Cache::default() };
    let error = look_up(&mut cache, &keys, ok(&["1.2.3.4"]), |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Bug);
    let full = |_| Err(Error::new(Kind::CannotWrite, "disk full"));
    let error = look_up(&mut Cache::default(), &keys, ok(&["1.2.3.4"]), full).unwrap_err();
    assert_eq!(error.kind(), Kind::CannotWrite);
    // The values before a broken stream are answered.
    let broken = ok(&["1.2.3.4"]).chain(std::iter::once(Err(io::Error::other("is a directory"))));
    let mut answered = 0;
    let error = look_up(&mut Cache::default(), &keys, broken, |_| {
        answered += 1;
        Ok(())
    });
    assert_eq!((error.unwrap_err().kind(), answered), (Kind::Usage, 1));
}

/// The examples of docs/lookup.md are what users see.
#[test]
fn the_manual() {
    let manual = include_str!("../../docs/lookup.md");
    let mut cache =
        Cache::of(&[("misp-domain:evil.example.com", "1204#domain"), ("misp-cidr:198.51.100.0/24", "87#ip-dst")]);
    let (all, _) = run(&mut cache, "4:24", &["hxxp://Evil[.]example[.]com/gate.php", "[::ffff:198.51.100.7]:443"]);
    let mut text = Vec::new();
    let mut table = Table::new(Some("https://misp.local"), false);
    for found in &all {
        table.add(found, &mut text).unwrap();
    }
    table.finish(&mut text).unwrap();
    let (all, _) = run(&mut cache, "4:24", &["198.51.100.7", "nowhere.example"]);
    let mut json = Vec::new();
    for found in &all {
        found.write_json(&mut json).unwrap();
    }
    for text in [text, json] {
        let text = String::from_utf8(text).unwrap();
        assert!(manual.contains(&text), "not in the manual:\n{text}");
    }
}
