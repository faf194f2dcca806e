//! Builds the parts, owns the tasks and the order in which they stop: first the walk (it hands over what it has read),
//! then the writer (it writes that), then the stream (it acknowledges that).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::capture::{Capture, Delivered, Failures, Known, Outlets};
use crate::config::Limits;
use crate::crash;
use crate::db::slot::{self, Loss, SlotState};
use crate::db::{self, Target, install, requirement};
use crate::delivery::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{self, Care};
use crate::lease::Lease;
use crate::observe::{Observation, observe};
use crate::position::{EventId, Progress};
use crate::subscription::Index;
use crate::upkeep;
use crate::wal::WalStream;

/// The first pause after a failure, doubled each time up to the longest. Whatever was broken for however long, events go on
/// that soon after it is mended; and a connection every two seconds does not hurt a server that is in trouble.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a stop waits for the last batch. It can take for ever: a batch waits until its changes can be read, and a commit may
/// be waiting for a standby that is gone. What is not written then is written at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Serves a database until it is told to stop. `ready` is called each time that events are delivered from then on. Live sessions that are
/// attached to the hub are told in this process; it goes with one database, and may outlive the call and be used for the next.
///
/// # Errors
/// Before it has ever been ready: the first failure, but for a lost connection while another program serves the database.
/// After that everything is tried again, with growing pauses.
pub async fn serve(
    target: &Target,
    limits: &Limits,
    hub: &Hub,
    stop: CancellationToken,
    mut ready: impl FnMut(),
) -> Result<()> {
    let mut was_ready = false;
    let mut stood_by = false;
    let mut pause = FIRST_PAUSE;
    let past = Past::default();
    while !stop.is_cancelled() {
        let mut is_ready = false;
        let started = Instant::now();
        let attempt = serve_once(target, limits, hub, &stop, &mut stood_by, &past, || {
            is_ready = true;
            ready();
        });
        let ended = Box::pin(attempt).await;
        hub.reached(EventId { lsn: past.delivered.borrow().lsn, number: 0 });
        let Err(failed) = ended else { return Ok(()) };
        was_ready |= is_ready;
        past.was_ready.store(was_ready, Ordering::Relaxed);
        // what fails again at once is not what was mended by starting anew
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        // the slot is freed by the server a moment after its last user is gone
        let is_worth_it =
            was_ready || (stood_by && failed.kind().is_transient()) || failed.kind() == ErrorKind::Standby;
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

/// What an attempt leaves behind for the next one.
#[derive(Default)]
struct Past {
    /// A database that is found behind it was restored to an earlier time.
    delivered: watch::Sender<Delivered>,
    failures: Failures,
    care: Care,
    was_ready: AtomicBool,
}

async fn serve_once(
    target: &Target,
    limits: &Limits,
    hub: &Hub,
    stop: &CancellationToken,
    stood_by: &mut bool,
    past: &Past,
    ready: impl FnOnce(),
) -> Result<()> {
    let shown = target.display();
    let mut lease = Lease::seek(target.clone())?;
    let held = lease.held(|| {
        observe(&Observation::StandingBy { database: &shown });
        *stood_by = true;
    });
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        held = held => held?,
    }
    let writer = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        connected = target.connect_pinned() => connected?.client,
    };
    let canceller = target.canceller(&writer);
    let begun = tokio::select! {
        begun = Box::pin(begin(target, limits, hub, writer, past)) => begun?,
        failed = lease.lost() => {
            canceller.cancel().await;
            return Err(failed);
        }
        () = stop.cancelled() => {
            // What it waits for (a transaction that stays open, a lock) it would go on waiting for, and hold the lock.
            canceller.cancel().await;
            return Ok(());
        }
    };
    let Begun { writer, slot, stream, known, done } = begun;
    let count = known.subscriptions.len();

    let (batches, to_write) = mpsc::channel(1);
    let (written, committed) = mpsc::channel(1);
    let (asks, to_answer) = mpsc::channel(1);
    let (altered, to_check) = mpsc::unbounded_channel();
    let (waiting, to_prepare) = mpsc::unbounded_channel();
    let moved = past.delivered.subscribe();
    let outlets = Outlets {
        batches,
        committed,
        asks,
        altered,
        waiting,
        delivered: past.delivered.clone(),
        steps: lease.steps(),
        failures: past.failures.clone(),
    };
    let capture = Capture::new(stream, known, done, &outlets);

    let mut writing = tokio::spawn(inbox::run(writer, hub.clone(), past.care.clone(), to_write, to_answer, written));
    let mut keeping = tokio::spawn(upkeep::run(target.clone(), limits.clone(), moved, to_check, to_prepare));
    lease.expect_stream(Some(&slot));
    observe(&Observation::Delivering { database: &shown, from: done.id, subscriptions: count });
    ready();

    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    let kept = async {
        match (&mut keeping).await {
            Err(broken) if broken.is_panic() => broken,
            // it ends with the walk
            _ => std::future::pending().await,
        }
    };
    let work = async {
        let walked = Box::pin(capture.run(outlets, stop.clone())).await;
        // the walk dropped its end of the channels: the writer stops after what it has
        (walked, (&mut writing).await)
    };
    let leased = async {
        tokio::select! {
            failed = lease.lost() => return failed,
            () = stop.cancelled() => {}
        }
        // the stream is closed before the writer has ended
        lease.expect_stream(None);
        lease.lost().await
    };
    let ended = tokio::select! {
        ended = work => Ended::Walked(ended),
        failed = leased => Ended::Unleased(failed),
        () = patience => Ended::Late,
        broken = kept => Ended::Unkept(broken),
    };
    keeping.abort();
    match ended {
        // the writer knows why it stopped; the walk only that it did
        Ended::Walked((_, Ok(Err(failed)))) => Err(failed),
        Ended::Walked((walked, Ok(Ok(())))) => walked,
        Ended::Walked((_, Err(broken))) => Err(broke_down("the inbox's writer", broken)),
        Ended::Late => {
            observe(&Observation::StoppedShort);
            writing.abort();
            canceller.cancel().await;
            Ok(())
        }
        Ended::Unkept(broken) => {
            // what it waits for it would go on waiting for, and hold the lock against us
            writing.abort();
            canceller.cancel().await;
            Err(broke_down("upkeep", broken))
        }
        Ended::Unleased(failed) => {
            writing.abort();
            canceller.cancel().await;
            Err(failed)
        }
    }
}

