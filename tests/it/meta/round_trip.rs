//! A database made through `meta` alone, from the rows of another's `meta`, is the same to pg_dump.

use std::process::Command;
use std::time::Instant;

use tidewire::db::cluster::Binaries;

use super::{relations, rows, samples, stage};
use crate::support::{Client, Database};

/// 60 tables in three schemas, and what a web application puts on them. The time is proportional to the tables: 500 took
/// 33 ms each, 60 take 41 ms each.
const LARGE: &str = include_str!("sample/large.sql");

/// How the rows of a relation are written elsewhere: which, in what order, and what of them can only be read.
struct Copied {
    relation: &'static str,
    only: &'static str,
    order: &'static str,
    facts: &'static [&'static str],
}

const fn copied(
    relation: &'static str,
    only: &'static str,
    order: &'static str,
    facts: &'static [&'static str],
) -> Copied {
    Copied { relation, only, order, facts }
}

/// As they were made: what one is made of came first.
const MADE: &str = "(select o.object from meta.{base} o where o.id = r.id)";
/// Partitions before what they are partitions of: that takes what its partitions have for its own.
const DEEPEST: &str =
    "(select count(*) from pg_partition_ancestors(to_regclass(format('%I.%I', schema_name, relation_name)))) desc, id";
/// Functions that need tables: for the types of parameters, or for a body that is parsed at once.
const LATE: &str = "(r.body_is_sql or exists (
    select from meta._function f join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = f.object and d.refclassid = 'pg_type'::regclass
    join pg_type t on t.oid = d.refobjid left join pg_type e on e.oid = t.typelem join pg_class c on c.oid in (t.typrelid, e.typrelid)
    where f.id = r.id and c.relkind <> 'c'))";
const EARLY: &str = "not {late}";
/// Its columns are the parent's, and have to be there before it is attached.
const PARTITION: &str =
    "exists (select from meta.partition p where p.schema_name = r.schema_name and p.name = r.relation_name)";

/// A table is made with its columns; the key comes by its own name. A partition's are its own, until it is attached.
const COLUMNS: &str = "(select array_agg(row(c.id, c.schema_name, c.relation_name, c.name, c.type, c.collation_name, null, c.\"default\", c.nullable,
                               false, case when not (c.inherited and c.generated like 'identity%') then c.generated end, c.inherited, null, c.comment)::meta.\"column\" order by c.position)
                        from meta.\"column\" c where c.schema_name = r.schema_name and c.relation_name = r.name) as columns";

/// In the order in which it was granted or set: pg_dump keeps to it.
const GRANTED: &str = "schema_name, relation_name, (
    select min(a.place) from pg_class c cross join aclexplode(c.relacl) with ordinality as a (grantor, grantee, privilege, grantable, place)
    where c.oid = to_regclass(format('%I.%I', schema_name, relation_name))
      and case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee) end = role_name), privilege";
const SET: &str = "database_name, role_name, (
    select min(u.place) from pg_db_role_setting s cross join unnest(s.setconfig) with ordinality as u (setting, place)
    where split_part(u.setting, '=', 1) = name and (s.setdatabase <> 0) = (database_name is not null)
      and case when s.setrole <> 0 then pg_get_userbyid(s.setrole) end is not distinct from role_name)";

/// As they need each other.
const COPIED: &[Copied] = &[
    copied("role", "name <> 'postgres'", MADE, &[]),
    copied("role_inheritance", "true", "id", &[]),
    copied("setting", "true", SET, &[]),
    copied("schema", "name <> 'public'", "name", &[]),
    copied("extension", "name <> 'plpgsql'", "name", &["relocatable", "owner"]),
    copied("type", "kind <> 'base'", MADE, &[]),
    copied("function", EARLY, "kind = 'aggregate', id", &["parameter_types"]),
    copied("operator", "true", "id", &["result_type"]),
    copied("sequence", "not identity", "id", &["identity", "owned_by"]),
    copied("\"table\"", "true", MADE, &[]),
    copied("\"column\"", "inherited", "id", &[]),
    copied("function", "{late}", "kind = 'aggregate', body_is_sql, id", &["parameter_types"]),
    copied("\"cast\"", "true", "id", &[]),
    copied("foreign_data_wrapper", "true", "id", &[]),
    copied("foreign_server", "true", "id", &[]),
    copied("foreign_table", "true", MADE, &[]),
    copied(
        "foreign_column",
        "not inherited or {partition}",
        "schema_name, relation_name, position",
        &["inherited", "position"],
    ),
    copied("partition", "true", "(select o.scope from meta._partition o where o.id = r.id)", &[]),
    copied("primary_key", "true", DEEPEST, &["inherited"]),
    copied("constraint_unique", "true", DEEPEST, &["inherited"]),
    copied("view", "true", MADE, &[]),
    copied("materialized_view", "true", MADE, &[]),
    copied("relation_column", "relation_kind in ('view', 'materialized view')", "id", &[]),
    copied("constraint_check", "not inherited", "id", &["inherited"]),
    copied("constraint_exclusion", "true", DEEPEST, &["inherited"]),
    copied("index", "constraint_name is null", DEEPEST, &["inherited", "valid", "constraint_name"]),
    copied("index", "constraint_name is not null", "id", &[]),
    copied("foreign_key", "not inherited", "id", &["inherited"]),
    copied("sequence", "owned_by is not null and not identity", "id", &[]),
    copied("sequence", "identity", "id", &[]),
    copied("trigger", "not inherited", "id", &["inherited"]),
    copied("policy", "true", "id", &[]),
    copied("table_privilege", "true", GRANTED, &[]),
    copied("publication", "true", "id", &[]),
    copied("comment", "object_type not in ('database', 'role', 'tablespace')", "id", &["identity"]),
];

