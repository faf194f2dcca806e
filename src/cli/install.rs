//! `tidewire install` and `tidewire uninstall`.

use clap::Args;

use super::{DatabaseUrl, Stopped};
use crate::app;
use crate::config::File;
use crate::db::install;
use crate::db::server::{self, Holder, Part};
use crate::delivery::hub::Hub;
use crate::error::Result;
use crate::position::EventId;

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    database: DatabaseUrl,
}

#[derive(Debug, Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    database: DatabaseUrl,
}

impl Install {
    pub(super) async fn run(self, file: &File) -> Result<()> {
        let (target, _server) = self.database.open(file, Stopped::Start).await?;
        let mut client = target.connect_pinned().await?.client;
        let name = install::slot_name(&client).await?;
        app::check_stream(&target, &client, &name).await?;
        install::install(&mut client, target.trust()).await?;
        // a program that serves the database looks after the slot itself
        if server::try_take(&client, Part::Lease).await? == Holder::Us {
            Box::pin(app::prepare_slot(&mut client, &name, EventId::default(), &Hub::default())).await?;
        }
        println!(
            "installed in {}: schemas event and meta, publication {}, slot {name}",
            target.display(),
            install::PUBLICATION
        );
        Ok(())
    }
}

impl Uninstall {
    pub(super) async fn run(self, file: &File) -> Result<()> {
        let (target, _server) = self.database.open(file, Stopped::Start).await?;
        let mut client = target.connect_pinned().await?.client;
        if install::uninstall(&mut client, target.trust()).await? {
            println!("removed from {}: schemas event and meta, publication, slot", target.display());
        } else {
            println!("nothing of Tidewire's is installed in {}", target.display());
        }
        Ok(())
    }
}
