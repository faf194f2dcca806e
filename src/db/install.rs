//! Installs, migrates and removes the database side: two schemas, a publication, event triggers.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::connect::error;
use super::installation::{EVENT_TRIGGERS, VERSION};
pub use super::installation::{Installed, PUBLICATION, installed, slot_name};
use super::ownership::{self, Seal, Trust, Use};
use super::requirement::{self, refuse};
use super::server::{self, Holder, Part};
use super::slot;
use crate::error::{Error, ErrorKind, Result};

/// In the order in which they need each other.
const FILES: [&str; 61] = [
    include_str!("../../sql/meta/identifier.sql"),
    include_str!("../../sql/meta/json.sql"),
    include_str!("../../sql/meta/object.sql"),
    include_str!("../../sql/meta/catalog.sql"),
    include_str!("../../sql/meta/role.sql"),
    include_str!("../../sql/meta/setting.sql"),
    include_str!("../../sql/meta/connection.sql"),
    include_str!("../../sql/meta/schema.sql"),
    include_str!("../../sql/meta/type.sql"),
    include_str!("../../sql/meta/type_ddl.sql"),
    include_str!("../../sql/meta/function.sql"),
    include_str!("../../sql/meta/function_parameter.sql"),
    include_str!("../../sql/meta/cast.sql"),
    include_str!("../../sql/meta/operator.sql"),
    include_str!("../../sql/meta/column.sql"),
    include_str!("../../sql/meta/table.sql"),
    include_str!("../../sql/meta/relation.sql"),
    include_str!("../../sql/meta/relation_column.sql"),
    include_str!("../../sql/meta/sequence.sql"),
    include_str!("../../sql/meta/materialized_view.sql"),
    include_str!("../../sql/meta/partition.sql"),
    include_str!("../../sql/meta/constraint.sql"),
    include_str!("../../sql/meta/constraint_key.sql"),
    include_str!("../../sql/meta/constraint_check.sql"),
    include_str!("../../sql/meta/foreign_key.sql"),
    include_str!("../../sql/meta/index.sql"),
    include_str!("../../sql/meta/constraint_exclusion.sql"),
    include_str!("../../sql/meta/view.sql"),
    include_str!("../../sql/meta/trigger.sql"),
    include_str!("../../sql/meta/policy.sql"),
    include_str!("../../sql/meta/table_privilege.sql"),
    include_str!("../../sql/meta/extension.sql"),
    include_str!("../../sql/meta/foreign_data_wrapper.sql"),
    include_str!("../../sql/meta/foreign_table.sql"),
    include_str!("../../sql/meta/foreign_column.sql"),
    include_str!("../../sql/meta/publication.sql"),
    include_str!("../../sql/meta/comment.sql"),
    include_str!("../../sql/event/encoding.sql"),
    include_str!("../../sql/event/relation.sql"),
    include_str!("../../sql/event/installation.sql"),
    include_str!("../../sql/event/session.sql"),
    include_str!("../../sql/event/watch.sql"),
    include_str!("../../sql/event/key.sql"),
    include_str!("../../sql/event/description.sql"),
    include_str!("../../sql/event/subscription.sql"),
    include_str!("../../sql/event/key_change.sql"),
    include_str!("../../sql/event/inbox.sql"),
    include_str!("../../sql/event/quota.sql"),
    include_str!("../../sql/event/call.sql"),
    include_str!("../../sql/event/short_form.sql"),
    include_str!("../../sql/event/read.sql"),
    include_str!("../../sql/event/retention.sql"),
    include_str!("../../sql/event/failure.sql"),
    include_str!("../../sql/event/gap.sql"),
    include_str!("../../sql/event/mirror.sql"),
    include_str!("../../sql/event/touched.sql"),
    include_str!("../../sql/event/engine.sql"),
    include_str!("../../sql/event/sweep.sql"),
    include_str!("../../sql/event/follow.sql"),
    include_str!("../../sql/event/status.sql"),
    include_str!("../../sql/event/privilege.sql"),
];

/// To the server a program that has just ended is there for some milliseconds more: its connections are still being closed.
const ENDING_LOOKS: u32 = 20;
const ENDING_PAUSE: Duration = Duration::from_millis(50);

/// How often the locks are tried for before somebody is said to be in the way; each takes up to 200 ms.
const LOCK_TRIES: u32 = 4;

