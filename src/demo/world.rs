//! The events and attributes of the sample MISP, and what each operation does to
//! timestamps and to the published flag, as tried on a real one.
//!
//! It keeps what it is given: no value is normalised, and it knows no request.

use super::event::{Attribute, Event, Label};
use super::row::{self, Row};
use super::sightings::Noted;
use crate::error::{Error, Kind, Result};
use std::collections::{BTreeMap, BTreeSet};

/// All events of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    events: BTreeMap<u64, Event>,
    last_event: u64,
    last_attribute: u64,
    labels: BTreeMap<String, Label>,
    blocklist: BTreeSet<String>,
    sightings: Vec<Noted>,
    /// Their places by attribute.
    sighted: BTreeMap<u64, Vec<usize>>,
}

impl World {
    /// A server without events.
    pub fn new() -> World {
        World::default()
    }

    /// The world that gave a recorded `/attributes/restSearch` answer and an
    /// `/events/index` answer (the full index also tells threat level,
    /// organisation and tags; the minimal one does not).
    ///
    /// # Errors
    /// When a text is not such an answer, or a row's event is not in the index.
    pub fn from_recording(everything_body: &str, index_body: &str) -> Result<World> {
        let mut world = World::new();
        for event in row::parse_index(index_body)? {
            world.last_event = world.last_event.max(event.id);
            world.events.insert(event.id, event);
        }
        for row in row::parse_search(everything_body)? {
            world.take_row(row)?;
        }
        Ok(world)
    }

    fn take_row(&mut self, row: Row<'_>) -> Result<()> {
        for tag in row.tags.iter().flatten() {
            let label = Label { id: row::number(&tag.id)?, colour: tag.colour.to_string(), local: tag.local };
            self.labels.insert(tag.name.to_string(), label);
        }
        let id = row::number(&row.event_id)?;
        let Some(event) = self.events.get_mut(&id) else {
            return Err(Error::new(Kind::Untrusted, format!("attribute {}: event {id} is not in the index", row.id)));
        };
        event.info = row.event.info.to_string();
        event.orgc_id = row::number(&row.event.orgc_id)?;
        event.org_id = row::number(&row.event.org_id)?;
        event.publish_timestamp = row::number(&row.event.publish_timestamp)?;
        event.distribution = row::number(&row.event.distribution)? as u8;
        let attribute = row.into_attribute()?;
        self.last_attribute = self.last_attribute.max(attribute.id);
        let place = event.attributes.partition_point(|a| a.id < attribute.id);
        event.attributes.insert(place, attribute);
        Ok(())
    }

    /// All events, by id.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    /// One event.
    pub fn event(&self, id: u64) -> Option<&Event> {
        self.events.get(&id)
    }

    /// One event, to be set as needed: no timestamp moves by itself.
    pub fn event_mut(&mut self, id: u64) -> Option<&mut Event> {
        self.events.get_mut(&id)
    }

    /// One attribute, to be set as needed: no timestamp moves by itself.
    pub fn attribute_mut(&mut self, id: u64) -> Option<&mut Attribute> {
        self.find(id).map(|(event, at)| &mut event.attributes[at])
    }

    /// All sightings, in the order they came.
    pub fn sightings(&self) -> &[Noted] {
        &self.sightings
    }

