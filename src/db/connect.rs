//! Connections.

use std::future::poll_fn;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::User;
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::environment::{self, Environment};
use super::login;
use super::ownership::Trust;
use super::parameters::{self, Given};
use super::passfile::{self, Source, Wanted};
use super::pooler::Mark;
use crate::error::{Error, ErrorKind, Result};
use crate::position::Lsn;
use crate::wal::StreamOptions;

/// A database to connect to.
#[derive(Clone)]
pub struct Target {
    config: Config,
    trust: Trust,
    password_source: Source,
}

/// Where servers put their sockets: Debian's and Red Hat's packages, then PostgreSQL itself.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// A connection and what arrives on it unasked.
pub struct Connection {
    /// For statements.
    pub client: Client,
    /// The notifications of the channels that it listens to.
    pub notifications: mpsc::UnboundedReceiver<Notification>,
}

impl FromStr for Target {
    type Err = Error;

    /// What a user names: libpq's environment variables stand in for what the URL leaves open, or are refused.
    fn from_str(url: &str) -> Result<Self> {
        Target::read(url, &Environment(&|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned())))
    }
}

impl Target {
    /// A server of our own, which the environment is not about.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no URL.
    pub fn private(url: &str) -> Result<Self> {
        Target::read(url, &Environment(&|_| None))
    }

    fn read(url: &str, environment: &Environment<'_>) -> Result<Self> {
        if url.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "the database URL is empty")
                .hint("For the local server, as psql finds it: postgresql:///database"));
        }
        if parameters::has_raw_password(url) {
            return Err(Error::new(ErrorKind::InvalidInput, "the database URL has an \"@\" too many")
                .hint("In a password or a name write %40 for @, %2F for / and %3A for : there."));
        }
        let Given { parameters, port_at } = parameters::given(url);
        environment::check_parameters(&parameters)?;
        let mut url = url.to_owned();
        let port = environment.get("port");
        if let (Some(at), Some(port)) = (port_at, &port) {
            url.insert_str(at, &format!(":{}", number::<u16>("PGPORT", port)?));
        }
        let mut config = Config::from_str(&parameters::without(&url, environment::is_ours)).map_err(|source| {
            // the text may hold a password: it is not repeated
            Error::new(ErrorKind::InvalidInput, format!("the database URL cannot be read: {source}"))
                .hint("It looks like postgresql://user:password@host:5432/database, or host=... user=... dbname=...")
        })?;
        if let (true, Some(port)) = (config.get_ports().is_empty(), &port) {
            config.port(number("PGPORT", port)?);
        }
        if config.get_hosts().is_empty() {
            let port = config.get_ports().first().copied().unwrap_or(5432);
            for host in environment.get("host").unwrap_or_else(|| nearest(port)).split(',') {
                config.host(host);
            }
        }
        if config.get_user().is_none() {
            config.user(environment.get("user").or_else(account).unwrap_or("postgres".into()));
        }
        if config.get_dbname().is_none() {
            let name = environment.get("dbname").unwrap_or_else(|| config.get_user().unwrap_or("postgres").to_owned());
            config.dbname(name);
        }
        if let (None, Some(password)) = (config.get_password(), environment.get("password")) {
            config.password(password);
        }
        let value_of = |name: &str| parameters.iter().rfind(|parameter| parameter.name == name);
        if config.get_hosts().len() > 1 {
            return Err(Error::new(ErrorKind::InvalidInput, "the database URL names several hosts")
                .detail("The write-ahead log is read from one server: the primary.")
                .hint("Name the primary alone."));
        }
        let is_socket = matches!(config.get_hosts(), [Host::Unix(_)]);
        environment::check_variables(environment, &parameters, is_socket)?;
        let mode = value_of("sslmode").map(|given| given.value.clone()).or_else(|| environment.get("sslmode"));
        let mode = mode.filter(|_| !is_socket).unwrap_or_default();
        environment.check_authorities(&mode)?;
        let is_encrypted = environment::is_encrypted(&mode);
        config.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        if let (None, Some(seconds)) = (value_of("connect_timeout"), environment.get("connect_timeout"))
            && let seconds @ 1.. = number::<i32>("PGCONNECT_TIMEOUT", &seconds)?
        {
            config.connect_timeout(Duration::from_secs(seconds.unsigned_abs().into()));
        }
        config.application_name("tidewire");
        // a server whose machine is gone does not say so
        config.keepalives_idle(Duration::from_secs(20));
        config.keepalives_interval(Duration::from_secs(5));
        config.tcp_user_timeout(Duration::from_secs(40));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        let file =
            value_of("passfile").map(|given| PathBuf::from(&given.value)).or_else(|| environment.password_file());
        let mut target = Target { config, trust: Trust::default(), password_source: Source::None };
        if let (None, Some(file)) = (target.config.get_password(), file) {
            target.look_up_password(&file);
        }
        Ok(target)
    }

    fn look_up_password(&mut self, file: &Path) {
        let folder = self.host();
        // as libpq has it: the usual folder of the socket is written as localhost
        let host = if SOCKET_FOLDERS.contains(&folder.as_str()) { "localhost" } else { &folder };
        let wanted = Wanted { host, port: self.port(), database: self.database(), user: self.user() };
        let (password, source) = passfile::look_up(file, &wanted);
        self.password_source = source;
        if let Some(password) = password {
            self.config.password(password);
        }
    }
}

