//! What is asked for together, what waits for a full pass, and what is believed meanwhile.

use super::super::recent::RECENT;
use super::*;
use crate::indicator::{MispType, Namespace};

fn add(event: u64, value: &str, look: bool) -> Step {
    let kind = MispType::from_name("url").unwrap();
    let fresh = vec![Fresh { namespace: Namespace::Url, kind, timestamp: 1, value: value.into() }];
    Step::Add { event, attribute: value.len() as u64, fresh, look }
}

fn look(event: u64) -> Step {
    Step::Look { event, late: false, withdrawn: None }
}

fn events(taken: &Taken) -> Vec<u64> {
    taken.events().collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn messages_are_coalesced_and_asked_for_twice() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    for number in 1..=100 {
        pending.put(number, look(7), now + MS * number as u32);
    }
    assert!(pending.take_looks(now + SOON[0], 9).is_empty(), "the first message counts, and it came a moment later");
    let taken = pending.take_looks(now + SOON[0] + MS, 9);
    assert_eq!((events(&taken), pending.settled(Some(&taken))), (vec![7], 0));
    let asked = now + Duration::from_secs(1);
    pending.looked(taken, asked);
    assert_eq!((pending.settled(None), pending.next_look()), (100, Some(asked + SOON[1])));
    let taken = pending.take_looks(asked + SOON[1], 9);
    pending.looked(taken, asked);
    assert_eq!(pending.next_look(), None);
}

#[test]
fn what_was_settled() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    pending.put(1, Step::Nothing, now);
    assert_eq!(pending.settled(None), 1);
    pending.put(2, add(5, "a", false), now);
    pending.put(3, look(6), now);
    pending.put(4, Step::Gone(8), now);
    assert_eq!(pending.settled(None), 1);
    let adds = pending.take_adds().unwrap();
    assert_eq!((adds.events.len(), pending.settled(None)), (1, 1));
    pending.done();
    assert_eq!(pending.settled(None), 2);
    let taken = pending.take_looks(now + SOON[0], 9);
    assert_eq!((pending.settled(Some(&taken)), pending.settled(None)), (2, 3));
    pending.put_back(taken, true, now);
    assert_eq!((pending.settled(None), pending.next_look()), (2, Some(now + SURE[0])));
    assert_eq!(events(&pending.take_looks(now + RETRY - MS, 9)), [8], "it is made sure that it went");
    let taken = pending.take_looks(now + RETRY, 9);
    pending.looked(taken, now);
    assert_eq!((pending.settled(None), pending.take_gone()), (3, vec![8]));
    assert_eq!(pending.settled(None), 3);
    pending.done();
    pending.put(9, Step::Everything, now);
    assert_eq!(pending.settled(None), 8);
    pending.everything_done(8);
    assert_eq!(pending.settled(None), 8);
    pending.everything_done(9);
    assert_eq!(pending.settled(None), 9);
}

#[test]
fn an_earlier_look_does_not_make_sure_of_a_later_message() {
    let (mut pending, now) = (Pending { unordered: true, ..Pending::default() }, Instant::now());
    let later = now + Duration::from_secs(4);
    pending.put(1, add(5, "a", false), now);
    pending.put(2, add(5, "b", false), later);
    let taken = pending.take_looks(now + SURE[0], 9);
    assert_eq!(pending.recent().of(5).count(), 1, "an answer without it does not count yet");
    pending.looked(taken, now + SURE[0]);
    let due = pending.next_look().expect("another look");
    pending.take_looks(due, 9);
    assert!(due >= later + SURE[0] && pending.recent().of(5).count() == 0);
}

#[test]
fn an_event_that_goes_takes_what_waits_with_it() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    pending.put(1, add(5, "a", true), now);
    pending.put(2, Step::Gone(5), now);
    assert!(pending.take_adds().is_none_or(|adds| adds.events.is_empty()));
    assert_eq!((pending.next_look(), pending.take_gone()), (Some(now + SURE[0]), vec![5]));
}

#[test]
fn a_full_pass_waits_for_what_it_is_for() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    pending.put(1, Step::Everything, now);
    assert!(!pending.wants_everything(now + EVERYTHING - MS) && pending.wants_everything(now + EVERYTHING));
    // The pass has begun; what comes now it may not see.
    let (begun, later) = (pending.last(), now + EVERYTHING + MS);
    pending.put(2, Step::Everything, later);
    pending.put(3, Step::Nothing, later);
    pending.everything_done(begun);
    assert_eq!(pending.settled(None), 1);
    assert!(!pending.wants_everything(later) && pending.wants_everything(later + EVERYTHING));
    pending.everything_done(3);
    assert_eq!((pending.settled(None), pending.wants_everything(later + EVERYTHING)), (3, false));
    // One after the other puts it off, but not for ever.
    for second in 0..600 {
        pending.put(4 + second, Step::Everything, now + second as u32 * Duration::from_secs(1));
    }
    assert!(pending.wants_everything(now + MAX_EVERYTHING));
}

