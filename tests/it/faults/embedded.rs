//! The server that `tidewire up` started itself.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::support::fault::{signal, until};
use crate::support::{Client, Subscriber, Tidewire};

#[tokio::test]
async fn an_embedded_server_that_dies_is_started_again_and_nothing_is_lost() {
    let dir = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = dir.path().join("data");
    let tidewire = Tidewire::spawn(&["up", "--data-dir", data.to_str().unwrap()]);
    let ready = tidewire.lines(1).await.remove(0);
    let password = std::fs::read_to_string(data.join("tidewire.password")).unwrap();
    let url = ready.strip_prefix("ready ").unwrap();
    let url = url.replace("postgres@", &format!("postgres:{}@", password.trim()));

    let client = Client::connect(&url).await;
    client.sql("create table t (id int primary key)").await;
    let subscriber = Subscriber::create(Client::connect(&url).await, "session_create()").await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    let session = subscriber.session.clone();
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    signal(pid.lines().next().unwrap().parse().unwrap(), Signal::SIGKILL);
    tidewire.wait_for_log("the embedded PostgreSQL has ended; starting it again").await;
    until("the server is back", || Client::answers(&url)).await;
    let client = Client::connect(&url).await;
    client.sql("insert into t values (2)").await;
    client.sql("select event.sync()").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let told: Vec<_> = subscriber.inbox().await.iter().map(ToString::to_string).collect();
    assert_eq!(told, [r#"insert table t 1 {"id":1}"#, r#"insert table t 2 {"id":2}"#]);
    assert!(tidewire.stop().await.success());
}
