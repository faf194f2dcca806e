//! The `tidewire` program: parse, log, run, error kind to exit code.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use tidewire::cli::Cli;
use tidewire::error::{Error, ErrorKind};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<u8, Error> {
    let filter = cli.log_filter()?;
    // the clients' own lines quote statements with their parameters: people's data
    let quiet = format!("{filter},tokio_postgres=warn,pgwire_replication=off");
    let filter = EnvFilter::try_new(quiet).map_err(|source| {
        Error::new(ErrorKind::InvalidInput, format!("\"{filter}\" is not a log filter")).source(source)
    })?;
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colour).with_target(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(cli.run()))
}
