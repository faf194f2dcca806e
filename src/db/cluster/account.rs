//! Who runs the server: PostgreSQL refuses root, so root hands it to an account without privileges.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, User, getegid, geteuid};

use crate::error::{Error, ErrorKind, Result};

/// Accounts that root hands the server to, the best first: the one that PostgreSQL's package makes, then the one that
/// every system has.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// What root can do that stands in a folder of its own, /root for one.
pub(super) const ELSEWHERE: &str =
    "--data-dir names another folder, such as /var/lib/tidewire. Or run this as an ordinary user.";

/// The account that the server runs as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether that is somebody else than this process, which then is root.
    other: bool,
}

impl Account {
    /// The account for a server on a new folder: our own, or as root an unprivileged one.
    pub(super) fn for_new_folder() -> Result<Account> {
        if !geteuid().is_root() {
            return Ok(Account::own());
        }
        UNPRIVILEGED.iter().find_map(|name| User::from_name(name).ok().flatten()).map(Account::of).ok_or_else(|| {
            Error::new(ErrorKind::Setup, "cannot start PostgreSQL as root")
                .detail("There is neither a user \"postgres\" nor a user \"nobody\" to run it as.")
                .hint("Run this as an ordinary user.")
        })
    }

    /// The account for a folder that exists: as root its owner, if that is an ordinary user; otherwise it must be ours.
    pub(super) fn for_folder(folder: &Path, metadata: &Metadata) -> Result<Account> {
        let (we, owner) = (geteuid(), Uid::from_raw(metadata.uid()));
        if we == owner {
            return Account::for_new_folder();
        }
        let user = User::from_uid(owner).ok().flatten();
        if we.is_root() {
            return Ok(user.map_or_else(
                || Account { name: owner.to_string(), uid: metadata.uid(), gid: metadata.gid(), other: true },
                Account::of,
            ));
        }
        let owner = shown(owner.as_raw());
        Err(Error::new(ErrorKind::InvalidInput, format!("folder \"{}\" belongs to {owner}", folder.display()))
            .hint(format!("Run this as {owner}, or choose another folder.")))
    }

    fn own() -> Account {
        Account { name: String::new(), uid: geteuid().as_raw(), gid: getegid().as_raw(), other: false }
    }

    fn of(user: User) -> Account {
        Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), other: true }
    }

    /// Whether `metadata` is of something that belongs to this account.
    pub(super) fn owns(&self, metadata: &Metadata) -> bool {
        metadata.uid() == self.uid
    }

    /// Whether a process of that user is this account's.
    pub(super) fn is(&self, uid: u32) -> bool {
        self.uid == uid
    }

    /// A command that runs as this account, speaks English (its messages are read here) and heeds none of libpq's
    /// variables, nor sees ours, in which a password may be. It starts in the root folder: ours may be one that the
    /// account cannot enter.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
        let is_kept_back = |name: &[u8]| name.starts_with(b"PG") || name.starts_with(b"TIDEWIRE_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_kept_back(name.as_encoded_bytes())) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        command
    }

    /// Gives `folder`, which must be one that we made or an empty one of ours, to this account. No link is followed:
    /// what it leads to is not for us to give away.
    pub(super) fn take(&self, folder: &Path) -> Result<()> {
        if !self.other {
            return Ok(());
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder)?;
        let owner = opened.metadata()?.uid();
        if owner == self.uid {
            return Ok(());
        }
        if owner != geteuid().as_raw() {
            let message = format!("folder \"{}\" belongs to {}", folder.display(), shown(owner));
            return Err(Error::new(ErrorKind::InvalidInput, message).hint("Choose another folder."));
        }
        self.take_file(&opened)
    }

    /// Gives an open file to this account.
    pub(super) fn take_file(&self, file: &File) -> Result<()> {
        if self.other { fchown(file, Some(self.uid), Some(self.gid)).map_err(Error::from) } else { Ok(()) }
    }

    /// Fails if the account cannot enter `folder`, as `postgres` cannot enter what lies in `/root`.
    pub(super) async fn check_reach(&self, folder: &Path) -> Result<()> {
        let mut command = tokio::process::Command::from(self.command("/bin/sh"));
        command.args(["-c", "cd -- \"$0\" 2>/dev/null"]).arg(folder);
        if !self.other || command.status().await?.success() {
            return Ok(());
        }
        let (folder, name) = (folder.display(), &self.name);
        Err(Error::new(ErrorKind::InvalidInput, format!("user \"{name}\" cannot reach folder \"{folder}\""))
            .detail(format!("PostgreSQL does not run as root; it would run as \"{name}\"."))
            .hint(ELSEWHERE))
    }
}

/// A user, as an error names one.
pub(super) fn shown(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("user \"{}\"", user.name),
        _ => format!("user {uid}"),
    }
}
