//! An alert as Wazuh's integratord writes it into a file, and the values in it that
//! are worth looking up.

use super::fields::{MAX_VALUES, URLS_IN_PARTS, texts};
use super::{INTEGRATION, local};
use crate::lookup::form;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// What Wazuh writes where there is no value (`ipAddress` of a local logon).
const NO_VALUE: &str = "-";

/// An alert.
#[derive(Debug)]
pub struct Alert(Value);

/// Whom the alert is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `000` is the manager itself.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address, `any` where the alert has none.
    pub ip: String,
}

/// A value to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it stands in the alert.
    pub field: String,
    /// As it is asked for; `SHA256=...` says which hash it is.
    pub asked: String,
    /// As it is shown: the hash alone.
    pub shown: String,
    /// Put together of several fields, which are looked up by themselves, so only as the URL
    /// that it is.
    pub whole_url: bool,
}

impl Alert {
    /// Reads the file's content.
    ///
    /// # Errors
    /// It is no JSON object; the text says what to change.
    pub fn parse(bytes: &[u8]) -> Result<Alert, String> {
        // What an agent sends may have bytes that are no UTF-8.
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Ok(Alert(value)),
            Ok(_) => Err("it is no JSON object".to_owned()),
            Err(_) if text.is_empty() => Err("it is empty".to_owned()),
            Err(_) if text.starts_with("alertdate=") => {
                Err("it is not JSON; set <alert_format>json</alert_format> in the <integration> of ossec.conf"
                    .to_owned())
            }
            Err(e) => Err(format!("it is not JSON: {e}")),
        }
    }

    /// Whether this is an alert about an answer of ours; to look that up would go
    /// round and round.
    pub fn is_ours(&self) -> bool {
        self.text(&["data", "integration"]) == Some(INTEGRATION)
    }

    /// The agent; without one it is the manager.
    pub fn agent(&self) -> Agent {
        let part = |name, default: &str| self.text(&["agent", name]).unwrap_or(default).to_owned();
        Agent { id: part("id", "000"), name: part("name", "unknown"), ip: part("ip", "any") }
    }

    /// The alert's number.
    pub fn id(&self) -> Option<&str> {
        self.text(&["id"])
    }

    /// The number of the rule that raised it.
    pub fn rule(&self) -> Option<&str> {
        self.text(&["rule", "id"])
    }

    /// What that rule says.
    pub fn description(&self) -> Option<&str> {
        self.text(&["rule", "description"])
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.0, |value, key| value.get(key))?.as_str()
    }

    /// The values under these fields, in their order and each once; no local
    /// addresses, and at most [`MAX_VALUES`].
    pub fn wanted(&self, fields: &[impl AsRef<str>]) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut seen = HashSet::new();
        for field in fields.iter().map(AsRef::as_ref) {
            let mut add = |asked: &str, shown: &str, whole_url: bool| {
                let pointless = asked.is_empty()
                    || asked == NO_VALUE
                    || form::address_of(asked).is_some_and(local::is_local)
                    || wanted.len() >= MAX_VALUES;
                if !pointless && seen.insert(asked.to_owned()) {
                    let (asked, shown) = (asked.to_owned(), shown.to_owned());
                    wanted.push(Wanted { field: field.to_owned(), asked, shown, whole_url });
                }
            };
            texts(&self.0, field, &mut |text| {
                let text = text.trim();
                let text = if field.starts_with(EVENT_CHANNEL) { undoubled(text) } else { Cow::Borrowed(text) };
                self.whole_urls(field, &text).iter().for_each(|url| add(url, url, true));
                parts(&text).into_iter().for_each(|(asked, shown)| add(asked, shown, false));
            });
        }
        wanted
    }

    /// The URL that a path is the end of, where other fields have its host and its port.
    fn whole_urls(&self, field: &str, path: &str) -> Vec<String> {
        let parts = URLS_IN_PARTS.iter().find(|parts| parts.path == field && path.starts_with('/'));
        let Some(parts) = parts else { return Vec::new() };
        let first = |field: &str| {
            let mut found = None;
            texts(&self.0, field, &mut |text| found = found.or(Some(text.trim())));
            found.filter(|text| !text.is_empty())
        };
        let host = first(parts.host).filter(|host| !form::address_of(host).is_some_and(local::is_local));
        let Some(host) = host else { return Vec::new() };
        // One that the host has itself counts.
        let needed = |port: &&str| !host.contains(':') && !IMPLIED_PORTS.contains(port);
        let port = parts.ports.iter().find_map(|field| first(field)).filter(needed);
        let with_port = port.map(|port| format!("{host}:{port}{path}"));
        with_port.into_iter().chain([format!("{host}{path}")]).collect()
    }
}

