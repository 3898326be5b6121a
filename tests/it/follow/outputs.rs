//! What `follow` tells others besides memcached: Falco, Prometheus, and who asks `status`.

use super::{Scene, await_that, now};
use crate::support::live::Operation::*;
use crate::support::program::run;
use crate::support::site::{Site, files};
use misp2memcached::demo::{Attribute, Event, World};
use serde_json::Value;
use std::time::{Duration, Instant};

fn world() -> World {
    let mut world = World::new();
    let one = Event::new("one").with(Attribute::new("domain", "one.example"));
    world.add_event(one.with(Attribute::new("ip-dst", "203.0.113.1")), now() - 86_400);
    world
}

fn add(scene: &mut Scene, kind: &str, value: &str) {
    assert!(scene.operate(&AddAttribute(1, Attribute::new(kind, value))));
}

#[test]
fn falcos_rules_follow_now_and_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let falco = "  enabled: true\n  min_interval: 1s\n  falco_binary: \"\"\n";
    let mut scene = Scene::start(world(), "", &format!("falco:\n  directory: {path:?}\n{falco}"));
    scene.fresh.extra("");
    let rules = path.join("misp2memcached.yaml");
    let lists = |value: &str| std::fs::read_to_string(&rules).unwrap().contains(value);
    assert!(lists("203.0.113.1"));
    let writes = |scene: &Scene| scene.follower.log().matches("written for Falco").count();

    // Additions that come all the time: one write a second, and the last one counts.
    let begun = Instant::now();
    let mut values = (2..255).map(|n| format!("203.0.113.{n}"));
    let mut last = String::new();
    while writes(&scene) < 3 {
        last = values.next().unwrap_or_else(|| panic!("it does not write\n{}", scene.follower.log()));
        add(&mut scene, "ip-dst", &last);
        std::thread::sleep(super::LOOK);
    }
    await_that(|| format!("{last} in\n{}", std::fs::read_to_string(&rules).unwrap()), || lists(&last));
    let most = begun.elapsed().as_secs() + 1;
    assert!(writes(&scene) as u64 <= most, "{} writes in {:?}", writes(&scene), begun.elapsed());

    // What is gone goes there as well.
    assert!(scene.operate(&SoftDelete(2)));
    await_that(|| "an address that is deleted goes".into(), || !lists("203.0.113.1\""));

    // What Falco does not list changes no file: neither bytes nor time. Twice the interval
    // is not a wait for something: it is when a write would have come.
    let before = files(path);
    add(&mut scene, "domain", "two.example");
    scene.settles("a domain");
    std::thread::sleep(Duration::from_secs(2));
    assert!(files(path) == before, "{}", scene.follower.log());
}

/// One sample of the file for Prometheus.
fn sample(scene: &Scene, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(scene.site.config.directory().join("misp.prom")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("misp2memcached_follow_{name} ")));
    line.map(|value| value.parse().unwrap())
}

fn status(scene: &Scene, flags: &[&str]) -> String {
    let path = scene.site.config.write();
    let arguments = [&["--config", path.to_str().unwrap(), "status"], flags].concat();
    let finished = run(&arguments, &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.stdout
}

#[test]
fn metrics_and_status_say_how_it_is_doing() {
    let site = Site::new(world());
    let file = site.config.directory().join("misp.prom");
    let mut scene = Scene::with(site, "", "max_shrink_percent: 100\n", &format!("metrics: {{file: {file:?}}}\n"));
    scene.fresh.extra("");
    assert_eq!((sample(&scene, "up"), sample(&scene, "passes_total")), (Some(1.0), Some(1.0)));
    for operation in [
        AddAttribute(1, Attribute::new("domain", "two.example")),
        EditValue(1, "edited.example".into()),
        SoftDelete(1),
        HardDelete(2),
        TagEvent(1, "tlp:red".into()),
        EditEvent(1, "edited".into(), 2),
        Publish(1),
        AddEvent(Event::new("two").with(Attribute::new("md5", "fbade9e36a3f36d3d676c1b808451dd7"))),
        DeleteEvent(2),
    ] {
        assert!(scene.operate(&operation));
    }
    scene.publisher.send(b"misp_json_self {\"status\":\"And when you're dead I will be still alive.\",\"uptime\":1}");
    scene.publisher.send(b"misp_json_tag nothing");
    scene.settles("all of it");
    // What was counted is written down after each pass.
    scene.publisher.restart();
    scene.await_counts("a second pass", |counts| counts.passes == 2);
    await_that(|| "figures of the second pass".into(), || sample(&scene, "passes_total") == Some(2.0));
    let kinds = [
        ("attribute_add", 2),
        ("attribute_edit", 1),
        ("attribute_delete", 2),
        ("event", 2),
        ("event_delete", 1),
        ("event_publish", 1),
        ("tag", 1),
        ("heartbeat", 1),
    ];
    let told: Value = serde_json::from_str(&status(&scene, &["--json"])).unwrap();
    for (kind, count) in kinds {
        assert_eq!(sample(&scene, &format!("messages_total{{kind=\"{kind}\"}}")), Some(f64::from(count)), "{kind}");
        assert_eq!(told["follow"]["messages"][kind], count, "{kind} in {told}");
    }
    let samples = ["up", "unreadable_total", "connects_total", "disconnects_total", "failed_passes_total"];
    assert_eq!(samples.map(|name| sample(&scene, name).unwrap()), [1.0, 1.0, 2.0, 1.0, 0.0]);
    assert!(sample(&scene, "looks_total") >= Some(1.0) && sample(&scene, "longest_lag_seconds") > Some(0.0));
    assert!(sample(&scene, "last_heartbeat_timestamp_seconds") > Some(1e9));
    let shown = status(&scene, &[]);
    for part in ["Follow      line up, 11 messages, ", ", 2 passes, 1 unreadable; last ", "\n            last pass "] {
        assert!(shown.contains(part), "{shown}");
    }

    // A publisher that goes away shows at once, not with the next of the figures, ten seconds later.
    scene.publisher.kill();
    scene.await_counts("the line is down", |counts| !counts.up);
    assert_eq!(sample(&scene, "up"), Some(0.0));
    let shown = status(&scene, &[]);
    assert!(shown.contains("line DOWN") && shown.contains("last error: tcp://127.0.0.1:"), "{shown}");

    // One that was killed cannot say so; what it wrote gets old.
    scene.follower.kill();
    let path = scene.site.config.state().join(misp2memcached::follow::run::FILE_NAME);
    let mut counts = scene.counts().expect("what it said of itself");
    counts.now -= 61;
    std::fs::write(&path, serde_json::to_vec(&counts).unwrap()).unwrap();
    let shown = status(&scene, &[]);
    assert!(shown.contains("Follow      does NOT RUN any more: last seen 1m"), "{shown}");
}

#[test]
fn one_that_ended_in_order_leaves_no_status() {
    let mut scene = Scene::start(world(), "", "");
    assert!(status(&scene, &[]).contains("Follow      line up"));
    scene.end();
    assert!(!status(&scene, &[]).contains("Follow"));
    assert_eq!(serde_json::from_str::<Value>(&status(&scene, &["--json"])).unwrap()["follow"], Value::Null);
}
