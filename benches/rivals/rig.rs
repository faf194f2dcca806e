//! The server, the program beside it, and what both are asked.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tidewire::db::cluster::{Binaries, Cluster, ClusterOptions};
use tidewire::db::{Client, Target};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::process::Process;

/// Nothing of what is measured takes longer; what does is broken.
const PATIENCE: &str = "40 minutes";

/// Longer than any inbox here gets: 1 GB, the default, would be emptied in the middle of the large ones.
pub const INBOX_MAX_SIZE: &str = "1TB";

/// Whether the server waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// As users run it.
    Durable,
    /// `fsync` off: what is left is processor time.
    Unsafe,
}

/// A server of its own, gone when this is dropped.
pub struct Rig {
    pub cluster: Cluster,
    pub binaries: Binaries,
    pub target: Target,
    pub client: Client,
    password: String,
}

impl Rig {
    pub async fn start(disk: Disk) -> Self {
        let binaries = Binaries::find().await.unwrap_or_else(|error| panic!("{error}"));
        let mut options = ClusterOptions::temporary();
        options.binaries = Some(binaries.clone());
        options.durable = disk == Disk::Durable;
        // as most clients come to a database
        options.tcp = true;
        options.settings = [("shared_buffers", "256MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let cluster = Cluster::start(options).await.expect("a server");
        let url = cluster.tcp_url().expect("it listens");
        let target = Target::private(url).expect("a URL");
        let password = url.split([':', '@']).nth(2).expect("a password").to_owned();
        let client = target.connect().await.expect("a connection").client;
        client.batch_execute("set client_min_messages = warning").await.expect("a setting");
        Rig { cluster, binaries, target, client, password }
    }

    pub async fn sql(&self, text: &str) {
        self.client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    pub async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        row.get(0)
    }

    pub async fn number(&self, query: &str) -> f64 {
        self.text(&format!("select ({query})::text")).await.parse().expect("a number")
    }

    /// Everything that was committed is on the disk, and this is where it ends.
    pub async fn end_of_wal(&self) -> String {
        self.sql("set synchronous_commit = on; select pg_logical_emit_message(true, 'bench', '')").await;
        self.text("select pg_current_wal_flush_lsn()::text").await
    }

    /// Bytes of WAL since the server was made.
    pub async fn wal(&self) -> f64 {
        self.number("select pg_current_wal_insert_lsn() - '0/0'").await
    }

    /// Returns when that is so.
    pub async fn wait(&self, until: &str) -> Instant {
        self.sql(&format!(
            "do $$ begin
                 while not ({until}) loop
                     if clock_timestamp() > now() + interval '{PATIENCE}' then raise exception using message = 'it never came: {}'; end if;
                     perform pg_sleep(0.002);
                 end loop; end $$",
            until.replace('\'', "")
        ))
        .await;
        Instant::now()
    }

    /// Waits until somebody reads from the slot; returns when that connection was made, by the server's clock: the question may
    /// be answered late while reader and walsender take both processors.
    pub async fn reading(&self, slot: &str) -> Instant {
        self.wait(&format!("exists (select from pg_replication_slots where slot_name like '{slot}' and active)")).await;
        let ago = "select extract(epoch from clock_timestamp() - a.backend_start) from pg_replication_slots s
                   join pg_stat_activity a on a.pid = s.active_pid";
        let ago = self.number(&format!("{ago} where s.slot_name like '{slot}'")).await;
        Instant::now() - Duration::from_secs_f64(ago.max(0.0))
    }

    /// Returns when Tidewire has acknowledged everything up to a position: it is all where it belongs.
    pub async fn delivered(&self, end: &str) -> Instant {
        let slots = "from pg_replication_slots where slot_name like 'tidewire%'";
        self.wait(&format!("(select confirmed_flush_lsn >= '{end}' {slots})")).await
    }

    /// Returns when Tidewire has acknowledged everything up to now.
    pub async fn settle(&self) {
        self.wait("(select not exists (select from event.subscription where waiting and ended is null))").await;
        let end = self.end_of_wal().await;
        self.delivered(&end).await;
    }

    /// With Tidewire running: when it starts again the server begins to decode here. Otherwise it would read once more what was before,
    /// which a new slot is spared; a server that has been running for a while is at most some seconds behind.
    pub async fn leave_the_past(&self) {
        for _ in 0..20 {
            // it notes which transactions are open: from such a place decoding can begin
            self.sql("checkpoint").await;
            self.settle().await;
            let slots = "from pg_replication_slots where slot_name like 'tidewire%'";
            let behind = format!("select pg_current_wal_insert_lsn() - restart_lsn {slots}");
            if self.number(&behind).await < 100_000.0 {
                return;
            }
        }
        panic!("the slot does not get on");
    }

    /// A durable session with that subscription, which nobody listens to; returns its id.
    pub async fn session(&self, subscribe: &str) -> String {
        let session = self.text("select event.session_create()::text").await;
        self.sql(&format!("select event.{subscribe}; unlisten *")).await;
        self.settle().await;
        session
    }

    pub async fn delete_sessions(&self) {
        self.sql("select event.session_delete(id) from event.session").await;
        self.settle().await;
    }

    /// So many subscriptions to rows of a table that somebody watches already, whose keys are `key` for n = 1, 2, …, of a thousand new
    /// sessions. They are made as `event.subscribe_row` makes them, but all at once, and the engine learns of each from the WAL.
    pub async fn subscribe_to_rows(&self, table: &str, key: &str, count: u32) {
        let rows = "select count(*) from event.route where kind = 'row'";
        let before = self.number(rows).await;
        self.sql(&format!(
            "insert into event.session (owner, durable, pinned)
             select current_user::regrole, true, false from generate_series(1, 1000);
             insert into event.subscription (session_id, kind, relation, key_attnums, key, durable)
             select s.id, 'row', '{table}'::regclass, '{{1}}', array[({key})::text], true
             from generate_series(1, {count}) n
             join (select id, row_number() over () as number from event.session
                   where id not in (select session_id from event.subscription)) s on s.number = n % 1000 + 1"
        ))
        .await;
        self.settle().await;
        assert_eq!(self.number(rows).await - before, f64::from(count), "subscriptions that the engine knows of");
    }

    /// How many events wait for a session.
    pub async fn waiting_for(&self, session: &str) -> f64 {
        self.number(&format!("select count(*) from event.inbox where session_id = '{session}'")).await
    }

    /// Runs pgbench with that script; returns transactions a second.
    pub async fn pgbench(&self, script: &str, arguments: &[&str]) -> f64 {
        let output = self.pgbench_command(script, arguments).1.output().await.expect("pgbench");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pgbench: {text}{errors}");
        let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")).expect("tps");
        tps.split(' ').next().and_then(|figure| figure.parse().ok()).expect("a figure")
    }

    /// The same, as a process that the caller ends. The file is the script.
    pub fn pgbench_command(&self, script: &str, arguments: &[&str]) -> (tempfile::NamedTempFile, Command) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, script).expect("a script");
        let mut command = Command::new(self.binaries.program("pgbench"));
        command
            .args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-j", "1"])
            .args(["-p", &self.cluster.port().to_string()])
            .args(arguments)
            .arg("-f")
            .arg(file.path())
            .arg("postgres")
            .env("PGPASSWORD", &self.password)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        (file, command)
    }

