//! The event over NOTIFY: the form of Aquameta's event module, with the event's id added last.
//!
//! `event._notification` (sql/event/inbox.sql) renders the same bytes from the journal, so that what is sent again is
//! what was sent; a test holds the two together.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::inbox::{ChangeKind, Entry};
use crate::json::write_string;
use crate::subscription::Kind;

/// PostgreSQL's limit for a notification is "shorter than 8000 bytes" (manual, NOTIFY).
pub const MAX_BYTES: usize = 7999;

/// The notification for a session whose widest matching subscription is of `kind` and whose owner may see the columns
/// `visible` (`None`: all). Over [`MAX_BYTES`] it goes without its payload.
pub fn render(entry: &Entry, kind: Kind, visible: Option<&[String]>) -> String {
    let whole = whole(entry, kind, visible, Part::Whole);
    if whole.len() <= MAX_BYTES {
        return whole;
    }
    let short = self::whole(entry, kind, visible, Part::WithoutPayload);
    if short.len() <= MAX_BYTES {
        return short;
    }
    self::whole(entry, kind, visible, Part::WithoutRow)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    WithoutPayload,
    WithoutRow,
}

fn whole(entry: &Entry, kind: Kind, visible: Option<&[String]>, part: Part) -> String {
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
            Part::Whole => payload(&mut out, entry, visible),
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
    let length = |data: &Option<String>| data.as_deref().map_or(0, str::len);
    let key: usize = entry.key_values.iter().map(|value| value.len() + 3).sum();
    let row = entry.relation.as_ref().map_or(0, |relation| relation.row_id_length()) + key;
    let data = if part == Part::Whole { length(&entry.value).max(length(&entry.old)) } else { 0 };
    // the words around them, and a column's name
    256 + row + data
}

fn row(out: &mut String, entry: &Entry, part: Part) {
    out.push_str(", \"row_id\" : ");
    match &entry.relation {
        Some(relation) if !entry.key_values.is_empty() && part != Part::WithoutRow => {
            relation.write_row_id(out, &entry.key_values);
        }
        _ => out.push_str("null"),
    }
}

fn payload(out: &mut String, entry: &Entry, visible: Option<&[String]>) {
    let data = match entry.change {
        ChangeKind::RowInsert => entry.value.as_deref(),
        // nothing else names a row without a key
        ChangeKind::RowDelete if entry.key_values.is_empty() => entry.old.as_deref(),
        ChangeKind::FieldUpdate => {
            out.push_str(", \"payload\" : {");
            write_string(out, entry.field_name().unwrap_or_default());
            out.push_str(" : ");
            out.push_str(entry.value.as_deref().unwrap_or("null"));
            out.push('}');
            return;
        }
        _ => return,
    };
    out.push_str(", \"payload\" : ");
    let data = data.unwrap_or("null");
    match visible {
        None => out.push_str(data),
        Some(visible) => visible_part(out, data, visible),
    }
}

/// Appends an object without the members that may not be seen. What cannot be read is not shown.
pub fn visible_part(out: &mut String, data: &str, visible: &[String]) {
    out.push('{');
    let mut first = true;
    for (name, value) in members(data) {
        if visible.contains(&name) {
            if !first {
                out.push(',');
            }
            first = false;
            write_string(out, &name);
            out.push(':');
            out.push_str(value.get());
        }
    }
    out.push('}');
}

/// An object's members in their order, their values as they are written; none if it is no object.
pub(crate) fn members(object: &str) -> Vec<(String, &RawValue)> {
    serde_json::Deserializer::from_str(object).deserialize_map(Members).unwrap_or_default()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
