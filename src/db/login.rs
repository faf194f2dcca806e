//! What helps when a connection cannot be made.
//!
//! A module of its own, because it needs what is known of the machine: its accounts, and the owner
//! of the server's socket.

use std::error::Error as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::connect::{Target, error, nearest};
use super::{passfile::Source, pooler};
use crate::error::Error;

/// The account that PostgreSQL's packages make, and that has the first role.
const ACCOUNT: &str = "postgres";

/// The error of an attempt to connect, with what helps as its hint.
pub(super) fn failed(target: &Target, source: tokio_postgres::Error) -> Error {
    let db = source.as_db_error();
    if db.is_some_and(pooler::refuses) {
        return pooler::answers(target).source(source);
    }
    let code = db.map(|db| db.code().code().to_owned()).unwrap_or_default();
    let io = source.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    let failed = error(source);
    let hint = remedy(target, &code, failed.message(), io);
    failed.hint(hint).context(format!("cannot connect to {}", target.display()))
}

/// SQL or shell to be pasted, a line each.
fn remedy(target: &Target, code: &str, message: &str, io: Option<std::io::ErrorKind>) -> String {
    let shown = target.display();
    let (user, database) = (quoted(target.user()), quoted(target.database()));
    match code {
        "28P01" => {
            let source = source_of_password(target.password_source());
            [source, wrong_password(&shown, &user), by_socket(target)].concat()
        }
        "28000" => match message {
            _ if message.contains("pg_hba.conf") => no_entry(target, message),
            _ if message.contains("is not permitted to log in") => {
                format!("alter role {user} login;  -- as a superuser")
            }
            _ if message.contains("does not exist") => as_owner(target),
            _ if message.starts_with("Peer ") => as_peer(target),
            // by ident, certificate, LDAP, PAM, RADIUS
            _ => format!("{}  # a line for pg_hba.conf; then: select pg_reload_conf();", entry(target, None)),
        },
        "3D000" => format!("create database {database};  -- in another database of that server"),
        "42501" => format!("grant connect on database {database} to {user};  -- as its owner"),
        "53300" => "select usename, application_name, count(*) from pg_stat_activity group by 1, 2;  \
                    -- as a superuser: end some of them, or raise max_connections"
            .to_owned(),
        "57P03" => {
            format!("pg_isready -d '{shown}'  # the server is starting or stopping: wait, and look into its log")
        }
        "" if message.starts_with("the server asks for a password") => {
            [no_password(target, &shown), by_socket(target)].concat()
        }
        "" if message.contains("unsupported authentication method") => {
            format!("{}  # a line for pg_hba.conf; then: select pg_reload_conf();", entry(target, None))
        }
        "" if message.contains("server does not support TLS") => {
            "alter system set ssl = on;  -- with a certificate, as a superuser; then: select pg_reload_conf();"
                .to_owned()
        }
        _ if io == Some(std::io::ErrorKind::PermissionDenied) => {
            let owner = socket_owner(target).unwrap_or_else(|| ACCOUNT.to_owned());
            format!("{}\nls -ld '{}'  # who may reach the socket", run_as(target, &owner), target.host())
        }
        _ => format!("pg_isready -d '{shown}'  # is the server running, and the URL right?"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn wrong_password(shown: &str, user: &str) -> String {
    format!(
        "psql '{shown}' -c 'select 1'  # asks for the password; put the right one into PGPASSWORD\n\
         alter role {user} password '...';  -- as a superuser: gives it one, if it has none"
    )
}

fn source_of_password(source: &Source) -> String {
    match source {
        Source::File(path) => format!("# the password is that of {}\n", path.display()),
        Source::Open(_) | Source::None => String::new(),
    }
}

fn no_password(target: &Target, shown: &str) -> String {
    let open = match target.password_source() {
        Source::Open(path) => {
            format!("chmod 600 '{}'  # it is not read while others can read it\n", path.display())
        }
        Source::File(_) | Source::None => String::new(),
    };
    format!("{open}psql '{shown}' -c 'select 1'  # asks for the password; put it into PGPASSWORD, ~/.pgpass or the URL")
}

/// A local server takes the role of an account without a password, if it is reached by its socket.
fn by_socket(target: &Target) -> String {
    let is_local = ["127.0.0.1", "localhost", "::1"].contains(&target.host().as_str());
    let folder = nearest(target.port());
    if !is_local || !folder.starts_with('/') || User::from_name(target.user()).ok().flatten().is_none() {
        return String::new();
    }
    let (user, database, port) = (target.user(), target.database(), target.port());
    format!(
        "\nsudo -u {user} tidewire check --database-url 'postgresql://{user}@/{database}?host={folder}&port={port}'  \
         # by the socket, without a password"
    )
}

/// The role is not there: the account that runs the server has one of its own name.
fn as_owner(target: &Target) -> String {
    let other = format!("create role {} login replication;  -- as a superuser", quoted(target.user()));
    match socket_owner(target) {
        Some(owner) if owner != target.user() => format!("{}\n{other}", run_as(target, &owner)),
        _ => other,
    }
}

/// By a socket PostgreSQL lets an account in as the role of the same name.
fn as_peer(target: &Target) -> String {
    if User::from_name(target.user()).ok().flatten().is_some() {
        return run_as(target, target.user());
    }
    let over_tcp = format!(
        "psql 'postgresql://{}@127.0.0.1:{}/{}' -c 'select 1'  # with a password; then use that URL, and PGPASSWORD",
        target.user(),
        target.port(),
        target.database()
    );
    match socket_owner(target) {
        Some(owner) => format!("{}\n{over_tcp}", run_as(target, &owner)),
        None => over_tcp,
    }
}

fn run_as(target: &Target, account: &str) -> String {
    // the database of the role's own name is its default
    let database = if target.database() == target.user() { ACCOUNT } else { target.database() };
    let place = if target.is_socket() {
        format!("postgresql://{account}@/{database}?host={}&port={}", target.host(), target.port())
    } else {
        format!("postgresql://{account}@{}:{}/{database}", target.host(), target.port())
    };
    format!("sudo -u {account} tidewire check --database-url '{place}'  # and the other commands likewise")
}

/// Who runs the server, if it is reached by a socket.
fn socket_owner(target: &Target) -> Option<String> {
    if !target.is_socket() {
        return None;
    }
    let folder = target.host();
    let socket = Path::new(&folder).join(format!(".s.PGSQL.{}", target.port()));
    let metadata = std::fs::metadata(socket).or_else(|_| std::fs::metadata(&folder)).ok()?;
    let owner = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten()?.name;
    // the folder may be root's, which runs no server
    Some(if owner == "root" { ACCOUNT.to_owned() } else { owner })
}

/// `no pg_hba.conf entry for host "127.0.0.1", user "ann", ..., no encryption`.
fn no_entry(target: &Target, message: &str) -> String {
    let address = message.split_once("for host \"").and_then(|(_, rest)| rest.split_once('"')).map(|(found, _)| found);
    let entry = format!("{}  # a line for pg_hba.conf; then: select pg_reload_conf();", entry(target, address));
    if !message.ends_with("no encryption") || target.is_socket() {
        return entry;
    }
    // servers that take encrypted connections alone say it so
    let url = target.display();
    format!(
        "tidewire check --database-url '{url}?sslmode=require'  # if the server takes encrypted connections only\n{entry}"
    )
}

fn entry(target: &Target, address: Option<&str>) -> String {
    let (database, user) = (quoted(target.database()), quoted(target.user()));
    match address {
        _ if target.is_socket() => format!("local {database} {user} scram-sha-256"),
        Some(address) => {
            let bits = if address.contains(':') { 128 } else { 32 };
            format!("host {database} {user} {address}/{bits} scram-sha-256")
        }
        None => format!("host {database} {user} samenet scram-sha-256"),
    }
}
