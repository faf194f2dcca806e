//! What libpq's environment variables and connection parameters mean here.
//!
//! A module of its own, because each of them is decided once, in one table: it counts, it does no
//! harm, or it is refused by name. Nobody who asked for protection gets a connection without it.

use std::path::{Path, PathBuf};

use super::parameters::Parameter;
use crate::error::{Error, ErrorKind, Result};

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It counts, as with libpq.
    Counts,
    /// It changes nothing of where and how Tidewire connects.
    Harmless,
    /// It would change that, and Tidewire cannot do it.
    Refused {
        /// Values that ask for nothing that Tidewire does not do.
        but: &'static [&'static str],
        /// What Tidewire does instead, after "and Tidewire".
        why: &'static str,
        /// What helps besides taking the setting away.
        instead: &'static str,
    },
}

/// One of libpq's settings.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable; empty if there is none.
    pub variable: &'static str,
    /// The parameter of a connection string; empty if there is none.
    pub parameter: &'static str,
    /// What becomes of it.
    pub rule: Rule,
    /// Whether it is about TLS, of which there is none over a Unix socket: there libpq does not
    /// look at it either.
    is_tls: bool,
}

const fn counts(variable: &'static str, parameter: &'static str) -> Setting {
    Setting { variable, parameter, rule: Rule::Counts, is_tls: false }
}

const fn harmless(variable: &'static str, parameter: &'static str) -> Setting {
    Setting { variable, parameter, rule: Rule::Harmless, is_tls: false }
}

const fn refused(
    variable: &'static str,
    parameter: &'static str,
    but: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
) -> Setting {
    Setting { variable, parameter, rule: Rule::Refused { but, why, instead }, is_tls: false }
}

const fn tls(setting: Setting) -> Setting {
    Setting { is_tls: true, ..setting }
}

const VERIFIED: &str = "sslmode=require verifies certificate and host name by Mozilla's list of authorities.";
const NO_FILES: &str = "reads no certificates, keys and revocation lists from files";
const ONE_SERVER: &str = "connects to one server, the primary, as --database-url names it";
const IN_URL: &str = "Name the server in --database-url.";
const NO_CHOICE: &str = "cannot choose how a server authenticates it";
const PASSWORD: &str = "Put the password into PGPASSWORD, or into the URL.";

/// All of them, in the manual's order (section "Environment Variables"), then the parameters
/// without a variable.
pub const SETTINGS: &[Setting] = &[
    counts("PGHOST", "host"),
    tls(refused(
        "PGSSLNEGOTIATION",
        "sslnegotiation",
        &["postgres"],
        "asks for TLS as every server understands it",
        "",
    )),
    refused(
        "PGHOSTADDR",
        "hostaddr",
        &[],
        "looks the host up by its name",
        "Put the address into --database-url as the host.",
    ),
    counts("PGPORT", "port"),
    counts("PGDATABASE", "dbname"),
    counts("PGUSER", "user"),
    counts("PGPASSWORD", "password"),
    counts("PGPASSFILE", "passfile"),
    refused("PGREQUIREAUTH", "require_auth", &[], NO_CHOICE, VERIFIED),
    refused(
        "PGCHANNELBINDING",
        "channel_binding",
        &["disable", "prefer"],
        "cannot bind the stream's login to its TLS channel",
        VERIFIED,
    ),
    refused("PGSERVICE", "service", &[], "reads no service file", IN_URL),
    harmless("PGSERVICEFILE", "servicefile"),
    refused(
        "PGOPTIONS",
        "options",
        &[],
        "connects with settings of its own, which the stream could not take",
        "Set them for the role: alter role ... set ...",
    ),
    harmless("PGAPPNAME", "application_name"),
    tls(refused(
        "PGSSLMODE",
        "sslmode",
        &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "knows disable, allow, prefer (plain) and require, verify-ca, verify-full (encrypted and verified)",
        VERIFIED,
    )),
    tls(refused("PGREQUIRESSL", "requiressl", &["0"], "knows its successor alone", "Use PGSSLMODE=require.")),
    harmless("PGSSLCOMPRESSION", "sslcompression"),
    tls(refused("PGSSLCERT", "sslcert", &[], NO_FILES, PASSWORD)),
    tls(refused("PGSSLKEY", "sslkey", &[], NO_FILES, PASSWORD)),
    tls(refused(
        "PGSSLCERTMODE",
        "sslcertmode",
        &["disable", "allow"],
        "has no certificate of its own to show",
        PASSWORD,
    )),
    tls(refused("PGSSLROOTCERT", "sslrootcert", &[], NO_FILES, VERIFIED)),
    tls(refused("PGSSLCRL", "sslcrl", &[], NO_FILES, VERIFIED)),
    tls(refused("PGSSLCRLDIR", "sslcrldir", &[], NO_FILES, VERIFIED)),
    tls(refused("PGSSLSNI", "sslsni", &["1"], "names the host when it asks for TLS", "")),
    refused("PGREQUIREPEER", "requirepeer", &[], "does not look whose process the server is", ""),
    tls(refused(
        "PGSSLMINPROTOCOLVERSION",
        "ssl_min_protocol_version",
        &["TLSv1", "TLSv1.1", "TLSv1.2"],
        "takes TLS 1.2 and 1.3",
        "",
    )),
    tls(refused("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version", &["TLSv1.3"], "takes TLS 1.2 and 1.3", "")),
    refused("PGGSSENCMODE", "gssencmode", &["disable", "prefer"], "does not encrypt by GSSAPI", VERIFIED),
    harmless("PGKRBSRVNAME", "krbsrvname"),
    harmless("PGGSSLIB", "gsslib"),
    harmless("PGGSSDELEGATION", "gssdelegation"),
    counts("PGCONNECT_TIMEOUT", "connect_timeout"),
    harmless("PGCLIENTENCODING", "client_encoding"),
    refused("PGTARGETSESSIONATTRS", "target_session_attrs", &["any", "read-write"], ONE_SERVER, IN_URL),
    refused("PGLOADBALANCEHOSTS", "load_balance_hosts", &["disable"], ONE_SERVER, IN_URL),
    refused("PGMINPROTOCOLVERSION", "min_protocol_version", &["3.0"], "speaks version 3.0 of the protocol", ""),
    harmless("PGMAXPROTOCOLVERSION", "max_protocol_version"),
    harmless("PGDATESTYLE", ""),
    harmless("PGTZ", ""),
    harmless("PGGEQO", ""),
    harmless("PGSYSCONFDIR", ""),
    harmless("PGLOCALEDIR", ""),
    harmless("", "keepalives"),
    harmless("", "keepalives_idle"),
    harmless("", "keepalives_interval"),
    harmless("", "keepalives_retries"),
    harmless("", "tcp_user_timeout"),
    tls(refused("", "sslpassword", &[], NO_FILES, PASSWORD)),
    refused("", "replication", &[], "opens the stream by itself", ""),
];

