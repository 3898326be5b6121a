//! Saved objects for Kibana: a data view in which MISP's event ids are links, a saved
//! search of the hits, and a small dashboard. Pure: MISP's address and the names of the
//! indices in, lines of JSON out.
//!
//! It knows the fields that `logstash/misp_lookup.rb` writes, and Kibana's own habit of
//! keeping JSON as text inside JSON. It refuses to know who imports it.

mod panel;

use serde_json::{Value, json};

/// For which Kibana the objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// 7.11 to 8.7, with a scripted field as well.
    #[value(name = "7")]
    Seven,
    /// 8.8 and later, 9 too.
    #[value(name = "8", alias = "9")]
    Eight,
}

/// Indices that hold what Logstash and the Beats write, in their usual names.
pub const INDICES: &str = "logs-*,winlogbeat-*,filebeat-*,packetbeat-*,logstash-*";

/// The data view; all else refers to it. Fixed, so that a second import replaces.
const VIEW: &str = "misp2memcached-view";

/// The saved search.
const SEARCH: &str = "misp2memcached-hits";

/// The field that the runtime field and the scripted field are known by.
const LINK: &str = "misp_event";

/// Every id of an event, once more as a field of its own. An index without the field
/// has no doc values to ask for, which the script must not trip over.
const RUNTIME: &str = "if (doc.containsKey('misp.event_id')) { for (def id : doc['misp.event_id']) { emit(id) } }";

/// The same as a scripted field, which Kibana 9 no longer creates.
const SCRIPTED: &str = "def ids = []; if (doc.containsKey('misp.event_id')) { for (def id : doc['misp.event_id']) { \
                        ids.add(id) } } return ids";

/// All objects, one JSON object a line, each after those that it refers to.
pub fn ndjson(version: Version, misp_url: &str, indices: &str) -> String {
    let mut objects = vec![view(version, misp_url, indices), search(version)];
    let panels = panel::all();
    objects.extend(panels.iter().map(|p| p.object(version)));
    objects.push(dashboard(version, &panels));
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// What every saved object has. Its type's version says how old the form of its
/// attributes is: an import brings it up to the Kibana at hand, never down.
fn object(version: Version, kind: &str, id: &str, attributes: Value, references: Vec<Value>) -> Value {
    let mut object = json!({ "type": kind, "id": id, "attributes": attributes, "references": references });
    let form = match (version, kind) {
        (Version::Seven, "search") => "7.9.3",
        (Version::Seven, _) => "7.11.0",
        (Version::Eight, "visualization") => "8.5.0",
        (Version::Eight, "dashboard") => "8.7.0",
        (Version::Eight, _) => "8.0.0",
    };
    match version {
        Version::Seven => object["migrationVersion"] = json!({ kind: form }),
        Version::Eight => {
            object["typeMigrationVersion"] = json!(form);
            object["coreMigrationVersion"] = json!("8.8.0");
        }
    }
    object
}

/// A reference to the data view, under the name that a search source gives it.
fn to_view(name: &str) -> Value {
    json!({ "type": "index-pattern", "id": VIEW, "name": name })
}

fn view(version: Version, misp_url: &str, indices: &str) -> Value {
    // Kibana puts the value into the template percent-encoded.
    let template = format!("{}/events/view/{{{{value}}}}", misp_url.trim_end_matches('/'));
    let link = json!({ "id": "url", "params": { "type": "a", "urlTemplate": template, "labelTemplate": "{{value}}" } });
    let formats = json!({
        "misp.event_id": link,
        LINK: link,
        "threat.enrichments.indicator.reference": { "id": "url", "params": { "type": "a" } },
    });
    let mut attributes = json!({
        "title": indices,
        "timeFieldName": "@timestamp",
        "fields": "[]",
        "fieldFormatMap": formats.to_string(),
    });
    match version {
        Version::Seven => {
            let scripted = json!([{
                "name": LINK, "type": "string", "esTypes": ["keyword"], "count": 0, "scripted": true, "script": SCRIPTED,
                "lang": "painless", "searchable": true, "aggregatable": true, "readFromDocValues": false,
            }]);
            attributes["fields"] = json!(scripted.to_string());
        }
        Version::Eight => {
            let runtime = json!({ LINK: { "type": "keyword", "script": { "source": RUNTIME } } });
            attributes["name"] = json!("MISP hits");
            attributes["runtimeFieldMap"] = json!(runtime.to_string());
        }
    }
    object(version, "index-pattern", VIEW, attributes, Vec::new())
}

/// A query in Kibana's language on the data view, as text inside an object.
fn source(query: &str) -> Value {
    let source = json!({
        "query": { "language": "kuery", "query": query },
        "filter": [],
        "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index",
    });
    json!({ "searchSourceJSON": source.to_string() })
}

/// Events of which at least one field is listed.
const HITS: &str = "misp.event_id : *";

fn search(version: Version) -> Value {
    let attributes = json!({
        "title": "MISP hits",
        "description": "Events of which at least one field is listed in MISP",
        "columns": ["misp.event_id", "misp.type", "misp.match", "misp.field", "host.name"],
        "sort": [["@timestamp", "desc"]],
        "kibanaSavedObjectMeta": source(HITS),
    });
    object(version, "search", SEARCH, attributes, vec![to_view("kibanaSavedObjectMeta.searchSourceJSON.index")])
}

fn dashboard(version: Version, panels: &[panel::Panel]) -> Value {
    let mut placed = Vec::new();
    let mut references = Vec::new();
    let mut place = |kind: &str, id: &str, [x, y, w, h]: [u8; 4]| {
        let name = format!("panel_{}", placed.len());
        let index = (placed.len() + 1).to_string();
        // From 7.13 on Kibana looks a panel's reference up under `INDEX:NAME`.
        let reference = if version == Version::Seven { name.clone() } else { format!("{index}:{name}") };
        // The Kibana that the panel's form is of.
        let written = if version == Version::Seven { "7.11.0" } else { "8.8.0" };
        placed.push(json!({
            "version": written, "type": kind, "panelRefName": name, "panelIndex": index, "embeddableConfig": {},
            "gridData": { "x": x, "y": y, "w": w, "h": h, "i": index },
        }));
        references.push(json!({ "type": kind, "id": id, "name": reference }));
    };
    for panel in panels {
        place("visualization", panel.id, panel.grid);
    }
    place("search", SEARCH, [0, 34, 48, 20]);
    let attributes = json!({
        "title": "MISP hits",
        "description": "What MISP lists among the events, and whether the look-ups work",
        "panelsJSON": Value::Array(placed).to_string(),
        "optionsJSON": json!({ "useMargins": true, "hidePanelTitles": false }).to_string(),
        "timeRestore": false,
        "version": 1,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": json!({ "query": { "language": "kuery", "query": "" }, "filter": [] }).to_string(),
        },
    });
    object(version, "dashboard", "misp2memcached-dashboard", attributes, references)
}

#[cfg(test)]
mod tests;
