//! A change as JSON: the journal's entry.

use std::sync::Arc;

use super::transaction::key_of;
use crate::catalog::Relation;
use crate::diff::{Change, RowImage};
use crate::inbox::{ChangeKind, Entry};
use crate::json::{write_string, write_value};
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
        key_values: Vec::new(),
        row: None,
        field: None,
        value: None,
        old: None,
    }
}

/// The entry of a gap. It has no transaction: what it tells of is none.
pub(super) fn gap(id: EventId, begin: Begin, reason: &str, from: &str, to: &str) -> Entry {
    let mut body = String::new();
    for (name, value) in [("reason", reason), ("from", from), ("to", to)] {
        let before = if body.is_empty() { "" } else { ", " };
        body.push_str(&format!("{before}\"{name}\" : "));
        write_string(&mut body, value);
    }
    Entry { xid: 0, value: Some(body), ..bare(id, begin, ChangeKind::Gap, None) }
}

/// The largest change that is told. A value of 1 GB is PostgreSQL's limit for the row in the journal, for a message that
/// carries it there and for one that carries it to a reader, and JSON's escapes make text up to six times as long.
const LARGEST: usize = 256 << 20;

/// The entry of a row's change; a gap when it is too large for any inbox.
pub fn entry(relation: &Arc<Relation>, change: &Change<'_, '_>, id: EventId, begin: Begin) -> Entry {
    if change.bytes() <= LARGEST {
        let entry = whole(relation, change, id, begin);
        if entry.weight() as usize <= LARGEST {
            return entry;
        }
    }
    observe(&Observation::ChangeTooLarge { relation: &relation.name });
    let place = id.to_string();
    gap(id, begin, "change_too_large", &place, &place)
}

fn whole(relation: &Arc<Relation>, change: &Change<'_, '_>, id: EventId, begin: Begin) -> Entry {
    let (kind, row) = match change {
        Change::RowInsert { row, .. } => (ChangeKind::RowInsert, row),
        Change::RowDelete { row, .. } => (ChangeKind::RowDelete, row),
        Change::FieldUpdate { row, .. } => (ChangeKind::FieldUpdate, row),
    };
    let mut entry = bare(id, begin, kind, Some(Arc::clone(relation)));
    if relation.has_key() {
        entry.key_values = key_of(relation, row).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        entry.row = Some(object(relation, row, &relation.key));
    }
    match change {
        Change::RowInsert { row, .. } => entry.value = Some(object(relation, row, &relation.order)),
        // without the old row, its key is all that is known of it
        Change::RowDelete { row, .. } if relation.whole_rows => {
            entry.old = Some(object(relation, row, &relation.order));
        }
        Change::RowDelete { row, .. } => entry.old = Some(object(relation, row, &relation.key)),
        Change::FieldUpdate { column, old, new, .. } => {
            entry.field = Some(*column);
            entry.value = Some(field(relation, *column, *new));
            entry.old = old.map(|old| field(relation, *column, old));
        }
    }
    entry
}

fn field(relation: &Relation, column: usize, datum: Datum<'_>) -> String {
    let mut out = Vec::with_capacity(length(datum) + ROOM);
    write_datum(&mut out, relation, column, datum);
    text(out)
}

/// What a value's JSON may take beyond its text, if nothing in it has escapes: quotes and a comma; a time's whole offset.
const ROOM: usize = 6;

/// The length of a value's text, in bytes.
fn length(datum: Datum<'_>) -> usize {
    if let Datum::Text(text) = datum { text.len() } else { 0 }
}

/// The object of the given columns; a large value that is not known is left out.
fn object(relation: &Relation, row: &RowImage<'_>, columns: &[usize]) -> String {
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
        write_datum(&mut out, relation, at, datum);
    }
    out.push(b'}');
    text(out)
}

fn write_datum(out: &mut Vec<u8>, relation: &Relation, column: usize, datum: Datum<'_>) {
    let (Datum::Text(value), Some(column)) = (datum, relation.columns.get(column)) else {
        out.extend_from_slice(b"null");
        return;
    };
    if let Err(malformed) = write_value(out, &column.shape, value) {
        // A type that changed under our feet, say: the text itself is told rather than nothing.
        observe(&Observation::ValueAsText { relation: &relation.name, column: &column.name, why: &malformed });
        let mut text = String::new();
        write_string(&mut text, &String::from_utf8_lossy(value));
        out.extend_from_slice(text.as_bytes());
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
