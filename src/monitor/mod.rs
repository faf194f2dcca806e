//! Looks at the slot, the log and the inboxes from time to time, over a connection of its own: whether delivery moves, and
//! whether the slot will be lost. It delivers nothing and mends nothing; it writes nothing to the database.

mod history;

use std::time::{Duration, Instant};

use tokio::time::{interval, sleep, timeout};

use crate::crash;
use crate::db::ownership::{self, Use};
use crate::db::status::{self, Stock};
use crate::db::{Client, Target, install};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::health::{self, Phase};
use crate::observe::{Observation, observe};

use history::History;

/// The longest time between two looks: often enough for a figure that is scraped every 15 seconds, and too rarely to be seen
/// in the server's load.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sessions and inboxes are counted at one look in so many, since that may take some ten milliseconds; and only if the log moved.
const TAKE_STOCK_EVERY: u32 = 6;

/// A question that has no answer by then is asked again, over a new connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often the program's own state is looked at.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
pub async fn watch(target: Target, stall_after: Duration) {
    health::stall_after(stall_after);
    let look_every = (stall_after / 2).min(LOOK_EVERY);
    tokio::join!(look(&target, look_every), feel(look_every.min(BEAT_EVERY)));
}

/// Tells when delivery comes to a halt and when it goes on; also while the database does not answer.
async fn feel(every: Duration) {
    let mut beats = interval(every);
    let mut is_stalled = false;
    loop {
        beats.tick().await;
        health::beat();
        match health::unready() {
            Some(why) if why.is_stall() && !is_stalled => {
                observe(&Observation::Stalled { why: &why.to_string() });
                is_stalled = true;
            }
            None if is_stalled => {
                observe(&Observation::Recovered);
                is_stalled = false;
            }
            // what has failed has been told
            Some(why) if !why.is_stall() => is_stalled = false,
            _ => {}
        }
    }
}

async fn look(target: &Target, every: Duration) {
    let mut connection: Option<Connection> = None;
    let mut history = History::default();
    let mut has_failed = false;
    loop {
        crash::point("monitor");
        observe(&Observation::Asked);
        match timeout(ANSWER_WITHIN, ask(target, &mut connection, &mut history, every))
            .await
            .unwrap_or_else(|_| Err(late()))
        {
            Ok(()) => has_failed = false,
            Err(failed) => {
                connection = None;
                // the same is not said over and over, nor what the engine says itself
                if !has_failed && health::phase() == Phase::Delivering {
                    observe(&Observation::MonitorFailed { error: &failed });
                }
                has_failed = true;
            }
        }
        tokio::select! {
            () = sleep(every) => {}
            () = health::wants_a_look() => {}
        }
    }
}

fn late() -> Error {
    Error::new(ErrorKind::Connection, format!("no answer for {} s", ANSWER_WITHIN.as_secs()))
}

/// A connection, and what was last learnt over it.
struct Connection {
    client: Client,
    slot: String,
    stock: Option<(Instant, u64, Stock)>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self> {
        let client = target.connect_pinned().await?.client;
        // nothing here is worth waiting for
        client
            .batch_execute(
                "set lock_timeout = '1s'; set statement_timeout = '10s'; set default_transaction_read_only = on; set jit = off",
            )
            .await
            .map_err(crate::db::error)?;
        let slot = install::slot_name(&client).await?;
        Ok(Connection { client, slot, stock: None })
    }
}

async fn ask(
    target: &Target,
    connection: &mut Option<Connection>,
    history: &mut History,
    every: Duration,
) -> Result<()> {
    if connection.as_ref().is_none_or(|connection| connection.client.is_closed()) {
        *connection = Some(Connection::open(target).await?);
    }
    let Some(Connection { client, slot, stock }) = connection else { return Ok(()) };
    let sample = status::sample(client, slot).await?;
    let older =
        stock.as_ref().and_then(|(at, _, stock)| Some(Duration::try_from_secs_f64(stock.lag?).ok()? + at.elapsed()));
    let outlook = history.add(&sample, health::work(), older);
    observe(&Observation::Sampled { sample: &sample, outlook: &outlook });
    // a standby leaves that to the program that serves
    if !matches!(health::phase(), Phase::StandingBy | Phase::Stopping) {
        history.warn(slot, &sample, &outlook);
    }
    let is_due = stock
        .as_ref()
        .is_none_or(|(at, written, _)| at.elapsed() >= every * TAKE_STOCK_EVERY && *written != sample.written);
    if !is_due {
        return Ok(());
    }
    // each time: a database in which nothing was installed may have schemas of these names by now
    let seal = ownership::look(client, target.trust(), Use::Serve).await?;
    if let Some(taken) = status::stock(client, seal).await? {
        observe(&Observation::StockTaken { stock: &taken });
        *stock = Some((Instant::now(), sample.written, taken));
    }
    Ok(())
}
