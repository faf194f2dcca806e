//! The oracle: *each session's inbox equals the ordered diff of the committed transactions that match its subscriptions.*
//!
//! One seed makes tables, writers, sessions and subscriptions. While the writers write, clients read. Then everything is
//! compared with what PostgreSQL itself noted down: a trigger on each table writes the rows before and after, as
//! `to_jsonb` has them, into a table of the test's in the same transaction, so that what is rolled back is not there; the
//! generator notes each call of its own beside them; and a second slot gives the order of the commits. Nothing of this
//! goes through Tidewire.
//!
//! ```text
//! generated     schema, value       tables, triggers, values
//!               statement, control  what a transaction does
//!               writer, pace        transactions at random, on several connections
//! committed     audit               what was committed, in its order
//!               model               what each session must be told of it
//! received      link, inbox, reader clients that read, acknowledge, forget, are cut off
//!               listener            one that listens
//! compared      compare, fold       lost, repeated, out of order, different
//!               check               all of it together
//! ```
//!
//! For a test of one's own, with any fault between or during the writing:
//!
//! ```text
//! let database = Database::start().await;
//! let tidewire = database.up().await;                    // or database.install().await, and up() before check()
//! let mut oracle = Oracle::start(&database, seed()).await;
//! oracle.run(100).await;                                 // so many transactions; clients read meanwhile
//! let load = oracle.begin();                             // or: written until it is ended
//! load.write(50).await;                                  // so many more are done
//! tidewire.kill().await;
//! let tidewire = database.up().await;
//! oracle.end(load).await;
//! oracle.check().await;                                  // panics with what differs; may be called again and again
//! ```
//!
//! Writers and readers survive anything that happens to the server; only at the check server and program must be up. With
//! `TIDEWIRE_SEED=n` a test runs again with the seed that it told.

mod audit;
mod chance;
mod check;
mod compare;
mod control;
mod fold;
mod inbox;
mod link;
mod listener;
mod live;
mod load;
mod model;
mod pace;
mod reader;
mod schema;
mod seeds;
mod statement;
mod value;
mod writer;

use std::sync::Arc;

pub use chance::Chance;
pub use compare::Report;
pub use load::Load;

use crate::support::{Client, Database};
use audit::Audit;
use fold::Folded;
use inbox::AllHeard;
use listener::Listener;
use live::Live;
use load::Parties;
use model::Model;
use pace::Pace;
use schema::Table;

/// The variable that holds the seed of a run to be repeated.
pub const SEED: &str = "TIDEWIRE_SEED";

const TABLES: usize = 5;

/// The seed that was asked for, or a new one. It is told: a test that fails shows it.
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is a number, not \"{seed}\"")),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0 >> 32,
    };
    eprintln!("{SEED}={seed}");
    seed
}

/// Writers, readers, and what must come of them.
pub struct Oracle {
    seed: u64,
    chance: Chance,
    parties: Parties,
    model: Model,
    audit: Audit,
    heard: AllHeard,
    /// None while something is being written.
    listener: Option<Listener>,
    /// A session that keeps nothing, where no fault may cut it off.
    live: Option<Live>,
    /// The session that is told of all that some tables ever hold.
    whole: String,
    folded: Folded,
}

