//! The panels of the dashboard: bars over time and tables of the commonest values, as
//! Kibana's aggregation-based visualisations, which 7, 8 and 9 all show.

use super::{HITS, Version, object, source, to_view};
use serde_json::{Value, json};

/// Longest table.
const ROWS: u8 = 20;

/// One panel: its title, what it counts, and where it stands on a grid of 48 columns.
pub(super) struct Panel {
    pub(super) id: &'static str,
    title: &'static str,
    query: &'static str,
    shape: Shape,
    /// Left, top, width, height.
    pub(super) grid: [u8; 4],
}

enum Shape {
    /// Events over time, split by this field.
    Bars(&'static str),
    /// The commonest values of this field.
    Table(&'static str),
}

/// All of them, from left to right and from top to bottom.
pub(super) fn all() -> Vec<Panel> {
    let panel = |id, title, query, shape, grid| Panel { id, title, query, shape, grid };
    vec![
        panel("misp2memcached-over-time", "MISP hits by field", HITS, Shape::Bars("misp.field"), [0, 0, 32, 14]),
        panel(
            "misp2memcached-failures",
            "Look-ups that failed",
            "tags : (\"_misp_lookup_failure\" or \"_misp_stale\")",
            Shape::Bars("misp.lookup"),
            [32, 0, 16, 14],
        ),
        panel("misp2memcached-events", "MISP events", HITS, Shape::Table("misp.event_id"), [0, 14, 16, 20]),
        panel("misp2memcached-values", "Indicators", HITS, Shape::Table("misp.match"), [16, 14, 16, 20]),
        panel("misp2memcached-hosts", "Hosts", HITS, Shape::Table("host.name"), [32, 14, 16, 20]),
    ]
}

impl Panel {
    /// The panel as a saved object.
    pub(super) fn object(&self, version: Version) -> Value {
        let count = json!({ "id": "1", "enabled": true, "type": "count", "schema": "metric", "params": {} });
        let (kind, params, aggs) = match self.shape {
            Shape::Bars(field) => {
                let params = json!({
                    "type": "histogram", "addLegend": true, "legendPosition": "right", "addTooltip": true,
                    "seriesParams": [{
                        "show": true, "type": "histogram", "mode": "stacked", "valueAxis": "ValueAxis-1",
                        "data": { "id": "1", "label": "Events" },
                    }],
                    "categoryAxes": [{
                        "id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": true,
                        "scale": { "type": "linear" }, "labels": { "show": true, "filter": true }, "title": {},
                    }],
                    "valueAxes": [{
                        "id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": true,
                        "scale": { "type": "linear", "mode": "normal" }, "labels": { "show": true },
                        "title": { "text": "Events" },
                    }],
                    "grid": { "categoryLines": false },
                });
                let time = json!({ "field": "@timestamp", "interval": "auto", "min_doc_count": 1 });
                let time = json!({
                    "id": "2", "enabled": true, "type": "date_histogram", "schema": "segment", "params": time,
                });
                ("histogram", params, json!([count, time, terms("3", "group", field)]))
            }
            Shape::Table(field) => {
                let params = json!({ "perPage": 10, "showPartialRows": false, "showTotal": false });
                ("table", params, json!([count, terms("2", "bucket", field)]))
            }
        };
        let state = json!({ "title": self.title, "type": kind, "params": params, "aggs": aggs });
        let attributes = json!({
            "title": self.title,
            "visState": state.to_string(),
            "uiStateJSON": "{}",
            "description": "",
            "version": 1,
            "kibanaSavedObjectMeta": source(self.query),
        });
        let view = to_view("kibanaSavedObjectMeta.searchSourceJSON.index");
        object(version, "visualization", self.id, attributes, vec![view])
    }
}

fn terms(id: &str, schema: &str, field: &str) -> Value {
    json!({
        "id": id, "enabled": true, "type": "terms", "schema": schema,
        "params": {
            "field": field, "orderBy": "1", "order": "desc", "size": ROWS,
            "otherBucket": false, "missingBucket": false,
        },
    })
}
