//! A stream's messages to the JSON of events: what the engine makes of them, without its tasks.

use std::collections::HashMap;
use std::sync::Arc;

use tidewire::capture::{Rendering, entry};
use tidewire::catalog::{Description, Relation, undescribed};
use tidewire::delivery::{change, notify, visible};
use tidewire::diff::{Change, RowImage, updated};
use tidewire::inbox::{ChangeKind, Entry, Event};
use tidewire::json::Shape;
use tidewire::pgoutput::{Begin, Datum, Message, RelationBody, decode};
use tidewire::position::{EventId, Lsn};
use tidewire::subscription::Kind;

use super::json::{assert_json, is_json, members, string};

/// Messages, each behind its length in two bytes, as the seeds hold them. The last may be cut short.
pub fn messages(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        messages.push(message);
        stream = rest;
    }
    messages
}

/// The other way round.
pub fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().flat_map(|message| {
        let length = u16::try_from(message.len()).expect("a seed's messages are small");
        [&length.to_be_bytes()[..], message].concat()
    });
    framed.collect()
}

/// Every event that a stream's messages are made into is valid JSON that says what the row says.
pub fn tuple(stream: &[u8]) {
    let mut walk = Walk {
        begin: SOME,
        number: 0,
        bodies: HashMap::new(),
        descriptions: HashMap::new(),
        relations: HashMap::new(),
    };
    for message in messages(stream) {
        if let Ok(message) = decode(message) {
            walk.message(message);
        }
    }
}

/// What a change without a Begin belongs to.
const SOME: Begin = Begin { final_lsn: Lsn(1), committed_at: 0, xid: 3 };

struct Walk<'a> {
    begin: Begin,
    number: u32,
    bodies: HashMap<u32, RelationBody<'a>>,
    descriptions: HashMap<u32, Description>,
    relations: HashMap<u32, Arc<Relation>>,
}

impl<'a> Walk<'a> {
    fn message(&mut self, message: Message<'a>) {
        match message {
            Message::Begin(begin) => self.begin = begin,
            Message::Relation(body) => {
                self.relations.remove(&body.oid);
                self.bodies.insert(body.oid, body);
            }
            Message::Insert { relation, new } => {
                self.described(relation, &new);
                if let Some(relation) = self.relation(relation) {
                    self.tell(&relation, &Change::RowInsert { row: &new, replaces: None });
                }
            }
            Message::Update { relation, old, whole, mut new } => {
                self.described(relation, &new);
                if let Some(relation) = self.relation(relation) {
                    let mut changes = Vec::new();
                    updated(&relation, old.as_ref(), whole, &mut new, |change| changes.push(change));
                    for change in changes {
                        self.tell(&relation, &change);
                    }
                }
            }
            Message::Delete { relation, old, .. } => {
                if let Some(relation) = self.relation(relation) {
                    self.tell(&relation, &Change::RowDelete { row: &old, replaced_by: None });
                }
            }
            Message::Truncate(truncate) => {
                for relation in truncate.relations.into_iter().filter_map(|oid| self.relation(oid)) {
                    let entry = Entry { change: ChangeKind::Truncate, ..blank(relation) };
                    check(&entry, &[]);
                }
            }
            _ => {}
        }
    }

    /// A row of `event.watched` tells what a table is made of.
    fn described(&mut self, oid: u32, row: &RowImage<'a>) {
        let Some(body) = self.bodies.get(&oid).filter(|body| (body.schema, body.name) == ("event", "watched")) else {
            return;
        };
        let text = |name| {
            let at = body.columns.iter().position(|column| column.name == name)?;
            match row.get(at)? {
                Datum::Text(text) => str::from_utf8(text).ok(),
                _ => None,
            }
        };
        let table = text("relation").and_then(|oid| oid.parse().ok());
        let description = text("description").and_then(|text| serde_json::from_str(text).ok());
        if let (Some(table), Some(description)) = (table, description) {
            self.descriptions.insert(table, description);
            self.relations.clear();
        }
    }

