//! Several sightings together: those that MISP shows to know in one request, those that
//! it may have already asked for in one search. What fails goes the way of one.

use super::{Fate, Given, Post, can_be_searched, fate, goes_alone, mark};
use crate::error::{Error, Kind};
use crate::misp::client::Failure;
use crate::misp::retry::Retry;
use crate::misp::sighting::{Seen, Verdict, Whose, add};
use crate::sighting::batch::{Item, MAX_DOUBTFUL};

/// How often a list is tried that MISP fails on.
const MAX_LISTS: u32 = 3;

impl Post {
    /// Values that are alike: those that MISP shows to have go in one request. Of the
    /// others each goes alone, so that MISP says what it has against it.
    pub(super) fn many(&self, items: Vec<Item>, end: &mut dyn FnMut(Error)) -> Vec<(u64, Fate)> {
        let mut retry = Retry::default();
        let rows = loop {
            match self.search_for(&items, false) {
                Ok(rows) => break rows,
                // It may be one of them that MISP fails on.
                Err(Failure::Passing(_)) if self.is_patient() => break Vec::new(),
                Err(Failure::Final(e)) if e.kind() == Kind::Untrusted => break Vec::new(),
                Err(failure) => {
                    if let Err((_, error)) = self.wait(failure, &mut retry, &mut false) {
                        error.into_iter().for_each(&mut *end);
                        return items.iter().map(|item| (item.n, Fate::Unsent)).collect();
                    }
                }
            }
        };
        let known = |item: &Item| !goes_alone(item) && rows.iter().any(|row| row.has(item.sighting.subject.text()));
        let (known, others): (Vec<Item>, Vec<Item>) = items.into_iter().partition(known);
        let mut fates = self.together(known, end);
        fates.extend(others.iter().map(|item| (item.n, self.settled_one(item, end))));
        fates
    }

    fn settled_one(&self, item: &Item, end: &mut dyn FnMut(Error)) -> Fate {
        if self.stopped() { Fate::Unsent } else { self.settled(self.one(item), end) }
    }

    /// One request for values that MISP has. Where it fails, MISP is asked which of them
    /// it has taken, and the rest goes again; in the end one by one, for it may be one of
    /// them that it fails on.
    fn together(&self, mut known: Vec<Item>, end: &mut dyn FnMut(Error)) -> Vec<(u64, Fate)> {
        let (mut fates, mut retry, mut tries) = (Vec::new(), Retry::default(), 0);
        while !known.is_empty() {
            let values: Vec<&str> = known.iter().map(|item| item.sighting.subject.text()).collect();
            let added =
                self.request().and_then(|()| add(&self.client, Whose::Values(&values), mark(&known[0].sighting)));
            let failure = match added {
                Ok(Verdict::Added) => {
                    self.well();
                    fates.extend(known.iter().map(|item| (item.n, Fate::Sent)));
                    return fates;
                }
                // It may have taken some before it came to one that it does not want.
                Ok(Verdict::Refused(_)) => break,
                Err(Failure::Final(e)) if e.kind() == Kind::Untrusted => break,
                Err(failure) => failure,
            };
            let mut doubt = false;
            if let Err((fate, error)) = self.wait(failure, &mut retry, &mut doubt) {
                error.into_iter().for_each(&mut *end);
                let fate = if fate == Fate::Unsent { Fate::Unsent } else { Fate::Unknown };
                fates.extend(known.iter().map(|item| (item.n, fate.clone())));
                return fates;
            }
            tries += u32::from(doubt);
            if tries >= MAX_LISTS {
                break;
            }
            if doubt {
                let (bare, others) = self.bare(known);
                fates.extend(self.doubtful(&others, end));
                known = bare;
            }
        }
        fates.extend(self.doubtful(&known, end));
        fates
    }

    /// Those of which MISP shows that none of their attributes has the sighting, and the others.
    fn bare(&self, items: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
        let (mut bare, mut others) = (Vec::new(), Vec::new());
        for some in items.chunks(MAX_DOUBTFUL) {
            let Ok(rows) = self.search_for(some, true) else {
                others.extend_from_slice(some);
                continue;
            };
            for item in some {
                let mark = mark(&item.sighting);
                let of_it = || rows.iter().filter(|row| row.has(item.sighting.subject.text()));
                let is_bare = of_it().next().is_some() && !of_it().any(|row| row.is_marked(mark, None));
                if is_bare { bare.push(item.clone()) } else { others.push(item.clone()) }
            }
        }
        (bare, others)
    }

    /// Sightings that MISP may have: those that it shows are done.
    pub(super) fn doubtful(&self, items: &[Item], end: &mut dyn FnMut(Error)) -> Vec<(u64, Fate)> {
        let (searchable, others): (Vec<&Item>, Vec<&Item>) =
            items.iter().partition(|item| can_be_searched(&item.sighting));
        let mut fates: Vec<(u64, Fate)> = others.iter().map(|item| (item.n, self.settled_one(item, end))).collect();
        let searchable: Vec<Item> = searchable.into_iter().cloned().collect();
        for some in searchable.chunks(MAX_DOUBTFUL) {
            // Where that fails each is asked for by itself, with patience.
            let rows = if self.stopped() { None } else { self.search_for(some, true).ok() };
            for item in some {
                let given = match &rows {
                    _ if self.stopped() => Ok(Fate::Unknown),
                    Some(rows) if !goes_alone(item) => self.completed(item, rows),
                    _ => self.one_with(item, &mut Retry::default(), true),
                };
                fates.push((item.n, self.settled(given, end)));
            }
        }
        fates
    }

    fn completed(&self, item: &Item, rows: &[Seen]) -> Given<Fate> {
        match self.complete(item, rows) {
            Ok(verdict) => Ok(fate(verdict)),
            Err(failure) => {
                let (mut retry, mut doubtful) = (Retry::default(), false);
                self.wait(failure, &mut retry, &mut doubtful)?;
                self.one_with(item, &mut retry, doubtful)
            }
        }
    }
}
