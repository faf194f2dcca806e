//! What a client of a session gets to see, read in one of the two ways in which clients read.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::link::{Failure, Link};

/// An event as a client has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// By `event.read`.
    Read {
        xid: i64,
        change: String,
        relation: Option<String>,
        row: Option<String>,
        field: Option<String>,
        value: Option<String>,
        old: Option<String>,
        last: bool,
    },
    /// By `event.event`, which has the form of a notification, or by NOTIFY itself.
    Sent {
        /// By NOTIFY, which cannot carry everything.
        notified: bool,
        operation: String,
        kind: Option<String>,
        row_id: Option<String>,
        relation_id: Option<String>,
        payload: Option<String>,
        text: String,
    },
}

const READ: &str =
    "select id, xid, change, relation, \"row\"::jsonb::text, field, value::jsonb::text, old::jsonb::text, last
    from event.read($1::text::uuid, $2, $3)";

// offset 0: the view's expression is made once for each event
const SENT: &str =
    "select id, e ->> 'operation', e ->> 'subscription_type', (e -> 'row_id')::text, (e -> 'relation_id')::text,
           (e -> 'payload')::text, event::text
    from (select id, event, event::jsonb as e
          from (select id, event from event.event
                where session_id = $1::text::uuid and id > $2 order by id limit $3 offset 0) x offset 0) y
    order by id";

/// Whether the session's clients read it by `event.read` and `event.ack`, or by `event.event`.
pub fn reads(session: &str) -> bool {
    session.bytes().last().is_some_and(|last| last % 2 == 0)
}

/// What the clients of a session have read of it.
#[derive(Debug, Default)]
pub struct Heard {
    pub events: Vec<Received>,
    /// The last event that was read.
    after: String,
    /// The last that is known to be done.
    done: String,
    /// What must not be, in words.
    pub wrong: Vec<String>,
}

impl Received {
    /// The relation that it names, where `event.read` does.
    pub fn relation(&self) -> Option<&str> {
        match &self.form {
            Form::Read { relation, .. } => relation.as_deref(),
            Form::Sent { .. } => None,
        }
    }
}

pub type AllHeard = HashMap<String, Heard>;

impl Heard {
    /// Reads a page behind what was read before, or `again` from the inbox's start; true if there was something.
    pub async fn read(
        &mut self,
        link: &Link,
        session: &str,
        by_view: bool,
        most: i32,
        again: bool,
    ) -> Result<bool, Failure> {
        let after = if again { String::new() } else { self.after.clone() };
        let by_read = reads(session) && !by_view;
        let rows = if by_read {
            link.rows(READ, &[&session, &after, &most]).await?
        } else {
            link.rows(SENT, &[&session, &after, &i64::from(most)]).await?
        };
        for row in &rows {
            let received = if by_read { read_form(row) } else { sent_form(row) };
            if received.id <= self.after {
                self.repeated(&received, again);
                continue;
            }
            self.after.clone_from(&received.id);
            self.events.push(received);
        }
        Ok(!rows.is_empty())
    }

    /// An event that was read before: the same as then, and not one that is done.
    fn repeated(&mut self, received: &Received, again: bool) {
        if !again {
            self.wrong.push(format!("event {} is not behind {}", received.id, self.after));
        }
        if received.id <= self.done {
            self.wrong.push(format!("event {} was acknowledged and is there again", received.id));
        }
        match self.events.iter().rev().find(|event| event.id == received.id) {
            Some(before) if before != received => {
                self.wrong.push(format!("replayed otherwise than it was sent:\n    {before:?}\n    {received:?}"));
            }
            Some(_) => {}
            // read and checked in an earlier round
            None if self.events.first().is_none_or(|first| received.id < first.id) => {}
            None => self.wrong.push(format!("event {} was not there before", received.id)),
        }
    }

    /// Everything up to an event that was read is done; `at` counts from the last one.
    pub async fn acknowledge(&mut self, link: &Link, session: &str, at: usize) -> Result<(), Failure> {
        let Some(through) = self.events.iter().rev().nth(at).map(|event| event.id.clone()) else { return Ok(()) };
        let sql = if reads(session) {
            "select event.ack($1::text::uuid, $2)"
        } else {
            "delete from event.event where session_id = $1::text::uuid and id <= $2"
        };
        link.rows(sql, &[&session, &through]).await?;
        self.done = self.done.clone().max(through);
        Ok(())
    }

    /// What was read since the last call.
    pub fn take(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.events)
    }
}

fn read_form(row: &Row) -> Received {
    let form = Form::Read {
        xid: row.get(1),
        change: row.get(2),
        relation: row.get(3),
        row: row.get(4),
        field: row.get(5),
        value: row.get(6),
        old: row.get(7),
        last: row.get(8),
    };
    Received { id: row.get(0), form }
}

fn sent_form(row: &Row) -> Received {
    let form = Form::Sent {
        notified: false,
        operation: row.get(1),
        kind: row.get(2),
        row_id: row.get(3),
        relation_id: row.get(4),
        payload: row.get(5),
        text: row.get(6),
    };
    Received { id: row.get(0), form }
}
