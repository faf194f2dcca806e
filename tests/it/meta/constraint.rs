//! Keys, checks, foreign keys, exclusions, indexes.

use super::{refused, rows, same, stage};

/// Odd names, partitions, children, and whatever a key of an index can have.
const SCHEMA: &str = r#"
    create schema shop;
    create schema "Odd ""schema";
    create collation shop."my col" (locale = 'C');
    create operator class shop.backwards for type int using btree as
        operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 pg_catalog.btint4cmp(int, int);
    create table shop.product (
        id bigint primary key, code text, "Na ""me" text collate "C", price numeric check (price > 0), at date, span tsrange, room int,
        doc tsvector, parent bigint references shop.product on delete cascade deferrable,
        constraint "uniq ""ue" unique (code, "Na ""me") include (price, at) with (fillfactor = 70),
        constraint late unique (room, id) deferrable initially deferred,
        constraint "odd ""check" check (code <> 'a -- b' and at > '2020-02-01') no inherit,
        constraint booked exclude using gist (span with &&) where (room > 0) deferrable,
        constraint "ex ""x" exclude ((lower(code)) collate "C" with operator(pg_catalog.=), id with =) include (price));
    alter table shop.product add constraint young check (at > '2020-02-01') not valid;
    create table "Odd ""schema"."from" ("select" int, "Ünï Çode" text, product bigint, primary key ("Ünï Çode", "select"));
    alter table "Odd ""schema"."from" add constraint "to ""it" foreign key (product) references shop.product
        match full on update set null on delete set default deferrable initially deferred not valid;
    create table shop.part (id int, region int, v text check (v <> ''), primary key (id, region)) partition by range (id);
    create table shop.part_1 partition of shop.part for values from (0) to (10);
    create table shop.part_2 partition of shop.part for values from (10) to (20) partition by list (region);
    create table shop.part_2a partition of shop.part_2 for values in (1, 2);
    alter table shop.part add foreign key (id, region) references shop.part;
    create table shop.base (a int, constraint small check (a < 100));
    create table shop.child (c int) inherits (shop.base);
    create materialized view shop.many as select 1 as id;
    create index on shop.product (code);
    create index ordered on shop.product (lower(code) collate "C" desc, "Na ""me" collate "default" text_pattern_ops nulls first,
        (price * 2) desc nulls last, code collate shop."my col") include (price, at) where price > 1 and at < '2021-01-01';
    create unique index "uni ""q" on shop.product ((case when price > 1 then 'a, b' else ')' end) desc, (code || '/') collate "C", id);
    create index back on shop.product (room shop.backwards, id);
    create index doc on shop.product using gist (doc tsvector_ops (siglen = '100'), span);
    create index brin on shop.product using brin (at date_minmax_multi_ops (values_per_range = 16), id) with (pages_per_range = 4);
    create index on shop.part (lower(v));
    create unique index many_id on shop.many (id);
"#;

const DEFERRAL: &str = "case when \"deferrable\" then ' DEFERRABLE' else '' end || case when deferred then ' INITIALLY DEFERRED' else '' end";

