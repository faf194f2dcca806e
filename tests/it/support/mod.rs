//! What every integration test uses: a PostgreSQL of its own, connections to it, and the real program.
//!
//! A test waits for facts (a row, a notification, a line of the log), never for a time; the patience below only bounds
//! how long a test that fails takes.

#![allow(dead_code, reason = "no behaviour's tests need all of it")]

mod client;
pub mod fault;
pub mod fault_disk;
pub mod fault_ledger;
pub mod fault_pgbench;
pub mod fault_proxy;
mod outside;
mod pooler;
mod program;
mod subscriber;

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use tidewire::db::cluster::{Binaries, Cluster, ClusterOptions, StopMode};

pub use client::Client;
pub use outside::Outside;
pub use pooler::Pooler;
pub use program::{Tidewire, command, tidewire};
pub use subscriber::{Event, SEARCH_PATH, Subscriber, Table, assert_in_order};

/// How long a test waits for a fact: far more than it takes on a slow machine with two cores that others keep busy. Nothing
/// is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The processor time of a process so far: what a bound on a cost is held against. Unlike the time on the wall it does not
/// depend on what else the machine does.
pub fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let times = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(times.filter_map(|time| time.split(' ').next()?.parse::<u64>().ok()).sum())
}

/// Set where every test must be able to run: then none may be left out.
const NO_SKIP_VARIABLE: &str = "TIDEWIRE_NO_SKIP";

/// Says what is left out of a test because this machine lacks something. What a server's version lacks is not told here.
pub fn left_out(why: &str) {
    assert!(std::env::var_os(NO_SKIP_VARIABLE).is_none(), "{NO_SKIP_VARIABLE} is set, and {why}");
    eprintln!("left out: {why}");
}

/// A PostgreSQL server for one test. It goes, process and folder, when this is dropped.
pub struct Database {
    pub cluster: Cluster,
}

impl Database {
    pub async fn start() -> Database {
        Database::start_with(&[]).await
    }

    /// Starts a server with further settings, which have the last word.
    pub async fn start_with(settings: &[(&str, &str)]) -> Database {
        Database::start_in(memory(), settings).await
    }

    /// The same, in a folder; none for where temporary files lie.
    pub async fn start_in(folder: Option<PathBuf>, settings: &[(&str, &str)]) -> Database {
        let binaries = Binaries::find().await.unwrap_or_else(|error| panic!("{error}"));
        let template = template(&binaries).await;
        Database::start_of(binaries, Some(template), folder, settings, false).await
    }

    /// Starts a server with Tidewire installed, for what is not about the installation: that takes most of a first start.
    pub async fn installed() -> Database {
        let binaries = Binaries::find().await.unwrap_or_else(|error| panic!("{error}"));
        let template = installed(&binaries).await;
        Database::start_of(binaries, Some(template), memory(), &[], false).await
    }

    /// Starts a server that listens on 127.0.0.1 too, with a password, for what cannot be done over a socket.
    pub async fn on_tcp(settings: &[(&str, &str)]) -> Database {
        let binaries = Binaries::find().await.unwrap_or_else(|error| panic!("{error}"));
        let template = template(&binaries).await;
        Database::start_of(binaries, Some(template), memory(), settings, true).await
    }

    /// Starts a server that is no copy of the one that all others are copies of: with a system identifier of its own.
    pub async fn initialised() -> Database {
        let binaries = Binaries::find().await.unwrap_or_else(|error| panic!("{error}"));
        Database::start_of(binaries, None, memory(), &[], false).await
    }

    async fn start_of(
        binaries: Binaries,
        template: Option<PathBuf>,
        folder: Option<PathBuf>,
        settings: &[(&str, &str)],
        tcp: bool,
    ) -> Database {
        // A small cache, because several servers run at once.
        let settings = [("shared_buffers", "16MB")].iter().chain(settings);
        let settings = settings.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let options = ClusterOptions {
            template,
            binaries: Some(binaries),
            temporary_in: folder,
            tcp,
            settings,
            ..ClusterOptions::temporary()
        };
        let cluster = Cluster::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        Database { cluster }
    }

    /// The URL of the superuser.
    pub fn url(&self) -> String {
        self.cluster.url().to_owned()
    }

    pub fn url_as(&self, user: &str) -> String {
        self.url_of(user, "postgres")
    }

    /// The URL of any user and database; the user may be followed by a password.
    pub fn url_of(&self, user: &str, database: &str) -> String {
        let (_, place) = self.cluster.url().split_once('?').unwrap();
        format!("postgresql://{user}@/{database}?{place}")
    }