fn dump(binaries: &Binaries, database: &Database) -> Vec<String> {
    let mut dump = Command::new(binaries.program("pg_dump"));
    dump.args(["--schema-only", "--exclude-schema=event", "--exclude-schema=meta", "-d", &database.url()]);
    let dumped = dump.output().unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let text = String::from_utf8(dumped.stdout).unwrap();
    // a random word of newer versions, and Tidewire's own objects outside of its schemas
    text.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect()
}

/// Writes the rows of each relation of meta into another database's.
async fn copy(from: &Client, to: &Client) {
    // neither what the one has set nor the other's search path makes another text
    from.sql("set datestyle = 'German'; set intervalstyle = iso_8601; set quote_all_identifiers = on; set search_path = public").await;
    to.sql("set check_function_bodies = off; set search_path = pg_catalog;").await;
    for Copied { relation, only, order, facts } in COPIED {
        let base = format!("\"_{}\"", relation.trim_matches('"'));
        let fill = |text: &str| text.replace("{late}", LATE).replace("{partition}", PARTITION).replace("{base}", &base);
        let facts = facts.iter().map(|fact| format!(",{fact}")).collect::<String>();
        let columns = from
            .text(&format!(
                "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
                 where attrelid = 'meta.{relation}'::regclass and attnum > 0 and attname <> all ('{{id{facts}}}')"
            ))
            .await;
        // what an extension brought comes with it
        let rows = from
            .text(&format!(
                "select coalesce(json_agg(r), '[]') from (
                     select {} from meta.{relation} r where ({})
                     and r.id not in (select o.id from meta.{base} o join pg_depend e on e.objid = o.object and e.deptype = 'e')
                     order by {}) r",
                if *relation == "\"table\"" { columns.replace("\"columns\"", COLUMNS) } else { columns.clone() },
                fill(only),
                fill(order)
            ))
            .await;
        let rows = format!("json_populate_recordset(null::meta.{relation}, $rows${rows}$rows$) with ordinality n");
        let write = match *relation {
            // who creates a relation may do everything with it: what the original's owner may not is taken away first
            "table_privilege" => format!(
                "create temp table given as select n.* from {rows};
                 delete from meta.table_privilege p where not exists (
                     select from given n where (n.schema_name, n.relation_name, n.role_name, n.privilege)
                                               = (p.schema_name, p.relation_name, p.role_name, p.privilege));
                 insert into meta.table_privilege ({columns}) select {columns} from given n where not exists (
                     select from meta.table_privilege p where (n.schema_name, n.relation_name, n.role_name, n.privilege, n.grantable)
                                                              = (p.schema_name, p.relation_name, p.role_name, p.privilege, p.grantable))
                 order by n.ordinality"
            ),
            // what has come with something else
            "\"column\"" => format!(
                "update meta.\"column\" c set nullable = n.nullable, \"default\" = n.\"default\", comment = n.comment from {rows}
                 where c.schema_name = n.schema_name and c.relation_name = n.relation_name and c.name = n.name"
            ),
            "relation_column" => format!(
                "update meta.relation_column c set \"default\" = n.\"default\", comment = n.comment from {rows}
                 where c.schema_name = n.schema_name and c.relation_name = n.relation_name and c.name = n.name"
            ),
            "index" if *only == "constraint_name is not null" => format!(
                "update meta.index i set clustered = n.clustered, comment = n.comment from {rows}
                 where i.schema_name = n.schema_name and i.name = n.name"
            ),
            "sequence" if *only == "identity" => format!(
                "update meta.sequence s set name = n.name, type = n.type, start = n.start, increment = n.increment, minimum = n.minimum,
                                            maximum = n.maximum, cache = n.cache, cycle = n.cycle, unlogged = n.unlogged, comment = n.comment
                 from {rows} where s.owned_by = n.owned_by and s.identity"
            ),
            "sequence" if *only != "not identity" => format!(
                "update meta.sequence s set owned_by = n.owned_by from {rows} where s.schema_name = n.schema_name and s.name = n.name"
            ),
            // most are told with what they are of, too
            "comment" => format!(
                "insert into meta.comment ({columns}) select {columns} from {rows} where not exists (
                     select from meta.comment c where c.object_type = n.object_type and c.object_names = n.object_names
                     and c.object_args = n.object_args) order by ordinality"
            ),
            _ => format!("insert into meta.{relation} ({columns}) select {columns} from {rows} order by ordinality"),
        };
        if let Err(error) = to.try_sql(&write).await {
            panic!("{relation}: {error:?}");
        }
    }
}

