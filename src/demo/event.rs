//! Events and attributes of the sample MISP as plain data, and drafts of new ones.
//!
//! It knows no other event: ids and operations are the world's.

/// An event with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// MISP's number; 0 until the event is added.
    pub id: u64,
    /// Unix seconds of the last change.
    pub timestamp: u64,
    /// Whether it is published; every edit takes that away.
    pub published: bool,
    /// Made up when it is empty at [`World::add_event`](super::World::add_event).
    pub uuid: String,
    /// The organisation that owns the event on this server.
    pub org_id: u64,
    /// The organisation that created it.
    pub orgc_id: u64,
    /// Its name.
    pub orgc: String,
    /// Its UUID.
    pub orgc_uuid: String,
    /// The title.
    pub info: String,
    /// The day it is of, as MISP writes it.
    pub date: String,
    /// 1 (high) to 4 (undefined).
    pub threat_level: u8,
    /// Unix seconds of the last publishing; 0: never.
    pub publish_timestamp: u64,
    /// Who may see it, as MISP numbers it.
    pub distribution: u8,
    /// Names of the event's own tags.
    pub tags: Vec<String>,
    /// Live and deleted attributes, by id.
    pub attributes: Vec<Attribute>,
}

impl Event {
    /// A draft with this title and no attributes, of organisation 1.
    pub fn new(info: &str) -> Event {
        Event {
            id: 0,
            timestamp: 0,
            published: false,
            uuid: String::new(),
            org_id: 1,
            orgc_id: 1,
            orgc: "ORGNAME".into(),
            orgc_uuid: uuid(Thing::Organisation, 1),
            info: info.into(),
            date: "1970-01-01".into(),
            threat_level: 4,
            publish_timestamp: 0,
            distribution: 3,
            tags: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// The same draft with one more attribute, which gets its id at [`World::add_event`](super::World::add_event).
    #[must_use]
    pub fn with(mut self, attribute: Attribute) -> Event {
        self.attributes.push(attribute);
        self
    }

    /// Whether it has an attribute that is not deleted: the event index lists no others.
    pub fn is_listed(&self) -> bool {
        self.attributes.iter().any(|a| !a.deleted)
    }

    /// Makes a UUID up where there is none.
    pub(super) fn name(&mut self) {
        if self.uuid.is_empty() {
            self.uuid = uuid(Thing::Event, self.id);
        }
    }

    /// An edit: the time moves and the event is no longer published.
    pub(super) fn edited(&mut self, now: u64) {
        self.timestamp = now;
        self.published = false;
    }
}

/// An attribute of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// MISP's number; 0 until the attribute is added.
    pub id: u64,
    /// MISP's type.
    pub kind: String,
    /// The value as MISP shows it.
    pub value: String,
    /// Whether it is meant for detection.
    pub to_ids: bool,
    /// Unix seconds of the last change.
    pub timestamp: u64,
    /// MISP's category.
    pub category: String,
    /// Made up when it is empty as the attribute is added.
    pub uuid: String,
    /// Free text.
    pub comment: String,
    /// Names of the attribute's own tags.
    pub tags: Vec<String>,
    /// Soft-deleted.
    pub deleted: bool,
    /// On a warninglist that is switched on.
    pub warninglisted: bool,
    /// Expired by a decaying model.
    pub decayed: bool,
    /// The object it is part of; 0: none.
    pub object_id: u64,
    /// Its name in that object.
    pub object_relation: Option<String>,
    /// Who may see it, as MISP numbers it (5: as the event).
    pub distribution: u8,
    /// First seen, as MISP writes it.
    pub first_seen: Option<String>,
    /// Last seen, as MISP writes it.
    pub last_seen: Option<String>,
}

impl Attribute {
    /// A live attribute for detection, in the category its type usually has.
    pub fn new(kind: &str, value: &str) -> Attribute {
        let category = match kind.split(['-', '|']).next() {
            Some("ip" | "domain" | "hostname" | "url" | "uri" | "user" | "email") => "Network activity",
            _ => "Payload delivery",
        };
        Attribute {
            id: 0,
            kind: kind.into(),
            value: value.into(),
            to_ids: true,
            timestamp: 0,
            category: category.into(),
            uuid: String::new(),
            comment: String::new(),
            tags: Vec::new(),
            deleted: false,
            warninglisted: false,
            decayed: false,
            object_id: 0,
            object_relation: None,
            distribution: 5,
            first_seen: None,
            last_seen: None,
        }
    }
    /// Gives the draft its id, its time and a UUID where there is none.
    pub(super) fn number(&mut self, id: u64, now: u64) {
        self.id = id;
        self.timestamp = now;
        if self.uuid.is_empty() {
            self.uuid = uuid(Thing::Attribute, id);
        }
    }
}

/// What a tag's name stands for in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) colour: String,
    pub(super) local: bool,
}

/// What a made-up UUID is for; the number is its first group.
#[derive(Clone, Copy)]
enum Thing {
    Attribute = 0xa,
    Organisation = 0xc,
    Event = 0xe,
}

fn uuid(thing: Thing, id: u64) -> String {
    format!("{:08x}-0000-4000-8000-{id:012x}", thing as u8)
}
