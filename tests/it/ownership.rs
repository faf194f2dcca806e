//! No function of the schemas runs before it is certain whose it is: what a role with fewer rights made is refused.

use crate::support::{Client, Database, PATIENCE, Tidewire, command, tidewire};

/// The commands that connect, each with what it needs.
const COMMANDS: [&[&str]; 5] = [&["check"], &["install"], &["up"], &["tail", "public.t"], &["uninstall"]];

/// A function that makes its owner a superuser when a superuser runs it.
const TRAP: &str = "create function {}.spring() returns int language plpgsql as $$ begin
    execute 'alter role dev superuser'; return 1; exception when others then return 1; end $$;";

/// A role that may create schemas, as a database's owner may.
async fn with_dev() -> (Database, Client, Client) {
    with_dev_and(&[]).await
}

async fn with_dev_and(settings: &[(&str, &str)]) -> (Database, Client, Client) {
    let database = Database::start_with(settings).await;
    let client = database.connect().await;
    client
        .sql("create role dev login; grant create on database postgres to dev; create table t (id int primary key)")
        .await;
    let dev = database.connect_as("dev").await;
    (database, client, dev)
}

/// What a command says, to either stream, with further arguments; it has to fail.
async fn refused(url: &str, args: &[&str], further: &[&str]) -> String {
    let output = tidewire(&[args, &["--database-url", url], further].concat()).await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said
}

async fn all_refuse(database: &Database, client: &Client, needle: &str) {
    for args in COMMANDS {
        let said = refused(&database.url(), args, &[]).await;
        assert!(said.contains(needle), "{args:?}: {said}");
        assert_eq!(client.text("select rolsuper from pg_roles where rolname = 'dev'").await, "f", "{args:?}");
    }
}

