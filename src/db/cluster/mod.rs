//! A private PostgreSQL server: for the demo, for tests, and for `tidewire up` without a database of one's own.
//!
//! It listens on a socket in a folder that no other account can enter, and trusts whoever comes that way. On 127.0.0.1,
//! where every account of the machine can knock, a temporary cluster listens only if asked to, and each asks for a
//! password, which lies in the data folder. A temporary cluster is gone, process and folder, when it is dropped or this
//! process dies; a kept one survives its server.

mod account;
mod binaries;
mod folder;
mod server;
mod trust;
mod watchdog;

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use self::account::Account;
pub use self::binaries::{BINDIR_VARIABLE, Binaries, Version};
use self::folder::{Folder, TemporaryFolder};
use self::server::{LaunchError, Launcher, PidFile, Server, previous_port};
use self::watchdog::Watchdog;
use crate::error::{Error, ErrorKind, Result};

/// How often another free port is tried: somebody else may take one between our finding it and the server's binding it.
const PORT_TRIES: usize = 10;

/// The number of a socket in a folder of its own, where there is no other: PostgreSQL's usual one.
const SOCKET_NUMBER: u16 = 5432;

/// The longest path that a socket may have: `sun_path` is 108 bytes on Linux and 104 on macOS, the last one zero.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// It ends its clients' connections, writes all to the disk and stops.
    Fast,
    /// It stops on the spot and recovers at its next start.
    Immediate,
}

impl StopMode {
    fn as_str(self) -> &'static str {
        match self {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        }
    }

    /// The signals that bring a server to its end, each harder than the one before.
    fn signals(self) -> &'static [Signal] {
        const ALL: [Signal; 3] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL];
        match self {
            StopMode::Fast => &ALL,
            StopMode::Immediate => &ALL[1..],
        }
    }
}

/// What server it shall be.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The server's programs; none to find them.
    pub binaries: Option<Binaries>,
    /// The data folder of a kept cluster, filled if it is empty; none for a temporary one.
    pub data_dir: Option<PathBuf>,
    /// Where a temporary cluster's folder is made; none for where `TMPDIR` says.
    pub temporary_in: Option<PathBuf>,
    /// Whether it listens on 127.0.0.1 too, where it asks for a password.
    pub tcp: bool,
    /// The port; none for a kept cluster's last one, if it is free, or any free one.
    pub port: Option<u16>,
    /// Further settings of the server; they come last and so have the last word.
    pub settings: Vec<(String, String)>,
    /// Whether what was committed survives a crash of the machine.
    pub durable: bool,
    /// An initialised data folder to copy where otherwise `initdb` would fill a new one. Its server must have been
    /// stopped in mode fast.
    pub template: Option<PathBuf>,
}

impl ClusterOptions {
    /// A temporary cluster that listens on its socket alone, not durable.
    pub fn temporary() -> Self {
        ClusterOptions {
            binaries: None,
            data_dir: None,
            temporary_in: None,
            tcp: false,
            port: None,
            settings: Vec::new(),
            durable: false,
            template: None,
        }
    }

    /// A durable cluster that stays in `data_dir`, and listens on 127.0.0.1 too: any client can use it.
    pub fn kept(data_dir: impl Into<PathBuf>) -> Self {
        ClusterOptions { data_dir: Some(data_dir.into()), tcp: true, durable: true, ..ClusterOptions::temporary() }
    }

    async fn find_binaries(&self) -> Result<Binaries> {
        match &self.binaries {
            Some(binaries) => Ok(binaries.clone()),
            None => Binaries::find().await,
        }
    }

