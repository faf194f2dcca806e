//! A batch is one transaction, whichever of its statements fails: also the one that begins it, which the others do not wait for.

use std::cell::Cell;

use tokio::time::timeout;

use crate::support::fault::until;
use crate::support::fault_proxy::{Cut, Proxy};
use crate::support::{Database, PATIENCE, Subscriber, Tidewire};

#[tokio::test]
async fn when_begin_fails_nothing_of_the_batch_is_done_by_itself() {
    let database = Database::on_tcp(&[]).await;
    let proxy = Proxy::start(&database).await;
    let tidewire = Tidewire::up(&proxy.url()).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync()").await;
    proxy.arm(Cut::SpoilBegin);
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);
    assert_eq!(proxy.cuts(), 1);
    let together = "select count(*) from event.inbox i
                    join event.journal j on j.id = i.id and j.xmin = i.xmin
                    join event.progress p on left(event._event_id(p.lsn, 0), 16) = left(i.id, 16) and p.xmin = i.xmin";
    assert_eq!(client.text(together).await, "1", "all of it in one transaction");
    client.sql("insert into t values (2)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 2 {"id":2}"#]);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn whatever_statement_is_cancelled_each_event_is_told_once() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let canceller = database.connect().await;
    let ours = "select count(pg_cancel_backend(pid)) from pg_stat_activity
                where application_name = 'tidewire' and backend_type = 'client backend' and pid <> pg_backend_pid()";
    let written = Cell::new(0);
    let writing = async {
        while written.get() < 300 || tidewire.stderr().matches("trying again").count() < 3 {
            client.sql(&format!("insert into t values ({})", written.get())).await;
            written.set(written.get() + 1);
        }
    };
    let cancelling = async {
        loop {
            canceller.text(ours).await;
        }
    };
    let both = async {
        tokio::select! {
            () = writing => {}
            () = cancelling => {}
        }
    };
    assert!(timeout(PATIENCE, both).await.is_ok(), "nothing was cancelled");
    let written = written.get();
    until("all is delivered", || async { client.try_sql("select event.sync('1 s')").await.is_ok() }).await;
    let inbox = subscriber.inbox().await;
    assert_eq!(inbox.len(), written, "each once");
    let told = subscriber.events().await;
    assert!(told.iter().all(|event| event.operation() == "insert"));
    let mut ids: Vec<&str> = told.iter().map(|event| event.id()).collect();
    assert!(ids.is_sorted(), "in order");
    ids.dedup();
    assert_eq!((ids.len(), told.len()), (written, written), "each was sent once");
    assert!(tidewire.stop().await.success());
}
