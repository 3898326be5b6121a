//! What a pass has to do: MISP's list of events against the ledger's. Pure.

use crate::config::Misp;
use crate::ledger::header::Header;
use crate::misp::attribute::IndexEvent;
use crate::misp::query::published_cutoff;
use crate::report;
use std::collections::BTreeMap;

/// The moments and switches that decide; all Unix seconds on MISP's clock.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// MISP's clock.
    pub now: u64,
    /// Events older than this are not loaded anew.
    pub initial_since: u64,
    /// Events changed since are fetched even if their timestamp is the known one:
    /// timestamps have whole seconds, so equal does not prove unchanged.
    pub refresh_since: u64,
    /// Every wanted event is fetched, and what is outside the window goes.
    pub full: bool,
    /// Only published events are wanted.
    pub published: bool,
    /// How long a loaded event may be unpublished, in seconds.
    pub unpublished_grace: u64,
    /// Events published before this are not wanted.
    pub published_since: Option<u64>,
}

impl Rules {
    /// By configuration and MISP's clock, for a ledger of `held` indicators.
    ///
    /// Where there are none the ledger's events prove nothing: MISP may have answered
    /// the first load with empty pages. All of the initial window is asked for again.
    pub fn new(misp: &Misp, now: u64, full: bool, held: u64) -> Rules {
        let refresh = if held == 0 { misp.initial_event_timestamp } else { misp.refresh_event_timestamp };
        Rules {
            now,
            initial_since: now.saturating_sub(misp.initial_event_timestamp.as_secs()),
            refresh_since: now.saturating_sub(refresh.as_secs()),
            full,
            published: misp.published,
            unpublished_grace: misp.unpublished_grace.as_secs(),
            published_since: published_cutoff(misp, now),
        }
    }

    /// What an event's header says of its being a draft, given what it said: needed
    /// where the moment of publishing matters, so that this moment is noticed.
    pub fn draft_since(&self, event: &IndexEvent, before: u64) -> u64 {
        match self.published_since {
            Some(_) if !event.published && before == 0 => self.now,
            Some(_) if !event.published => before,
            _ => 0,
        }
    }
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Events inside the filter of the index (window, published).
    pub wanted: u64,
    /// Events to fetch, with their timestamps, ascending.
    pub fetch: Vec<(u64, u64)>,
    /// Events of the ledger that go, ascending.
    pub gone: Vec<u64>,
    /// Events that stay though MISP lists them as unpublished.
    pub unpublished: u64,
    /// Headers that change without a fetch.
    pub marks: Vec<(u64, Header)>,
}

impl Plan {
    /// Whether the list has no news.
    pub fn is_idle(&self) -> bool {
        self.fetch.is_empty() && self.gone.is_empty() && self.marks.is_empty()
    }

    /// Whether an event is fetched or goes.
    pub fn has(&self, event: u64) -> bool {
        self.fetch.binary_search_by_key(&event, |(id, _)| *id).is_ok() || self.gone.binary_search(&event).is_ok()
    }

    /// For the report; `listed` events are in the index.
    pub fn events(&self, listed: usize) -> report::Events {
        report::Events {
            listed: listed as u64,
            wanted: self.wanted,
            fetched: self.fetch.len() as u64,
            gone: self.gone.len() as u64,
            unpublished: self.unpublished,
        }
    }
}

/// Compares the index (ascending, each event once) with the ledger.
pub fn plan(index: &[IndexEvent], ledger: &BTreeMap<u64, Header>, rules: Rules) -> Plan {
    let mut plan = Plan::default();
    for event in index {
        let known = ledger.get(&event.id);
        let inside = event.timestamp >= rules.initial_since;
        // Publishing moves no timestamp that the list shows.
        let released = |h: &Header| rules.published_since.is_some() && event.published && h.unpublished_since != 0;
        // Nor does publishing once more: only MISP knows whether its time is over.
        let aged = known.is_some_and(|h| {
            let long_ago = rules.published_since.is_some_and(|since| h.published_at > 0 && h.published_at < since);
            long_ago && h.timestamp == event.timestamp && !released(h)
        });
        if rules.published && !event.published {
            if aged {
                plan.gone.push(event.id)
            } else {
                unpublished(event, known, rules, &mut plan)
            }
            continue;
        }
        match known {
            None if inside => {
                plan.wanted += 1;
                plan.fetch.push((event.id, event.timestamp));
            }
            None => {}
            Some(_) if !inside && rules.full => plan.gone.push(event.id),
            Some(header) => {
                plan.wanted += 1;
                let changed = header.dirty || header.timestamp != event.timestamp || header.may_lag();
                let unpublished_since = rules.draft_since(event, header.unpublished_since);
                if rules.full || changed || aged || released(header) || event.timestamp >= rules.refresh_since {
                    plan.fetch.push((event.id, event.timestamp));
                } else if header.unpublished_since != unpublished_since {
                    plan.marks.push((event.id, Header { unpublished_since, ..*header }));
                }
            }
        }
    }
    plan.gone.extend(ledger.keys().filter(|id| index.binary_search_by_key(*id, |e| e.id).is_err()));
    plan.gone.sort_unstable();
    plan
}

