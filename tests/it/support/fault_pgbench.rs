//! `pgbench`, which is not ours: what its clients go through is what a database's clients go through.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tidewire::db::cluster::Binaries;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Client, Database, PATIENCE};

/// A run that is under way.
pub struct Pgbench {
    child: Child,
    _script: tempfile::NamedTempFile,
}

/// What pgbench says of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub succeeded: bool,
    pub processed: usize,
    /// In words, as version 15 has it and 14 does not: `0 (0.000%)`.
    pub failed: Option<String>,
    pub stderr: String,
}

impl Outcome {
    /// No error, no failed transaction, and all of them done.
    pub fn assert_clean(&self, transactions: usize) {
        assert!(self.succeeded && self.stderr.is_empty(), "{self:?}");
        assert_eq!(self.processed, transactions, "{self:?}");
        assert!(self.failed.as_deref().is_none_or(|failed| failed.starts_with("0 ")), "{self:?}");
    }
}

/// Where pgbench is: beside the server, or with any other version, which speaks to this one as well. Nothing where there is none.
pub async fn program() -> Option<PathBuf> {
    let binaries = Binaries::find().await.unwrap();
    let mut places = vec![binaries.dir().to_owned()];
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|version| version.path().join("bin")));
    let found = places.into_iter().map(|place| place.join("pgbench")).find(|path| Path::is_file(path));
    if found.is_none() {
        super::left_out("there is no pgbench on this machine");
    }
    found
}

/// What each client does over and over, in rows of its own, so that no client waits for another.
const SCRIPT: &str = "
    \\set a random(1, 100)
    \\set row :client_id * 1000 + :a
    begin;
    insert into ledger values (nextval('entry'), :client_id, 'x');
    update ledger set v = v || 'y' where id = :row and length(v) < 50;
    update ledger set v = 'z' where id = :row and length(v) >= 50;
    end;
";

impl Pgbench {
    /// Gives the clients their rows in the ledger.
    pub async fn prepare(client: &Client) {
        client.sql("create sequence entry start 1000000 cache 100").await;
        client.sql("insert into ledger select c * 1000 + r, c, '' from generate_series(0, 15) c, generate_series(1, 100) r").await;
    }

    /// Starts a run; nothing where there is no pgbench.
    pub async fn start(database: &Database, clients: usize, transactions: usize) -> Option<Pgbench> {
        let program = program().await?;
        let mut script = tempfile::NamedTempFile::new().unwrap();
        script.write_all(SCRIPT.as_bytes()).unwrap();
        let mut command = Command::new(program);
        command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--username=postgres", "--host"]);
        command.arg(database.cluster.socket_dir());
        command.arg(format!("--port={}", database.cluster.port()));
        command.arg(format!("--client={clients}")).arg(format!("--transactions={transactions}"));
        command.arg("--file").arg(script.path()).arg("postgres");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Some(Pgbench { child: command.spawn().unwrap(), _script: script })
    }

    pub async fn end(self) -> Outcome {
        let output = timeout(PATIENCE * 2, self.child.wait_with_output()).await;
        let output = output.expect("pgbench did not end").unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let said =
            |what: &str| stdout.lines().find_map(|line| line.strip_prefix(what)).map(|rest| rest.trim().to_owned());
        let processed = said("number of transactions actually processed:").unwrap_or_default();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // 15 tells its version there, and whom it serves
        let stderr = stderr.lines().filter(|line| !line.starts_with("pgbench (")).collect::<Vec<_>>().join("\n");
        Outcome {
            succeeded: output.status.success(),
            processed: processed.split('/').next().and_then(|number| number.parse().ok()).unwrap_or(0),
            failed: said("number of failed transactions:"),
            stderr,
        }
    }
}
