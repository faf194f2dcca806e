//! What other sessions keep for themselves does not keep Tidewire from being removed.

use crate::support::{Database, tidewire};

#[tokio::test]
async fn what_is_temporary_goes_with_the_schemas() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client
        .sql("create role bob login; grant usage on type meta.schema_id to bob; grant temp on database postgres to bob")
        .await;
    let bob = database.connect_as("bob").await;
    bob.sql("create temp table squat (a meta.schema_id, b int); insert into squat values (meta.schema_id('x'), 1)")
        .await;
    bob.sql("create temp view seen as select name from meta.table; create index on squat (b)").await;
    bob.sql("create function pg_temp.f(meta.schema_id) returns int language sql as 'select 1'").await;
    bob.sql("create domain pg_temp.d as meta.schema_id").await;
    let uninstall = ["uninstall", "--database-url", &database.url()];

    bob.sql("begin; select from squat").await;
    let pid = bob.text("select pg_backend_pid()").await;
    let refused = tidewire(&uninstall).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.starts_with("error: a temporary object that depends on the schemas event and meta is in use\n"),
        "{said}"
    );
    assert!(said.contains(&format!("process {pid} has pg_temp_")) && said.contains("Nothing was removed."), "{said}");
    assert!(said.contains(&format!("select pg_terminate_backend({pid});")), "{said}");
    assert_eq!(client.text("select count(*) from pg_namespace where nspname in ('event', 'meta')").await, "2");
    bob.sql("commit").await;

    // a view that is not temporary is its owner's to drop
    client.sql("create view public.seen as select name from meta.table").await;
    let refused = tidewire(&uninstall).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("rule _RETURN on view seen") || said.contains("rule _RETURN on view public.seen"), "{said}");
    assert!(!said.contains("squat"), "{said}");
    client.sql("drop view public.seen").await;

    let removed = tidewire(&uninstall).await;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(bob.text("select row_to_json(s) from squat s").await, r#"{"b":1}"#);
    assert_eq!(client.text("select count(*) from pg_namespace where nspname in ('event', 'meta')").await, "0");
}

#[tokio::test]
async fn the_role_that_installed_can_remove_it() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role tide login replication; grant create on database postgres to tide").await;
    let url = database.url_as("tide");
    for command in ["install", "uninstall"] {
        let output = tidewire(&[command, "--database-url", &url]).await;
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
