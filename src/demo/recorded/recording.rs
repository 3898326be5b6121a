//! A recorded request and its answer, read from the directory of the recordings.

use super::KEY;
use crate::demo::http::Request;
use serde_json::Value;
use std::path::PathBuf;

/// One recorded request and its answer.
pub struct Recording {
    pub name: String,
    pub request: Request,
    pub now: u64,
    pub status: u64,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The recordings lie beside the checkout, not in it; without them there is nothing to compare.
pub fn directory() -> Option<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings");
    if !directory.is_dir() {
        println!("no recordings in {}: nothing compared", directory.display());
        return None;
    }
    Some(directory)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn recording(name: &str) -> Recording {
    let whole = |name: &str| -> Value {
        let path = directory().unwrap().join(format!("{name}.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let recorded = whole(name);
    let (request, response) = (&recorded["request"], &recorded["response"]);
    let headers: Vec<(String, String)> =
        response["headers"].as_array().unwrap().iter().map(|h| (text(&h[0]), text(&h[1]))).collect();
    let date = headers.iter().find(|(n, _)| n == "Date").map(|(_, v)| v.clone()).unwrap();
    let mut body = response["body"].clone();
    if let Some(other) = response["body_same_as"].as_str().or(recorded["body_same_as"].as_str()) {
        body = whole(other.trim_end_matches(".json"))["response"]["body"].clone();
    }
    let sent = request["headers"].as_object().unwrap().iter();
    let sent = sent.map(|(n, v)| (n.clone(), text(v).replace("REDACTED", KEY)));
    Recording {
        name: name.to_owned(),
        request: Request {
            method: text(&request["method"]),
            path: text(&request["path"]),
            headers: sent.collect(),
            body: text(&request["body"]).into_bytes(),
        },
        now: seconds(&date),
        status: response["status"].as_u64().unwrap(),
        headers,
        body: text(&body),
    }
}

/// All were recorded on one day.
fn seconds(date: &str) -> u64 {
    const MIDNIGHT: u64 = 1_795_219_200;
    let clock = date.strip_prefix("Sat, 21 Nov 2026 ").and_then(|d| d.strip_suffix(" GMT")).unwrap();
    let clock = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    MIDNIGHT + clock
}
