//! Events into MISP: added, or found and added to; tagged; published. Everything that
//! MISP did not take is named, and asked for a second time where that brings its reason.
//!
//! Every request may be sent again: the event and its attributes have their UUIDs
//! before MISP sees them. It knows no sensor and keeps nothing.

use super::client::{Client, Failure};
use super::draft::{Attribute, Draft, Stored, Tag, Wrapped, verdicts};
use super::retry::Retry;
use crate::error::{Error, Kind, Result};
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Read;

/// Attributes of one request: MISP saves them one by one, and its web server waits for
/// half a minute or so.
const CHUNK: usize = 500;

/// An answer shows an event with all its attributes, 560 bytes each.
const MAX_BODY: u64 = 64 << 20;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new.
    Added,
    /// It was there, and has more attributes now.
    Updated,
    /// It was there with all of them.
    Unchanged,
    /// It was there, and somebody has taken its publication back: nothing was added.
    Withdrawn,
    /// MISP did not take it.
    Refused,
}

/// What MISP did not take, and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The attribute, the tag, the event.
    pub what: String,
    /// MISP's words, or what to do.
    pub why: String,
}

/// What was done for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The event's UUID.
    pub uuid: String,
    /// MISP's number of it; empty: there is none.
    pub event: String,
    /// What became of it.
    pub result: Outcome,
    /// Attributes that were added.
    pub attributes: usize,
    /// Whether it is published now, as far as is known.
    pub published: bool,
    /// What MISP did not take.
    pub problems: Vec<Problem>,
}

/// Sends events with one client.
pub struct Events<'a> {
    client: &'a Client,
    publish: bool,
    stopped: &'a dyn Fn() -> bool,
}

/// An answer that was read whole.
struct Reply {
    status: StatusCode,
    body: Value,
}

impl Reply {
    fn message(&self) -> &str {
        let text = |name: &str| self.body[name].as_str();
        text("message").or_else(|| text("name")).unwrap_or("no message")
    }
}

