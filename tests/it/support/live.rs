//! What MISP sends when somebody does something: an operation on the sample MISP's
//! world, and the messages that a real MISP sent for the same operation, in its order
//! and with its fields (held against the recordings by a test below).
//!
//! It leaves out what changes no indicator: audit entries, sightings, signs of life.

use super::live_json::{attribute_of, event_of, object_of, published, quoted, raw_published, tag, tag_rows};
use misp2memcached::demo::{Attribute, Event, World};

/// What somebody does in MISP.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Adds a draft with its attributes, objects and tags.
    AddEvent(Event),
    /// Edits the title and the threat level of an event.
    EditEvent(u64, String, u8),
    DeleteEvent(u64),
    Publish(u64),
    Unpublish(u64),
    TagEvent(u64, String),
    UntagEvent(u64, String),
    AddAttribute(u64, Attribute),
    EditValue(u64, String),
    ToIds(u64, bool),
    SoftDelete(u64),
    Restore(u64),
    HardDelete(u64),
    TagAttribute(u64, String),
    /// As `/attributes/removeTag` does, which moves no timestamp.
    UntagAttribute(u64, String),
    /// Local tags move no timestamp: nothing but the tag's own message says so.
    TagEventLocally(u64, String),
    UntagEventLocally(u64, String),
    /// [`Operation::UntagAttribute`] takes it off.
    TagAttributeLocally(u64, String),
    /// Deletes an object of an event with its attributes.
    DeleteObject(u64, u64),
    /// Deletes a tag wherever it is.
    DeleteTag(String),
}

/// One message, before it is written as a transport writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What `misp_json_` or `misp_` stands before; empty: `misp_json` or `misp_event_publish`.
    kind: &'static str,
    json: String,
}

/// By which of MISP's two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Zmq,
    Kafka,
}

impl Message {
    /// As ZeroMQ has it: topic, blank, JSON.
    pub fn frame(&self) -> Vec<u8> {
        let end = if self.kind.is_empty() { String::new() } else { format!("_{}", self.kind) };
        format!("misp_json{end} {}", self.json).into_bytes()
    }

    /// The name of the Kafka topic, as the recordings have it.
    pub fn topic(&self) -> String {
        format!("misp_{}", if self.kind.is_empty() { "event_publish" } else { self.kind })
    }

    /// As Kafka has it: slashes and all that is no ASCII escaped, as PHP does by default.
    pub fn body(&self) -> Vec<u8> {
        let mut body = String::new();
        for c in self.json.chars() {
            match c {
                '/' => body.push_str("\\/"),
                '\0'..='\x7f' => body.push(c),
                _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|half| body.push_str(&format!("\\u{half:04x}"))),
            }
        }
        body.into_bytes()
    }
}

