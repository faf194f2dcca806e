//! The server: its version and its settings.

use tokio_postgres::Client;

use super::{Requirement, Verdict};
use crate::db::connect::error;
use crate::error::Result;

/// The oldest PostgreSQL that has all that is needed (`pg_logical_emit_message` in pgoutput, `typsubscript`).
const OLDEST: i32 = 140_000;

/// The name under which our stream shows, in `pg_stat_replication` and to `synchronous_standby_names`.
const APPLICATION: &str = "tidewire";

/// Whether the further questions can be put to a server of this version and role at all.
pub(super) fn can_be_asked(essentials: &[Requirement]) -> bool {
    essentials.iter().take(2).all(|requirement| requirement.verdict != Verdict::Failed)
}

/// Version, role in replication, `wal_level`.
pub(super) async fn essentials(client: &Client) -> Result<Vec<Requirement>> {
    let row = client
        .query_one(
            "select current_setting('server_version_num')::int, current_setting('server_version'),
                    pg_is_in_recovery(), current_setting('wal_level')",
            &[],
        )
        .await
        .map_err(error)?;
    let (number, version, is_standby, wal_level): (i32, &str, bool, &str) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    Ok(vec![
        if number >= OLDEST {
            Requirement::met(format!("the server is PostgreSQL {version}"))
        } else {
            Requirement::failed(
                format!("PostgreSQL {version} is too old: Tidewire needs 14 or newer"),
                "pg_upgrade --help  # or another way of upgrading: https://www.postgresql.org/docs/current/upgrading.html",
            )
        },
        if is_standby {
            Requirement::failed(
                "the server is a standby, and only the primary's changes can be read",
                "select conninfo from pg_stat_wal_receiver;  -- says where the primary is; use its URL",
            )
        } else {
            Requirement::met("the server is a primary")
        },
        if wal_level == "logical" {
            Requirement::met("wal_level is \"logical\"")
        } else {
            Requirement::failed(
                format!("wal_level is \"{wal_level}\", and must be \"logical\""),
                "alter system set wal_level = logical;  -- as a superuser; then restart the server",
            )
        },
    ])
}

/// A commit must never wait for us: we wait for it to become visible.
pub(super) async fn synchronous(client: &Client) -> Result<Requirement> {
    let sql = "select current_setting('synchronous_standby_names')";
    let row = client.query_one(sql, &[]).await.map_err(error)?;
    let setting: &str = row.get(0);
    Ok(if counts_us(setting) {
        Requirement::failed(
            format!("synchronous_standby_names is '{setting}', by which commits would wait for Tidewire"),
            "alter system set synchronous_standby_names = 'FIRST 1 (standby1)';  -- the standbys by name, as a superuser\n\
             select pg_reload_conf();",
        )
    } else {
        Requirement::met("no commit waits for Tidewire (synchronous_standby_names)")
    })
}

/// Whether a list of standbys has our stream in it: by name, or as `*` (manual, section 20.6.2 "Primary Server").
fn counts_us(synchronous_standby_names: &str) -> bool {
    let names = synchronous_standby_names.split([',', '(', ')', ' ', '\t', '\n']);
    names.map(|name| name.trim_matches('"')).any(|name| name == "*" || name.eq_ignore_ascii_case(APPLICATION))
}

/// A replication slot and a walsender for us.
pub(super) async fn room(client: &Client, slot: &str) -> Result<Vec<Requirement>> {
    let row = client
        .query_one(
            "select current_setting('max_replication_slots')::int, (select count(*)::int from pg_replication_slots),
                    exists (select from pg_replication_slots where slot_name = $1),
                    current_setting('max_wal_senders')::int, (select count(*)::int from pg_stat_replication),
                    exists (select from pg_replication_slots where slot_name = $1 and active),
                    (select string_agg(format('select pg_drop_replication_slot(%L);', slot_name), e'\n' order by slot_name)
                     from pg_replication_slots where not active)",
            &[&slot],
        )
        .await
        .map_err(error)?;
    let (slots, slots_used, has_slot): (i32, i32, bool) = (row.get(0), row.get(1), row.get(2));
    let (senders, senders_used, has_sender): (i32, i32, bool) = (row.get(3), row.get(4), row.get(5));
    let raise = |setting: &str, used: i32| {
        format!("alter system set {setting} = {};  -- as a superuser; then restart the server", used + 1)
    };
    Ok(vec![
        if has_slot || slots_used < slots {
            Requirement::met(format!("{slots_used} of {slots} replication slots are in use (max_replication_slots)"))
        } else {
            let mut remedy = raise("max_replication_slots", slots_used);
            if let Some(drop) = row.get::<_, Option<&str>>(6) {
                remedy = format!("{remedy}\n-- or drop one that nothing uses any more:\n{drop}");
            }
            Requirement::failed(format!("all {slots} replication slots are in use (max_replication_slots)"), remedy)
        },
        if has_sender || senders_used < senders {
            Requirement::met(format!("{senders_used} of {senders} walsenders are in use (max_wal_senders)"))
        } else {
            Requirement::failed(
                format!("all {senders} walsenders are in use (max_wal_senders)"),
                raise("max_wal_senders", senders_used),
            )
        },
    ])
}

