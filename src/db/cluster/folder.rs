//! The data folder: what is in it, a temporary one, and filling a new one.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::account::Account;
use super::binaries::Binaries;
use super::server::GLANCE;
use super::trust;
use crate::error::{Error, ErrorKind, Result};

/// The file in a data folder that holds the password of the user `postgres`.
const PASSWORD_FILE: &str = "tidewire.password";

/// What PostgreSQL's programs, run in English, say of a disk without room.
const FULL: &str = "No space left on device";

/// The first that the system knows is the new cluster's: Unicode letters and the order of code points, or bytes alone.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// A folder that is going to hold a cluster, or does.
pub(super) struct Folder {
    pub(super) account: Account,
    /// The major version of the cluster in it; none when it is empty.
    pub(super) major: Option<u32>,
}

impl Folder {
    /// Looks at the folder of a kept cluster, makes it if there is none, and decides who runs a server on it.
    pub(super) async fn open(path: &Path) -> Result<Folder> {
        let unmade = |error: std::io::Error| {
            Error::from(error)
                .context(format!("cannot make folder \"{}\"", path.display()))
                .hint("--data-dir names another folder, for which there is room and which you may make.")
        };
        let made = !path.exists();
        if made {
            trust::check_way(path, &Account::for_new_folder()?)?;
            let mut above = DirBuilder::new();
            // nobody else may put anything there, whatever the umask says
            above.recursive(true).mode(0o755).create(path.parent().unwrap_or(path)).map_err(unmade)?;
            DirBuilder::new().mode(0o700).create(path).map_err(unmade)?;
        }
        let opened = Folder::inspect(path).await;
        if made && opened.is_err() {
            // Only if it is still empty, and the error tells more than this would.
            let _ = std::fs::remove_dir(path);
        }
        opened
    }

    async fn inspect(path: &Path) -> Result<Folder> {
        let context = |error: std::io::Error| Error::from(error).context(format!("folder \"{}\"", path.display()));
        let metadata = std::fs::metadata(path).map_err(context)?;
        if !metadata.is_dir() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("\"{}\" is not a folder", path.display()))
                .hint("Choose a folder that is empty or not there yet."));
        }
        let account = Account::for_folder(path, &metadata)?;
        trust::check_way(path, &account)?;
        let major = match trust::read(&path.join("PG_VERSION"), &account)? {
            Some(version) => Some(version.trim().parse().map_err(|_| {
                Error::new(ErrorKind::InvalidInput, format!("\"{}\" is not a data folder", path.display()))
                    .detail("Its PG_VERSION holds no number.")
            })?),
            None => None,
        };
        match major {
            Some(_) if account.owns(&metadata) => {}
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("folder \"{}\" belongs to root", path.display()),
                )
                .detail("PostgreSQL does not run as root.")
                .hint("Give the folder and all in it to an ordinary user with chown -R."));
            }
            None if std::fs::read_dir(path).map_err(context)?.next().is_none() => account.take(path)?,
            None => {
                let path = path.display();
                let message = format!("folder \"{path}\" is not empty and not a data folder of PostgreSQL");
                return Err(Error::new(ErrorKind::InvalidInput, message)
                    .hint("Choose a folder that is empty, that is not there yet, or that holds a cluster."));
            }
        }
        account.check_reach(path).await?;
        Ok(Folder { account, major })
    }
}

/// A folder that goes when this does, with all in it.
pub(super) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Makes one that `account` owns and can reach: in `parent`, else where `TMPDIR` says, else in `/tmp`.
    pub(super) async fn create(parent: Option<&Path>, account: &Account) -> Result<TemporaryFolder> {
        if let Some(parent) = parent {
            return TemporaryFolder::create_in(parent, account).await;
        }
        let made = TemporaryFolder::create_in(&std::env::temp_dir(), account).await;
        if made.is_ok() { made } else { TemporaryFolder::create_in(Path::new("/tmp"), account).await }
    }

    /// Makes one whose path is as short as it gets.
    pub(super) async fn short(account: &Account) -> Result<TemporaryFolder> {
        TemporaryFolder::create_in(Path::new("/tmp"), account).await
    }

    async fn create_in(parent: &Path, account: &Account) -> Result<TemporaryFolder> {
        trust::check_way(parent, account)?;
        let private = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix("tidewire-").permissions(private).tempdir_in(parent);
        let made = made.map_err(|error| no_temporary(error, parent))?;
        let folder = TemporaryFolder { path: made.keep() };
        account.take(&folder.path)?;
        account.check_reach(&folder.path).await?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A process that was just stopped may still be making a file: then the folder is not empty at the first try.
        for _ in 0..100 {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() == IoErrorKind::DirectoryNotEmpty => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }
}

