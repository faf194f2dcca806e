//! One order for all: that of the commits.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Client, Database, Subscriber, Table, assert_in_order};

#[tokio::test]
async fn many_writers_make_one_order_that_leads_from_what_was_to_what_is() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table account (id int primary key, balance int not null, note text);
              create table transfer (id bigserial primary key, source int, target int, amount int);
              insert into account select g, 100 from generate_series(1, 20) g",
        )
        .await;
    let mut accounts = Subscriber::open(&database).await;
    accounts.table("account").await;
    let mut both = Subscriber::open(&database).await;
    both.table("account").await;
    both.table("transfer").await;
    let mut told = Table::read(&client, "account", "array[id]::text[]").await;
    let mut transfers = Table::default();

    let writers: Vec<_> = (0..4u32)
        .map(|writer| {
            let url = database.url();
            tokio::spawn(async move {
                let client = Client::connect(&url).await;
                for at in 0..60u32 {
                    // the same for every run, different for each writer; locks are taken in the keys' order
                    let random = (writer * 7919 + at * 104_729) % 9973;
                    let (one, other) = (random % 20 + 1, random / 20 % 20 + 1);
                    let (low, high) = (one.min(other), one.max(other) + u32::from(one == other));
                    let amount = random % 17 + 1;
                    let end = if at % 7 == 3 { "rollback" } else { "commit" };
                    client.sql("begin").await;
                    client.sql(&format!("update account set balance = balance - {amount} where id = {low}")).await;
                    client.sql(&format!("insert into transfer values (default, {low}, {high}, {amount})")).await;
                    client
                        .sql(&format!("savepoint s; update account set note = 'no' where id = {low}; rollback to s"))
                        .await;
                    client
                        .sql(&format!(
                            "update account set balance = balance + {amount}, note = '{writer}' where id = {high}"
                        ))
                        .await;
                    client.sql(end).await;
                    if at % 10 == writer {
                        let id = 1000 + writer * 100 + at;
                        client.sql(&format!("insert into account values ({id}, 0)")).await;
                        client.sql(&format!("delete from account where id = {id}")).await;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }

    let events = both.events().await;
    assert_in_order(&events, &both.last_ids().await);
    assert_eq!(both.inbox().await, events);
    for event in &events {
        match event.relation().as_str() {
            "public.account" => told.apply(event),
            _ => transfers.apply(event),
        }
    }
    assert_eq!(told, Table::read(&client, "account", "array[id]::text[]").await);
    assert_eq!(transfers, Table::read(&client, "transfer", "array[id]::text[]").await);

    // what one session is told is what the other is told of the same table
    let narrow = accounts.events().await;
    assert_in_order(&narrow, &accounts.last_ids().await);
    let of_accounts: Vec<_> = events.into_iter().filter(|event| event.relation() == "public.account").collect();
    assert_eq!(narrow, of_accounts);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_commit_that_waits_for_ever() {
    let database = Database::start_with(&[("synchronous_commit", "local")]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync()").await;
    client.sql("alter system set synchronous_standby_names = 'nobody'").await;
    client.sql("select pg_reload_conf()").await;
    let writer = database.connect().await;
    writer.sql("set synchronous_commit = on").await;
    let waiting = tokio::spawn(async move { writer.sql("insert into t values (1, 1)").await });
    let asked = "select count(*) from pg_stat_activity where application_name = 'tidewire'
                 and query like '%pg_current_snapshot%'
                 and query_start > (select state_change from pg_stat_activity where wait_event = 'SyncRep')";
    while client.text(asked).await == "0" {
        tokio::task::yield_now().await;
    }
    assert!(tidewire.stop().await.success());
    assert!(subscriber.inbox().await.is_empty());

    client.sql("alter system reset synchronous_standby_names").await;
    client.sql("select pg_reload_conf()").await;
    waiting.await.unwrap();
    let _tidewire = database.up().await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1,"v":1}"#]);
}

#[tokio::test]
async fn what_a_subscriber_holds_locked_holds_up_nobody() {
    let database = Database::start_with(&[("default_transaction_isolation", "repeatable read")]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int, gone int)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("set default_transaction_isolation = 'read committed'").await;
    subscriber.table("t").await;
    let selfish = Subscriber::open(&database).await;
    for ours in [&client, &selfish] {
        ours.sql("set default_transaction_isolation = 'read committed'").await;
    }
    let column = selfish.text("select subscribe_column(meta.column_id('public', 't', 'gone'))").await;
    client.sql("select event.sync()").await;
    // it must not remove the ended subscription first
    let pid = Pid::from_raw(i32::try_from(tidewire.pid()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    client.sql("alter table t drop gone").await;
    selfish.sql(&format!("begin; select unsubscribe('{column}'); delete from event.event")).await;
    kill(pid, Signal::SIGCONT).unwrap();
    client.sql("insert into t values (1, 1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1,"v":1}"#]);
    selfish.sql("rollback").await;
    while client.text("select count(*) from event.subscription").await != "1" {
        client.sql("update t set v = v + 1").await;
    }
}

#[tokio::test]
async fn a_walsender_that_has_not_run_yet_is_not_taken_for_one_that_has_nothing_to_send() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); create table other (id int)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync()").await;
    let walsender = client.text("select active_pid from pg_replication_slots").await;
    let walsender = Pid::from_raw(walsender.parse().unwrap());
    kill(walsender, Signal::SIGSTOP).unwrap();
    client.sql("insert into t values (1)").await;
    // what is written and not flushed, and may not be for long
    let open = database.connect().await;
    open.sql("begin; insert into other select generate_series(1, 10)").await;
    // well beyond the time after which a commit is flushed
    let error = client.try_sql("select event.sync('3 s')").await.unwrap_err();
    kill(walsender, Signal::SIGCONT).unwrap();
    assert!(error.message().contains("was delivered within 00:00:03"), "{error}");
    client.sql("select event.sync()").await;
    assert_eq!(subscriber.inbox().await.len(), 1);
    open.sql("rollback").await;
}
