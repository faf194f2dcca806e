//! Reads a session's inbox back: in the order of the events' ids, in pages whose size is bounded.
//!
//! Notifications only wake a reader up. They can be cut short, and those that came while nobody listened are gone; the
//! inbox has everything, whole.

use uuid::Uuid;

use crate::db::{self, Client};
use crate::error::Result;
use crate::position::EventId;

/// How many events a page has at most; `event.read` ends it earlier when they are large. Enough that the round trip does
/// not count.
const PAGE: i32 = 1000;

/// An event as one session's inbox holds it: no more than the session's owner may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub id: EventId,
    /// When its transaction was committed, in microseconds since 2000-01-01 UTC.
    pub committed_at: i64,
    /// Its transaction, the lower 32 bits; 0 for a gap, which has none.
    pub xid: i64,
    /// `row_insert`, `row_delete`, `field_update`, `truncate`, `gap` or `subscription_ended`.
    pub change: String,
    /// Schema and name as SQL writes them: `public.person`, `public."Ünï Çode"`; `None` for a gap or an ended subscription.
    pub relation: Option<String>,
    /// The key as JSON: `{"id":3}`; `None` when the row has no name.
    pub row: Option<String>,
    /// The name of the field's column.
    pub field: Option<String>,
    /// JSON: the inserted row, the field's new value, or an object of what a gap or an ended subscription says.
    pub value: Option<String>,
    /// JSON: the deleted row or the field's old value, where they are known.
    pub old: Option<String>,
    /// The last event of its transaction for this session.
    pub last: bool,
}

/// Where a program is in a session's inbox.
pub struct Reader<'c> {
    client: &'c Client,
    session: Uuid,
    /// The last event that was read.
    read: Option<EventId>,
}

impl<'c> Reader<'c> {
    /// Starts with the oldest event that is not acknowledged.
    pub fn new(client: &'c Client, session: Uuid) -> Self {
        Reader { client, session, read: None }
    }

    /// The next events; none when there are no more at the moment.
    ///
    /// # Errors
    /// Those of `event.read`: the session is gone, say, or the connection.
    pub async fn next_page(&mut self) -> Result<Vec<Event>> {
        let page = db::reader::read(self.client, self.session, self.read, PAGE).await?;
        self.read = page.last().map(|event| event.id).or(self.read);
        Ok(page)
    }

    /// All that was read is done: it leaves the inbox.
    ///
    /// # Errors
    /// Those of `event.ack`.
    pub async fn acknowledge(&self) -> Result<()> {
        match self.read {
            Some(through) => db::reader::acknowledge(self.client, self.session, through).await,
            None => Ok(()),
        }
    }
}
