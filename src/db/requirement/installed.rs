//! Our names: free, or ours and as we made them.

use tokio_postgres::Client;

use super::Requirement;
use crate::db::connect::error;
use crate::db::installation::{EVENT_TRIGGERS, Installed, PUBLICATION, VERSION};
use crate::db::ownership;
use crate::error::Result;

/// The schemas, and what it takes to make or to use them.
pub(super) async fn schemas(client: &Client, installed: &Installed) -> Result<Vec<Requirement>> {
    Ok(match installed {
        Installed::Nothing => vec![
            Requirement::met("the names are free: schemas event and meta, publication tidewire"),
            may_create(client).await?,
        ],
        Installed::Foreign(all) => {
            let mut found: Vec<_> = all.iter().map(|what| foreign(what)).collect();
            found.push(may_create(client).await?);
            found
        }
        Installed::Version(VERSION) => vec![owner(client).await?],
        Installed::Version(other) => vec![Requirement::failed(
            format!("the installed schemas are of version {other}, and this program's of version {VERSION}"),
            "tidewire --version  # use the one that installed them, or a newer one",
        )],
    })
}

/// Something of another program's that has a name of ours.
pub(in crate::db) fn foreign(what: &str) -> Requirement {
    let (kind, name) = what.split_once(' ').unwrap_or((what, ""));
    Requirement::failed(
        format!("{kind} \"{name}\" exists and is not Tidewire's"),
        format!("alter {what} rename to {name}_other;  -- or give Tidewire a database of its own"),
    )
}

async fn may_create(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select has_database_privilege(current_database(), 'create'), current_user::text, current_database()::text,
                    format('grant create on database %I to %I;  -- as the database''s owner or a superuser',
                           current_database(), current_user)",
            &[],
        )
        .await
        .map_err(error)?;
    let (role, database, remedy): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
    Ok(if row.get(0) {
        Requirement::met(format!("role \"{role}\" may create schemas in database \"{database}\""))
    } else {
        Requirement::failed(format!("role \"{role}\" may not create schemas in database \"{database}\""), remedy)
    })
}

/// Whether the role has the rights of the one that installed the schemas.
pub(super) async fn is_ours(client: &Client) -> Result<bool> {
    let sql = "select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'event'";
    Ok(client.query_opt(sql, &[]).await.map_err(error)?.is_some_and(|row| row.get(0)))
}

async fn owner(client: &Client) -> Result<Requirement> {
    let row = client
        .query_one(
            "select r.rolname::text, current_user::text, format('grant %I to %I;  -- as an administrator; or connect as %I',
                                                               r.rolname, current_user, r.rolname)
             from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'event'",
            &[],
        )
        .await
        .map_err(error)?;
    let (owner, role, remedy): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    Ok(if is_ours(client).await? {
        Requirement::met(format!("schemas event and meta are installed (version {VERSION}, by role \"{owner}\")"))
    } else {
        Requirement::failed(format!("schemas event and meta belong to role \"{owner}\", not to \"{role}\""), remedy)
    })
}

