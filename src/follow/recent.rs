//! What messages brought lately, attribute by attribute. An answer that MISP is about to
//! give may be older than a message, and knows an attribute as it was before. Pure: the
//! moment is always handed in.

use crate::pass::between::Fresh;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// So long an added indicator is believed against an answer without it: that of a
/// MISP whose transaction was not over yet.
pub(super) const RECENT: Duration = Duration::from_secs(5);

/// Attributes that are remembered for that.
const MAX_RECENT: usize = 20_000;

/// Attributes, by event, that messages brought lately, and when.
#[derive(Debug, Default)]
pub struct Recent(BTreeMap<(u64, u64), (Instant, Vec<Fresh>)>);

impl Recent {
    /// A message brought these indicators of an event's attribute.
    pub fn remember(&mut self, attribute: (u64, u64), fresh: &[Fresh], now: Instant) {
        if self.0.len() >= MAX_RECENT {
            self.forget(now);
        }
        if self.0.len() < MAX_RECENT {
            self.0.insert(attribute, (now, fresh.to_vec()));
        } else {
            self.0.remove(&attribute);
        }
    }

    /// The attribute may stand for nothing any more.
    pub fn withdraw(&mut self, attribute: (u64, u64)) {
        self.0.remove(&attribute);
    }

    /// Forgets what any answer of MISP's has by now.
    pub fn forget(&mut self, now: Instant) {
        self.0.retain(|_, (at, _)| now.saturating_duration_since(*at) < RECENT);
    }

    /// The indicators of an event that messages brought so lately that an answer of
    /// MISP's without them does not count. A look that takes long keeps what came since
    /// it began.
    pub fn of(&self, event: u64) -> impl Iterator<Item = &Fresh> {
        self.0.range((event, 0)..=(event, u64::MAX)).flat_map(|(_, (_, fresh))| fresh)
    }

    /// The events of these.
    pub fn events(&mut self, now: Instant) -> BTreeSet<u64> {
        self.forget(now);
        self.0.keys().map(|(event, _)| *event).collect()
    }
}
