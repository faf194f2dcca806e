//! What Tidewire's own tables tell: subscriptions and sessions come and go, at their exact place among the changes.

use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::Capture;
use super::questions::Question;
use super::relations::{Control, ControlTable, Known};
use crate::diff::RowImage;
use crate::error::Result;
use crate::inbox::{ChangeKind, Entry, RouteChange};
use crate::json::{parse_text_array, write_string};
use crate::observe::{Observation, observe};
use crate::pgoutput::Datum;
use crate::position::EventId;
use crate::subscription::{Kind, Recipient, Recipients, Selector, Subscription};

use super::render;

/// Marks our own messages in the WAL (`pg_logical_emit_message`).
pub(super) const PREFIX: &str = "tidewire";

/// What is longer is none of ours: a session's id and an event's take 90 bytes.
const MESSAGE_BYTES: usize = 200;

#[derive(Deserialize)]
struct LogicalMessage {
    attach: Option<Uuid>,
    seen: Option<String>,
}

impl Capture {
    /// One of our own messages. Anybody may write one, of any size and many: it counts for nothing unless its transaction has attached
    /// to the session, and the session has an inbox.
    pub(super) fn logical(&mut self, content: &[u8]) {
        if content.len() > MESSAGE_BYTES || !self.may_have_attached() {
            return;
        }
        let Ok(message) = serde_json::from_slice::<LogicalMessage>(content) else { return };
        if let (Some(session), Some(at)) = (message.attach, self.news_at())
            && self.attached(session)
            && self.totals.contains_key(&session)
        {
            let after = message.seen.filter(|seen| seen.parse::<EventId>().is_ok()).unwrap_or_default();
            self.batch.resend(session, after, at);
        }
    }

    /// A row of a table of ours.
    pub(super) fn control<'a>(
        &mut self,
        oid: u32,
        old: Option<&RowImage<'a>>,
        new: Option<&RowImage<'a>>,
    ) -> Result<()> {
        let Some(Known::Control(control)) = self.relations.get(oid) else { return Ok(()) };
        let Some(row) = new.or(old).map(|row| Fields { control, row }) else { return Ok(()) };
        let table = control.name;
        if table == ControlTable::Watched {
            let relation = row.text("relation").and_then(|oid| oid.parse().ok());
            let description = row.text("description").map(str::to_owned);
            return self.watched(relation, description, new.is_none());
        }
        if table == ControlTable::Gap {
            let gap = row.gap().filter(|_| new.is_some());
            return self.gap(gap);
        }
        let Some(id) = row.uuid("id") else { return Ok(()) };
        let is_gone = new.is_none();
        // an update notes that it ended, or that it has waited long enough
        let is_made = !is_gone && table == ControlTable::Subscription && row.text("ended").is_none();
        let waits_for = row.text("relation").filter(|_| is_made && row.is_true("waiting"));
        let waits_for = waits_for.and_then(|relation| relation.parse().ok());
        let subscription = is_made.then(|| row.subscription()).flatten();
        let ended = row.ended(id).filter(|_| table == ControlTable::Ending && !is_gone);
        let Some(place) = self.next_id()? else { return Ok(()) };
        match table {
            ControlTable::Session if is_gone => {
                self.totals.remove(&id);
                self.batch.deleted_sessions.push(id);
            }
            ControlTable::Ending => {
                if let Some(ended) = ended {
                    self.ended(place, &ended)?;
                }
            }
            ControlTable::Session => {
                if let Some(open) = &mut self.open {
                    open.attached = Some(id);
                }
            }
            ControlTable::Watched | ControlTable::Gap => {}
            ControlTable::Subscription if is_gone => {
                if self.index.remove(id) {
                    self.batch.routes.push(RouteChange::Remove(id));
                }
            }
            ControlTable::Subscription if !is_made => {}
            ControlTable::Subscription => match (waits_for, subscription) {
                (Some(relation), _) => drop(self.waiting.send(relation)),
                (None, Some(subscription)) => {
                    let key = subscription.selector.key().into_iter().flatten();
                    self.batch.weigh(key.map(String::len).sum());
                    self.batch.routes.push(RouteChange::Add(subscription.clone()));
                    self.index.add(subscription);
                }
                (None, None) => observe(&Observation::SubscriptionUnreadable { id }),
            },
        }
        self.batch.weigh(0);
        Ok(())
    }

    /// A table is watched, is made of something else, or is watched no more.
    fn watched(&mut self, relation: Option<u32>, description: Option<String>, is_gone: bool) -> Result<()> {
        let (Some(relation), Some(_)) = (relation, self.next_id()?) else { return Ok(()) };
        // an update that leaves a large description as it was does not carry it
        if is_gone || description.is_some() {
            let news = self.relations.describe(relation, description.as_deref());
            self.questions.extend(news.asked.into_iter().map(Question::Columns));
            self.batch.weigh(description.as_deref().map_or(0, str::len));
            self.batch.descriptions.push((relation, description));
            if let Some(table) = news.table {
                self.left(&table, news.left)?;
            }
        }
        Ok(())
    }

    /// A session is to be told that events are lost to it.
    fn gap(&mut self, gap: Option<Gap>) -> Result<()> {
        let (Some(place), Some(gap)) = (self.next_id()?, gap) else { return Ok(()) };
        let entry = Entry::gap(place, self.begun()?.committed_at, &gap.reason, &gap.from, &gap.to);
        self.batch.told_gaps.push(gap.id);
        self.batch.weigh(0);
        let mut to = Recipients::new();
        to.push(Recipient { session: gap.session, durable: gap.durable, kind: Kind::Table, visible: None });
        self.deliver(entry, &to);
        Ok(())
    }

    fn ended(&mut self, place: EventId, ended: &Ended) -> Result<()> {
        self.batch.routes.push(RouteChange::End(ended.id));
        if !self.index.remove(ended.id) && !ended.waiting {
            return Ok(());
        }
        let mut body = format!("\"subscription_id\" : \"{}\", \"reason\" : ", ended.id);
        write_string(&mut body, &ended.reason);
        let mut entry = render::bare(place, self.begun()?, ChangeKind::SubscriptionEnded, None);
        entry.value = Some(body);
        let mut to = Recipients::new();
        to.push(Recipient { session: ended.session, durable: ended.durable, kind: Kind::Table, visible: None });
        self.deliver(entry, &to);
        Ok(())
    }
}

