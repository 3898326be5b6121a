//! Any text as the configuration file: it is taken or refused, never a crash; what
//! is taken is fit for every stage that follows, and is taken again with what was
//! made of it; no message shows the token, nor a proxy's password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::cache::fleet::addresses;
use misp2memcached::config::{Loaded, Sources, load};
use misp2memcached::error::Kind;
use misp2memcached::misp::query::{self, Query};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A key as MISP makes them, which no message shows wherever it stands in the file.
const KEY: &str = "0pEn5e5aMeK3yThatN0Me55ageMayEverShow9Z1";

/// A key that looks like other words: it is not shown where it is the token's value,
/// or stands in the proxy's.
const SHORT: &str = "Sw0rdf1sh.Sw0rdf1sh";

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = if fs::metadata("/dev/shm").is_ok() { "/dev/shm".into() } else { std::env::temp_dir() };
    directory.join(format!("misp2memcached-fuzz-{}.yaml", std::process::id()))
});

fn taken(text: &str, env: &[(&str, &str)]) -> Result<Loaded, String> {
    fs::write(&*FILE, text).expect("the file can be written");
    let env: BTreeMap<String, String> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let sources = Sources { file: Some(FILE.clone()), env, without_misp: false };
    let shown = format!("{sources:?}");
    assert!(!shown.contains(KEY), "{shown}");
    let result = load(&sources);
    fs::remove_file(&*FILE).expect("the file can be removed");
    result.map_err(|e| {
        assert_eq!(e.kind(), Kind::Config);
        e.to_string()
    })
}

/// Paths may be named in messages, and may hold anything.
fn names_a_path(text: &str) -> bool {
    ["_file", "directory", "_list", "_binary"].iter().any(|key| text.contains(key))
}

fuzz_target!(|input: (u8, &str)| {
    let (place, text) = input;
    // Never read from where this process reads.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let at = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).nth(usize::from(place)).unwrap_or(0);
    let (before, behind) = text.split_at(at);
    let variants = [
        (text.to_owned(), ""),
        (text.replace("@KEY@", KEY), KEY),
        (format!("{before}{KEY}{behind}"), KEY),
        (format!("misp:\n  token: {SHORT}\n{text}"), SHORT),
        (format!("{text}\nmisp:\n  token: '{SHORT}'\n"), SHORT),
        (format!("misp: {{url: 'https://misp.example', token: \"{SHORT}\"}}\n{text}"), SHORT),
        (format!("misp:\n  url: https://misp.example\n  token: {KEY}\n{text}"), KEY),
        (format!("misp:\n  url: https://misp.example\n  proxy: 'http://a:{SHORT}@p'\n  token: abc\n{text}"), SHORT),
        (format!("misp:\n  url: https://misp.example\n  proxy: '{SHORT}'\n  token: abc\n{text}"), SHORT),
    ];
    for (text, secret) in variants {
        let result = taken(&text, &[]);
        let checked = !secret.is_empty() && text.matches(secret).count() == 1 && !names_a_path(&text);
        match result {
            Err(message) => {
                assert!(!message.is_empty());
                assert!(!(checked && message.contains(secret)), "shown: {message}");
                // A message is for a terminal, and for a person.
                assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
                assert!(message.lines().count() <= 2000, "{} lines", message.lines().count());
            }
            Ok(Loaded { config, warnings, .. }) => {
                let shown = format!("{config:?} {warnings:?}");
                let key = config.misp.token.as_ref().expect("a token").expose_secret().to_owned();
                assert!(key.bytes().all(|b| b.is_ascii_graphic()) && !key.is_empty());
                assert!(secret != SHORT || !checked || !shown.contains(SHORT), "shown: {shown}");
                assert!(key != KEY || !checked || !shown.contains(KEY), "shown: {shown}");
                // Every stage behind it takes what was taken.
                assert!(!addresses(&config.memcached).expect("addresses").is_empty());
                let query = Query::new(&config, 1_795_220_308);
                for search in 0..query.searches() {
                    assert!(!query.page(search, &[1], config.misp.page_size, 1).is_empty());
                }
                let question = query::fingerprint(&config);
                // What was made of it is taken again and changes no more.
                let again = taken(&text, &[("MISP_URL", &config.misp.url), ("MISP_KEY", &key)]);
                let again = again.expect("it was taken before").config;
                assert_eq!(again.misp.url, config.misp.url);
                assert_eq!(query::fingerprint(&again), question);
            }
        }
    }
});
