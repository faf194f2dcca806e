//! Who there is and what they may do: roles, memberships, privileges, policies, settings, connections.

use super::{refused, rows, same, stage};

pub const SCHEMA: &str = r#"
    create role ann login;
    create role bob login noinherit connection limit 3 valid until '2031-02-03 04:05:06+02';
    create role "Odd ""na'me" createrole createdb replication;
    comment on role ann is 'it''s her';
    grant bob to ann with admin option;
    grant pg_monitor to "Odd ""na'me";
    create schema shop;
    create table shop.stock (id int, who text);
    create table shop."T ""x" (id int);
    create view shop.v as select 1 as one;
    create sequence shop.s;
    alter table shop.stock owner to bob;
    grant select on shop.stock to public;
    grant insert, update on shop.stock to ann with grant option;
    grant delete on shop.stock to ann, "Odd ""na'me";
    revoke truncate on shop."T ""x" from postgres;
    revoke all on shop.v from postgres;
    grant usage on sequence shop.s to ann with grant option;
    grant usage on sequence shop.s to public;
    create policy own on shop.stock using (who = current_user) with check (id > 0);
    create policy "See ""all" on shop.stock as restrictive for select to bob, ann using (id = any ('{1,2}'));
    comment on policy own on shop.stock is 'it''s one''s own';
    alter role all set statement_timeout = '1h';
    alter role bob set search_path = "$user", public, "Odd ""schema";
    alter role ann in database postgres set work_mem = '64MB';
    alter database postgres set timezone = 'Europe/Berlin';
"#;

#[tokio::test]
async fn who_may_do_what_is_shown_as_postgresqls_own_views_say() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    client.sql("set search_path = pg_catalog").await;
    for (what, ours, theirs) in [
        (
            "roles",
            "select name, superuser, inherit, create_role, create_db, can_login, replication, bypass_rls, connection_limit, valid_until, comment
             from meta.role where password is null",
            "select rolname::text, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
                    rolvaliduntil, shobj_description(oid, 'pg_authid') from pg_authid where rolname !~ '^pg_'",
        ),
        (
            "memberships",
            "select role_name, member_name, admin from meta.role_inheritance",
            "select pg_get_userbyid(roleid)::text, pg_get_userbyid(member)::text, admin_option from pg_auth_members
             where member::regrole::text !~ '^pg_'",
        ),
        (
            "privileges",
            "select schema_name, relation_name, role_name, privilege from meta.table_privilege
             where relation_name <> 's' and privilege <> 'MAINTAIN'",
            "select table_schema::text, table_name::text, replace(grantee, 'PUBLIC', 'public'), privilege_type::text
             from information_schema.table_privileges where table_schema = 'shop'",
        ),
        (
            "privileges with grant option",
            "select relation_name, role_name, privilege, grantable from meta.table_privilege
             where role_name in ('ann', 'Odd \"na''me') and relation_name <> 's'",
            "select c.relname::text, pg_get_userbyid(a.grantee)::text, a.privilege_type, a.is_grantable
             from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'shop'::regnamespace and c.relkind <> 'S'
               and a.grantee in (select oid from pg_roles where rolname in ('ann', 'Odd \"na''me'))",
        ),
        (
            "privileges on sequences",
            "select role_name, grantable from meta.table_privilege where relation_name = 's' and privilege = 'USAGE' and role_name <> 'postgres'",
            "select replace(grantee, 'PUBLIC', 'public'), is_grantable = 'YES' from information_schema.usage_privileges
             where object_name = 's' and grantee <> 'postgres'",
        ),
        (
            "policies",
            "select schema_name, relation_name, name, permissive, command, array(select unnest(roles) order by 1), using_expression,
                    check_expression from meta.policy",
            "select schemaname::text, tablename::text, policyname::text, permissive = 'PERMISSIVE', lower(cmd), roles::text[], qual, with_check
             from pg_policies where schemaname <> 'event'",
        ),
        (
            "roles of policies",
            "select relation_name, policy_name, role_name from meta.policy_role",
            "select tablename::text, policyname::text, unnest(roles)::text from pg_policies where schemaname <> 'event'",
        ),
        (
            "settings",
            "select database_name, role_name, name || '=' || value from meta.setting",
            "select datname::text, rolname::text, unnest(setconfig) from pg_db_role_setting
             left join pg_database d on d.oid = setdatabase left join pg_roles r on r.oid = setrole",
        ),
        (
            "connections",
            "select pid, database_name, role_name, started_at from meta.connection where state = 'active'",
            "select pid, datname::text, usename::text, backend_start from pg_stat_activity
             where backend_type = 'client backend' and state = 'active'",
        ),
    ] {
        same(&client, what, ours, theirs).await;
    }
    let comments = "select string_agg(comment, ', ' order by comment) from meta.policy";
    assert_eq!(client.text(comments).await, "it's one's own");
    for (relation, id) in [
        ("role", "meta.role_id(name)"),
        ("role_inheritance", "meta.role_inheritance_id(role_name, member_name)"),
        ("table_privilege", "meta.table_privilege_id(schema_name, relation_name, role_name, privilege)"),
        ("policy", "meta.policy_id(schema_name, relation_name, name)"),
        ("policy_role", "meta.policy_role_id(schema_name, relation_name, policy_name, role_name)"),
        ("setting", "meta.setting_id(database_name, role_name, name)"),
        ("connection", "meta.connection_id(pid)"),
    ] {
        let counts = format!(
            "select count(*) > 0 and count(distinct id) = count(*) and bool_and(id is not distinct from {id}) from meta.{relation}"
        );
        assert_eq!(client.text(&counts).await, "t", "{relation}");
    }
}

