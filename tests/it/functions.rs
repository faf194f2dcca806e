//! Every function of ours, and why it may do what it may: the catalog against a list in the repository.
//!
//! `TIDEWIRE_WRITE_FUNCTIONS=1 cargo nextest run every_function` writes the list; the reasons that are there are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::Database;

const WRITE_VARIABLE: &str = "TIDEWIRE_WRITE_FUNCTIONS";

const HEAD: &str = "\
# Every function of the schemas event and meta, by tests/it/functions.rs: name | rights | volatility | search path | who may call it | why.
# A reason is needed for a function that runs with its owner's rights (definer), for one of event's that begins with an underscore and that
# everybody may call, and for one without a search path of its own. Functions of meta run with the caller's rights: all may call them.
# TIDEWIRE_WRITE_FUNCTIONS=1 writes the file anew and keeps the reasons.
";

const FUNCTIONS: &str = "
    select f.* from (select n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as name,
           case when p.prosecdef then 'definer' else 'invoker' end as rights,
           case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatility,
           coalesce((select substr(c, 13) from unnest(p.proconfig) c where c like 'search_path=%'),
                    case when p.prosqlbody is not null then 'parsed' else 'none' end) as path,
           case when has_function_privilege('anybody', p.oid, 'execute') then 'all' else 'owner' end as callers
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('event', 'meta')) f order by f.name collate \"C\"";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/functions.txt")
}

/// A function's name without its parameters.
fn base(function: &str) -> &str {
    function.split('(').next().unwrap_or_default()
}

/// The reasons of the list, by function.
fn reasons(list: &str) -> BTreeMap<String, String> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| Some((base(line).to_owned(), line.split(" | ").nth(5)?.to_owned()))).collect()
}

/// Whether it needs one.
fn is_remarkable(fields: &[&str]) -> bool {
    let [name, rights, _, path, callers] = fields else { panic!("{fields:?}") };
    *rights == "definer" || *path == "none" || (name.starts_with("event._") && *callers == "all")
}

#[tokio::test]
async fn every_function_is_listed_with_the_reason_for_its_rights() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create role anybody; set search_path = pg_catalog").await;
    let strangers = "select count(*) from pg_proc where pronamespace in ('event'::regnamespace, 'meta'::regnamespace)
                     and proowner <> (select nspowner from pg_namespace where nspname = 'event')";
    assert_eq!(client.text(strangers).await, "0");
    let listed = std::fs::read_to_string(path()).unwrap_or_default();
    let reasons = reasons(&listed);
    let mut list = HEAD.to_owned();
    for row in client.rows(FUNCTIONS).await {
        let fields: Vec<&str> = row.iter().map(|field| field.as_deref().unwrap()).collect();
        // other parameters leave the reason what it was
        let reason = reasons.get(base(fields[0])).filter(|_| is_remarkable(&fields)).map_or("-", String::as_str);
        list.push_str(&format!("{} | {reason}\n", fields.join(" | ")));
    }
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(path(), &list).unwrap();
    }
    let differing = list.lines().filter(|line| !listed.lines().any(|known| known == *line));
    let missing: Vec<_> =
        differing.chain(listed.lines().filter(|line| !list.lines().any(|found| found == *line))).collect();
    let is_written = std::env::var_os(WRITE_VARIABLE).is_some();
    assert!(missing.is_empty() || is_written, "not as listed ({WRITE_VARIABLE}=1 writes the list anew): {missing:#?}");
    let unexplained: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with('#') && line.ends_with(" | -"))
        .filter(|line| is_remarkable(&line.split(" | ").take(5).collect::<Vec<_>>()))
        .collect();
    assert!(unexplained.is_empty(), "without a reason: {unexplained:#?}");
    // a definer's search path is PostgreSQL's own
    let loose: Vec<&str> = list
        .lines()
        .filter(|line| line.contains(" | definer | ") && !line.contains(" | pg_catalog, pg_temp | "))
        .collect();
    assert!(loose.is_empty(), "{loose:#?}");
}
