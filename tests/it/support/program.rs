//! The real program, run as a user runs it.

use std::process::{ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use tidewire::db::cluster::BINDIR_VARIABLE;

/// The program without what the environment would set for it, but for where PostgreSQL is. A URL with a password goes
/// into the environment: everybody on the machine can read a command line.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEWIRE_") && name != BINDIR_VARIABLE {
            command.env_remove(name);
        }
    }
    let named = args.iter().position(|arg| *arg == "--database-url");
    match named.map(|at| (at, args[at + 1])).filter(|(_, url)| has_password(url)) {
        Some((at, url)) => {
            command.args(&args[..at]).args(&args[at + 2..]).env("TIDEWIRE_DATABASE_URL", url);
        }
        None => {
            command.args(args);
        }
    }
    command.env_remove("NO_COLOR").stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn has_password(url: &str) -> bool {
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

/// Runs the program to its end.
pub async fn tidewire(args: &[&str]) -> Output {
    let output = timeout(PATIENCE, command(args).output()).await;
    output.unwrap_or_else(|_| panic!("tidewire {} did not end in {PATIENCE:?}", args.join(" "))).unwrap()
}

/// A running program. It is killed when this is dropped; if the test failed, what it wrote is shown.
pub struct Tidewire {
    child: Child,
    stdout: Written,
    stderr: Written,
}

impl Tidewire {
    /// Runs `tidewire up` and returns when it says that it is ready.
    pub async fn up(url: &str) -> Tidewire {
        Tidewire::up_with(url, &[]).await
    }

    /// The same, with further arguments.
    pub async fn up_with(url: &str, args: &[&str]) -> Tidewire {
        let mut tidewire = Tidewire::spawn(&[&["up", "--database-url", url], args].concat());
        let ready = tidewire.stdout.wait_until(|text| text.lines().any(|line| line.starts_with("ready"))).await;
        if let Err(reason) = ready {
            // To its last word, which is what the failed test shows.
            tidewire.child.start_kill().unwrap();
            let _ = tidewire.stderr.wait_until(|_| false).await;
            panic!("tidewire up did not become ready: {reason}");
        }
        tidewire
    }

    /// Starts the program and does not wait for anything.
    pub fn spawn(args: &[&str]) -> Tidewire {
        Tidewire::run(command(args))
    }

    /// Starts `tidewire up`, which dies when it comes to a crash point (`before_commit:3`), and does not wait for anything.
    pub fn doomed(url: &str, at: &str) -> Tidewire {
        let mut command = command(&["up", "--database-url", url]);
        command.env(tidewire::crash::VARIABLE, at);
        Tidewire::run(command)
    }

    /// Starts `tidewire up` with a variable of `tidewire::crash`, and returns when it is ready.
    pub async fn up_armed(url: &str, variable: &str, value: &str, args: &[&str]) -> Tidewire {
        let mut command = command(&[&["up", "--database-url", url], args].concat());
        command.env(variable, value);
        let tidewire = Tidewire::run(command);
        tidewire.lines(1).await;
        tidewire
    }

    /// Starts `tidewire up`, one of whose tasks panics when it goes round for the so many-th time (`upkeep:2`).
    pub fn panicking(url: &str, at: &str, args: &[&str]) -> Tidewire {
        let mut command = command(&[&["up", "--database-url", url], args].concat());
        command.env(tidewire::crash::PANIC_VARIABLE, at);
        Tidewire::run(command)
    }

    pub fn run(mut command: Command) -> Tidewire {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Written::collect(child.stdout.take().unwrap());
        let stderr = Written::collect(child.stderr.take().unwrap());
        Tidewire { child, stdout, stderr }
    }

    /// Asks the program to end, as a service manager does, and waits for that.
    pub async fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), Signal::SIGTERM).unwrap();
        self.wait().await
    }

    /// Waits for the program's end.
    pub async fn wait(&mut self) -> ExitStatus {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.unwrap_or_else(|_| panic!("tidewire did not end in {PATIENCE:?}")).unwrap()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id() {
            super::fault::signal(pid, signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Kills the program on the spot, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// A figure of `/proc/PID/status`, in MB: `VmHWM` is the most that the process has ever had in memory, `VmRSS` what it has now.
    pub fn megabytes(&self, figure: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
        line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").trim().parse::<usize>().unwrap() / 1024
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("tidewire has ended")
    }

    /// Waits until the log, which goes to stderr, holds `needle`.
    pub async fn wait_for_log(&self, needle: &str) {
        if let Err(reason) = self.stderr.wait_until(|text| text.contains(needle)).await {
            panic!("the log does not hold \"{needle}\": {reason}");
        }
    }

    /// The first `count` lines on stdout, once there are so many.
    pub async fn lines(&self, count: usize) -> Vec<String> {
        if let Err(reason) = self.stdout.wait_until(|text| text.lines().count() >= count).await {
            panic!("there are not {count} lines on stdout: {reason}");
        }
        self.stdout().lines().take(count).map(str::to_owned).collect()
    }

    /// What the program has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text.borrow().clone()
    }

    /// What the program has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.borrow().clone()
    }
}

impl Drop for Tidewire {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- tidewire's stdout\n{}--- tidewire's stderr\n{}---", self.stdout(), self.stderr());
        }
    }
}

/// What came out of a stream, line by line.
struct Written {
    text: watch::Receiver<String>,
    reader: JoinHandle<()>,
}

impl Written {
    fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Written {
        let (sender, text) = watch::channel(String::new());
        let reader = tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
                sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
        });
        Written { text, reader }
    }

    /// Waits until what came out fulfils `condition`; says why it never will.
    async fn wait_until(&self, condition: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut text = self.text.clone();
        match timeout(PATIENCE, text.wait_for(|text| condition(text))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the program has ended".to_owned()),
            Err(_) => Err(format!("nothing of it in {PATIENCE:?}")),
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