    /// All settings of the server but its port.
    fn server_settings(&self, socket_dir: &str) -> Vec<(String, String)> {
        // A list of folders, in which quotes keep what is one folder one.
        let socket_dir = format!("\"{}\"", socket_dir.replace('"', "\"\""));
        // The default of ten slots and ten walsenders is enough: Tidewire takes one of each a database.
        let mut settings = vec![
            ("listen_addresses", if self.tcp { "127.0.0.1" } else { "" }),
            ("unix_socket_directories", &socket_dir),
            ("wal_level", "logical"),
            // Its log is one file, in English, because it is read here when the server does not start.
            ("log_destination", "stderr"),
            ("logging_collector", "off"),
            ("lc_messages", "C"),
        ];
        if !self.durable {
            // Not synchronous_commit: a walsender sends what was flushed, and without it that is some 200 ms behind.
            settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        settings.chain(self.settings.iter().cloned()).collect()
    }
}

/// A running PostgreSQL server. Dropping it stops the server and waits for that, and removes a temporary cluster's folder.
pub struct Cluster {
    // In this order they are dropped: the server, its folders, then who would have cleared all away.
    server: Option<Server>,
    temporary: Option<TemporaryFolder>,
    /// Where its socket is, if not in the data folder.
    socket_folder: Option<TemporaryFolder>,
    watchdog: Option<Watchdog>,
    /// How to start the server again; none if it is not ours.
    launcher: Option<Launcher>,
    account: Account,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    is_on_tcp: bool,
    port: u16,
    pid: u32,
    url: String,
    tcp_url: Option<String>,
}

/// A folder for a socket that only the account can reach: the data folder, or where its path is too long for a socket's
/// a temporary one.
struct SocketFolder {
    path: String,
    made: Option<TemporaryFolder>,
}

impl SocketFolder {
    async fn of(data: &Path, account: &Account) -> Result<SocketFolder> {
        if let Some(path) = data.to_str().filter(|path| path.len() + "/.s.PGSQL.65535".len() <= SOCKET_PATH_LIMIT) {
            return Ok(SocketFolder { path: path.to_owned(), made: None });
        }
        let made = TemporaryFolder::short(account).await?;
        Ok(SocketFolder { path: made.path().to_string_lossy().into_owned(), made: Some(made) })
    }
}

impl Cluster {
    /// Starts the server and returns when it accepts connections.
    ///
    /// If one runs on the data folder already, that one is taken, with the port and the settings that it has; it runs on
    /// when this is dropped.
    pub async fn start(options: ClusterOptions) -> Result<Cluster> {
        match &options.data_dir {
            Some(data_dir) => Cluster::start_kept(&options, &std::path::absolute(data_dir)?).await,
            None => Cluster::start_temporary(&options).await,
        }
    }

    /// The server that runs on the folder of a kept cluster, if one does. Nothing is made or started; the server runs on
    /// when this is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a folder or a server that belongs to another account.
    pub async fn running(data_dir: &Path) -> Result<Option<Cluster>> {
        let data = std::path::absolute(data_dir)?;
        if !data.join("PG_VERSION").exists() {
            return Ok(None);
        }
        let Folder { account, .. } = Folder::open(&data).await?;
        let running = PidFile::running(&data, &account).await?;
        running.map(|running| Cluster::attach(&data, running, account)).transpose()
    }

    async fn start_temporary(options: &ClusterOptions) -> Result<Cluster> {
        let binaries = options.find_binaries().await?;
        let account = Account::for_new_folder()?;
        let temporary = TemporaryFolder::create(options.temporary_in.as_deref(), &account).await?;
        let data = temporary.path().join("data");
        let socket = SocketFolder::of(&data, &account).await?;
        let mode = StopMode::Immediate;
        let folders = [Some(&temporary), socket.made.as_ref()];
        let folders: Vec<_> = folders.into_iter().flatten().map(TemporaryFolder::path).collect();
        let watchdog = Watchdog::spawn(&account, &binaries, &data, mode, &folders)?;
        match &options.template {
            Some(template) => folder::copy(template, &data).await?,
            None => folder::initialise(&data, &account, &binaries, options.durable).await?,
        }
        Cluster::launch(options, (binaries, account), data, socket, Some((temporary, watchdog))).await
    }

    async fn start_kept(options: &ClusterOptions, data: &Path) -> Result<Cluster> {
        let Folder { account, major } = Folder::open(data).await?;
        if let Some(running) = PidFile::running(data, &account).await? {
            return Cluster::attach(data, running, account);
        }
        let binaries = match major {
            Some(major) => Binaries::find_major(major).await.map_err(|error| {
                error.context(format!("data folder \"{}\" was made by PostgreSQL {major}", data.display()))
            })?,
            None => options.find_binaries().await?,
        };
        match (major, &options.template) {
            (Some(_), _) => {}
            (None, Some(template)) => folder::copy(template, data).await?,
            (None, None) => folder::initialise(data, &account, &binaries, options.durable).await?,
        }
        let socket = SocketFolder::of(data, &account).await?;
        Cluster::launch(options, (binaries, account), data.to_owned(), socket, None).await
    }

    async fn launch(
        options: &ClusterOptions,
        (binaries, account): (Binaries, Account),
        data_dir: PathBuf,
        socket: SocketFolder,
        temporary: Option<(TemporaryFolder, Watchdog)>,
    ) -> Result<Cluster> {
        let settings = options.server_settings(&socket.path);
        let stop_mode = if temporary.is_some() { StopMode::Immediate } else { StopMode::Fast };
        let launcher = Launcher { binaries, account: account.clone(), data: data_dir.clone(), settings, stop_mode };
        let (temporary, watchdog) = temporary.unzip();
        let mut cluster = Cluster {
            server: None,
            temporary,
            socket_folder: socket.made,
            watchdog,
            launcher: Some(launcher),
            account,
            data_dir,
            socket_dir: socket.path.into(),
            is_on_tcp: options.tcp,
            port: 0,
            pid: 0,
            url: String::new(),
            tcp_url: None,
        };
        // A copy of a template carries the template's last port.
        let port = match options.port {
            None if !options.tcp => Some(SOCKET_NUMBER),
            None if cluster.temporary.is_none() => previous_port(&cluster.data_dir, &cluster.account),
            port => port,
        };
        cluster.run(port, options.port.is_some()).await?;
        Ok(cluster)
    }

