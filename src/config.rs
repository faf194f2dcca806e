//! What was typed, set and written down, made into what the program needs: flag, then `TIDEWIRE_*`, then `tidewire.toml`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::db::Target;
use crate::error::{Error, ErrorKind, Result};

/// The settings file's name, looked for in the current folder.
pub const FILE: &str = "tidewire.toml";

/// The mode of what everybody may write.
const OTHERS_WRITE: u32 = 0o002;

/// `tidewire.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// See `--database-url`.
    pub database_url: Option<String>,
    /// See `--trust-owner`.
    pub trust_owner: Option<String>,
    /// See `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// See `--inbox-max-size`.
    pub inbox_max_size: Option<String>,
    /// See `--inbox-max-age`.
    pub inbox_max_age: Option<String>,
    /// See `--role-max-sessions`.
    pub role_max_sessions: Option<u32>,
    /// See `--role-max-subscriptions`.
    pub role_max_subscriptions: Option<u32>,
    /// See `--role-max-inbox-size`.
    pub role_max_inbox_size: Option<String>,
    /// See `--listen`.
    pub listen: Option<String>,
    /// See `--stall-after`.
    pub stall_after: Option<u64>,
    /// See `--log`.
    pub log: Option<String>,
    /// See `--log-row-data`.
    pub log_row_data: Option<bool>,
    /// Why the file in the current folder was left out, if it was.
    #[serde(skip)]
    pub left_out: Option<String>,
}

/// What an inbox may hold before it is emptied and its session told of a gap, and what one role may keep. Sizes and intervals are
/// written as PostgreSQL writes them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// All events together, in the database.
    pub inbox_size: String,
    /// The oldest event.
    pub inbox_age: String,
    /// Sessions that a role may own.
    pub role_sessions: u32,
    /// Subscriptions that a role's sessions may have.
    pub role_subscriptions: u32,
    /// All inboxes of a role together.
    pub role_inbox_size: String,
}

impl Default for Limits {
    /// 1 GB: enough for millions of events, and a dozen dead sessions do not fill a laptop's disk. 7 days: whoever was away
    /// for longer starts from the table.
    ///
    /// A role: 20,000 sessions, twice as many as the connections of the largest servers; upkeep weighs so many inboxes in
    /// less than a second. 2,000,000 subscriptions: twice a million, with which everything is measured, and less than 3 GB of the engine's memory
    /// at the longest keys. 8 GB of inboxes: eight sessions that nobody reads, and a disk of 20 GB survives them.
    fn default() -> Self {
        Limits {
            inbox_size: "1GB".into(),
            inbox_age: "7 days".into(),
            role_sessions: 20_000,
            role_subscriptions: 2_000_000,
            role_inbox_size: "8GB".into(),
        }
    }
}

/// The options of `tidewire up` that set limits.
#[derive(Debug, Default, Args)]
pub struct LimitArgs {
    /// How much an inbox may hold before it is emptied and its session told of a gap
    #[arg(
        long,
        env = "TIDEWIRE_INBOX_MAX_SIZE",
        value_name = "SIZE",
        help = "How much an inbox may hold before it is emptied and its session told of a gap [default: 1GB]"
    )]
    pub inbox_max_size: Option<String>,
    /// How old an inbox's oldest event may be before the same happens
    #[arg(
        long,
        env = "TIDEWIRE_INBOX_MAX_AGE",
        value_name = "INTERVAL",
        help = "How old its oldest event may be before the same happens [default: '7 days']"
    )]
    pub inbox_max_age: Option<String>,
    /// How many sessions a role may own
    #[arg(
        long,
        env = "TIDEWIRE_ROLE_MAX_SESSIONS",
        value_name = "NUMBER",
        help = "How many sessions a role may own, unless event.limit_role says otherwise [default: 20000]"
    )]
    pub role_max_sessions: Option<u32>,
    /// How many subscriptions a role's sessions may have
    #[arg(
        long,
        env = "TIDEWIRE_ROLE_MAX_SUBSCRIPTIONS",
        value_name = "NUMBER",
        help = "How many subscriptions a role's sessions may have together [default: 2000000]"
    )]
    pub role_max_subscriptions: Option<u32>,
    /// How much all inboxes of a role may hold before the largest are emptied
    #[arg(
        long,
        env = "TIDEWIRE_ROLE_MAX_INBOX_SIZE",
        value_name = "SIZE",
        help = "How much all inboxes of a role may hold before the largest are emptied [default: 8GB]"
    )]
    pub role_max_inbox_size: Option<String>,
}

