//! One server: keys read in bulk, our own few keys, its statistics. Changes in
//! bulk are in [`super::bulk`].

use super::address::Address;
use super::connection::Connection;
use super::dialer::Dialer;
use super::encode;
use super::key::Keys;
use super::reply::Reply;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use memcache::exp::{MetaCommand, MetaOp, ReturnCode};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

/// Commands are sent in batches of about so many bytes: large enough that the
/// round trip does not count, small enough to stay in the processor's cache.
pub(super) const BATCH_BYTES: usize = 128 * 1024;

/// Room that memcached needs in an item beside key and value (header, CAS, flags:
/// 56 bytes in 1.6.18), with a margin.
const ITEM_OVERHEAD: usize = 128;

/// memcached's limit for an item where `stats settings` does not tell it.
const DEFAULT_ITEM_SIZE: usize = 1024 * 1024;

/// The wait between two tries where memcached's crawler is at work for somebody else.
const CRAWLER_PAUSE: Duration = Duration::from_millis(50);

/// An open server.
pub struct Server {
    pub(super) connection: Connection,
    item_size: usize,
    pub(super) out: Vec<u8>,
}

impl Server {
    /// Connects, logs in and asks for the item limit.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], naming the address.
    pub fn open(address: &Address, dialer: &Dialer) -> Result<Server> {
        let mut connection = Connection::open(address, dialer)?;
        let settings = text_stats(&mut connection, "settings")?;
        let item_size = settings.get("item_size_max").and_then(|v| v.parse().ok()).unwrap_or(DEFAULT_ITEM_SIZE);
        Ok(Server { connection, item_size, out: Vec::with_capacity(BATCH_BYTES + 4096) })
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        self.connection.address()
    }

    /// `stats`, or `stats settings` and the like.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn stats(&mut self, which: &str) -> Result<BTreeMap<String, String>> {
        text_stats(&mut self.connection, which)
    }

    /// How many of our keys the server holds, by namespace.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn count_keys(&mut self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let mut counts: BTreeMap<Namespace, u64> = BTreeMap::new();
        let keys = Keys::new(prefix);
        self.list_keys(prefix, |key| {
            if let Some((namespace, _)) = keys.parse(key) {
                *counts.entry(namespace).or_default() += 1;
            }
        })?;
        Ok(counts.into_iter().map(|(namespace, n)| (namespace.name().to_owned(), n)).collect())
    }

    /// Hands each of our indicator keys that the server holds to `each`. It lists
    /// all its keys for that (`lru_crawler metadump hash`, some 700,000 a second).
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn list_keys(&mut self, prefix: &str, mut each: impl FnMut(&[u8])) -> Result<()> {
        let keys = Keys::new(prefix);
        let mut key = Vec::new();
        let begun = Instant::now();
        loop {
            let (mut busy, mut off) = (false, false);
            self.connection.lines(b"lru_crawler metadump hash\r\n", |line| {
                let encoded = line.strip_prefix(b"key=").and_then(|rest| rest.split(|b| *b == b' ').next());
                let Some(encoded) = encoded else {
                    busy |= line.starts_with(b"BUSY") || line.starts_with(b"LOCKED");
                    off |= line.starts_with(b"CLIENT_ERROR");
                    return;
                };
                key.clear();
                percent_decode(encoded, &mut key);
                if keys.parse(&key).is_some() {
                    each(&key);
                }
            })?;
            if !busy && !off {
                return Ok(());
            }
            if begun.elapsed() > self.connection.timeout() {
                let todo = if off { "is off (-o no_lru_crawler)" } else { "has been busy for memcached.timeout" };
                return Err(self.refusal(&format!("it lists no keys, its crawler {todo}")));
            }
            if off {
                log::info!("memcached {}: its crawler is off and is switched on to list keys", self.address());
                self.connection.lines(b"lru_crawler enable\r\n", |_| {})?;
            } else {
                thread::sleep(CRAWLER_PAUSE);
            }
        }
    }

    /// The values of some keys, in their order.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn get(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        self.begin_get(keys)?;
        self.finish_get(keys.len())
    }

    /// Asks for the values of some keys. [`Server::finish_get`] has to follow; in
    /// between the server works on it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn begin_get(&mut self, keys: &[Vec<u8>]) -> Result<()> {
        self.out.clear();
        for (i, key) in keys.iter().enumerate() {
            encode::get(&mut self.out, key, i)?;
        }
        self.out.extend_from_slice(b"mn\r\n");
        self.connection.begin(&mut self.out)
    }

    /// The values of the keys that were asked for, `count` of them, in their order.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn finish_get(&mut self, count: usize) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = vec![None; count];
        let mut failed = None;
        self.connection.complete(|reply| match reply {
            Reply::Meta { code: ReturnCode::Va, opaque: Some(i), value: Some(value), .. } => {
                if let Some(slot) = values.get_mut(i as usize) {
                    *slot = Some(value.to_vec());
                }
            }
            Reply::Meta { .. } => {}
            Reply::Failure(text) => failed = Some(text),
        })?;
        failed.map_or(Ok(values), |text| Err(self.refusal(&text)))
    }

    /// Stores one of our own keys (`misp-stats` and the like), for ever.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], also where the server refuses it.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.quietly(command(MetaOp::Set, key).value(value).flag("q"))
    }

    /// Deletes one of our own keys, if it is there.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], also where the server refuses it.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.quietly(command(MetaOp::Delete, key).flag("q"))
    }

    /// Empties the server, other programs' keys included: for a server of one's own.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn flush(&mut self) -> Result<()> {
        self.connection.lines(b"flush_all\r\n", |_| {})
    }

    /// One command that answers only where it fails.
    fn quietly(&mut self, command: MetaCommand) -> Result<()> {
        self.out.clear();
        encode::command(&mut self.out, command, 0)?;
        self.out.extend_from_slice(b"mn\r\n");
        let mut failed = None;
        self.connection.exchange(&mut self.out, |reply| {
            failed = match reply {
                // Said of a key to be deleted that is not there, also quietly (1.6.18).
                Reply::Meta { code: ReturnCode::Nf, .. } => return,
                Reply::Failure(text) => Some(format!("it refuses one of our own keys: {text}")),
                Reply::Meta { code, .. } => Some(format!("it refuses one of our own keys: {code:?}")),
            };
        })?;
        failed.map_or(Ok(()), |text| Err(self.refusal(&text)))
    }

    /// The most bytes a value may have under this key.
    pub(super) fn value_limit(&self, key: &[u8]) -> usize {
        self.item_size.saturating_sub(ITEM_OVERHEAD + key.len())
    }

    pub(super) fn refusal(&self, text: &str) -> Error {
        Error::new(Kind::Unavailable, format!("memcached {}: {text}", self.address()))
    }
}