/// Events of Windows, in which Wazuh writes each backslash twice.
const EVENT_CHANNEL: &str = "data.win.";

/// Ports that a URL need not name.
const IMPLIED_PORTS: [&str; 2] = ["80", "443"];

/// The text with one backslash for two, if it has them in pairs only.
fn undoubled(text: &str) -> Cow<'_, str> {
    let single = text.replace("\\\\", "");
    if text.contains('\\') && !single.contains('\\') {
        return Cow::Owned(text.replace("\\\\", "\\"));
    }
    Cow::Borrowed(text)
}

/// `SHA256=ABC,MD5=DEF` is two values, each as it is asked for and as it is shown, and so is what
/// Sysmon writes of the DNS' answers; any other text is one.
fn parts(text: &str) -> Vec<(&str, &str)> {
    let named: Option<Vec<(&str, &str)>> = text.split(',').map(|part| named_hash(part.trim())).collect();
    named.or_else(|| answers(text)).unwrap_or_else(|| vec![(text, text)])
}

/// `type:  5 alias.example;::ffff:203.0.113.7;`
fn answers(text: &str) -> Option<Vec<(&str, &str)>> {
    let list = text.strip_suffix(';').filter(|list| !list.contains(['/', '\\', '=']))?;
    let value = |answer: &'_ str| -> usize {
        let Some(kind) = answer.strip_prefix("type:").map(str::trim_start) else { return 0 };
        answer.len() - kind.trim_start_matches(|c: char| c.is_ascii_digit()).len()
    };
    Some(list.split(';').map(str::trim).map(|answer| answer[value(answer)..].trim()).map(|v| (v, v)).collect())
}

