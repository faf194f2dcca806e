//! A message's whole way: decoded, diffed, routed, and if somebody is told, encoded.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use tidewire::capture::{Rendering, entry, recipients};
use tidewire::catalog::Relation;
use tidewire::delivery::notify;
use tidewire::diff::{Change, updated};
use tidewire::pgoutput::{Message, decode};
use tidewire::position::EventId;
use tidewire::subscription::{Index, Kind, Selector};

use super::Case;
use super::encode::BEGIN;
use super::route::{BESIDE, beside, index};
use crate::table::{self, CHANGED_AT, ROWS, STATUS, changed, purchase_row};

pub fn cases() -> Vec<Case> {
    let relation = table::purchase();
    let updates = |first| -> Vec<Vec<u8>> {
        let update = |id| {
            let old = purchase_row(first + id);
            table::update(&relation, &old, &changed(&old, &[STATUS, CHANGED_AT]), &[])
        };
        (0..ROWS).map(update).collect()
    };
    let inserts = (0..ROWS).map(|id| table::insert(&relation, &purchase_row(id))).collect();
    let one = || index([(1, Selector::Table)]);
    vec![
        walked("whole/update of two fields that nobody watches", beside(), updates(BESIDE + 1)),
        walked("whole/update of two fields that one session watches", beside(), updates(1)),
        walked("whole/insert into a table that one session watches", one(), inserts),
    ]
}

fn walked(name: &'static str, index: Index, messages: Vec<Vec<u8>>) -> Case {
    let relation = table::purchase();
    let mut walk = Walk { relations: HashMap::from_iter([(relation.oid, relation)]), index, number: 0 };
    Case::new(name, messages, move |message| walk.message(message))
}

/// What the capture task does, less what it remembers from one batch to the next.
struct Walk {
    relations: HashMap<u32, Arc<Relation>, FxBuildHasher>,
    index: Index,
    number: u32,
}

impl Walk {
    fn message(&mut self, bytes: &[u8]) {
        match decode(bytes).unwrap() {
            Message::Insert { relation, new } => {
                let relation = Arc::clone(&self.relations[&relation]);
                self.tell(&relation, &Change::RowInsert { row: &new, replaces: None }, &mut Rendering::default());
            }
            Message::Update { relation, old, whole, mut new } => {
                let relation = Arc::clone(&self.relations[&relation]);
                let mut changes: SmallVec<[Change<'_, '_>; 8]> = SmallVec::new();
                updated(&relation, old.as_ref(), whole, &mut new, |change| changes.push(change));
                let mut rendering = Rendering::default();
                for change in changes {
                    self.tell(&relation, &change, &mut rendering);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn tell(&mut self, relation: &Arc<Relation>, change: &Change<'_, '_>, rendering: &mut Rendering) {
        self.number += 1;
        if !self.index.is_watched(relation.oid) {
            return;
        }
        let recipients = recipients(&mut self.index, relation, change);
        if recipients.is_empty() {
            return;
        }
        let id = EventId { lsn: BEGIN.final_lsn, number: self.number };
        let entry = entry(relation, change, id, BEGIN, rendering);
        let kind = recipients.first().map_or(Kind::Table, |to| to.kind);
        let payload: Arc<str> = notify::render(&entry, kind, None).into();
        black_box(&(entry, payload));
    }
}