/// Locks every relation of ours, for a short while each at most; views before the tables that they read, as readers do. LOCK TABLE would
/// lock what a view reads too, the cluster's roles among it, and needs the right to: so a view is given the owner that it has.
const LOCK_OURS: &str = "set local lock_timeout = '200ms'; set local client_min_messages = warning;
    do $$ declare ours record; begin
        for ours in select format(case when c.relkind = 'v' then 'alter view %s owner to %s' else 'lock table %s in access exclusive mode' end,
                                  c.oid::regclass, c.relowner::regrole) as lock
                    from pg_class c where c.relnamespace in ('event'::regnamespace, 'meta'::regnamespace)
                    and c.relkind in ('v', 'r', 'p') and not c.relispartition order by c.relkind = 'v' desc, c.oid loop
            execute ours.lock;
        end loop;
    end $$";

/// Ends the connections of programs that have looked at the schemas, before other schemas can have their names.
const END_OTHERS: &str = "select pg_terminate_backend(a.pid) from pg_stat_activity a
    join pg_roles r on r.oid = a.usesysid, pg_roles me
    where me.rolname = current_user and a.datname = current_database() and a.application_name = 'tidewire'
      and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      and (me.rolsuper or not r.rolsuper and pg_has_role(r.oid, 'usage'))";

/// Only for superusers: others may not create event triggers.
const DDL: &str = include_str!("../../sql/event/ddl.sql");

/// Installs what is missing; nothing if it is all there.
///
/// # Errors
/// [`ErrorKind::Setup`] when the names are taken, the schemas are of a role that is not trusted, the version is a newer
/// one's, or a privilege is missing.
pub async fn install(client: &mut Client, trust: &Trust) -> Result<()> {
    refuse(requirement::before_all(client).await?)?;
    let slot = slot_name(client).await?;
    let seal = ownership::look(client, trust, Use::Serve).await?;
    match installed(client, seal).await? {
        Installed::Version(VERSION) => {
            refuse(vec![requirement::publication(client, &slot).await?])?;
            return follow_ddl(client).await;
        }
        Installed::Version(other) => {
            return Err(Error::new(ErrorKind::Setup, format!("the schemas are of version {other}, not {VERSION}"))
                .hint("Use the tidewire that installed them, or a newer one."));
        }
        Installed::Foreign(all) => return refuse(all.into_iter().map(requirement::foreign).collect()),
        Installed::Nothing => {}
    }
    if let slot::SlotState::Foreign(detail) = slot::state(client, &slot).await? {
        return Err(slot::foreign(&slot, detail));
    }
    let transaction = client.transaction().await.map_err(error)?;
    transaction
        .batch_execute(
            "set local client_min_messages = warning; set local check_function_bodies = on;
             create schema meta; create schema event;
             comment on schema meta is 'Tidewire: names for the objects of the database.';
             comment on schema event is 'Tidewire: sessions, subscriptions, events.';",
        )
        .await
        .map_err(|source| error(source).context("cannot install"))?;
    for file in FILES {
        transaction.batch_execute(file).await.map_err(|source| error(source).context("cannot install"))?;
    }
    transaction
        .execute(
            "insert into event.installation (version, program, publication, slot) values ($1, $2, $3, $4)",
            &[&VERSION, &env!("CARGO_PKG_VERSION"), &PUBLICATION, &slot],
        )
        .await
        .map_err(error)?;
    transaction
        .batch_execute(
            "create publication tidewire for table only event.watched, only event.subscription, only event.session,
                                               only event.ending, only event.gap;
             comment on publication tidewire is 'Tidewire: the watched tables, and its own subscriptions.';
             -- With REPLICA IDENTITY FULL a writer's UPDATE of a generated column that is not published is an error.
             do $$ begin
                 if current_setting('server_version_num')::int >= 180000 then
                     alter publication tidewire set (publish_generated_columns = stored);
                 end if;
             end $$",
        )
        .await
        .map_err(|source| error(source).context("cannot install"))?;
    transaction.commit().await.map_err(error)?;
    follow_ddl(client).await
}

/// The same, for a program that does not hold the lease yet: another may be installing at this moment, and then one of the two fails.
///
/// # Errors
/// As [`install`].
pub async fn ensure(client: &mut Client, trust: &Trust) -> Result<Seal> {
    if let Err(failed) = install(client, trust).await {
        install(client, trust).await.map_err(|_| failed)?;
    }
    ownership::look(client, trust, Use::Serve).await?.ok_or_else(ownership::removed)
}

