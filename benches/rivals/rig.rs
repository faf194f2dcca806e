//! The server, the program, and how figures are told.

use std::process::Stdio;

use tidewire::db::cluster::{Binaries, Cluster, ClusterOptions};
use tidewire::db::{Client, Target};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Rounds that are counted.
pub fn rounds(quick: bool) -> usize {
    if quick { 1 } else { 3 }
}

pub struct Rig {
    pub cluster: Cluster,
    pub binaries: Binaries,
    pub client: Client,
}

impl Rig {
    pub async fn start() -> Self {
        let binaries = Binaries::find().await.expect("PostgreSQL");
        let mut options = ClusterOptions::temporary();
        options.binaries = Some(binaries.clone());
        options.settings = [("shared_buffers", "256MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let cluster = Cluster::start(options).await.expect("a server");
        let target: Target = cluster.url().parse().expect("a URL");
        let client = target.connect().await.expect("a connection").client;
        Rig { cluster, binaries, client }
    }

    pub fn machine(&self) -> String {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let version = self.binaries.version();
        format!("PostgreSQL {version} (fsync off), {cpus} processors, tidewire {}", env!("CARGO_PKG_VERSION"))
    }

    pub async fn sql(&self, text: &str) {
        self.client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    pub async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        row.get(0)
    }

    /// Starts the program; returns once it delivers.
    pub async fn up(&self) -> Up {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidewire"))
            .args(["up", "--database-url", self.cluster.url()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .env("TIDEWIRE_LOG", "warn")
            .kill_on_drop(true)
            .spawn()
            .expect("tidewire");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.starts_with("ready") {
                return Up { child };
            }
        }
        panic!("tidewire did not get ready");
    }
}

pub struct Up {
    child: Child,
}

impl Up {
    pub async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().expect("a process") as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        assert!(self.child.wait().await.expect("an exit").success());
    }
}

/// One line of the table; the ratio is that of the medians.
pub fn line(what: &str, rival: &[f64], ours: &[f64]) {
    let ratio = median(ours) / median(rival);
    println!("{what:<58}{:>22}{:>22}{ratio:>8.2}", spread(rival), spread(ours));
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{:.0} ({least:.0}-{most:.0})", median(figures))
}
