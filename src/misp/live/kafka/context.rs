//! What librdkafka tells between messages: which partitions are ours, what was
//! committed, what went wrong. It is called by the reader's own polls and keeps what
//! it hears until the reader asks.

use super::positions::Positions;
use crate::misp::live::source::Sink;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest wait for the offsets of partitions that were just assigned. Without an
/// answer librdkafka finds them itself, later.
const OFFSETS: Duration = Duration::from_secs(5);

/// Hears librdkafka.
pub(super) struct Context<'a> {
    sink: &'a dyn Sink,
    from_the_end: bool,
    heard: Mutex<Heard>,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Topic and partition of what is ours to read.
    pub(super) assigned: BTreeSet<(String, i32)>,
    /// That it changed, and nobody has said so yet.
    pub(super) reassigned: bool,
    /// Errors, oldest first.
    pub(super) errors: Vec<(RDKafkaErrorCode, String)>,
    /// No broker could be reached, and none has answered since.
    pub(super) brokers_down: bool,
    /// Up to where partitions are read and settled.
    pub(super) positions: Positions,
    /// Whether partitions were assigned before.
    again: bool,
}

impl<'a> Context<'a> {
    pub(super) fn new(sink: &'a dyn Sink, from_the_end: bool) -> Context<'a> {
        Context { sink, from_the_end, heard: Mutex::default() }
    }

    /// What was heard; not to be held while librdkafka is asked for anything.
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what is settled and not committed, without a wait for Kafka's answer (rdkafka
    /// 0.39 never tells of it). One that fails is made good by the next or at the end; else
    /// what it was for comes again.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        let mut heard = self.heard();
        if heard.brokers_down {
            return;
        }
        heard.positions.settle(self.sink.settled());
        let list = list(heard.positions.due());
        drop(heard);
        if list.count() == 0 {
            return;
        }
        match consumer.commit(&list, CommitMode::Async) {
            Ok(()) => {
                let mut heard = self.heard();
                for element in list.elements() {
                    if let Offset::Offset(offset) = element.offset() {
                        heard.positions.committed(element.topic(), element.partition(), offset);
                    }
                }
            }
            Err(e) => log::debug!("Kafka: offsets are committed later: {e}"),
        }
    }

    /// Commits all that is settled and waits for the answer, which may be a minute where
    /// no broker is there.
    pub(super) fn commit_all(&self, consumer: &BaseConsumer<Self>) {
        let list = {
            let mut heard = self.heard();
            heard.positions.settle(self.sink.settled());
            list(heard.positions.settled())
        };
        if list.count() > 0
            && let Err(e) = consumer.commit(&list, CommitMode::Sync)
        {
            log::warn!("Kafka: the last offsets were not committed, so the last messages will come again: {e}");
        }
    }

    /// Fixes where partitions that nobody has committed an offset of are read from, so
    /// that nothing is missed between now and the first fetch.
    fn start(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let again = std::mem::replace(&mut self.heard().again, true);
        if !self.from_the_end {
            return Ok(());
        }
        let committed = consumer.committed_offsets(list.clone(), OFFSETS)?;
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            if element.offset() != Offset::Invalid {
                continue;
            }
            let (first, end) = consumer.fetch_watermarks(topic, partition, OFFSETS)?;
            // Assigned later than the others, it is new: all that it holds was sent while we read.
            let offset = if again { first } else { end };
            list.set_partition_offset(topic, partition, Offset::Offset(offset))?;
            self.heard().positions.starts_at(topic, partition, offset);
        }
        Ok(())
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList, added: bool) -> KafkaResult<()> {
        if let Err(e) = self.start(consumer, list) {
            log::debug!("Kafka: librdkafka looks where to start: {e}");
        }
        if added { consumer.incremental_assign(list) } else { consumer.assign(list) }
    }
}

impl ConsumerContext for Context<'_> {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partly = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let ours = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if ours {
            self.assign(consumer, list, partly)
        } else {
            if !consumer.assignment_lost() {
                self.commit(consumer);
            }
            if partly { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        let mut heard = self.heard();
        for element in list.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            if ours {
                heard.assigned.insert((topic.to_owned(), partition));
            } else {
                heard.assigned.remove(&(topic.to_owned(), partition));
                heard.positions.forget(topic, partition);
            }
        }
        heard.reassigned = true;
        if let Err(e) = done {
            heard.errors.push((RDKafkaErrorCode::AssignmentLost, e.to_string()));
        }
    }
}

impl ClientContext for Context<'_> {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
        log::debug!("librdkafka: {facility} {line}");
    }

    fn stats(&self, statistics: Statistics) {
        log::debug!("librdkafka: {} messages waiting, {} received", statistics.replyq, statistics.rxmsgs);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut heard = self.heard();
        heard.brokers_down |= code == RDKafkaErrorCode::AllBrokersDown;
        if code != RDKafkaErrorCode::PartitionEOF {
            heard.errors.push((code, reason.to_owned()));
        }
    }
}

fn list<'p>(positions: impl Iterator<Item = (&'p str, i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in positions {
        // Refused are offsets below zero only.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset));
    }
    list
}
