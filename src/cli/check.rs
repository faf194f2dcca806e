//! `tidewire check`.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::{DatabaseUrl, Stopped};
use crate::config::File;
use crate::db::requirement::{self, Requirement, Verdict};
use crate::error::Result;
use crate::printable::printable;

#[derive(Debug, Args)]
#[command(after_help = "One line a requirement: ok, warning or failure; what to paste against it stands beneath.\n\
    Nothing is changed. Exit code 1 if anything fails.")]
pub(super) struct Check {
    #[command(flatten)]
    database: DatabaseUrl,
}

impl Check {
    pub(super) async fn run(self, file: &File) -> Result<u8> {
        let (target, _server) = self.database.open(file, Stopped::Start).await?;
        let found = Box::pin(requirement::examine(&target)).await?;
        print(&found)?;
        Ok(u8::from(count(&found, Verdict::Failed) > 0))
    }
}

fn count(found: &[Requirement], verdict: Verdict) -> usize {
    found.iter().filter(|requirement| requirement.verdict == verdict).count()
}

fn print(found: &[Requirement]) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for requirement in found {
        let (word, style) = mark(requirement.verdict);
        // as wide as the widest word
        writeln!(out, "{style}{word:<7}{style:#}  {}", printable(&requirement.finding))?;
        for line in requirement.remedy.iter().flat_map(|remedy| remedy.lines()) {
            writeln!(out, "           {}", printable(line))?;
        }
    }
    let (failures, warnings) = (count(found, Verdict::Failed), count(found, Verdict::Warning));
    writeln!(out, "{}, {}", plural(failures, "failure"), plural(warnings, "warning"))
}

fn mark(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Met => ("ok", AnsiColor::Green.on_default()),
        Verdict::Warning => ("warning", AnsiColor::Yellow.on_default()),
        Verdict::Failed => ("failure", AnsiColor::Red.on_default().bold()),
    }
}

fn plural(count: usize, word: &str) -> String {
    match count {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    }
}
