//! The files of `packaging/wazuh`, as far as they can be tried without Wazuh, and the
//! tables that the documentation and MISP have of the same.

use super::manager::{Manager, REDIRECTION, listed};
use misp2memcached::config::{self, CdbList, Sources};
use misp2memcached::indicator::{ATTRIBUTE_CATEGORIES, MispType};
use misp2memcached::wazuh::fields;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/wazuh").join(name)
}

/// An element of an XML file: name, attributes as they stand there, text, and the place of its parent.
struct Element {
    name: String,
    attributes: String,
    text: String,
    parent: Option<usize>,
}

/// The elements of a small XML file; every tag must be closed in its turn.
fn elements(xml: &str) -> Vec<Element> {
    let (mut all, mut open): (Vec<Element>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        if let Some(&inner) = open.last() {
            all[inner].text += rest[..at].trim();
        } else {
            assert_eq!(rest[..at].trim(), "", "text outside of elements");
        }
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            let (inside, after) = comment.split_once("-->").expect("an end of the comment");
            assert!(!inside.contains("--"), "{inside}");
            rest = after;
            continue;
        }
        let (tag, after) = rest[1..].split_once('>').expect("an end of the tag");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let inner = open.pop().expect("an open element");
            assert_eq!(all[inner].name, name);
        } else {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let (name, attributes) = (name.to_owned(), attributes.to_owned());
            all.push(Element { name, attributes, text: String::new(), parent: open.last().copied() });
            open.push(all.len() - 1);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{rest}");
    all
}

/// A rule of `packaging/wazuh`.
struct Rule {
    id: String,
    /// The rule that must have fired before.
    above: Option<String>,
    /// Fields, and what they must be.
    fields: Vec<(String, String)>,
}

/// All of them, in the order of the file.
pub struct Rules(Vec<Rule>);

impl Rules {
    pub fn read() -> Rules {
        let all = elements(&fs::read_to_string(packaging("misp_rules.xml")).unwrap());
        let attribute = |e: &Element, name: &str| {
            let (_, rest) = e.attributes.split_once(&format!("{name}=\"")).expect("the attribute");
            rest.split('"').next().unwrap().to_owned()
        };
        let mut rules = Vec::new();
        for (at, rule) in all.iter().enumerate().filter(|(_, e)| e.name == "rule") {
            let inner = || all.iter().filter(|e| e.parent == Some(at));
            assert!(inner().any(|e| e.name == "description" && !e.text.is_empty()));
            let above = inner().find(|e| e.name == "if_sid").map(|e| e.text.clone());
            let fields = inner().filter(|e| e.name == "field").map(|e| (attribute(e, "name"), e.text.clone()));
            rules.push(Rule { id: attribute(rule, "id"), above, fields: fields.collect() });
        }
        Rules(rules)
    }

    /// The rule that an answer ends at, of those that the file has.
    pub fn fires(&self, answer: &Value) -> Option<String> {
        let mut last: Option<String> = None;
        for Rule { id, above, fields } in &self.0 {
            let holds = |(name, pattern): &(String, String)| {
                let text = name.split('.').try_fold(answer, |value, key| value.get(key)).and_then(Value::as_str);
                match pattern.as_str() {
                    "^misp$" => text == Some("misp"),
                    r"\.+" => text.is_some_and(|t| !t.is_empty()),
                    new => panic!("what does {new} mean?"),
                }
            };
            let reached = above.is_none() || above.as_deref() == Some("100620") && last.is_some();
            if reached && fields.iter().all(holds) {
                last = Some(id.clone());
            }
        }
        last
    }
}

#[test]
fn the_rules_are_the_old_ones_and_fire() {
    let rules = Rules::read();
    let numbers: Vec<&str> = rules.0.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(numbers, ["100620", "100621", "100622"]);
    // As the old integration answered a hit: without `integration` nothing fires.
    let old = json!({"misp": {"event_id": "1", "category": "Network activity", "value": "x", "type": "ip-dst"}});
    assert_eq!(rules.fires(&old), None);
    assert_eq!(rules.fires(&json!({"integration": "virustotal"})), None);
    assert_eq!(rules.fires(&json!({"integration": "misp"})).as_deref(), Some("100620"));
}

