//! Policies, settings, connections as rows, and what of them, of roles and of privileges is refused.

use super::access::SCHEMA;
use super::{refused, rows, stage};

#[tokio::test]
async fn a_policy_and_its_roles_are_rows_to_write() {
    let (_database, client) = stage().await;
    client
        .sql("create role ann login; create role bob; create schema shop; create table shop.\"T x\" (id int, who text)")
        .await;
    client.sql("set search_path = shop").await;
    const POLICY: &str = "id, command, permissive, roles, using_expression, check_expression, comment";
    for (sql, expected) in [
        (
            "insert into meta.policy (schema_name, relation_name, name) values ('shop', 'T x', 'none')",
            "(\"(\"\"(shop)\"\",\"\"T x\"\")\",none) | all | t | {public} | - | - | -",
        ),
        (
            "insert into meta.policy (id, command, permissive, roles, using_expression, check_expression, comment)
             values (meta.policy_id('shop', 'T x', 'p'), 'update', false, '{bob,ann}', 'id > 1 -- x', 'who = current_user', 'it''s')",
            "(\"(\"\"(shop)\"\",\"\"T x\"\")\",p) | update | f | {bob,ann} | (id > 1) | (who = CURRENT_USER) | it's",
        ),
        (
            "update meta.policy set name = 'q', roles = '{public}', using_expression = 'id > 2', check_expression = 'false', comment = null
             where name = 'p'",
            "(\"(\"\"(shop)\"\",\"\"T x\"\")\",q) | update | f | {public} | (id > 2) | false | -",
        ),
        (
            "update meta.policy set roles = '{ann}' where name = 'q'",
            "(\"(\"\"(shop)\"\",\"\"T x\"\")\",q) | update | f | {ann} | (id > 2) | false | -",
        ),
    ] {
        assert_eq!(rows(&client, &format!("{sql} returning {POLICY}")).await, [expected], "{sql}");
    }
    let insert = "insert into meta.policy_role (schema_name, relation_name, policy_name, role_name) values ('shop', 'T x', 'q', 'bob')
                  returning id";
    for _ in 0..2 {
        let id = "(\"(\"\"(\"\"\"\"(shop)\"\"\"\",\"\"\"\"T x\"\"\"\")\"\",q)\",\"(bob)\")";
        assert_eq!(rows(&client, insert).await, [id]);
    }
    assert_eq!(
        rows(&client, "delete from meta.policy_role where role_name = 'ann' returning policy_name").await,
        ["q"]
    );
    assert_eq!(rows(&client, "select roles from meta.policy where name = 'q'").await, ["{bob}"]);
    client.sql("delete from meta.policy; drop table shop.\"T x\"").await;
}

#[tokio::test]
async fn a_setting_is_what_the_next_connection_starts_with_and_a_connection_is_a_row_to_delete() {
    let (database, client) = stage().await;
    client.sql("create role ann login; create role bob").await;
    const SETTING: &str = "database_name, role_name, name, value";
    for (sql, expected) in [
        (
            "insert into meta.setting (database_name, name, value) values ('postgres', 'search_path', '\"$user\", public,  \"a,b\", \"Odd \"\"s\"')",
            "postgres | - | search_path | \"$user\", public, \"a,b\", \"Odd \"\"s\"",
        ),
        (
            "insert into meta.setting (role_name, name, value) values ('ann', 'datestyle', 'SQL, DMY')",
            "- | ann | DateStyle | SQL, DMY",
        ),
        (
            "insert into meta.setting (id, value) values (meta.setting_id('postgres', 'bob', 'my.own'), 'it''s \\ a=b')",
            "postgres | bob | my.own | it's \\ a=b",
        ),
        ("insert into meta.setting (name, value) values ('statement_timeout', '1h')", "- | - | statement_timeout | 1h"),
        ("update meta.setting set value = '2h' where name = 'statement_timeout'", "- | - | statement_timeout | 2h"),
    ] {
        assert_eq!(rows(&client, &format!("{sql} returning {SETTING}")).await, [expected], "{sql}");
    }
    let ann = database.connect_as("ann").await;
    for (setting, expected) in [
        ("search_path", "\"$user\", public, \"a,b\", \"Odd \"\"s\""),
        ("datestyle", "SQL, DMY"),
        ("statement_timeout", "2h"),
    ] {
        assert_eq!(ann.text(&format!("show {setting}")).await, expected);
    }
    assert_eq!(rows(&client, "delete from meta.setting returning name").await.len(), 4);
    assert_eq!(client.text("select count(*) from pg_db_role_setting").await, "0");

    // of others one sees no more than pg_stat_activity shows
    let seen =
        "select role_name, started_at is not null, state, query is not null from meta.connection order by role_name";
    assert_eq!(rows(&ann, seen).await, ["ann | t | active | t", "postgres | f | - | f"]);
    assert_eq!(
        refused(&ann, "delete from meta.connection where role_name = 'postgres'").await.split(' ').next(),
        Some("42501")
    );
    assert_eq!(rows(&client, "delete from meta.connection where role_name = 'ann' returning role_name").await, ["ann"]);
    client.until("select count(*) from meta.connection where role_name = 'ann'", "0").await;
}

