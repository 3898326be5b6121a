//! Any bytes as a live message of MISP's: it is read or refused and never a crash,
//! whatever the configuration is; what is applied without asking MISP is a live, wanted
//! attribute of its event, under conditions that a message can tell.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::config::Config;
use misp2memcached::follow::decide::{Rules, Step};
use misp2memcached::misp::live::message::{Action, Broken, Message, body, read};
use std::sync::LazyLock;

/// MISP's clock.
const NOW: u64 = 1_795_220_400;

/// An IPv6 network, written out.
const LONGEST_NETWORK: usize = 43;

/// Configurations of all kinds of conditions; an input's first byte picks one.
const CONFIGURATIONS: [&str; 8] = [
    "{}",
    "other: {enabled: true}\nmisp: {to_ids: false, page_size: 10}",
    "misp: {published: true}",
    "misp: {filter: [{orgs: ['1', CIRCL]}, {tags: ['tlp:red']}, {types: [ip-dst, md5]}]}",
    "misp: {filter: [{orgs: ['4'], types: [domain]}], min_threat_level: medium}",
    "misp: {categories: ['Network activity'], timeframe: 30d}",
    "misp: {enforce_warninglist: true, exclude_decayed: true}",
    "memcached: {context: [tlp, org]}",
];

static RULES: LazyLock<Vec<(Config, Rules)>> = LazyLock::new(|| {
    let read = |yaml: &&str| serde_yaml::from_str(yaml).expect("a configuration");
    CONFIGURATIONS.iter().map(read).map(|config: Config| (config.clone(), Rules::new(&config))).collect()
});

fn check(json: &[u8], config: &Config, rules: &Rules) {
    let message = match read(json) {
        Ok(message) => message,
        Err(broken) => {
            assert_eq!(broken == Broken::NotText, std::str::from_utf8(json).is_err());
            return;
        }
    };
    assert!(json.trim_ascii_start().first() == Some(&b'{'), "a message is an object");
    match (rules.step(&message, NOW), &message) {
        (Step::Add { event, attribute, fresh, look }, Message::Attribute(change)) => {
            let row = &change.attribute;
            assert_eq!((event, attribute), (row.event_id, row.id));
            assert!(!row.deleted && (row.to_ids || !config.misp.to_ids));
            assert!(change.event.is_some() && !config.misp.published && config.memcached.context.is_empty());
            assert_eq!(look, change.action == Action::Edit, "an edit may have had another value");
            assert!(change.action != Action::Delete && (look || !fresh.is_empty()));
            for one in &fresh {
                assert_eq!(one.kind.name(), row.kind);
                // A network without its host bits, or an address out of a longer form, is no part of the text.
                let is_part = row.value.contains(one.value.as_str());
                assert!(!one.value.is_empty() && (is_part || one.value.len() <= LONGEST_NETWORK), "{:?}", one.value);
            }
        }
        (Step::Add { .. }, other) => panic!("{other:?} adds something"),
        (Step::Gone(event), Message::EventGone(said)) => assert_eq!(event, *said),
        (Step::Gone(event), other) => panic!("{event} goes by {other:?}"),
        (Step::Everything, other) => assert!(matches!(other, Message::Tag(_)), "{other:?}"),
        (Step::Nothing | Step::Look { .. }, _) => {}
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (pick, bytes) = input;
    let (config, rules) = &RULES[usize::from(pick) % RULES.len()];
    // As Kafka brings it, and as ZeroMQ does, behind a topic.
    check(bytes, config, rules);
    check(body(bytes), config, rules);
});
