//! `tidewire up`.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::DatabaseUrl;
use crate::app;
use crate::config::{self, File};
use crate::db::Target;
use crate::db::cluster::{Cluster, ClusterOptions, StopMode};
use crate::error::Result;

/// Where an embedded PostgreSQL keeps its data unless told otherwise.
const DATA_DIR: &str = ".tidewire/data";

#[derive(Debug, Args)]
#[command(after_help = "Without --database-url it starts a PostgreSQL of its own, kept in --data-dir.\n\
    A line that starts with \"ready\" on standard output says that events are delivered. SIGTERM or Ctrl-C: what was \
    read is delivered and acknowledged, exit code 0.\n\
    A second `tidewire up` on the same database stands by and takes over when the first ends.")]
pub(super) struct Up {
    #[command(flatten)]
    database: DatabaseUrl,
    /// Folder of the embedded PostgreSQL, when no database is named
    #[arg(
        long,
        env = "TIDEWIRE_DATA_DIR",
        value_name = "DIR",
        help = "Folder of the embedded PostgreSQL, when no database is named [default: .tidewire/data]"
    )]
    data_dir: Option<PathBuf>,
}

impl Up {
    pub(super) async fn run(self, file: &File) -> Result<()> {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        if self.database.database_url.is_some() || (file.database_url.is_some() && self.data_dir.is_none()) {
            let target = config::target(self.database.database_url.as_deref(), file)?;
            return serve(&target, stop, None).await;
        }
        let data_dir = self.data_dir.or_else(|| file.data_dir.clone()).unwrap_or_else(|| DATA_DIR.into());
        let mut cluster = Cluster::start(ClusterOptions::kept(data_dir)).await?;
        let target: Target = cluster.url().parse()?;
        let password = cluster.data_dir().join("tidewire.password");
        let served = serve(&target, stop, Some(&password)).await;
        let stopped = cluster.stop(StopMode::Fast).await;
        served.and(stopped)
    }
}

async fn serve(target: &Target, stop: CancellationToken, password: Option<&Path>) -> Result<()> {
    let shown = target.display();
    let mut said = false;
    Box::pin(app::serve(target, stop, || {
        if !said {
            println!("ready {shown}");
            if let Some(password) = password {
                println!("connect with: PGPASSWORD=$(cat '{}') psql '{shown}'", password.display());
            }
        }
        said = true;
    }))
    .await
}

/// SIGTERM and SIGINT ask for a clean stop; a second one gets the system's own answer.
pub(super) fn stop_on_signals(stop: &CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // asked twice: what is not written yet is written again next time
        std::process::exit(130);
    });
    Ok(())
}
