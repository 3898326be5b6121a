//! From file and environment to a checked [`Config`].

use super::Config;
use crate::error::Result;
use std::path::PathBuf;

/// Where the configuration may come from: the command line, and the environment as handed in.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
}

/// Reads, merges and checks.
pub fn load(_sources: &Sources) -> Result<Config> {
    unreachable!()
}
