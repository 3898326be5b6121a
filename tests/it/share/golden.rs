//! The events that MISP stores of every form of input. After a change on purpose
//! `UPDATE_GOLDEN=1 cargo test --test it share::golden` writes them anew; read the
//! difference before it is kept.

use super::{Site, golden};
use misp2memcached::demo::{Event, World};
use misp2memcached::share::event::Terms;
use misp2memcached::share::input::{From, detection};
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn compare(name: &str, shown: &str) {
    let file = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
}

/// An event as a person would look at it.
fn shown(event: &Event) -> String {
    let mut out = format!(
        "{}\n  {}\n  {}, threat level {}, distribution {}, {}, tags {:?}\n",
        event.info,
        event.uuid,
        event.date,
        event.threat_level,
        event.distribution,
        if event.published { "published" } else { "draft" },
        event.tags
    );
    for a in &event.attributes {
        let seen = a.first_seen.as_deref().unwrap_or("-");
        writeln!(
            out,
            "  {} {} ({}, to_ids {}, first seen {seen})\n    {}",
            a.kind, a.value, a.category, a.to_ids, a.comment
        )
        .unwrap();
    }
    out
}

fn stored(world: &World) -> String {
    world.events().map(shown).collect::<Vec<_>>().join("\n")
}

#[test]
fn hand_made_lines() {
    for (form, flags) in [
        ("flowmon", &["--tag", "flowmon", "--ids", "1", "--distribution", "3", "--user-identity"][..]),
        ("json", &["--exclude", "45.155.205.0/24", "--no-publish"]),
    ] {
        let site = Site::new();
        site.misp.set_now(Some(1_795_220_407));
        let input = fs::read_to_string(golden(&format!("{form}.txt"))).unwrap();
        let finished = site.share(&[&["--from", form], flags].concat(), &input);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        compare(&format!("{form}.out"), &stored(&site.misp.world()));
        // The same once more changes nothing.
        let before = stored(&site.misp.world());
        assert_eq!(site.share(&[&["--from", form], flags].concat(), &input).code, Some(0));
        assert_eq!(stored(&site.misp.world()), before);
    }
}

/// All sample lines as they are, whose addresses are private, and with public ones in
/// their place. The samples lie beside the checkout, not in it.
#[test]
fn sample_lines() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/flowmon");
    if !directory.exists() {
        println!("no samples in {}: nothing compared", directory.display());
        return;
    }
    let files = ["multiple_targets_per_event.txt", "ipv6_multiple_targets_per_event.txt"];
    let samples: String = files.iter().map(|f| fs::read_to_string(directory.join(f)).unwrap()).collect();
    assert_eq!(samples.lines().count(), 320);
    let public = samples.replace("192.168.", "185.220.").replace("=10.0.", "=45.155.").replace("fe80::", "2a0b:f4c2::");
    let mut out = String::new();
    for (title, lines) in [("as they are", &samples), ("with public addresses", &public)] {
        writeln!(out, "# {title}").unwrap();
        for line in lines.lines() {
            let built = Terms::default().build(detection(From::Flowmon, line, false).unwrap().unwrap());
            let Some(draft) = built.draft else { continue };
            let mut counts = std::collections::BTreeMap::new();
            draft.attributes.iter().for_each(|a| *counts.entry(&a.kind).or_insert(0) += 1);
            let first = &draft.attributes[0];
            let method = line.split('|').nth(4).unwrap();
            writeln!(
                out,
                "{} {method} level {} {} {} {counts:?}",
                draft.uuid, draft.threat_level_id, first.kind, first.value
            )
            .unwrap();
            assert!(
                draft.date.as_deref() == Some("2025-11-03") && draft.info.starts_with("Flowmon ADS: "),
                "{draft:?}"
            );
        }
    }
    compare("samples.out", &out);
}

/// The samples through the program: MISP has an event of each that has anything to tell.
#[test]
fn sample_lines_into_misp() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/flowmon");
    let Ok(samples) = fs::read_to_string(directory.join("multiple_targets_per_event.txt")) else {
        println!("no samples in {}: nothing sent", directory.display());
        return;
    };
    let site = Site::new();
    let finished = site.share(&["--from", "flowmon"], &samples);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(
        super::values(&site.event()),
        ["kxe21oxk17n30lvd40n50grmyo31b48gqfue41b58.org"],
        "all others are private"
    );
}
