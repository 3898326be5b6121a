//! Servers that hold no `misp-stats`: nobody filled them, or not to the end.

use super::servers::number;
use crate::cache::fleet::Fleet;
use crate::error::Result;
use std::collections::BTreeMap;

/// Them, by address, and since when they are as they are.
#[derive(Debug, Default)]
pub(super) struct Bare(BTreeMap<String, Life>);

/// What one server says of itself.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// `cmd_flush`: how often it was emptied.
    flushes: u64,
    /// Seconds since its start.
    uptime: u64,
}

impl Bare {
    /// As it is now.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub(super) fn read(fleet: &mut Fleet) -> Result<Bare> {
        let key = fleet.keys().stats();
        let lives = fleet.each(|server| {
            if server.get(std::slice::from_ref(&key))?.pop().flatten().is_some() {
                return Ok(None);
            }
            let stats = server.stats("")?;
            Ok(Some(Life { flushes: number(&stats, "cmd_flush"), uptime: number(&stats, "uptime") }))
        })?;
        let lives = lives.into_iter().filter_map(|(i, life)| Some((fleet.address(i).to_string(), life?)));
        Ok(Bare(lives.collect()))
    }

    /// Whether one of them was not bare `before`, or was emptied or started again since.
    pub(super) fn is_news(&self, before: &Bare) -> bool {
        self.0.iter().any(|(server, now)| {
            before.0.get(server).is_none_or(|then| now.flushes != then.flushes || now.uptime < then.uptime)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_started_again_and_new() {
        let bare = |lives: &[(&str, u64, u64)]| {
            let life = |(server, flushes, uptime): &(&str, u64, u64)| {
                ((*server).to_owned(), Life { flushes: *flushes, uptime: *uptime })
            };
            Bare(lives.iter().map(life).collect())
        };
        let before = bare(&[("a", 1, 60), ("b", 0, 60)]);
        assert!(!bare(&[("a", 1, 70), ("b", 0, 70)]).is_news(&before));
        assert!(!bare(&[("a", 1, 60)]).is_news(&before), "one was filled meanwhile");
        assert!(bare(&[("a", 2, 70)]).is_news(&before), "emptied");
        assert!(bare(&[("b", 0, 5)]).is_news(&before), "started again");
        assert!(bare(&[("c", 0, 70)]).is_news(&before), "another one");
        assert!(bare(&[("a", 1, 60)]).is_news(&Bare::default()));
    }
}