/// Without the storage parameters, which are a column of their own.
const INDEXES: &str = "
    select i.indexrelid::regclass::text,
           regexp_replace(replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), ' WITH \\([^)]*\\)', ''),
           (select conname::text from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x')),
           relispartition, indisvalid, reloptions
    from pg_index i join pg_class c on c.oid = indexrelid where relnamespace::regnamespace::text in ('shop', '\"Odd \"\"schema\"')";

fn names(columns: &str) -> String {
    format!("(select string_agg(quote_ident(u), ', ') from unnest({columns}) u)")
}

fn ours(kind: &str, definition: &str) -> String {
    format!("select format('%I.%I', schema_name, relation_name), name, {definition}, comment from meta.{kind}")
}

/// Not what PostgreSQL keeps of a foreign key for each partition that it refers to.
fn theirs(kind: &str) -> String {
    format!(
        "select conrelid::regclass::text, conname::text, regexp_replace(pg_get_constraintdef(oid), ' WITH \\([^)]*\\)', ''),
                obj_description(oid, 'pg_constraint') from pg_constraint
         where contype = '{kind}' and connamespace::regnamespace::text in ('shop', '\"Odd \"\"schema\"')
           and not exists (select from pg_constraint p where p.oid = pg_constraint.conparentid and p.conrelid = pg_constraint.conrelid)"
    )
}

#[tokio::test]
async fn each_constraint_and_index_is_what_postgresql_itself_says() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    client.sql("set search_path = pg_catalog").await;
    let include = format!("coalesce(' INCLUDE (' || {} || ')', '')", names("include"));
    for (what, ours, theirs) in [
        (
            "primary keys",
            ours("primary_key", &format!("'PRIMARY KEY (' || {} || ')' || {include} || {DEFERRAL}", names("columns"))),
            theirs("p"),
        ),
        (
            "unique constraints",
            ours("constraint_unique", &format!("'UNIQUE (' || {} || ')' || {include} || {DEFERRAL}", names("columns"))),
            theirs("u"),
        ),
        (
            "checks",
            ours(
                "constraint_check",
                "format('CHECK (%s)', expression) || case when no_inherit then ' NO INHERIT' else '' end
                 || case when validated then '' else ' NOT VALID' end",
            ),
            theirs("c"),
        ),
        (
            "foreign keys",
            ours(
                "foreign_key",
                &format!(
                    "format('FOREIGN KEY (%s) REFERENCES %I.%I(%s)', {}, referenced_schema_name, referenced_relation_name, {})
                     || case when match = 'full' then ' MATCH FULL' else '' end
                     || coalesce(' ON UPDATE ' || upper(nullif(on_update, 'no action')), '')
                     || coalesce(' ON DELETE ' || upper(nullif(on_delete, 'no action')), '') || {DEFERRAL}
                     || case when validated then '' else ' NOT VALID' end",
                    names("columns"),
                    names("referenced_columns")
                ),
            ),
            theirs("f"),
        ),
        (
            "exclusions",
            ours(
                "constraint_exclusion",
                &format!(
                    "format('EXCLUDE USING %s (%s)', method, array_to_string(elements, ', ')) || {include}
                     || coalesce(' WHERE (' || predicate || ')', '') || {DEFERRAL}"
                ),
            ),
            theirs("x"),
        ),
        (
            "indexes",
            format!(
                "select format('%I.%I', schema_name, name),
                        format('CREATE %sINDEX %I ON %I.%I USING %I (%s)', case when is_unique then 'UNIQUE ' end, name, schema_name, relation_name,
                               method, array_to_string(columns, ', ')) || {include} || coalesce(' WHERE ' || predicate, ''),
                        constraint_name, inherited, valid, options from meta.index"
            ),
            INDEXES.to_owned(),
        ),
    ] {
        same(&client, what, &ours, &theirs).await;
    }
    // one text, whatever the reader's settings are
    let texts =
        "select md5(string_agg(t, '' order by t collate \"C\")) from (select i::text from meta.index i union all
        select c::text from meta.constraint_check c union all select x::text from meta.constraint_exclusion x union all
        select k::text from meta.primary_key k union all select f::text from meta.foreign_key f) as texts(t)";
    let one = client.text(texts).await;
    client.sql("set search_path = shop, pg_catalog; set datestyle = 'German'; set quote_all_identifiers = on").await;
    assert_eq!(client.text(texts).await, one);

    for (relation, id) in [
        ("primary_key", "meta.constraint_id(schema_name, relation_name, name)"),
        ("constraint_unique", "meta.constraint_id(schema_name, relation_name, name)"),
        ("constraint_check", "meta.constraint_id(schema_name, relation_name, name)"),
        ("constraint_exclusion", "meta.constraint_id(schema_name, relation_name, name)"),
        ("foreign_key", "meta.constraint_id(schema_name, relation_name, name)"),
        ("index", "meta.relation_id(schema_name, name)"),
    ] {
        let differing = format!(
            "select count(*) filter (where id is distinct from {id}) || ' of ' || (count(*) - count(distinct id)) || ', ' || (count(*) > 0)
             from meta.{relation}"
        );
        assert_eq!(client.text(&differing).await, "0 of 0, true", "{relation}");
    }
}

