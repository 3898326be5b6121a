//! Test support: every key path that the structs know.

use super::decode::fields_of;
use super::{Category, Config, Falco, FilterClause, Kafka, Memcached, Metrics, Misp, Sighting, State, Tls, Wazuh, Zmq};

/// `memcached.host`, ..., `misp.filter[].orgs`, ...
pub(super) fn all() -> Vec<String> {
    let mut paths = Vec::new();
    for section in fields_of::<Config>() {
        let fields = match *section {
            "memcached" => fields_of::<Memcached>(),
            "misp" => fields_of::<Misp>(),
            "hash" | "network" | "web" | "other" => fields_of::<Category>(),
            "falco" => fields_of::<Falco>(),
            "zmq" => fields_of::<Zmq>(),
            "kafka" => fields_of::<Kafka>(),
            "metrics" => fields_of::<Metrics>(),
            "sighting" => fields_of::<Sighting>(),
            "state" => fields_of::<State>(),
            "wazuh" => fields_of::<Wazuh>(),
            new => panic!("name the struct of the section {new} here"),
        };
        paths.extend(fields.iter().map(|field| format!("{section}.{field}")));
    }
    paths.extend(fields_of::<FilterClause>().iter().map(|field| format!("misp.filter[].{field}")));
    paths.extend(fields_of::<Tls>().iter().map(|field| format!("memcached.tls.{field}")));
    paths
}
