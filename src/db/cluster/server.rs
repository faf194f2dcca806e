//! The server's process: started, awaited, stopped; and what `postmaster.pid` says of one that runs already.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::{TcpStream, UnixStream};

use super::StopMode;
use super::account::Account;
use super::binaries::Binaries;
use super::{folder, trust};
use crate::error::{Error, ErrorKind, Result};

/// How often a process is looked at that we wait for: a server starts in some 50 ms.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// How long a server may take to stop before it is stopped harder: what `pg_ctl` allows.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What a server says that finds the processes of one that was killed, and how long they may take to notice that.
const REMAINS: &str = "pre-existing shared memory block";
const REMAINS_PATIENCE: Duration = Duration::from_secs(10);

/// The server's own log, in the data folder; the one of the start before has `.old` behind it.
const LOG_FILE: &str = "tidewire-server.log";

/// The last lines of the log that an error tells.
const LOG_LINES: usize = 8;

/// Runs a server on one data folder.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) data: PathBuf,
    pub(super) settings: Vec<(String, String)>,
    /// How the server stops when nobody says.
    pub(super) stop_mode: StopMode,
}

/// Why a server did not start.
pub(super) enum LaunchError {
    /// Somebody else listens on the port.
    PortTaken,
    /// A server was killed on this folder, and its processes are not all gone yet.
    Remains(Error),
    /// All the rest.
    Other(Error),
}

impl From<Error> for LaunchError {
    fn from(error: Error) -> Self {
        LaunchError::Other(error)
    }
}

impl Launcher {
    /// Starts the server and waits until it accepts connections, however long its recovery takes.
    pub(super) async fn launch(&self, port: u16) -> Result<Server, LaunchError> {
        let begun = Instant::now();
        loop {
            match self.try_launch(port).await {
                Err(LaunchError::Remains(_)) if begun.elapsed() < REMAINS_PATIENCE => tokio::time::sleep(GLANCE).await,
                Err(LaunchError::Remains(error)) => return Err(LaunchError::Other(error)),
                launched => return launched,
            }
        }
    }

    async fn try_launch(&self, port: u16) -> Result<Server, LaunchError> {
        let mut command = self.account.command("/bin/sh");
        // The shell opens the log as the account, which root could not do safely in a folder of somebody else's.
        command.args(["-c", r#"umask 077; mv -f "$0" "$0.old" 2>/dev/null; exec "$@" >"$0" 2>&1"#]).arg(self.log());
        command.arg(self.binaries.program("postgres")).arg("-D").arg(&self.data).args(["-p", &port.to_string()]);
        for (name, value) in &self.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        // A Ctrl-C in our terminal is for us: the server stops when we have stopped using it.
        command.process_group(0);
        let child = command.spawn().map_err(|error| Error::from(error).context("could not start /bin/sh"))?;
        let mut server = Server { child, stop_mode: self.stop_mode };
        loop {
            if let Some(status) = server.exited()? {
                return Err(self.explain(status));
            }
            if PidFile::read(&self.data, &self.account)?
                .is_some_and(|file| file.pid == server.pid() && matches!(file.status.as_str(), "ready" | "standby"))
            {
                return Ok(server);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn log(&self) -> OsString {
        self.data.join(LOG_FILE).into_os_string()
    }

    /// Why the server ended before it was ready, by its log.
    fn explain(&self, status: ExitStatus) -> LaunchError {
        let log = trust::read(Path::new(&self.log()), &self.account).ok().flatten().unwrap_or_default();
        if log.contains("Address already in use") {
            return LaunchError::PortTaken;
        }
        let lines: Vec<&str> = log.lines().collect();
        let message = format!("PostgreSQL did not start on data folder \"{}\": {status}", self.data.display());
        let error = Error::new(ErrorKind::Io, message)
            .detail(format!("Its log ends:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")));
        let error = folder::with_room(error, &log);
        if log.contains(REMAINS) { LaunchError::Remains(error) } else { LaunchError::Other(error) }
    }
}

/// A server that is our child. Dropping it stops it.
pub(super) struct Server {
    child: Child,
    stop_mode: StopMode,
}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server and waits for its end; harder after a minute, which costs a recovery but no data.
    pub(super) async fn stop(mut self, mode: StopMode) -> Result<()> {
        for signal in mode.signals() {
            self.signal(signal);
            let begun = Instant::now();
            while begun.elapsed() < STOP_PATIENCE {
                if self.exited()?.is_some() {
                    return Ok(());
                }
                tokio::time::sleep(GLANCE).await;
            }
        }
        Ok(())
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.exited(), Ok(None))
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn signal(&self, signal: &Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It fails only if the process is gone, which is what the signal is for.
            let _ = kill(Pid::from_raw(pid), *signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A signal is sent only while the process was not waited for yet, so never to one that got its number since.
        for signal in self.stop_mode.signals() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            self.signal(signal);
            let begun = Instant::now();
            while begun.elapsed() < STOP_PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(GLANCE);
            }
        }
    }
}

/// What a server says of itself in its data folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    pub(super) port: u16,
    /// Where its socket is; empty if it has none.
    pub(super) socket_dir: PathBuf,
    /// The first address that it listens at; empty if there is none.
    listens_at: String,
    /// `starting`, `ready`, `stopping` or `standby`.
    status: String,
}

impl PidFile {
    fn read(data: &Path, account: &Account) -> Result<Option<PidFile>> {
        let text = trust::read(&data.join("postmaster.pid"), account)?;
        Ok(text.and_then(|text| PidFile::parse(&text)))
    }