    fn attach(data: &Path, running: PidFile, account: Account) -> Result<Cluster> {
        let mut cluster = Cluster {
            server: None,
            temporary: None,
            socket_folder: None,
            watchdog: None,
            launcher: None,
            account,
            data_dir: data.to_owned(),
            is_on_tcp: running.is_on_tcp(),
            port: running.port,
            pid: running.pid,
            socket_dir: data.join(running.socket_dir),
            url: String::new(),
            tcp_url: None,
        };
        cluster.note_urls()?;
        Ok(cluster)
    }

    /// Notes where to connect. The password is for those who come over TCP; over the socket in the data folder, where
    /// nobody but the account can have put it, it is offered too: whoever keeps the cluster may have come to ask for it.
    fn note_urls(&mut self) -> Result<()> {
        let password = folder::password(&self.data_dir, &self.account)?;
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        let is_told = self.temporary.is_none() && self.socket_dir == self.data_dir;
        let (socket, port) = (encoded(&self.socket_dir), self.port);
        let on_socket = if is_told { password.as_str() } else { "" };
        self.url = format!("postgresql://postgres{on_socket}@/postgres?host={socket}&port={port}");
        self.tcp_url = self.is_on_tcp.then(|| format!("postgresql://postgres{password}@127.0.0.1:{port}/postgres"));
        Ok(())
    }

    /// Runs the server on `port`, or unless the port is `fixed` on a free one.
    async fn run(&mut self, port: Option<u16>, fixed: bool) -> Result<()> {
        let Some(launcher) = &self.launcher else {
            return Err(not_ours(&self.data_dir));
        };
        if self.watchdog.is_none() {
            let Launcher { binaries, account, data, stop_mode, .. } = launcher;
            let folders: Vec<_> = self.socket_folder.iter().map(TemporaryFolder::path).collect();
            self.watchdog = Some(Watchdog::spawn(account, binaries, data, *stop_mode, &folders)?);
        }
        let mut port = port.map_or_else(free_port, Ok)?;
        for _ in 0..PORT_TRIES {
            match launcher.launch(port).await {
                Ok(server) => {
                    self.pid = server.pid();
                    self.server = Some(server);
                    self.port = port;
                    return self.note_urls();
                }
                Err(LaunchError::PortTaken) if fixed => break,
                Err(LaunchError::PortTaken) => port = free_port()?,
                Err(LaunchError::Remains(error) | LaunchError::Other(error)) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("port {port} is in use by another program"))
            .hint("Stop that program, or choose another port."))
    }

    /// Stops the server and waits for its end. A server that is not ours runs on.
    pub async fn stop(&mut self, mode: StopMode) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.stop(mode).await?;
        }
        if self.temporary.is_none() {
            // From here on somebody else may run a server on this folder.
            self.watchdog = None;
        }
        Ok(())
    }

    /// Whether a server that is ours is there; one that is not ours is somebody else's to look after.
    pub fn is_running(&mut self) -> bool {
        self.launcher.is_none() || self.server.as_mut().is_some_and(Server::is_running)
    }

    /// Stops the server if it runs and starts it again, on the same port.
    pub async fn restart(&mut self, mode: StopMode) -> Result<()> {
        self.stop(mode).await?;
        self.run(Some(self.port), true).await
    }

    /// Where to connect over the socket: as the superuser `postgres` to the database `postgres`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same over TCP, with the password, if it listens there.
    pub fn tcp_url(&self) -> Option<&str> {
        self.tcp_url.as_deref()
    }

    /// The TCP port, on 127.0.0.1, and the number in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The number of the server's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the server was running before us, and so runs on after us.
    pub fn is_attached(&self) -> bool {
        self.launcher.is_none()
    }
}

impl fmt::Debug for Cluster {
    /// Without the URLs, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cluster { data_dir, port, pid, .. } = self;
        f.debug_struct("Cluster")
            .field("data_dir", data_dir)
            .field("port", port)
            .field("pid", pid)
            .finish_non_exhaustive()
    }
}

/// A path within a URL.
fn encoded(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn not_ours(data_dir: &Path) -> Error {
    let message = format!("the server on data folder \"{}\" was not started by this process", data_dir.display());
    Error::new(ErrorKind::InvalidInput, message)
}