    fn relation(&mut self, oid: u32) -> Option<Arc<Relation>> {
        if let Some(relation) = self.relations.get(&oid) {
            return Some(Arc::clone(relation));
        }
        let body = self.bodies.get(&oid)?;
        let of_partition = |description: &Description| description.partitions().iter().any(|part| part.oid == oid);
        let root = self.descriptions.iter().find(|(_, description)| of_partition(description));
        let described = root.or_else(|| self.descriptions.get_key_value(&oid));
        let relation = Arc::new(match described {
            Some((table, description)) => description.join(*table, body, &description.number(body, Some(description))),
            None => undescribed(body),
        });
        self.relations.insert(oid, Arc::clone(&relation));
        Some(relation)
    }

    fn tell(&mut self, relation: &Arc<Relation>, change: &Change<'_, '_>) {
        self.number += 1;
        let id = EventId { lsn: self.begin.final_lsn, number: self.number };
        let entry = entry(relation, change, id, self.begin, &mut Rendering::default());
        let (Change::RowInsert { row, .. } | Change::RowDelete { row, .. } | Change::FieldUpdate { row, .. }) = change;
        check(&entry, row);
    }
}

fn blank(relation: Arc<Relation>) -> Entry {
    let id = EventId { lsn: SOME.final_lsn, number: 1 };
    entry(&relation, &Change::RowInsert { row: &RowImage::new(), replaces: None }, id, SOME, &mut Rendering::default())
}

fn check(entry: &Entry, row: &[Datum<'_>]) {
    for json in [entry.row(), entry.value.as_deref(), entry.old.as_deref()].into_iter().flatten() {
        assert_json(json);
    }
    if let (ChangeKind::RowInsert, Some(relation), Some(value)) = (entry.change, &entry.relation, &entry.value) {
        check_row(relation, row, value);
    }
    let columns = || entry.relation.iter().flat_map(|relation| &relation.columns);
    let numbers: Vec<i16> = columns().step_by(2).map(|column| column.attnum).collect();
    let seen = columns().filter(|column| numbers.contains(&column.attnum));
    let seen: Vec<String> = seen.map(|column| column.name.clone()).collect();
    let runs = visible::runs(entry, &numbers);
    for kind in [Kind::Table, Kind::Row, Kind::Field] {
        for visible in [None, runs.as_deref()] {
            let told = notify::render(entry, kind, visible);
            assert_json(&told);
            let told = members(&told);
            assert_eq!(told["event_id"].get(), string(&entry.id.to_string()));
            if let (Some(_), ChangeKind::RowInsert, Some(payload)) = (visible, entry.change, told.get("payload")) {
                assert!(members(payload.get()).keys().all(|name| seen.contains(name)), "only what may be seen");
            }
        }
    }
    assert_json(&change::render(&event(entry)));
}

/// Every column that is known is there, and says what its text says.
fn check_row(relation: &Relation, row: &[Datum<'_>], value: &str) {
    let object = members(value);
    let known = || relation.columns.iter().zip(row).filter(|(_, datum)| **datum != Datum::Unchanged);
    let mut names: Vec<&str> = known().map(|(column, _)| column.name.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(object.len(), names.len());
    // a real relation has no name twice
    for (column, datum) in known().filter(|_| names.len() == count) {
        let json = object[&column.name].get();
        match (datum, &*column.shape) {
            (Datum::Text(text), Shape::Text) => {
                assert_eq!(json, string(&String::from_utf8_lossy(text)), "{}", column.name)
            }
            (Datum::Text(text), _) if json.starts_with('"') => assert!(json.len() <= 6 * text.len() + 8),
            (Datum::Text(_), _) => assert!(is_json(json)),
            (Datum::Null | Datum::Unchanged, _) => assert_eq!(json, "null"),
        }
    }
}

fn event(entry: &Entry) -> Event {
    Event {
        id: entry.id,
        committed_at: entry.committed_at,
        xid: i64::from(entry.xid),
        change: entry.change.as_str().to_owned(),
        relation: entry.relation_name().map(|(schema, name)| format!("{schema}.{name}")),
        row: entry.row().map(str::to_owned),
        field: entry.field_name().map(str::to_owned),
        value: entry.value.clone(),
        old: entry.old.clone(),
        last: true,
    }
}