#[tokio::test]
async fn what_a_partitioned_table_has_its_partitions_have() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create table p (id int, r int, v int) partition by range (id); create table p1 partition of p for values from (0) to (10);
             insert into meta.primary_key (schema_name, relation_name, name, columns) values ('public', 'p1', 'its own', '{id}');
             insert into meta.primary_key (schema_name, relation_name, columns) values ('public', 'p', '{id}');
             insert into meta.foreign_key (schema_name, relation_name, columns, referenced_relation_name) values ('public', 'p', '{v}', 'p');
             insert into meta.constraint_check (schema_name, relation_name, name, expression) values ('public', 'p', 'c', 'v > 0');
             insert into meta.index (schema_name, relation_name, columns) values ('public', 'p', '{r}')",
        )
        .await;
    let all = "select relation_name, name, inherited from meta.primary_key union all select relation_name, name, inherited from meta.foreign_key
               union all select relation_name, name, inherited from meta.constraint_check
               union all select relation_name, name, inherited from meta.index where constraint_name is null order by 1, 2";
    // what there is already in a partition becomes part of the table's, and keeps its name; nothing that PostgreSQL keeps for itself is told
    assert_eq!(
        rows(&client, all).await,
        [
            "p | c | f",
            "p | p_pkey | f",
            "p | p_r_idx | f",
            "p | p_v_fkey | f",
            "p1 | c | t",
            "p1 | its own | t",
            "p1 | p1_r_idx | t",
            "p1 | p_v_fkey | t",
        ]
    );
    for (sql, expected) in [
        (
            "delete from meta.primary_key where inherited",
            "42P16 cannot drop inherited constraint \"its own\" of relation \"p1\"",
        ),
        (
            "delete from meta.foreign_key where inherited",
            "42P16 cannot drop inherited constraint \"p_v_fkey\" of relation \"p1\"",
        ),
        (
            "update meta.constraint_check set name = 'd' where inherited",
            "42P16 cannot rename inherited constraint \"c\"",
        ),
        (
            "delete from meta.index where name = 'p1_r_idx'",
            "2BP01 cannot drop index p1_r_idx because index p_r_idx requires it -- You can drop index p_r_idx instead.",
        ),
        (
            "update meta.index set inherited = false where name = 'p1_r_idx'",
            "0A000 whether a table's index is inherited follows its table -- Inherit or attach the table, or end that.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    client.sql("update meta.constraint_check set expression = 'v > 1', name = 'd' where not inherited").await;
    assert_eq!(
        rows(&client, "select relation_name, name, expression, inherited from meta.constraint_check order by 1").await,
        ["p | d | (v > 1) | f", "p1 | d | (v > 1) | t"]
    );
}

#[tokio::test]
async fn what_postgresql_has_newly_is_there_from_its_version_on() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int, v int, during tsrange, room int4range)").await;
    client
        .sql("insert into meta.primary_key (schema_name, relation_name, columns) values ('public', 't', '{id}')")
        .await;
    let version =
        client.text("select current_setting('server_version_num')::int / 10000").await.parse::<u32>().unwrap();
    for (since, sql, expected, before) in [
        (
            15,
            "insert into meta.constraint_unique (schema_name, relation_name, name, columns, nulls_not_distinct) values ('public', 't', 'n', '{id,v}', true)
             returning nulls_not_distinct",
            "t",
            "nulls not distinct",
        ),
        (
            15,
            "insert into meta.index (schema_name, relation_name, columns, is_unique, nulls_not_distinct) values ('public', 't', '{v}', true, true)
             returning nulls_not_distinct",
            "t",
            "nulls not distinct",
        ),
        (
            15,
            "insert into meta.foreign_key (schema_name, relation_name, columns, referenced_relation_name, on_delete, on_delete_columns)
             values ('public', 't', '{v}', 't', 'set null', '{v}') returning on_delete_columns",
            "{v}",
            "columns of on delete",
        ),
        (
            18,
            "insert into meta.constraint_unique (schema_name, relation_name, columns, without_overlaps) values ('public', 't', '{room,during}', true)
             returning without_overlaps",
            "t",
            "keys without overlaps",
        ),
        (
            18,
            "insert into meta.foreign_key (schema_name, relation_name, name, columns, referenced_relation_name, referenced_columns, period)
             values ('public', 't', 'p', '{room,during}', 't', '{room,during}', true) returning period",
            "t",
            "foreign keys with a period",
        ),
        (
            18,
            "insert into meta.constraint_check (schema_name, relation_name, expression, enforced) values ('public', 't', 'v > 0', false)
             returning enforced::text || validated",
            "falsefalse",
            "constraints that are not enforced",
        ),
        (
            18,
            "insert into meta.foreign_key (schema_name, relation_name, name, columns, referenced_relation_name, enforced)
             values ('public', 't', 'f', '{v}', 't', false) returning enforced::text || validated",
            "falsefalse",
            "constraints that are not enforced",
        ),
    ] {
        if version >= since {
            assert_eq!(client.text(sql).await, expected, "{sql}");
        } else {
            let expected = format!("0A000 PostgreSQL has {before} from {since} on -- Leave that out.");
            assert_eq!(refused(&client, sql).await, expected, "{sql}");
        }
    }
    if version >= 18 {
        let update =
            "update meta.foreign_key set enforced = true where name = 'f' returning enforced::text || validated";
        assert_eq!(client.text(update).await, "truetrue");
    }
}
