//! Kafka, through librdkafka's mock of a cluster.

mod source;
