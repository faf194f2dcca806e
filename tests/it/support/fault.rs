//! What breaks: processes are frozen and killed, servers die, connections are cut.

use std::future::Future;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidewire::db::cluster::StopMode;

use super::{Client, Database, PATIENCE, Tidewire};

/// Sends a signal to a process; one that is gone already is none the worse.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// Waits for a fact, of which nothing but looking tells.
pub async fn until<F: Future<Output = bool>>(fact: &str, mut holds: impl FnMut() -> F) {
    until_within(fact, PATIENCE, &mut holds).await;
}

/// The same for what may take longer than [`PATIENCE`].
pub async fn until_within<F: Future<Output = bool>>(
    fact: &str,
    patience: std::time::Duration,
    mut holds: impl FnMut() -> F,
) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < patience, "not in {patience:?}: {fact}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

impl Tidewire {
    /// The program stands still, as on a machine that swaps or is paused; its connections stay open.
    pub fn freeze(&self) {
        signal(self.pid(), Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        signal(self.pid(), Signal::SIGCONT);
    }
}

/// The processes that `pid` has started.
pub fn children(pid: u32) -> Vec<u32> {
    let status = |process: PathBuf| std::fs::read_to_string(process.join("stat")).ok();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_parent = processes.filter_map(|process| {
        let number = process.file_name().to_str()?.parse().ok()?;
        let status = status(process.path())?;
        // The name stands in brackets and may hold anything; behind it come the state and the parent.
        let parent: u32 = status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == pid).then_some(number)
    });
    of_parent.collect()
}

impl Database {
    /// `kill -9` of the server and all its processes.
    pub fn kill(&self) {
        let server = self.cluster.pid();
        let all = children(server);
        signal(server, Signal::SIGKILL);
        all.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
    }

    /// Starts the server on its old port, after [`Database::kill`] say.
    pub async fn revive(&mut self) {
        self.cluster.restart(StopMode::Immediate).await.unwrap();
    }
}

/// A connection of Tidewire's, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Stream,
    Writer,
    Upkeep,
    Monitor,
    Lease,
}

impl Backend {
    pub const ALL: [Backend; 5] = [Backend::Stream, Backend::Writer, Backend::Upkeep, Backend::Monitor, Backend::Lease];

    /// The number of its process, if it is connected.
    pub async fn find(self, client: &Client) -> Option<u32> {
        let holds = |part: &str| {
            format!("(a.pid, a.backend_start) = (select s.pid, s.started from event.server s where s.part = '{part}')")
        };
        const UPKEEP: &str = r"event\._(sweep|tell_skipped|drop_partitions|recheck|cap_inboxes|waiting|prepare)\(|lock_timeout = ''200ms''";
        const MONITOR: &str = r"pg_notification_queue_usage\(\), current_setting|from event\.status";
        let is_it = match self {
            Backend::Stream => "a.backend_type = 'walsender'".to_owned(),
            Backend::Writer => holds("writer"),
            Backend::Lease => holds("lease"),
            // told apart by what they asked last; one that stands by for the lock has asked neither
            Backend::Upkeep => format!("a.backend_type = 'client backend' and a.query ~ '{UPKEEP}'"),
            Backend::Monitor => format!("a.backend_type = 'client backend' and a.query ~ '{MONITOR}'"),
        };
        let query = format!("select a.pid from pg_stat_activity a where a.application_name = 'tidewire' and {is_it}");
        client.rows(&query).await.first().map(|row| row[0].as_deref().unwrap().parse().unwrap())
    }

    /// The number of its process, once it is connected.
    pub async fn pid(self, client: &Client) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(pid) = self.find(client).await {
                return pid;
            }
            assert!(begun.elapsed() < PATIENCE, "no {self:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