/// Does it; the messages, or nothing where MISP would have refused it.
pub fn operate(world: &mut World, operation: &Operation, now: u64, transport: Transport) -> Option<Vec<Message>> {
    use Operation::*;
    let mut said = Said(Vec::new());
    match operation {
        AddEvent(draft) => {
            let id = world.add_event(draft.clone(), now);
            said.whole_event(world.event(id)?);
        }
        EditEvent(id, info, level) => {
            world.edit_event(*id, info, *level, now).then_some(())?;
            said.event(world.event(*id)?, "edit");
        }
        DeleteEvent(id) => {
            let event = world.event(*id)?.clone();
            world.delete_event(*id);
            said.event(&event, "delete");
        }
        Publish(id) => {
            // Read before the flag is set.
            let event = world.event(*id)?.clone();
            world.publish(*id, now);
            said.publication(&event, transport, "publish");
        }
        Unpublish(id) => {
            world.unpublish(*id).then_some(())?;
            let event = world.event(*id)?;
            said.event(event, "edit");
            if transport == Transport::Kafka {
                said.publication(event, transport, "unpublish");
            }
        }
        TagEvent(id, name) => {
            if world.event(*id)?.tags.contains(name) {
                return None;
            }
            world.tag_event(*id, name, now);
            said.tag(name, &format!(r#","event_id":"{id}","local":false"#), "attached to event");
        }
        UntagEvent(id, name) => {
            world.untag_event(*id, name, now).then_some(())?;
            said.tag(name, &format!(r#","event_id":"{id}""#), "detached from event");
        }
        AddAttribute(event, draft) => {
            let before = world.event(*event)?.clone();
            world.add_attribute(*event, draft.clone(), now)?;
            said.new_attribute(&before, world.event(*event)?.attributes.last()?);
        }
        EditValue(id, value) => {
            let before = find(world, *id)?.0.clone();
            world.edit_value(*id, value, now);
            said.attribute(&before, find(world, *id)?.1, "edit");
        }
        ToIds(id, on) => {
            let before = find(world, *id)?.0.clone();
            world.set_to_ids(*id, *on, now);
            said.attribute(&before, find(world, *id)?.1, "edit");
        }
        SoftDelete(id) => {
            let before = find(world, *id)?.0.clone();
            world.soft_delete(*id, now);
            said.attribute(&before, find(world, *id)?.1, "soft-delete");
        }
        Restore(id) => {
            let before = find(world, *id)?.0.clone();
            world.restore(*id, now);
            let (event, attribute) = find(world, *id)?;
            said.attribute(&before, attribute, "edit");
            said.event(event, "edit");
        }
        HardDelete(id) => {
            let attribute = find(world, *id)?.1.clone();
            let event = find(world, *id)?.0.id;
            world.hard_delete(*id, now);
            let json = attribute_of(event, &attribute, "");
            said.say("attribute", format!(r#"{{"Attribute":{json},"action":"delete"}}"#));
        }
        TagAttribute(id, name) => {
            let (before, attribute) = find(world, *id)?;
            if attribute.tags.contains(name) {
                return None;
            }
            let before = before.clone();
            world.tag_attribute(*id, name, now);
            said.attribute_tag(before.id, *id, name, "attached to attribute");
            said.attribute(&before, find(world, *id)?.1, "edit");
        }
        UntagAttribute(id, name) => {
            let (event, attribute) = find(world, *id)?;
            attribute.tags.contains(name).then_some(())?;
            said.attribute_tag(event.id, *id, name, "detached from attribute");
            world.untag_attribute(*id, name);
        }
        TagEventLocally(id, name) => {
            (!world.event(*id)?.tags.contains(name)).then_some(())?;
            world.tag_event_locally(*id, name);
            said.tag(name, &format!(r#","event_id":"{id}","local":true"#), "attached to event");
        }
        UntagEventLocally(id, name) => {
            world.untag_event_locally(*id, name).then_some(())?;
            said.tag(name, &format!(r#","event_id":"{id}""#), "detached from event");
        }
        TagAttributeLocally(id, name) => {
            let (event, attribute) = find(world, *id)?;
            (!attribute.tags.contains(name)).then_some(())?;
            said.attribute_tag(event.id, *id, name, "attached to attribute");
            world.tag_attribute_locally(*id, name);
        }
        DeleteObject(event, object) => {
            let before = world.event(*event)?.clone();
            world.delete_object(*event, *object, now).then_some(())?;
            let were_live = |id: u64| before.attributes.iter().any(|a| a.id == id && !a.deleted);
            let parts = world.event(*event)?.attributes.iter().filter(|a| a.object_id == *object && were_live(a.id));
            let parts: Vec<&Attribute> = parts.collect();
            // Before its object and behind it once more, as was recorded where one was left.
            parts.iter().for_each(|a| said.attribute_in(&before, a, true, "soft-delete"));
            said.object(&before, *object, now, "soft-delete");
            parts.iter().for_each(|a| said.attribute_in(&before, a, true, "soft-delete"));
        }
        DeleteTag(name) => {
            world.delete_tag(name);
            said.tag(name, "", "delete");
        }
    }
    Some(said.0)
}

/// An attribute and its event.
pub fn find(world: &World, attribute: u64) -> Option<(&Event, &Attribute)> {
    world.events().find_map(|event| Some((event, event.attributes.iter().find(|a| a.id == attribute)?)))
}

struct Said(Vec<Message>);

impl Said {
    fn say(&mut self, kind: &'static str, json: String) {
        self.0.push(Message { kind, json });
    }

    fn whole_event(&mut self, event: &Event) {
        let bare = Event { tags: Vec::new(), ..event.clone() };
        self.event(&bare, "add");
        for name in &event.tags {
            self.tag(name, &format!(r#","event_id":"{}","local":false"#, event.id), "attached to event");
        }
        let mut object = 0;
        for attribute in &event.attributes {
            if attribute.object_id != 0 && attribute.object_id != object {
                object = attribute.object_id;
                self.object(event, object, event.timestamp, "add");
            }
            self.new_attribute(event, attribute);
        }
    }

    /// Tags of a new attribute are in messages of their own, behind it.
    fn new_attribute(&mut self, event: &Event, attribute: &Attribute) {
        let bare = Attribute { tags: Vec::new(), ..attribute.clone() };
        self.attribute(event, &bare, "add");
        for name in &attribute.tags {
            self.attribute_tag(event.id, attribute.id, name, "attached to attribute");
        }
    }

    fn event(&mut self, event: &Event, action: &str) {
        let row = event_of(event);
        let beside = match action {
            "delete" => String::new(),
            _ => format!(
                r#","Orgc":{{"id":"{}","uuid":"{}","name":{}}},"EventTag":[{}]"#,
                event.orgc_id,
                event.orgc_uuid,
                quoted(&event.orgc),
                tag_rows(event).join(",")
            ),
        };
        self.say("event", format!(r#"{{"Event":{row}{beside},"action":"{action}"}}"#));
    }

    /// `event` as it was before: it is unpublished only after this message.
    fn attribute(&mut self, event: &Event, attribute: &Attribute, action: &str) {
        self.attribute_in(event, attribute, false, action);
    }

    fn attribute_in(&mut self, event: &Event, attribute: &Attribute, object_gone: bool, action: &str) {
        let json = attribute_of(event.id, attribute, r#","Sighting":[]"#);
        let object = match attribute.object_id {
            0 => String::new(),
            id => format!(r#","Object":{}"#, object_of(event, id, attribute.timestamp, object_gone)),
        };
        let about = format!(
            r#"{{"id":"{}","date":"2026-11-20","info":{},"uuid":"{}","published":{},"analysis":"0","threat_level_id":"{}","org_id":"{}","orgc_id":"{}","distribution":"{}","sharing_group_id":"0","Orgc":{{"id":"{}","uuid":"{}","name":{}}}}}"#,
            event.id,
            quoted(&event.info),
            event.uuid,
            event.published,
            event.threat_level,
            event.org_id,
            event.orgc_id,
            event.distribution,
            event.orgc_id,
            event.orgc_uuid,
            quoted(&event.orgc),
        );
        self.say("attribute", format!(r#"{{"Attribute":{json},"Event":{about}{object},"action":"{action}"}}"#));
    }

    fn object(&mut self, event: &Event, id: u64, now: u64, action: &str) {
        let object = object_of(event, id, now, action == "soft-delete");
        self.say("object", format!(r#"{{"Object":{object},"action":"{action}"}}"#));
    }

    fn tag(&mut self, name: &str, end: &str, action: &str) {
        self.say("tag", format!(r#"{{"Tag":{},"action":"{action}"}}"#, tag(name, end)));
    }

    fn attribute_tag(&mut self, event: u64, attribute: u64, name: &str, action: &str) {
        self.tag(name, &format!(r#","attribute_id":"{attribute}","event_id":"{event}""#), action);
    }

    /// ZeroMQ has the event as MISP shows it, Kafka its rows and an action.
    fn publication(&mut self, event: &Event, transport: Transport, action: &str) {
        self.say(
            "",
            match transport {
                Transport::Zmq => published(event),
                Transport::Kafka => raw_published(event, action),
            },
        );
    }
}

/// The event of the recorded operations, as it was drafted.
pub fn recorded_draft() -> Event {
    let mut event = Event::new("ZMQ scenario");
    event.tags = vec!["tlp:amber".into(), "Feed-xyz".into()];
    event.threat_level = 2;
    let in_object = |kind: &str, value: &str| Attribute {
        object_id: 6,
        object_relation: Some(kind.into()),
        ..Attribute::new(kind, value)
    };
    let sha256 = "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06";
    event
        .with(Attribute::new("ip-dst", "203.0.113.99"))
        .with(Attribute { tags: vec!["malware:z".into()], ..Attribute::new("sha256", sha256) })
        .with(Attribute::new("ip-dst|port", "2001:db8::99|443"))
        .with(in_object("filename", "z.exe"))
        .with(in_object("md5", "fbade9e36a3f36d3d676c1b808451dd7"))
}
