//! Is the result right? A benchmark of a wrong program is worthless, so each of
//! these ends it.

use crate::Result;
use crate::dataset::Dataset;
use crate::expected::Expected;
use crate::memcached::Memcached;
use crate::prng::Prng;
use crate::unix_now;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Keys read back after a pass.
const READ_BACK: usize = 10_000;

/// Values looked up, half of them listed.
pub const LOOKUPS: usize = 300_000;

/// `misp-stats`, `misp-last-load`, `misp-networks` and `misp-namespaces`; the data has no network.
const KEYS_BESIDE: u64 = 4;

/// A load may have ended so many seconds ago when its time is read.
const FRESH: u64 = 600;

/// memcached holds exactly what is expected, as far as numbers and samples show.
pub fn cache(memcached: &Memcached, expected: &Expected) -> Result<()> {
    let items = memcached.stat("curr_items")?;
    let wanted = expected.keys() as u64 + KEYS_BESIDE;
    if items != wanted {
        let evicted = memcached.stat("evictions")?;
        return Err(format!(
            "memcached holds {items} items, not {wanted} ({} keys and {KEYS_BESIDE} of the program's own; {evicted} evicted)",
            expected.keys()
        )
        .into());
    }
    let own = memcached.get(&["misp-stats".to_owned(), "misp-last-load".to_owned()])?;
    if own[0].as_deref() != Some(&expected.keys().to_string()) {
        return Err(format!("misp-stats is {:?}, not {}", own[0], expected.keys()).into());
    }
    let loaded: u64 = own[1].as_deref().unwrap_or_default().parse().unwrap_or(0);
    if unix_now().abs_diff(loaded) > FRESH {
        return Err(format!("misp-last-load is {:?}, and now is {}", own[1], unix_now()).into());
    }
    // Other keys at each check: many runs see more than one run can.
    let mut random = Prng::new(unix_now(), 0);
    let count = expected.keys().min(READ_BACK);
    let pairs: Vec<_> = (0..count).map(|_| expected.pair(random.below(expected.keys() as u32) as usize)).collect();
    let (keys, values): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
    for ((key, value), found) in keys.iter().zip(&values).zip(memcached.get(&keys)?) {
        if found.as_ref() != Some(value) {
            return Err(format!("{key} is {found:?}, not {value:?}").into());
        }
    }
    Ok(())
}

/// Values to look up, and an event that each listed one must be answered with.
pub struct Questions {
    listed: HashMap<String, String>,
    /// Values in the file.
    pub count: usize,
}

impl Questions {
    /// Writes the values to a file, one a line, listed and unlisted ones in turn.
    pub fn write(data: &Dataset, expected: &Expected, path: &Path) -> Result<Questions> {
        let listed = expected.keys().min(LOOKUPS / 2);
        let step = expected.keys() / listed;
        let mut unlisted = data.unlisted().filter(|a| a.indicators().all(|(namespace, v)| !expected.has(namespace, v)));
        let mut questions = Questions { listed: HashMap::with_capacity(listed), count: listed * 2 };
        let mut file = BufWriter::new(File::create(path)?);
        for n in 0..listed {
            let (key, tags) = expected.pair(n * step);
            let (_, value) = key.split_once(':').ok_or("a key without a colon")?;
            let other = unlisted.next().ok_or("the values ran out")?;
            let (_, other) = other.indicators().next().ok_or("an attribute without an indicator")?;
            writeln!(file, "{value}\n{other}")?;
            let event = tags.split('#').next().unwrap_or_default();
            questions.listed.insert(value.to_owned(), event.to_owned());
        }
        file.flush()?;
        Ok(questions)
    }

    /// Each listed value has a line, a JSON object with the value in one of its
    /// fields, that names its event; whatever else the lines say is not judged.
    pub fn check(mut self, answers: &Path) -> Result<()> {
        for line in BufReader::new(File::open(answers)?).lines() {
            let line = line?;
            let answer: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&line).map_err(|e| format!("lookup wrote {line:?}: {e}"))?;
            for value in answer.values().filter_map(|field| field.as_str()) {
                if self.listed.get(value).is_some_and(|event| line.contains(event.as_str())) {
                    self.listed.remove(value);
                }
            }
        }
        match self.listed.iter().next() {
            None => Ok(()),
            Some((value, event)) => Err(format!(
                "lookup did not answer {} listed values, among them {value} of event {event}",
                self.listed.len()
            )
            .into()),
        }
    }
}