pub(super) fn command(op: MetaOp, key: &[u8]) -> MetaCommand {
    MetaCommand::new(op, key)
}

/// memcached writes every byte of a listed key that is no letter, digit or one of
/// `-._~` as `%XX`.
fn percent_decode(encoded: &[u8], out: &mut Vec<u8>) {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let mut at = 0;
    while let Some(byte) = encoded.get(at) {
        match (byte, digit(encoded.get(at + 1)), digit(encoded.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
}

fn text_stats(connection: &mut Connection, which: &str) -> Result<BTreeMap<String, String>> {
    let command = if which.is_empty() { "stats\r\n".to_owned() } else { format!("stats {which}\r\n") };
    let mut stats = BTreeMap::new();
    connection.lines(command.as_bytes(), |line| {
        let line = String::from_utf8_lossy(line);
        let mut words = line.splitn(3, ' ').skip(1);
        if let (Some(name), Some(value)) = (words.next(), words.next()) {
            stats.insert(name.to_owned(), value.to_owned());
        }
    })?;
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::super::address::Place;
    use super::*;
    use crate::config::Memcached;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    #[test]
    fn listed_keys() {
        for (encoded, plain) in [
            (&b"misp-ip%3A1.2.3.4"[..], &b"misp-ip:1.2.3.4"[..]),
            (b"misp-sha512%2F256%3Aab", b"misp-sha512/256:ab"),
            (b"misp-filename%3Aa%20%C3%A9%00", b"misp-filename:a \xc3\xa9\0"),
            (b"100%", b"100%"),
            (b"%zz%4", b"%zz%4"),
        ] {
            let mut out = Vec::new();
            percent_decode(encoded, &mut out);
            assert_eq!(out, plain);
        }
    }

    /// A server that answers each command line with the next of these.
    fn scripted(answers: &'static [(&str, &str)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Tcp("127.0.0.1".into(), listener.local_addr().unwrap().port());
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for (command, answer) in [("stats settings", "END\r\n")].iter().chain(answers) {
                assert_eq!(lines.next().unwrap().unwrap(), *command);
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        Server::open(&Address { place, weight: 1 }, &Dialer::new(&Memcached::default()).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_listed_when_the_crawler_is_free() {
        let mut server = scripted(&[
            ("lru_crawler metadump hash", "BUSY currently processing crawler request\r\n"),
            ("lru_crawler metadump hash", "CLIENT_ERROR lru crawler disabled\r\n"),
            ("lru_crawler enable", "OK\r\n"),
            ("lru_crawler metadump hash", "key=misp-ip%3A1.2.3.4 exp=-1\r\nkey=other exp=-1\r\nEND\r\n"),
            ("lru_crawler metadump hash", "NOTSTARTED no items to crawl\r\n"),
        ]);
        assert_eq!(server.count_keys("misp").unwrap(), BTreeMap::from([("ip".to_owned(), 1)]));
        assert!(server.count_keys("misp").unwrap().is_empty());
    }
}
