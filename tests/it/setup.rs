//! `scripts/setup`: what it says where it cannot go on.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::fault_disk::small_disk;
use crate::support::left_out;

const SETUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup");

/// What it says when it fails.
fn said(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{said}");
    said
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let temporary = said(Command::new(SETUP).arg("demo").env("TMPDIR", "/nonexistent"));
    assert_eq!(
        temporary,
        "setup: \"/nonexistent\", where temporary files lie, cannot be written to\n       \
         Name another folder: export TMPDIR=DIR\n"
    );
    // not even root makes a folder there
    let target = said(Command::new(SETUP).arg("demo").env("CARGO_TARGET_DIR", "/proc/target"));
    assert_eq!(
        target,
        "setup: \"/proc/target\", where cargo builds, cannot be written to\n       \
         Clone into a folder of yours, or name another one to build in: export CARGO_TARGET_DIR=DIR\n"
    );
}

#[test]
fn a_full_disk_for_temporary_files_is_named() {
    let Some(disk) = small_disk("setup::a_full_disk_for_temporary_files_is_named", 20) else { return };
    let full = said(Command::new(SETUP).arg("demo").env("TMPDIR", &disk));
    assert!(full.contains("has 20 MB free; some 300 MB are needed\n"), "{full}");
    assert!(full.contains("\n       Make room there, or name another folder: export TMPDIR=DIR\n"), "{full}");
}

/// Where a program is, if it is there.
fn which(name: &str) -> Option<String> {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", name]).output().unwrap();
    found.status.success().then(|| String::from_utf8(found.stdout).unwrap().trim().to_owned())
}

/// Programs, so that others are missing. What rustup stands in for is copied: another account cannot enter root's home.
fn programs(folder: &Path, names: &[&str]) {
    for name in names {
        symlink(which(name).unwrap(), folder.join(name)).unwrap();
    }
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    std::fs::copy(Path::new(sysroot.trim()).join("bin/cargo"), folder.join("cargo")).unwrap();
}

#[test]
fn without_sudo_the_commands_that_setup_would_run_are_shown() {
    let (Some(setpriv), Some(_), true) = (which("setpriv"), which("apt-get"), nix::unistd::geteuid().is_root()) else {
        return left_out("this asks root, on a system with apt-get, to become somebody else");
    };
    let folder = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    programs(folder.path(), &["bash", "env", "uname", "sed", "sort", "df", "awk", "mkdir", "cc", "apt-get"]);
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o777)).unwrap();
    // read by bash, which runs as somebody else
    let script = folder.path().join("setup");
    std::fs::copy(SETUP, &script).unwrap();
    let mut command = Command::new(setpriv);
    command.args(["--reuid=nobody", "--clear-groups", "bash"]).arg(&script).arg("instructions");
    command.env("PATH", format!("{}:/nonexistent", folder.path().display())).env("CARGO_TARGET_DIR", &target);
    command.env("HOME", "/nonexistent").env_remove("TIDEWIRE_PG_BINDIR").current_dir("/");
    let shown = said(&mut command);
    let (_, commands) = shown.split_once("there is no sudo here; run as root:\n").expect(&shown);
    let commands: Vec<&str> = commands.lines().map(str::trim).collect();
    let apt = "DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -q -y";
    // a source that is broken is no reason to install nothing
    assert!(commands[0].starts_with(&format!("{apt} update || echo setup: ")), "{commands:?}");
    assert_eq!(commands[1], format!("{apt} install --no-install-recommends valgrind"));
    for command in &commands {
        let parsed = Command::new("sh").args(["-n", "-c", command]).status().unwrap();
        assert!(parsed.success(), "{command}");
    }
}
