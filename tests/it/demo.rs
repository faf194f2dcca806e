//! `tidewire demo`: prints what it promises and leaves nothing behind, however it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tidewire::db::cluster::BINDIR_VARIABLE;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{PATIENCE, command};

/// The demo with a folder of its own for temporary files, which the server's account can reach.
struct Demo {
    temporary: TempDir,
    command: Command,
}

impl Demo {
    fn new() -> Demo {
        let temporary = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        let mut command = command(&["demo"]);
        command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Demo { temporary, command }
    }

    /// Runs it to its end and sees that nothing is left.
    async fn run(mut self) -> Output {
        let child = self.command.spawn().unwrap();
        self.end(child).await
    }

    async fn end(self, child: Child) -> Output {
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("the demo did not end").unwrap();
        let left: Vec<_> =
            std::fs::read_dir(self.temporary.path()).unwrap().flatten().map(|left| left.path()).collect();
        assert!(left.is_empty(), "it left {left:?}");
        let processes = processes_with(self.temporary.path());
        assert!(processes.is_empty(), "it left processes: {processes:?}");
        output
    }

    /// Sends a signal as soon as the folder has a file for which `is_time` holds.
    async fn interrupt(mut self, signal: Signal, is_time: impl Fn(&Path) -> bool) -> Output {
        let child = self.command.spawn().unwrap();
        let waiting = async {
            while !cluster_folder(self.temporary.path()).is_some_and(|folder| is_time(&folder)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the demo did not get so far");
        kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), signal).unwrap();
        self.end(child).await
    }
}

fn cluster_folder(temporary: &Path) -> Option<std::path::PathBuf> {
    Some(std::fs::read_dir(temporary).ok()?.next()?.ok()?.path())
}

/// The command lines of all processes that name the folder.
fn processes_with(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(folder)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The lines under a heading, without their indentation's first two columns.
fn part<'p>(page: &'p str, head: &str) -> Vec<&'p str> {
    let from = page.lines().skip_while(|line| !line.starts_with(head)).skip(1);
    let lines: Vec<&str> = from.take_while(|line| !line.is_empty()).map(|line| line.get(2..).unwrap()).collect();
    assert!(!lines.is_empty(), "there is no \"{head}\" in\n{page}");
    lines
}

#[tokio::test]
async fn the_demo_prints_the_walk() {
    let output = Demo::new().run().await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("starting a private PostgreSQL "), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("\nNext, with a database of yours:\n"), "{}", text(&output.stderr));
    let page = text(&output.stdout);
    assert!(!page.contains('\x1b'), "escape codes in a pipe: {page:?}");

    let statements = [
        "insert into person (name, score) values ('Don Pablo', 14);",
        "update person set name='Sandy Jones', score=score+3 where id=3;",
        "delete from person where id=4;",
    ];
    assert_eq!(part(&page, "The statements"), statements);
    let before = [
        "   id  name            score",
        "    1  Joe Smith          15",
        "    2  Don Jones          12",
        "    3  Sandy Hill         16",
        "    4  Nancy Makowsky      9",
    ];
    assert_eq!(part(&page, "The table before"), before);
    let after = [
        "   id  name         score",
        "    1  Joe Smith       15",
        "    2  Don Jones       12",
        "    3  Sandy Jones     19",
        "    5  Don Pablo       14",
    ];
    assert_eq!(part(&page, "The table after"), after);
    let diff = [
        "   id  name                        score",
        "    1  Joe Smith                      15",
        "    2  Don Jones                      12",
        "~   3  Sandy Hill → Sandy Jones  16 → 19",
        "-   4  Nancy Makowsky                  9",
        "+   5  Don Pablo                      14",
    ];
    assert_eq!(part(&page, "The relational diff"), diff);
    let log = [
        r#"row_insert public.person {"id":5,"name":"Don Pablo","score":14}"#,
        r#"field_update public.person.3.name "Sandy Jones""#,
        "field_update public.person.3.score 19",
        "row_delete public.person.4",
    ];
    assert_eq!(part(&page, "The log"), log);

    let session = part(&page, "A session");
    let notifications = part(&page, "The notifications");
    assert_eq!(notifications.len(), 8);
    for (told, operation) in notifications.chunks(2).zip(["insert", "update", "update", "delete"]) {
        assert_eq!(told[0], format!("on channel {}", session[0]));
        let event: Value = serde_json::from_str(told[1]).unwrap();
        assert_eq!(event["operation"], operation);
        assert_eq!(event["subscription_type"], "table");
    }
    let too_wide = page.lines().find(|line| line.chars().count() > 80 && !line.starts_with("  {"));
    assert_eq!(too_wide, None, "only notifications may be wider than a terminal");
}

#[tokio::test]
async fn the_demo_has_colours_where_they_are_wanted() {
    let mut demo = Demo::new();
    demo.command.env("CLICOLOR_FORCE", "1");
    let page = text(&demo.run().await.stdout);
    for coloured in ["\x1b[32m+\x1b[0m", "\x1b[31m-\x1b[0m", "\x1b[33mSandy Hill → Sandy Jones\x1b[0m"] {
        assert!(page.contains(coloured), "{page}");
    }
}

#[tokio::test]
async fn the_demo_leaves_nothing_when_it_is_interrupted_while_the_folder_is_filled() {
    let output = Demo::new().interrupt(Signal::SIGINT, |folder| folder.join("data/base").exists()).await;
    assert!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

#[tokio::test]
async fn the_demo_leaves_nothing_when_it_is_stopped_at_its_work() {
    let slot_is_there = |folder: &Path| {
        let slots = std::fs::read_dir(folder.join("data/pg_replslot"));
        slots.is_ok_and(|slots| slots.flatten().next().is_some())
    };
    let output = Demo::new().interrupt(Signal::SIGTERM, slot_is_there).await;
    assert!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_demo_leaves_nothing_when_it_fails() {
    let mut demo = Demo::new();
    demo.command.env(BINDIR_VARIABLE, "/nonexistent");
    let output = demo.run().await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: "), "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_demo_ends_quietly_when_nobody_reads_it() {
    let mut demo = Demo::new();
    let mut child = demo.command.spawn().unwrap();
    drop(child.stdout.take());
    let output = demo.end(child).await;
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
}
