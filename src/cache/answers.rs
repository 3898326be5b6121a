//! What came of asking for the values of some keys. Pure.

/// The keys that were asked for, and the value of each that has one.
#[derive(Debug)]
pub struct Answers {
    /// As they were asked for.
    pub keys: Vec<Vec<u8>>,
    /// In the order of the keys.
    pub values: Vec<Option<Vec<u8>>>,
}
