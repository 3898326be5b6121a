//! From request to response, as MISP 2.5.1 answers: the key, the paths, pages,
//! totals and texts.
//!
//! Pure: the world, the clock and the key are handed in.

use super::event::{Attribute, Event};
use super::http::{Request, Response};
use super::row::{IndexRow, Row};
use super::search::{self, Limit, Order, Range, Refusal, Search};
use super::world::World;
use serde::Serialize;
use serde_json::{Map, Value};

/// What an answer depends on besides the request and the world.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one key that is let in.
    pub key: String,
    /// Unix seconds.
    pub now: u64,
    /// Rows that MISP holds at once: an unlimited search that matches more sends some twice.
    pub chunk: usize,
}

impl Options {
    /// A server that lets `key` in at `now`, with the chunk of the recommended memory limit.
    pub fn new(key: &str, now: u64) -> Options {
        Options { key: key.to_owned(), now, chunk: DEFAULT_CHUNK }
    }
}

/// 2048 MB times `MISP.default_attribute_memory_coefficient` (50).
const DEFAULT_CHUNK: usize = 102_400;

/// The step of MISP's loop behind the first chunk of an unlimited search.
const UNLIMITED_STEP: usize = 50_000;

/// Longest event index that is pretty-printed.
const PRETTY_ROWS: usize = 100;

pub(super) const NO_KEY: &str = "Authentication failed. Please make sure you pass the API key of an API enabled user along in the \
                      Authorization header.";

pub(super) const BAD_JSON: &str = "Invalid JSON input. Make sure that the JSON input is a correctly formatted JSON string. This \
                        request has been blocked to avoid an unfiltered request.";

const GET_WITHOUT_PARAMETERS: &str = "Restsearch queries using GET and no parameters are not allowed. If you have \
                                      passed parameters via a JSON body, make sure you use POST requests.";

const VERSION: &str = r#"{
    "version": "2.5.1",
    "pymisp_recommended_version": "2.5.1",
    "perm_sync": false,
    "perm_sighting": true,
    "perm_galaxy_editor": false,
    "perm_analyst_data": false,
    "uuid": "0000000d-0000-4000-8000-000000000001",
    "request_encoding": [
        "gzip"
    ],
    "filter_sightings": true
}"#;

const ME: &str = r#"{
    "User": {
        "id": "1",
        "org_id": "1",
        "email": "admin@admin.test",
        "authkey": "*****",
        "role_id": "3",
        "change_pw": false,
        "disabled": false,
        "expiration": null
    },
    "Role": {
        "id": "3",
        "name": "User",
        "perm_add": true,
        "perm_modify": true,
        "perm_modify_org": false,
        "perm_publish": true,
        "perm_sync": false,
        "perm_admin": false,
        "perm_auth": true,
        "perm_site_admin": false,
        "perm_tagger": true,
        "perm_sighting": true,
        "enforce_rate_limit": false,
        "rate_limit_count": "0"
    },
    "UserSetting": [],
    "Organisation": {
        "id": "1",
        "name": "ORGNAME",
        "uuid": "0000000c-0000-4000-8000-000000000001"
    }
}"#;

/// The response to a request.
pub fn answer(request: &Request, world: &World, options: &Options) -> Response {
    let path = request.path.split('?').next().unwrap_or_default();
    if request.header("Authorization") != Some(options.key.as_str()) {
        if request.header("Accept").is_some_and(|a| a.contains("application/json")) {
            return failure(403, NO_KEY, path);
        }
        return html(403, NO_KEY);
    }
    match (request.method.as_str(), path.strip_suffix(".json").unwrap_or(path)) {
        ("GET", "/servers/getVersion") => json(200, VERSION.into()),
        ("GET", "/users/view/me") => json(200, ME.into()),
        ("POST", "/events/index") => events_index(request, path, world, options.now),
        ("GET", "/attributes/restSearch") => failure(400, GET_WITHOUT_PARAMETERS, path),
        ("HEAD", "/attributes/restSearch") | (_, "/events/index") => unsupported(&request.method, path),
        (_, "/attributes/restSearch") => rest_search(request, path, world, options),
        _ => failure(404, "Not Found", path),
    }
}

