//! A set of namespaces, and its text: names separated by commas.

use super::Namespace;
use std::fmt;

/// Some of the namespaces, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces(u64);

const _: () = assert!(Namespace::ALL.len() <= u64::BITS as usize);

impl Namespaces {
    /// All of them.
    pub fn all() -> Namespaces {
        Namespace::ALL.iter().copied().collect()
    }

    /// Those whose names stand in `text`, separated by commas; names of another version
    /// are left out.
    pub fn parse(text: &str) -> Namespaces {
        text.split(',').filter_map(|name| Namespace::from_name(name.trim())).collect()
    }

    /// Adds one.
    pub fn insert(&mut self, namespace: Namespace) {
        self.0 |= 1 << namespace.code();
    }

    /// Whether it is among them.
    pub fn contains(self, namespace: Namespace) -> bool {
        self.0 & 1 << namespace.code() != 0
    }

    /// Whether each of them is among `others`.
    pub fn are_among(self, others: Namespaces) -> bool {
        self.0 & !others.0 == 0
    }
}

impl FromIterator<Namespace> for Namespaces {
    fn from_iter<I: IntoIterator<Item = Namespace>>(iter: I) -> Namespaces {
        let mut set = Namespaces::default();
        iter.into_iter().for_each(|namespace| set.insert(namespace));
        set
    }
}

/// The names in their order, separated by commas.
impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = Namespace::ALL.iter().filter(|n| self.contains(**n)).map(|n| n.name()).collect();
        names.sort_unstable();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let some = Namespaces::parse("url,sha512/256, ip ,of-a-newer-version");
        assert_eq!(some.to_string(), "ip,sha512/256,url");
        assert_eq!(Namespaces::parse(&some.to_string()), some);
        assert_eq!(Namespaces::parse(&Namespaces::all().to_string()), Namespaces::all());
        assert_eq!(Namespaces::parse("").to_string(), "");
        assert!(some.are_among(Namespaces::all()) && !Namespaces::all().are_among(some));
        assert!(some.contains(Namespace::Url) && !some.contains(Namespace::Md5));
    }
}
