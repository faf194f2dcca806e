//! Keeps the lease: the right of one program at a time to serve a database.
//!
//! It is a module of its own because it runs on a thread of its own. Whatever keeps the walk busy, the lease is renewed: a slow step
//! is slow, and the server does not take the program for dead.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app;
use crate::capture::Place;
use crate::crash;
use crate::db::server::{self, Holder, Part};
use crate::db::{Target, install, slot};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, observe};
use crate::position::Lsn;

/// How often a standby looks whether the database is free. It has to take over within five seconds.
const STANDBY_LOOKS_EVERY: Duration = Duration::from_millis(500);

/// How often the lease is renewed. A quarter of what the server waits for (`slot::lease`): a machine that is short of processors or
/// paused for a moment is not taken for dead.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often in a row the server may be found not to stream. A connection whose way is cut without a word is given up by the server
/// after `wal_sender_timeout`; the program would not notice.
const UNSTREAMED: u32 = 3;

/// At each so many-th renewal it is looked whether somebody keeps the program, or other readers, from its tables.
const LOOK_FOR_SQUATTERS: u32 = 5;

/// For so many renewals the walk may be in one step. A step that takes a minute does not end: the largest messages that PostgreSQL can
/// send take seconds. Nothing but the end of the process stops such a step, and a standby or a new start goes on.
const LONGEST_STEP: u32 = 60;

/// The stack of the thread: one connection, and a TLS handshake.
const STACK_BYTES: usize = 512 << 10;

/// Where the walk is: written by the walk, read by the thread.
#[derive(Debug, Default)]
pub struct Steps {
    /// There is nothing to do but to wait for the stream.
    rests: AtomicBool,
    /// Odd within a step.
    turn: AtomicU64,
    lsn: AtomicU64,
    message: AtomicI64,
    kind: AtomicU8,
}

impl Steps {
    /// A step begins.
    pub fn enter(&self, (lsn, message, kind): Place) {
        self.lsn.store(lsn.0, Ordering::Relaxed);
        self.message.store(message, Ordering::Relaxed);
        self.kind.store(kind, Ordering::Relaxed);
        self.turn.fetch_or(1, Ordering::Release);
    }

    /// It is done.
    pub fn leave(&self) {
        // even again, and another number than before
        self.turn.fetch_add(1, Ordering::Release);
    }

    /// Whether all that came is done, and nothing is being written.
    pub fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    fn within(&self) -> Option<u64> {
        Some(self.turn.load(Ordering::Acquire)).filter(|turn| turn % 2 == 1)
    }

    fn place(&self) -> Place {
        let lsn = Lsn(self.lsn.load(Ordering::Relaxed));
        (lsn, self.message.load(Ordering::Relaxed), self.kind.load(Ordering::Relaxed))
    }
}

/// What the thread says.
enum Notice {
    StandingBy,
    Held,
    Lost(Error),
}

/// What the thread and the program share.
#[derive(Default)]
struct Shared {
    /// The slot that has to be streamed from.
    slot: Mutex<Option<String>>,
    steps: Arc<Steps>,
}

/// The lease, from the wait for it on. It is given up when this is dropped.
pub struct Lease {
    notices: mpsc::UnboundedReceiver<Notice>,
    shared: Arc<Shared>,
    _end: DropGuard,
}

impl Lease {
    /// Starts to wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when there can be no thread.
    pub fn seek(target: Target) -> Result<Self> {
        let (notify, notices) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let end = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (theirs, ended) = (Arc::clone(&shared), end.clone());
        thread::Builder::new().name("lease".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = ended.cancelled() => {}
                    kept = keep(&target, &theirs, &notify) => {
                        if let Err(failed) = kept {
                            let _ = notify.send(Notice::Lost(failed));
                        }
                    }
                }
            });
        })?;
        Ok(Lease { notices, shared, _end: end.drop_guard() })
    }

    /// Waits until no other program serves the database. `standing_by` is called when one does.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn held(&mut self, mut standing_by: impl FnMut()) -> Result<()> {
        loop {
            match self.notices.recv().await {
                Some(Notice::StandingBy) => standing_by(),
                Some(Notice::Held) => return Ok(()),
                Some(Notice::Lost(failed)) => return Err(failed),
                None => return Err(ended()),
            }
        }
    }

    /// Returns when it is lost, and why.
    pub async fn lost(&mut self) -> Error {
        match self.notices.recv().await {
            Some(Notice::Lost(failed)) => failed,
            _ => ended(),
        }
    }

    /// From now on the server has to stream from this slot; `None`: it need not any more.
    pub fn expect_stream(&self, slot: Option<&str>) {
        *self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot.map(str::to_owned);
    }

    /// Where the walk says what it is at.
    pub fn steps(&self) -> Arc<Steps> {
        Arc::clone(&self.shared.steps)
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Connection, "the thread that keeps the lease ended")
}

/// Sees to it that the schemas are there, takes the lease, and renews it until it is lost.
async fn keep(target: &Target, shared: &Shared, notify: &mpsc::UnboundedSender<Notice>) -> Result<()> {
    let mut client = target.connect_pinned().await?.client;
    // before there are schemas: what cannot serve leaves nothing behind
    let slot = install::slot_name(&client).await?;
    app::check_stream(target, &client, &slot).await?;
    let seal = Box::pin(install::ensure(&mut client, target.trust())).await?;
    let mut stands_by = false;
    while seal.within(&client, server::try_take(&client, Part::Lease)).await? != Holder::Us {
        if !stands_by {
            let _ = notify.send(Notice::StandingBy);
            stands_by = true;
        }
        tokio::time::sleep(STANDBY_LOOKS_EVERY).await;
    }
    slot::lease(&client).await?;
    let _ = notify.send(Notice::Held);
    let longest = crash::longest_step().unwrap_or(LONGEST_STEP);
    let mut unstreamed = 0;
    let mut looks = 0_u32;
    let mut turn = None;
    let mut renewals = 0;
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let slot = shared.slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_streamed = slot::renew(&client, slot.as_deref()).await?;
        // what came before the stream's end is worked on; the walk comes to the end by itself
        unstreamed = if is_streamed || !shared.steps.rests.load(Ordering::Relaxed) { 0 } else { unstreamed + 1 };
        if unstreamed == UNSTREAMED {
            return Err(Error::new(ErrorKind::Connection, "the server does not stream any more"));
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOK_FOR_SQUATTERS) {
            let sessions = server::end_squatters(&client).await?;
            if sessions > 0 {
                observe(&Observation::SquattersEnded { sessions });
            }
        }
        let now = shared.steps.within();
        renewals = if now.is_some() && now == turn { renewals + 1 } else { 0 };
        turn = now;
        if renewals == longest {
            let place @ (lsn, message, _) = shared.steps.place();
            observe(&Observation::WalkHangs { lsn, message, seconds: u64::from(longest) });
            let _ = slot::note_hang(&client, place).await;
            // no future of ours can end a thread that does not come back
            std::process::exit(1);
        }
    }
}