/// That the publication neither feeds what we write back to us nor tells us too little.
pub(in crate::db) async fn publication(client: &Client, slot: &str) -> Result<Requirement> {
    let row = client
        .query_one(
            // of a partition the table that was added, which is what can be dropped
            "select (select string_agg(distinct own.name, ', ')
                     from pg_publication_tables t, lateral (
                         select coalesce(pg_partition_root(to_regclass(format('%I.%I', t.schemaname, t.tablename))),
                                         to_regclass(format('%I.%I', t.schemaname, t.tablename)))::text as name) own
                     where t.pubname = $1 and t.schemaname in ('event', 'meta')
                       and (t.schemaname, t.tablename) not in (('event', 'watched'), ('event', 'subscription'),
                                                               ('event', 'session'), ('event', 'ending'), ('event', 'gap'))
                       and not (t.schemaname = 'event' and t.tablename like 'meta\\_%')),
                    (select pubinsert and pubupdate and pubdelete and pubtruncate and not pubviaroot and not puballtables
                            -- from PostgreSQL 18 on
                            and coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's'
                     from pg_publication p where pubname = $1),
                    (select string_agg(format('%I.%I', 'event', o.name), ', ')
                     from (values ('watched'), ('subscription'), ('session'), ('ending'), ('gap')) o (name)
                     where not exists (select from pg_publication_tables
                                       where pubname = $1 and schemaname = 'event' and tablename = o.name)),
                    current_setting('server_version_num')::int >= 180000",
            &[&PUBLICATION],
        )
        .await
        .map_err(error)?;
    let (own, as_made, missing): (Option<&str>, Option<bool>, Option<&str>) = (row.get(0), row.get(1), row.get(2));
    let (with, further, generated) = match row.get(3) {
        true => (
            " with (publish_generated_columns = stored)",
            ", publish_generated_columns = stored",
            ", with stored generated columns",
        ),
        false => ("", "", ""),
    };
    Ok(match (as_made, own, missing) {
        (None, ..) => Requirement::failed(
            format!("publication \"{PUBLICATION}\" is gone"),
            // what was written without it cannot be decoded with it
            format!(
                "create publication {PUBLICATION} for table only event.watched, only event.subscription, only event.session, only event.ending, only event.gap{with};\n\
                 select pg_drop_replication_slot('{slot}');  -- tidewire up makes it anew, and tells sessions of a gap"
            ),
        ),
        (_, Some(own), _) => Requirement::failed(
            format!(
                "publication \"{PUBLICATION}\" has Tidewire's own table {own}: each event written would be the next event"
            ),
            format!("alter publication {PUBLICATION} drop table {own};"),
        ),
        (Some(false), ..) => Requirement::failed(
            format!(
                "publication \"{PUBLICATION}\" was altered: it must publish inserts, updates, deletes and truncates, of single tables, not via the root{generated}"
            ),
            format!(
                "alter publication {PUBLICATION} set (publish = 'insert, update, delete, truncate', publish_via_partition_root = false{further});"
            ),
        ),
        (_, _, Some(missing)) => Requirement::failed(
            format!("publication \"{PUBLICATION}\" was altered: {missing} is missing"),
            format!("alter publication {PUBLICATION} add table only {};", missing.replace(", ", ", only ")),
        ),
        (Some(true), None, None) => Requirement::met(format!("publication \"{PUBLICATION}\" is as Tidewire made it")),
    })
}

/// The event triggers that follow schema changes at once.
pub(super) async fn event_trigger(client: &Client, installed: &Installed, shown: &str) -> Result<Requirement> {
    let row = client
        .query_one(
            "select (select rolsuper from pg_roles where rolname = current_user),
                    string_agg(o.name, ', ') filter (where e.oid is null),
                    string_agg(o.name, ', ') filter (where e.evtenabled not in ('O', 'A')),
                    (select r.rolname::text from pg_namespace n join pg_roles r on r.oid = n.nspowner
                     where n.nspname = 'event' and not r.rolsuper)
             from unnest($1::text[]) as o (name) left join pg_event_trigger e on e.evtname = o.name",
            &[&EVENT_TRIGGERS.as_slice()],
        )
        .await
        .map_err(error)?;
    let (superuser, missing, disabled): (bool, Option<&str>, Option<&str>) = (row.get(0), row.get(1), row.get(2));
    // a superuser who installs them trusts the role whose functions they call
    let trust = row.get::<_, Option<&str>>(3).map(ownership::flag).unwrap_or_default();
    let slower = "dropped tables, new partitions and changes of the catalog are noticed within seconds, not at once";
    Ok(match (installed, missing, disabled) {
        (Installed::Version(_), None, None) => Requirement::met("event triggers follow schema changes at once"),
        (Installed::Version(_), Some(missing), _) => {
            Requirement::warning(format!("event triggers are missing: {missing}; {slower}"))
                .remedy(format!("tidewire install --database-url '{shown}'{trust}  # with a superuser's URL"))
        }
        (Installed::Version(_), None, Some(disabled)) => {
            let enable: String =
                disabled.split(", ").map(|name| format!("alter event trigger {name} enable; ")).collect();
            Requirement::warning(format!("event triggers are disabled: {disabled}; {slower}"))
                .remedy(format!("{enable} -- as a superuser"))
        }
        _ if superuser => Requirement::met("event triggers can be created"),
        _ => Requirement::warning(format!("only a superuser may create event triggers; without one, {slower}")),
    })
}
