//! One row of the journal: a change as its events are made from it.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::catalog::Relation;
use crate::json::write_string;
use crate::position::EventId;

/// A journal row's names and key, a pointer row, and what indexes hold of them.
const ROW_BYTES: usize = 300;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A row came.
    RowInsert,
    /// A row went.
    RowDelete,
    /// A field has another value.
    FieldUpdate,
    /// A table was emptied.
    Truncate,
    /// A subscription's object is gone, or may no longer be seen.
    SubscriptionEnded,
    /// Events are lost to the session.
    Gap,
}

impl ChangeKind {
    /// The word in `event.journal.change` and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::RowInsert => "row_insert",
            ChangeKind::RowDelete => "row_delete",
            ChangeKind::FieldUpdate => "field_update",
            ChangeKind::Truncate => "truncate",
            ChangeKind::SubscriptionEnded => "subscription_ended",
            ChangeKind::Gap => "gap",
        }
    }
}

/// What names a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its values as text.
    pub values: SmallVec<[String; 1]>,
    /// It as JSON: `{"id":3}`.
    pub row: String,
}

/// One change, rendered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place.
    pub id: EventId,
    /// When its transaction was committed, in microseconds since 2000-01-01 UTC.
    pub committed_at: i64,
    /// Its transaction, the lower 32 bits.
    pub xid: u32,
    /// What happened.
    pub change: ChangeKind,
    /// Where; `None` for an ended subscription or a gap.
    pub relation: Option<Arc<Relation>>,
    /// Schema and name of the partition that was emptied, when that was not the whole table.
    pub partition: Option<(String, String)>,
    /// The row's key; `None` when the row has no name. The events of one row's fields share it.
    pub key: Option<Arc<Key>>,
    /// Position in the relation's columns of the field.
    pub field: Option<usize>,
    /// JSON: the inserted row or the field's new value; for an ended subscription or a gap the body of its event.
    pub value: Option<String>,
    /// JSON: the deleted row or the field's old value.
    pub old: Option<String>,
}

impl Entry {
    /// A gap: events from the one place to the other may be missing. It is of no transaction.
    pub fn gap(id: EventId, committed_at: i64, reason: &str, from: &str, to: &str) -> Self {
        let mut body = String::new();
        for (name, value) in [("reason", reason), ("from", from), ("to", to)] {
            let before = if body.is_empty() { "" } else { ", " };
            body.push_str(&format!("{before}\"{name}\" : "));
            write_string(&mut body, value);
        }
        Entry {
            id,
            committed_at,
            xid: 0,
            change: ChangeKind::Gap,
            relation: None,
            partition: None,
            key: None,
            field: None,
            value: Some(body),
            old: None,
        }
    }

    /// Schema and name of the relation as the event gives them.
    pub fn relation_name(&self) -> Option<(&str, &str)> {
        match (&self.partition, &self.relation) {
            (Some((schema, name)), _) => Some((schema, name)),
            (None, Some(relation)) => Some((&relation.schema, &relation.name)),
            (None, None) => None,
        }
    }

    /// What it takes in the journal and the inbox, in bytes, roughly.
    pub fn weight(&self) -> u32 {
        let text = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        let key = |key: &Arc<Key>| key.row.len() + key.values.iter().map(String::len).sum::<usize>();
        let bytes = ROW_BYTES + text(&self.value) + text(&self.old) + self.key.as_ref().map_or(0, key);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// The key's values as text; none when the row has no name.
    pub fn key_values(&self) -> &[String] {
        self.key.as_ref().map_or(&[], |key| &key.values)
    }

    /// The key as JSON: `{"id":3}`.
    pub fn row(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.row.as_str())
    }

    /// The name of the field's column.
    pub fn field_name(&self) -> Option<&str> {
        let column = self.relation.as_ref()?.columns.get(self.field?)?;
        Some(column.name.as_str())
    }
}
