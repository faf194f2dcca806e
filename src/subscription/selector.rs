//! What a subscription selects.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// How wide a subscription is, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Every change in a table.
    Table,
    /// Rows that come and go, and one column's values.
    Column,
    /// One row.
    Row,
    /// One column of one row.
    Field,
}

impl Kind {
    /// The word in `event.subscription.kind` and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Column => "column",
            Kind::Row => "row",
            Kind::Field => "field",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is selected, by oid and column number, so that it follows its object through renames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A table.
    Table,
    /// The column with this number.
    Column(i16),
    /// The row with this key: each key column's text, in the key's order.
    Row(Vec<String>),
    /// A field: the row's key and the column's number.
    Field(Vec<String>, i16),
}

impl Selector {
    /// From the columns of `event.subscription`; `None` when they do not fit together.
    pub fn new(kind: &str, attnum: Option<i16>, key: Option<Vec<String>>) -> Option<Self> {
        match (kind, attnum, key) {
            ("table", None, None) => Some(Selector::Table),
            ("column", Some(attnum), None) => Some(Selector::Column(attnum)),
            ("row", None, Some(key)) => Some(Selector::Row(key)),
            ("field", Some(attnum), Some(key)) => Some(Selector::Field(key, attnum)),
            _ => None,
        }
    }

    /// How wide it is.
    pub fn kind(&self) -> Kind {
        match self {
            Selector::Table => Kind::Table,
            Selector::Column(_) => Kind::Column,
            Selector::Row(_) => Kind::Row,
            Selector::Field(..) => Kind::Field,
        }
    }

    /// The column's number, of a column or field.
    pub fn attnum(&self) -> Option<i16> {
        match self {
            Selector::Column(attnum) | Selector::Field(_, attnum) => Some(*attnum),
            _ => None,
        }
    }

    /// The key, of a row or field.
    pub fn key(&self) -> Option<&[String]> {
        match self {
            Selector::Row(key) | Selector::Field(key, _) => Some(key),
            _ => None,
        }
    }
}

/// A row of `event.subscription`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// The session that is told.
    pub session: Uuid,
    /// Whether the session keeps an inbox.
    pub durable: bool,
    /// The table's oid.
    pub relation: u32,
    /// What in the table.
    pub selector: Selector,
    /// The numbers of the columns that the session's owner may see; `None`: all.
    pub visible: Option<Arc<[i16]>>,
}