async fn round_trip(large: bool) -> (Client, Database) {
    let binaries = Binaries::find().await.unwrap();
    let (original, from) = stage().await;
    let samples = if large { vec![LARGE] } else { samples(&from).await };
    let mut times = vec![Instant::now()];
    for sample in samples {
        from.sql(sample).await;
    }
    let (other, to) = stage().await;
    times.push(Instant::now());
    copy(&from, &to).await;
    times.push(Instant::now());
    for client in [&from, &to] {
        client.sql("reset all").await;
    }
    for (relation, columns) in relations(&from, "(?!connection).*").await {
        // those of dropped columns are not used again
        let columns = columns.split(", ").filter(|&column| column != "\"position\"").collect::<Vec<_>>().join(", ");
        let rows = format!("select {columns} from meta.{relation:?} order by id::text");
        assert_eq!(from.rows(&rows).await, to.rows(&rows).await, "{relation}: {columns}");
    }
    times.push(Instant::now());
    if binaries.program("pg_dump").exists() {
        assert_same(&dump(&binaries, &original), &dump(&binaries, &other));
    } else {
        eprintln!("pg_dump is not compared: these server programs come without it");
    }
    times.push(Instant::now());
    let took: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("made in SQL, made through meta, compared in meta, compared by pg_dump: {took:.1?}");
    (to, other)
}

#[tokio::test]
async fn what_is_made_through_meta_from_the_rows_of_meta_is_the_same_to_pg_dump() {
    let (to, _other) = round_trip(false).await;
    // named as a negator and never made: PostgreSQL keeps a shell of it, which is in no relation of meta
    to.sql("drop operator kinds.<!~> (kinds.word, kinds.word)").await;
    // and what there was goes again; what something else depends on, or is a part of, after that
    let delete = format!(
        "do $$ declare kind text; gone record; begin
             for pass in 1..6 loop
                 foreach kind in array array['{}'] loop
                     for gone in execute format('select o.id::text from meta.%I o where not exists (
                                     select from pg_depend e where e.objid = o.object and e.deptype = ''e'')', '_' || kind) loop
                         begin
                             execute format('delete from meta.%I o where o.id::text = $1', kind) using gone.id;
                         exception when dependent_objects_still_exist or invalid_table_definition or feature_not_supported then
                             null;
                         end;
                     end loop;
                 end loop;
             end loop;
         end $$",
        GONE.join("','")
    );
    to.sql(&delete).await;
    to.sql("delete from meta.schema where name <> 'public'").await;
    let left = "select kind, name from meta.relation union all select 'type', name from meta.type
                union all select 'function', name from meta.function union all select 'schema', name from meta.schema";
    assert_eq!(rows(&to, left).await, ["schema | public"]);
}

const GONE: [&str; 17] = [
    "publication",
    "policy",
    "trigger",
    "materialized_view",
    "view",
    "foreign_key",
    "partition",
    "foreign_table",
    "table",
    "foreign_server",
    "foreign_data_wrapper",
    "cast",
    "operator",
    "extension",
    "function",
    "sequence",
    "type",
];

#[tokio::test]
async fn a_large_schema_is_made_through_meta_too() {
    let (to, _other) = round_trip(true).await;
    assert_eq!(to.text("select count(*) from meta.table").await, "60");
}

/// The first lines that differ, with what is around them.
fn assert_same(one: &[String], other: &[String]) {
    let differ = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at));
    if let Some(at) = differ {
        let around =
            |lines: &[String]| lines[at.saturating_sub(12).min(lines.len())..(at + 12).min(lines.len())].join("\n");
        panic!("line {at} of the dumps\n{}\n-----\n{}", around(one), around(other));
    }
}
