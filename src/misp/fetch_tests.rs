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
        queue: Mutex::new(Queue { waiting: VecDeque::new(), alone: Vec::new(), pace: Pace::new(5) }),
        stop: AtomicBool::new(false),
        client,
        query: Query::new(&config, NOW),
        directory: directory.path().to_owned(),
        most,
    };
    work.batch(&[1], 5).map(|came| match came {
        Came::Whole(batch) => batch,
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

#[test]
fn what_failed_is_asked_for_in_order() {
    let mut queue = Queue { waiting: (1..=9).collect(), alone: Vec::new(), pace: Pace::new(100) };
    queue.pace.failed(6);
    let first = queue.take();
    let second = queue.take();
    assert_eq!((&first, &second), (&(vec![1, 2, 3], 100), &(vec![4, 5, 6], 100)));
    let failure = || Failure::Passing(Error::new(Kind::Unavailable, "500"));
    assert!(queue.give_back(&first.0, 100, &failure()));
    assert!(queue.give_back(&second.0, 100, &failure()));
    queue.pace.succeeded(1, 1);
    queue.pace.succeeded(2, 1);
    assert_eq!(queue.take().0, [1, 4, 5, 6]);
    assert!(!queue.give_back(&[2], 100, &Failure::RateLimited(std::time::Duration::ZERO)));
    queue.pace.failed(1);
    assert!(!queue.give_back(&[2], 100, &failure()), "it cannot be smaller");
}

/// The one event that fills the page comes alone; where there is none, batches shrink.
#[test]
fn what_is_too_large_for_a_batch_is_split() {
    let mut queue = Queue { waiting: (1..=40).collect(), alone: Vec::new(), pace: Pace::new(50_000) };
    let (events, limit) = queue.take();
    assert_eq!((events.len(), limit), (16, ONE_QUERY));
    queue.split(&events, Some(5));
    assert_eq!(queue.take(), (vec![5], 50_000));
    let (events, _) = queue.take();
    assert_eq!(events, (1..=17).filter(|e| *e != 5).collect::<Vec<u64>>());
    queue.split(&events, None);
    assert_eq!(queue.take().0, [1, 2, 3, 4, 6, 7, 8, 9]);
}
