//! An alert as Wazuh's integratord writes it into a file, and the values in it that
//! are worth looking up.

use super::fields::{MAX_VALUES, texts};
use super::{INTEGRATION, local};
use crate::lookup::form;
use serde_json::Value;
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
            texts(&self.0, field, &mut |text| {
                for (asked, shown) in parts(text.trim()) {
                    let pointless = asked.is_empty()
                        || asked == NO_VALUE
                        || form::address_of(asked).is_some_and(local::is_local)
                        || wanted.len() >= MAX_VALUES;
                    if !pointless && seen.insert(asked) {
                        let (asked, shown) = (asked.to_owned(), shown.to_owned());
                        wanted.push(Wanted { field: field.to_owned(), asked, shown });
                    }
                }
            });
        }
        wanted
    }
}

/// `SHA256=ABC,MD5=DEF` is two values, each as it is asked for and as it is shown; any
/// other text is one.
fn parts(text: &str) -> Vec<(&str, &str)> {
    let named: Option<Vec<(&str, &str)>> = text.split(',').map(|part| named_hash(part.trim())).collect();
    named.unwrap_or_else(|| vec![(text, text)])
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