    /// The superuser's URL over TCP, with the password.
    pub fn tcp_url(&self) -> String {
        self.cluster.tcp_url().expect("a server that was started with on_tcp").to_owned()
    }

    /// Connects as the superuser.
    pub async fn connect(&self) -> Client {
        Client::connect(&self.url()).await
    }

    pub async fn connect_as(&self, user: &str) -> Client {
        Client::connect(&self.url_as(user)).await
    }

    /// Puts lines before the server's pg_hba.conf, and returns when they are in force.
    pub async fn allow(&self, lines: &str) {
        let path = self.cluster.data_dir().join("pg_hba.conf");
        let rest = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{lines}\n{rest}")).unwrap();
        let client = self.connect().await;
        let before = client.text("select pg_conf_load_time()").await;
        client.sql("select pg_reload_conf()").await;
        while self.connect().await.text("select pg_conf_load_time()").await == before {
            tokio::task::yield_now().await;
        }
    }

    /// Runs `tidewire up` on this database and returns when it is ready.
    pub async fn up(&self) -> Tidewire {
        Tidewire::up(&self.url()).await
    }

    /// Runs `tidewire install` on this database.
    pub async fn install(&self) {
        let output = tidewire(&["install", "--database-url", &self.url()]).await;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "tidewire install: {}\n{stdout}{stderr}", output.status);
    }
}

/// A data folder to copy for each test: one `initdb` for all tests, on this machine, of this version of PostgreSQL.
///
/// It lies in the target folder, which the server's account need not be able to reach: who copies is the test.
pub async fn template(binaries: &Binaries) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    // What decides how a folder is filled.
    include_str!("../../../src/db/cluster/folder.rs").hash(&mut hasher);
    let name = format!("postgresql-{}-{}-{:x}", binaries.version(), nix::unistd::geteuid(), hasher.finish());
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    made_once(&template, async || {
        let options = ClusterOptions { binaries: Some(binaries.clone()), ..ClusterOptions::temporary() };
        Cluster::start(options).await.unwrap_or_else(|error| panic!("{error}"))
    })
    .await;
    template
}

/// The same with Tidewire installed, by the program that is tested: another build makes it anew.
async fn installed(binaries: &Binaries) -> PathBuf {
    let plain = template(binaries).await;
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_tidewire")).unwrap().modified().unwrap();
    let age = program.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let name = plain.file_name().unwrap().to_str().unwrap();
    let installed = plain.with_file_name(format!("{name}-installed-{age:x}"));
    made_once(&installed, async || {
        // what an older build made is of no more use
        for other in std::fs::read_dir(plain.parent().unwrap()).unwrap().flatten() {
            if other.file_name().to_str().unwrap().starts_with(&format!("{name}-installed-")) && other.path().is_dir() {
                let _ = std::fs::remove_dir_all(other.path());
            }
        }
        let database = Database::start().await;
        database.install().await;
        database.cluster
    })
    .await;
    installed
}

/// Makes a template, if it is not there: of the data folder of a cluster, which is stopped. Each test is a process: the first
/// one makes it, the others wait for that.
async fn made_once(template: &Path, cluster: impl AsyncFnOnce() -> Cluster) {
    if template.exists() {
        return;
    }
    let name = template.file_name().unwrap().to_str().unwrap();
    let path = |suffix| template.with_file_name(format!("{name}.{suffix}"));
    let lock = File::create(path("lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    if template.exists() {
        return;
    }
    let mut cluster = cluster().await;
    cluster.stop(StopMode::Fast).await.unwrap();
    // Nobody may find a template that is not whole.
    let unfinished = path("unfinished");
    let _ = std::fs::remove_dir_all(&unfinished);
    let copied = Command::new("cp").arg("-a").arg(cluster.data_dir()).arg(&unfinished).status().unwrap();
    assert!(copied.success());
    std::fs::rename(&unfinished, template).unwrap();
}

/// A folder in memory, if there is one with room. A cluster is a thousand small files, and a disk's file system gets
/// slow at making and removing those over and over: 60 ms become 400 ms.
fn memory() -> Option<PathBuf> {
    const ROOM: u128 = 2 << 30;
    let path = Path::new("/dev/shm");
    let system = nix::sys::statvfs::statvfs(path).ok()?;
    let free = u128::from(system.blocks_available()) * u128::from(system.fragment_size());
    (free >= ROOM).then(|| path.to_owned())
}
