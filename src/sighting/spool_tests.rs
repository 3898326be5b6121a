//! The file under several hands, cut, full and damaged.

use super::*;
use crate::sighting::{Kind, Subject};

const PLENTY: u64 = 1 << 30;

fn sighting(value: &str, at: u64) -> Sighting {
    Sighting { subject: Subject::Value(value.to_owned()), kind: Kind::Sighting, source: "s".to_owned(), at }
}

fn take(spool: &mut Spool, values: &[&str]) -> Taken {
    spool.take(values.iter().map(|value| (sighting(value, 1000), Standing::Given)).collect(), 1000).unwrap()
}

fn waiting(spool: &mut Spool) -> Vec<String> {
    spool.refresh().unwrap();
    spool.state().oldest(99, &BTreeSet::new()).iter().map(|item| item.sighting.subject.text().to_owned()).collect()
}

#[test]
fn several_runs_share_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut one = Spool::new(directory.path(), 3600, PLENTY);
    let mut two = Spool::new(directory.path(), 3600, PLENTY);
    assert_eq!(take(&mut one, &["a", "b", "a"]), Taken { waiting: vec![1, 2], folded: 1, ..Taken::default() });
    assert_eq!(take(&mut two, &["b", "c"]), Taken { waiting: vec![3], folded: 1, ..Taken::default() });
    assert_eq!(waiting(&mut one), ["a", "b", "c"]);
    let begun = one.begin(2, &BTreeSet::new()).unwrap();
    assert!(begun.iter().all(|item| !item.doubtful) && begun.len() == 2);
    one.note(&[Entry::Sent(vec![1])]).unwrap();
    assert_eq!(waiting(&mut two), ["b", "c"]);
    // Whoever comes later does not know whether the second one has arrived.
    let again = two.begin(9, &BTreeSet::new()).unwrap();
    assert_eq!(again.iter().map(|item| item.doubtful).collect::<Vec<_>>(), [true, false]);
    let right = one.sender().unwrap();
    assert!(right.is_some() && two.sender().unwrap().is_none());
    drop(right);
    assert!(two.sender().unwrap().is_some());
    assert_eq!(fs::metadata(directory.path().join(FILE_NAME)).unwrap().mode() & 0o777, MODE);
}

#[test]
fn a_torn_line_and_a_foreign_one_cost_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    take(&mut Spool::new(directory.path(), 3600, PLENTY), &["a", "b"]);
    let path = directory.path().join(FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    for cut in 0..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        let mut spool = Spool::new(directory.path(), 3600, PLENTY);
        let whole = text[..cut].lines().filter(|line| Entry::decode(line.as_bytes()).is_some()).count();
        take(&mut spool, &["c"]);
        assert_eq!(waiting(&mut Spool::new(directory.path(), 3600, PLENTY)).len(), whole + 1, "{cut}");
    }
    fs::write(&path, format!("nonsense\n{text}{{\"later\":1}}\n")).unwrap();
    assert_eq!(waiting(&mut Spool::new(directory.path(), 3600, PLENTY)), ["a", "b"]);
}

#[test]
fn a_full_spool_refuses_what_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::new(directory.path(), 3600, 150);
    let taken = take(&mut spool, &["a", "b", "c", "d", "a"]);
    assert_eq!((taken.waiting.len(), taken.full, taken.folded), (2, 2, 1));
    // There is room again once something went.
    spool.note(&[Entry::Sent(vec![1, 2])]).unwrap();
    assert_eq!(take(&mut spool, &["c"]).waiting.len(), 1);
}

#[test]
fn rewriting_keeps_what_counts_and_others_notice() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::new(directory.path(), 3600, PLENTY);
    let mut other = Spool::new(directory.path(), 3600, PLENTY);
    other.refresh().unwrap();
    let values: Vec<String> = (0..3000).map(|n| format!("value-{n}.example")).collect();
    let old: Vec<(Sighting, Standing)> = values.iter().map(|value| (sighting(value, 1000), Standing::Given)).collect();
    let numbers = spool.take(old, 1000).unwrap().waiting;
    spool.note(&[Entry::Sent(numbers), Entry::Refused { n: 9999, what: "v".into(), why: "no".into(), at: 1 }]).unwrap();
    take(&mut spool, &["waits.example"]);
    fs::OpenOptions::new().append(true).open(directory.path().join(FILE_NAME)).unwrap().write_all(b"broken\n").unwrap();
    let before = fs::metadata(directory.path().join(FILE_NAME)).unwrap().len();
    spool.refresh().unwrap();
    spool.tidy(10_000).unwrap();
    let after = fs::metadata(directory.path().join(FILE_NAME)).unwrap();
    assert!(after.len() < 1000 && before > 250_000, "{before} {}", after.len());
    assert_eq!(after.mode() & 0o777, MODE);
    assert!(fs::read_to_string(directory.path().join("sightings.jsonl.damaged")).unwrap().contains("broken"));
    assert_eq!(waiting(&mut other), ["waits.example"]);
    assert_eq!(other.state().reason(9999), Some(("v", "no")));
    assert_eq!(take(&mut other, &["new.example"]).waiting, [3002]);
    assert_eq!(waiting(&mut spool), ["waits.example", "new.example"]);
}

#[test]
fn what_waited_for_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::new(directory.path(), 3600, PLENTY);
    let both = vec![
        (sighting("www.a.example", 1000), Standing::Unchecked),
        (sighting("b.example", 1000), Standing::Unchecked),
    ];
    assert_eq!(spool.take(both, 1000).unwrap().waiting, [1, 2]);
    assert!(spool.begin(9, &BTreeSet::new()).unwrap().is_empty());
    let found = vec![(1, vec![sighting("a.example", 1000)]), (2, Vec::new())];
    assert_eq!(spool.checked(found, 1001).unwrap().waiting, [3]);
    let mut again = Spool::new(directory.path(), 3600, PLENTY);
    assert_eq!(waiting(&mut again), ["a.example"]);
    assert!(again.state().unchecked(9).is_empty());
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let mut dry = Spool::new(directory.path(), 3600, PLENTY);
    dry.look().unwrap();
    let (taken, would) = dry.try_out(vec![(sighting("a", 1), Standing::Given), (sighting("a", 2), Standing::Given)], 5);
    assert_eq!((taken.folded, would.len()), (1, 1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let nowhere = Spool::new(Path::new("/nonexistent"), 3600, PLENTY).take(Vec::new(), 1);
    assert_eq!(nowhere.unwrap_err().kind(), crate::error::Kind::CannotWrite);
}
