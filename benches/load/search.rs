//! A restSearch request, and the rows that answer it: which events, which types,
//! which page, and what MISP would write into X-Result-Count. Pure.

use crate::attribute::{KINDS, kind_of};
use crate::dataset::FIRST_EVENT_ID;
use crate::rows::Rows;
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// Parameters that hold for every row there is, so they need no work: all are
/// flagged for detection, published, live, on no warninglist and without decay.
const HOLDS_ANYWAY: [&str; 7] =
    ["returnFormat", "to_ids", "published", "deleted", "enforceWarninglist", "excludeDecayed", "order"];

/// What a search asks for.
pub struct Search {
    /// Positions of events, ascending, each once; `None`: all.
    events: Option<Vec<usize>>,
    /// For each type whether it is wanted.
    kinds: [bool; KINDS.len()],
    /// 0: no limit.
    limit: usize,
    page: usize,
}

/// The rows of one answer.
pub struct Page {
    /// Position in the list of asked events, and rows of that event.
    pub slices: Vec<(usize, Range<usize>)>,
    pub rows: usize,
    pub result_count: usize,
}

impl Search {
    /// Reads a request's body.
    ///
    /// # Errors
    /// A parameter that a real MISP knows, or drops, and this server does not.
    pub fn parse(body: &[u8]) -> Result<Search, String> {
        let Ok(Value::Object(asked)) = serde_json::from_slice(body) else {
            return Err("the body is no JSON object".into());
        };
        let mut search = Search { events: None, kinds: [true; KINDS.len()], limit: 0, page: 1 };
        for (name, value) in &asked {
            match name.as_str() {
                "eventid" => search.events = Some(events(value)?),
                "type" => search.kinds = kinds(value)?,
                "limit" => search.limit = number(value)?,
                "page" => search.page = number(value)?.max(1),
                other if HOLDS_ANYWAY.contains(&other) => {}
                other => return Err(format!("the replay server does not know {other:?}={value} in restSearch")),
            }
        }
        Ok(search)
    }

    /// The events asked for, of `all` that there are.
    pub fn events(&self, all: usize) -> impl Iterator<Item = usize> {
        let wanted = self.events.clone().unwrap_or_else(|| (0..all).collect());
        wanted.into_iter().filter(move |event| *event < all)
    }

    /// The page of these events' rows. Nothing is done row by row where all types are wanted.
    pub fn cut(&self, events: &[Arc<Rows>]) -> Page {
        let every = self.kinds.iter().all(|wanted| *wanted);
        let mut skip = self.limit * (self.page - 1) * usize::from(self.limit > 0);
        let mut room = if self.limit > 0 { self.limit } else { usize::MAX };
        let mut page = Page { slices: Vec::new(), rows: 0, result_count: 0 };
        for (event, rows) in events.iter().enumerate() {
            for run in self.runs(rows, every) {
                let start = run.start + skip.min(run.len());
                let end = run.end.min(start.saturating_add(room));
                skip -= start - run.start;
                if start < end {
                    room -= end - start;
                    page.rows += end - start;
                    page.slices.push((event, start..end));
                }
            }
            if room == 0 {
                break;
            }
        }
        page.result_count = match page.rows {
            rows if self.limit > 0 && rows == self.limit => rows + 1,
            0 if self.limit > 0 && self.page > 1 => 1,
            rows => rows,
        };
        page
    }

    /// Neighbouring rows of wanted types, in one run if every type is wanted.
    fn runs(&self, rows: &Rows, every: bool) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        if every {
            runs.push(0..rows.len());
            return runs;
        }
        for (row, kind) in rows.kinds().iter().enumerate() {
            match runs.last_mut() {
                _ if !self.kinds[usize::from(*kind)] => {}
                Some(run) if run.end == row => run.end += 1,
                _ => runs.push(row..row + 1),
            }
        }
        runs
    }
}

/// A number, also as text.
fn number(value: &Value) -> Result<usize, String> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().map(|n| n as usize),
    };
    number.ok_or_else(|| format!("{value} is no number"))
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Object(map) if map.len() == 1 && map.contains_key("OR") => list(&map["OR"]),
        one => std::slice::from_ref(one),
    }
}

fn events(value: &Value) -> Result<Vec<usize>, String> {
    let ids: Result<Vec<usize>, String> = list(value).iter().map(number).collect();
    let mut events: Vec<usize> = ids?.into_iter().filter_map(|id| id.checked_sub(FIRST_EVENT_ID as usize)).collect();
    events.sort_unstable();
    events.dedup();
    // MISP may take an empty list for "no filter": nobody should rely on either reading.
    if list(value).is_empty() { Err("an empty list of event ids".into()) } else { Ok(events) }
}

/// Types are an OR in whatever form; unknown ones find nothing and do no harm.
fn kinds(value: &Value) -> Result<[bool; KINDS.len()], String> {
    let mut kinds = [false; KINDS.len()];
    let items = list(value);
    for item in items {
        let name = item.as_str().ok_or_else(|| format!("{item} is no type"))?;
        if name.starts_with('!') || name.contains(['%', '&']) || name.contains("||") {
            return Err(format!("the replay server does not know types like {name:?}"));
        }
        if let Some(kind) = kind_of(name) {
            kinds[usize::from(kind)] = true;
        }
    }
    if items.is_empty() { Ok([true; KINDS.len()]) } else { Ok(kinds) }
}
