//! Every key with what it allows, for messages. A value is quoted in a message
//! only if its key stands here and is no secret: text in the wrong place (a
//! token without its key, say) is never echoed.

use super::nearest::nearest;
use super::problem::{Origin, Problem};
use super::since::SINCE_FORMS;
use super::span::SPAN_FORMS;

const FLAG: &str = "true or false";
const PATH: &str = "the path of a file";

/// Key paths (`[]` for any item of a list) and what stands there.
const KEYS: &[(&str, &str)] = &[
    ("memcached.host", "a host name, an address, or the absolute path of a unix socket"),
    ("memcached.port", "a port, 1 to 65535"),
    (
        "memcached.servers",
        "a list of `host:port`, `[ipv6]:port` or `/path/of.sock`, with `:weight` behind it if need be",
    ),
    (
        "memcached.servers[]",
        "`host:port`, `[ipv6]:port` or `/path/of.sock`, with `:weight` behind it if need be, or `host`",
    ),
    ("memcached.distribution", "replicate or ring"),
    ("memcached.prefix", "1 to 64 of the letters A-Z, a-z, digits, `_`, `.` and `-`"),
    (
        "memcached.context",
        "a list of category, attribute_uuid, event_uuid, event_info, threat_level, tlp, org, first_seen or last_seen",
    ),
    (
        "memcached.context[]",
        "category, attribute_uuid, event_uuid, event_info, threat_level, tlp, org, first_seen or last_seen",
    ),
    ("memcached.timeout", SPAN_FORMS),
    ("memcached.tls", "a section with ca_file, cert_file, key_file or server_name, or with nothing below it"),
    ("memcached.username", "1 to 128 printable ASCII characters without blank and colon"),
    ("memcached.password_file", "the path of a file that holds the password and nothing else"),
    ("misp.url", "`https://HOST` or `http://HOST`, with a port or a path if need be"),
    ("misp.token", "the automation key in quotes: printable ASCII without blanks"),
    ("misp.token_file", "the path of a file that holds the automation key and nothing else"),
    ("misp.ignore_cert_errors", FLAG),
    ("misp.ca_file", PATH),
    ("misp.client_cert_file", PATH),
    ("misp.client_key_file", PATH),
    ("misp.proxy", "`http://HOST:PORT`, `https://HOST:PORT`, `socks5://HOST:PORT`, or \"\" for none"),
    ("misp.timeout", SPAN_FORMS),
    ("misp.connections", "1 to 16"),
    ("misp.page_size", "100 to 1000000"),
    ("misp.initial_event_timestamp", SPAN_FORMS),
    ("misp.refresh_event_timestamp", SPAN_FORMS),
    ("misp.filter", "a list of clauses with orgs, tags or types; without the key everything is loaded"),
    ("misp.filter[]", "a clause with orgs, tags or types"),
    ("misp.filter[].orgs", "a list of organisations: id, name or UUID"),
    ("misp.filter[].orgs[]", "an organisation: id, name or UUID"),
    ("misp.filter[].tags", "a list of tags in quotes"),
    ("misp.filter[].tags[]", "a tag"),
    ("misp.filter[].types", "a list of attribute types such as ip-dst"),
    ("misp.filter[].types[]", "an attribute type that is loaded (docs/configuration.md lists them)"),
    ("misp.published", FLAG),
    ("misp.unpublished_grace", SPAN_FORMS),
    ("misp.to_ids", FLAG),
    ("misp.enforce_warninglist", FLAG),
    ("misp.exclude_decayed", FLAG),
    ("misp.categories", "a list of attribute categories such as \"Network activity\""),
    ("misp.categories[]", "MISP's attribute categories (docs/configuration.md lists them)"),
    ("misp.min_threat_level", "high, medium, low or undefined"),
    ("misp.event_published_after", SINCE_FORMS),
    ("misp.timeframe", SPAN_FORMS),
    ("misp.max_shrink_percent", "0 to 100"),
    ("hash.enabled", FLAG),
    ("hash.expires", SPAN_FORMS),
    ("network.enabled", FLAG),
    ("network.expires", SPAN_FORMS),
    ("web.enabled", FLAG),
    ("web.expires", SPAN_FORMS),
    ("other.enabled", FLAG),
    ("other.expires", SPAN_FORMS),
    ("falco.enabled", FLAG),
    ("falco.directory", "the path of a directory"),
    ("falco.file", "a file name that ends in .yaml or .yml, without a slash"),
    ("falco.timeframe", SPAN_FORMS),
    ("falco.max_addresses", "a whole number"),
    ("falco.max_networks", "a whole number"),
    ("falco.allow_private", FLAG),
    ("falco.allow_wide_networks", FLAG),
    ("falco.priority", "emergency, alert, critical, error, warning, notice, informational or debug"),
    ("falco.hash_list", PATH),
    ("falco.domain_list", PATH),
    ("falco.min_interval", SPAN_FORMS),
    ("falco.falco_binary", "the path of the falco program, or \"\" for no check"),
    ("zmq.host", "the host name or address of MISP's ZeroMQ publisher"),
    ("zmq.port", "a port, 1 to 65535"),
    ("kafka.topics", "a list of topics, such as [misp_attribute, misp_event]"),
    ("kafka.topics[]", "a topic: letters, digits, `.`, `_` and `-`"),
    ("kafka.poll_interval", "seconds from 0.01 to 60"),
    ("kafka.config", "librdkafka's settings, such as `bootstrap.servers: broker:9092`"),
    ("metrics.file", "the path of a file whose name ends in .prom"),
    ("state.directory", "the path of a directory"),
    ("sighting.source", "a text of at most 255 characters"),
    ("sighting.window", SPAN_FORMS),
    ("sighting.rate", "1 to 1000"),
    ("sighting.spool_mib", "1 to 1024"),
    ("wazuh.queue", "the path of Wazuh's queue, a unix socket"),
    ("wazuh.fields", "a list of fields of an alert, such as \"data.srcip\""),
    ("wazuh.fields[]", "a field of an alert: names with dots between them, such as \"data.srcip\""),
    ("wazuh.timeout", SPAN_FORMS),
    ("wazuh.cdb_directory", "the path of a directory"),
    ("wazuh.cdb_lists", "a list of ip, domain, url, md5, sha1 or sha256"),
    ("wazuh.cdb_lists[]", "ip, domain, url, md5, sha1 or sha256"),
    // Behind misp's: a `ca_file` in the wrong place is more likely to be that one.
    ("memcached.tls.ca_file", PATH),
    ("memcached.tls.cert_file", PATH),
    ("memcached.tls.key_file", PATH),
    ("memcached.tls.server_name", "a host name or an address, as it stands in the certificate"),
];

