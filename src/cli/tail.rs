//! `tidewire tail`.

use clap::Args;

use crate::config::File;
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct Tail {}

impl Tail {
    pub(super) async fn run(self, _file: &File) -> Result<()> {
        Ok(())
    }
}