#[tokio::test]
async fn what_a_role_or_a_privilege_cannot_be_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    for (sql, expected) in [
        ("insert into meta.role (can_login) values (true)", "23502 a role needs a name"),
        ("update meta.role set superuser = null where name = 'ann'", "23502 superuser is true or false"),
        (
            "update meta.role set connection_limit = null",
            "23502 connection_limit is a number -- Any number of connections is -1.",
        ),
        (
            "update meta.role set valid_until = null where name = 'bob'",
            "0A000 a role that was valid until some time stays so -- Update valid_until to infinity.",
        ),
        (
            "update meta.role set id = meta.role_id('x')",
            "0A000 an id follows the names that it is made of -- Update name.",
        ),
        (
            "update meta.role_inheritance set member_name = 'postgres'",
            "0A000 a membership stays one of its member in its role -- Delete it, and insert another.",
        ),
        ("insert into meta.role_inheritance (member_name) values ('ann')", "23502 a membership's role needs a name"),
        ("update meta.role_inheritance set admin = null", "23502 admin is true or false"),
        (
            "update meta.table_privilege set privilege = 'SELECT'",
            "0A000 a privilege stays that of its role on its relation -- Delete it, and insert another.",
        ),
        ("update meta.table_privilege set grantable = null", "23502 grantable is true or false"),
        (
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 'stock', 'ann', 'fly; --'))",
            "42601 unrecognized privilege type \"fly; --\"",
        ),
        (
            "insert into meta.table_privilege (id) values (meta.table_privilege_id('shop', 'stock', 'ann', 'usage'))",
            "0LP01 invalid privilege type USAGE for table",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    if client.major().await < 16 {
        assert_eq!(
            refused(&client, "insert into meta.role_inheritance (role_name, member_name, set_option) values ('ann', 'postgres', true)").await,
            "0A000 before PostgreSQL 16 a membership has no inherit_option and no set_option -- Leave them out. meta.role has inherit."
        );
    }
}

#[tokio::test]
async fn what_a_policy_a_setting_or_a_connection_cannot_be_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    for (sql, expected) in [
        (
            "update meta.policy set command = 'all' where name <> 'own'",
            "0A000 a policy stays about its command, and permissive or not -- Delete it, and insert another.",
        ),
        (
            "update meta.policy set check_expression = null",
            "0A000 a policy keeps an expression of each sort that it has -- Give another, or delete the policy and insert one without it.",
        ),
        (
            "update meta.policy set relation_name = 'v'",
            "0A000 a policy stays with its table -- Delete it, and insert one for the other table. To move or rename the table update meta.table.",
        ),
        ("update meta.policy set roles = '{}'", "23502 a policy applies to roles -- Every role is {public}."),
        (
            "update meta.policy set roles = '{ann,public}'",
            "22023 a policy for every role names no others -- Every role is {public}.",
        ),
        (
            "insert into meta.policy (id, command) values (meta.policy_id('shop', 'stock', 'x'), 'fly')",
            "22023 a policy is not about \"fly\" -- command is all, select, insert, update or delete.",
        ),
        (
            "insert into meta.policy_role (id) values (meta.policy_role_id('shop', 'stock', 'own', 'ann'))",
            "0A000 a policy for every role names no others -- Update meta.policy's roles.",
        ),
        (
            "delete from meta.policy_role where policy_name <> 'own'",
            "0A000 a policy applies to some role -- Delete the policy, or update its roles to {public}.",
        ),
        (
            "update meta.policy_role set role_name = 'bob' where role_name = 'ann'",
            "0A000 a role of a policy has nothing beside its names -- Insert another and delete this one, or update meta.policy's roles.",
        ),
        (
            "update meta.setting set name = 'work_mem'",
            "0A000 a setting stays the one that it is -- Delete it, and insert another.",
        ),
        (
            "update meta.setting set value = null",
            "23502 a setting needs a value -- Delete it, and PostgreSQL's own is in force.",
        ),
        (
            "update meta.setting set value = 'a b' where name = 'search_path'",
            "22023 search_path is a list of names -- Between commas; what is more than a plain name stands in double quotes.",
        ),
        (
            "insert into meta.setting (database_name, name, value) values ('template1', 'work_mem', '1MB')",
            "0A000 the settings of another database are not shown here -- Connect to it.",
        ),
        ("insert into meta.connection (pid) values (1)", "0A000 a connection is made by a client -- Connect."),
        (
            "update meta.connection set pid = 1",
            "0A000 a connection is altered by its client alone -- Delete it to end it.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
}
