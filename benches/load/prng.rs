//! The benchmark's own random numbers: the same on every machine, for ever, so
//! that two runs years apart speak of the same data. Not for secrets.

/// SplitMix64: one addition and three mixing steps a number.
#[derive(Clone)]
pub struct Prng(u64);

impl Prng {
    /// The numbers of one `stream` of a `seed`; streams are independent of each other,
    /// so any part of the data can be made without making what stands before it.
    pub fn new(seed: u64, stream: u64) -> Prng {
        let mut first = Prng(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Prng(first.next())
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }
}