/// Sees to it that there is the event trigger, if this role may create one.
async fn follow_ddl(client: &mut Client) -> Result<()> {
    let row = client
        .query_one(
            "select rolsuper and (select count(*) from pg_event_trigger where evtname = any ($1)) < cardinality($1)
             from pg_roles where rolname = current_user",
            &[&EVENT_TRIGGERS.as_slice()],
        )
        .await
        .map_err(error)?;
    if !row.get::<_, bool>(0) {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(error)?;
    let sql = format!(
        "set local client_min_messages = warning;
         drop function if exists event._on_ddl() cascade; drop function if exists event._on_catalog() cascade; {DDL};
         revoke all on function event._on_ddl(), event._on_catalog() from public;
         -- with the rights of whoever owns what they call, and no more
         do $$ declare owner text := (select nspowner::regrole::text from pg_namespace where nspname = 'event'); begin
             execute format('alter function event._on_ddl() owner to %s', owner);
             execute format('alter function event._on_catalog() owner to %s', owner);
         end $$"
    );
    transaction.batch_execute(&sql).await.map_err(|source| error(source).context("cannot install"))?;
    transaction.commit().await.map_err(error)
}

/// Removes everything: tables get back the replica identity that they had.
///
/// # Errors
/// [`ErrorKind::Standby`] while a program serves the database; [`ErrorKind::Setup`] when a watched table is busy, or when
/// something of the users' would go too.
pub async fn uninstall(client: &mut Client, trust: &Trust) -> Result<bool> {
    let seal = ownership::look(client, trust, Use::Serve).await?;
    let slot = slot_name(client).await?;
    let installed = installed(client, seal).await?;
    if let Installed::Foreign(_) = installed {
        return Ok(false);
    }
    if let (Some(seal), Installed::Version(_)) = (seal, &installed) {
        until_alone(client, seal, &slot).await?;
    }
    if installed == Installed::Nothing {
        // an uninstall that did not get further
        let left = matches!(slot::state(client, &slot).await?, slot::SlotState::Usable | slot::SlotState::Lost);
        slot::drop(client, &slot).await?;
        return Ok(left);
    }
    let transaction = lock_ours(client).await?;
    let busy = transaction.query("select event._uninstall()", &[]).await.map_err(error)?;
    if let Some(row) = busy.first() {
        let table: &str = row.get(0);
        return Err(Error::new(ErrorKind::Setup, format!("table {table} could not be put back as it was"))
            .detail("It is busy, or this role may not alter it. Nothing was removed.")
            .hint("Try again at a quiet moment, as the role that installed Tidewire or as a superuser."));
    }
    refuse_dependents(&transaction).await?;
    transaction
        .batch_execute(
            "set local client_min_messages = warning;
             drop publication if exists tidewire;
             drop event trigger if exists tidewire_ddl; drop event trigger if exists tidewire_ddl_drop;
             drop event trigger if exists tidewire_catalog; drop event trigger if exists tidewire_catalog_drop;
             drop schema event cascade; drop schema meta cascade;",
        )
        .await
        .map_err(|source| match source.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                in_temporary_use("It began while this was on its way.", "Try again.")
            }
            _ => error(source).context("cannot uninstall"),
        })?;
    transaction.batch_execute(END_OTHERS).await.map_err(|source| error(source).context("cannot uninstall"))?;
    transaction.commit().await.map_err(error)?;
    slot::drop(client, &slot).await?;
    Ok(true)
}

/// Begins a transaction in which nobody else uses anything of ours: first, so that no table of the users' is locked while this
/// waits. A statement of a program that has just ended may be on its way still.
async fn lock_ours(client: &mut Client) -> Result<Transaction<'_>> {
    let mut transaction = client.transaction().await.map_err(error)?;
    for tries_left in (0..LOCK_TRIES).rev() {
        let attempt = transaction.transaction().await.map_err(error)?;
        match attempt.batch_execute(LOCK_OURS).await {
            Ok(()) => {
                attempt.commit().await.map_err(error)?;
                break;
            }
            Err(source) if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                attempt.rollback().await.map_err(error)?;
                if tries_left == 0 {
                    return Err(in_use(source));
                }
                tokio::time::sleep(ENDING_PAUSE).await;
            }
            Err(source) => return Err(error(source)),
        }
    }
    Ok(transaction)
}

