//! What a run that failed may leave behind: nothing that is worse than before it.

use super::scene::{Held, OWN, Outside, Scene, tags};
use misp2memcached::cache::networks::Networks;
use std::collections::{BTreeMap, BTreeSet};

/// Every tag that was there still is, and nothing is there that neither was nor is
/// in MISP; what readers rely on and Falco's directory are untouched.
pub fn not_worse(scene: &Scene, before: &Outside) {
    compare(scene, before, false);
}

/// The same, but the run may have taken out what MISP no longer has.
pub fn not_worse_though_removing(scene: &Scene, before: &Outside) {
    compare(scene, before, true);
}

/// The same where the run may have come as far as Falco's files, which are given: they are
/// to be held against what was before, and against what a good run leaves.
pub fn not_worse_but_for_falco(scene: &Scene, before: &Outside) -> BTreeMap<String, String> {
    let falco = scene.falco();
    compare(scene, &(before.0.clone(), falco.clone()), true);
    falco
}

fn compare(scene: &Scene, before: &Outside, removing: bool) {
    let (held, falco) = scene.outside();
    assert_eq!(falco, before.1, "Falco's directory");
    for key in OWN {
        // Without it readers look everywhere, which is slower and never wrong.
        if key == "misp-namespaces" && !held.contains_key(key) {
            continue;
        }
        if key == "misp-networks" {
            networks(&held, &before.0);
            continue;
        }
        assert_eq!(held.get(key), before.0.get(key), "{key}");
    }
    let wanted = scene.wanted();
    let keys: BTreeSet<&String> = held.keys().chain(before.0.keys()).filter(|k| !OWN.contains(&k.as_str())).collect();
    for key in keys {
        let of = |map: &Held| -> BTreeSet<String> {
            map.get(key).map(|v| tags(v).into_iter().map(str::to_owned).collect()).unwrap_or_default()
        };
        let (was, is, will) = (of(&before.0), of(&held), of(&wanted));
        let mut stays = was.iter().filter(|tag| !removing || will.contains(*tag));
        assert!(stays.all(|tag| is.contains(tag)), "{key} had {was:?} and has {is:?}");
        assert!(is.iter().all(|tag| was.contains(tag) || will.contains(tag)), "{key} has {is:?}, MISP {will:?}");
    }
}

/// Readers are told of a prefix length before the first network that has it, so there
/// may be more of them than before, and never too few for the networks that are held.
fn networks(held: &Held, before: &Held) {
    let of = |map: &Held| Networks::parse(map.get("misp-networks").map_or("", String::as_str).as_bytes());
    let mut needed = of(before);
    for key in held.keys() {
        needed.append(&key.strip_prefix("misp-cidr:").map(length).unwrap_or_default());
    }
    let told = of(held);
    assert!(!told.clone().append(&needed), "misp-networks is {told}, which lacks some of {needed}");
}

fn length(network: &str) -> Networks {
    let mut one = Networks::default();
    one.insert(network.parse().expect("a network"));
    one
}