impl<'a> Events<'a> {
    /// Sends over `client`, and publishes where `publish` says so; waits no longer once
    /// `stopped` says so.
    pub fn new(client: &'a Client, publish: bool, stopped: &'a dyn Fn() -> bool) -> Events<'a> {
        Events { client, publish, stopped }
    }

    /// Brings an event to MISP.
    ///
    /// # Errors
    /// MISP cannot be reached, or does not let the key in. What it refuses of this event
    /// alone is in what was done.
    pub fn share(&self, draft: &Draft) -> Result<Done> {
        let (first, rest) = draft.attributes.split_at(draft.attributes.len().min(CHUNK));
        let mut head = draft.clone();
        head.attributes.truncate(CHUNK);
        let reply = self.ask("/events/add", Some(&Wrapped { event: &head }))?;
        let mut done = Done {
            uuid: draft.uuid.clone(),
            event: String::new(),
            result: Outcome::Added,
            attributes: 0,
            published: false,
            problems: Vec::new(),
        };
        match (reply.status, reply.message()) {
            (StatusCode::OK, _) => {
                let stored =
                    Stored::read(&reply.body).ok_or_else(|| self.untrusted("/events/add", "shows no event"))?;
                done.event.clone_from(&stored.id);
                let (there, missing): (Vec<Attribute>, _) = first.iter().cloned().partition(|a| stored.has(a));
                done.attributes = there.len();
                // Asked for again, MISP says why.
                self.add(&mut done, &missing)?;
                self.add(&mut done, rest)?;
                self.tag(&mut done, draft, &stored)?;
                self.publish(&mut done)?;
            }
            (_, said) if said.contains("already exists") => self.update(&mut done, draft)?,
            (StatusCode::FORBIDDEN, said) if said.contains("event blocklist") => {
                done.result = Outcome::Refused;
                let why = "it was deleted in MISP and its UUID is on the event blocklist; take it off there \
                           (Administration, List Event Blocklist) if it is to come back";
                done.problem("event", why.to_owned());
            }
            (status, said) => {
                if status == StatusCode::NOT_FOUND {
                    let text = format!("misp.url: {}/events/add is not there (404)", self.client.url());
                    return Err(Error::new(Kind::Config, text));
                }
                if said.contains("permission to use this functionality") {
                    return Err(self.client.refused_key(status, said).into_error());
                }
                done.result = Outcome::Refused;
                done.problem("event", self.reason(&reply));
            }
        }
        Ok(done)
    }

    /// Adds what the event that is there lacks.
    fn update(&self, done: &mut Done, draft: &Draft) -> Result<()> {
        // With what was deleted from it: somebody had a reason.
        let reply = self.ask::<Value>(&format!("/events/view/{}/deleted:1", draft.uuid), None)?;
        if reply.status != StatusCode::OK {
            done.result = Outcome::Refused;
            done.problem("event", format!("it exists, but this key may not see it: {}", self.reason(&reply)));
            return Ok(());
        }
        let stored = Stored::read(&reply.body).ok_or_else(|| self.untrusted("/events/view", "shows no event"))?;
        done.event.clone_from(&stored.id);
        done.published = stored.published;
        if stored.is_withdrawn() {
            done.result = Outcome::Withdrawn;
            return Ok(());
        }
        let missing: Vec<Attribute> = draft.attributes.iter().filter(|a| !stored.has(a)).cloned().collect();
        self.add(done, &missing)?;
        done.result = if done.attributes > 0 { Outcome::Updated } else { Outcome::Unchanged };
        // One that a run before did not come to publish is published now.
        if done.attributes > 0 || !stored.published {
            done.published = false;
            self.publish(done)?;
        }
        Ok(())
    }

    fn add(&self, done: &mut Done, attributes: &[Attribute]) -> Result<()> {
        for chunk in attributes.chunks(CHUNK) {
            let path = format!("/attributes/add/{}", done.event);
            let reply = self.ask(&path, Some(chunk))?;
            let has_verdicts = reply.status == StatusCode::OK || reply.body.get("errors").is_some();
            let why = (!has_verdicts).then(|| self.reason(&reply));
            for (attribute, verdict) in chunk.iter().zip(verdicts(chunk, &reply.body)) {
                match why.clone().or(verdict) {
                    None => done.attributes += 1,
                    Some(why) => {
                        let what = format!("{} {}", attribute.kind, self.client.quote(&attribute.value));
                        done.problem(&what, self.client.quote(&why));
                    }
                }
            }
        }
        Ok(())
    }

    /// MISP leaves a tag out that its user may not make; asked for alone, it says why.
    fn tag(&self, done: &mut Done, draft: &Draft, stored: &Stored) -> Result<()> {
        for Tag { name } in draft.tags.iter().filter(|tag| !stored.is_tagged(tag)) {
            let what = format!("tag {}", self.client.quote(name));
            if name.bytes().all(|b| b.is_ascii_digit()) {
                done.problem(&what, "MISP did not take it, and asked again it would take it for a tag's number".into());
                continue;
            }
            let body = json!({"uuid": draft.uuid, "tag": name});
            let reply = self.ask("/tags/attachTagToObject", Some(&body))?;
            if reply.status != StatusCode::OK {
                done.problem(&what, self.reason(&reply));
            }
        }
        Ok(())
    }

    fn publish(&self, done: &mut Done) -> Result<()> {
        if !self.publish {
            return Ok(());
        }
        let reply = self.ask(&format!("/events/publish/{}", done.event), Some(&json!({})))?;
        if reply.status == StatusCode::OK && reply.body["saved"] != false {
            done.published = true;
        } else {
            done.problem("publishing", self.reason(&reply));
        }
        Ok(())
    }

    /// Asks until there is an answer, or no use in asking.
    fn ask<B: Serialize + ?Sized>(&self, path: &str, body: Option<&B>) -> Result<Reply> {
        let bug = |e| Error::new(Kind::Bug, format!("JSON cannot be written: {e}"));
        let body = body.map(serde_json::to_vec).transpose().map_err(bug)?;
        let mut retry = Retry::default();
        loop {
            match self.once(path, body.clone()) {
                Ok(reply) => return Ok(reply),
                Err(failure) => retry.wait(failure, false, self.stopped)?,
            }
            if (self.stopped)() {
                return Err(Error::new(Kind::Interrupted, "interrupted while MISP did not answer"));
            }
        }
    }

    fn once(&self, path: &str, body: Option<Vec<u8>>) -> Result<Reply, Failure> {
        let (status, answer) = self.client.ask(path, body)?;
        let mut bytes = Vec::new();
        let read = answer.take(MAX_BODY).read_to_end(&mut bytes);
        let broken = |why: String| {
            let text = format!("{}{path} ({status}): {why}", self.client.url());
            Failure::Passing(Error::new(Kind::Untrusted, text))
        };
        read.map_err(|e| broken(format!("the answer broke off: {}", self.client.quote(&e.to_string()))))?;
        let body: Value = serde_json::from_slice(&bytes).map_err(|_| broken("the answer is no JSON".into()))?;
        let reply = Reply { status, body };
        if status == StatusCode::FORBIDDEN && reply.message().starts_with("Authentication failed") {
            return Err(self.client.refused_key(status, reply.message()));
        }
        Ok(reply)
    }

    /// MISP's words of a refusal.
    fn reason(&self, reply: &Reply) -> String {
        let mut text = reply.message().to_owned();
        if let Some(errors) = reply.body.get("errors") {
            text.push_str(&format!(" {errors}"));
        }
        self.client.quote(&text)
    }

    fn untrusted(&self, path: &str, what: &str) -> Error {
        Error::new(Kind::Untrusted, format!("{}{path}: the answer {what}", self.client.url()))
    }
}

impl Done {
    fn problem(&mut self, what: &str, why: String) {
        self.problems.push(Problem { what: what.into(), why });
    }
}
