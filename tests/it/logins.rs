//! Logins: those of the stream are those of the statements, and one that fails says what helps.

use tidewire::error::ErrorKind;
use tidewire::wal::WalStream;

use crate::support::fault_proxy::{Block, Cut, Link, Proxy};
use crate::support::{Database, Tidewire, tidewire};

const SLOTS: &str = "select count(*) from pg_replication_slots";

/// What a command said, and its exit code.
async fn told(args: &[&str]) -> (i32, String) {
    let output = tidewire(args).await;
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn each_password_that_works_for_sql_works_for_the_stream() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let port = database.cluster.port();
    // SASLprep takes a soft hyphen away, makes IX of a Roman nine, and a blank of a no-break one
    let (changed, same, escaped) = ("I\u{ad}X\u{a0}\u{2168}", "secret", "I%C2%ADX%C2%A0%E2%85%A8");
    for (role, method, encryption, password, in_url) in [
        ("scram_same", "scram-sha-256", "scram-sha-256", same, same),
        ("scram_changed", "scram-sha-256", "scram-sha-256", changed, escaped),
        ("md5_same", "md5", "md5", same, same),
        ("md5_changed", "md5", "md5", changed, escaped),
        ("plain_scram", "password", "scram-sha-256", changed, escaped),
        ("plain_md5", "password", "md5", changed, escaped),
    ] {
        let create = format!(
            "set password_encryption = '{encryption}'; create role {role} superuser login password '{password}'"
        );
        client.sql(&create).await;
        database.allow(&format!("host all {role} all {method}")).await;
        let up = Tidewire::up(&format!("postgresql://{role}:{in_url}@127.0.0.1:{port}/postgres")).await;
        assert!(up.stop().await.success(), "{role}");
        let (code, text) =
            told(&["check", "--database-url", &format!("postgresql://{role}:{in_url}@127.0.0.1:{port}/postgres")])
                .await;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("the stream can log in"), "{text}");
        // and no other password does
        let wrong =
            format!("postgresql://{role}:{in_url}x@127.0.0.1:{port}/postgres").parse::<tidewire::db::Target>().unwrap();
        let refused = WalStream::try_login(&wrong.stream_options("s", "p", "UTF8")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Authentication, "{role}: {refused}");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_log_in_is_said_before_a_slot() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let proxy = Proxy::start(&database).await;
    proxy.block(Some(Block::Refuse(Link::Stream)));
    let url = proxy.url();
    for command in ["up", "install"] {
        let (code, text) = told(&[command, "--database-url", &url]).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("error: the stream cannot log in: "), "{text}");
        assert!(text.contains("replication=database' -c IDENTIFY_SYSTEM"), "{text}");
        assert_eq!(client.text(SLOTS).await, "0", "{command}");
        assert_eq!(client.text("select count(*) from pg_namespace where nspname = 'event'").await, "0", "{command}");
    }
    let (code, text) = told(&["check", "--database-url", &url]).await;
    assert!(code == 1 && text.contains("failure  the stream cannot log in: "), "{text}");
    // what explains it comes first
    client.sql("create role ann login password 'secret'; grant create on database postgres to ann").await;
    let ann = format!("postgresql://ann:secret@127.0.0.1:{}/postgres", database.cluster.port());
    let (_, text) = told(&["up", "--database-url", &ann]).await;
    assert!(text.contains("error: role \"ann\" may not replicate\n"), "{text}");
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_slot_that_it_made() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let proxy = Proxy::start(&database).await;
    // a login takes some 180 bytes behind its first message: the trial gets through, the stream does not
    proxy.arm(Cut::Request(Link::Stream, 270));
    let (code, text) = told(&["up", "--database-url", &proxy.url()]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("creating replication slot"), "{text}");
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(client.text(SLOTS).await, "0");
    // nothing was lost: no session could have been told of anything
    let up = database.up().await;
    up.wait_for_log("delivering from").await;
    assert!(!up.stderr().contains("was lost"), "{}", up.stderr());
    assert!(up.stop().await.success());
    // a slot that was there before stays
    proxy.block(Some(Block::Refuse(Link::Stream)));
    assert_eq!(told(&["up", "--database-url", &proxy.url()]).await.0, 1);
    assert_eq!(client.text(SLOTS).await, "1");
}
