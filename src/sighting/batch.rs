//! From sightings that wait to requests. Pure.
//!
//! MISP takes a list of values under one type, source and time. What is alike in
//! these goes together, the rest goes alone.

use super::{Kind, Sighting, Subject};
use crate::misp::sighting::is_searchable;
use std::collections::BTreeMap;

/// Values of one request: MISP writes each of them to every attribute that has it,
/// one after the other, and should be done well before a proxy loses patience.
pub const MAX_VALUES: usize = 100;

/// Bytes of the values of one request.
const MAX_BYTES: usize = 256 * 1024;

/// Fewer go one by one: a list costs a search besides.
const MIN_VALUES: usize = 3;

/// Values whose sightings are asked for at once, where it is not known whether MISP
/// has them: an attribute may have thousands.
pub const MAX_DOUBTFUL: usize = 20;

/// A sighting on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the journal.
    pub n: u64,
    /// The sighting.
    pub sighting: Sighting,
    /// MISP may have it.
    pub doubtful: bool,
    /// How often MISP has failed on it before.
    pub failures: u32,
    /// The cache lists the value, so MISP has it in some form.
    pub listed: bool,
}

/// What is done together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// One request for one sighting.
    One(Item),
    /// Values with the same type, source and time: those that a search finds go in one request.
    Many(Vec<Item>),
    /// Values or one UUID of which MISP is asked first whether it has the sighting.
    Doubtful(Vec<Item>),
}

impl Job {
    /// Its sightings.
    pub fn items(&self) -> &[Item] {
        match self {
            Job::One(item) => std::slice::from_ref(item),
            Job::Many(items) | Job::Doubtful(items) => items,
        }
    }
}

/// The jobs of these sightings; the oldest come first.
pub fn jobs(items: Vec<Item>) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut alike: BTreeMap<(Kind, String, u64), Vec<Item>> = BTreeMap::new();
    let mut doubtful = Vec::new();
    for item in items {
        let sighting = &item.sighting;
        let searchable = matches!(&sighting.subject, Subject::Value(value) if is_searchable(value));
        match (item.doubtful, searchable) {
            (true, true) => doubtful.push(item),
            (true, false) => jobs.push(Job::Doubtful(vec![item])),
            (false, true) => {
                alike.entry((sighting.kind, sighting.source.clone(), sighting.at)).or_default().push(item);
            }
            (false, false) => jobs.push(Job::One(item)),
        }
    }
    jobs.extend(parts(doubtful, MAX_DOUBTFUL).into_iter().map(Job::Doubtful));
    for part in alike.into_values().flat_map(|group| parts(group, MAX_VALUES)) {
        if part.len() < MIN_VALUES {
            jobs.extend(part.into_iter().map(Job::One));
        } else {
            jobs.push(Job::Many(part));
        }
    }
    jobs.sort_by_key(|job| job.items().iter().map(|item| item.n).min());
    jobs
}

fn parts(items: Vec<Item>, most: usize) -> Vec<Vec<Item>> {
    let mut parts: Vec<Vec<Item>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let length = item.sighting.subject.text().len();
        match parts.last_mut().filter(|part| part.len() < most && bytes + length <= MAX_BYTES) {
            Some(part) => part.push(item),
            None => {
                parts.push(vec![item]);
                bytes = 0;
            }
        }
        bytes += length;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u64, subject: Subject, at: u64, doubtful: bool) -> Item {
        let sighting = Sighting { subject, kind: Kind::Sighting, source: "s".into(), at };
        Item { n, sighting, doubtful, failures: 0, listed: false }
    }

    fn value(n: u64, at: u64) -> Item {
        item(n, Subject::Value(format!("v{n}")), at, false)
    }

    fn shape(jobs: &[Job]) -> Vec<String> {
        let numbers = |job: &Job| job.items().iter().map(|i| i.n.to_string()).collect::<Vec<_>>().join(" ");
        let letter = |job: &Job| match job {
            Job::One(_) => "one",
            Job::Many(_) => "many",
            Job::Doubtful(_) => "doubtful",
        };
        jobs.iter().map(|job| format!("{} {}", letter(job), numbers(job))).collect()
    }

    #[test]
    fn alike_goes_together_and_the_rest_alone() {
        let uuid = |n, doubtful| item(n, Subject::Uuid("u".into()), 5, doubtful);
        let items = vec![
            value(1, 5),
            value(2, 6),
            uuid(3, false),
            value(4, 5),
            item(5, Subject::Value("a||b".into()), 5, false),
            Item { doubtful: true, ..value(6, 5) },
            uuid(7, true),
            Item { doubtful: true, ..value(8, 9) },
            value(9, 5),
        ];
        let expected = ["many 1 4 9", "one 2", "one 3", "one 5", "doubtful 6 8", "doubtful 7"];
        assert_eq!(shape(&jobs(items)), expected);
    }

    #[test]
    fn a_request_is_bounded() {
        let all = jobs((1..=250).map(|n| value(n, 5)).collect());
        assert_eq!(all.iter().map(|job| job.items().len()).collect::<Vec<_>>(), [100, 100, 50]);
        let long = |n| item(n, Subject::Value(format!("{n}{}", "x".repeat(60_000))), 5, false);
        assert!(jobs((1..=20).map(long).collect()).iter().all(|job| job.items().len() <= 4));
    }
}
