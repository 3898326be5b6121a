//! The source alone: what comes, what is committed, what is said of the line.

use crate::support::kafka::{Cluster, Loader, Said, await_that};
use misp2memcached::error::Kind;
use misp2memcached::misp::live::source::Stop;
use misp2memcached::misp::live::{kafka, message};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Topic and payload of everything that MISP handed to librdkafka, if the recordings lie
/// beside the checkout.
fn recorded() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings/kafka");
    let Ok(files) = std::fs::read_dir(&directory) else {
        println!("no recordings in {}: nothing sent", directory.display());
        return Vec::new();
    };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        let step: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for message in step["kafka_messages"].as_array().unwrap() {
            let text = |key: &str| message[key].as_str().unwrap().to_owned();
            messages.push((text("topic"), text("payload")));
        }
    }
    messages
}

#[test]
fn what_misp_sent_arrives_and_is_committed_once_it_is_settled() {
    let sent = recorded();
    if sent.is_empty() {
        return;
    }
    let topics: BTreeSet<&str> = sent.iter().map(|(topic, _)| topic.as_str()).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let cluster = Cluster::start(&topics.iter().map(|topic| (*topic, 1)).collect::<Vec<_>>());
    cluster.send(topics[0], "sent before, for the pass to find");
    let loader = Loader::reading(cluster.section(&topics, &[]));
    for (topic, payload) in &sent {
        cluster.send(topic, payload);
    }
    loader.kept.wait_messages(sent.len());

    let said = loader.kept.said();
    assert_eq!(said[0], Said::Up);
    let mut came = Vec::new();
    for (index, said) in said[1..].iter().enumerate() {
        let Said::Message(number, text) = said else { panic!("{said:?}") };
        assert_eq!(*number, index as u64 + 1);
        message::read(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
        let topic = &sent.iter().find(|(_, payload)| payload == text).expect("one that was sent").0;
        came.push((topic.clone(), text.clone()));
    }
    let of = |all: &[(String, String)], topic: &str| -> Vec<String> {
        all.iter().filter(|(t, _)| t == topic).map(|(_, payload)| payload.clone()).collect()
    };
    for topic in &topics {
        // Kafka keeps the order of a partition.
        assert_eq!(of(&came, topic), of(&sent, topic), "{topic}");
    }

    // Where it began is committed, so that a crash before the first message misses none.
    cluster.await_committed(topics[0], 0, 1);
    let half = sent.len() / 2;
    loader.kept.settle(half as u64);
    for topic in &topics {
        let before = i64::from(*topic == topics[0]);
        cluster.await_committed(topic, 0, before + of(&came[..half], topic).len() as i64);
    }
    loader.kept.settle(sent.len() as u64);
    loader.end();
    for topic in &topics {
        let before = i64::from(*topic == topics[0]);
        assert_eq!(cluster.committed(topic, 0), Some(before + of(&sent, topic).len() as i64), "{topic}");
    }
}

#[test]
fn what_was_not_settled_comes_again() {
    let cluster = Cluster::start(&[("misp_attribute", 1)]);
    let section = || cluster.section(&["misp_attribute"], &[]);
    let loader = Loader::reading(section());
    for n in 0..3 {
        cluster.send("misp_attribute", &format!("message {n}"));
    }
    cluster.send_nothing("misp_attribute");
    cluster.send("misp_attribute", "message 4");
    loader.kept.wait_messages(4);
    assert!(loader.kept.said().contains(&Said::Unreadable));
    loader.kept.settle(2);
    cluster.await_committed("misp_attribute", 0, 2);
    loader.end();

    let again = Loader::reading(section());
    again.kept.wait_messages(2);
    assert_eq!(again.kept.messages(), ["message 2", "message 4"]);
    // The empty one in between goes with the message before it.
    again.kept.settle(1);
    cluster.await_committed("misp_attribute", 0, 4);
    again.kept.settle(2);
    assert!(again.end() < Duration::from_secs(4), "nothing to wait for");
    assert_eq!(cluster.committed("misp_attribute", 0), Some(5));
}

#[test]
fn loaders_of_a_group_share_the_partitions() {
    let cluster = Cluster::start(&[("misp_attribute", 4)]);
    let section = || cluster.section(&["misp_attribute"], &[]);
    let (first, second) = (Loader::reading(section()), Loader::reading(section()));
    let send = |from: i32, to: i32| {
        for n in from..to {
            cluster.send_to("misp_attribute", n % 4, &format!("message {n}"));
        }
    };
    let all = |to: i32| (0..to).map(|n| format!("message {n}")).collect::<BTreeSet<_>>();
    send(0, 20);
    first.kept.wait_messages(10);
    second.kept.wait_messages(10);
    let (one, other) = (first.kept.messages(), second.kept.messages());
    assert_eq!((one.len(), other.len()), (10, 10));
    assert_eq!(one.into_iter().chain(other).collect::<BTreeSet<_>>(), all(20));

    // The second goes: what it had not settled comes to the first, which never went down.
    first.kept.settle(10);
    let committed = |partition| cluster.committed("misp_attribute", partition) == Some(5);
    await_that("the first one's offsets", || (0..4).filter(|p| committed(*p)).count() == 2);
    second.kept.settle(6);
    second.end();
    send(20, 40);
    first.kept.wait("all that is left", |said| {
        let held = |n: i32| said.iter().any(|s| matches!(s, Said::Message(_, text) if *text == format!("message {n}")));
        (20..40).all(held)
    });
    let came = first.kept.said();
    assert_eq!(came.iter().filter(|said| !matches!(said, Said::Message(..))).collect::<Vec<_>>(), [&Said::Up]);
    let number = |text: &String| text.trim_start_matches("message ").parse::<i32>().unwrap();
    let of_before = first.kept.messages().iter().filter(|text| number(text) < 20).count();
    assert_eq!(of_before, 10 + 4, "{came:?}");
}

#[test]
fn brokers_away_and_back() {
    let cluster = Cluster::start(&[("misp_attribute", 1)]);
    let loader = Loader::reading(cluster.section(&["misp_attribute"], &[]));
    cluster.send("misp_attribute", "before");
    loader.kept.wait_messages(1);
    loader.kept.settle(1);
    cluster.await_committed("misp_attribute", 0, 1);
    cluster.set_down(true);
    loader.kept.wait("down", |said| matches!(said.last(), Some(Said::Down(_))));
    cluster.set_down(false);
    loader.kept.wait_up(2);
    cluster.send("misp_attribute", "after");
    loader.kept.wait_messages(2);
    let said = loader.kept.said();
    let Said::Down(why) = &said[2] else { panic!("{said:?}") };
    assert!(why.starts_with("no broker can be reached"), "{why}");
    let message = |n, text: &str| Said::Message(n, text.into());
    assert_eq!(said, [Said::Up, message(1, "before"), Said::Down(why.clone()), Said::Up, message(2, "after")]);

    // An end does not wait for brokers that are gone.
    cluster.set_down(true);
    loader.kept.wait("down", |said| matches!(said.last(), Some(Said::Down(_))));
    let took = loader.end();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn brokers_away_from_the_start_are_reported_once() {
    let cluster = Cluster::start(&[]);
    let mut section = cluster.section(&["misp_attribute"], &[]);
    cluster.set_down(true);
    section.poll_interval = 0.01;
    let loader = Loader::start(section);
    loader.kept.wait("down", |said| !said.is_empty());
    // Twenty rounds of trying later.
    std::thread::sleep(Duration::from_secs(1));
    let said = loader.kept.said();
    assert!(matches!(&said[..], [Said::Down(_)]), "{said:?}");
}

#[test]
fn a_topic_that_is_made_later_is_read_from_its_beginning() {
    let cluster = Cluster::start(&[("misp_attribute", 1)]);
    let often = [("topic.metadata.refresh.interval.ms", "300")];
    let loader = Loader::reading(cluster.section(&["misp_attribute", "misp_event"], &often));
    cluster.send("misp_attribute", "there");
    loader.kept.wait_messages(1);
    // Or it would come again when the partitions are shared out anew.
    loader.kept.settle(1);
    cluster.await_committed("misp_attribute", 0, 1);
    // The mock makes a topic of what is produced to it.
    cluster.send("misp_event", "the first one");
    loader.kept.wait_messages(2);
    assert_eq!(loader.kept.messages(), ["there", "the first one"]);
    assert_eq!(loader.kept.said()[0], Said::Up);
    assert_eq!(loader.kept.said().len(), 3, "{:?}", loader.kept.said());
}

#[test]
fn settings_that_librdkafka_refuses_end_it() {
    let cluster = Cluster::start(&[]);
    for (name, value) in [("sasl.passwort", "hunter2"), ("security.protocol", "hunter2")] {
        let section = cluster.section(&["a"], &[(name, value)]);
        let loader = Loader::start(section.clone());
        let error = kafka::run(&section, &*loader.kept, &Stop::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(&format!("kafka.config.{name}: ")), "{error}");
        assert!(!error.to_string().contains("hunter"), "{error}");
        assert_eq!(kafka::check(&section).unwrap_err().to_string(), error.to_string());
    }
    // Each alone is fine, together they are not.
    let section = cluster.section(&["a"], &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "GSSAPI")]);
    let error = kafka::check(&section).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().starts_with("kafka.config: "), "{error}");
    kafka::check(&cluster.section(&["a"], &[])).unwrap();
}
