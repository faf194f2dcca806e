//! A batch turned on its side, for statements that take arrays: each column an array.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::inbox::{Entry, Notification, Pointer, RouteChange, SetAside};
use crate::position::Progress;
use crate::subscription::Subscription;

/// Seconds from 1970 to 2000, where PostgreSQL's time starts.
const POSTGRES_EPOCH: u64 = 946_684_800;

#[derive(Default)]
pub(super) struct Journal<'b> {
    ids: Vec<String>,
    committed_at: Vec<SystemTime>,
    xids: Vec<i64>,
    changes: Vec<&'static str>,
    schemas: Vec<Option<&'b str>>,
    relations: Vec<Option<&'b str>>,
    key_columns: Vec<Option<String>>,
    key_values: Vec<Option<String>>,
    rows: Vec<Option<&'b str>>,
    fields: Vec<Option<&'b str>>,
    values: Vec<Option<&'b str>>,
    olds: Vec<Option<&'b str>>,
}

impl<'b> Journal<'b> {
    pub(super) fn of(entries: &'b [Entry]) -> Self {
        let mut journal = Journal::default();
        for entry in entries {
            let name = entry.relation_name();
            let keyed = entry.relation.as_ref().filter(|_| entry.key.is_some());
            journal.ids.push(entry.id.to_string());
            journal.committed_at.push(system_time(entry.committed_at));
            journal.xids.push(i64::from(entry.xid));
            journal.changes.push(entry.change.as_str());
            journal.schemas.push(name.map(|(schema, _)| schema));
            journal.relations.push(name.map(|(_, name)| name));
            journal.key_columns.push(keyed.map(|relation| text_array(relation.key_columns())));
            journal.key_values.push(keyed.map(|_| text_array(entry.key_values().iter().map(String::as_str))));
            journal.rows.push(entry.row());
            journal.fields.push(entry.field_name());
            journal.values.push(entry.value.as_deref());
            journal.olds.push(entry.old.as_deref());
        }
        journal
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.committed_at,
            &self.xids,
            &self.changes,
            &self.schemas,
            &self.relations,
            &self.key_columns,
            &self.key_values,
            &self.rows,
            &self.fields,
            &self.values,
            &self.olds,
        ]
    }
}

#[derive(Default)]
pub(super) struct Inbox {
    sessions: Vec<Uuid>,
    ids: Vec<String>,
    kinds: Vec<&'static str>,
    last: Vec<bool>,
    visible: Vec<Option<String>>,
    bytes: Vec<i32>,
    totals: Vec<i64>,
}

impl Inbox {
    pub(super) fn of(pointers: &[Pointer]) -> Self {
        let mut inbox = Inbox::default();
        for pointer in pointers {
            inbox.sessions.push(pointer.session);
            inbox.ids.push(pointer.id.to_string());
            inbox.kinds.push(pointer.kind.as_str());
            inbox.last.push(pointer.last);
            inbox.bytes.push(i32::try_from(pointer.bytes).unwrap_or(i32::MAX));
            inbox.totals.push(pointer.total);
            inbox.visible.push(pointer.visible.as_ref().map(|runs| {
                let numbers: Vec<String> = runs.iter().flat_map(|run| run.numbers()).map(|n| n.to_string()).collect();
                format!("{{{}}}", numbers.join(","))
            }));
        }
        inbox
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.sessions, &self.ids, &self.kinds, &self.last, &self.visible, &self.bytes, &self.totals]
    }
}

#[derive(Default)]
pub(super) struct Notifications<'b> {
    sessions: Vec<Uuid>,
    payloads: Vec<&'b str>,
}

impl<'b> Notifications<'b> {
    pub(super) fn of(notifications: &'b [Notification]) -> Self {
        Notifications {
            sessions: notifications.iter().map(|told| told.session).collect(),
            payloads: notifications.iter().map(|told| &*told.payload).collect(),
        }
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.sessions, &self.payloads]
    }
}

/// Changes that were set aside.
pub(super) struct Failures<'b> {
    ids: Vec<String>,
    stops: Vec<&'static str>,
    codes: Vec<&'b str>,
}

