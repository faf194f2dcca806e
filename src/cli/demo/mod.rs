//! `tidewire demo`: the engine at work on a private PostgreSQL that is gone again afterwards.

mod diff;
mod page;
mod table;
mod walk;

use std::io::{self, Write};
use std::pin::pin;

use clap::Args;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::up;
use crate::app;
use crate::config::Limits;
use crate::db::Target;
use crate::db::cluster::{Binaries, Cluster, ClusterOptions, StopMode};
use crate::delivery::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;

use walk::Walk;

#[derive(Debug, Args)]
#[command(
    after_help = "It needs the server programs of PostgreSQL 14 or newer on this machine (TIDEWIRE_PG_BINDIR names \
    another folder of them), touches no database that is there already, and leaves nothing behind.\n\
    Inserted rows are green and marked +, deleted ones red and -, changed fields yellow and ~; with NO_COLOR set, or when \
    the output is not a terminal, the marks are all."
)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self) -> Result<()> {
        let stop = CancellationToken::new();
        up::stop_on_signals(&stop)?;
        // given up at any point, the server and its folder go when the cluster is dropped
        let walk = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            walk = Box::pin(walk_on_a_private_server()) => walk?,
        };
        let mut stdout = anstream::stdout().lock();
        match stdout.write_all(page::page(&walk)?.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => eprintln!("{}", next_step()),
            Err(failed) if failed.kind() == io::ErrorKind::BrokenPipe => {}
            Err(failed) => return Err(failed.into()),
        }
        Ok(())
    }
}

/// What whoever has seen the demo does next, with this program as it was called.
fn next_step() -> String {
    let program = std::env::args().next().unwrap_or_else(|| "tidewire".to_owned());
    let program = printable(&program);
    format!(
        "Next, with a database of yours:\n  \
         {program} check --database-url postgresql://me@host/db   says what is missing, and changes nothing\n  \
         {program} up --database-url postgresql://me@host/db      installs it and delivers until stopped\n\
         or with a PostgreSQL of its own, kept in .tidewire/data:\n  \
         {program} up"
    )
}

async fn walk_on_a_private_server() -> Result<Walk> {
    let binaries = Binaries::find().await?;
    eprintln!("starting a private PostgreSQL {} ...", binaries.version().major());
    let options = ClusterOptions { binaries: Some(binaries), ..ClusterOptions::temporary() };
    let mut cluster = Cluster::start(options).await?;
    let target = Target::private(cluster.url())?;
    let walk = serve_and_walk(&target).await;
    // nothing on it is worth a checkpoint
    let stopped = cluster.stop(StopMode::Immediate).await;
    walk.and_then(|walk| stopped.map(|()| walk))
}

/// Runs the engine, as `tidewire up` does, and beside it the client.
async fn serve_and_walk(target: &Target) -> Result<Walk> {
    let stop = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let mut ready = Some(ready);
    let limits = Limits::default();
    let hub = Hub::default();
    let mut engine = pin!(app::serve(target, &limits, &hub, stop.clone(), || {
        if let Some(ready) = ready.take() {
            let _ = ready.send(());
        }
    }));
    let walked = tokio::select! {
        served = &mut engine => {
            return Err(served.err().unwrap_or_else(|| Error::new(ErrorKind::Connection, "the engine stopped")));
        }
        walked = Box::pin(walk::walk(target, is_ready)) => walked,
    };
    stop.cancel();
    let served = engine.await;
    walked.and_then(|walk| served.map(|()| walk))
}
