//! Where Dalli, the client in Logstash, looks for a key among several servers.
//!
//! Observed with real Dalli from 2.7.9 to 5.0.6: 160 points a server, each the
//! first 32 bits of SHA-1 over `NAME:NUMBER`; a key goes to the last point that is
//! not beyond its CRC-32. The name is literal, so `localhost` and `127.0.0.1` are
//! different rings.

use sha1::{Digest, Sha1};

/// Points of each server on the ring.
const POINTS_PER_SERVER: usize = 160;

/// The sorted points of a set of servers.
#[derive(Debug, Clone)]
pub struct Ring {
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// The ring of some `host:port` names (a unix socket: its path), as the reader's `hosts` has them.
    pub fn new(names: &[String]) -> Ring {
        let mut points = Vec::with_capacity(names.len() * POINTS_PER_SERVER);
        // A single server has no ring.
        if names.len() > 1 {
            for (server, name) in names.iter().enumerate() {
                for i in 0..POINTS_PER_SERVER {
                    let hash = Sha1::digest(format!("{name}:{i}").as_bytes());
                    points.push((u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]), server));
                }
            }
            points.sort_unstable();
        }
        Ring { points }
    }

    /// The index of the server that holds `key`.
    pub fn server(&self, key: &[u8]) -> usize {
        let hash = crc32fast::hash(key);
        let after = self.points.partition_point(|(value, _)| *value <= hash);
        let point = if after == 0 { self.points.last() } else { self.points.get(after - 1) };
        point.map_or(0, |(_, server)| *server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_holds_all() {
        let ring = Ring::new(&["10.0.0.1:11211".into()]);
        assert_eq!(ring.server(b"misp-ip:1.2.3.4"), 0);
    }

    #[test]
    fn every_server_gets_a_share() {
        let names: Vec<String> = (1..=4).map(|i| format!("10.0.0.{i}:11211")).collect();
        let ring = Ring::new(&names);
        let mut held = [0; 4];
        for i in 0..4000 {
            held[ring.server(format!("misp-ip:10.1.{}.{}", i / 256, i % 256).as_bytes())] += 1;
        }
        assert!(held.iter().all(|n| *n > 500), "{held:?}");
    }
}
