//! The event over NOTIFY: the form of Aquameta's event module, with the event's id added last.
//!
//! `event._notification` (sql/event/inbox.sql) renders the same bytes from the journal, so that what is sent again is
//! what was sent; a test holds the two together.

use super::visible::{self, Run};
use crate::inbox::{ChangeKind, Entry};
use crate::json::write_string;
use crate::subscription::Kind;

/// PostgreSQL's limit for a notification is "shorter than 8000 bytes" (manual, NOTIFY).
pub const MAX_BYTES: usize = 7999;

/// The notification for a session whose widest matching subscription is of `kind` and whose owner may see what stands at
/// `visible` in the row (`None`: all). Over [`MAX_BYTES`] it goes without its payload.
pub fn render(entry: &Entry, kind: Kind, visible: Option<&[Run]>) -> String {
    for part in [Part::Whole, Part::WithoutPayload] {
        // what cannot fit is not written: it may be large
        if least(entry, visible, part) <= MAX_BYTES {
            let told = whole(entry, kind, visible, part);
            if told.len() <= MAX_BYTES {
                return told;
            }
        }
    }
    whole(entry, kind, visible, Part::WithoutRow)
}

/// It is at least so long.
fn least(entry: &Entry, visible: Option<&[Run]>, part: Part) -> usize {
    let key: usize = entry.key_values().iter().map(String::len).sum();
    let data = match visible {
        Some(runs) => visible::length(runs) - runs.len(),
        None => payload(entry).map_or(0, str::len),
    };
    if part == Part::Whole && payload(entry).is_some() { key + data } else { key }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    WithoutPayload,
    WithoutRow,
}

fn whole(entry: &Entry, kind: Kind, visible: Option<&[Run]>, part: Part) -> String {
    let mut out = String::with_capacity(length(entry, part));
    let operation = match entry.change {
        ChangeKind::RowInsert => "insert",
        ChangeKind::RowDelete => "delete",
        ChangeKind::FieldUpdate => "update",
        ChangeKind::Truncate => "truncate",
        ChangeKind::SubscriptionEnded => "subscription_ended",
        ChangeKind::Gap => "gap",
    };
    out.push_str("{\"operation\" : \"");
    out.push_str(operation);
    out.push_str("\", ");
    let is_said_whole = matches!(entry.change, ChangeKind::SubscriptionEnded | ChangeKind::Gap);
    if is_said_whole {
        out.push_str(entry.value.as_deref().unwrap_or_default());
    } else {
        out.push_str("\"subscription_type\" : \"");
        out.push_str(kind.as_str());
        out.push('"');
    }
    if entry.change == ChangeKind::Truncate
        && let Some(relation) = &entry.relation
    {
        out.push_str(", \"relation_id\" : ");
        relation.write_relation_id(&mut out, entry.partition.as_ref());
    } else if !is_said_whole {
        row(&mut out, entry, part);
        match part {
            Part::Whole => write_payload(&mut out, entry, visible),
            _ => out.push_str(", \"truncated\" : true"),
        }
    }
    out.push_str(", \"event_id\" : \"");
    entry.id.push_to(&mut out);
    out.push_str("\"}");
    out
}

/// About how long it becomes: room enough that it need not grow, if nothing has escapes.
fn length(entry: &Entry, part: Part) -> usize {
    let key: usize = entry.key_values().iter().map(|value| value.len() + 3).sum();
    let row = entry.relation.as_ref().map_or(0, |relation| relation.row_id_length()) + key;
    let data = payload(entry).filter(|_| part == Part::Whole).map_or(0, str::len);
    // the words around them, and a column's name
    256 + row + data
}

fn row(out: &mut String, entry: &Entry, part: Part) {
    out.push_str(", \"row_id\" : ");
    match &entry.relation {
        Some(relation) if entry.key.is_some() && part != Part::WithoutRow => {
            relation.write_row_id(out, entry.key_values());
        }
        _ => out.push_str("null"),
    }
}

/// What of the entry goes out as it is.
fn payload(entry: &Entry) -> Option<&str> {
    match entry.change {
        // nothing else names a row without a key
        ChangeKind::RowDelete if entry.key.is_none() => entry.old.as_deref(),
        ChangeKind::RowDelete => None,
        _ => entry.value.as_deref(),
    }
}

fn write_payload(out: &mut String, entry: &Entry, visible: Option<&[Run]>) {
    match entry.change {
        ChangeKind::FieldUpdate => {
            out.push_str(", \"payload\" : {");
            write_string(out, entry.field_name().unwrap_or_default());
            out.push_str(" : ");
            out.push_str(payload(entry).unwrap_or("null"));
            out.push('}');
        }
        ChangeKind::RowDelete if entry.key.is_some() => {}
        ChangeKind::RowInsert | ChangeKind::RowDelete => {
            out.push_str(", \"payload\" : ");
            let data = payload(entry).unwrap_or("null");
            match visible {
                None => out.push_str(data),
                Some(visible) => visible::write(out, data, visible),
            }
        }
        _ => {}
    }
}
