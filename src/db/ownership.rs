//! Decides whose code this program runs, by what PostgreSQL's own catalog says of the schemas `event` and `meta`.
//! A module of its own because every command has to pass it before it reads or calls anything of theirs.
//!
//! The look reads pg_catalog alone, over a search path that it sets itself. What it found holds afterwards: a role that
//! owns nothing there, and may create nothing there, cannot exchange anything. A schema that its owner drops and another
//! role makes anew has another oid, which [`Seal::hold`] sees under a lock that keeps the schema from being dropped.

use tokio_postgres::{Client, GenericClient, Row};

use super::connect::error;
use super::installation::{EVENT_TRIGGERS, PUBLICATION};
use crate::error::{Error, ErrorKind, Result};

/// The owner without superuser's rights whom a user has declared to trust (`--trust-owner`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust(Option<String>);

impl Trust {
    /// Trusts this role with the rights of the role that connects; `None`: no other role.
    pub fn in_owner(role: Option<String>) -> Self {
        Trust(role)
    }

    /// As it is typed, behind a space; empty for none.
    pub fn flag(&self) -> String {
        self.0.as_deref().map(flag).unwrap_or_default()
    }
}

/// The flag that trusts a role, for a shell, behind a space.
pub(super) fn flag(role: &str) -> String {
    format!(" --trust-owner '{}'", role.replace('\'', r"'\''"))
}

/// What the program is about to do with the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Install, serve, check or remove them: that is for their owner, or for a role with the owner's rights.
    Serve,
    /// Call the functions that are there for every role.
    Subscribe,
}

/// The schemas that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// The oid of schema `event`, or of `meta` where only that exists.
    schema: u32,
}

impl Seal {
    /// Keeps the schemas from being dropped until the transaction ends, once it is certain that they are still the same.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when they are not.
    pub async fn hold(&self, transaction: &impl GenericClient) -> Result<()> {
        // a lock runs nothing, whatever it is that has this name by now
        let locked = transaction.batch_execute("lock table only event.installation in access share mode").await;
        let sql = "select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
                   where n.oid operator(pg_catalog.=) $1 and n.nspname operator(pg_catalog.=) 'event'
                     and c.relname operator(pg_catalog.=) 'installation')";
        match locked {
            Ok(()) if transaction.query_one(sql, &[&self.schema]).await.map_err(error)?.get(0) => Ok(()),
            Ok(()) => Err(removed()),
            Err(source) => match error(source) {
                missing if missing.kind() == ErrorKind::Database => Err(removed().source(missing)),
                failed => Err(failed),
            },
        }
    }
}

impl Seal {
    /// Does something within a transaction of its own that holds the schemas.
    ///
    /// # Errors
    /// As [`Seal::hold`], and those of what is done.
    pub async fn within<T>(self, client: &Client, work: impl Future<Output = Result<T>>) -> Result<T> {
        client.batch_execute("begin").await.map_err(error)?;
        let done = match self.hold(client).await {
            Ok(()) => work.await,
            Err(failed) => Err(failed),
        };
        let end = if done.is_ok() { "commit" } else { "rollback" };
        let ended = client.batch_execute(end).await.map_err(error);
        done.and_then(|done| ended.map(|()| done))
    }
}

/// The error for schemas that are not there any more.
pub(super) fn removed() -> Error {
    Error::new(ErrorKind::Setup, "Tidewire was removed from this database in the meantime")
        .hint("tidewire check says what is there now.")
}

/// Why nothing of the schemas is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was found.
    pub message: String,
    /// What could come of it.
    pub detail: String,
    /// What to do: SQL or a flag.
    pub remedy: String,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::new(ErrorKind::Setup, refusal.message).detail(refusal.detail).hint(refusal.remedy)
    }
}

/// Looks whether everything in the schemas is of a role whose code may run here; `None` where neither schema exists.
///
/// # Errors
/// [`ErrorKind::Setup`] with the object and its owner where it is not; those of the connection.
pub async fn look(client: &Client, trust: &Trust, purpose: Use) -> Result<Option<Seal>> {
    Ok(judge(client, trust, purpose).await??)
}