/// An edit unpublishes an event; what was loaded of it stays for the grace.
fn unpublished(event: &IndexEvent, known: Option<&Header>, rules: Rules, plan: &mut Plan) {
    let Some(header) = known else { return };
    let since = if header.unpublished_since == 0 { rules.now } else { header.unpublished_since };
    if rules.now.saturating_sub(since) > rules.unpublished_grace {
        plan.gone.push(event.id);
        return;
    }
    plan.unpublished += 1;
    // A full pass cannot fetch it; publishing moves no timestamp that would have it fetched then.
    let timestamp = if rules.full { 0 } else { header.timestamp };
    let mark = Header { unpublished_since: since, timestamp, ..*header };
    if mark != *header {
        plan.marks.push((event.id, mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;
    const DAY: u64 = 86_400;

    fn rules() -> Rules {
        Rules {
            now: NOW,
            initial_since: NOW - 365 * DAY,
            refresh_since: NOW - 3600,
            full: false,
            published: false,
            unpublished_grace: 7 * DAY,
            published_since: None,
        }
    }

    fn event(id: u64, timestamp: u64) -> IndexEvent {
        IndexEvent { id, timestamp, published: true }
    }

    fn known(entries: &[(u64, u64)]) -> BTreeMap<u64, Header> {
        entries
            .iter()
            .map(|(id, timestamp)| {
                (*id, Header { timestamp: *timestamp, delivered: NOW, records: 1, ..Header::default() })
            })
            .collect()
    }

    #[test]
    fn new_changed_recent_and_gone() {
        let old = NOW - 10 * DAY;
        let index = [event(1, old), event(2, old + 1), event(3, NOW - 60), event(5, old), event(6, NOW - 400 * DAY)];
        let ledger = known(&[(1, old), (2, old), (3, NOW - 60), (4, old)]);
        let plan = plan(&index, &ledger, rules());
        assert_eq!(plan.fetch, [(2, old + 1), (3, NOW - 60), (5, old)]);
        assert_eq!(plan.gone, [4]);
        assert_eq!(plan.wanted, 4);
        assert!(plan.marks.is_empty());
    }

    #[test]
    fn an_unchanged_world_asks_for_nothing() {
        let old = NOW - 2 * DAY;
        let plan = plan(&[event(1, old), event(2, old)], &known(&[(1, old), (2, old)]), rules());
        assert!(plan.fetch.is_empty() && plan.gone.is_empty() && plan.marks.is_empty());
    }

    #[test]
    fn what_has_left_the_window_stays_until_a_full_pass() {
        let left = NOW - 366 * DAY;
        let (index, ledger) = ([event(1, left)], known(&[(1, left)]));
        assert!(plan(&index, &ledger, rules()).gone.is_empty());
        let full = plan(&index, &ledger, Rules { full: true, ..rules() });
        assert_eq!((full.gone, full.fetch), (vec![1], vec![]));
    }

    #[test]
    fn a_cut_off_event_is_fetched_again() {
        let old = NOW - 2 * DAY;
        let header = Header { timestamp: old, delivered: NOW, dirty: true, ..Header::default() };
        assert_eq!(plan(&[event(1, old)], &BTreeMap::from([(1, header)]), rules()).fetch, [(1, old)]);
    }

    /// Two edits in one second, the pass between them, and the next pass only when
    /// the refresh window is over.
    #[test]
    fn a_change_in_the_second_of_the_fetch_is_seen() {
        let old = NOW - 2 * DAY;
        let fetched = |delivered| {
            let header = Header { timestamp: old, delivered, records: 1, ..Header::default() };
            plan(&[event(1, old)], &BTreeMap::from([(1, header)]), rules()).fetch
        };
        assert_eq!(fetched(old), [(1, old)]);
        assert_eq!(fetched(old + 60), []);
    }

    #[test]
    fn unpublished_for_a_moment() {
        let old = NOW - 2 * DAY;
        let draft = IndexEvent { published: false, ..event(1, NOW - 10) };
        let mut ledger = known(&[(1, old)]);
        let rules = Rules { published: true, ..rules() };
        // Never loaded: not wanted. Loaded: kept, and marked.
        assert_eq!(plan(&[draft], &BTreeMap::new(), rules), Plan::default());
        let first = plan(&[draft], &ledger, rules);
        assert_eq!((first.unpublished, first.fetch.len(), first.gone.len()), (1, 0, 0));
        assert_eq!(first.marks[0].1.unpublished_since, NOW);
        // Within the grace nothing changes; after it the event goes.
        ledger.insert(1, first.marks[0].1);
        let later = plan(&[draft], &ledger, Rules { now: NOW + 7 * DAY, ..rules });
        assert_eq!((later.unpublished, later.marks.len(), later.gone.len()), (1, 0, 0));
        assert_eq!(plan(&[draft], &ledger, Rules { now: NOW + 7 * DAY + 1, ..rules }).gone, [1]);
        // Published again without a change: the mark goes.
        let again = plan(&[event(1, old)], &ledger, rules);
        assert_eq!(again.marks[0].1.unpublished_since, 0);
        // After a full pass, which could not fetch it, it is fetched then.
        let full = plan(&[draft], &ledger, Rules { full: true, ..rules });
        ledger.insert(1, full.marks[0].1);
        assert_eq!(plan(&[draft], &ledger, Rules { full: true, ..rules }).marks, []);
        assert_eq!(plan(&[event(1, old)], &ledger, rules).fetch, [(1, old)]);
        // Drafts are wanted where `published` is off.
        let all = plan(&[draft], &known(&[(1, old)]), Rules { published: false, ..rules });
        assert_eq!(all.fetch, [(1, NOW - 10)]);
    }

    #[test]
    fn published_too_long_ago() {
        let old = NOW - 40 * DAY;
        let ledger = BTreeMap::from([(1, Header { timestamp: old, published_at: old, ..Header::default() })]);
        let rules = Rules { published_since: Some(NOW - 30 * DAY), ..rules() };
        // MISP is asked: it may have been published once more.
        assert_eq!(plan(&[event(1, old)], &ledger, rules).fetch, [(1, old)]);
        assert_eq!(plan(&[event(1, old + 1)], &ledger, rules).fetch, [(1, old + 1)]);
        let draft = IndexEvent { published: false, ..event(1, old) };
        assert_eq!(plan(&[draft], &ledger, Rules { published: true, ..rules }).gone, [1]);
    }

    /// Publishing moves no timestamp that the list shows: a draft is remembered as
    /// one, and fetched again once it is published.
    #[test]
    fn a_draft_is_published() {
        let old = NOW - 40 * DAY;
        let draft = IndexEvent { published: false, ..event(1, old) };
        let rules = Rules { published_since: Some(NOW - 30 * DAY), ..rules() };
        let mut ledger = known(&[(1, old)]);
        let first = plan(&[draft], &ledger, rules);
        assert_eq!((first.fetch.len(), first.marks[0].1.unpublished_since), (0, NOW));
        ledger.insert(1, Header { published_at: old, ..first.marks[0].1 });
        let later = Rules { now: NOW + 60, ..rules };
        let still = plan(&[draft], &ledger, later);
        assert_eq!((still.marks.len(), still.gone.len()), (0, 0));
        assert_eq!(plan(&[event(1, old)], &ledger, later).fetch, [(1, old)]);
        // Where the moment of publishing does not matter, nothing is asked for.
        let plan = plan(&[event(1, old)], &ledger, Rules { published_since: None, ..later });
        assert_eq!((plan.fetch.len(), plan.marks.len()), (0, 1));
    }
}
