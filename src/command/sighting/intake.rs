//! From what was read to what waits: the cache is asked, the spool folds and keeps.

use super::report::Report;
use super::{Read, Terms};
use crate::cache::fleet::Fleet;
use crate::config::{Config, Memcached};
use crate::error::{Error, Kind, Result};
use crate::misp::client::local_now;
use crate::sighting::listed::listed;
use crate::sighting::spool::Spool;
use crate::sighting::{Sighting, Standing, Subject};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// After memcached could not be asked it is left alone for so long: meanwhile values
/// wait unchecked.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// Takes sightings in.
pub struct Intake {
    cache: Cache,
    unlisted: bool,
    spool: Spool,
    waiting: Vec<u64>,
}

impl Intake {
    /// Into this spool; a `dry` one writes nothing.
    pub fn new(config: &Config, terms: &Terms, spool: Spool, dry: bool) -> Intake {
        Intake { cache: Cache::new(&config.memcached, !dry), unlisted: terms.unlisted, spool, waiting: Vec::new() }
    }

    /// Reads the spool without touching it.
    pub fn look(&mut self) -> Result<()> {
        self.spool.look()
    }

    /// The numbers of those that were taken and were not folded.
    pub fn waiting(&self) -> &[u64] {
        &self.waiting
    }

    /// The same for one that is not interested in their fate.
    pub fn forget_numbers(&mut self) {
        self.waiting.clear();
    }

    /// Takes what was read. It is on the disk when this returns.
    pub fn take(&mut self, read: Vec<Read>, report: &mut Report) -> Result<()> {
        let all = self.sift(read, report)?;
        if all.is_empty() {
            return Ok(());
        }
        let count = all.len();
        let taken = self.spool.take(all, local_now()).map_err(|e| e.context(format!("{count} sightings are lost")))?;
        report.folded += taken.folded;
        taken.refused.iter().for_each(|(what, why)| report.refuse(what, why));
        if taken.full > 0 {
            report.lost += taken.full;
            log::error!(
                "the spool is full (sighting.spool_mib): {} sightings are lost; is MISP down for long?",
                taken.full
            );
        }
        self.waiting.extend(taken.waiting);
        Ok(())
    }

    /// The same without a trace: a line for each that would be sent.
    pub fn try_out(&mut self, read: Vec<Read>, report: &mut Report) -> Result<String> {
        let all = self.sift(read, report)?;
        let (taken, would) = self.spool.try_out(all, local_now());
        report.folded += taken.folded;
        report.lost += taken.full;
        taken.refused.iter().for_each(|(what, why)| report.refuse(what, why));
        let line = |sighting: &Sighting| serde_json::to_string(sighting).map(|line| line + "\n");
        let lines: std::result::Result<String, _> = would.iter().map(line).collect();
        lines.map_err(|e| Error::new(Kind::Bug, format!("JSON cannot be written: {e}")))
    }

    /// The good ones as MISP has them, each with what is known of it.
    fn sift(&mut self, read: Vec<Read>, report: &mut Report) -> Result<Vec<(Sighting, Standing)>> {
        let mut good = Vec::with_capacity(read.len());
        for (place, one) in read {
            report.read += 1;
            match one {
                Ok(sighting) => good.push(sighting),
                Err(why) => report.refuse(&place, &why),
            }
        }
        if self.unlisted {
            return Ok(good.into_iter().map(|sighting| (sighting, Standing::Given)).collect());
        }
        let Some(found) = self.cache.listed(&good)? else {
            let standing = |sighting: &Sighting| match sighting.subject {
                Subject::Value(_) => Standing::Unchecked,
                Subject::Uuid(_) => Standing::Given,
            };
            return Ok(good.into_iter().map(|sighting| (sighting.clone(), standing(&sighting))).collect());
        };
        let mut all = Vec::with_capacity(good.len());
        for sighting in good {
            let as_listed = names(&sighting, &found);
            report.unlisted += u64::from(as_listed.is_empty());
            if as_listed.is_empty() {
                log::debug!("not listed: {:?}", sighting.subject.text());
            }
            all.extend(as_listed.into_iter().map(|sighting| (sighting, Standing::Listed)));
        }
        Ok(all)
    }
}

/// A sighting under each name that MISP has for its value. A UUID is MISP's own name.
pub fn names(sighting: &Sighting, found: &HashMap<String, Vec<String>>) -> Vec<Sighting> {
    let Subject::Value(value) = &sighting.subject else { return vec![sighting.clone()] };
    let names = found.get(value).map_or(&[][..], Vec::as_slice);
    let named = |name: &String| crate::sighting::value(name).ok();
    names.iter().filter_map(named).map(|subject| Sighting { subject, ..sighting.clone() }).collect()
}

/// memcached, as far as it can be reached.
pub struct Cache {
    config: Memcached,
    fleet: Option<Fleet>,
    silent_since: Option<Instant>,
    /// Whether a memcached that is silent is waited for elsewhere.
    lenient: bool,
}

impl Cache {
    /// Nothing is asked yet.
    pub fn new(config: &Memcached, lenient: bool) -> Cache {
        Cache { config: config.clone(), fleet: None, silent_since: None, lenient }
    }

    /// What MISP has of the values of these sightings; `None`: nobody can say now.
    pub fn listed(&mut self, sightings: &[Sighting]) -> Result<Option<HashMap<String, Vec<String>>>> {
        let mut seen = HashSet::new();
        let values = sightings.iter().filter_map(|sighting| match &sighting.subject {
            Subject::Value(value) => Some(value.clone()),
            Subject::Uuid(_) => None,
        });
        let values: Vec<String> = values.filter(|value| seen.insert(value.clone())).collect();
        if values.is_empty() {
            return Ok(Some(HashMap::new()));
        }
        if self.silent_since.is_some_and(|since| since.elapsed() < LEFT_ALONE) {
            return Ok(None);
        }
        match self.ask(&values) {
            Ok(found) => {
                self.silent_since = None;
                Ok(Some(values.into_iter().zip(found).collect()))
            }
            Err(e) if e.kind() == Kind::Unavailable && self.lenient => {
                log::warn!("{e}; sightings wait until it can be asked whether their values are listed");
                self.fleet = None;
                self.silent_since = Some(Instant::now());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn ask(&mut self, values: &[String]) -> Result<Vec<Vec<String>>> {
        let fleet = match &mut self.fleet {
            Some(fleet) => fleet,
            closed => closed.insert(Fleet::open(&self.config)?),
        };
        let keys = fleet.keys().clone();
        let found = listed(fleet, &keys, values);
        if found.is_err() {
            // It may have been restarted.
            self.fleet = None;
        }
        found
    }
}