/// The socket of the local server, or the loopback address if there is none. Everybody may put a
/// socket into a folder like /tmp, and would get the password: it has to be root's, our own, or
/// PostgreSQL's.
pub(super) fn nearest(port: u16) -> String {
    let accounts = [nix::unistd::geteuid().as_raw(), 0];
    let server = User::from_name("postgres").ok().flatten().map(|user| user.uid.as_raw());
    let is_trusted = |folder: &&&str| {
        std::fs::symlink_metadata(Path::new(folder).join(format!(".s.PGSQL.{port}")))
            .is_ok_and(|socket| accounts.contains(&socket.uid()) || server == Some(socket.uid()))
    };
    SOCKET_FOLDERS.iter().find(is_trusted).map_or("127.0.0.1", |folder| folder).to_owned()
}

/// The name of the account that this process runs as, which psql takes for the role's.
fn account() -> Option<String> {
    User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
}

fn number<T: FromStr>(variable: &str, value: &str) -> Result<T> {
    value.trim().parse().map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("{variable} is no number"))
            .hint(format!("Unset {variable}, or set it right."))
    })
}

impl Target {
    pub(super) fn is_socket(&self) -> bool {
        matches!(self.config.get_hosts(), [Host::Unix(_)])
    }

    pub(super) fn password_source(&self) -> &Source {
        &self.password_source
    }

    pub(super) fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            _ => "127.0.0.1".to_owned(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    /// The same database, where also the functions of a role with fewer rights may be run.
    pub fn trusting(self, trust: Trust) -> Self {
        Target { trust, ..self }
    }

    /// Whose functions may be run there.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The role's name.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or("postgres")
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or("postgres")
    }

    /// The URL without its password: fit to be shown.
    pub fn display(&self) -> String {
        let host = self.host();
        if host.starts_with('/') {
            format!("postgresql://{}@/{}?host={host}&port={}", self.user(), self.database(), self.port())
        } else {
            format!("postgresql://{}@{host}:{}/{}", self.user(), self.port(), self.database())
        }
    }

    fn is_tls(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }

    /// The same place, for the stream.
    pub fn stream_options(&self, slot: &str, publication: &str, encoding: &str) -> StreamOptions {
        StreamOptions {
            host: self.host(),
            port: self.port(),
            user: self.user().to_owned(),
            password: String::from_utf8_lossy(self.config.get_password().unwrap_or_default()).into_owned(),
            database: self.database().to_owned(),
            tls: self.is_tls(),
            slot: slot.to_owned(),
            publication: publication.to_owned(),
            encoding: encoding.to_owned(),
            start: Lsn::default(),
        }
    }

    /// What cancels a statement of that connection, also after the client was dropped.
    pub fn canceller(&self, client: &Client) -> Canceller {
        Canceller { token: client.cancel_token(), is_tls: self.is_tls() }
    }

