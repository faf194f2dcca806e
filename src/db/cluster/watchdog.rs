//! What still happens when this process is killed before it can stop its server.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use super::StopMode;
use super::account::Account;
use super::binaries::Binaries;
use crate::error::{Error, Result};

/// Waits for a word. The end of its input instead of the word says that we died, however that came about: then it stops
/// the server, and removes the folders that there are to remove.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r word && exit
"$1" stop -s -D "$2" -m "$3" 2>/dev/null
shift 3
# initdb may still be at work and add a file; it gives up when its folder is gone.
for folder; do
    for try in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf -- "$folder" 2>/dev/null
        [ -e "$folder" ] || break
        sleep 0.1
    done
done
"#;

/// A shell that outlives us. Dropping this sends it home.
pub(super) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Watches over the server on `data`, if there will be one; `remove` are folders that are not to outlive it.
    pub(super) fn spawn(
        account: &Account,
        binaries: &Binaries,
        data: &Path,
        mode: StopMode,
        remove: &[&Path],
    ) -> Result<Watchdog> {
        let mut command = account.command("/bin/sh");
        command.args(["-c", SCRIPT, "tidewire-watchdog"]).arg(binaries.program("pg_ctl")).arg(data).arg(mode.as_str());
        command.args(remove);
        // A group of its own, so that what ends ours (Ctrl-C, a test runner) does not end it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| Error::from(error).context("could not start /bin/sh"))?;
        Ok(Watchdog { child })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // If it is gone already, there is nobody to send home.
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}
