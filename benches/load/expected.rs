//! What memcached must hold in the end, computed from the data alone: each key
//! and its value. Keys are kept as places in the data (16 bytes a listing) and
//! written out only when asked for, so ten million attributes fit.

use crate::attribute::Attribute;
use crate::dataset::{Dataset, FIRST_EVENT_ID};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// One listing of a key: the `half`-th indicator of the attribute at `place`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Listing {
    hash: u64,
    place: u32,
    half: u8,
}

/// The keys and values that follow from a [`Dataset`].
pub struct Expected<'a> {
    data: &'a Dataset,
    listings: Vec<Listing>,
    /// Where in `listings` each key begins, and the end.
    starts: Vec<u32>,
}

impl<'a> Expected<'a> {
    /// Goes through the whole data.
    pub fn new(data: &'a Dataset) -> Expected<'a> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let mut listings: Vec<Listing> = std::thread::scope(|scope| {
            let share = data.events().div_ceil(threads);
            let parts: Vec<_> = (0..threads)
                .map(|part| {
                    let end = data.events().min((part + 1) * share);
                    scope.spawn(move || listings_of(data, part * share..end))
                })
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("a generator thread panicked")).collect()
        });
        listings.sort_unstable();
        let mut starts = Vec::with_capacity(listings.len() + 1);
        for (i, listing) in listings.iter().enumerate() {
            if i == 0 || listings[i - 1].hash != listing.hash {
                starts.push(i as u32);
            }
        }
        starts.push(listings.len() as u32);
        Expected { data, listings, starts }
    }

    /// The number of keys.
    pub fn keys(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether an indicator is among them.
    pub fn has(&self, namespace: &str, value: &str) -> bool {
        let hash = hash(&key(namespace, value));
        let at = self.listings.partition_point(|listing| listing.hash < hash);
        self.listings.get(at).is_some_and(|listing| listing.hash == hash)
    }

    /// The `n`-th key and its value, in an order that has no meaning.
    pub fn pair(&self, n: usize) -> (String, String) {
        let listings = &self.listings[self.starts[n] as usize..self.starts[n + 1] as usize];
        let mut found: Option<String> = None;
        let mut tags: Vec<(u32, &str)> = Vec::with_capacity(listings.len());
        for listing in listings {
            let (event, attribute) = self.at(listing.place);
            let (namespace, value) =
                attribute.indicators().nth(usize::from(listing.half)).expect("it was listed with this half");
            let key = key(namespace, value);
            // Two keys with one 64-bit hash would make the expectation wrong.
            assert!(*found.get_or_insert_with(|| key.clone()) == key, "two keys share a hash: change the seed");
            tags.push((FIRST_EVENT_ID + event, attribute.kind_name()));
        }
        tags.sort_unstable();
        tags.dedup();
        let value: Vec<String> = tags.iter().map(|(event, kind)| format!("{event}#{kind}")).collect();
        (found.expect("a key has a listing"), value.join(","))
    }

    fn at(&self, place: u32) -> (u32, Attribute) {
        let event = place / self.data.per_event();
        (event, self.data.attribute(event, place % self.data.per_event()))
    }
}

fn listings_of(data: &Dataset, events: std::ops::Range<u32>) -> Vec<Listing> {
    let mut listings = Vec::with_capacity(events.len() * data.per_event() as usize * 11 / 10);
    for event in events {
        for place in 0..data.per_event() {
            let attribute = data.attribute(event, place);
            for (half, (namespace, value)) in attribute.indicators().enumerate() {
                let hash = hash(&key(namespace, value));
                listings.push(Listing { hash, place: event * data.per_event() + place, half: half as u8 });
            }
        }
    }
    listings
}

fn key(namespace: &str, value: &str) -> String {
    let mut key = String::with_capacity(6 + namespace.len() + value.len());
    for part in ["misp-", namespace, ":", value] {
        key.push_str(part);
    }
    key
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}