    /// [`Target::connect`] for statements of our own. They run with our rights and name what they use without a schema
    /// where it is PostgreSQL's: no search path of the database's may put something else in its place; and they rest for as
    /// long as there is nothing to do.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub async fn connect_pinned(&self) -> Result<Connection> {
        let connection = self.connect().await?;
        connection
            .client
            .batch_execute(
                "set search_path = pg_catalog, pg_temp; set default_transaction_isolation = 'read committed';
                 set default_transaction_read_only = off; set idle_session_timeout = 0",
            )
            .await
            .map_err(error)?;
        Ok(connection)
    }

    /// Connects. With `sslmode=require` the connection is encrypted and the server's certificate verified; otherwise it
    /// is plain.
    ///
    /// # Errors
    /// [`ErrorKind::Connection`] when the server can't be reached, [`ErrorKind::Authentication`]
    /// when it refuses, [`ErrorKind::Setup`] when a pooler answers; the hint says what helps.
    pub async fn connect(&self) -> Result<Connection> {
        let mut config = self.config.clone();
        let mark = Mark::new();
        config.options(mark.options());
        let failed = |source| login::failed(self, source);
        let connection = if self.is_tls() {
            let (client, connection) = config.connect(tls()?).await.map_err(failed)?;
            Connection { client, notifications: drive(connection) }
        } else {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            Connection { client, notifications: drive(connection) }
        };
        mark.check(&connection.client, self).await?;
        Ok(connection)
    }
}

fn tls() -> Result<MakeRustlsConnect> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::new(ErrorKind::Setup, "TLS cannot be set up").source(source))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// How long a request to cancel may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(3);

/// Ends what a connection is waiting for in the server.
pub struct Canceller {
    token: CancelToken,
    is_tls: bool,
}

impl Canceller {
    /// Asks the server to cancel the statement; whether it does cannot be told.
    pub async fn cancel(&self) {
        let asked = async {
            match tls() {
                Ok(tls) if self.is_tls => self.token.cancel_query(tls).await.is_ok(),
                _ => self.token.cancel_query(NoTls).await.is_ok(),
            }
        };
        let _ = tokio::time::timeout(CANCEL_WITHIN, asked).await;
    }
}

/// Runs the connection until it ends; the client's statements then fail as closed.
fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>) -> mpsc::UnboundedReceiver<Notification>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification);
            }
        }
    });
    receiver
}

/// What a failed statement means for us.
pub fn error(source: tokio_postgres::Error) -> Error {
    let Some(db) = source.as_db_error() else {
        let mut text = source.to_string();
        if let Some(cause) = std::error::Error::source(&source) {
            text = format!("{text}: {cause}");
        }
        if text.ends_with("password missing") {
            return Error::new(ErrorKind::Authentication, "the server asks for a password, and none was given")
                .source(source);
        }
        return Error::new(ErrorKind::Connection, text).source(source);
    };
    let code = db.code();
    let kind = match code.code().get(..2) {
        Some("28") => ErrorKind::Authentication,
        // operator intervention, connection exceptions, too many connections
        Some("57" | "08") => ErrorKind::Connection,
        Some("53") if *code == SqlState::TOO_MANY_CONNECTIONS => ErrorKind::Connection,
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => ErrorKind::Setup,
        _ if *code == SqlState::UNDEFINED_DATABASE => ErrorKind::Setup,
        _ => ErrorKind::Database,
    };
    let mut error = Error::new(kind, db.message());
    if let Some(detail) = db.detail() {
        error = error.detail(detail);
    }
    if let Some(hint) = db.hint() {
        error = error.hint(hint);
    }
    error.source(source)
}

/// Why a statement failed that fails again whenever it is sent, as an SQLSTATE; `None`: it was the connection, the server's state,
/// or what somebody else did. Classes as in the manual, appendix A.
pub fn code_of_its_own(failed: &Error) -> Option<String> {
    let source = std::error::Error::source(failed)?.downcast_ref::<tokio_postgres::Error>()?;
    let Some(code) = source.code() else {
        // it did not become a message, as when one is longer than the protocol allows
        let text = source.to_string();
        return ["error serializing", "error encoding"]
            .iter()
            .any(|way| text.starts_with(way))
            .then(|| "too_long".into());
    };
    // connection, authorization, transaction state, rollback, resources, not in its state, intervention, system
    let elsewhere = ["08", "25", "28", "40", "53", "55", "57", "58"];
    let code = code.code();
    (!elsewhere.iter().any(|class| code.starts_with(class))).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_password() {
        let target: Target = "postgresql://ann:secret@db.example:6000/shop?sslmode=require".parse().unwrap();
        assert_eq!(target.display(), "postgresql://ann@db.example:6000/shop");
        let target: Target = "host=/run/pg user=ann password=secret dbname=shop".parse().unwrap();
        assert!(!target.display().contains("secret"));
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let Err(error) = "postgresql://ann:secret@host:port/shop".parse::<Target>() else { panic!() };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
