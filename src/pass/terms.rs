//! What every step of a pass needs to know to turn records into changes. Pure.

use crate::cache::changes::Changes;
use crate::cache::key::Keys;
use crate::cache::ttl::ExpiresAt;
use crate::config::Config;
use crate::indicator::Category;
use crate::ledger::header::Header;
use crate::ledger::record::Record;
use crate::misp::context;
use crate::misp::query::switch;

/// Keys and expiries of one pass.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The builder of keys.
    pub keys: Keys,
    /// Seconds by category, in the order of `Category::ALL`; 0: never.
    expires: [u64; 4],
    /// The mark of the contexts that are shown; `None`: none are.
    context: Option<String>,
    /// Unix seconds: MISP's clock, ours before MISP was asked.
    pub now: u64,
}

impl Terms {
    /// The terms of a configuration at `now`.
    pub fn new(config: &Config, now: u64) -> Terms {
        Terms {
            keys: Keys::new(&config.memcached.prefix),
            expires: Category::ALL.map(|c| switch(config, c).expires.as_secs()),
            context: (!config.memcached.context.is_empty()).then(|| context::mark(&config.memcached.context)),
            now,
        }
    }

    /// Whether indicators of this category expire.
    pub fn expires(&self, category: Category) -> bool {
        self.expires[position(category)] > 0
    }

    /// Whether those of any category do.
    pub fn any_expires(&self) -> bool {
        self.expires.iter().any(|e| *e > 0)
    }

    /// When an indicator goes that was delivered at `delivered`.
    pub fn expiry(&self, category: Category, delivered: u64) -> ExpiresAt {
        let seconds = self.expires[position(category)];
        (seconds > 0).then(|| delivered.saturating_add(seconds))
    }

    /// Whether an event delivered then has records of a category that has expired.
    pub fn has_expired(&self, header: &Header) -> bool {
        Category::ALL.iter().any(|c| header.categories & bit(*c) != 0 && self.is_over(*c, header.delivered))
    }

    /// Whether indicators of this category, delivered then, have expired.
    pub fn is_over(&self, category: Category, delivered: u64) -> bool {
        self.expiry(category, delivered).is_some_and(|at| at <= self.now)
    }

    /// What a value says of the record behind its type. One that was fetched for
    /// another list of fields has nothing to say until it is fetched again.
    pub fn context<'a>(&self, record: &Record<'a>) -> &'a str {
        self.context.as_deref().and_then(|mark| record.context.strip_prefix(mark)).unwrap_or_default()
    }

    /// Appends the change that adds the record's tag to its key.
    pub fn add(&self, changes: &mut Changes, event: u64, record: Record<'_>, delivered: u64) {
        let expires = self.expiry(record.namespace.category(), delivered);
        self.push(changes, event, record, false, expires);
    }

    /// Appends the change that takes the record's tag from its key.
    pub fn remove(&self, changes: &mut Changes, event: u64, record: Record<'_>) {
        self.push(changes, event, record, true, None);
    }

    fn push(&self, changes: &mut Changes, event: u64, record: Record<'_>, remove: bool, expires: ExpiresAt) {
        if !record.namespace.is_cached() {
            return;
        }
        if !remove {
            changes.adds_to(record.namespace, record.value);
        }
        let write = |key: &mut Vec<u8>| self.keys.indicator_into(record.namespace, record.value, key);
        let context = if remove { "" } else { self.context(&record) };
        changes.push(write, event, record.kind, remove, expires, context);
    }
}

/// The bit of a category in [`Header::categories`].
pub fn bit(category: Category) -> u8 {
    1 << position(category)
}

fn position(category: Category) -> usize {
    match category {
        Category::Hash => 0,
        Category::Network => 1,
        Category::Web => 2,
        Category::Other => 3,
    }
}

/// Takes a record into account in the header of its event.
pub fn count(header: &mut Header, record: &Record<'_>) {
    header.oldest = if header.records == 0 { record.timestamp } else { header.oldest.min(record.timestamp) };
    header.records += 1;
    header.categories |= bit(record.namespace.category());
}
