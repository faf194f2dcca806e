//! `tidewire demo`.

use clap::Args;

use crate::config::File;
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self) -> Result<()> {
        Ok(())
    }
}
