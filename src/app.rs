//! Builds the parts, owns the tasks and the order in which they stop: first the walk (it hands over what it has read),
//! then the writer (it writes that), then the stream (it acknowledges that).

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::capture::{Capture, Outlets};
use crate::db::slot::{self, SlotState};
use crate::db::{self, Target, install};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{self, segment};
use crate::observe::{Observation, observe};
use crate::position::{Lsn, Progress};
use crate::wal::WalStream;

/// How often a standby looks whether the database is free. It has to take over within five seconds.
const STANDBY_LOOKS_EVERY: Duration = Duration::from_millis(500);

/// The first pause after a failure, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a stop waits for the last batch. It can take for ever: a batch waits until its changes can be read, and a commit may
/// be waiting for a standby that is gone. What is not written then is written at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Upkeep runs at most this often, and only when the database moved on.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Serves a database until it is told to stop. `ready` is called each time that events are delivered from then on.
///
/// # Errors
/// Before it has ever been ready: the first failure, but for a lost connection while another program serves the database.
/// After that everything is tried again, with growing pauses.
pub async fn serve(target: &Target, stop: CancellationToken, mut ready: impl FnMut()) -> Result<()> {
    let mut was_ready = false;
    let mut stood_by = false;
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let mut is_ready = false;
        let started = Instant::now();
        let attempt = serve_once(target, &stop, &mut stood_by, || {
            is_ready = true;
            ready();
        });
        let Err(failed) = Box::pin(attempt).await else { return Ok(()) };
        was_ready |= is_ready;
        // what fails again at once is not what was mended by starting anew
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        // the slot is freed by the server a moment after its last user is gone
        let is_worth_it = was_ready
            || (stood_by && failed.kind().is_transient())
            || (failed.kind() == ErrorKind::Connection && failed.message().contains("is active for PID"));
        if !is_worth_it {
            return Err(failed);
        }
        observe(&Observation::Retrying { error: &failed, after: pause });
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

async fn serve_once(
    target: &Target,
    stop: &CancellationToken,
    stood_by: &mut bool,
    ready: impl FnOnce(),
) -> Result<()> {
    let shown = target.display();
    let mut writer = target.connect_pinned().await?.client;
    if !lock(&writer, stop, &shown, stood_by).await? {
        return Ok(());
    }
    install::install(&mut writer).await?;
    let slot = install::slot_name(&writer).await?;
    let done = prepare_slot(&mut writer, &slot).await?;
    let subscriptions = db::inbox::routes(&writer).await?;
    let descriptions = db::inbox::descriptions(&writer).await?;
    let from = done.id;
    let count = subscriptions.len();

    let stream = WalStream::open(target.stream_options(&slot, install::PUBLICATION, Lsn::default())).await?;

    let (batches, to_write) = mpsc::channel(1);
    let (written, committed) = mpsc::channel(1);
    let (altered, to_check) = mpsc::unbounded_channel();
    let (delivered, moved) = watch::channel(done.id.lsn);
    let outlets = Outlets { batches, committed, altered, delivered };
    let capture = Capture::new(stream, &descriptions, subscriptions, done, &outlets);

    let mut writing = tokio::spawn(inbox::run(writer, to_write, written));
    let keeping = tokio::spawn(keep_up(target.clone(), moved, to_check));
    observe(&Observation::Delivering { database: &shown, from, subscriptions: count });
    ready();

    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    let work = async {
        let walked = Box::pin(capture.run(outlets, stop.clone())).await;
        // the walk dropped its end of the channels: the writer stops after what it has
        (walked, (&mut writing).await)
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = patience => None,
    };
    keeping.abort();
    let Some((walked, wrote)) = ended else {
        observe(&Observation::StoppedShort);
        writing.abort();
        return Ok(());
    };
    match wrote {
        // the writer knows why it stopped; the walk only that it did
        Ok(Err(failed)) => Err(failed),
        Ok(Ok(())) => walked,
        Err(panicked) => Err(Error::new(ErrorKind::Connection, "the inbox's writer broke down").source(panicked)),
    }
}

/// Waits until no other program serves the database; false when told to stop.
async fn lock(client: &db::Client, stop: &CancellationToken, shown: &str, stood_by: &mut bool) -> Result<bool> {
    let mut said = false;
    while !slot::try_lock(client).await? {
        if !said {
            observe(&Observation::StandingBy { database: shown });
            said = true;
            *stood_by = true;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(STANDBY_LOOKS_EVERY) => {}
        }
    }
    Ok(true)
}

/// Sees to it that there is a slot; returns what has been done before.
///
/// # Errors
/// [`ErrorKind::Setup`] when the slot is another program's or there is none free.
pub async fn prepare_slot(client: &mut db::Client, slot: &str) -> Result<Progress> {
    let before = slot::progress(client).await?;
    match (slot::state(client, slot).await?, before) {
        (SlotState::Foreign(detail), _) => return Err(slot::foreign(slot, detail)),
        (SlotState::Usable, Some((done, false))) => return Ok(done),
        // made by an attempt that ended before it could say what was lost
        (SlotState::Usable, Some((_, true))) => return begin_anew(client, slot).await,
        // Made by an attempt that did not get further, or left behind: it may start before the publication was there,
        // and then cannot be decoded.
        (SlotState::Lost, _) | (SlotState::Usable, None) => slot::drop(client, slot).await?,
        (SlotState::Missing, _) => {}
    }
    if let Some((before, _)) = before {
        slot::note_gap(client, before.id).await?;
    }
    observe(&Observation::CreatingSlot { slot });
    slot::create(client, slot).await?;
    begin_anew(client, slot).await
}

async fn begin_anew(client: &mut db::Client, slot: &str) -> Result<Progress> {
    let (begin, sessions) = slot::begin_anew(client).await?;
    if sessions > 0 {
        observe(&Observation::SlotLost { slot, sessions });
    }
    Ok(begin)
}

/// Looks after what needs the catalog, apart from the walk: nothing here may hold it up.
async fn keep_up(target: Target, mut moved: watch::Receiver<Lsn>, mut altered: mpsc::UnboundedReceiver<u32>) {
    let mut client: Option<db::Client> = None;
    let mut to_check: Vec<u32> = Vec::new();
    loop {
        let outcome = async {
            if client.as_ref().is_none_or(db::Client::is_closed) {
                client = Some(target.connect_pinned().await?.client);
            }
            let position = *moved.borrow_and_update();
            match &client {
                Some(client) => db::inbox::keep_up(client, &to_check, segment(position)).await,
                None => Ok(()),
            }
        };
        match outcome.await {
            Ok(()) => to_check.clear(),
            Err(failed) => observe(&Observation::UpkeepFailed { error: &failed }),
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
        tokio::select! {
            still_walking = moved.changed() => {
                if still_walking.is_err() {
                    return;
                }
            }
            relation = altered.recv() => to_check.extend(relation),
        }
        while let Ok(relation) = altered.try_recv() {
            to_check.push(relation);
        }
        to_check.sort_unstable();
        to_check.dedup();
    }
}
