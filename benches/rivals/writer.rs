//! What watching a table costs its writers: pgbench's transactions per second.

use tidewire::db::Target;
use tokio::process::Command;

use crate::rig::{Rig, line, rounds};

const INSERT: &str = "insert into TABLE (v, note) values (:client_id, 'some text of the usual length');\n";
const UPDATE: &str = "\\set id random(1, 10000)\nupdate TABLE set v = v + 1 where id = :id;\n";

pub async fn run(rig: &Rig, quick: bool) {
    rig.sql(
        "create table unwatched (id bigserial primary key, v integer, note text);
         create table watched (like unwatched including all);
         create table triggered (like unwatched including all);
         create function tell() returns trigger language plpgsql as $$
         begin perform pg_notify('rows', row_to_json(new)::text); return new; end $$;
         create trigger tell after insert or update on triggered for each row execute function tell();",
    )
    .await;
    let up = rig.up().await;
    rig.sql(
        "select event.session_create('bench');
         select event.subscribe_table(meta.relation_id('public', 'watched'));",
    )
    .await;
    // both are listened to
    let target: Target = rig.cluster.url().parse().expect("a URL");
    let rival = target.connect().await.expect("a connection");
    rival.client.batch_execute("listen rows").await.expect("listen");
    for (what, script) in [("insert", INSERT), ("update", UPDATE)] {
        for clients in [4, 16] {
            let (mut bare, mut watched, mut triggered) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds(quick) {
                bare.push(pgbench(rig, script, "unwatched", clients, quick).await);
                watched.push(pgbench(rig, script, "watched", clients, quick).await);
                rig.sql("select event.sync('5 minutes')").await;
                triggered.push(pgbench(rig, script, "triggered", clients, quick).await);
            }
            line(&format!("{what} tps, {clients} clients: unwatched | watched, durable"), &bare, &watched);
            line(&format!("{what} tps, {clients} clients: unwatched | NOTIFY trigger"), &bare, &triggered);
        }
    }
    rig.sql("select event.session_delete((select id from event.session where name = 'bench'))").await;
    up.stop().await;
}

async fn pgbench(rig: &Rig, script: &str, table: &str, clients: u32, quick: bool) -> f64 {
    // each starts from the same table: else dead rows and statistics decide
    rig.sql(&format!("truncate {table} restart identity")).await;
    rig.sql(&format!("insert into {table} (v, note) select 0, 'x' from generate_series(1, 10000)")).await;
    rig.sql(&format!("vacuum analyze {table}")).await;
    rig.sql("select event.sync('5 minutes')").await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, script.replace("TABLE", table)).expect("a script");
    let output = Command::new(rig.binaries.program("pgbench"))
        .args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-j", "1"])
        .args(["-p", &rig.cluster.port().to_string(), "-c", &clients.to_string()])
        .args(["-T", if quick { "1" } else { "4" }, "-f"])
        .arg(file.path())
        .arg("postgres")
        .output()
        .await
        .expect("pgbench");
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")).expect("tps");
    tps.split(' ').next().and_then(|figure| figure.parse().ok()).expect("a figure")
}
