//! What a server is made to send: statements whose messages differ in kind.

/// A name, and batches of statements, each a transaction of its own unless it says otherwise.
pub type Scenario = (&'static str, &'static [&'static str]);

pub const SCENARIOS: &[Scenario] = &[
    (
        "insert-update-delete",
        &[
            "create table person (id int primary key, name text, score numeric(9,2)); select event.watch('person')",
            "insert into person values (1, 'Don Pablo', 14), (2, 'Sandy Hill', null), (3, '', 'NaN')",
            "update person set name = 'Sandy Jones', score = 1.50 where id = 2",
            "update person set name = name",
            "delete from person where id = 3",
        ],
    ),
    (
        "changed-keys",
        &[
            "create table seat (row text, number int, taken bool, primary key (number, row)); select event.watch('seat')",
            "insert into seat values ('A', 7, false), ('B', 8, null)",
            "update seat set number = 9 where row = 'A'; update seat set row = 'C', taken = true where number = 8",
        ],
    ),
    (
        "every-shape",
        &[
            "create type mood as enum ('sad', 'it''s \"ok\"');
             create domain score as numeric check (value >= 0);
             create type pair as (\"Key one\" int, b text);
             create type nest as (p pair, list pair[], at timestamptz);
             create table shapes (id int primary key, t bool, f float8, n numeric, m money, c char(4), y bytea, u uuid,
                 d date, ts timestamp, tz timestamptz, i interval, j json, jb jsonb, r int4range, mr nummultirange,
                 b box, bs box[], a int[], ta text[], v int2vector, ov oidvector, e mood, ea mood[], s score, p pair,
                 ns nest, na nest[], x xid8, l pg_lsn, bi varbit, ip inet);
             select event.watch('shapes')",
            r#"insert into shapes values (1, true, 1e-300, 12345678901234567890.000100, '$1.50', 'ab', '\xdeadbeef',
                 '00000000-0000-0000-0000-00000000000a', '2020-02-29', '2020-02-29 01:02:03.5', '2020-02-29 01:02:03+05:30',
                 '1 year -2 days 03:04:05.6', '{"b" : [1, 2.50, "\u00e9"], "a": null}', '{"b": {"a": [{}]}}', '[1,5)',
                 '{[1.5,2),(3,]}', '((1,2),(3,4))', '{(1,2),(3,4);NULL}', '[-1:0][2:3]={{1,2},{3,NULL}}',
                 array['', 'NULL', null, 'q"\', 'é 🐘', '{', ','], '1 2 3', '1 2', 'it''s "ok"', '{sad,NULL}', 0.5,
                 row(1, 'x"y\z'), row(row(null, ''), array[row(2, '(,)')::pair, null], 'infinity'),
                 array[row(row(1, E'a\nb'), '{}', '-infinity')::nest, null], '7', '16/B374D848', '10101', '::1/64')"#,
            "update shapes set f = 'NaN', ts = '0044-03-15 BC', a = '{}', p = null, na = '{}', j = ' [ ] '",
            "insert into shapes (id) values (2); delete from shapes where id = 2",
        ],
    ),
    (
        "large-value-left-alone",
        &[
            "create table page (id int primary key, body text, read int);
             alter table page alter body set storage external; select event.watch('page')",
            "insert into page values (1, repeat('Tide ', 600), 0)",
            "update page set read = 1; update page set body = null; delete from page",
        ],
    ),
    (
        "replica-identities",
        &[
            "create table by_key (id int primary key, v text); create table by_nothing (id int primary key, v text);
             create table by_index (id int primary key, code text not null unique, v text);
             alter table by_nothing replica identity nothing;
             alter table by_index replica identity using index by_index_code_key;
             create publication others for table by_key, by_nothing, by_index with (publish = 'insert')",
            "alter publication tidewire add table by_key, by_index",
            "insert into by_key values (1, 'a'), (2, null); insert into by_index values (1, 'x', 'a')",
            "update by_key set v = 'b'; update by_key set id = 3 where id = 2; delete from by_key where id = 1",
            "update by_index set v = 'b'; update by_index set code = 'y'; delete from by_index",
        ],
    ),
    (
        "no-key",
        &[
            "create table log (line text, at timestamptz); select event.watch('log')",
            "insert into log values ('one', 'epoch'), ('one', 'epoch'); update log set line = 'two'; delete from log",
        ],
    ),
    (
        "truncate",
        &[
            "create table a (id int primary key); create table b (id int primary key references a);
             select event.watch('a'); select event.watch('b')",
            "insert into a values (1); insert into b values (1)",
            "truncate a cascade",
            "truncate b restart identity",
        ],
    ),
    (
        "partitions",
        &[
            "create table part (id int primary key, v text) partition by range (id);
             create table part_1 (v text, id int not null); alter table part attach partition part_1 for values from (0) to (10);
             create table part_2 partition of part for values from (10) to (20); select event.watch('part')",
            "insert into part values (1, 'a'), (11, 'b'); update part set id = 12 where id = 1; truncate part_1; truncate part",
        ],
    ),
    (
        "savepoints",
        &[
            "create table kept (id int primary key); select event.watch('kept')",
            "begin; insert into kept values (1); savepoint s; insert into kept values (2); rollback to s;
             savepoint t; insert into kept values (3); release t; commit",
            "begin; insert into kept values (4); rollback",
        ],
    ),
    (
        "altered-tables",
        &[
            "create table was (id int primary key, v int, w text); select event.watch('was')",
            "insert into was values (1, 1, 'a')",
            "begin; alter table was rename to is_now; alter table is_now rename v to u; alter table is_now add x text default 'd';
             update is_now set u = 2; alter table is_now drop w; update is_now set u = 3; commit",
            "alter table is_now alter u type text; update is_now set u = 'four'",
        ],
    ),
    (
        "odd-names",
        &[
            r#"create schema "Ünï Çode"; create table "Ünï Çode"."a ""table""\" ("ke,y" int primary key, "a{b}" text, "🐘" json);
             select event.watch('"Ünï Çode"."a ""table""\"')"#,
            r#"insert into "Ünï Çode"."a ""table""\" values (1, E'\u0001\t\n"\\', '{"\u0000":"\ud800"}')"#,
        ],
    ),
    (
        "logical-messages",
        &[
            "select pg_logical_emit_message(true, 'tidewire', '{\"attach\":\"00000000-0000-0000-0000-00000000000a\",\"seen\":\"\"}');
             select pg_logical_emit_message(false, 'somebody', 'else'); select pg_logical_emit_message(true, '', '\\x00ff'::bytea)",
        ],
    ),
    (
        "origins",
        &[
            "create table from_afar (id int primary key); select event.watch('from_afar');
             select pg_replication_origin_create('afar')",
            "select pg_replication_origin_session_setup('afar')",
            "begin; select pg_replication_origin_xact_setup('0/1234', '2020-01-01'); insert into from_afar values (1); commit",
            "select pg_replication_origin_session_reset()",
        ],
    ),
    (
        "prepared",
        &[
            "create table agreed (id int primary key); select event.watch('agreed')",
            "begin; insert into agreed values (1); prepare transaction 'one'",
            "commit prepared 'one'",
        ],
    ),
    (
        "sessions-and-subscriptions",
        &[
            "create table told (id int primary key, v text); set search_path = public, event;
             select session_create('one'); select session_create('two', false)",
            "select subscribe_table(meta.relation_id('public', 'told')); select subscribe_field(meta.field_id('public', 'told', 'id', '7', 'v'))",
            "insert into told values (7, 'a'); update told set v = 'b'",
            "select unsubscribe(id) from event.subscription; select session_delete(id) from event.session",
        ],
    ),
];