    /// Its lines are: pid, data folder, start time, port, socket folder, listen address, shared memory key, status.
    fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok()?;
        let port = lines.nth(2)?.parse().ok()?;
        let socket_dir = lines.next()?.into();
        let listens_at = lines.next()?.to_owned();
        let status = lines.nth(1)?.to_owned();
        Some(PidFile { pid, port, socket_dir, listens_at, status })
    }

    /// Whether it can be reached at 127.0.0.1.
    pub(super) fn is_on_tcp(&self) -> bool {
        matches!(self.listens_at.as_str(), "127.0.0.1" | "localhost" | "0.0.0.0" | "*")
    }

    /// Finds the server that runs on `data`. One that starts or stops is awaited; a file that a killed server left
    /// counts for nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a server that is not the account's, or that has no socket by which to tell.
    pub(super) async fn running(data: &Path, account: &Account) -> Result<Option<PidFile>> {
        let begun = Instant::now();
        while begun.elapsed() < STOP_PATIENCE {
            let Some(file) = PidFile::read(data, account)?.filter(|file| is_alive(file.pid)) else { return Ok(None) };
            match file.status.as_str() {
                // The number may be another process's by now: only a server answers there.
                "ready" | "standby" => return Ok(if file.answers(data, account).await? { Some(file) } else { None }),
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
        Ok(None)
    }

    /// Whether the account's server answers. Nothing is said to it, and to nobody else a password ever: the file says
    /// what the folder's owner likes.
    async fn answers(&self, data: &Path, account: &Account) -> Result<bool> {
        if self.socket_dir.as_os_str().is_empty() {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                return Ok(false);
            }
            return Err(foreign(data, "has no Unix socket"));
        }
        let socket = data.join(&self.socket_dir).join(format!(".s.PGSQL.{}", self.port));
        let Ok(stream) = UnixStream::connect(socket).await else { return Ok(false) };
        if account.is(stream.peer_cred()?.uid()) {
            return Ok(true);
        }
        Err(foreign(data, "is not run by the user whom the folder belongs to"))
    }
}

fn foreign(data: &Path, why: &str) -> Error {
    let message = format!("the server that runs on data folder \"{}\" {why}", data.display());
    Error::new(ErrorKind::InvalidInput, message).hint("Stop it, or name it with --database-url.")
}

fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM)))
}

/// The port of the server that ran on `data` before, by the command line that it left in `postmaster.opts`.
pub(super) fn previous_port(data: &Path, account: &Account) -> Option<u16> {
    let options = trust::read(&data.join("postmaster.opts"), account).ok()??;
    options.split_once(r#""-p" ""#)?.1.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_line_by_line() {
        let text = "4711\n/tmp/d\n1732395000\n54321\n/tmp/d\n127.0.0.1\n  1048640    131079\nready   \n";
        let file = PidFile {
            pid: 4711,
            port: 54321,
            socket_dir: PathBuf::from("/tmp/d"),
            listens_at: "127.0.0.1".to_owned(),
            status: "ready".to_owned(),
        };
        assert_eq!(PidFile::parse(text), Some(file));
    }

    #[test]
    fn a_pid_file_that_is_still_being_written_is_none() {
        assert_eq!(PidFile::parse("4711\n/tmp/d\n1732395000\n54321\n/tmp/d\n"), None);
        assert_eq!(PidFile::parse(""), None);
    }
}
