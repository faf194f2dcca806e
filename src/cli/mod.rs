//! The command line: one file a subcommand.

mod check;
mod demo;
mod install;
mod line;
mod tail;
mod up;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, File};
use crate::db::Target;
use crate::db::cluster::{Cluster, ClusterOptions};
use crate::db::ownership::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::log::Log;

/// Where an embedded PostgreSQL keeps its data unless told otherwise.
const DATA_DIR: &str = ".tidewire/data";

/// Data change events for PostgreSQL: pick a table, a column, a row or a field, and be told of every change.
#[derive(Debug, Parser)]
#[command(name = "tidewire", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Settings file
    #[arg(
        long,
        global = true,
        env = "TIDEWIRE_CONFIG",
        value_name = "FILE",
        help = "Settings file [default: tidewire.toml, if there is one]"
    )]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter
    #[arg(
        long,
        global = true,
        env = "TIDEWIRE_LOG",
        value_name = "FILTER",
        help = "What to log: error, warn, info, debug or trace [default: info]"
    )]
    log: Option<String>,
    /// Log what libraries say too, which quotes rows and statements' parameters
    #[arg(
        long,
        global = true,
        env = "TIDEWIRE_LOG_ROW_DATA",
        value_parser = clap::builder::FalseyValueParser::new(),
        action = clap::ArgAction::SetTrue,
        help = "Log what libraries say too, as far as --log has it: with trace that quotes people's rows"
    )]
    log_row_data: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Two minutes to the first event:
  tidewire demo                                           see it work; leaves nothing behind
  tidewire check --database-url postgresql://me@host/db   what is missing, with the remedy
  tidewire up --database-url postgresql://me@host/db      serve a database
then in psql:
  select event.session_create();
  select event.subscribe_table(meta.relation_id('public','person'));

Each option can be set as TIDEWIRE_<OPTION> or in tidewire.toml as well; what is typed wins.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work on a private PostgreSQL, which is removed again
    Demo(demo::Demo),
    /// Serve a database: install what is missing, then deliver events until stopped
    Up(up::Up),
    /// Install schemas, publication and slot; nothing that is there already
    Install(install::Install),
    /// Remove schemas, publication and slot, and put every table back as it was
    Uninstall(install::Uninstall),
    /// Say what would stop Tidewire or hurt the database, with the remedies
    Check(check::Check),
    /// Print a table's changes as they happen
    Tail(tail::Tail),
}

/// The database to work on.
#[derive(Debug, Args)]
pub(crate) struct DatabaseUrl {
    /// The database, as postgresql://user:password@host:port/name
    #[arg(long, env = "TIDEWIRE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Run the functions of this role, which owns the schemas and has fewer rights than the role that connects
    #[arg(
        long,
        env = "TIDEWIRE_TRUST_OWNER",
        value_name = "ROLE",
        help = "Role that installed Tidewire, to be trusted though it has fewer rights than the role that connects [default: none]"
    )]
    trust_owner: Option<String>,
    /// Folder of the embedded PostgreSQL, when no database is named
    #[arg(
        long,
        env = "TIDEWIRE_DATA_DIR",
        value_name = "DIR",
        help = "Folder of the embedded PostgreSQL, when no database is named [default: .tidewire/data]"
    )]
    pub(super) data_dir: Option<PathBuf>,
}

/// What a command does about an embedded PostgreSQL that does not run.
enum Stopped {
    /// It starts the server for as long as the command takes.
    Start,
    /// It fails: without `tidewire up` it could do nothing.
    Refuse,
}

impl DatabaseUrl {
    fn target(&self, file: &File) -> Result<Target> {
        Ok(config::target(self.database_url.as_deref(), file)?.trusting(self.trust(file)))
    }

    fn trust(&self, file: &File) -> Trust {
        Trust::in_owner(self.trust_owner.clone().or_else(|| file.trust_owner.clone()))
    }

    /// Whether a database is named, rather than the folder of an embedded one.
    fn is_named(&self, file: &File) -> bool {
        self.database_url.is_some() || (file.database_url.is_some() && self.data_dir.is_none())
    }

    fn data_dir(&self, file: &File) -> PathBuf {
        self.data_dir.clone().or_else(|| file.data_dir.clone()).unwrap_or_else(|| DATA_DIR.into())
    }

    /// The database that is named, or else the embedded one that `tidewire up` keeps in the same folder. A server that this
    /// started stops when the second value is dropped.
    async fn open(&self, file: &File, stopped: Stopped) -> Result<(Target, Option<Cluster>)> {
        let data = self.data_dir(file);
        let is_default = self.data_dir.is_none() && file.data_dir.is_none();
        if self.is_named(file) || (is_default && !data.join("PG_VERSION").exists()) {
            return Ok((self.target(file)?, None));
        }
        let cluster = match (Cluster::running(&data).await?, stopped) {
            (Some(running), _) => running,
            (None, Stopped::Start) if data.join("PG_VERSION").exists() => {
                Cluster::start(ClusterOptions::kept(data)).await?
            }
            (None, _) => {
                let message = format!("no PostgreSQL runs on folder \"{}\"", data.display());
                return Err(Error::new(ErrorKind::InvalidInput, message).hint(
                    "tidewire up, with the same --data-dir, starts it. Or name a database with --database-url.",
                ));
            }
        };
        Ok((Target::private(cluster.url())?.trusting(self.trust(file)), Some(cluster)))
    }
}

impl Cli {
    /// What to log, as typed or as the settings file has it.
    ///
    /// # Errors
    /// Those of the settings file.
    pub fn log(&self, colour: bool) -> Result<Log> {
        let file = File::read(self.config.as_deref())?;
        let default = match self.command {
            Command::Up(_) => "info",
            _ => "warn",
        };
        let filter = self.log.clone().or(file.log).unwrap_or_else(|| default.to_owned());
        let row_data = self.log_row_data || file.log_row_data.unwrap_or_default();
        Ok(Log { filter, row_data, colour })
    }

    /// Runs the subcommand; returns the exit code of one that has nothing to report but yes or no.
    ///
    /// # Errors
    /// What the subcommand could not do.
    pub async fn run(self) -> Result<u8> {
        let file = File::read(self.config.as_deref())?;
        if let Some(why) = &file.left_out {
            eprintln!("warning: {why}: it is left out");
        }
        match self.command {
            Command::Demo(command) => command.run().await.map(|()| 0),
            Command::Up(command) => command.run(&file).await.map(|()| 0),
            Command::Install(command) => command.run(&file).await.map(|()| 0),
            Command::Uninstall(command) => command.run(&file).await.map(|()| 0),
            Command::Check(command) => command.run(&file).await,
            Command::Tail(command) => command.run(&file).await.map(|()| 0),
        }
    }
}