impl File {
    /// Reads the file; an absent one is an empty one, unless it was asked for by name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file that cannot be read or has a setting that does not exist.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let shown = path.unwrap_or(Path::new(FILE)).display();
        let read = match path {
            Some(path) => std::fs::read_to_string(path),
            None => match found()? {
                Found::File(file) => std::io::read_to_string(file),
                Found::Nothing => return Ok(File::default()),
                Found::Unreadable(why) => return Ok(File { left_out: Some(why), ..File::default() }),
            },
        };
        let text = read.map_err(|source| {
            Error::new(ErrorKind::InvalidInput, format!("cannot read {shown}: {source}")).source(source)
        })?;
        toml::from_str(&text).map_err(|source| {
            // the whole message quotes the line, which may hold a password
            Error::new(ErrorKind::InvalidInput, format!("{shown}: {}", source.message())).hint(
                "It knows database-url, trust-owner, data-dir, listen, stall-after, inbox-max-size, inbox-max-age, role-max-sessions, \
                 role-max-subscriptions, role-max-inbox-size, log and log-row-data.",
            )
        })
    }
}

/// What the current folder has.
enum Found {
    Nothing,
    File(std::fs::File),
    Unreadable(String),
}

/// The settings file in the current folder, if there is one. Nobody named it, and it says which database is connected to
/// and so who gets the password: what another user put there is not for us. An account that may not
/// read it does without, as `sudo -u postgres tidewire` in a home folder has to.
fn found() -> Result<Found> {
    let refused = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::PermissionDenied => Ok(Found::Unreadable(format!("cannot read {FILE}: {source}"))),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("cannot read {FILE}: {source}")).source(source)),
    };
    let link = match std::fs::symlink_metadata(FILE) {
        Ok(link) => link,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return refused(source),
    };
    check_owner(&link)?;
    let file = match std::fs::File::open(FILE) {
        Ok(file) => file,
        Err(source) => return refused(source),
    };
    check_owner(&file.metadata()?)?;
    Ok(Found::File(file))
}

/// Fails unless it is ours or root's, and nobody else's to write.
fn check_owner(metadata: &Metadata) -> Result<()> {
    let is_ours = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    let why = match (is_ours, metadata.is_symlink()) {
        (false, _) => "belongs to another user",
        // a link's own mode says nothing
        (true, false) if metadata.mode() & OTHERS_WRITE != 0 => "can be written by everybody",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("{FILE} in the current folder {why}"))
        .hint(format!("If you trust it: --config {FILE}. If not, run this in another folder.")))
}

/// The limits of inboxes and roles: what the command line says, else the file, else the default.
pub fn limits(typed: LimitArgs, file: &File) -> Limits {
    let default = Limits::default();
    Limits {
        inbox_size: typed.inbox_max_size.or_else(|| file.inbox_max_size.clone()).unwrap_or(default.inbox_size),
        inbox_age: typed.inbox_max_age.or_else(|| file.inbox_max_age.clone()).unwrap_or(default.inbox_age),
        role_sessions: typed.role_max_sessions.or(file.role_max_sessions).unwrap_or(default.role_sessions),
        role_subscriptions: typed
            .role_max_subscriptions
            .or(file.role_max_subscriptions)
            .unwrap_or(default.role_subscriptions),
        role_inbox_size: typed
            .role_max_inbox_size
            .or_else(|| file.role_max_inbox_size.clone())
            .unwrap_or(default.role_inbox_size),
    }
}

/// The database that a command works on.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] without a URL, or for one that cannot be read.
pub fn target(typed: Option<&str>, file: &File) -> Result<Target> {
    match (typed.or(file.database_url.as_deref()), &file.left_out) {
        (Some(url), _) => url.parse(),
        (None, None) => Err(unnamed()),
        (None, Some(why)) => Err(unnamed().detail(why)),
    }
}

fn unnamed() -> Error {
    Error::new(ErrorKind::InvalidInput, "no database is named")
        .hint("Use --database-url postgresql://user@host/database, set TIDEWIRE_DATABASE_URL, or write database-url into tidewire.toml.")
}

/// After how long without progress delivery is called stalled, if that is set.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a time in the settings file that the command line would not take either.
pub fn stall_after(typed: Option<u64>, file: &File) -> Result<Option<Duration>> {
    match typed.or(file.stall_after) {
        Some(seconds @ 1..=3600) => Ok(Some(Duration::from_secs(seconds))),
        Some(other) => Err(Error::new(ErrorKind::InvalidInput, format!("stall-after is {other}"))
            .hint("It is a number of seconds, 1 to 3600.")),
        None => Ok(None),
    }
}