/// How an attempt ended.
enum Ended {
    /// How the walk did, and how the writer.
    Walked((Result<()>, std::result::Result<Result<()>, JoinError>)),
    /// It was told to stop, and did not in time.
    Late,
    /// Upkeep panicked.
    Unkept(JoinError),
    /// The lease is lost, and why.
    Unleased(Error),
}

fn broke_down(what: &str, broken: JoinError) -> Error {
    Error::new(ErrorKind::Connection, format!("{what} broke down")).source(broken)
}

/// All that is needed to walk.
struct Begun {
    writer: db::Client,
    slot: String,
    stream: WalStream,
    known: Known,
    done: Progress,
}

/// With the lease in hand: sees to it that no other session writes, and that everything is there. It may wait for as long as somebody's transaction is open.
async fn begin(target: &Target, limits: &Limits, hub: &Hub, mut writer: db::Client, past: &Past) -> Result<Begun> {
    let slot = install::slot_name(&writer).await?;
    let is_new = slot::state(&writer, &slot).await? == SlotState::Missing;
    // nothing of the schemas is read before their owner is known
    install::install(&mut writer, target.trust()).await?;
    db::server::fence(&writer).await?;
    db::upkeep::check_limits(&writer, limits).await?;
    db::quota::set_defaults(&writer, limits).await?;
    slot::free(&writer, &slot).await?;
    let is_first = slot::past(&writer).await?.is_none();
    let reached = past.delivered.borrow().done;
    let begun = async {
        let done = prepare_slot(&mut writer, &slot, reached, hub).await?;
        // at once: a return that has been told must not be found, and told, again by the next
        // attempt
        past.delivered.send_replace(Delivered { lsn: done.id.lsn, done: done.id });
        if let Some((commits_at, xid)) = past.failures.take_unsendable() {
            db::inbox::shown(&writer, xid).await?;
            let sessions = slot::pass_over(&mut writer, &slot, commits_at, "unsendable").await?;
            observe(&Observation::PassedOver { commits_at, sessions });
        }
        slot::hangs(&writer, done.id).await?.into_iter().for_each(|place| past.failures.add(place));
        crash::point("before_load");
        let (name, encoding) = db::encoding(&writer).await?;
        db::make_readable(&writer).await?;
        let mut subscriptions = Index::default();
        db::inbox::routes(&writer, |subscription| subscriptions.add(subscription)).await?;
        let totals = db::inbox::totals(&writer).await?;
        let descriptions = db::inbox::descriptions(&writer).await?;
        crash::point("after_load");
        let stream = WalStream::open(target.stream_options(&slot, install::PUBLICATION, &name)).await?;
        Ok((stream, Known { descriptions, subscriptions, totals, encoding }, done))
    };
    match begun.await {
        Ok((stream, known, done)) => Ok(Begun { writer, slot, stream, known, done }),
        Err(failed) => {
            // nobody would read it: the program ends with its first failure
            if is_new && !past.was_ready.load(Ordering::Relaxed) {
                let _ = slot::undo(&writer, &slot, is_first).await;
            }
            Err(failed)
        }
    }
}

