//! Where Dalli, the client in Logstash, looks for a key among several servers.
//!
//! Observed with real Dalli from 2.7.9 to 5.0.6: 160 points a server, shared out
//! by weight, each the first 32 bits of SHA-1 over `NAME:NUMBER`; a key goes to the
//! last point that is not beyond its CRC-32. The name is literal, so `localhost`
//! and `127.0.0.1` are different rings.
//!
//! Dalli looks elsewhere while a server is down. Nothing is written there: what a
//! reader would find there for a moment would be stale as soon as the server is back.

use super::address::Address;
use sha1::{Digest, Sha1};

/// Points of each server on the ring, where all have the same weight.
const POINTS_PER_SERVER: u64 = 160;

/// The sorted points of a set of servers.
#[derive(Debug, Clone)]
pub struct Ring {
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// The ring of some servers, which the reader's `hosts` has too.
    pub fn new(servers: &[Address]) -> Ring {
        let mut points = Vec::new();
        let total: u64 = servers.iter().map(|s| u64::from(s.weight)).sum();
        // A single server has no ring.
        if servers.len() > 1 {
            for (index, server) in servers.iter().enumerate() {
                let name = server.ring_name();
                let share = u128::from(servers.len() as u64 * POINTS_PER_SERVER) * u128::from(server.weight);
                for i in 0..share / u128::from(total) {
                    let hash = Sha1::digest(format!("{name}:{i}").as_bytes());
                    points.push((u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]), index));
                }
            }
            points.sort_unstable();
        }
        Ring { points }
    }

    /// The points in order: value, and index of the server. None for a single server.
    pub fn points(&self) -> &[(u32, usize)] {
        &self.points
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
    use super::super::address::DEFAULT_PORT;
    use super::*;

    // Dalli's own rings are in tests/it/dalli_vectors.rs.

    fn ring(hosts: &[String]) -> Ring {
        Ring::new(&hosts.iter().map(|h| Address::parse(h, DEFAULT_PORT).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn one_server_holds_all() {
        assert_eq!(ring(&["10.0.0.1:11211".into()]).server(b"misp-ip:1.2.3.4"), 0);
    }

    #[test]
    fn every_server_gets_its_share() {
        let hosts: Vec<String> = (1..=4).map(|i| format!("10.0.0.{i}:11211:{i}")).collect();
        let ring = ring(&hosts);
        let mut held = [0; 4];
        for i in 0..4000 {
            held[ring.server(format!("misp-ip:10.1.{}.{}", i / 256, i % 256).as_bytes())] += 1;
        }
        assert!(held.is_sorted() && held[0] > 200, "{held:?}");
    }
}
