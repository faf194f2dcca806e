//! A change as JSON: the journal's entry.

use std::sync::Arc;

use super::transaction::key_of;
use crate::catalog::Relation;
use crate::diff::{Change, RowImage};
use crate::inbox::{ChangeKind, Entry, Key};
use crate::json::{Shape, Unwritten, write_value};
use crate::observe::{Observation, observe};
use crate::pgoutput::{Begin, Datum};
use crate::position::EventId;

/// An entry without data.
pub(super) fn bare(id: EventId, begin: Begin, change: ChangeKind, relation: Option<Arc<Relation>>) -> Entry {
    Entry {
        id,
        committed_at: begin.committed_at,
        xid: begin.xid,
        change,
        relation,
        partition: None,
        key: None,
        field: None,
        value: None,
        old: None,
    }
}

/// What the changes of one message of the stream may take in the journal together. Of each there are a few copies in memory on its way to
/// the server, and 250 MB is what a machine has to spare for a single row. PostgreSQL's own limit, 1 GB for a row in one message, has
/// no room for JSON's escapes, nor for the memory.
const LARGEST: usize = 64 << 20;

/// The largest key that is told, as JSON. Each event of a row has the key, and an UPDATE may be 1,600 events. An index takes 2,704
/// bytes, unless they can be compressed: so a longer key is of little but repetition.
const LARGEST_KEY: usize = 16 << 10;

/// What the changes of one message have in common.
#[derive(Debug)]
pub struct Rendering {
    /// What there is room for yet.
    room: usize,
    /// The key of the row whose fields they are.
    key: Option<Arc<Key>>,
    /// One was too large.
    was_too_large: bool,
}

impl Default for Rendering {
    fn default() -> Self {
        Rendering { room: LARGEST, key: None, was_too_large: false }
    }
}

/// There is no room for it.
struct TooLarge;

/// The entry of a row's change; a gap when it is too large for any inbox.
pub fn entry(
    relation: &Arc<Relation>,
    change: &Change<'_, '_>,
    id: EventId,
    begin: Begin,
    rendering: &mut Rendering,
) -> Entry {
    match whole(relation, change, id, begin, rendering) {
        Ok(entry) => entry,
        Err(TooLarge) => {
            // Once of a row: it may have many fields.
            if !std::mem::replace(&mut rendering.was_too_large, true) {
                observe(&Observation::ChangeTooLarge { relation: &relation.name });
            }
            let place = id.to_string();
            Entry::gap(id, begin.committed_at, "change_too_large", &place, &place)
        }
    }
}

fn whole(
    relation: &Arc<Relation>,
    change: &Change<'_, '_>,
    id: EventId,
    begin: Begin,
    rendering: &mut Rendering,
) -> Result<Entry, TooLarge> {
    let room = rendering.room;
    if change.bytes() > room {
        return Err(TooLarge);
    }
    // What is written in vain is work all the same, and there may be more to come of the same sort: until this one is known to fit there is
    // no room for others.
    rendering.room = 0;
    let (kind, row) = match change {
        Change::RowInsert { row, .. } => (ChangeKind::RowInsert, row),
        Change::RowDelete { row, .. } => (ChangeKind::RowDelete, row),
        Change::FieldUpdate { row, .. } => (ChangeKind::FieldUpdate, row),
    };
    let mut entry = bare(id, begin, kind, Some(Arc::clone(relation)));
    if relation.has_key() {
        entry.key = match &rendering.key {
            Some(key) if kind == ChangeKind::FieldUpdate => Some(Arc::clone(key)),
            _ => Some(key(relation, row)?),
        };
        if kind == ChangeKind::FieldUpdate {
            rendering.key.clone_from(&entry.key);
        }
    }
    match change {
        Change::RowInsert { row, .. } => entry.value = Some(object(relation, row, &relation.order, room)?),
        // without the old row, its key is all that is known of it
        Change::RowDelete { row, .. } if relation.whole_rows => {
            entry.old = Some(object(relation, row, &relation.order, room)?);
        }
        Change::RowDelete { row, .. } => entry.old = Some(object(relation, row, &relation.key, room)?),
        Change::FieldUpdate { column, old, new, .. } => {
            let value = field(relation, *column, *new, room)?;
            let room = room.saturating_sub(value.len());
            entry.field = Some(*column);
            entry.value = Some(value);
            entry.old = old.map(|old| field(relation, *column, old, room)).transpose()?;
        }
    }
    rendering.room = room.checked_sub(entry.weight() as usize).ok_or(TooLarge)?;
    Ok(entry)
}

fn key(relation: &Relation, row: &RowImage<'_>) -> Result<Arc<Key>, TooLarge> {
    let length: usize = key_of(relation, row).map(<[u8]>::len).sum();
    if length > LARGEST_KEY {
        return Err(TooLarge);
    }
    let values = key_of(relation, row).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    Ok(Arc::new(Key { values, row: object(relation, row, &relation.key, LARGEST_KEY)? }))
}

fn field(relation: &Relation, column: usize, datum: Datum<'_>, room: usize) -> Result<String, TooLarge> {
    let mut out = Vec::with_capacity(length(datum) + ROOM);
    write_datum(&mut out, relation, column, datum, room)?;
    Ok(text(out))
}

/// What a value's JSON may take beyond its text, if nothing in it has escapes: quotes and a comma; a time's whole offset.
const ROOM: usize = 6;

/// The length of a value's text, in bytes.
fn length(datum: Datum<'_>) -> usize {
    if let Datum::Text(text) = datum { text.len() } else { 0 }
}

/// The object of the given columns; a large value that is not known is left out.
fn object(relation: &Relation, row: &RowImage<'_>, columns: &[usize], room: usize) -> Result<String, TooLarge> {
    let known = || {
        let pairs = columns.iter().filter_map(|&at| Some((at, relation.columns.get(at)?, *row.get(at)?)));
        pairs.filter(|(_, _, datum)| *datum != Datum::Unchanged)
    };
    let lengths: usize = known().map(|(_, column, datum)| column.label.len() + length(datum) + ROOM).sum();
    let mut out = Vec::with_capacity(2 + lengths);
    out.push(b'{');
    for (at, column, datum) in known() {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(column.label.as_bytes());
        write_datum(&mut out, relation, at, datum, room)?;
    }
    out.push(b'}');
    Ok(text(out))
}

/// Writes a value while `out` has room.
fn write_datum(
    out: &mut Vec<u8>,
    relation: &Relation,
    column: usize,
    datum: Datum<'_>,
    room: usize,
) -> Result<(), TooLarge> {
    let (Datum::Text(value), Some(column)) = (datum, relation.columns.get(column)) else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    match write_value(out, &column.shape, value, room) {
        Ok(()) => return Ok(()),
        Err(Unwritten::TooLong) => return Err(TooLarge),
        // A type that changed under our feet, say: the text itself is told rather than nothing.
        Err(Unwritten::Malformed(why)) => {
            observe(&Observation::ValueAsText { relation: &relation.name, column: &column.name, why: &why });
        }
    }
    write_value(out, &Shape::Text, String::from_utf8_lossy(value).as_bytes(), room).map_err(|_| TooLarge)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
