//! What the ledger knows of an event beside its indicators. Pure.

/// The header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The event's timestamp in the index when its attributes were fetched; 0 asks for a fetch.
    pub timestamp: u64,
    /// MISP's clock at the pass that last delivered the attributes.
    pub delivered: u64,
    /// The event's publish timestamp, as its attributes show it.
    pub published_at: u64,
    /// Since when the index has listed it as unpublished; 0: it has not.
    pub unpublished_since: u64,
    /// Number of records.
    pub records: u32,
    /// The least attribute timestamp among them.
    pub oldest: u32,
    /// Which categories have records, a bit each in the order of `Category::ALL`.
    pub categories: u8,
    /// A change of this event in memcached has begun and may not be finished.
    pub dirty: bool,
}

/// Encoded size.
const LEN: usize = 42;

/// Seconds by which the clock of the proxy that dates MISP's answers may be before
/// the clock that sets an event's timestamp.
const CLOCK_SLACK: u64 = 2;

impl Header {
    /// Whether the event may have changed after its attributes were fetched and kept
    /// its timestamp: they were fetched in the very second of its last change, and
    /// timestamps have whole seconds.
    pub fn may_lag(&self) -> bool {
        self.delivered <= self.timestamp.saturating_add(CLOCK_SLACK)
    }

    /// The stored form.
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..8].copy_from_slice(&self.timestamp.to_le_bytes());
        out[8..16].copy_from_slice(&self.delivered.to_le_bytes());
        out[16..24].copy_from_slice(&self.published_at.to_le_bytes());
        out[24..32].copy_from_slice(&self.unpublished_since.to_le_bytes());
        out[32..36].copy_from_slice(&self.records.to_le_bytes());
        out[36..40].copy_from_slice(&self.oldest.to_le_bytes());
        out[40] = self.categories;
        out[41] = u8::from(self.dirty);
        out
    }

    /// Reads the stored form; `None` where it is none.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let dirty = match bytes[41] {
            0 => false,
            1 => true,
            // Nobody wrote that: the file is damaged, or newer than we are.
            _ => return None,
        };
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Some(Header {
            timestamp: long(0),
            delivered: long(8),
            published_at: long(16),
            unpublished_since: long(24),
            records: short(32),
            oldest: short(36),
            categories: bytes[40],
            dirty,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let header = Header {
            timestamp: 1_795_220_308,
            delivered: 1_795_220_309,
            published_at: 3,
            unpublished_since: 4,
            records: 5,
            oldest: 6,
            categories: 0b1010,
            dirty: true,
        };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&[0; LEN - 1]), None);
        assert_eq!(Header::decode(&[2; LEN]), None, "a flag that is neither set nor not");
    }

    #[test]
    fn what_may_have_changed_in_the_second_of_its_fetch() {
        let header = |timestamp, delivered| Header { timestamp, delivered, ..Header::default() };
        assert!(header(100, 100).may_lag() && header(100, 90).may_lag() && header(100, 100 + CLOCK_SLACK).may_lag());
        assert!(!header(100, 101 + CLOCK_SLACK).may_lag());
    }
}