/// The parameters that the client is given: it would not read a URL that has another one.
const READ: [&str; 16] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslnegotiation",
    "channel_binding",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "tcp_user_timeout",
];

/// What the environment says, by name. What is empty is not set, as with libpq.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// The variable for a parameter that counts, unless the connection string has that parameter.
    pub fn get(&self, parameter: &str) -> Option<String> {
        let setting = SETTINGS.iter().find(|setting| setting.parameter == parameter)?;
        (self.0)(setting.variable).filter(|value| !value.is_empty())
    }

    /// Where the passwords are, unless the connection string says it.
    pub fn password_file(&self) -> Option<PathBuf> {
        self.get("passfile").map(PathBuf::from).or_else(|| self.at_home(".pgpass"))
    }

    fn at_home(&self, name: &str) -> Option<PathBuf> {
        (self.0)("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(name))
    }

    /// Refuses to verify by another list of authorities than the one that libpq would take.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the file's name.
    pub fn check_authorities(&self, sslmode: &str) -> Result<()> {
        let file = self.at_home(".postgresql/root.crt").filter(|_| sslmode.starts_with("verify-"));
        match file.filter(|file| file.exists()) {
            Some(file) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "sslmode is \"{sslmode}\", which means the authorities of {}, and Tidewire {NO_FILES}",
                    file.display()
                ),
            )
            .hint(VERIFIED)),
            None => Ok(()),
        }
    }
}

/// Refuses what the connection string asks for and cannot have.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with the parameter's name.
pub fn check_parameters(parameters: &[Parameter]) -> Result<()> {
    for Parameter { name, value } in parameters {
        let shown = format!("parameter \"{name}\" of the database URL");
        let Some(setting) = SETTINGS.iter().find(|setting| !name.is_empty() && setting.parameter == name) else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{shown} is unknown")).hint(instead_of(name)));
        };
        match setting.rule {
            Rule::Refused { but, why, instead } if !but.contains(&value.as_str()) => {
                return Err(refusal(&shown, value, but, why, &format!("Leave it out. {instead}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the client is not given it: it counts here, or does no harm.
pub fn is_ours(parameter: &Parameter) -> bool {
    !READ.contains(&parameter.name.as_str())
}

/// What helps where other programs have a parameter that libpq lacks.
fn instead_of(name: &str) -> &'static str {
    match name {
        "schema" | "search_path" | "currentSchema" => "Leave it out: tables are named with their schemas.",
        "pgbouncer" | "connection_limit" | "pool_timeout" | "pool_mode" => {
            "Leave it out, and name PostgreSQL itself: Tidewire does not work through a pooler."
        }
        _ => "Leave it out. Tidewire knows the parameters that libpq knows.",
    }
}

/// Whether that value of `sslmode` asks for an encrypted connection. Each of those is verified:
/// certificate and name.
pub fn is_encrypted(sslmode: &str) -> bool {
    ["require", "verify-ca", "verify-full"].contains(&sslmode)
}

/// Refuses what the environment asks for and cannot have. A variable does not count where the
/// connection string has its parameter.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with the variable's name.
pub fn check_variables(environment: &Environment<'_>, parameters: &[Parameter], is_socket: bool) -> Result<()> {
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        let Rule::Refused { but, why, instead } = setting.rule else { continue };
        let is_named = parameters.iter().any(|parameter| parameter.name == setting.parameter);
        let is_moot = is_named || (setting.is_tls && is_socket);
        let value = (environment.0)(setting.variable).filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|value| !is_moot && !but.contains(&value.as_str())) {
            let hint = format!("Unset {}. {instead}", setting.variable);
            return Err(refusal(setting.variable, &value, but, why, &hint));
        }
    }
    Ok(())
}

/// Only what is one of a few words is repeated: the rest may be a secret.
fn refusal(what: &str, value: &str, but: &[&str], why: &str, hint: &str) -> Error {
    let is_word = value.len() < 20 && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    let is = if but.is_empty() || !is_word { "is set".to_owned() } else { format!("is \"{value}\"") };
    Error::new(ErrorKind::InvalidInput, format!("{what} {is}, and Tidewire {why}")).hint(hint.trim())
}