const ROLE: &str =
    "id, superuser, inherit, create_role, create_db, can_login, replication, bypass_rls, connection_limit, password,
                    valid_until at time zone 'UTC', comment";

#[tokio::test]
async fn a_role_is_made_and_altered_and_its_password_is_told_nowhere() {
    let (database, client) = stage().await;
    for (sql, expected) in [
        ("insert into meta.role (name) values ('ann')", "(ann) | f | t | f | f | f | f | f | -1 | - | - | -"),
        (
            "insert into meta.role (id, superuser, inherit, create_role, create_db, can_login, replication, bypass_rls, connection_limit, password,
                                    valid_until, comment)
             values (meta.role_id('O''\"x'), true, false, true, true, true, true, true, 7, 'Secret''\\1', '2030-01-02 03:04:05+01', 'it''s')",
            "(\"O'\"\"x\") | t | f | t | t | t | t | t | 7 | - | 2030-01-02 02:04:05 | it's",
        ),
        (
            "update meta.role set name = 'bob', superuser = false, inherit = true, create_role = false, create_db = false, can_login = false,
                    replication = false, bypass_rls = false, connection_limit = -1, valid_until = 'infinity', comment = null where name = 'O''\"x'",
            "(bob) | f | t | f | f | f | f | f | -1 | - | infinity | -",
        ),
        ("update meta.role set can_login = true where name = 'ann'", "(ann) | f | t | f | f | t | f | f | -1 | - | - | -"),
    ] {
        assert_eq!(rows(&client, &format!("{sql} returning {ROLE}")).await, [expected], "{sql}");
    }
    let has_password = "select rolpassword is not null from pg_authid where rolname = 'bob'";
    for (set, expected) in
        [("name = 'bob'", "t"), ("password = null", "t"), ("password = ''", "f"), ("password = 'x'", "t")]
    {
        client.sql(&format!("update meta.role set {set} where name = 'bob'")).await;
        assert_eq!(client.text(has_password).await, expected, "{set}");
    }
    // one may give oneself a password, and nothing else
    let ann = database.connect_as("ann").await;
    assert_eq!(
        rows(&ann, "update meta.role set password = 'Secret' where name = 'ann' returning password").await,
        ["-"]
    );
    for (who, sql) in [
        (&ann, "update meta.role set password = 'Secret' where name = 'bob'"),
        (&ann, "update meta.role set password = 'Secret', create_db = true where name = 'ann'"),
        (&ann, "insert into meta.role (name, password) values ('eve', 'Secret')"),
        (&client, "insert into meta.role (name, password) values ('ann', 'Secret')"),
        (&client, "insert into meta.role (name, password) values ('pg_eve', 'Secret')"),
        (&client, "update meta.role set connection_limit = -5, password = 'Secret' where name = 'bob'"),
        (&client, "update meta.role set valid_until = null, password = 'Secret' where name = 'bob'"),
    ] {
        let error = format!("{:?}", who.try_sql(sql).await.unwrap_err());
        assert!(!error.contains("Secret"), "{sql}: {error}");
    }
    assert_eq!(refused(&ann, "delete from meta.role where name = 'bob'").await.split(' ').next(), Some("42501"));
    drop(ann);
    assert_eq!(rows(&client, "delete from meta.role where name in ('ann', 'bob') returning name").await.len(), 2);
    assert_eq!(rows(&client, "select name from meta.role").await, ["postgres"]);
}

