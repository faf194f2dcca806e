//! Clients at work while others write: they read at a pace of their own, in pages of any size, acknowledge some of it,
//! forget where they were, and connect again when they were cut off.

use std::sync::Arc;

use super::chance::Chance;
use super::inbox::AllHeard;
use super::link::{Failure, Link};
use super::pace::Pace;

/// Reads the inboxes of some of the sessions.
pub struct Reader {
    pub url: String,
    pub chance: Chance,
    pub pace: Arc<Pace>,
    /// This is the so many-th reader of so many.
    pub share: (usize, usize),
    /// Sessions that only listen.
    pub listening: Arc<Vec<String>>,
    pub heard: AllHeard,
}

/// Whose session it is.
pub fn reader_of(session: &str, readers: usize) -> usize {
    session.bytes().map(usize::from).sum::<usize>() % readers
}

impl Reader {
    /// Reads until no more is written; returns what was read.
    pub async fn run(mut self) -> AllHeard {
        let mut link = None;
        let mut sessions = Vec::new();
        while !self.pace.is_over() {
            self.pace.watch(self.chance.between(1, 6)).await;
            if link.is_none() {
                let pace = Arc::clone(&self.pace);
                link = Link::open_while(&self.url, || !pace.is_over()).await;
            }
            let Some(open) = &link else { break };
            if let Err(Failure::Lost) = self.turn(open, &mut sessions).await {
                link = None;
            }
        }
        self.heard
    }

    async fn turn(&mut self, link: &Link, sessions: &mut Vec<String>) -> Result<(), Failure> {
        if sessions.is_empty() || self.chance.one_in(6) {
            let rows = link.rows("select id::text from event.session where durable order by id", &[]).await?;
            *sessions = rows.iter().map(|row| row.get::<_, String>(0)).collect();
            let (own, readers) = self.share;
            sessions.retain(|session| reader_of(session, readers) == own && !self.listening.contains(session));
        }
        if sessions.is_empty() {
            return Ok(());
        }
        let session = self.chance.pick(sessions).clone();
        let heard = self.heard.entry(session.clone()).or_default();
        let page = *self.chance.pick(&[1, 2, 5, 20, 100, 1000]);
        // a client that forgot where it was gets what it has not acknowledged
        let again = self.chance.one_in(8);
        heard.read(link, &session, false, page, again).await?;
        if self.chance.one_in(3) {
            let at = self.chance.below(8);
            heard.acknowledge(link, &session, at).await?;
        }
        Ok(())
    }
}