/// The same, with the refusal apart from what can go wrong.
///
/// # Errors
/// Those of the connection.
pub async fn judge(client: &Client, trust: &Trust, purpose: Use) -> Result<std::result::Result<Option<Seal>, Refusal>> {
    client.batch_execute("set search_path = pg_catalog, pg_temp").await.map_err(error)?;
    let Some(row) = client.query_opt(LOOK, &[&EVENT_TRIGGERS.as_slice(), &PUBLICATION]).await.map_err(error)? else {
        return Ok(Ok(None));
    };
    let found = Found::from(&row);
    Ok(match found.refusal(trust, purpose) {
        Some(refusal) => Err(refusal),
        None => Ok(Some(Seal { schema: found.schema })),
    })
}

/// One row where a schema exists. The owner is that of `event`. Another role is as good as the owner if it has the owner's rights
/// (`pg_has_role`, which a superuser always has). Trigger functions count wherever they are: they run with the writer's rights.
const LOOK: &str = r#"
with schema as (
    select n.oid, n.nspname as name, n.nspowner as owner, n.nspacl as acl
    from pg_namespace n where n.nspname in ('event', 'meta')
), owner as (
    select s.oid as schema, r.oid, r.rolname as name, r.rolsuper, r.rolcreaterole, r.rolbypassrls, r.rolreplication
    from schema s join pg_roles r on r.oid = s.owner order by s.name limit 1
), relation as (
    select c.* from pg_class c where c.relnamespace in (select oid from schema)
), cast_function as (
    select k.castfunc as oid
    from pg_cast k join pg_type a on a.oid = k.castsource join pg_type b on b.oid = k.casttarget
    where (a.typnamespace in (select oid from schema) and b.typnamespace in (select oid from schema union all select 'pg_catalog'::regnamespace))
       or (b.typnamespace in (select oid from schema) and a.typnamespace = 'pg_catalog'::regnamespace)
), object (class, oid, owner) as (
    select 'pg_namespace'::regclass, s.oid, s.owner from schema s
    union all select 'pg_class'::regclass, c.oid, c.relowner from relation c where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all select 'pg_proc'::regclass, p.oid, p.proowner from pg_proc p
              where p.pronamespace in (select oid from schema)
                 or p.oid in (select t.tgfoid from pg_trigger t where t.tgrelid in (select oid from relation)
                              union all select e.evtfoid from pg_event_trigger e where e.evtname = any ($1)
                              union all select oid from cast_function)
    union all select 'pg_type'::regclass, t.oid, t.typowner from pg_type t
              -- neither arrays nor the rows of relations
              where t.typnamespace in (select oid from schema) and not exists (select from pg_type e where e.typarray = t.oid)
                and not exists (select from pg_class c where c.oid = t.typrelid and c.relkind <> 'c')
    union all select 'pg_operator'::regclass, o.oid, o.oprowner from pg_operator o where o.oprnamespace in (select oid from schema)
    union all select 'pg_opclass'::regclass, o.oid, o.opcowner from pg_opclass o where o.opcnamespace in (select oid from schema)
    union all select 'pg_opfamily'::regclass, o.oid, o.opfowner from pg_opfamily o where o.opfnamespace in (select oid from schema)
    union all select 'pg_collation'::regclass, o.oid, o.collowner from pg_collation o where o.collnamespace in (select oid from schema)
    union all select 'pg_conversion'::regclass, o.oid, o.conowner from pg_conversion o where o.connamespace in (select oid from schema)
    union all select 'pg_statistic_ext'::regclass, o.oid, o.stxowner from pg_statistic_ext o where o.stxnamespace in (select oid from schema)
    union all select 'pg_event_trigger'::regclass, e.oid, e.evtowner from pg_event_trigger e where e.evtname = any ($1)
    union all select 'pg_publication'::regclass, p.oid, p.pubowner from pg_publication p where p.pubname = $2
), strange as (
    select pg_describe_object(x.class, x.oid, 0) as name, pg_get_userbyid(x.owner)::text as owner
    from object x, owner o where not pg_has_role(x.owner, o.oid, 'usage')
    order by x.class <> 'pg_namespace'::regclass, x.class, x.oid limit 1
), privilege as (
    select 'create' as name, 'schema ' || quote_ident(s.name) as object, a.grantee
    from schema s cross join aclexplode(s.acl) a where a.privilege_type = 'CREATE'
    union all
    select 'trigger', 'table ' || c.oid::regclass, a.grantee
    from relation c cross join aclexplode(c.relacl) a where a.privilege_type = 'TRIGGER'
), granted as (
    select p.name, p.object, case when p.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(p.grantee)) end as grantee
    from privilege p, owner o where p.grantee = 0 or not pg_has_role(p.grantee, o.oid, 'usage')
    order by 1, 2, 3 limit 1
), runner as (
    -- what a session's user may do its current user can come by: reset role
    select bool_or(r.rolsuper and not o.rolsuper or not o.rolsuper and (
               r.rolcreaterole and not o.rolcreaterole or r.rolbypassrls and not o.rolbypassrls
               or r.rolreplication and not o.rolreplication
               or exists (select from pg_roles p
                          where p.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                                              'pg_read_all_data', 'pg_write_all_data')
                            and pg_has_role(r.oid, p.oid, 'member') and not pg_has_role(o.oid, p.oid, 'member')))) as exceeds
    from pg_roles r, owner o where r.rolname in (session_user, current_user)
)
select o.schema, o.name::text, o.rolsuper, current_user::text, pg_has_role(o.oid, 'usage'), r.exceeds,
       (select string_agg(s.name::text, ' and ' order by s.name) from schema s), quote_ident(o.name), quote_ident(current_user),
       (select s.name from strange s), (select s.owner from strange s),
       (select g.name from granted g), (select g.object from granted g), (select g.grantee from granted g)