#[test]
fn the_section_for_ossec_conf() {
    let all = elements(&fs::read_to_string(packaging("ossec.conf")).unwrap());
    let text = |name: &str| all.iter().find(|e| e.name == name).map(|e| e.text.as_str());
    assert_eq!(text("name"), Some("custom-misp"));
    assert_eq!(text("alert_format"), Some("json"));
    assert!(text("group").is_some_and(|g| !g.contains(' ') && g.contains("syscheck") && g.contains("sysmon_event1")));
}

/// The rules for CDB lists ask lists that `ossec.conf` names, and all of these are such as a
/// pass writes by default. Wazuh does not start with a rule whose list it was not told of.
#[test]
fn the_rules_for_lists_and_their_section() {
    let of = |file: &str| elements(&fs::read_to_string(packaging(file)).unwrap());
    let names = |all: &[Element]| -> BTreeSet<String> {
        let lists = all.iter().filter(|e| e.name == "list");
        lists.map(|e| e.text.strip_prefix("etc/lists/misp-").expect("a list of ours").to_owned()).collect()
    };
    let (section, rules) = (of("ossec_lists.conf"), of("misp_list_rules.xml"));
    let written: BTreeSet<String> = CdbList::DEFAULT.iter().map(|list| list.name().to_owned()).collect();
    assert_eq!(names(&section), written);
    assert_eq!(names(&rules), written);
    let mut ids: Vec<String> = Rules::read().0.into_iter().map(|rule| rule.id).collect();
    for (at, rule) in rules.iter().enumerate().filter(|(_, e)| e.name == "rule") {
        let inner = |name: &str| rules.iter().find(|e| e.parent == Some(at) && e.name == name).expect("an element");
        let list = inner("list");
        // Prefixes are tried for addresses only.
        let addresses = list.attributes.ends_with("lookup=\"address_match_key\"");
        assert_eq!(addresses, list.text.ends_with("misp-ip"), "{}", list.attributes);
        assert!(addresses || list.attributes.ends_with("lookup=\"match_key\""), "{}", list.attributes);
        assert!(inner("description").text.contains("$("));
        ids.push(rule.attributes.split('"').nth(1).expect("a number").to_owned());
    }
    let count = ids.len();
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), count, "each number once");
}

/// The wrapper finds its configuration beside it, and hands all arguments on.
#[test]
fn the_wrapper_and_its_configuration() {
    let manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    let home = manager.site.config.directory().join("ossec");
    for name in ["integrations", "etc"] {
        fs::create_dir_all(home.join(name)).unwrap();
    }
    fs::copy(packaging("custom-misp"), home.join("integrations/custom-misp")).unwrap();
    fs::copy(manager.file(), home.join("etc/misp2memcached.yaml")).unwrap();
    let alert = manager.alert(&listed());
    let status = std::process::Command::new("sh")
        .arg(home.join("integrations/custom-misp"))
        .arg(&alert)
        .args(["", "", ""])
        .args(REDIRECTION)
        .env("MISP2MEMCACHED", env!("CARGO_BIN_EXE_misp2memcached"))
        .env_remove("MISP2MEMCACHED_CONFIG")
        .status()
        .unwrap();
    assert_eq!((status.code(), manager.received().len()), (Some(0), 1));
    let shipped = Sources { file: Some(packaging("misp2memcached.yaml")), without_misp: true, ..Sources::default() };
    let shipped = config::load(&shipped).unwrap().config.wazuh;
    let default = config::Wazuh::default();
    assert_eq!((shipped.queue(), shipped.timeout), (default.queue(), default.timeout));
}

/// The page lists the fields of the default, in their order.
#[test]
fn the_page_has_every_field() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wazuh.md")).unwrap();
    let (_, table) = page.split_once("\n### Fields\n").unwrap();
    let rows = table.split("\nA path leads").next().unwrap().lines().filter(|l| l.starts_with("| ") && l.contains('`'));
    let listed: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    assert_eq!(listed, fields::DEFAULT);
}

/// MISP's own table, where the recordings lie beside the checkout.
#[test]
fn categories_are_misp_s_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings/rest/describeTypes.json");
    let Ok(text) = fs::read_to_string(&file) else {
        println!("no recordings in {}: nothing compared", file.display());
        return;
    };
    let recording: Value = serde_json::from_str(&text).unwrap();
    let body: Value = serde_json::from_str(recording["response"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["result"]["categories"], serde_json::json!(ATTRIBUTE_CATEGORIES));
    let defaults = &body["result"]["sane_defaults"];
    for kind in MispType::all() {
        assert_eq!(defaults[kind.name()]["default_category"], kind.default_category(), "{}", kind.name());
    }
}
