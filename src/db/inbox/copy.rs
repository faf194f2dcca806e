//! Rows of the journal and of inboxes in COPY's binary format (manual, "COPY", section "Binary Format").
//!
//! COPY puts many rows into a page at once and logs the page, where INSERT does so for each row.

use bytes::Bytes;

use crate::delivery::visible::Run;
use crate::inbox::{Entry, Pointer};
use crate::position::EventId;

/// "PGCOPY\n\377\r\n\0", no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The number of fields that ends it.
const TRAILER: i16 = -1;

/// The columns that [`journal`] fills, in its order.
pub(super) const JOURNAL: &str =
    "copy event.journal (id, committed_at, xid, change, schema_name, relation_name, key_columns,
    key_values, row, field, value, old) from stdin (format binary)";

/// The columns that [`inbox`] fills, in its order.
pub(super) const INBOX: &str =
    "copy event.inbox (session_id, id, kind, last, visible, bytes, total) from stdin (format binary)";

/// The entries as rows of the journal.
pub(super) fn journal(entries: &[Entry]) -> Bytes {
    let mut rows = Rows::begin(entries.iter().map(|entry| 200 + entry.weight() as usize).sum());
    for entry in entries {
        let name = entry.relation_name();
        let keyed = entry.relation.as_ref().filter(|_| entry.key.is_some());
        rows.row(12);
        rows.id(&entry.id);
        rows.field(&entry.committed_at.to_be_bytes());
        rows.field(&i64::from(entry.xid).to_be_bytes());
        rows.field(entry.change.as_str().as_bytes());
        rows.text(name.map(|(schema, _)| schema));
        rows.text(name.map(|(_, name)| name));
        rows.array(keyed.map(|relation| relation.key_columns()));
        rows.array(keyed.map(|_| entry.key_values().iter().map(String::as_str)));
        rows.text(entry.row());
        rows.text(entry.field_name());
        rows.text(entry.value.as_deref());
        rows.text(entry.old.as_deref());
    }
    rows.end()
}

/// The pointers as rows of the inbox.
pub(super) fn inbox(pointers: &[Pointer]) -> Bytes {
    let mut rows = Rows::begin(pointers.len() * 120);
    for pointer in pointers {
        rows.row(7);
        rows.field(pointer.session.as_bytes());
        rows.id(&pointer.id);
        rows.field(pointer.kind.as_str().as_bytes());
        rows.field(&[u8::from(pointer.last)]);
        rows.runs(pointer.visible.as_deref());
        rows.field(&i32::try_from(pointer.bytes).unwrap_or(i32::MAX).to_be_bytes());
        rows.field(&pointer.total.to_be_bytes());
    }
    rows.end()
}

struct Rows(Vec<u8>);

impl Rows {
    fn begin(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(HEADER.len() + bytes);
        out.extend_from_slice(HEADER);
        Rows(out)
    }

    fn row(&mut self, fields: i16) {
        self.0.extend_from_slice(&fields.to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        // no value is longer than `LARGEST` in capture/render.rs
        self.0.extend_from_slice(&(length as i32).to_be_bytes());
    }

    fn field(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    fn id(&mut self, id: &EventId) {
        self.field(id.to_string().as_bytes());
    }

    fn text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.field(value.as_bytes()),
            None => self.null(),
        }
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// A `text[]` of one dimension, as array_send has it: dimensions, whether there are NULLs, the elements' type, their number and the
    /// number of the first, then each.
    fn array<'a>(&mut self, values: Option<impl Iterator<Item = &'a str>>) {
        match values {
            Some(values) => self.elements(TEXT_OID, values, |rows, value| rows.field(value.as_bytes())),
            None => self.null(),
        }
    }

    /// The numbers of [`Run`]s, as `integer[]`.
    fn runs(&mut self, runs: Option<&[Run]>) {
        let Some(runs) = runs else { return self.null() };
        // what is empty has no dimensions
        if runs.is_empty() {
            self.length(12);
            return [0, 0, INTEGER_OID].iter().for_each(|word| self.0.extend_from_slice(&i32::to_be_bytes(*word)));
        }
        let numbers = runs.iter().flat_map(|run| run.numbers());
        self.elements(INTEGER_OID, numbers, |rows, number| rows.field(&number.to_be_bytes()));
    }

    fn elements<T>(&mut self, oid: i32, values: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        let length_at = self.0.len();
        self.length(0);
        for word in [1, 0, oid, 0, 1] {
            self.0.extend_from_slice(&i32::to_be_bytes(word));
        }
        let mut count = 0;
        for value in values {
            count += 1;
            write(self, value);
        }
        let length = (self.0.len() - length_at - 4) as i32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        let count_at = length_at + 4 + 3 * 4;
        self.0[count_at..count_at + 4].copy_from_slice(&i32::to_be_bytes(count));
    }

    fn end(mut self) -> Bytes {
        self.0.extend_from_slice(&TRAILER.to_be_bytes());
        self.0.into()
    }
}

/// The types `text` and `integer`.
const TEXT_OID: i32 = 25;
const INTEGER_OID: i32 = 23;