fn in_use(source: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Setup, "somebody is using Tidewire's tables")
        .detail("A transaction that has read or written one of the schemas event and meta is still open. Nothing was removed.")
        .hint(
            "End it, and try again: select pid, query from pg_stat_activity where pid in (select pid from pg_locks \
             join pg_class c on c.oid = relation where relnamespace in ('event'::regnamespace, 'meta'::regnamespace));",
        )
        .source(error(source))
}

/// Takes the lease, and waits a moment for the program that served the database before.
async fn until_alone(client: &Client, seal: Seal, slot: &str) -> Result<()> {
    let is_read = "select exists (select from pg_replication_slots where slot_name = $1 and active)";
    for _ in 0..ENDING_LOOKS {
        let is_ours = seal.within(client, server::try_take(client, Part::Lease)).await? == Holder::Us;
        if is_ours && !client.query_one(is_read, &[&slot]).await.map_err(error)?.get::<_, bool>(0) {
            return Ok(());
        }
        tokio::time::sleep(ENDING_PAUSE).await;
    }
    Err(Error::new(ErrorKind::Standby, "tidewire up is running on this database").hint("Stop it first."))
}

/// Refuses when users have made views of ours, or columns of our types: those would go with the schemas. What is temporary
/// goes with them, unless its session is using it at the moment: that would be waited for.
async fn refuse_dependents(transaction: &Transaction<'_>) -> Result<()> {
    let row = transaction
        .query_one(
            "with ours (class, oid) as (
                 select 'pg_class'::regclass, oid from pg_class
                 where relnamespace in ('event'::regnamespace, 'meta'::regnamespace)
                 union all
                 select 'pg_type'::regclass, oid from pg_type
                 where typnamespace in ('event'::regnamespace, 'meta'::regnamespace)
                 union all
                 select 'pg_proc'::regclass, oid from pg_proc
                 where pronamespace in ('event'::regnamespace, 'meta'::regnamespace)
             ), dependent as (
                 select d.classid, d.objid, d.objsubid, address.object_names[1] ~ '^pg_temp(_[0-9]+)?([.]|$)' as is_temporary,
                        case d.classid when 'pg_class'::regclass then d.objid
                                       when 'pg_rewrite'::regclass then (select w.ev_class from pg_rewrite w where w.oid = d.objid) end as relation
                 from ours o join pg_depend d on d.refclassid = o.class and d.refobjid = o.oid and d.deptype in ('n', 'a')
                 cross join lateral pg_identify_object_as_address(d.classid, d.objid, d.objsubid) address
                 where d.classid not in ('pg_cast'::regclass, 'pg_event_trigger'::regclass)
                   and address.object_names[1] not in ('event', 'meta')
             )
             select (select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
                     from dependent d where not d.is_temporary),
                    (select string_agg(distinct format('process %s has %s', l.pid, l.relation::regclass), ', ')
                     from dependent d join pg_locks l on l.locktype = 'relation' and l.relation = d.relation
                     where d.is_temporary and l.pid <> pg_backend_pid()
                       and l.database = (select b.oid from pg_database b where b.datname = current_database())),
                    (select string_agg(distinct format('select pg_terminate_backend(%s);', l.pid), ' ')
                     from dependent d join pg_locks l on l.locktype = 'relation' and l.relation = d.relation
                     where d.is_temporary and l.pid <> pg_backend_pid()
                       and l.database = (select b.oid from pg_database b where b.datname = current_database()))",
            &[],
        )
        .await
        .map_err(error)?;
    match (row.get::<_, Option<&str>>(0), row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)) {
        (Some(all), ..) => Err(Error::new(ErrorKind::Setup, "other objects depend on the schemas event and meta")
            .detail(format!("They are: {all}. Nothing was removed."))
            .hint("Drop them first.")),
        (None, Some(uses), Some(end)) => Err(in_temporary_use(
            &format!("In its transaction {uses}."),
            &format!("End that transaction, or its connection: {end}"),
        )),
        _ => Ok(()),
    }
}

fn in_temporary_use(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Setup, "a temporary object that depends on the schemas event and meta is in use")
        .detail(format!("{what} Nothing was removed."))
        .hint(hint)
}
