//! What was typed, set and written down, made into what the program needs: flag, then `TIDEWIRE_*`, then `tidewire.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::db::Target;
use crate::error::{Error, ErrorKind, Result};

/// The settings file's name, looked for in the current folder.
pub const FILE: &str = "tidewire.toml";

/// `tidewire.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// See `--database-url`.
    pub database_url: Option<String>,
    /// See `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// See `--inbox-max-size`.
    pub inbox_max_size: Option<String>,
    /// See `--inbox-max-age`.
    pub inbox_max_age: Option<String>,
    /// See `--listen`.
    pub listen: Option<String>,
    /// See `--stall-after`.
    pub stall_after: Option<u64>,
    /// See `--log`.
    pub log: Option<String>,
}

/// What an inbox may hold before it is emptied and its session told of a gap, as PostgreSQL writes a size and an interval.
#[derive(Debug, Clone)]
pub struct Limits {
    /// All events together, in the database.
    pub inbox_size: String,
    /// The oldest event.
    pub inbox_age: String,
}

impl Default for Limits {
    /// 1 GB: enough for millions of events, and a dozen dead sessions do not fill a laptop's disk. 7 days: whoever was away
    /// for longer starts from the table.
    fn default() -> Self {
        Limits { inbox_size: "1GB".into(), inbox_age: "7 days".into() }
    }
}

impl File {
    /// Reads the file; an absent one is an empty one, unless it was asked for by name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file that cannot be read or has a setting that does not exist.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let shown = path.unwrap_or(Path::new(FILE)).display();
        let text = match std::fs::read_to_string(path.unwrap_or(Path::new(FILE))) {
            Ok(text) => text,
            Err(missing) if path.is_none() && missing.kind() == std::io::ErrorKind::NotFound => {
                return Ok(File::default());
            }
            Err(source) => {
                return Err(
                    Error::new(ErrorKind::InvalidInput, format!("cannot read {shown}: {source}")).source(source)
                );
            }
        };
        toml::from_str(&text).map_err(|source| {
            // the whole message quotes the line, which may hold a password
            Error::new(ErrorKind::InvalidInput, format!("{shown}: {}", source.message()))
                .hint("It knows database-url, data-dir, listen, stall-after, inbox-max-size, inbox-max-age and log.")
        })
    }
}

/// The limits of inboxes.
pub fn limits(size: Option<String>, age: Option<String>, file: &File) -> Limits {
    let default = Limits::default();
    Limits {
        inbox_size: size.or_else(|| file.inbox_max_size.clone()).unwrap_or(default.inbox_size),
        inbox_age: age.or_else(|| file.inbox_max_age.clone()).unwrap_or(default.inbox_age),
    }
}

/// The database that a command works on.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] without a URL, or for one that cannot be read.
pub fn target(typed: Option<&str>, file: &File) -> Result<Target> {
    match typed.or(file.database_url.as_deref()) {
        Some(url) => url.parse(),
        None => Err(Error::new(ErrorKind::InvalidInput, "no database is named")
            .hint("Use --database-url postgresql://user@host/database, set TIDEWIRE_DATABASE_URL, or write database-url into tidewire.toml.")),
    }
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
