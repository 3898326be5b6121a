//! librdkafka's settings: the user's as they are, ours where the user says nothing, and
//! what librdkafka has against them, without a value.

use crate::config::Kafka;
use crate::error::{Error, Kind, Result};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use secrecy::ExposeSecret;

/// What holds where the user says nothing.
const DEFAULTS: [(&str, &str); 11] = [
    ("client.id", "misp2memcached"),
    ("group.id", "misp2memcached"),
    // The pass at the start knows what was before.
    ("auto.offset.reset", "latest"),
    // Only this program knows when a change is in memcached and in the ledger.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // MISP's first message makes a topic; it should not take librdkafka's five minutes to be seen.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // librdkafka reads ahead 64 MiB otherwise, more than all the rest of this program takes.
    ("queued.max.messages.kbytes", "16384"),
    // And pauses for a second whenever that is full.
    ("fetch.queue.backoff.ms", "50"),
    // A broker that is back is found within two seconds, not ten.
    ("reconnect.backoff.max.ms", "2000"),
    // A peer that vanished without a word is noticed.
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
];

/// Settings that librdkafka takes.
pub(super) struct Settings {
    /// All of them.
    pub(super) client: ClientConfig,
    /// Whether a partition without a committed offset is read from its end on.
    pub(super) from_the_end: bool,
    secrets: Vec<String>,
}

impl Settings {
    /// The settings of the section `kafka`.
    ///
    /// # Errors
    /// librdkafka does not know one or does not take its value, or offsets would be
    /// committed too early.
    pub(super) fn of(kafka: &Kafka) -> Result<Settings> {
        let mut client = ClientConfig::new();
        // Its lines are logged at our debug level.
        let told = if kafka.config.contains_key("debug") { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info };
        client.set_log_level(told);
        client.extend(DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut problems = Vec::new();
        let mut secrets = Vec::new();
        for (name, setting) in &kafka.config {
            let value = setting.0.expose_secret();
            secrets.push(value.to_owned());
            if let Err(e) = ClientConfig::new().set(name, value).create_native_config() {
                problems.push(format!("kafka.config.{name}: {}", words(&e, &[value.to_owned()])));
            } else if name == "enable.auto.commit" && !matches!(value, "false" | "f" | "0") {
                problems.push(
                    "kafka.config.enable.auto.commit: has to be false or left out: an offset is committed once \
                     memcached and the ledger have the change, or a crash would lose it"
                        .into(),
                );
            }
            client.set(name, value);
        }
        if !problems.is_empty() {
            return Err(Error::new(Kind::Config, problems.join("\n")));
        }
        let reset = client.get("auto.offset.reset").unwrap_or_default();
        let from_the_end = matches!(reset, "latest" | "largest" | "end");
        Ok(Settings { client, from_the_end, secrets })
    }

    /// What librdkafka has against all of them together.
    pub(super) fn refused(&self, error: &KafkaError) -> Error {
        Error::new(Kind::Config, format!("kafka.config: {}", words(error, &self.secrets)))
    }
}

/// librdkafka's words, without the values it repeats.
fn words(error: &KafkaError, values: &[String]) -> String {
    let mut text = match error {
        KafkaError::ClientConfig(_, text, ..) | KafkaError::ClientCreation(text) | KafkaError::Subscription(text) => {
            text.trim().to_owned()
        }
        KafkaError::Nul(_) => "a NUL byte cannot be part of it".into(),
        other => other.to_string(),
    };
    // Longest first: one value may be a part of another.
    let mut values: Vec<_> = values.iter().filter(|value| !value.is_empty()).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values {
        text = without(&text, value);
    }
    if !cfg!(feature = "kafka-ssl") && (text.contains("OpenSSL") || text.contains("openssl")) {
        text.push_str("; this program was built without it: build it with `--features kafka-ssl`");
    }
    text
}

/// `text` with `...` in the place of `value` wherever it stands as a whole.
fn without(text: &str, value: &str) -> String {
    let part_of_a_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let (mut clean, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(value) {
        let (before, found) = rest.split_at(at);
        let after = &found[value.len()..];
        clean.push_str(before);
        // `10` is no part of `..100`; a name that librdkafka quotes is no value.
        let whole = !part_of_a_word(clean.chars().next_back()) && !part_of_a_word(after.chars().next());
        clean.push_str(if whole { "..." } else { value });
        rest = after;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> Result<Settings> {
        Settings::of(&serde_yaml::from_str(&format!("topics: [a]\nconfig: {{{yaml}}}")).unwrap())
    }

    fn refused(yaml: &str) -> String {
        let error = of(yaml).err().expect("refused");
        assert_eq!(error.kind(), Kind::Config);
        error.to_string()
    }

    #[test]
    fn ours_only_where_the_user_says_nothing() {
        let settings = of("bootstrap.servers: 'a:1', group.id: mine, session.timeout.ms: 9000").unwrap();
        let get = |name| settings.client.get(name);
        assert_eq!(get("bootstrap.servers"), Some("a:1"));
        assert_eq!(get("group.id"), Some("mine"));
        assert_eq!(get("session.timeout.ms"), Some("9000"));
        assert_eq!(get("client.id"), Some("misp2memcached"));
        assert_eq!(get("enable.auto.commit"), Some("false"));
        assert!(settings.from_the_end);
        assert!(!of("auto.offset.reset: earliest").unwrap().from_the_end);
        assert!(of("auto.offset.reset: largest").unwrap().from_the_end);
    }

    #[test]
    fn every_default_is_a_setting_of_librdkafka() {
        let settings = of("").unwrap();
        settings.client.create_native_config().map(|_| ()).unwrap();
    }

    #[test]
    fn a_wrong_setting_is_named_without_its_value() {
        let text = refused("sasl.passwort: hunter2, socket.timeout.ms: 5, security.protocol: hunter3, client.rack: ok");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("kafka.config.sasl.passwort: No such configuration property: \"sasl.passwort\""),
            "{text}"
        );
        assert!(text.contains("kafka.config.socket.timeout.ms: "), "{text}");
        assert!(text.contains("10..300000"), "{text}");
        assert!(text.contains("kafka.config.security.protocol: Invalid value \"...\""), "{text}");
        assert!(!text.contains("hunter"), "{text}");
        assert!(refused("group.id: \"a\\0b\"").contains("NUL byte"));
    }

    #[test]
    fn offsets_are_not_committed_by_librdkafka() {
        for value in ["true", "1", "t"] {
            let text = refused(&format!("enable.auto.commit: {value}"));
            assert!(text.contains("kafka.config.enable.auto.commit: has to be false"), "{text}");
        }
        assert!(of("enable.auto.commit: false").is_ok());
    }

    #[test]
    fn a_password_needs_no_tls() {
        let plain = "security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: a, sasl.password: b";
        let settings = of(plain).unwrap();
        let created: Result<rdkafka::consumer::BaseConsumer, _> = settings.client.create();
        created.map(|_| ()).unwrap();
    }

    #[cfg(not(feature = "kafka-ssl"))]
    #[test]
    fn tls_needs_another_build() {
        let text = refused("security.protocol: sasl_ssl");
        assert!(text.contains("kafka-ssl"), "{text}");
        assert!(!text.contains("sasl_ssl"), "{text}");
    }

    #[test]
    fn a_value_goes_only_where_it_stands_as_a_whole() {
        assert_eq!(
            without("value 10 is outside 100..110, not \"10\"", "10"),
            "value ... is outside 100..110, not \"...\""
        );
        assert_eq!(without("no such file: /a/b", "/a/b"), "no such file: ...");
        assert_eq!(without("nothing", "x"), "nothing");
    }
}