/// A row of `event.gap`.
struct Gap {
    id: Uuid,
    session: Uuid,
    durable: bool,
    reason: String,
    from: String,
    to: String,
}

/// A row of `event.ending`: a subscription that ended by itself.
struct Ended {
    id: Uuid,
    session: Uuid,
    durable: bool,
    /// It never took effect.
    waiting: bool,
    reason: String,
}

/// A row of ours by its columns' names.
struct Fields<'t, 'a> {
    control: &'t Control,
    row: &'t RowImage<'a>,
}

impl<'a> Fields<'_, 'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        let at = self.control.columns.iter().position(|column| column == name)?;
        match self.row.get(at) {
            Some(Datum::Text(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("t")
    }

    fn array(&self, name: &str) -> Option<Option<Vec<String>>> {
        match self.text(name) {
            None => Some(None),
            Some(text) => parse_text_array(text).ok()?.into_iter().collect::<Option<Vec<String>>>().map(Some),
        }
    }

    fn gap(&self) -> Option<Gap> {
        Some(Gap {
            id: self.uuid("id")?,
            session: self.uuid("session_id")?,
            durable: self.is_true("durable"),
            reason: self.text("reason")?.to_owned(),
            from: self.text("from_id")?.to_owned(),
            to: self.text("to_id")?.to_owned(),
        })
    }

    /// None of one that was delivered before.
    fn ended(&self, id: Uuid) -> Option<Ended> {
        Some(Ended {
            id,
            session: self.uuid("session_id")?,
            durable: self.is_true("durable"),
            waiting: self.is_true("waiting"),
            reason: self.text("reason").filter(|_| !self.is_true("delivered"))?.to_owned(),
        })
    }

    fn subscription(&self) -> Option<Subscription> {
        let attnum = match self.text("attnum") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let visible: Option<Arc<[i16]>> = match self.array("visible")? {
            Some(numbers) => {
                Some(numbers.iter().map(|number| number.parse().ok()).collect::<Option<Vec<i16>>>()?.into())
            }
            None => None,
        };
        Some(Subscription {
            id: self.uuid("id")?,
            session: self.uuid("session_id")?,
            durable: self.is_true("durable"),
            relation: self.text("relation")?.parse().ok()?,
            selector: Selector::new(self.text("kind")?, attnum, self.array("key")?)?,
            visible,
        })
    }
}
