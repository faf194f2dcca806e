//! `tidewire check`.

use clap::Args;

use crate::config::File;
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct Check {}

impl Check {
    pub(super) async fn run(self, _file: &File) -> Result<u8> {
        Ok(0)
    }
}
