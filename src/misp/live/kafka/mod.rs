//! MISP's messages from the topics of a Kafka cluster, by librdkafka.
//!
//! Kafka keeps messages until they are read, but MISP does not try again when no broker
//! takes one. So the line was down when no broker could be reached, and not when the
//! group moved partitions from one loader to another.
//!
//! - Pure: `positions`, what may be committed
//! - `settings`: librdkafka's settings, the user's and ours
//! - `context`: what librdkafka tells between messages

mod context;
mod positions;
mod settings;

use super::source::{Sink, Stop};
use crate::config::Kafka;
use crate::error::Result;
use context::{Context, Heard};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};

/// How soon an end is noticed.
const TICK: Duration = Duration::from_millis(100);

/// How long no partition may be ours before the line counts as down. A group takes
/// some seconds to share partitions out.
const UNASSIGNED: Duration = Duration::from_secs(15);

/// How often it is asked whether a broker is there again.
const PROBE: Duration = Duration::from_millis(500);

/// How long a broker may take to answer that.
const ANSWER: Duration = Duration::from_secs(2);

/// How long after a broker's answer librdkafka's word that none is there is doubted: it
/// may have waited to be heard since before.
const STALE: Duration = Duration::from_secs(2);

const NO_BROKER: &str = "no broker can be reached";

/// How often brokers are asked whether they are there while connections break.
const DOUBT: Duration = Duration::from_secs(2);

/// The wait before librdkafka is started anew after an error it cannot go on from.
const ANEW: Duration = Duration::from_secs(5);

/// Different troubles that are told at warning level while the line stays as it is.
const TOLD: usize = 20;

/// Whether this program can read Kafka.
pub const BUILT_IN: bool = true;

/// Tries librdkafka's settings without connecting to anything.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config), in librdkafka's words but without values.
pub fn check(config: &Kafka) -> Result<()> {
    let settings = Settings::of(config)?;
    let created: Result<BaseConsumer, _> = settings.client.create();
    created.map(|_| ()).map_err(|e| settings.refused(&e))
}

/// Hands over messages until `stop`.
///
/// At the end it commits what is settled then; the rest is repeated at the next start.
///
/// # Errors
/// As [`check`]; nothing that Kafka does is an error.
pub fn run(config: &Kafka, sink: &dyn Sink, stop: &Stop) -> Result<()> {
    let settings = Settings::of(config)?;
    let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
    let mut taken = 0;
    while !stop.is_set() {
        let context = Context::new(sink, settings.from_the_end);
        let consumer = settings.client.create_with_context(context).map_err(|e| settings.refused(&e))?;
        Consumer::subscribe(&consumer, &topics).map_err(|e| settings.refused(&e))?;
        let mut reader = Reader::new(&consumer, config, sink, taken);
        let fatal = reader.read(stop);
        taken = reader.taken;
        leave(consumer, topics.first().copied());
        if let Some(fatal) = fatal {
            sink.down(&fatal);
            let until = Instant::now() + ANEW;
            while Instant::now() < until && !stop.is_set() {
                thread::sleep(TICK);
            }
        }
    }
    Ok(())
}

