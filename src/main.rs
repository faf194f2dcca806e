//! The `tidewire` program: parse, log, run, error kind to exit code.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use tidewire::cli::Cli;
use tidewire::error::Error;

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
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    cli.log(colour)?.begin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(cli.run()))
}