/// Keys whose values no message shows; a proxy's address may hold a password, and
/// so may a user name (`USER:PASSWORD`, as memcached's file has it).
const SECRET: [&str; 3] = ["misp.token", "misp.proxy", "memcached.username"];

/// A longer unknown key may be a token that lost its own key (MISP's have 40 characters).
const MAX_SHOWN_KEY: usize = 32;

/// What the key at this path allows.
pub(super) fn allowed(path: &str) -> Option<&'static str> {
    let pattern = pattern(path);
    KEYS.iter().find(|(key, _)| *key == pattern).map(|(_, text)| *text)
}

/// Whether a message may quote the value at this path.
pub(super) fn may_be_shown(path: &str) -> bool {
    allowed(path).is_some() && !SECRET.contains(&path)
}

/// Whether a message may show this key, or each key of this path.
pub(super) fn may_be_named(path: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    path.split(['.', '[', ']']).all(|key| key.len() <= MAX_SHOWN_KEY && key.chars().all(named))
}

/// A key that the section does not have.
pub(super) fn unknown(section: &str, key: &str, fields: &'static [&'static str]) -> Problem {
    let path = super::node::join(section, key);
    let list = || format!("allowed here: {}", fields.join(", "));
    if key.is_empty() || !may_be_named(key) {
        let hint = if key.contains(':') { " (a `:` needs a blank after it)" } else { "" };
        let place = if section.is_empty() { String::new() } else { format!(" in `{section}`") };
        return Problem {
            origin: Origin::HiddenKey,
            ..Problem::new(path, format!("an unknown key{place}{hint}; {}", list()))
        };
    }
    let elsewhere = KEYS.iter().find_map(|(p, _)| p.rsplit_once('.').filter(|(_, last)| *last == key));
    let message = match (nearest(key, fields.iter().copied()), elsewhere) {
        (Some(near), _) => format!("unknown key; did you mean `{near}`?"),
        (None, Some((home, _))) if !home.contains('[') => format!("unknown key; it belongs in the section `{home}`"),
        (None, _) => format!("unknown key; {}", list()),
    };
    Problem::new(path, message)
}

/// `misp.filter[3].tags[0]` as `misp.filter[].tags[]`.
fn pattern(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = match c {
                '[' => true,
                ']' => false,
                _ => inside,
            };
            !inside || *c == '['
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fields;
    use std::collections::BTreeSet;

    /// A key without a line here would be refused with a poor message.
    #[test]
    fn every_key_of_the_structs_stands_here_and_no_other() {
        let listed: BTreeSet<String> =
            KEYS.iter().map(|(key, _)| (*key).to_owned()).filter(|key| !key.ends_with("[]")).collect();
        assert_eq!(listed, fields::all().into_iter().collect());
    }

    #[test]
    fn numbers_of_items_do_not_matter() {
        assert_eq!(pattern("misp.filter[13].tags[0]"), "misp.filter[].tags[]");
        assert!(allowed("misp.filter[2].orgs[1]").is_some());
        assert!(allowed("misp").is_none());
        assert!(!may_be_shown("misp.token") && !may_be_shown("misp") && may_be_shown("misp.url"));
    }

    #[test]
    fn what_may_be_a_token_is_no_key_to_be_shown() {
        for key in ["token:0123456789", "0123456789012345678901234567890123456789", "a b"] {
            let problem = unknown("misp", key, &["token"]);
            assert!(problem.origin == Origin::HiddenKey && !problem.message.contains(key), "{key}");
        }
    }
}