    /// pg_recvlogical, which reads that publication from the slot `rival`, writes to /dev/null and ends at that position, if one is given.
    pub fn pg_recvlogical(&self, publication: &str, end: Option<&str>) -> Child {
        let mut command = Command::new(self.binaries.program("pg_recvlogical"));
        command
            .args(["--start", "--slot", "rival", "--no-loop", "-f", "/dev/null", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-d", "postgres", "-p", &self.cluster.port().to_string()])
            .args(["-o", "proto_version=1", "-o", &format!("publication_names={publication}")])
            .env("PGPASSWORD", &self.password)
            .kill_on_drop(true);
        if let Some(end) = end {
            command.args(["--endpos", end]);
        }
        command.spawn().expect("pg_recvlogical")
    }

    /// Ends one that was given no end, and drops its slot.
    pub async fn end_pg_recvlogical(&self, mut child: Child) {
        child.kill().await.expect("pg_recvlogical ends");
        self.wait("not exists (select from pg_replication_slots where slot_name = 'rival' and active)").await;
        self.sql("select pg_drop_replication_slot('rival')").await;
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
        command
            .args(["up", "--inbox-max-size", INBOX_MAX_SIZE])
            .env("TIDEWIRE_DATABASE_URL", self.cluster.tcp_url().expect("it listens"))
            .kill_on_drop(true);
        command
    }

    /// Starts a second program; returns once it stands by.
    pub async fn stand_by(&self) -> Up {
        let mut child = self.program().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tidewire");
        let process = Process(child.id().expect("a process"));
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.contains("standing by") {
                // it goes on to write there
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Up { child, process };
            }
        }
        panic!("tidewire does not stand by");
    }

    /// Starts the program; returns once it delivers.
    pub async fn up(&self) -> Up {
        let mut command = self.program();
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).env("TIDEWIRE_LOG", "warn");
        let mut child = command.spawn().expect("tidewire");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.starts_with("ready") {
                let process = Process(child.id().expect("a process"));
                return Up { child, process };
            }
        }
        panic!("tidewire did not get ready");
    }
}

/// `tidewire up`.
pub struct Up {
    child: Child,
    pub process: Process,
}

impl Up {
    /// Ends it on the spot, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it ends");
    }

    pub async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.0 as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        assert!(ended(&mut self.child).await.success());
    }
}

pub async fn ended(child: &mut Child) -> ExitStatus {
    child.wait().await.expect("an exit")
}

/// What is missing of PostgreSQL's programs, told before anything is measured.
pub async fn check_programs() -> Result<(), String> {
    let binaries = Binaries::find().await.map_err(|error| error.to_string())?;
    for program in ["pgbench", "pg_recvlogical"] {
        if !binaries.program(program).is_file() {
            return Err(format!(
                "there is no {program} in \"{}\": not every PostgreSQL comes with it. Name one that does with \
                 TIDEWIRE_PG_BINDIR (Debian and Ubuntu: /usr/lib/postgresql/{}/bin, of the packages postgresql and \
                 postgresql-client).",
                binaries.dir().display(),
                binaries.version().major()
            ));
        }
    }
    Ok(())
}

pub fn seconds_between(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

pub async fn pause(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}
