//! `kibana`: saved objects for Kibana, with links to the MISP of the configuration.

use super::print;
use crate::cli::Kibana;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::kibana::ndjson;

pub(super) fn run(config: &Config, flags: &Kibana) -> Result<u8> {
    if config.misp.url.is_empty() {
        return Err(Error::new(Kind::Config, "misp.url is missing: the links lead there; set it, or MISP_URL"));
    }
    print(ndjson(flags.version, &config.misp.url, &flags.index).as_bytes())
}