#[tokio::test]
async fn a_planted_schema_event_is_refused_whatever_it_holds() {
    let (database, client, dev) = with_dev().await;
    client.sql("create foreign data wrapper nothing; create server far foreign data wrapper nothing").await;
    client.sql("grant usage on foreign server far to dev").await;
    let columns = "(version int, publication name, slot name)";
    let kinds = [
        "create view event.installation as select event.spring() as version, 'tidewire'::name as publication, 'y'::name as slot".to_owned(),
        format!("create foreign table event.installation {columns} server far"),
        format!("create table event.installation {columns}; insert into event.installation values (1, 'tidewire', 'y');
                 create rule trap as on update to event.installation do also select event.spring()"),
    ];
    for kind in kinds {
        dev.sql("create schema event").await;
        dev.sql(&TRAP.replace("{}", "event")).await;
        for function in ["_progress()", "_slot()", "_home()", "_status()", "session_create()", "_sweep_schema()"] {
            dev.sql(&format!("create function event.{function} returns int language sql as 'select event.spring()'"))
                .await;
        }
        dev.sql(&kind).await;
        all_refuse(
            &database,
            &client,
            "schema event belongs to role \"dev\", which has fewer rights than \"postgres\"",
        )
        .await;
        dev.sql("drop schema event cascade").await;
    }
    // a name that its owner, a superuser, uses for something else is not run either
    client.sql("create schema event; create function event.ran() returns int language plpgsql as $$ begin raise 'ran'; end $$").await;
    client.sql("create view event.installation as select event.ran() as version, 'x'::name as publication, 'y'::name as slot").await;
    for args in [&["check"][..], &["install"], &["up"]] {
        let said = refused(&database.url(), args, &[]).await;
        assert!(said.contains("schema \"event\" exists and is not Tidewire's"), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_planted_schema_meta_is_refused() {
    let (database, client, dev) = with_dev().await;
    dev.sql("create schema meta").await;
    dev.sql(&TRAP.replace("{}", "meta")).await;
    dev.sql("create function meta.relation_id(text, text) returns int language sql as 'select meta.spring()'").await;
    all_refuse(&database, &client, "schema meta belongs to role \"dev\", which has fewer rights than \"postgres\"")
        .await;
    client.sql("create schema event; create table event.installation (version int, publication name, slot name)").await;
    client.sql("insert into event.installation values (1, 'tidewire', 'y')").await;
    all_refuse(&database, &client, "schema meta belongs to role \"dev\"").await;
}

#[tokio::test]
async fn an_install_by_a_lesser_role_is_used_where_the_user_says_so() {
    let database = Database::start().await;
    let client = database.connect().await;
    client
        .sql("create role \"Tide's\" login replication; create role ann login; create role boss login createrole")
        .await;
    client.sql("grant create on database postgres to \"Tide's\"; create table t (id int primary key); grant select on t to ann").await;
    let url = database.url_as("Tide%27s");
    let installed = tidewire(&["install", "--database-url", &url]).await;
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let hint = r#"Connect as "Tide's"; or add --trust-owner 'Tide'\''s' if that role installed Tidewire"#;
    for args in COMMANDS {
        let said = refused(&database.url(), args, &[]).await;
        assert!(
            said.contains("schemas event and meta belong to role \"Tide's\", which has fewer rights"),
            "{args:?}: {said}"
        );
        assert!(said.contains(hint), "{args:?}: {said}");
        let other = refused(&database.url(), args, &["--trust-owner", "ann"]).await;
        assert!(other.contains(hint), "{args:?}: {other}");
    }
    // roles are made with that attribute alone
    let said = refused(&database.url_as("boss"), &["tail", "t"], &[]).await;
    assert!(said.contains("which has fewer rights than \"boss\""), "{said}");
    let said = refused(&database.url_as("ann"), &["check"], &[]).await;
    assert!(said.contains("schemas event and meta belong to role \"Tide's\", not to \"ann\""), "{said}");

    let trusting = ["--trust-owner", "Tide's"];
    let checked = tidewire(&[&["check", "--database-url", &database.url()][..], &trusting].concat()).await;
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && said.contains("by role \"Tide's\""), "{said}");
    let up = Tidewire::up_with(&database.url(), &trusting).await;
    client.sql("select event.watch('t')").await;
    let mut tails = vec![Tidewire::spawn(&["tail", "t", "--database-url", &database.url_as("ann")])];
    tails.push(Tidewire::spawn(&[&["tail", "t", "--database-url", &database.url()][..], &trusting].concat()));
    for tail in &tails {
        tail.wait_for_log("listening to").await;
    }
    client.sql("insert into t values (1)").await;
    for tail in tails {
        assert!(tail.lines(1).await[0].contains("row_insert public.t"));
        assert!(tail.stop().await.success());
    }
    assert!(up.stop().await.success());
    let mut uninstall = command(&["uninstall", "--database-url", &database.url()]);
    let removed = uninstall.env("TIDEWIRE_TRUST_OWNER", "Tide's").output().await.unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
}

#[tokio::test]
async fn an_object_of_another_role_in_the_schemas_is_refused_by_name() {
    let (database, client, _) = with_dev().await;
    database.install().await;
    let cases = [
        (
            "alter function event._reached() owner to dev",
            "function event._reached() belongs to role \"dev\"",
            "alter function event._reached() owner to postgres",
        ),
        (
            "alter table event.installation owner to dev",
            "table event.installation belongs to role \"dev\"",
            "alter table event.installation owner to postgres",
        ),
        (
            "alter view meta.\"table\" owner to dev",
            "view meta.\"table\" belongs to role \"dev\"",
            "alter view meta.\"table\" owner to postgres",
        ),
        (
            "alter type meta.row_id owner to dev",
            "type meta.row_id belongs to role \"dev\"",
            "alter type meta.row_id owner to postgres",
        ),
        (
            "alter schema meta owner to dev",
            "schema meta belongs to role \"dev\"",
            "alter schema meta owner to postgres",
        ),
        (
            "create function event.more() returns int language sql as 'select 1'; alter function event.more() owner to dev",
            "function event.more() belongs to role \"dev\"",
            "drop function event.more()",
        ),
        (
            "grant create on database postgres to dev; alter publication tidewire owner to dev",
            "publication tidewire belongs to role \"dev\"",
            "alter publication tidewire owner to postgres",
        ),
    ];
    for (change, finding, mend) in cases {
        // an owner has to be able to create there
        client.sql("grant create on schema event, meta to dev").await;
        client.sql(change).await;
        client.sql("revoke create on schema event, meta from dev").await;
        all_refuse(&database, &client, finding).await;
        client.sql(mend).await;
    }
    assert!(tidewire(&["check", "--database-url", &database.url()]).await.status.success());
}

#[tokio::test]
async fn a_right_to_put_code_into_the_schemas_is_refused() {
    let (database, client, dev) = with_dev().await;
    database.install().await;
    let cases = [
        ("create on schema event", "dev", "dev may create objects in schema event"),
        ("create on schema meta", "public", "public may create objects in schema meta"),
        ("trigger on table event.gap", "dev", "dev may create triggers on table event.gap"),
    ];
    for (right, role, finding) in cases {
        client.sql(&format!("grant {right} to {role}")).await;
        all_refuse(&database, &client, finding).await;
        let said = refused(&database.url(), &["check"], &[]).await;
        assert!(said.contains(&format!("revoke {right} from {role};")), "{said}");
        client.sql(&format!("revoke {right} from {role}")).await;
    }
    dev.sql("create schema devs").await;
    dev.sql("create function devs.trap() returns trigger language plpgsql as 'begin return new; end'").await;
    client.sql("grant usage on schema devs to public; grant trigger on event.gap to dev").await;
    dev.sql("create trigger trap before insert on event.gap for each row execute function devs.trap()").await;
    client.sql("revoke trigger on event.gap from dev").await;
    all_refuse(&database, &client, "function devs.trap() belongs to role \"dev\"").await;
    client.sql("drop trigger trap on event.gap").await;
    // the owner's members are as good as the owner
    client.sql("create role member; grant postgres to member; grant create on schema event to member").await;
    assert!(tidewire(&["check", "--database-url", &database.url()]).await.status.success());
}

#[tokio::test]
async fn a_standby_reads_no_status_that_another_role_made() {
    let (database, client, dev) = with_dev_and(&[("log_statement", "all")]).await;
    database.install().await;
    // a program serves, and its schemas are dropped by hand
    let first = database.up().await;
    let standby = Tidewire::spawn(&["up", "--stall-after", "1", "--database-url", &database.url()]);
    standby.wait_for_log("standing by").await;
    first.freeze();
    client.sql("begin; drop publication tidewire; drop schema event cascade; drop schema meta cascade; commit").await;
    dev.sql("create schema event").await;
    dev.sql(&TRAP.replace("{}", "event")).await;
    dev.sql("create table event.installation (version int)").await;
    dev.sql("create view event.status as select event.spring()::bigint as durable_sessions, 1::bigint as live_sessions, 1::bigint as subscriptions,
             1::bigint as inbox_rows, 1::bigint as inbox_bytes, now() as oldest_event_at, '1s'::interval as lag").await;
    // the monitor has looked, at the owner or at what he made, and has come round again
    let log = database.cluster.data_dir().join("tidewire-server.log");
    let looks = || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.matches("with schema as (").count().max(log.matches("from event.status").count())
    };
    let has_looked = async {
        while looks() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, has_looked).await.expect("the monitor has looked twice");
    assert_eq!(client.text("select rolsuper from pg_roles where rolname = 'dev'").await, "f");
    assert!(standby.stop().await.success());
}

#[tokio::test]
async fn a_tail_does_not_read_schemas_made_after_it_began() {
    let (database, client, _) = with_dev().await;
    database.install().await;
    let mut tail = Tidewire::spawn(&["tail", "t", "--database-url", &database.url()]);
    tail.wait_for_log("still waiting").await;
    client
        .sql(&format!(
            "begin; drop schema event cascade; drop schema meta cascade; create schema event authorization dev; set local role dev; {}
             create table event.installation (version int); create function event._slot() returns name language sql as 'select event.spring()::text::name';
             create function event.read(uuid, text, integer, out id text, out committed_at timestamptz, out xid bigint, out change text, out relation text,
                                        out \"row\" json, out field text, out value json, out old json, out last boolean) returns setof record
                 language plpgsql as 'begin perform event.spring(); end';
             create function event.session_delete(uuid) returns void language sql as 'select event.spring()';
             grant usage on schema event to public; commit",
            TRAP.replace("{}", "event")
        ))
        .await;
    assert_eq!(tail.wait().await.code(), Some(1));
    tail.wait_for_log("error: Tidewire was removed from this database in the meantime").await;
    assert_eq!(client.text("select rolsuper from pg_roles where rolname = 'dev'").await, "f");
}
