//! MISP is asked for what messages did not tell, and its answer is taken for what it is.

use super::Writer;
use crate::error::{Kind, Result};
use crate::follow::look::{self, Look};
use crate::ledger::header::Header;
use crate::misp::fetch::Batch;
use crate::misp::query::Query;
use crate::pass::between::Absorbed;
use crate::pass::since::Since;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that MISP is asked for in one go.
const LOOKED_AT: usize = 2_000;

/// How long after answers that may disagree a pass looks again: behind what publishing
/// does, and not for each of many in a row.
const DOUBT: Duration = Duration::from_secs(15);

/// Events that MISP is being asked for.
pub(super) struct UnderWay {
    begun: Instant,
    /// Those of which the ledger has nothing that an answer has borne out.
    anew: BTreeSet<u64>,
    /// Known events that came without a row.
    vanished: Vec<(u64, Header)>,
}

impl Writer<'_> {
    pub(super) fn give_up_look(&mut self, failed: bool) {
        if self.look.take().is_some() {
            self.inbox.end_look(false, failed, Instant::now());
        }
    }

    pub(super) fn begin_look(&mut self, now: Instant) -> Result<()> {
        let Some(between) = &mut self.between else { return Ok(()) };
        let Some((number, events, anew)) = self.inbox.begin_look(now, LOOKED_AT) else { return Ok(()) };
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for event in &events {
            if !anew.contains(event) && between.knows(*event)? { known.push(*event) } else { unknown.push(*event) }
        }
        let misp_now = between.now();
        let misp = &self.config.misp;
        self.inbox.counts(|c| c.looks += 1);
        self.look = Some(UnderWay { begun: now, anew, vanished: Vec::new() });
        look::begin(
            Look {
                number,
                client: self.client.clone(),
                query: Query::new(self.config, misp_now),
                known,
                window: misp_now.saturating_sub(misp.initial_event_timestamp.as_secs()),
                unknown,
                connections: misp.connections,
                page_size: misp.page_size,
                directory: self.directory.to_owned(),
            },
            Arc::clone(self.inbox),
        );
        Ok(())
    }

    /// What messages brought of these events so lately that MISP's answer may not have it yet.
    fn since(&self, events: impl Iterator<Item = u64>) -> Since {
        let mut since = Since::default();
        self.inbox.pending(|p| {
            for event in events {
                p.recent().of(event).for_each(|fresh| since.add(event, &fresh.record()));
            }
        });
        since
    }

    /// MISP has answered for some of the events.
    pub(super) fn answered(&mut self, batch: Batch) -> Result<()> {
        let since = self.since(batch.events.iter().copied());
        let (Some(between), Some(look)) = (&mut self.between, &mut self.look) else { return Ok(()) };
        let absorbed = between.absorb(batch, since);
        self.schedule.changed(Instant::now());
        match absorbed {
            Ok(Absorbed { vanished, doubted }) => {
                look.vanished.extend(vanished);
                if doubted {
                    self.schedule.want_pass(Instant::now() + DOUBT);
                }
                Ok(())
            }
            Err(e) => self.stumble(e),
        }
    }

    /// MISP has answered for all of them, or not.
    pub(super) fn looked(&mut self, result: Result<()>) -> Result<()> {
        let Some(UnderWay { begun, anew, vanished }) = self.look.take() else { return Ok(()) };
        let now = Instant::now();
        self.schedule.looked(now - begun, now);
        self.inbox.end_look(result.is_ok(), result.is_err(), now);
        if let Err(e) = result {
            if e.kind() != Kind::Interrupted {
                log::warn!("MISP was asked for events that messages are about: {e}; they are asked for again");
                self.inbox.counts(|c| {
                    c.failed_looks += 1;
                    c.last_error = e.to_string();
                });
            }
            return Ok(());
        }
        if !vanished.is_empty() {
            self.schedule.changed(now);
        }
        let (unconfirmed, vanished): (Vec<_>, Vec<_>) = vanished.into_iter().partition(|(e, _)| anew.contains(e));
        self.withdraw(unconfirmed.into_iter().map(|(event, _)| event), now)?;
        let since = self.since(vanished.iter().map(|(event, _)| *event));
        let Some(between) = self.between.as_mut().filter(|_| !vanished.is_empty()) else { return Ok(()) };
        if self.config.misp.published {
            // An edit unpublishes an event; what was loaded stays for the grace.
            return between.mark_unpublished(&vanished);
        }
        match between.drop_vanished(&vanished, &since) {
            Err(e) if e.kind() == Kind::Untrusted => {
                log::warn!("{e}; the next pass decides");
                Ok(())
            }
            Err(e) => self.stumble(e),
            Ok(()) => Ok(()),
        }
    }

    /// MISP has nothing of these events, nor did an answer ever have what the ledger has of
    /// them, or MISP has said that it deleted them: they go, however many they are.
    fn withdraw(&mut self, events: impl Iterator<Item = u64>, now: Instant) -> Result<()> {
        let gone = self.inbox.pending(|p| {
            let (lately, gone): (Vec<u64>, Vec<u64>) = events.partition(|event| p.recent().of(*event).next().is_some());
            p.ask_anew(lately, now);
            gone
        });
        let Some(between) = self.between.as_mut().filter(|_| !gone.is_empty()) else { return Ok(()) };
        between.remove(&gone).or_else(|e| {
            self.inbox.pending(|p| p.ask_anew(gone, now));
            self.stumble(e)
        })
    }
}