/// What a body says.
enum Body {
    Parameters(Map<String, Value>),
    /// MISP reads no filter: everything is asked for.
    Unread,
    Malformed,
    Unsupported(&'static str),
}

fn read_body(request: &Request) -> Body {
    if request.header("Content-Encoding").is_some() {
        return Body::Unsupported("Content-Encoding");
    }
    let kind = request.header("Content-Type").unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        return Body::Unsupported("a form");
    }
    if request.method != "POST" || !kind.starts_with("application/json") || request.body.is_empty() {
        return Body::Unread;
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(mut parameters)) => match parameters.remove("request") {
            Some(Value::Object(inner)) => Body::Parameters(inner),
            _ => Body::Parameters(parameters),
        },
        Ok(_) => Body::Unread,
        Err(_) => Body::Malformed,
    }
}

fn events_index(request: &Request, path: &str, world: &World, now: u64) -> Response {
    let parameters = match read_body(request) {
        Body::Parameters(parameters) if parameters.contains_key("minimal") => parameters,
        Body::Malformed => return failure(405, BAD_JSON, path),
        _ => return unsupported("an index that is not minimal", path),
    };
    let (Ok(changed), Ok((limit, page))) = (Range::read(parameters.get("timestamp"), now), search::paging(&parameters))
    else {
        return broken(path);
    };
    let published = search::published(&parameters);
    let taken = |event: &&Event| {
        event.is_listed()
            && published.is_none_or(|p| p == event.published)
            && changed.is_none_or(|r| r.holds(event.timestamp))
    };
    let events: Vec<&Event> = world.events().filter(taken).collect();
    let rows: Vec<IndexRow> = cut(&events, limit, page).iter().map(|e| IndexRow::new(e)).collect();
    let mut body = Vec::new();
    let written = if rows.len() <= PRETTY_ROWS {
        let four_blanks = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        rows.serialize(&mut serde_json::Serializer::with_formatter(&mut body, four_blanks))
    } else {
        serde_json::to_writer(&mut body, &rows)
    };
    if written.is_err() {
        return broken(path);
    }
    let mut response = json(200, body);
    response.headers.push(("X-Result-Count".into(), events.len().to_string()));
    response
}

fn rest_search(request: &Request, path: &str, world: &World, options: &Options) -> Response {
    let parameters = match read_body(request) {
        Body::Parameters(parameters) => parameters,
        Body::Unread => Map::new(),
        Body::Malformed => return failure(405, BAD_JSON, path),
        Body::Unsupported(what) => return unsupported(what, path),
    };
    match parameters.get("returnFormat").map(|f| f.as_str().unwrap_or_default()) {
        None | Some("json") => {}
        Some("csv" | "text" | "cache" | "count" | "hashes" | "hosts" | "xml") => {
            return unsupported("this returnFormat", path);
        }
        Some(_) => return failure(404, "Invalid output format.", path),
    }
    let search = match Search::read(&parameters, options.now) {
        Ok(search) => search,
        Err(Refusal::Broken) => return broken(path),
        Err(Refusal::Unsupported(what)) => return unsupported(&what, path),
    };
    let found = find(world, &search);
    let (page, count) = page_of(&found, &search, options.chunk);
    let mut body = b"{\"response\": {\"Attribute\": [".to_vec();
    let mut skipped = 0;
    let mut first = true;
    for (event, attribute) in &page {
        // The page is cut by now: what is dropped here is missing from it.
        if search.enforce_warninglist && attribute.warninglisted || search.exclude_decayed && attribute.decayed {
            skipped += 1;
            continue;
        }
        if !std::mem::take(&mut first) {
            body.push(b',');
        }
        let mut row = Row::new(world, event, attribute);
        if search.context {
            row.add_context(world, event);
        }
        if search.sightings {
            row.add_sightings(world, event, attribute);
        }
        if serde_json::to_writer(&mut body, &row).is_err() {
            return broken(path);
        }
    }
    body.extend_from_slice(b"]}}\n");
    let mut response = json(200, body);
    for (name, value) in [
        ("X-Result-Count", count.to_string()),
        ("X-Export-Module-Used", "json".into()),
        ("X-Response-Format", "json".into()),
        ("X-Skipped-Elements-Count", skipped.to_string()),
    ] {
        response.headers.push((name.into(), value));
    }
    response
}