#[tokio::test]
async fn memberships_are_granted_and_revoked_by_rows_whoever_granted_them() {
    let (database, client) = stage().await;
    client.sql("create role ann login; create role bob; create role team").await;
    let newer = client.major().await >= 16;
    let insert = "insert into meta.role_inheritance (role_name, member_name) values ('team', 'ann')
                  returning id, admin, inherit_option, set_option";
    assert_eq!(
        rows(&client, insert).await,
        [format!("(\"(team)\",\"(ann)\") | f | {}", if newer { "t | t" } else { "- | -" })]
    );
    let update = "update meta.role_inheritance set admin = true returning role_name, member_name, admin";
    assert_eq!(rows(&client, update).await, ["team | ann | t"]);
    let ann = database.connect_as("ann").await;
    ann.sql("insert into meta.role_inheritance (id) values (meta.role_inheritance_id('team', 'bob'))").await;
    if newer {
        // whoever granted it: all of them are altered, and revoked
        client.sql("insert into meta.role_inheritance (role_name, member_name) values ('team', 'bob')").await;
        let update =
            "update meta.role_inheritance set inherit_option = false, set_option = false where member_name = 'bob'
                      returning admin, inherit_option, set_option";
        assert_eq!(rows(&client, update).await, ["f | f | f"]);
        let grantors = "select count(*) from pg_auth_members where member = 'bob'::regrole and not (to_jsonb(pg_auth_members) ->> 'set_option')::boolean";
        assert_eq!(client.text(grantors).await, "2");
    }
    assert_eq!(
        rows(&client, "delete from meta.role_inheritance where member_name = 'bob' returning role_name").await,
        ["team"]
    );
    client.sql("update meta.role_inheritance set admin = false; delete from meta.role_inheritance").await;
    assert_eq!(client.text("select count(*) from pg_auth_members where roleid = 'team'::regrole").await, "0");
}

#[tokio::test]
async fn privileges_are_granted_and_revoked_by_rows_or_an_error_says_why_not() {
    let (database, client) = stage().await;
    client
        .sql("create role ann login; create role bob; create role low login; create schema shop authorization bob")
        .await;
    client.sql("grant usage on schema shop to public; create table shop.t (id int); alter table shop.t owner to bob; create sequence shop.s").await;
    let ann = database.connect_as("ann").await;
    const PRIVILEGE: &str = "id, role_name, privilege, grantable";
    for (sql, expected) in [
        (
            "insert into meta.table_privilege (schema_name, relation_name, role_name, privilege, grantable) values ('shop', 't', 'ann', 'insert', true)",
            "(\"(\"\"(shop)\"\",t)\",\"(ann)\",INSERT) | ann | INSERT | t",
        ),
        (
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 't', 'ann', 'INSERT'))",
            "(\"(\"\"(shop)\"\",t)\",\"(ann)\",INSERT) | ann | INSERT | t",
        ),
        (
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 's', 'public', 'USAGE'))",
            "(\"(\"\"(shop)\"\",s)\",\"(public)\",USAGE) | public | USAGE | f",
        ),
        (
            "update meta.table_privilege set grantable = false where role_name = 'ann'",
            "(\"(\"\"(shop)\"\",t)\",\"(ann)\",INSERT) | ann | INSERT | f",
        ),
        (
            "update meta.table_privilege set grantable = true where role_name = 'ann'",
            "(\"(\"\"(shop)\"\",t)\",\"(ann)\",INSERT) | ann | INSERT | t",
        ),
        (
            "delete from meta.table_privilege where role_name = 'bob' and privilege = 'TRUNCATE'",
            "(\"(\"\"(shop)\"\",t)\",\"(bob)\",TRUNCATE) | bob | TRUNCATE | f",
        ),
    ] {
        assert_eq!(rows(&client, &format!("{sql} returning {PRIVILEGE}")).await, [expected], "{sql}");
    }
    ann.sql("insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 't', 'low', 'INSERT'))")
        .await;
    let low = database.connect_as("low").await;
    // PostgreSQL would do nothing, with a warning or without
    for (who, sql, expected) in [
        (
            &client,
            "delete from meta.table_privilege where role_name = 'low'",
            "42501 low has INSERT on t from ann -- Who granted it may revoke it: set role.",
        ),
        (
            &low,
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 't', 'public', 'INSERT'))",
            "42501 permission denied to grant INSERT on t -- Its owner may, and who was granted it as grantable.",
        ),
        (
            &low,
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 's', 'low', 'SELECT'))",
            "42501 permission denied to grant SELECT on s -- Its owner may, and who was granted it as grantable.",
        ),
    ] {
        assert_eq!(refused(who, sql).await, expected, "{sql}");
    }
    ann.sql("delete from meta.table_privilege where role_name = 'low'").await;
    client.sql("delete from meta.table_privilege where relation_name = 't'").await;
    assert_eq!(client.text("select relacl from pg_class where oid = 'shop.t'::regclass").await, "{}");
}