impl<'b> Failures<'b> {
    pub(super) fn of(failures: &'b [SetAside]) -> Self {
        Failures {
            ids: failures.iter().map(|failure| failure.id.to_string()).collect(),
            stops: failures.iter().map(|failure| failure.stop).collect(),
            codes: failures.iter().map(|failure| &*failure.code).collect(),
        }
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.ids, &self.stops, &self.codes]
    }
}

/// A row of `event.progress`.
pub(super) struct Place {
    lsn: String,
    number: i64,
    messages: i64,
}

impl Place {
    pub(super) fn of(progress: Progress) -> Self {
        let Progress { id, messages } = progress;
        Place { lsn: id.lsn.to_string(), number: i64::from(id.number), messages }
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.lsn, &self.number, &self.messages]
    }
}

#[derive(Default)]
pub(super) struct Routes {
    pub(super) ids: Vec<Uuid>,
    sessions: Vec<Uuid>,
    kinds: Vec<&'static str>,
    relations: Vec<u32>,
    attnums: Vec<Option<i16>>,
    keys: Vec<Option<String>>,
    visible: Vec<Option<String>>,
    durable: Vec<bool>,
}

impl Routes {
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.sessions,
            &self.kinds,
            &self.relations,
            &self.attnums,
            &self.keys,
            &self.visible,
            &self.durable,
        ]
    }

    fn push(&mut self, subscription: &Subscription) {
        self.ids.push(subscription.id);
        self.sessions.push(subscription.session);
        self.kinds.push(subscription.selector.kind().as_str());
        self.relations.push(subscription.relation);
        self.attnums.push(subscription.selector.attnum());
        self.keys.push(subscription.selector.key().map(|key| text_array(key.iter().map(String::as_str))));
        self.visible.push(subscription.visible.as_ref().map(|columns| {
            let numbers: Vec<String> = columns.iter().map(i16::to_string).collect();
            format!("{{{}}}", numbers.join(","))
        }));
        self.durable.push(subscription.durable);
    }
}

/// Subscriptions that come and go.
#[derive(Default)]
pub(super) struct RouteChanges {
    pub(super) added: Routes,
    pub(super) removed: Vec<Uuid>,
    pub(super) ended: Vec<Uuid>,
}

impl RouteChanges {
    pub(super) fn of(changes: &[RouteChange]) -> Self {
        let mut columns = RouteChanges::default();
        for change in changes {
            match change {
                RouteChange::Add(subscription) => columns.added.push(subscription),
                RouteChange::Remove(id) => columns.removed.push(*id),
                RouteChange::End(id) => {
                    columns.removed.push(*id);
                    columns.ended.push(*id);
                }
            }
        }
        columns
    }
}

/// What watched tables are made of, and which are watched no more.
#[derive(Default)]
pub(super) struct Descriptions<'b> {
    pub(super) relations: Vec<u32>,
    pub(super) texts: Vec<&'b str>,
    pub(super) forgotten: Vec<u32>,
}

impl<'b> Descriptions<'b> {
    pub(super) fn of(descriptions: &'b [(u32, Option<String>)]) -> Self {
        let mut columns = Descriptions::default();
        for (at, (table, description)) in descriptions.iter().enumerate() {
            // the last word counts
            if descriptions.iter().skip(at + 1).any(|(later, _)| later == table) {
                continue;
            }
            match description {
                Some(description) => {
                    columns.relations.push(*table);
                    columns.texts.push(description);
                }
                None => columns.forgotten.push(*table),
            }
        }
        columns
    }
}

fn system_time(micros: i64) -> SystemTime {
    let epoch = UNIX_EPOCH + Duration::from_secs(POSTGRES_EPOCH);
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { epoch - distance } else { epoch + distance }
}

/// A `text[]` literal (manual, section 8.15.6 "Array Input and Output Syntax"): arrays of arrays must be rectangular, so
/// an array in a column of arrays travels as text.
fn text_array<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut literal = String::from("{");
    for (at, value) in values.enumerate() {
        if at > 0 {
            literal.push(',');
        }
        literal.push('"');
        for character in value.chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_array_is_quoted() {
        assert_eq!(text_array(["a", "", "q\"\\", "x,{}"].into_iter()), r#"{"a","","q\"\\","x,{}"}"#);
    }
}