    /// Those of one attribute, with their places among all.
    pub fn sightings_of(&self, attribute: u64) -> impl Iterator<Item = (usize, &Noted)> {
        let places = self.sighted.get(&attribute).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| (*place, &self.sightings[*place]))
    }

    /// Adds a sighting: no timestamp moves.
    pub fn note(&mut self, sighting: Noted) {
        self.sighted.entry(sighting.attribute).or_default().push(self.sightings.len());
        self.sightings.push(sighting);
    }

    /// What a tag's name stands for: as recorded, else made up from the name.
    pub(super) fn label(&self, tag: &str) -> Label {
        self.labels.get(tag).cloned().unwrap_or_else(|| {
            let hash = crc32fast::hash(tag.as_bytes());
            Label { id: u64::from(hash), colour: format!("#{:06x}", hash & 0xff_ffff), local: false }
        })
    }

    /// Adds a draft with its attributes; returns its id.
    pub fn add_event(&mut self, mut event: Event, now: u64) -> u64 {
        self.last_event += 1;
        event.id = self.last_event;
        event.name();
        event.edited(now);
        for attribute in &mut event.attributes {
            self.last_attribute += 1;
            attribute.number(self.last_attribute, now);
        }
        self.events.insert(self.last_event, event);
        self.last_event
    }

    /// Adds an attribute; returns its id, or `None` without the event or with a
    /// live attribute of the same type and value in it (MISP says 403).
    pub fn add_attribute(&mut self, event: u64, mut attribute: Attribute, now: u64) -> Option<u64> {
        let event = self.events.get_mut(&event)?;
        if event.attributes.iter().any(|a| !a.deleted && a.kind == attribute.kind && a.value == attribute.value) {
            return None;
        }
        self.last_attribute += 1;
        attribute.number(self.last_attribute, now);
        event.attributes.push(attribute);
        event.edited(now);
        Some(self.last_attribute)
    }

    /// Changes an attribute's value; false: no such attribute (so for all below).
    pub fn edit_value(&mut self, attribute: u64, value: &str, now: u64) -> bool {
        self.edit(attribute, now, |a| a.value = value.into())
    }

    /// Sets or clears the detection flag.
    pub fn set_to_ids(&mut self, attribute: u64, to_ids: bool, now: u64) -> bool {
        self.edit(attribute, now, |a| a.to_ids = to_ids)
    }

    /// Marks an attribute as deleted.
    pub fn soft_delete(&mut self, attribute: u64, now: u64) -> bool {
        self.edit(attribute, now, |a| a.deleted = true)
    }

    /// Takes a soft deletion back.
    pub fn restore(&mut self, attribute: u64, now: u64) -> bool {
        self.edit(attribute, now, |a| a.deleted = false)
    }

    /// Deletes an attribute without a trace but the event's timestamp.
    pub fn hard_delete(&mut self, attribute: u64, now: u64) -> bool {
        let Some((event, at)) = self.find(attribute) else { return false };
        event.attributes.remove(at);
        event.edited(now);
        true
    }

    /// Puts a global tag on an attribute.
    pub fn tag_attribute(&mut self, attribute: u64, tag: &str, now: u64) -> bool {
        self.edit(attribute, now, |a| a.tags.push(tag.into()))
    }

    /// Takes a tag off an attribute as `/attributes/removeTag` does: **no
    /// timestamp moves** and the event stays published (a defect of 2.5.1).
    pub fn untag_attribute(&mut self, attribute: u64, tag: &str) -> bool {
        self.attribute_mut(attribute).map(|a| a.tags.retain(|t| t != tag)).is_some()
    }

    /// Puts a global tag on an event: its attributes' times do not move.
    pub fn tag_event(&mut self, event: u64, tag: &str, now: u64) -> bool {
        let Some(event) = self.events.get_mut(&event) else { return false };
        event.tags.push(tag.into());
        event.edited(now);
        true
    }

    /// Takes a global tag off an event: its attributes' times do not move.
    pub fn untag_event(&mut self, event: u64, tag: &str, now: u64) -> bool {
        let Some(event) = self.events.get_mut(&event).filter(|e| e.tags.iter().any(|t| t == tag)) else {
            return false;
        };
        event.tags.retain(|t| t != tag);
        event.edited(now);
        true
    }

    /// Deletes a tag, and so takes it off everything. Not tried on a real server: that no timestamp moves is
    /// the worse case for who has to notice. False: nothing had it.
    pub fn delete_tag(&mut self, tag: &str) -> bool {
        let mut had = false;
        for event in self.events.values_mut() {
            for tags in std::iter::once(&mut event.tags).chain(event.attributes.iter_mut().map(|a| &mut a.tags)) {
                had |= tags.iter().any(|t| t == tag);
                tags.retain(|t| t != tag);
            }
        }
        had
    }

    /// Edits an event itself: its attributes' times do not move.
    pub fn edit_event(&mut self, event: u64, info: &str, threat_level: u8, now: u64) -> bool {
        let Some(event) = self.events.get_mut(&event) else { return false };
        event.info = info.into();
        event.threat_level = threat_level;
        event.edited(now);
        true
    }

    /// Marks an object's attributes as deleted. False: no attribute is part of it.
    pub fn delete_object(&mut self, event: u64, object: u64, now: u64) -> bool {
        let Some(event) = self.events.get_mut(&event) else { return false };
        let mut had = false;
        for attribute in event.attributes.iter_mut().filter(|a| a.object_id == object) {
            (attribute.deleted, attribute.timestamp, had) = (true, now, true);
        }
        if had {
            event.edited(now);
        }
        had
    }

    /// Deletes an event with all its attributes, without a trace but its UUID on the blocklist.
    pub fn delete_event(&mut self, event: u64) -> bool {
        let Some(event) = self.events.remove(&event) else { return false };
        self.blocklist.insert(event.uuid);
        true
    }

    /// Whether no event may have this UUID, since one was deleted that had it.
    pub fn is_blocked(&self, uuid: &str) -> bool {
        self.blocklist.contains(uuid)
    }

    /// The event of this UUID.
    pub fn event_by_uuid(&self, uuid: &str) -> Option<&Event> {
        self.events.values().find(|event| event.uuid == uuid)
    }

    /// Publishes: only `publish_timestamp` moves.
    pub fn publish(&mut self, event: u64, now: u64) -> bool {
        let Some(event) = self.events.get_mut(&event) else { return false };
        event.published = true;
        event.publish_timestamp = now;
        true
    }

    /// Takes the publication back: no timestamp moves.
    pub fn unpublish(&mut self, event: u64) -> bool {
        self.events.get_mut(&event).map(|e| e.published = false).is_some()
    }

    fn edit(&mut self, attribute: u64, now: u64, change: impl FnOnce(&mut Attribute)) -> bool {
        let Some((event, at)) = self.find(attribute) else { return false };
        change(&mut event.attributes[at]);
        event.attributes[at].timestamp = now;
        event.edited(now);
        true
    }

    fn find(&mut self, attribute: u64) -> Option<(&mut Event, usize)> {
        self.events.values_mut().find_map(|event| {
            let at = event.attributes.binary_search_by_key(&attribute, |a| a.id).ok()?;
            Some((event, at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (event timestamp, attribute timestamp, published) of event 1, attribute 1.
    fn times(world: &World) -> (u64, u64, bool) {
        let event = world.event(1).unwrap();
        (event.timestamp, event.attributes[0].timestamp, event.published)
    }

    /// The README's table, row by row (`trials_timestamps.json`).
    #[test]
    fn what_moves_which_timestamp() {
        type Operation = fn(&mut World) -> bool;
        let table: &[(&str, Operation, (u64, u64, bool))] = &[
            ("value", |w| w.edit_value(1, "198.51.100.2", 50), (50, 50, false)),
            ("to_ids", |w| w.set_to_ids(1, false, 50), (50, 50, false)),
            ("soft delete", |w| w.soft_delete(1, 50), (50, 50, false)),
            ("restore", |w| w.restore(1, 50), (50, 50, false)),
            ("hard delete of another", |w| w.hard_delete(2, 50), (50, 10, false)),
            ("add", |w| w.add_attribute(1, Attribute::new("md5", "x"), 50).is_some(), (50, 10, false)),
            ("attribute tag added", |w| w.tag_attribute(1, "tlp:red", 50), (50, 50, false)),
            ("attribute tag removed", |w| w.untag_attribute(1, "tlp:red"), (10, 10, true)),
            ("event tag added", |w| w.tag_event(1, "tlp:red", 50), (50, 10, false)),
            (
                "event tag removed",
                |w| w.tag_event(1, "tlp:red", 10) && w.publish(1, 20) && w.untag_event(1, "tlp:red", 50),
                (50, 10, false),
            ),
            (
                "tag deleted",
                |w| w.tag_attribute(1, "tlp:red", 10) && w.publish(1, 20) && w.delete_tag("tlp:red"),
                (10, 10, true),
            ),
            ("event", |w| w.edit_event(1, "f", 1, 50), (50, 10, false)),
            ("object deleted", |w| w.delete_object(1, 0, 50), (50, 50, false)),
            ("publish again", |w| w.publish(1, 50), (10, 10, true)),
            ("unpublish", |w| w.unpublish(1), (10, 10, false)),
        ];
        for (name, operation, expected) in table {
            let mut world = World::new();
            let draft = Event::new("e")
                .with(Attribute::new("ip-dst", "198.51.100.1"))
                .with(Attribute::new("domain", "bad.example"));
            assert_eq!(world.add_event(draft, 10), 1);
            assert!(world.publish(1, 20), "{name}");
            assert!(operation(&mut world), "{name}");
            assert_eq!(times(&world), *expected, "{name}");
            let published_at = if *name == "publish again" { 50 } else { 20 };
            assert_eq!(world.event(1).unwrap().publish_timestamp, published_at, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let mut world = World::new();
        assert!(!world.edit_value(1, "x", 1) && !world.publish(1, 1) && !world.delete_event(1));
        assert_eq!(world.add_attribute(1, Attribute::new("md5", "x"), 1), None);
        let id = world.add_event(Event::new("e").with(Attribute::new("md5", "x")), 1);
        assert_eq!(world.add_attribute(id, Attribute::new("md5", "x"), 1), None);
        assert!(world.soft_delete(1, 2) && !world.event(id).unwrap().is_listed());
        assert_eq!(world.add_attribute(id, Attribute::new("md5", "x"), 3), Some(2));
        assert!(world.delete_event(id));
        assert_eq!(world.events().count(), 0);
        assert_eq!(world.add_event(Event::new("next"), 4), 2);
    }

    #[test]
    fn a_text_that_is_no_answer_is_refused() {
        assert!(World::from_recording("{}", "[]").is_err());
        assert!(World::from_recording("{\"response\": {\"Attribute\": []}}", "{}").is_err());
        assert!(World::from_recording("{\"response\": {\"Attribute\": []}}\n", "[]").is_ok());
    }
}
