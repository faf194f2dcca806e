//! A table that is written all the while, a durable session on it, and whether that was told exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::fault::until;
use super::{Client, Database, Event, Subscriber, Table, assert_in_order};

/// The table, and a session that is told of it.
pub struct Ledger {
    url: String,
    pub session: String,
}

impl Ledger {
    /// Makes the table.
    pub async fn create(client: &Client) {
        client.sql("create table ledger (id bigint primary key, writer int not null, v text not null)").await;
    }

    /// Makes the table, which is empty, and the session. Tidewire must be serving the database.
    pub async fn open(database: &Database) -> Ledger {
        Ledger::create(&database.connect().await).await;
        Ledger::subscribe(database).await
    }

    /// Makes the session. From here on the table is written, and not before.
    pub async fn subscribe(database: &Database) -> Ledger {
        let subscriber = Subscriber::open(database).await;
        subscriber.table("ledger").await;
        Ledger { url: database.url(), session: subscriber.session.clone() }
    }

    /// Returns when that many more events are in the inbox. The server may go down meanwhile.
    pub async fn more(&self, events: usize) {
        let client = Client::connect(&self.url).await;
        let newest = format!("select coalesce(max(id), '') from event.inbox where session_id = '{}'", self.session);
        let newest = client.text(&newest).await;
        // stops counting where it is enough: it is asked often
        let more = format!(
            "select count(*) >= {events} from (select from event.inbox where session_id = '{}' and id > '{newest}' limit {events}) i",
            self.session
        );
        until(&format!("{events} more events"), || async { client.text(&more).await == "t" }).await;
    }

    /// The events, as they are now.
    pub async fn events(&self, client: &Client) -> Vec<Event> {
        let query = format!("select event from event.event where session_id = '{}' order by id", self.session);
        client.rows(&query).await.into_iter().map(|row| Event::from(row[0].as_deref().unwrap())).collect()
    }

    /// Once all that is committed is delivered: the inbox holds each change of the table exactly once, in order, and
    /// nothing else. Returns the events.
    pub async fn assert_told_exactly_once(&self) -> Vec<Event> {
        let client = Client::connect(&self.url).await;
        client.sql("select event.sync('60 s')").await;
        let events = self.events(&client).await;
        let last = format!("select id from event.inbox where session_id = '{}' and last order by id", self.session);
        let last: Vec<String> = client.rows(&last).await.into_iter().flatten().flatten().collect();
        assert_in_order(&events, &last);
        let mut told = Table::default();
        // An event that was repeated, or that another one before it is missing for, does not fit.
        events.iter().for_each(|event| told.apply(event));
        let now = Table::read(&client, "ledger", "array[id]::text[]").await;
        assert!(told == now, "told of {} rows, there are {}", told.rows.len(), now.rows.len());
        events
    }
}

/// Connections that write into the ledger until they are stopped, and connect again when they are cut off.
pub struct Writers {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

/// One writer's transactions: inserts, updates, deletes, a changed key, a savepoint, now and then many rows. Each writer
/// has its own rows, so that none waits for another. `n` never comes twice.
fn transaction(writer: usize, n: usize) -> String {
    let id = |back: usize| (writer + 1) * 1_000_000_000 + n.saturating_sub(back) * 1000;
    let insert = |first: usize, rows: usize| {
        let last = first + rows - 1;
        format!(
            "insert into ledger select g, {writer}, repeat('x', (g % 97)::int) || {n} from generate_series({first}::bigint, {last}) g;"
        )
    };
    let rows = if n.is_multiple_of(40) { 200 } else { n % 4 + 1 };
    let rest = match n % 6 {
        0 => format!("update ledger set v = v || '!' where id = {};", id(1)),
        1 => format!("delete from ledger where id = {};", id(3)),
        2 => format!("update ledger set id = id + 500 where id = {};", id(2)),
        3 => format!("savepoint a; {} rollback to a; {}", insert(id(0) + 600, 3), insert(id(0) + 700, 1)),
        4 => format!("update ledger set v = v || '?' where id between {} and {};", id(1), id(1) + 10),
        _ => String::new(),
    };
    let end = if n % 9 == 4 { "rollback" } else { "commit" };
    format!("begin; {} {rest} {end}", insert(id(0), rows))
}

impl Writers {
    pub fn start(url: &str, count: usize) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicUsize::new(0));
        let tasks = (0..count).map(|writer| {
            let (url, stop, committed) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&committed));
            tokio::spawn(async move { write(&url, writer, &stop, &committed).await })
        });
        let tasks = tasks.collect();
        Writers { stop, committed, tasks }
    }

    /// How many transactions have been written, rolled back ones included.
    pub fn written(&self) -> usize {
        self.committed.load(Ordering::Relaxed)
    }

    /// Returns when that many more have been written.
    pub async fn more(&self, transactions: usize) {
        let goal = self.written() + transactions;
        until(&format!("{transactions} more transactions"), || async { self.written() >= goal }).await;
    }

    /// Stops them; returns the errors that they met.
    pub async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = Vec::new();
        for task in self.tasks {
            errors.extend(task.await.unwrap());
        }
        errors
    }
}

async fn write(url: &str, writer: usize, stop: &AtomicBool, committed: &AtomicUsize) -> Vec<String> {
    let mut errors = Vec::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, connection)) = tokio_postgres::connect(url, tokio_postgres::NoTls).await else {
            // the server is down
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            continue;
        };
        let connection = tokio::spawn(connection);
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            // a hundred transactions a second of each are enough, and leave the other tests a processor
            let text = format!("select pg_sleep(0.008); {}", transaction(writer, n));
            if let Err(error) = client.batch_execute(&text).await {
                errors.push(error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string));
                let _ = client.batch_execute("rollback").await;
                break;
            }
            committed.fetch_add(1, Ordering::Relaxed);
        }
        drop(client);
        let _ = connection.await;
    }
    errors
}
