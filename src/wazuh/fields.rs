//! Where values stand in an alert: paths such as `data.srcip`. Knows JSON, and
//! nothing of what the values mean.

use serde_json::Value;

/// The fields that are looked up unless the configuration names others, those that
/// say most first: the first match is the one that old rules see.
pub const DEFAULT: &[&str] = &[
    // Files: Sysmon 1, 6, 7, 23-26, 29, and 15, which has one name for them all to itself; syscheck, Suricata.
    "data.win.eventdata.hashes",
    "data.win.eventdata.hash",
    "data.eventdata.hashes",
    "syscheck.sha256_after",
    "syscheck.sha1_after",
    "syscheck.md5_after",
    "data.fileinfo.sha256",
    "data.fileinfo.sha1",
    "data.fileinfo.md5",
    "data.files.sha256",
    "data.files.sha1",
    "data.files.md5",
    // Names and URLs: Sysmon 22, Suricata, proxies.
    "data.win.eventdata.queryName",
    "data.win.eventdata.queryResults",
    "data.dns.query",
    "data.dns.query.rrname",
    "data.dns.queries.rrname",
    "data.dns.rrname",
    "data.tls.sni",
    "data.http.url",
    "data.http.hostname",
    "data.url",
    "data.domain",
    "data.hostname",
    "data.fqdn",
    // Addresses: Sysmon 3, also on Linux; logons and the firewall of Windows; Suricata; clouds.
    "data.win.eventdata.destinationIp",
    "data.win.eventdata.sourceIp",
    "data.win.eventdata.ipAddress",
    "data.win.eventdata.destAddress",
    "data.win.eventdata.sourceAddress",
    "data.eventdata.destinationIp",
    "data.eventdata.DestinationIp",
    "data.dstip",
    "data.srcip",
    "data.dest_ip",
    "data.dst_ip",
    "data.src_ip",
    "data.destination_ip",
    "data.source_ip",
    "data.remote_ip",
    "data.external_ip",
    "data.aws.source_ip_address",
    "data.aws.sourceIPAddress",
    "data.CallerIPAddress",
];

/// A URL of which an alert has no field, but one for each of its parts.
#[derive(Debug)]
pub struct UrlInParts {
    /// Path and query.
    pub path: &'static str,
    /// The name or address before them.
    pub host: &'static str,
    /// The port; the first that there is.
    pub ports: &'static [&'static str],
}

/// Those that there are: Suricata's.
pub const URLS_IN_PARTS: &[UrlInParts] = &[UrlInParts {
    path: "data.http.url",
    host: "data.http.hostname",
    ports: &["data.http.http_port", "data.dest_port"],
}];

/// Most values of one alert: a field may be a list, and a stranger may have filled it.
pub const MAX_VALUES: usize = 256;

/// Hands every text under this path to `each`: through objects, through all items of
/// lists, and where a key has dots itself (`"dns.query": ...`).
pub fn texts<'a>(value: &'a Value, path: &str, each: &mut impl FnMut(&'a str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, path, each)),
        Value::String(text) if path.is_empty() => each(text),
        Value::Object(members) if !path.is_empty() => {
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            for end in ends {
                if let Some(inner) = members.get(&path[..end]) {
                    texts(inner, path.get(end + 1..).unwrap_or_default(), each);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    fn all(value: &Value, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        texts(value, path, &mut |text| found.push(text.to_owned()));
        found
    }

    #[test]
    fn paths_lead_through_objects_lists_and_dotted_keys() {
        let alert = json!({
            "data": {
                "srcip": "a",
                "dns": {"query": [{"rrname": "b"}, {"rrname": ["c", 7, null]}, "d"]},
                "dns.rrname": "e",
                "number": 7,
                "": "f",
            },
        });
        assert_eq!(all(&alert, "data.srcip"), ["a"]);
        assert_eq!(all(&alert, "data.dns.query.rrname"), ["b", "c"]);
        assert_eq!(all(&alert, "data.dns.query"), ["d"]);
        assert_eq!(all(&alert, "data.dns.rrname"), ["e"]);
        for path in ["data", "data.number", "data.srcip.x", "nothing", "", "data."] {
            assert!(all(&alert, path).is_empty(), "{path}");
        }
    }

    #[test]
    fn the_default_has_each_once() {
        let all: HashSet<_> = DEFAULT.iter().collect();
        assert_eq!(all.len(), DEFAULT.len());
    }
}