from owner o, runner r"#;

/// What the look found.
struct Found {
    schema: u32,
    owner: String,
    is_superusers: bool,
    role: String,
    /// The role has the owner's rights.
    is_ours: bool,
    /// The role may do what the owner may not.
    exceeds: bool,
    /// `event and meta`, or the one that exists.
    schemas: String,
    quoted_owner: String,
    quoted_role: String,
    /// An object of another role, and that role.
    strange: Option<(String, String)>,
    /// A right that lets another role put code there: the right, on what, whose.
    granted: Option<(String, String, String)>,
}

impl From<&Row> for Found {
    fn from(row: &Row) -> Found {
        let strange: (Option<String>, Option<String>) = (row.get(9), row.get(10));
        let granted: (Option<String>, Option<String>, Option<String>) = (row.get(11), row.get(12), row.get(13));
        Found {
            schema: row.get(0),
            owner: row.get(1),
            is_superusers: row.get(2),
            role: row.get(3),
            is_ours: row.get(4),
            exceeds: row.get(5),
            schemas: row.get(6),
            quoted_owner: row.get(7),
            quoted_role: row.get(8),
            strange: strange.0.zip(strange.1),
            granted: granted.0.zip(granted.1).zip(granted.2).map(|((name, object), whose)| (name, object, whose)),
        }
    }
}

impl Found {
    fn refusal(&self, trust: &Trust, purpose: Use) -> Option<Refusal> {
        let Found { owner, role, quoted_owner, .. } = self;
        let belong = match self.schemas.contains(" and ") {
            true => format!("schemas {} belong", self.schemas),
            false => format!("schema {} belongs", self.schemas),
        };
        if self.exceeds && trust.0.as_ref() != Some(owner) {
            return Some(Refusal {
                message: format!("{belong} to role \"{owner}\", which has fewer rights than \"{role}\""),
                detail: format!(
                    "The functions there would run with the rights of \"{role}\", whatever \"{owner}\" made them do. None was run."
                ),
                remedy: format!(
                    "Connect as \"{owner}\"; or add{} if that role installed Tidewire and is trusted like \"{role}\".",
                    flag(owner)
                ),
            });
        }
        if let Some((object, theirs)) = &self.strange {
            return Some(Refusal {
                message: format!("{object} belongs to role \"{theirs}\""),
                detail: format!(
                    "The {belong} to role \"{owner}\", and so must all that is in use there. None of it was run."
                ),
                remedy: format!(
                    "Look at it: \"{owner}\" may not have written it. Then: alter {object} owner to {quoted_owner}; or drop it."
                ),
            });
        }
        if let Some((privilege, object, grantee)) = &self.granted {
            let does = if privilege == "create" { "create objects in" } else { "create triggers on" };
            return Some(Refusal {
                message: format!("{grantee} may {does} {object}"),
                detail: format!("With that it could exchange functions of role \"{owner}\" for its own. None was run."),
                remedy: format!("revoke {privilege} on {object} from {grantee};"),
            });
        }
        if purpose == Use::Serve && !self.is_ours && !self.is_superusers {
            return Some(Refusal {
                message: format!("{belong} to role \"{owner}\", not to \"{role}\""),
                detail: format!("\"{role}\" does not have the rights of \"{owner}\"."),
                remedy: format!(
                    "grant {quoted_owner} to {};  -- as an administrator; or connect as {quoted_owner}",
                    self.quoted_role
                ),
            });
        }
        None
    }
}
