//! A client that only listens, and what it was told.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio_postgres::Notification;

use super::compare::{NOTIFY_LIMIT, Report};
use super::inbox::{Form, Received};
use super::link::{Failure, Link};
use super::pace::Pace;
use crate::support::PATIENCE;
use crate::support::fault::until_within;

/// What a connection that attached may have missed is sent again whole, of so many events at most (`event._send_again`); who has
/// more waiting is told of a gap.
const SENT_AGAIN: usize = 2000;

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

/// What came with NOTIFY.
#[derive(Default)]
pub struct Told {
    /// The text by session and event.
    events: HashMap<(String, String), String>,
    /// From where to where a session is to look into its inbox, because it was not notified.
    skipped: HashMap<String, Vec<(String, String)>>,
    /// What must not be, in words.
    pub wrong: Vec<String>,
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

    /// All that was told, once everything committed is delivered.
    pub async fn hear(&mut self) -> Told {
        loop {
            if let Some(link) = &mut self.link {
                let is_synced = synced(link).await.is_ok();
                let arrived = link.drain();
                self.received.last_mut().unwrap().extend(arrived);
                if is_synced {
                    break;
                }
            }
            self.attach(|| true).await;
        }
        let mut told = Told::default();
        for session in &*self.sessions {
            // An attach sends again what may have been sent already, itself and then by the engine: twice it goes back, and the
            // second time may be when the next connection is attached.
            let mut back = 0;
            for connection in &self.received {
                let mut ids: Vec<String> = Vec::new();
                for notification in connection.iter().filter(|one| one.channel() == session) {
                    ids.extend(told.add(session, notification.payload()));
                }
                back += ids.windows(2).filter(|pair| pair[1] <= pair[0]).count();
            }
            if back > 2 * self.attached {
                told.wrong.push(format!(
                    "{session} was notified out of order {back} times, and attached to {}",
                    self.attached
                ));
            }
        }
        self.received = vec![Vec::new()];
        self.attached = 0;
        told
    }
}

/// All is delivered, and who was not notified of it has been told so.
async fn synced(link: &Link) -> Result<(), Failure> {
    link.run("select event.sync('60 s')").await?;
    let is_told = async || link.rows("select from event.unnotified", &[]).await.map_or(true, |left| left.is_empty());
    until_within("who was not notified is told so", PATIENCE, is_told).await;
    // A commit can be seen a moment before it wakes those who listen. One of our own stands behind it in the queue, and its answer
    // brings along all that stands before it.
    link.run("notify oracle").await
}

impl Told {
    /// Adds a notification; returns the id of its event.
    fn add(&mut self, session: &str, text: &str) -> Option<String> {
        let json: Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| json[name].as_str().map(str::to_owned);
        if json["operation"] == "gap" {
            match (json["reason"].as_str(), field("from"), field("to")) {
                (Some("notifications_skipped"), Some(from), Some(to)) => {
                    self.skipped.entry(session.to_owned()).or_default().push((from, to));
                }
                _ => self.wrong.push(format!("{session} was told of a gap: {text}")),
            }
            return None;
        }
        let id = field("event_id")?;
        let before = self.events.insert((session.to_owned(), id.clone()), text.to_owned());
        if before.is_some_and(|before| before != text) {
            self.wrong.push(format!("event {id} was sent in two ways to {session}"));
        }
        Some(id)
    }

    /// The notifications of sessions that nobody acknowledges: each of their events, as it stands in their inboxes, or that they are to
    /// look there, if there was too much to send it again.
    pub fn compare(&self, sessions: &HashMap<String, Vec<Received>>, report: &mut Report) {
        let waiting: usize = sessions.values().map(Vec::len).sum();
        if !self.skipped.is_empty() && waiting <= SENT_AGAIN {
            report.differs(format!("{waiting} events were not sent again: {:?}", self.skipped));
        }
        for (name, received) in sessions {
            let spans = self.skipped.get(name).map(Vec::as_slice).unwrap_or_default();
            for event in received {
                let Form::Sent { text, .. } = &event.form else { continue };
                match self.events.get(&(name.clone(), event.id.clone())) {
                    None if spans.iter().any(|(from, to)| *from <= event.id && event.id <= *to) => {}
                    None => {
                        report.lost += 1;
                        report.seen.push(format!("session {name} was not notified of {}", event.id));
                    }
                    Some(told) if told == text => {}
                    Some(told) if text.len() >= NOTIFY_LIMIT && told.contains("\"truncated\" : true") => {}
                    Some(told) => report
                        .differs(format!("session {name}: notified otherwise than it stands\n    {told}\n    {text}")),
                }
            }
            let of_session = self.events.keys().filter(|(session, _)| session == name).count();
            if of_session > received.len() {
                report.differs(format!(
                    "session {name} was notified of {of_session} events and holds {}",
                    received.len()
                ));
            }
        }
    }
}
