//! On what it was measured: machine, versions, settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::rig::{Disk, Rig};

/// What of the server's settings decides the figures.
const SETTINGS: [&str; 9] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "logical_decoding_work_mem",
];

pub struct Machine {
    pub date: String,
    pub commit: String,
    arguments: String,
    processor: String,
    processors: usize,
    memory: String,
    kernel: String,
    disk: String,
    load: String,
    server: String,
    settings: Vec<(String, String)>,
}

impl Machine {
    /// Asks a server of the kind that most groups use.
    pub async fn look(arguments: String) -> Self {
        let rig = Rig::start(Disk::Durable).await;
        let mut settings = Vec::new();
        for name in SETTINGS {
            let value = rig.text(&format!("select current_setting('{name}')")).await;
            settings.push((name.to_owned(), value));
        }
        let is_changed = !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = output("git", &["rev-parse", "--short", "HEAD"]);
        Machine {
            date: rig.text("select to_char(now() at time zone 'utc', 'YYYY-MM-DD')").await,
            commit: if is_changed { format!("{commit}-changed") } else { commit },
            arguments,
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory: line_of("/proc/meminfo", "MemTotal").unwrap_or_default(),
            kernel: output("uname", &["-sr"]),
            disk: file_system(rig.cluster.data_dir()),
            load: fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("").to_owned(),
            server: rig.binaries.version().to_string(),
            settings,
        }
    }

    /// The table's head.
    pub fn print(&self) {
        let version = env!("CARGO_PKG_VERSION");
        println!("PostgreSQL {}, tidewire {version} ({}), {}", self.server, self.commit, self.date);
        println!("{} processors ({}), {}, {}", self.processors, self.processor, self.memory, self.kernel);
        let settings: Vec<String> = self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        println!("{}; data folder on {}", settings.join(", "), self.disk);
        println!("Clients, server and Tidewire share these processors. Load before the start: {}", self.load);
        println!(
            "Rival and Tidewire take turns, round by round; each figure is the median (least - most) of the rounds."
        );
        if self.disk == "tmpfs" {
            println!("THE DATA FOLDER IS IN MEMORY: fsync costs nothing here. Set TMPDIR to a folder on a disk.");
        }
    }

    pub fn json(&self) -> Value {
        let settings: serde_json::Map<_, _> =
            self.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "date": self.date,
            "commit": self.commit,
            "arguments": self.arguments,
            "tidewire": env!("CARGO_PKG_VERSION"),
            "postgresql": self.server,
            "settings": settings,
            "processor": self.processor,
            "processors": self.processors,
            "memory": self.memory,
            "kernel": self.kernel,
            "file_system": self.disk,
            "load_before": self.load,
        })
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What is mounted at the longest path above.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    mounts.max_by_key(|(length, _)| *length).map_or("unknown".to_owned(), |(_, kind)| kind)
}
