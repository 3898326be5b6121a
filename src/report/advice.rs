//! What somebody has to look at after a pass, and what to change.

use super::{Report, bytes};

impl Report {
    /// What somebody has to look at, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for server in &self.unreachable {
            warnings.push(format!(
                "{}; it missed this pass, and the first one that reaches it again makes it exact",
                server.reason
            ));
        }
        for server in &self.memcached {
            if !server.fits {
                warnings.push(format!(
                    "memcached {} is too small: our keys take about {}, its limit is {} and it threw out {} items during this pass; start it with -m {}",
                    server.address,
                    bytes(server.needed_bytes),
                    bytes(server.limit_bytes),
                    server.evicted_now,
                    advice(server.needed_bytes),
                ));
            }
        }
        if self.tags_left_out > 0 {
            warnings.push(format!(
                "{} tags did not fit below memcached's item limit: the newest events were kept; a larger -I helps",
                self.tags_left_out
            ));
        }
        if self.keys_refused > 0 {
            warnings.push(format!("memcached refused {} keys; the next pass tries them again", self.keys_refused));
        }
        if let Some(falco) = &self.falco
            && falco.cut > 0
        {
            warnings.push(format!(
                "{} addresses and networks are not in Falco's lists: the newest were kept (falco.max_addresses, falco.max_networks)",
                falco.cut
            ));
        }
        warnings
    }
}

/// The `-m` (megabytes) that holds so many bytes with a third of room to spare.
pub fn advice(needed: u64) -> u64 {
    (needed + needed / 3).div_ceil(1024 * 1024).max(64)
}
