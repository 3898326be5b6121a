//! `wazuh.cdb_lists`: the CDB lists that a pass may write, and their names.

use crate::indicator::Namespace;
use serde::Deserialize;

/// One list, a file of `wazuh.cdb_directory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CdbList {
    /// Addresses and networks.
    Ip,
    /// Domains and host names.
    Domain,
    /// URLs and URIs.
    Url,
    /// MD5 hashes.
    Md5,
    /// SHA-1 hashes.
    Sha1,
    /// SHA-256 hashes.
    Sha256,
}

impl CdbList {
    /// Every list.
    pub const ALL: [CdbList; 6] =
        [CdbList::Ip, CdbList::Domain, CdbList::Url, CdbList::Md5, CdbList::Sha1, CdbList::Sha256];

    /// What is written unless the configuration says otherwise: a list matches a field as a
    /// whole, and few logs have a whole URL in one.
    pub const DEFAULT: [CdbList; 5] = [CdbList::Ip, CdbList::Domain, CdbList::Md5, CdbList::Sha1, CdbList::Sha256];

    /// The namespace of its keys, by whose name it goes.
    pub fn namespace(self) -> Namespace {
        match self {
            CdbList::Ip => Namespace::Ip,
            CdbList::Domain => Namespace::Domain,
            CdbList::Url => Namespace::Url,
            CdbList::Md5 => Namespace::Md5,
            CdbList::Sha1 => Namespace::Sha1,
            CdbList::Sha256 => Namespace::Sha256,
        }
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        self.namespace().name()
    }

    /// The list that holds what this namespace does.
    pub fn of(namespace: Namespace) -> Option<CdbList> {
        let namespace = if namespace == Namespace::Cidr { Namespace::Ip } else { namespace };
        CdbList::ALL.into_iter().find(|list| list.namespace() == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_by_its_namespace() {
        for list in CdbList::ALL {
            assert_eq!(serde_json::from_value::<CdbList>(list.name().into()).unwrap(), list);
            assert_eq!(CdbList::of(list.namespace()), Some(list));
        }
        assert_eq!(CdbList::of(Namespace::Cidr), Some(CdbList::Ip));
        assert_eq!(CdbList::of(Namespace::Sha256Name), None);
    }
}