/// Commits what is settled and says goodbye to the group, if a broker listens.
fn leave(consumer: BaseConsumer<Context<'_>>, topic: Option<&str>) {
    if consumer.fetch_metadata(topic, ANSWER).is_ok() {
        consumer.context().commit_all(&consumer);
    } else {
        // librdkafka would wait a minute or more for an answer, and the process is about to end.
        std::mem::forget(consumer);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing is known yet.
    New,
    Up,
    Down,
}

struct Reader<'c, 'a> {
    consumer: &'c BaseConsumer<Context<'a>>,
    config: &'c Kafka,
    sink: &'a dyn Sink,
    /// Messages handed over.
    taken: u64,
    line: Line,
    /// Since when no partition is ours.
    unassigned: Option<Instant>,
    /// When it was last asked whether a broker is there again, while none is.
    probed: Instant,
    /// When one was.
    answered: Option<Instant>,
    /// A connection broke since then.
    broken: bool,
    /// The last trouble, to say why the line is down.
    trouble: String,
    told: BTreeSet<String>,
}

impl<'c, 'a> Reader<'c, 'a> {
    fn new(consumer: &'c BaseConsumer<Context<'a>>, config: &'c Kafka, sink: &'a dyn Sink, taken: u64) -> Self {
        let now = Instant::now();
        Reader {
            consumer,
            config,
            sink,
            taken,
            line: Line::New,
            unassigned: Some(now),
            probed: now,
            answered: None,
            broken: false,
            trouble: String::new(),
            told: BTreeSet::new(),
        }
    }

    fn heard(&self) -> MutexGuard<'c, Heard> {
        self.consumer.context().heard()
    }

    /// Reads until it has to end; or until librdkafka cannot go on, and says why.
    fn read(&mut self, stop: &Stop) -> Option<String> {
        let interval = Duration::from_secs_f64(self.config.poll_interval);
        let mut due = Instant::now() + interval;
        while !stop.is_set() {
            let polled = self.consumer.poll(due.saturating_duration_since(Instant::now()).min(TICK));
            self.tell();
            self.find_line();
            match polled {
                Some(Ok(message)) => self.take(&message),
                // What else goes wrong the context has heard, with more words.
                Some(Err(KafkaError::MessageConsumptionFatal(_))) => {
                    return Some(format!("librdkafka starts anew: {}", self.trouble));
                }
                Some(Err(_)) | None => {}
            }
            if Instant::now() >= due {
                self.consumer.context().commit(self.consumer);
                due = Instant::now() + interval;
            }
        }
        None
    }

    fn take(&mut self, message: &BorrowedMessage) {
        let json = message.payload().filter(|json| !json.is_empty());
        self.taken += u64::from(json.is_some());
        self.heard().positions.took(self.taken, message.topic(), message.partition(), message.offset());
        match json {
            Some(json) => self.sink.message(self.taken, json),
            None => self.sink.unreadable("it is empty"),
        }
    }

    /// Says what librdkafka told since the last time, each thing once.
    fn tell(&mut self) {
        let (errors, assigned) = {
            let mut heard = self.heard();
            let assigned = std::mem::take(&mut heard.reassigned).then(|| heard.assigned.clone());
            (std::mem::take(&mut heard.errors), assigned)
        };
        if let Some(assigned) = assigned {
            log::info!("Kafka: {}", described(&assigned));
            self.unassigned = assigned.is_empty().then(Instant::now);
        }
        for (code, reason) in errors {
            let passing = matches!(
                code,
                RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::OperationTimedOut
            );
            // librdkafka goes on trying; what it means for the line is told below.
            if passing || self.told.len() >= TOLD || !self.told.insert(reason.clone()) {
                log::debug!("Kafka: {reason}");
            } else {
                log::warn!("Kafka: {reason}; it is tried again");
            }
            self.broken |= passing;
            if code != RDKafkaErrorCode::AllBrokersDown {
                self.trouble = reason;
            }
        }
    }

    /// Finds out whether the line is up, and says when that changes.
    fn find_line(&mut self) {
        let down = self.heard().brokers_down;
        // librdkafka finds out late, or not at all, if it learned of the brokers a moment before.
        let doubtful = !down && self.broken && self.probed.elapsed() >= DOUBT;
        if (down || doubtful) && !self.is_answered(down) {
            return;
        }
        match self.unassigned {
            None if self.line != Line::Up => {
                self.line = Line::Up;
                self.trouble.clear();
                self.told.clear();
                self.sink.up();
            }
            Some(since) if since.elapsed() > UNASSIGNED => self.down("no partition is this loader's to read"),
            _ => {}
        }
    }

    /// Whether a broker answers after all; `said` to be none.
    fn is_answered(&mut self, said: bool) -> bool {
        // librdkafka's word may be older than the last answer.
        let said = said && self.answered.is_none_or(|at| at.elapsed() >= STALE);
        if said {
            self.down(NO_BROKER);
            if self.probed.elapsed() < PROBE {
                return false;
            }
        }
        let topic = self.config.topics.first().map(String::as_str);
        let answer = self.consumer.fetch_metadata(topic, ANSWER);
        self.probed = Instant::now();
        self.heard().brokers_down = answer.is_err();
        if answer.is_err() {
            self.down(NO_BROKER);
            return false;
        }
        self.answered = Some(self.probed);
        self.broken = false;
        true
    }

    fn down(&mut self, why: &str) {
        if self.line == Line::Down {
            return;
        }
        self.line = Line::Down;
        let trouble = if self.trouble.is_empty() { String::new() } else { format!(" ({})", self.trouble) };
        self.sink.down(&format!("{why}{trouble}"));
    }
}

/// `reads misp_attribute (0, 1), misp_event (0)`.
fn described(assigned: &BTreeSet<(String, i32)>) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (topic, partition) in assigned {
        topics.entry(topic).or_default().push(partition.to_string());
    }
    if topics.is_empty() {
        return "no partition is this loader's to read at present".into();
    }
    let topics: Vec<_> =
        topics.iter().map(|(topic, partitions)| format!("{topic} ({})", partitions.join(", "))).collect();
    format!("reads {}", topics.join(", "))
}