/// Fills `data` by `initdb`. Over TCP its user `postgres` needs a password, which stays in the folder; over a socket, which
/// is where nobody else can reach it, nobody needs one.
pub(super) async fn initialise(data: &Path, account: &Account, binaries: &Binaries, durable: bool) -> Result<()> {
    // 122 bits of the system's own chance
    let password = uuid::Uuid::new_v4().simple().to_string();
    let mut stderr = String::new();
    for locale in LOCALES {
        let mut command = account.command(binaries.program("initdb"));
        command.arg("-D").arg(data).args(["--username=postgres", "--encoding=UTF8", "--no-instructions"]);
        command.arg(format!("--locale={locale}")).args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        if !durable {
            command.arg("--no-sync");
        }
        // A Ctrl-C in our terminal is for us: half a folder is of no use to anybody.
        command.process_group(0);
        let password_file = hand_over(&password, account)?;
        command.arg("--pwfile").arg(password_file.path());
        match Initdb::run(&mut command).await? {
            Ok(()) => return store_password(data, &password, account),
            Err(written) => stderr = written,
        }
        if !stderr.contains("invalid locale name") {
            break;
        }
    }
    let failed = Error::new(ErrorKind::Io, format!("could not initialise data folder \"{}\"", data.display()));
    Err(with_room(failed.detail(stderr.as_str()), &stderr))
}

/// Adds a hint where what a server's program said is that a disk is full.
pub(super) fn with_room(error: Error, said: &str) -> Error {
    if !said.contains(FULL) {
        return error;
    }
    error.hint("Make room there, or choose a folder on another disk: with --data-dir, or for the demo with TMPDIR.")
}

fn no_temporary(error: std::io::Error, parent: &Path) -> Error {
    Error::from(error)
        .context(format!("cannot make a temporary file in \"{}\"", parent.display()))
        .hint("Make room there, and let everybody write to it, as /tmp is. Temporary folders go where TMPDIR says.")
}

/// Fills `data` with a copy of another data folder, whose server must have been stopped in mode fast.
pub(super) async fn copy(template: &Path, data: &Path) -> Result<()> {
    // Owners and modes must come along, and cp clones the files where the file system can.
    let mut command = tokio::process::Command::new("cp");
    command.arg("-a").arg(template.join(".")).arg(data).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, format!("could not copy data folder \"{}\"", template.display()))
        .detail(String::from_utf8_lossy(&output.stderr).trim()))
}

/// The password of the user `postgres`, if the cluster in `data` was made with one.
pub(super) fn password(data: &Path, account: &Account) -> Result<Option<String>> {
    let password = trust::read(&data.join(PASSWORD_FILE), account)?;
    Ok(password.map(|password| password.trim().to_owned()))
}

/// A running `initdb`. Dropping it waits for its end, which comes within a second: killed, its server would leave shared
/// memory behind, and files would still come up in a folder that is being removed.
struct Initdb(Child);

impl Initdb {
    /// Returns what it wrote to stderr, if it failed.
    async fn run(command: &mut Command) -> Result<std::result::Result<(), String>> {
        // Nothing that breaks when we die, so that initdb finishes.
        let mut initdb = Initdb(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        let status = loop {
            match initdb.0.try_wait()? {
                Some(status) => break status,
                None => tokio::time::sleep(GLANCE).await,
            }
        };
        if status.success() {
            return Ok(Ok(()));
        }
        let mut text = Vec::new();
        if let Some(stderr) = &mut initdb.0.stderr {
            stderr.read_to_end(&mut text)?;
        }
        Ok(Err(String::from_utf8_lossy(&text).trim().to_owned()))
    }
}

impl Drop for Initdb {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

/// A file that only `account` can read, for `initdb --pwfile`.
fn hand_over(password: &str, account: &Account) -> Result<tempfile::NamedTempFile> {
    let tmp = Path::new("/tmp");
    let failed = |error| no_temporary(error, tmp);
    let mut file = tempfile::Builder::new().prefix("tidewire-").tempfile_in(tmp).map_err(failed)?;
    file.write_all(password.as_bytes()).map_err(failed)?;
    account.take_file(file.as_file())?;
    Ok(file)
}

/// Writes it as the account, which root could not do safely in a folder of somebody else's.
fn store_password(data: &Path, password: &str, account: &Account) -> Result<()> {
    let mut command = account.command("/bin/sh");
    // -C: not into what is there already
    command.args(["-c", r#"set -C; umask 077; exec cat >"$0""#]).arg(data.join(PASSWORD_FILE));
    let mut writing = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let written = writing.stdin.take().map_or(Ok(()), |mut stdin| writeln!(stdin, "{password}"));
    if writing.wait()?.success() {
        return Ok(written?);
    }
    Err(Error::new(ErrorKind::Io, format!("could not write \"{}\"", data.join(PASSWORD_FILE).display())))
}