type Found<'w> = (&'w Event, &'w Attribute);

/// Everything a search matches, in the order of MISP's database: by event where a
/// condition is on the event, by type with a type filter and a limit, else by id.
fn find<'w>(world: &'w World, search: &Search) -> Vec<Found<'w>> {
    let events: Vec<&Event> = match &search.event_ids {
        Some(ids) => ids.iter().filter_map(|id| world.event(*id)).collect(),
        None => world.events().collect(),
    };
    let events = events.into_iter().filter(|event| search.takes_event(event));
    let of_event = |event: &'w Event| event.attributes.iter().map(move |attribute| (event, attribute));
    let mut found: Vec<Found> = events.flat_map(of_event).filter(|(e, a)| search.takes(e, a)).collect();
    match search.order {
        Order::Ascending => found.sort_by_key(|(_, a)| a.id),
        Order::Descending => found.sort_by_key(|(_, a)| std::cmp::Reverse(a.id)),
        Order::Unsorted if search.goes_by_event() => {}
        Order::Unsorted if !search.types.is_empty() && search.limit != Limit::Unlimited => {
            found.sort_by(|(_, a), (_, b)| a.kind.cmp(&b.kind).then(a.id.cmp(&b.id)));
        }
        Order::Unsorted => found.sort_by_key(|(_, a)| a.id),
    }
    found
}

/// The rows of the page, and X-Result-Count: no total as soon as there is a limit.
fn page_of<'w>(found: &[Found<'w>], search: &Search, chunk: usize) -> (Vec<Found<'w>>, usize) {
    match search.limit {
        Limit::Unlimited if found.len() > chunk => {
            let mut rows = found[..chunk].to_vec();
            // The offset is lost behind the first step: the rest starts over.
            rows.extend_from_slice(&found[chunk..found.len().min(chunk + UNLIMITED_STEP)]);
            rows.extend_from_slice(&found[found.len().min(UNLIMITED_STEP)..]);
            let count = rows.len() + 1;
            (rows, count)
        }
        Limit::Unlimited => (found.to_vec(), found.len()),
        Limit::Negative => (found.to_vec(), found.len() + 1),
        Limit::Rows(rows) => {
            let page = cut(found, search.limit, search.page);
            let count = match page.len() {
                0 => 1,
                full if full == rows => full + 1,
                short => short,
            };
            (page.to_vec(), count)
        }
    }
}

fn cut<T>(all: &[T], limit: Limit, page: u64) -> &[T] {
    let Limit::Rows(rows) = limit else { return all };
    let start = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(rows).min(all.len());
    &all[start..start.saturating_add(rows).min(all.len())]
}

pub(super) fn json(status: u16, body: Vec<u8>) -> Response {
    Response { status, headers: vec![("Content-Type".into(), "application/json; charset=UTF-8".into())], body }
}

/// MISP's error: the slashes of the address are escaped.
pub(super) fn failure(status: u16, message: &str, path: &str) -> Response {
    let (message, url) = (Value::from(message), Value::from(path).to_string().replace('/', "\\/"));
    json(status, format!("{{\"name\":{message},\"message\":{message},\"url\":{url}}}").into_bytes())
}

fn broken(path: &str) -> Response {
    failure(500, "An Internal Error Has Occurred.", path)
}

fn unsupported(what: &str, path: &str) -> Response {
    failure(501, &format!("The sample MISP does not know {what}."), path)
}

/// A page for people, as MISP and the proxies before it send.
pub(super) fn html(status: u16, message: &str) -> Response {
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n    <meta charset=\"utf-8\">\n    <title>Errors - MISP</title>\n\
         </head>\n<body>\n    <h2>{message}</h2>\n</body>\n</html>\n"
    );
    let headers = vec![("Content-Type".into(), "text/html; charset=UTF-8".into())];
    Response { status, headers, body: body.into_bytes() }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
