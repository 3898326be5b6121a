//! Answers without end, and failures that come together: what the fetching believes.

use super::*;
use crate::config::Config;
use crate::demo::{Attribute as Sample, Event, SampleMisp, World};
use std::net::TcpListener;
use std::sync::Arc;

const NOW: u64 = 1_795_220_000;

/// Pages of five rows of an event of fifty, where at most `most` are believed.
fn fetched(most: u64) -> Result<Batch, Failure> {
    let attributes = (0..50).map(|n| Sample::new("domain", &format!("n{n}.example")));
    let mut world = World::new();
    world.add_event(attributes.fold(Event::new("fifty"), Event::with), NOW);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let misp = SampleMisp::start(listener, Arc::new(Mutex::new(world)), "key").unwrap();
    let yaml = format!("misp: {{url: {:?}, token: key}}", misp.url());
    let config: Config = serde_yaml::from_str(&yaml).unwrap();
    let (client, directory) = (Client::new(&config.misp).unwrap(), tempfile::tempdir().unwrap());
    let work = Work {
        queue: Mutex::new(Queue::new(std::iter::empty(), 5)),
        stop: AtomicBool::new(false),
        client,
        query: Query::new(&config, NOW),
        directory: directory.path().to_owned(),
        most,
    };
    work.batch(&[1], 5).map(|came| match came {
        Came::Whole(batch) => *batch,
        Came::TooLarge(_) => panic!("one event is read page by page"),
    })
}

/// One full page after the other, for ever, would fill the disk.
#[test]
fn pages_without_end_are_given_up() {
    assert_eq!(fetched(51).unwrap().attributes, 50);
    let Err(Failure::Passing(error)) = fetched(50) else { panic!("a batch of fifty") };
    assert_eq!(error.kind(), Kind::Untrusted);
    assert!(error.to_string().contains("more than 50 rows came"), "{error}");
}