/// Whether every text can be had in UTF-8.
pub(super) async fn encoding(client: &Client) -> Result<Requirement> {
    let row = client.query_one("select current_setting('server_encoding')", &[]).await.map_err(error)?;
    let encoding: &str = row.get(0);
    let gap = "and its subscribers get a gap (not_utf8)";
    Ok(match encoding {
        "UTF8" => Requirement::met("the database's encoding is UTF8"),
        "MULE_INTERNAL" => Requirement::failed(
            "the database's encoding is MULE_INTERNAL: PostgreSQL has no conversion to UTF-8",
            "-- move the data to a database with encoding UTF8",
        ),
        "SQL_ASCII" => Requirement::warning(format!(
            "the database's encoding is SQL_ASCII: a change with a text that is not UTF-8 is set aside, {gap}"
        ))
        .remedy("-- move the data to a database with encoding UTF8"),
        _ => Requirement::met(format!(
            "the database's encoding is {encoding}; a change with a character that UTF-8 has no equivalent of is set aside, {gap}"
        )),
    })
}

/// Whether the server notices that our stream's other end is gone.
pub(super) async fn patience(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select setting = '0', current_setting(name) from pg_settings where name = 'wal_sender_timeout'",
            &[],
        )
        .await
        .map_err(error)?;
    Ok(if row.get(0) {
        Requirement::warning("wal_sender_timeout is 0: the slot stays in use when its reader's machine is gone, and no standby takes over")
            .remedy("alter system set wal_sender_timeout = '60s';  -- as a superuser\nselect pg_reload_conf();")
    } else {
        Requirement::met(format!("wal_sender_timeout is {}", row.get::<_, &str>(1)))
    })
}

/// How much WAL a stopped Tidewire may hold back.
pub(super) async fn retention(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select current_setting('max_slot_wal_keep_size'),
                    coalesce(current_setting('idle_replication_slot_timeout', true), '0')",
            &[],
        )
        .await
        .map_err(error)?;
    let (size, idle): (&str, &str) = (row.get(0), row.get(1));
    let lost = "the slot is lost, and every session is told of a gap";
    Ok(match (size, idle) {
        ("-1", "0") => Requirement::warning(
            "max_slot_wal_keep_size is unlimited: while Tidewire is stopped its slot keeps all WAL, until the disk is full",
        )
        .remedy("alter system set max_slot_wal_keep_size = '10GB';  -- as a superuser; beyond it the slot is lost and a gap told\nselect pg_reload_conf();"),
        ("-1", idle) => Requirement::met(format!("idle_replication_slot_timeout is {idle}: stopped for longer, {lost}")),
        (size, "0") => Requirement::met(format!("max_slot_wal_keep_size is {size}: with more WAL than that unread, {lost}")),
        (size, idle) => Requirement::met(format!(
            "max_slot_wal_keep_size is {size}, idle_replication_slot_timeout {idle}: beyond either {lost}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_standbys_counts_us_by_name_or_star() {
        for setting in ["*", "FIRST 1 (*)", "a, tidewire", "ANY 2 (\"Tidewire\",b)", "2(a,*)"] {
            assert!(counts_us(setting), "{setting}");
        }
        for setting in ["", "a", "FIRST 1 (tidewire2, a)", "any 1 (\"a b\")"] {
            assert!(!counts_us(setting), "{setting}");
        }
    }
}
