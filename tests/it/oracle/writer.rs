//! A writer: one connection, transactions at random, one after the other. Errors of many kinds are part of it.

use std::sync::{Arc, Mutex};

use super::chance::Chance;
use super::link::{Failure, Link};
use super::pace::Pace;
use super::schema::Table;
use super::{control, statement};

/// The sessions that may be changed by anybody: shared by the writers.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<Vec<String>>>);

/// Not more than so many sessions come of themselves.
const MOST_SESSIONS: usize = 6;

impl Sessions {
    pub fn add(&self, session: String) {
        self.0.lock().unwrap().push(session);
    }

    fn remove(&self, session: &str) {
        self.0.lock().unwrap().retain(|one| one != session);
    }

    fn pick(&self, chance: &mut Chance) -> Option<String> {
        let sessions = self.0.lock().unwrap();
        (!sessions.is_empty()).then(|| chance.pick(&sessions).clone())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Settings that must not matter to what is told.
const SETTINGS: [&str; 3] = [
    "set datestyle = 'German'; set timezone = 'Asia/Kolkata'; set intervalstyle = iso_8601; set bytea_output = escape",
    "set extra_float_digits = -3; set timezone = 'America/St_Johns'; set search_path = pg_catalog",
    "set datestyle = 'SQL, DMY'; set intervalstyle = sql_standard",
];

pub struct Writer {
    pub url: String,
    pub chance: Chance,
    pub tables: Arc<Vec<Table>>,
    /// Which of them may be deleted, and to all of them subscriptions come and go.
    pub sessions: Sessions,
    /// Sessions that stay.
    pub lasting: Arc<Vec<String>>,
    pub pace: Arc<Pace>,
    /// What comes seldom, and is to come in every run: before anything else.
    pub first: Vec<Statement>,
}

/// Makes a statement.
pub type Statement = fn(&mut Chance, &[Table]) -> String;

/// What comes seldom.
pub const SELDOM: [Statement; 6] = [
    statement::truncate,
    statement::sub_transactions,
    |chance, tables| statement::many(chance, tables).join("; "),
    // two texts may be one value
    statement::moved_key,
    statement::moved_key,
    statement::moved_key,
];

/// What a transaction made of the sessions, if it was committed.
#[derive(Default)]
struct Made {
    created: Vec<String>,
    deleted: Vec<String>,
}

impl Writer {
    /// Writes as long as there is something to be written.
    pub async fn run(mut self) {
        let mut link = None;
        while self.pace.take().await {
            if link.is_none() {
                let pace = Arc::clone(&self.pace);
                let Some(opened) = Link::open_while(&self.url, || !pace.is_over()).await else { return };
                let settings = self.chance.pick(&SETTINGS);
                let own = format!(
                    "{settings}; set client_min_messages = error; set lock_timeout = '2s'; set deadlock_timeout = '50ms'"
                );
                link = opened.run(&own).await.is_ok().then_some(opened);
            }
            if let Some(open) = &link {
                match self.transaction(open).await {
                    Ok(()) => {}
                    Err(Failure::Refused) => {
                        if open.run("rollback").await.is_err() {
                            link = None;
                        }
                    }
                    Err(Failure::Lost) => link = None,
                }
            }
            self.pace.finish();
        }
    }

    async fn transaction(&mut self, link: &Link) -> Result<(), Failure> {
        if let Some(make) = self.first.last() {
            link.run(&make(&mut self.chance, &self.tables)).await?;
            self.first.pop();
            return Ok(());
        }
        if self.chance.one_in(5) {
            return link.run(&statement::change(&mut self.chance, &self.tables)).await;
        }
        let isolation =
            self.chance.pick(&["", "", "", "", " isolation level repeatable read", " isolation level serializable"]);
        link.run(&format!("begin{isolation}")).await?;
        let mut made = Made::default();
        for _ in 0..self.chance.between(1, 5) {
            match self.chance.below(12) {
                0..8 => self.step(link).await?,
                8 => self.savepoint(link).await?,
                _ => self.control(link, &mut made).await?,
            }
        }
        let many = self.chance.one_in(60).then(|| statement::many(&mut self.chance, &self.tables));
        if let Some([insert, _]) = &many {
            link.run(insert).await?;
        }
        if self.chance.one_in(9) {
            return link.run("rollback").await;
        }
        link.run("commit").await?;
        made.created.into_iter().for_each(|session| self.sessions.add(session));
        made.deleted.iter().for_each(|session| self.sessions.remove(session));
        match many {
            Some([_, delete]) => link.run(&delete).await,
            None => Ok(()),
        }
    }

    /// One statement; what is refused undoes it alone, or the whole transaction.
    async fn step(&mut self, link: &Link) -> Result<(), Failure> {
        let sql = statement::change(&mut self.chance, &self.tables);
        if self.chance.one_in(3) { link.run(&sql).await } else { guarded(link, &[sql]).await.map(drop) }
    }

    /// Work that is undone, or not, under a savepoint of its own.
    async fn savepoint(&mut self, link: &Link) -> Result<(), Failure> {
        link.run("savepoint s").await?;
        for _ in 0..self.chance.between(1, 3) {
            self.step(link).await?;
        }
        if self.chance.one_in(2) {
            link.run(&format!("rollback to s{}", statement::said("savepoint undone"))).await
        } else {
            link.run("release s").await
        }
    }

    async fn control(&mut self, link: &Link, made: &mut Made) -> Result<(), Failure> {
        if self.chance.one_in(6) && self.sessions.len() + made.created.len() < MOST_SESSIONS {
            let rows = link.rows("select event.session_create()::text", &[]).await?;
            let session: String = rows[0].get(0);
            // this connection writes: it wants to be told of nothing
            link.run(&format!("{}; select event.session_detach('{session}')", control::create(&session))).await?;
            let table = self.chance.pick(&self.tables);
            let subscribe = control::subscribe(&mut self.chance, &session, table);
            guarded(link, &[subscribe]).await?;
            made.created.push(session);
            return Ok(());
        }
        let lasting = self.chance.one_in(3);
        let session = if lasting { None } else { self.sessions.pick(&mut self.chance) };
        let is_lasting = session.is_none();
        let Some(session) =
            session.or_else(|| (!self.lasting.is_empty()).then(|| self.chance.pick(&self.lasting).clone()))
        else {
            return Ok(());
        };
        let sql = match self.chance.below(14) {
            0 if !is_lasting => {
                if guarded(link, &[control::alone(&session), control::delete(&session)]).await? {
                    made.deleted.push(session);
                }
                return Ok(());
            }
            0..7 => control::unsubscribe(&mut self.chance, &session),
            _ => {
                let table = self.chance.pick(&self.tables);
                control::subscribe(&mut self.chance, &session, table)
            }
        };
        guarded(link, &[control::alone(&session), sql]).await.map(drop)
    }
}

/// Runs statements under a savepoint; false when they were refused and undone.
async fn guarded(link: &Link, statements: &[String]) -> Result<bool, Failure> {
    link.run("savepoint g").await?;
    for sql in statements {
        match link.run(sql).await {
            Ok(()) => {}
            Err(Failure::Refused) => {
                link.run("rollback to g").await?;
                return Ok(false);
            }
            Err(lost) => return Err(lost),
        }
    }
    Ok(true)
}