impl Oracle {
    /// Makes tables and sessions in a database in which Tidewire is installed.
    pub async fn start(database: &Database, seed: u64) -> Oracle {
        let mut chance = Chance::new(seed);
        let client = database.connect().await;
        client.sql("set client_min_messages = warning; create schema oracle").await;
        client.sql("create schema \"Odd \"\"schema\"\"\"").await;
        client.sql(value::TYPES).await;
        client.sql(schema::AUDIT).await;
        client.sql(control::EFFECT).await;
        let mut tables: Vec<Table> = (0..TABLES).map(|number| Table::generate(&mut chance, number)).collect();
        for table in &mut tables {
            client.sql(&table.create(&mut chance)).await;
            client.sql(&control::key_function(table)).await;
            if table.is_watched {
                client.sql(&format!("select event.watch({})", value::quoted(&table.sql()))).await;
            }
            for relation in std::iter::once(&table.name).chain(&table.leaves) {
                let shown =
                    format!("select format('%I.%I', {}, {})", value::quoted(&table.schema), value::quoted(relation));
                table.shown.push(client.text(&shown).await);
            }
        }
        client.sql(&format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", audit::SLOT)).await;

        let whole = make_session(&client, inbox::reads).await;
        for table in tables.iter().filter(|table| table.is_watched) {
            client.sql(&control::subscribe_to(&mut chance, &whole, table, "table", 0)).await;
        }
        let mut lasting = Vec::new();
        for at in 0..4 {
            let session = make_session(&client, |_| true).await;
            // all that is of one table: the widest counts
            for kind in ["field", "row", "column", "table"].iter().take(4 - at) {
                let column = chance.below(tables[0].columns.len());
                client.sql(&control::subscribe_to(&mut chance, &session, &tables[0], kind, column)).await;
            }
            for _ in 0..3 {
                let table = chance.pick(&tables);
                client.sql(&control::subscribe(&mut chance, &session, table)).await;
            }
            lasting.push(session);
        }
        let listening = Arc::new(lasting[..2].to_vec());
        let tables = Arc::new(tables);
        let url = database.url();
        let parties = Parties {
            url: url.clone(),
            tables: Arc::clone(&tables),
            sessions: writer::Sessions::default(),
            lasting: Arc::new(lasting),
            listening: Arc::clone(&listening),
        };
        let pace = Arc::new(Pace::of(0));
        Oracle {
            seed,
            chance,
            parties,
            model: Model::new(tables),
            audit: Audit::default(),
            heard: AllHeard::new(),
            listener: Some(Listener {
                url,
                pace,
                sessions: listening,
                link: None,
                received: vec![Vec::new()],
                attached: 0,
            }),
            live: None,
            whole,
            folded: Folded::default(),
        }
    }

    /// Adds a session that keeps no inbox: only for a test in which nothing is cut off, and which has not written yet.
    pub async fn with_live(mut self) -> Oracle {
        let live = Live::open(&self.parties.url).await;
        let client = Client::connect(&self.parties.url).await;
        for _ in 0..6 {
            let table = self.chance.pick(&self.parties.tables);
            client.sql(&control::subscribe(&mut self.chance, &live.session, table)).await;
        }
        Arc::make_mut(&mut self.parties.lasting).push(live.session.clone());
        self.live = Some(live);
        self
    }

    /// Writes so many transactions, while clients read.
    pub async fn run(&mut self, transactions: usize) {
        let load = self.load(Pace::of(transactions));
        self.finish(load).await;
    }

    /// Begins to write, until [`Oracle::end`].
    pub fn begin(&mut self) -> Load {
        self.load(Pace::until_ended())
    }

    /// Ends what was begun: writers end their transactions.
    pub async fn end(&mut self, load: Load) {
        load.pace.end();
        self.finish(load).await;
    }

    /// Compares what was received with what was committed; panics if they differ.
    pub async fn check(&mut self) -> Report {
        let report = self.compare().await;
        assert!(report.is_clean(), "{SEED}={}: {report}", self.seed);
        report
    }

    fn load(&mut self, pace: Pace) -> Load {
        let listener = self.listener.take().expect("one load at a time");
        Load::start(&self.parties, &mut self.chance, pace, std::mem::take(&mut self.heard), listener)
    }

    async fn finish(&mut self, load: Load) {
        let (heard, listener) = load.finish().await;
        self.heard = heard;
        self.listener = Some(listener);
    }
}

/// A new durable session of the kind that is wanted, which is noted down.
async fn make_session(client: &Client, is_wanted: impl Fn(&str) -> bool) -> String {
    loop {
        let session = client.text("select event.session_create()").await;
        client.sql(&format!("select event.session_detach('{session}')")).await;
        if is_wanted(&session) {
            client.sql(&control::create(&session)).await;
            return session;
        }
        client.sql(&format!("select event.session_delete('{session}')")).await;
    }
}