/// `SHA256=ABC`, and `ABC`.
fn named_hash(part: &str) -> Option<(&str, &str)> {
    let (name, digits) = part.split_once('=')?;
    let name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let hex = digits.len() >= 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    (name && hex).then_some((part, digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(alert: Value, fields: &[&str]) -> Vec<(String, String)> {
        Alert(alert).wanted(fields).into_iter().map(|w| (w.field, w.shown)).collect()
    }

    #[test]
    fn what_is_no_alert() {
        for (text, why) in [
            ("", "it is empty"),
            ("[1]", "it is no JSON object"),
            ("{\"a\":", "it is not JSON: EOF"),
            ("alertdate='x'\nalertlocation='y'", "<alert_format>json</alert_format>"),
        ] {
            let error = Alert::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Alert::parse(b"\xef\xbb\xbf{\"full_log\":\"\xff\"}\n").is_ok());
    }

    #[test]
    fn agents() {
        let agent = |text: &str| Alert::parse(text.as_bytes()).unwrap().agent();
        let whole = agent(r#"{"agent":{"id":"001","name":"win","ip":"2001:db8::1"}}"#);
        assert_eq!((whole.id.as_str(), whole.name.as_str(), whole.ip.as_str()), ("001", "win", "2001:db8::1"));
        assert_eq!(agent("{}").id, "000");
        assert_eq!(agent(r#"{"agent":{"id":"002","name":"a"}}"#).ip, "any");
    }

    #[test]
    fn hashes_are_parted_and_local_addresses_left_out() {
        let md5 = "0123456789ABCDEF0123456789ABCDEF";
        let alert = json!({"data": {
            "hashes": format!("MD5={md5},IMPHASH={md5}"),
            "other": format!("MD5={md5}, nonsense"),
            "ips": ["10.0.0.1", "::FFFF:192.168.1.1", "[fe80::1%eth0]:80", "-", " ", "", "203.0.113.7", "203.0.113.7"],
        }});
        let found = Alert(alert.clone()).wanted(&["data.hashes"]);
        assert_eq!(found.iter().map(|w| w.shown.as_str()).collect::<Vec<_>>(), [md5, md5]);
        assert_eq!(found[1].asked, format!("IMPHASH={md5}"));
        assert_eq!(shown(alert.clone(), &["data.other"])[0].1, format!("MD5={md5}, nonsense"));
        assert_eq!(shown(alert, &["data.ips"]), [("data.ips".to_owned(), "203.0.113.7".to_owned())]);
    }

    #[test]
    fn answers_of_the_dns() {
        let of = |text: &str| parts(text).into_iter().map(|(asked, _)| asked.to_owned()).collect::<Vec<_>>();
        let sysmon = "type:  5 7.alias.example;type: 12 b.example;::ffff:203.0.113.7;10.0.0.1;";
        assert_eq!(of(sysmon), ["7.alias.example", "b.example", "::ffff:203.0.113.7", "10.0.0.1"]);
        assert_eq!(of("203.0.113.7;"), ["203.0.113.7"]);
        assert_eq!(of("-"), ["-"]);
        for one in ["http://a.example/;x", "http://a.example/x;y;", "a=b;c=d;"] {
            assert_eq!(of(one), [one]);
        }
    }

    #[test]
    fn backslashes_that_wazuh_doubles() {
        let alert = json!({"data": {"win": {"eventdata": {
            "targetObject": "HKLM\\\\Software\\\\X", "pipeName": "\\\\evil", "other": "\\\\\\\\.\\\\a\\b",
        }}, "regkey": "a\\\\b"}});
        let fields = ["targetObject", "pipeName", "other"].map(|name| format!("data.win.eventdata.{name}"));
        let values: Vec<String> = Alert(alert.clone()).wanted(&fields).into_iter().map(|w| w.asked).collect();
        assert_eq!(values, ["HKLM\\Software\\X", "\\evil", "\\\\\\\\.\\\\a\\b"]);
        assert_eq!(shown(alert, &["data.regkey"])[0].1, "a\\\\b");
    }

    #[test]
    fn a_url_in_several_fields() {
        let values = |http: Value, port: &str| -> Vec<(String, bool)> {
            let wanted = Alert(json!({"data": {"http": http, "dest_port": port}})).wanted(&["data.http.url"]);
            wanted.into_iter().map(|w| (w.asked, w.whole_url)).collect()
        };
        let pair = |text: &str, whole: bool| (text.to_owned(), whole);
        let http = json!({"hostname": "evil.example", "url": "/a?b"});
        assert_eq!(values(http.clone(), "80"), [pair("evil.example/a?b", true), pair("/a?b", false)]);
        assert_eq!(
            values(http.clone(), "8080")[..2],
            [pair("evil.example:8080/a?b", true), pair("evil.example/a?b", true)]
        );
        let port = json!({"hostname": "evil.example", "url": "/", "http_port": "81"});
        assert_eq!(values(port, "8080")[0], pair("evil.example:81/", true));
        let absolute = json!({"hostname": "evil.example", "url": "http://evil.example/a"});
        assert_eq!(values(absolute, "80"), [pair("http://evil.example/a", false)]);
        for none in [json!({"url": "/a"}), json!({"hostname": "10.0.0.1:80", "url": "/a"})] {
            assert_eq!(values(none, "80"), [pair("/a", false)]);
        }
    }

    #[test]
    fn an_alert_full_of_values_is_bounded_and_the_first_field_counts() {
        let many: Vec<String> = (0..1000).map(|n| format!("h{n}.example")).collect();
        assert_eq!(shown(json!({"x": many}), &["x"]).len(), MAX_VALUES);
        let twice = json!({"a": "h.example", "b": "h.example"});
        assert_eq!(shown(twice, &["b", "a"]), [("b".to_owned(), "h.example".to_owned())]);
    }

    #[test]
    fn answers_of_ours_are_known() {
        let is_ours = |text: &str| Alert::parse(text.as_bytes()).unwrap().is_ours();
        assert!(is_ours(r#"{"data":{"integration":"misp"}}"#));
        assert!(!is_ours(r#"{"data":{"integration":"virustotal"}}"#) && !is_ours("{}"));
    }
}
