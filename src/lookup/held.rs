//! What the cache says of itself, so that nothing is asked for in vain: the prefix
//! lengths of its networks and the namespaces that have keys. Pure.

use crate::cache::networks::Networks;
use crate::indicator::{Namespace, Namespaces};

/// What may be found at all. By default: in any namespace, and no networks, which is
/// what a reader has to think of a cache that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    networks: Networks,
    namespaces: Namespaces,
}

impl Default for Held {
    fn default() -> Held {
        Held::parse(None, None)
    }
}

impl Held {
    /// From the values of `PREFIX-networks` and `PREFIX-namespaces`. The latter is
    /// absent while a pass adds the first keys of a namespace.
    pub fn parse(networks: Option<&[u8]>, namespaces: Option<&[u8]>) -> Held {
        let namespaces = namespaces.map(|names| Namespaces::parse(&String::from_utf8_lossy(names)));
        Held {
            networks: networks.map(Networks::parse).unwrap_or_default(),
            namespaces: namespaces.unwrap_or_else(Namespaces::all),
        }
    }

    /// In any namespace, and with these networks.
    pub fn with_networks(networks: Networks) -> Held {
        Held { networks, namespaces: Namespaces::all() }
    }

    /// The prefix lengths in use.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Whether this namespace may have keys.
    pub fn has(&self, namespace: Namespace) -> bool {
        self.namespaces.contains(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cache_says() {
        let held = Held::parse(Some(b"4:24"), Some(b"ip,sha512/256, url ,of-a-newer-version"));
        assert_eq!(held.networks(), &Networks::from_lengths([24], []));
        let has: Vec<&str> = Namespace::ALL.iter().filter(|n| held.has(**n)).map(|n| n.name()).collect();
        assert_eq!(has, ["ip", "sha512/256", "url"]);
        assert!(!Namespace::ALL.iter().any(|n| Held::parse(None, Some(b"")).has(*n)));
        assert_eq!(Held::parse(None, None), Held::default());
        assert!(Namespace::ALL.iter().all(|n| Held::default().has(*n)));
    }
}
