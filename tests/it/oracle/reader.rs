//! Clients at work while others write: they read at a pace of their own, in pages of any size, acknowledge some of it,
//! forget where they were, and connect again when they were cut off.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Notification;

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

/// A connection that is attached to sessions which nobody acknowledges.
pub struct Listener {
    pub url: String,
    pub pace: Arc<Pace>,
    pub sessions: Arc<Vec<String>>,
    pub link: Option<Link>,
    /// One list a connection.
    pub received: Vec<Vec<Notification>>,
    /// How often it has attached to each session, or tried to, since it last told what it heard.
    pub attached: usize,
}

impl Listener {
    /// Listens until no more is written, and connects again when it was cut off.
    pub async fn run(mut self) -> Listener {
        while !self.pace.is_over() {
            self.look().await;
            self.pace.watch(4).await;
        }
        self
    }

    async fn look(&mut self) {
        if let Some(link) = &mut self.link {
            let is_there = link.run("select 1").await.is_ok();
            let arrived = link.drain();
            self.received.last_mut().unwrap().extend(arrived);
            if is_there {
                return;
            }
            self.link = None;
        }
        let pace = Arc::clone(&self.pace);
        self.attach(|| !pace.is_over()).await;
    }

    async fn attach(&mut self, wanted: impl Fn() -> bool) {
        let Some(link) = Link::open_while(&self.url, wanted).await else { return };
        self.attached += 1;
        for session in &*self.sessions {
            if link.run(&format!("select event.session_attach('{session}')")).await.is_err() {
                return;
            }
        }
        self.link = Some(link);
        self.received.push(Vec::new());
    }

    /// All that was told, by session and event, once everything committed is delivered. What is wrong is said in words.
    pub async fn hear(&mut self) -> (HashMap<(String, String), String>, Vec<String>) {
        loop {
            if let Some(link) = &mut self.link {
                let is_synced = link.run("select event.sync('60 s')").await.is_ok();
                let arrived = link.drain();
                self.received.last_mut().unwrap().extend(arrived);
                if is_synced {
                    break;
                }
            }
            self.attach(|| true).await;
        }
        let mut told = HashMap::new();
        let mut wrong = Vec::new();
        for session in &*self.sessions {
            // An attach sends again what may have been sent already, itself and then by the engine: twice it goes back, and the
            // second time may be when the next connection is attached.
            let mut back = 0;
            for connection in &self.received {
                let mut ids: Vec<String> = Vec::new();
                for notification in connection.iter().filter(|one| one.channel() == session) {
                    let text = notification.payload();
                    let Some(id) = event_id(text) else { continue };
                    if text.starts_with("{\"operation\" : \"gap\"") {
                        wrong.push(format!("{session} was told of a gap: {text}"));
                    }
                    ids.push(id.clone());
                    let before = told.insert((session.clone(), id.clone()), text.to_owned());
                    if before.is_some_and(|before| before != text) {
                        wrong.push(format!("event {id} was sent in two ways to {session}"));
                    }
                }
                back += ids.windows(2).filter(|pair| pair[1] <= pair[0]).count();
            }
            if back > 2 * self.attached {
                wrong.push(format!(
                    "{session} was notified out of order {back} times, and attached to {}",
                    self.attached
                ));
            }
        }
        self.received = vec![Vec::new()];
        self.attached = 0;
        (told, wrong)
    }
}

fn event_id(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(value["event_id"].as_str()?.to_owned())
}