/// Sees to it that the stream can log in before there is a slot, which would keep WAL for nobody.
/// Returns whether the slot is still to be made.
///
/// # Errors
/// Those of the stream's login, or the requirement that explains it.
pub async fn check_stream(target: &Target, client: &db::Client, slot: &str) -> Result<bool> {
    if slot::state(client, slot).await? != SlotState::Missing {
        return Ok(false);
    }
    if let Err(failed) = WalStream::try_login(&target.stream_options(slot, install::PUBLICATION, "UTF8")).await {
        requirement::refuse(requirement::before_all(client).await?)?;
        let failed = failed.context("the stream cannot log in");
        return Err(failed.hint(requirement::stream_remedy(target)));
    }
    Ok(true)
}

/// Sees to it that there is a slot; returns what has been done before. `reached` is the last event that this process delivered, and
/// the hub learns whether the database went back, or another program served it since.
///
/// # Errors
/// [`ErrorKind::Setup`] when the slot is another program's or there is none free.
pub async fn prepare_slot(client: &mut db::Client, slot: &str, reached: EventId, hub: &Hub) -> Result<Progress> {
    let past = slot::past(client).await?;
    let state = slot::state(client, slot).await?;
    if let SlotState::Foreign(detail) = state {
        return Err(slot::foreign(slot, detail));
    }
    let Some(past) = past else {
        hub.rewind();
        // Made by an attempt that did not get further, or left behind: it may start before the publication was there,
        // and then cannot be decoded.
        return create_slot(client, slot, state, false).await;
    };
    // skipping what is at or below the progress row would skip what is to come
    let is_behind_us = past.done.id.lsn > past.wal_end;
    let has_returned = past.has_moved || is_behind_us || reached > past.done.id;
    if has_returned {
        hub.rewind();
    } else {
        let confirmed = EventId { lsn: slot::confirmed(client, slot).await?, number: 0 };
        hub.resume(past.done.id.max(confirmed));
    }
    if state == SlotState::Usable && !is_behind_us {
        if past.has_gap {
            // made by an attempt that ended before it could say what was lost
            return begin_anew(client, slot, past.has_moved).await;
        }
        if has_returned {
            let sessions = slot::note_return(client, slot, past.done.id, reached).await?;
            observe(&Observation::GapTold { loss: Loss::Restored, sessions });
        }
        return Ok(past.done);
    }
    let loss = if has_returned { Loss::Restored } else { Loss::Slot };
    crash::point("before_note_gap");
    slot::note_gap(client, past.done.id, loss).await?;
    crash::point("after_note_gap");
    observe(&Observation::EventsLost { slot, loss });
    create_slot(client, slot, state, has_returned).await
}

async fn create_slot(client: &mut db::Client, slot: &str, state: SlotState, has_moved: bool) -> Result<Progress> {
    if state != SlotState::Missing {
        slot::drop(client, slot).await?;
    }
    observe(&Observation::CreatingSlot { slot });
    crash::point("before_create_slot");
    slot::create(client, slot).await?;
    crash::point("after_create_slot");
    begin_anew(client, slot, has_moved).await
}

async fn begin_anew(client: &mut db::Client, slot: &str, has_moved: bool) -> Result<Progress> {
    crash::point("before_begin_anew");
    let (begin, told) = slot::begin_anew(client, slot, has_moved).await?;
    crash::point("after_begin_anew");
    if let Some((loss, sessions)) = told {
        observe(&Observation::GapTold { loss, sessions });
    }
    Ok(begin)
}
