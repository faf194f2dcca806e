//! What is read from a folder that an account owns, when we may be root and see more than the
//! account.
//!
//! A module of its own, because whatever lies in such a folder was put there by its owner: a link
//! there leads where root alone may go, and a file there says what its owner likes.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::account::{self, Account};
use crate::error::{Error, ErrorKind, Result};

/// The most that is read of a file: a log of a start that failed is a few kB, the others are a few
/// lines.
const LARGEST: u64 = 1 << 20;

/// Links on one path before it is called a circle, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Writable for others, and the bit that keeps others from what is not theirs.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The text of a file of the account's own; none if there is no such file. No link is followed, and
/// nothing that is not a file waited for.
pub(super) fn read(path: &Path, account: &Account) -> Result<Option<String>> {
    let context = |error: std::io::Error| Error::from(error).context(format!("file \"{}\"", path.display()));
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => {
            return Err(refused(path, "is a link"));
        }
        Err(error) => return Err(context(error)),
    };
    let metadata = file.metadata().map_err(context)?;
    if !metadata.is_file() {
        return Err(refused(path, "is not a file"));
    }
    if !account.owns(&metadata) {
        return Err(refused(path, "belongs to another user than its folder"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(context)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("file \"{}\" {why}", path.display()))
        .hint("Look who put it there, and put the folder right.")
}

/// As root: fails if somebody who is neither root nor the account can put another folder in this
/// one's place. Everybody else reads with no more rights than whoever could do that has over the
/// reader already.
pub(super) fn check_way(path: &Path, account: &Account) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> = components(path);
    let mut links = 0;
    while let Some(next) = left.pop_front() {
        if next == ".." {
            at.pop();
            continue;
        }
        let step = at.join(&next);
        let metadata = match std::fs::symlink_metadata(&step) {
            Ok(metadata) => metadata,
            // we make it, and what is beneath it
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::from(error).context(format!("folder \"{}\"", step.display()))),
        };
        check_step(path, &step, &metadata, account)?;
        if metadata.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("\"{}\" is a circle of links", path.display()),
                ));
            }
            let target = std::fs::read_link(&step)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for component in components(&target).into_iter().rev() {
                left.push_front(component);
            }
        } else {
            at = step;
        }
    }
    Ok(())
}

/// The folders of a path, without its root.
fn components(path: &Path) -> VecDeque<OsString> {
    let kept = path.components().filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir));
    kept.map(|component| component.as_os_str().to_owned()).collect()
}

fn check_step(path: &Path, step: &Path, metadata: &Metadata, account: &Account) -> Result<()> {
    let why = if metadata.uid() != 0 && !account.owns(metadata) {
        format!("\"{}\", on the way to it, belongs to {}", step.display(), account::shown(metadata.uid()))
    } else if !metadata.is_symlink() && metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
        format!("everybody may write to \"{}\", on the way to it", step.display())
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("folder \"{}\" is not safe to use as root", path.display()))
        .detail(format!("{why}, and so can put another folder in its place."))
        .hint("--data-dir names another folder, in a place of root's, such as /var/lib/tidewire. Or run this as that user."))
}
