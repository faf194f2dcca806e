//! `tidewire up`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DatabaseUrl;
use crate::app;
use crate::config::{self, File, LimitArgs, Limits};
use crate::db::Target;
use crate::db::cluster::{Cluster, ClusterOptions, StopMode};
use crate::delivery::hub::Hub;
use crate::error::Result;
use crate::http::Listener;
use crate::monitor;
use crate::observe::{Observation, health, observe};

/// How often it is looked whether that PostgreSQL is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Without --database-url it starts a PostgreSQL of its own, kept in --data-dir.\n\
    A line that starts with \"ready\" on standard output says that the stream is open: all that is committed from now on, \
    and all that waits, is delivered. With --listen, /ready says whether that is so at any moment. SIGTERM or Ctrl-C: what was \
    read is delivered and acknowledged, exit code 0.\n\
    A second `tidewire up` on the same database stands by and takes over when the first ends.\n\
    With --listen, over HTTP: /live (200: the program runs), /ready (200 while events are delivered, otherwise 503 and \
    why), /metrics (for Prometheus). There is no authentication: listen on 127.0.0.1, or where only your own can reach it.")]
pub(super) struct Up {
    #[command(flatten)]
    database: DatabaseUrl,
    #[command(flatten)]
    limits: LimitArgs,
    /// Where /live, /ready and /metrics are answered: 127.0.0.1:9187, say; port 0 is a free one
    #[arg(
        long,
        env = "TIDEWIRE_LISTEN",
        value_name = "HOST:PORT",
        help = "Where /live, /ready and /metrics are answered: 127.0.0.1:9187, say; port 0 is a free one [default: nowhere]"
    )]
    listen: Option<String>,
    /// After how many seconds without progress delivery is called stalled
    #[arg(
        long,
        env = "TIDEWIRE_STALL_AFTER",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600),
        help = "After how many seconds without progress delivery is called stalled, 1 to 3600 [default: 10]"
    )]
    stall_after: Option<u64>,
}

/// What runs beside the engine and ends with it: who answers the outside, and who watches.
struct Outside {
    address: Option<SocketAddr>,
    stall_after: Duration,
    tasks: JoinSet<()>,
}

impl Up {
    pub(super) async fn run(self, file: &File) -> Result<()> {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        let limits = config::limits(self.limits, file);
        let mut outside = Outside {
            address: None,
            stall_after: config::stall_after(self.stall_after, file)?.unwrap_or(health::STALL_AFTER),
            tasks: JoinSet::new(),
        };
        if let Some(at) = self.listen.as_ref().or(file.listen.as_ref()) {
            let listener = Listener::bind(at).await?;
            outside.address = Some(listener.address());
            outside.tasks.spawn(async { drop(listener.serve().await) });
        }
        if self.database.is_named(file) {
            let target = self.database.target(file)?;
            let shown = target.display();
            return serve(&target, &limits, stop, outside, format!("ready {shown}"), String::new()).await;
        }
        if file.left_out.is_some() && self.database.data_dir.is_none() {
            // it may name a database: then one of our own is not what was asked for
            return self.database.target(file).map(std::mem::drop);
        }
        let mut cluster = Cluster::start(ClusterOptions::kept(self.database.data_dir(file))).await?;
        let target = Target::private(cluster.url())?;
        // for whoever comes from elsewhere; we take the socket, and tell nobody the password
        let shown = Target::private(cluster.tcp_url().unwrap_or(cluster.url()))?.display();
        let password = cluster.data_dir().join("tidewire.password");
        let connect = format!("connect with: PGPASSWORD=$(cat '{}') psql '{shown}'\n", password.display());
        let served = {
            let serving = serve(&target, &limits, stop, outside, format!("ready {shown}"), connect);
            // beside it: a server that starts again may take its time, and a stop does not wait for that
            let looking = async {
                loop {
                    sleep(LOOK_EVERY).await;
                    look_after(&mut cluster).await;
                }
            };
            tokio::select! {
                served = serving => served,
                () = looking => Ok(()),
            }
        };
        let stopped = cluster.stop(StopMode::Fast).await;
        served.and(stopped)
    }
}

/// Starts a server again that has died; the engine connects to it by itself.
async fn look_after(cluster: &mut Cluster) {
    if !cluster.is_running() {
        observe(&Observation::ServerEnded);
        if let Err(failed) = cluster.restart(StopMode::Immediate).await {
            observe(&Observation::ServerNotStarted { error: &failed });
        }
    }
}

async fn serve(
    target: &Target,
    limits: &Limits,
    stop: CancellationToken,
    mut outside: Outside,
    ready: String,
    connect: String,
) -> Result<()> {
    let address = outside.address.map_or(String::new(), |address| format!(" http://{address}"));
    let mut said = false;
    outside.tasks.spawn(monitor::watch(target.clone(), outside.stall_after));
    Box::pin(app::serve(target, limits, &Hub::default(), stop, || {
        if !said {
            print!("{ready}{address}\n{connect}");
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
