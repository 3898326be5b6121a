//! What is to be changed in memcached: tags to add to keys and to take from them.
//!
//! Kept compact (one byte arena, one small item each), since a first load hands
//! over tens of thousands at once.

use super::networks::Networks;
use super::ttl::ExpiresAt;
use crate::indicator::{MispType, Namespace, Namespaces};

/// One tag to add or to take away.
#[derive(Debug, Clone, Copy)]
struct Item {
    start: u32,
    len: u16,
    /// Bytes of the context, which stands behind the key.
    context_len: u16,
    kind: MispType,
    remove: bool,
    /// Unix seconds; 0: never.
    expires: u32,
    event: u64,
}

/// One change as it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key, not longer than [`super::key::MAX_WIRE_KEY`] on the wire.
    pub key: &'a [u8],
    /// The event of the tag.
    pub event: u64,
    /// The attribute type of the tag.
    pub kind: MispType,
    /// Take the tag away instead of adding it.
    pub remove: bool,
    /// When the key goes, if the tag is added.
    pub expires: ExpiresAt,
    /// What stands behind the tag's type, if it is added.
    pub context: &'a str,
}

/// A list of changes, in the order they were pushed.
#[derive(Debug, Default)]
pub struct Changes {
    arena: Vec<u8>,
    items: Vec<Item>,
    added_to: Namespaces,
    networks: Networks,
}

impl Changes {
    /// Appends a change whose key `write_key` appends to the buffer it is given.
    pub fn push(
        &mut self,
        write_key: impl FnOnce(&mut Vec<u8>),
        event: u64,
        kind: MispType,
        remove: bool,
        expires: ExpiresAt,
        context: &str,
    ) {
        let start = self.arena.len();
        write_key(&mut self.arena);
        let len = self.arena.len() - start;
        self.arena.extend_from_slice(context.as_bytes());
        self.items.push(Item {
            start: start as u32,
            len: len as u16,
            context_len: context.len() as u16,
            kind,
            remove,
            // memcached's clock has 32 bits too; a moment beyond them is as good as never.
            expires: expires.map_or(0, |at| u32::try_from(at).unwrap_or(0)),
            event,
        });
    }

    /// Remembers that a tag is added to the key of this value.
    pub fn adds_to(&mut self, namespace: Namespace, value: &str) {
        self.added_to.insert(namespace);
        if namespace == Namespace::Cidr
            && let Ok(network) = value.parse()
        {
            self.networks.insert(network);
        }
    }

    /// The prefix lengths of networks whose keys may be new.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// The namespaces in which keys may be new.
    pub fn added_to(&self) -> Namespaces {
        self.added_to
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes held; callers apply the list before it grows large.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.items.len() * size_of::<Item>()
    }

    /// Forgets all changes and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.items.clear();
        self.added_to = Namespaces::default();
        self.networks = Networks::default();
    }

    /// Forgets the changes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first) = self.items.get(len) {
            self.arena.truncate(first.start as usize);
            self.items.truncate(len);
        }
    }

    /// The change at `index`.
    pub fn get(&self, index: usize) -> Change<'_> {
        let item = &self.items[index];
        let start = item.start as usize;
        let behind = start + usize::from(item.len);
        let context = &self.arena[behind..behind + usize::from(item.context_len)];
        Change {
            key: &self.arena[start..behind],
            event: item.event,
            kind: item.kind,
            remove: item.remove,
            expires: (item.expires != 0).then_some(u64::from(item.expires)),
            // Pushed as text; checking nothing is free, and most have none.
            context: std::str::from_utf8(context).unwrap_or_default(),
        }
    }

    /// All changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        (0..self.items.len()).map(|i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hundreds of thousands are held at once.
    #[test]
    fn a_change_is_small() {
        assert_eq!(size_of::<Item>(), 24);
    }

    #[test]
    fn what_was_pushed_comes_back() {
        let md5 = MispType::from_name("md5").unwrap();
        let mut changes = Changes::default();
        changes.push(|k| k.extend_from_slice(b"misp-md5:aa"), 7, md5, false, Some(1_795_000_000), "a#b");
        changes.push(|k| k.extend_from_slice(b"misp-md5:b"), 1 << 40, md5, true, None, "");
        let all: Vec<Change> = changes.iter().collect();
        let add = Change {
            key: b"misp-md5:aa",
            event: 7,
            kind: md5,
            remove: false,
            expires: Some(1_795_000_000),
            context: "a#b",
        };
        let remove = Change { key: b"misp-md5:b", event: 1 << 40, kind: md5, remove: true, expires: None, context: "" };
        assert_eq!(all, [add, remove]);
        changes.truncate(1);
        changes.truncate(1);
        assert_eq!(changes.iter().collect::<Vec<_>>(), [add]);
        changes.clear();
        assert!(changes.is_empty());
    }
}
