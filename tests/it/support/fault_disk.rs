//! A disk that is soon full: a file system in memory, seen by one test alone.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the disk is, to the test that runs on it.
const VARIABLE: &str = "SMALL_DISK";

/// The folder of a small disk, when this is the test that runs on it. Otherwise it runs that test, in a process that alone
/// sees the disk, so that nothing of it is left whatever happens; then, or where this system does not allow it, there is
/// nothing more to do.
pub fn small_disk(test: &str, megabytes: usize) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Some(path.into());
    }
    let readable = Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().prefix("tidewire-disk-").permissions(readable).tempdir().unwrap();
    let run = |program: &[&str]| {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let mount = format!("mount -t tmpfs -o size={megabytes}m,mode=1777 tmpfs \"$0\" && exec \"$@\"");
        let mut command = Command::new("unshare");
        if user.is_root() {
            command.args(["--mount", "sh", "-c", &mount]).arg(folder.path());
        } else {
            // as root of a world of its own it may mount, and is then itself again
            command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]).arg(folder.path());
            command.args(["unshare", "--user", &format!("--map-user={user}"), &format!("--map-group={group}")]);
        }
        command.args(program).env(VARIABLE, folder.path());
        command
    };
    match run(&["true"]).output() {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => {
            let why = String::from_utf8_lossy(&tried.stderr);
            super::left_out(&format!("no small disk can be made here: {}", why.trim()));
            return None;
        }
        Err(error) => {
            super::left_out(&format!("no small disk can be made here: unshare: {error}"));
            return None;
        }
    }
    let binary = std::env::current_exe().unwrap();
    let ended = run(&[binary.to_str().unwrap(), "--exact", test, "--nocapture"]).status().unwrap();
    assert!(ended.success(), "the test on the small disk failed");
    None
}

/// A file that takes all the room that a disk has left.
pub struct Filler(PathBuf);

impl Filler {
    pub fn fill(disk: &Path) -> Filler {
        let path = disk.join("filler");
        let mut file = File::create(&path).unwrap();
        // to the last page, which is smaller than this at the end
        for size in [1 << 20, 1 << 12] {
            loop {
                match file.write_all(&vec![0; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Filler(path)
    }

    /// There is room again.
    pub fn remove(self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
