//! A PgBouncer between a client and a test's server.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Stdio;

use nix::unistd::{User, geteuid};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Database, PATIENCE, left_out};

/// Debian keeps it where not every user's PATH leads.
const PROGRAMS: [&str; 2] = ["pgbouncer", "/usr/sbin/pgbouncer"];

/// A running pooler. Process and folder go when this is dropped.
pub struct Pooler {
    port: u16,
    folder: PathBuf,
    _child: Child,
}

impl Pooler {
    /// Starts one before a server that listens on TCP; none where the machine has no PgBouncer.
    /// `mode` is its pool_mode, `size` the number of its connections to the server.
    pub async fn start(database: &Database, mode: &str, size: u32, further: &str) -> Option<Pooler> {
        let has = |program: &&&str| std::process::Command::new(program).arg("--version").output().is_ok();
        let Some(program) = PROGRAMS.iter().find(has) else {
            left_out("there is no pgbouncer on this machine");
            return None;
        };
        let user = geteuid().is_root().then(|| User::from_name("nobody").unwrap().unwrap());
        let folder = std::env::temp_dir().join(format!("pgbouncer-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let own = |path: &PathBuf| chown(path, user.as_ref().map(|user| user.uid.as_raw()), None).unwrap();
        own(&folder);
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let url = database.tcp_url();
        let password = url.split_once("postgres:").unwrap().1.split_once('@').unwrap().0;
        let (users, settings) = (folder.join("users"), folder.join("pgbouncer.ini"));
        fs::write(&users, format!("\"postgres\" \"{password}\"\n\"ann\" \"secret\"\n")).unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = {size}\n{further}\n",
            database.cluster.port(),
            users.display(),
        );
        fs::write(&settings, text).unwrap();
        [&users, &settings].into_iter().for_each(own);
        let mut command = Command::new(program);
        command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if let Some(user) = &user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let pooler = Pooler { port, folder, _child: command.spawn().unwrap() };
        let answers = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, answers).await.expect("pgbouncer does not listen");
        Some(pooler)
    }

    /// The URL through it, for a role.
    pub fn url_as(&self, user: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
