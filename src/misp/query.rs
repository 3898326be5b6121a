//! The body of an attribute search. Pure.
//!
//! MISP drops parameters it does not know and then answers everything, so only
//! parameters that were tried against a real one stand here (recordings
//! `type_*`, `tags_*`, `org_*`, `threat_level_*`, `category_*`, `to_ids_*`,
//! `time_*`, `warninglist_*`, `decay_*`). Times are absolute Unix seconds.

use crate::config::{Category, Config, ContextField, FilterClause, Misp, Since};
use crate::indicator::{self, MispType};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What a pass asks for, fixed for its whole length.
#[derive(Debug, Clone)]
pub struct Query {
    /// One search for each clause of the filter; their answers are united.
    clauses: Vec<Map<String, Value>>,
    /// The types that each of them is for.
    types: Vec<BTreeSet<MispType>>,
    to_ids: bool,
    file_names: bool,
    context: Vec<ContextField>,
}

/// The switches of the configuration, by category.
pub fn switch(config: &Config, category: indicator::Category) -> &Category {
    match category {
        indicator::Category::Hash => &config.hash,
        indicator::Category::Network => &config.network,
        indicator::Category::Web => &config.web,
        indicator::Category::Other => &config.other,
    }
}

/// The types that the enabled categories load.
pub fn enabled_types(config: &Config) -> BTreeSet<MispType> {
    MispType::all().filter(|t| switch(config, t.category()).enabled).collect()
}

impl Query {
    /// The query of a configuration at MISP's `now`.
    pub fn new(config: &Config, now: u64) -> Query {
        let enabled = enabled_types(config);
        let everything = [FilterClause::default()];
        let clauses = if config.misp.filter.is_empty() { &everything[..] } else { &config.misp.filter };
        let mut types = Vec::new();
        let mut bodies = Vec::new();
        for clause in clauses {
            let wanted: BTreeSet<MispType> = enabled
                .iter()
                .copied()
                .filter(|t| clause.types.is_empty() || clause.types.iter().any(|name| name == t.name()))
                .collect();
            if !wanted.is_empty() {
                bodies.push(body(config, clause, &wanted, now));
                types.push(wanted);
            }
        }
        let context = config.memcached.context.clone();
        Query { clauses: bodies, types, to_ids: config.misp.to_ids, file_names: file_names(config), context }
    }

    /// The same for events changed since: what was not loaded before and is older is
    /// outside the window (recordings `time_event_ts_*`).
    #[must_use]
    pub fn changed_since(mut self, since: u64) -> Query {
        for clause in &mut self.clauses {
            clause.insert("event_timestamp".to_owned(), json!(since.max(1)));
        }
        self
    }

    /// Number of searches a batch takes.
    pub fn searches(&self) -> usize {
        self.clauses.len()
    }

    /// Whether rows of this type were asked for, by any of the searches.
    pub fn wants(&self, kind: MispType) -> bool {
        self.types.iter().any(|types| types.contains(&kind))
    }

    /// Whether this search asked for rows of this type: MISP answers `email` as well to
    /// one for `email-src` or `email-dst`, which only another clause may ask for.
    pub fn searches_for(&self, search: usize, kind: MispType) -> bool {
        self.types[search].contains(&kind)
    }

    /// Whether the file names of `filename|sha256` are kept, for Falco's hash list.
    pub fn file_names(&self) -> bool {
        self.file_names
    }

    /// What else is kept of each row.
    pub fn context(&self) -> &[ContextField] {
        &self.context
    }

    /// Whether only attributes flagged for detection were asked for.
    pub fn to_ids(&self) -> bool {
        self.to_ids
    }

    /// The body of one page of one search.
    pub fn page(&self, search: usize, events: &[u64], limit: usize, page: u64) -> Vec<u8> {
        #[derive(Serialize)]
        struct Page<'a> {
            #[serde(flatten)]
            clause: &'a Map<String, Value>,
            eventid: &'a [u64],
            limit: usize,
            page: u64,
        }
        let page = Page { clause: &self.clauses[search], eventid: events, limit, page };
        serde_json::to_vec(&page).unwrap_or_default()
    }
}

fn file_names(config: &Config) -> bool {
    config.falco.enabled && config.falco.hash_list.is_some()
}

fn body(config: &Config, clause: &FilterClause, types: &BTreeSet<MispType>, now: u64) -> Map<String, Value> {
    let misp = &config.misp;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("returnFormat", json!("json"));
    put("type", json!({"OR": types.iter().map(|t| t.name()).collect::<Vec<_>>()}));
    if misp.to_ids {
        put("to_ids", json!(1));
    }
    if misp.published {
        put("published", json!(1));
    }
    if !clause.orgs.is_empty() {
        put("org", json!(clause.orgs));
    }
    if !clause.tags.is_empty() {
        put("tags", json!({"OR": clause.tags}));
    }
    if !misp.categories.is_empty() {
        put("category", json!(misp.categories));
    }
    if let Some(least) = misp.min_threat_level {
        put("threat_level_id", json!((1..=least as u8).collect::<Vec<_>>()));
    }
    if misp.enforce_warninglist {
        put("enforceWarninglist", json!(1));
    }
    if misp.exclude_decayed {
        put("excludeDecayed", json!(1));
    }
    if config.memcached.context.iter().any(|field| field.is_of_the_event()) {
        put("includeContext", json!(1));
    }
    if let Some(cutoff) = attribute_cutoff(misp, now) {
        put("timestamp", json!(cutoff));
    }
    if let Some(cutoff) = published_cutoff(misp, now) {
        put("publish_timestamp", json!(cutoff));
    }
    body
}

/// The least attribute timestamp that `misp.timeframe` lets pass.
pub fn attribute_cutoff(misp: &Misp, now: u64) -> Option<u64> {
    (!misp.timeframe.is_zero()).then(|| now.saturating_sub(misp.timeframe.as_secs()).max(1))
}

/// The least publish timestamp that `misp.event_published_after` lets pass.
pub fn published_cutoff(misp: &Misp, now: u64) -> Option<u64> {
    misp.event_published_after.map(|since| match since {
        Since::Ago(span) => now.saturating_sub(span.as_secs()).max(1),
        Since::At(at) => at.max(1),
    })
}

/// A fingerprint of the question that a configuration asks: a ledger answers one.
/// Windows are not part of it; whatever decides which tags a key has, and what they say, is.
pub fn fingerprint(config: &Config) -> String {
    let misp = &config.misp;
    let mut question = json!({
        "rules": indicator::RULES,
        "url": misp.url,
        "prefix": config.memcached.prefix,
        "types": enabled_types(config).iter().map(|t| t.name()).collect::<Vec<_>>(),
        "filter": misp.filter.iter().map(|c| json!([c.orgs, c.tags, c.types])).collect::<Vec<_>>(),
        "published": misp.published,
        "to_ids": misp.to_ids,
        "enforce_warninglist": misp.enforce_warninglist,
        "exclude_decayed": misp.exclude_decayed,
        "categories": misp.categories,
        "min_threat_level": misp.min_threat_level.map(|t| t as u8),
        "event_published_after": misp.event_published_after.map(|s| format!("{s:?}")),
        "timeframe": misp.timeframe.as_secs(),
        "file_names": file_names(config),
        "expires": indicator::Category::ALL.map(|c| switch(config, c).expires.as_secs()),
    });
    // Only where there is one: the ledgers of older versions keep their fingerprint.
    if !config.memcached.context.is_empty() {
        question["context"] = json!(config.memcached.context.iter().map(|f| f.name()).collect::<Vec<_>>());
    }
    Sha256::digest(question.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}
