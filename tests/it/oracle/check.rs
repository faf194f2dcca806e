//! The check: nobody writes, everything is delivered, and what was told is what was committed.

use std::collections::{BTreeMap, HashMap};

use super::audit::Transaction;
use super::compare::{self, Ids, Report};
use super::fold;
use super::inbox::Heard;
use super::link::{Failure, Link};
use super::schema::Table;
use super::{Oracle, value};
use crate::support::Client;

/// How long deliveries may take: a program that lost its database several times in a row waits up to 2 s before it tries again.
const SYNC: &str = "select event.sync('60 s')";

impl Oracle {
    /// Compares, and counts what is wrong. Tidewire and the server must be running, and nobody else may write.
    pub async fn compare(&mut self) -> Report {
        let client = Client::connect(&self.parties.url).await;
        client.sql(SYNC).await;
        let mut report = Report::default();
        let mut told = self.listener.as_mut().expect("nothing is being written").hear().await;
        told.wrong.drain(..).for_each(|wrong| report.differs(wrong));

        let transactions = self.audit.read(&client).await;
        report.transactions = transactions.len();
        transactions.iter().for_each(|transaction| self.model.apply(transaction));
        report.kinds = self.kinds(&client, &transactions).await;

        let link = Link::open(&self.parties.url).await.expect("the server runs");
        self.read_all(&link).await;
        if let Some(live) = &mut self.live {
            self.heard.entry(live.session.clone()).or_default().events = live.hear().await;
        }
        let folding: Vec<Option<&str>> =
            self.parties.tables.iter().filter(|table| folds(table)).map(|table| Some(table.shown(None))).collect();
        let mut ids = Ids::default();
        let mut listened = HashMap::new();
        for (name, session) in &mut self.model.sessions {
            let expected = std::mem::take(&mut session.expected);
            let heard = self.heard.entry(name.clone()).or_default();
            heard.wrong.drain(..).for_each(|wrong| report.differs(format!("session {name}: {wrong}")));
            let received = heard.take();
            compare::session(name, &expected, &received, session.deleted, &self.model.tables, &mut ids, &mut report);
            if *name == self.whole {
                for event in received.iter().filter(|event| folding.contains(&event.relation())) {
                    if let Err(why) = self.folded.apply(event) {
                        report.differs(format!("an event does not fit what came before it: {why}\n    {event:?}"));
                    }
                }
            }
            if self.parties.listening.contains(name) {
                listened.insert(name.clone(), received);
            }
        }
        told.compare(&listened, &mut report);
        ids.check(&mut report);
        self.forget_deleted();
        self.tables(&client, &mut report).await;
        let left = client.text("select count(*) from event.event").await;
        if left != "0" {
            report.differs(format!("{left} events are there after all were acknowledged"));
        }
        report
    }

    /// What was committed since the last check, by kind.
    async fn kinds(&self, client: &Client, transactions: &[Transaction]) -> BTreeMap<String, usize> {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        let rows = client.query("with gone as (delete from oracle.said returning kind) select kind from gone", &[]);
        rows.await.unwrap().iter().for_each(|row| *kinds.entry(row.get(0)).or_default() += 1);
        for note in transactions.iter().flat_map(|transaction| &transaction.notes) {
            *kinds.entry(note.op.clone()).or_default() += 1;
            let table = &self.model.tables[note.relation];
            if table.key.iter().any(|&at| note.changed.contains(&table.columns[at].name)) {
                *kinds.entry("key changed".to_owned()).or_default() += 1;
            }
        }
        kinds
    }

    /// Reads every inbox to its end and acknowledges all of it.
    async fn read_all(&mut self, link: &Link) {
        let rows = link.rows("select id::text from event.session where durable order by id", &[]).await.unwrap();
        for row in rows {
            let session: String = row.get(0);
            let by_view = self.parties.listening.contains(&session);
            let heard = self.heard.entry(session.clone()).or_default();
            match drain(heard, link, &session, by_view).await {
                Ok(()) => {}
                Err(why) => heard.wrong.push(format!("it cannot be read: {why:?}")),
            }
        }
    }

    fn forget_deleted(&mut self) {
        let deleted: Vec<String> =
            self.model.sessions.iter().filter(|(_, session)| session.deleted).map(|(name, _)| name.clone()).collect();
        for name in deleted {
            self.model.sessions.remove(&name);
            self.heard.remove(&name);
        }
    }

    /// The tables as the notes have them, as the events have them, and as they are.
    async fn tables(&self, client: &Client, report: &mut Report) {
        for table in self.model.tables.iter() {
            let query = format!(
                "select c.relname::text, to_jsonb(t)::text, count(*) from {} t join pg_class c on c.oid = t.tableoid group by 1, 2",
                table.sql()
            );
            client.sql("set search_path = pg_catalog; set timezone = 'UTC'").await;
            let rows = client.query(&query, &[]).await.unwrap();
            let are: BTreeMap<(usize, String, String), usize> = rows
                .iter()
                .map(|row| ((table.number, row.get(0), row.get(1)), usize::try_from(row.get::<_, i64>(2)).unwrap()))
                .collect();
            let noted: BTreeMap<(usize, String, String), usize> = self
                .model
                .rows
                .iter()
                .filter(|(place, _)| place.0 == table.number)
                .map(|(place, count)| (place.clone(), *count))
                .collect();
            assert_eq!(are, noted, "the notes of {} are the table", table.sql());
            if folds(table) {
                let told = self.folded.rows(table.shown(None));
                let wanted = fold::rows(are.iter().map(|(place, count)| (place.2.as_str(), *count)));
                if told != wanted {
                    report.differs(format!(
                        "the events of {} do not lead to its rows\n    events {told:?}\n    rows {wanted:?}",
                        value::name(&table.name)
                    ));
                }
            }
        }
    }
}

/// Whether the events of a table can be folded: all are told, and none says less than what happened (which rows were in a
/// truncated partition is not told).
fn folds(table: &Table) -> bool {
    table.is_watched && table.leaves.is_empty()
}

async fn drain(heard: &mut Heard, link: &Link, session: &str, by_view: bool) -> Result<(), Failure> {
    // a client that comes back gets all that it has not acknowledged, as it was
    heard.read(link, session, by_view, 10_000, true).await?;
    while heard.read(link, session, by_view, 10_000, false).await? {}
    heard.acknowledge(link, session, 0).await
}