#[test]
fn too_many_indicators_become_events_to_ask_for() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    let value = "x".repeat(60_000);
    for number in 1..=1000 {
        pending.put(number, add(number % 10, &value, false), now);
        assert!(pending.bytes <= MAX_ADD_BYTES + value.len() + FRESH_BYTES);
    }
    let taken = pending.take_looks(now + SOON[0], 100);
    assert_eq!(events(&taken), (0..10).collect::<Vec<_>>());
    assert_eq!(pending.settled(Some(&taken)), 0);
    pending.looked(taken, now);
    assert!(pending.settled(None) > 0 && pending.settled(None) < 1000, "the last ones wait to be added");
}

#[test]
fn too_many_events_become_a_full_pass() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    for number in 1..=2 * MAX_EVENTS as u64 {
        let step = if number % 2 == 0 { Step::Gone(number) } else { look(number) };
        pending.put(number, step, now);
        assert!(pending.looks.len() + pending.gone.len() <= MAX_EVENTS);
    }
    assert!(pending.wants_everything(now + EVERYTHING));
    assert_eq!(pending.settled(None), 0);
}

#[test]
fn what_came_lately_is_believed_until_it_is_withdrawn() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    let values = |pending: &mut Pending, event| pending.recent().of(event).map(|f| f.value.clone()).collect::<Vec<_>>();
    // The test's attributes go by the length of their value.
    for (number, value) in (1..).zip(["b", "aa"]) {
        pending.put(number, add(5, value, false), now);
        pending.put(number, add(6, value, false), now);
    }
    assert_eq!((values(&mut pending, 5), values(&mut pending, 4)), (vec!["b".into(), "aa".into()], vec![]));
    pending.put(9, add(5, "cc", true), now);
    assert_eq!(values(&mut pending, 5), ["b", "cc"], "edited: the old value may go");
    pending.put(9, Step::Look { event: 5, late: false, withdrawn: Some(2) }, now);
    assert_eq!((values(&mut pending, 5), values(&mut pending, 6).len()), (vec!["b".to_owned()], 2));
    pending.take_looks(now + RECENT - MS, 9);
    assert_eq!(values(&mut pending, 5), ["b"]);
    assert_eq!(pending.recent().events(now), [5, 6].into());
    pending.take_looks(now + RECENT, 9);
    assert_eq!((values(&mut pending, 5).len(), values(&mut pending, 6).len()), (0, 0));
}

#[test]
fn what_may_come_in_another_order_is_made_sure_of() {
    let (mut pending, now) = (Pending { unordered: true, ..Pending::default() }, Instant::now());
    pending.put(1, add(5, "a", false), now);
    assert_eq!(pending.next_look(), Some(now + SURE[0]));
    pending.take_adds();
    pending.done();
    assert_eq!(pending.settled(None), 1, "it is done; this only makes sure");
    pending.make_sure([6], now);
    assert_eq!(events(&pending.take_looks(now + SURE[0], 9)), [5, 6]);
}

/// Until MISP has answered, whatever becomes of the look that was to ask.
#[test]
fn what_no_answer_has_borne_out_is_asked_for_anew() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    let anew = |taken: &Taken| taken.anew().collect::<Vec<_>>();
    pending.put(1, Step::Gone(5), now);
    pending.put(2, look(5), now);
    pending.put(3, look(6), now);
    let taken = pending.take_looks(now + SOON[0], 9);
    assert_eq!((events(&taken), anew(&taken)), (vec![5, 6], vec![5]));
    pending.put(4, look(5), now);
    pending.put_back(taken, true, now);
    let taken = pending.take_looks(now + RETRY, 9);
    assert_eq!(anew(&taken), [5]);
    pending.looked(taken, now);
    assert_eq!(anew(&pending.take_looks(now + SOON[1], 9)), [5], "also where it only makes sure");
    pending.ask_anew([6], now);
    pending.make_sure([6, 7], now);
    assert_eq!(anew(&pending.take_looks(now + SURE[0], 9)), [6]);
}
