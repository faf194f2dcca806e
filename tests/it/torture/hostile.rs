//! Hostile input of a seed: what a role with a schema of its own, or none, can write to stop everybody else's events.

use crate::oracle::Chance;

/// Names that have to be quoted wherever they go.
const NAMES: [&str; 6] =
    ["plain", "with \"quotes\"", "new\nline", "a,b;--", "\u{e4}\u{20ac}\u{1f600}", "{\"json\" : 1}"];

/// What a statement is of at most, in bytes: with more the test is of the machine.
const LARGEST: usize = 2 << 20;

pub struct Hostile {
    chance: Chance,
    made: usize,
}

/// An identifier, quoted.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Hostile {
    pub fn new(seed: u64) -> Hostile {
        Hostile { chance: Chance::new(seed), made: 0 }
    }

    /// Statements for one connection; each may fail.
    pub fn next(&mut self) -> Vec<String> {
        match self.chance.below(8) {
            0 | 1 => self.table(),
            2 => self.nested(),
            3 => self.wide(),
            4 => vec![self.message()],
            5 => self.comment(),
            6 => self.keys(),
            _ => self.schema_changes(),
        }
    }

    fn name(&mut self) -> String {
        self.made += 1;
        let name = *self.chance.pick(&NAMES);
        quoted(&format!("{name}{}", self.made))
    }

    /// A table of any types, subscribed to, and rows of odd values.
    fn table(&mut self) -> Vec<String> {
        let (table, column) = (self.name(), self.name());
        let kinds = [
            "json",
            "jsonb",
            "text",
            "timestamptz",
            "date[]",
            "numeric",
            "text[]",
            "point",
            "bytea",
            "xml",
            "tsvector",
        ];
        let kind = *self.chance.pick(&kinds);
        let mut statements =
            vec![format!("create table {table} (id serial primary key, {column} {kind})"), subscribe(&table)];
        for _ in 0..self.chance.between(1, 4) {
            let value = self.value(kind);
            statements.push(format!("insert into {table} ({column}) values ({value})"));
        }
        statements.push(format!("update {table} set {column} = null; delete from {table}"));
        statements
    }

    fn value(&mut self, kind: &str) -> String {
        let depth = self.chance.between(1, 2000);
        let size = self.chance.between(1, LARGEST);
        match kind {
            "json" | "jsonb" => match self.chance.below(3) {
                0 => format!("(repeat('[', {depth}) || repeat(']', {depth}))::{kind}"),
                1 => format!("to_json(repeat(e'\\x01\"\\\\', {}))::{kind}", size / 18),
                _ => {
                    r#"'{"a\u0041":"\\ud800","a":1e400,"":null}'::json"#.to_owned()
                        + if kind == "jsonb" { "::jsonb" } else { "" }
                }
            },
            "timestamptz" => {
                (*self.chance.pick(&["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31'"])).to_owned()
            }
            "date[]" => "array['infinity', '-infinity', null, '4713-01-01 BC']::date[]".to_owned(),
            "numeric" => (*self.chance.pick(&["'NaN'", "'-infinity'", "1e1000", "1e-1000"])).to_owned(),
            "text[]" => format!("array_fill('{{\"NULL\",'::text, array[{}])", self.chance.between(1, 20_000)),
            "point" => "'(infinity,NaN)'".to_owned(),
            "bytea" => format!("decode(repeat('00ff', {}), 'hex')", size / 8),
            "xml" => format!("xmlparse(content repeat('<a>', {0}) || repeat('</a>', {0}))", depth.min(200)),
            "tsvector" => "$$'a''b':1 '\"':2$$::tsvector".to_owned(),
            _ => format!("repeat({}, {})", literal("\"a\"=>\\ {,}\u{2028}"), size / 16),
        }
    }

    /// Composites of composites, in arrays, through a domain, with an enum in the innermost.
    fn nested(&mut self) -> Vec<String> {
        let (table, domain, label) = (self.name(), self.name(), self.name());
        let types: Vec<String> = (0..self.chance.between(2, 6)).map(|_| self.name()).collect();
        let mut statements = vec![
            format!("create type {label} as enum ('', 'a\"b', '{{}}')"),
            format!("create domain {domain} as {label}"),
            format!("create type {} as (a {domain}, \"b \"\"\" int)", types[0]),
        ];
        let inner = |pair: &[String]| format!("create type {} as (a {1}, b {1}[], c int)", pair[1], pair[0]);
        statements.extend(types.windows(2).map(inner));
        let outer = types.last().map_or("", String::as_str);
        statements.push(format!("create table {table} (id serial primary key, v {outer}, w {outer}[])"));
        statements.push(subscribe(&table));
        let rows = self.chance.between(1, 500);
        statements.push(format!("insert into {table} (w) values (array_fill(null::{outer}, array[{rows}]))"));
        statements.push(format!("insert into {table} (v) select row(null, null, 1)::{outer}"));
        statements
    }

    /// Many columns, all updated at once.
    fn wide(&mut self) -> Vec<String> {
        let table = self.name();
        let count = self.chance.between(100, 600);
        let columns = |text: &str| (0..count).map(|n| text.replace('#', &n.to_string())).collect::<Vec<_>>().join(", ");
        vec![
            format!("create table {table} (id serial primary key, {})", columns("c# int default 0")),
            subscribe(&table),
            format!("insert into {table} default values"),
            format!("update {table} set {}; delete from {table}", columns("c# = c# + 1")),
        ]
    }

    /// A message of any prefix and size, also of ours.
    fn message(&mut self) -> String {
        let transactional = self.chance.one_in(2);
        let prefix = literal(self.chance.pick::<&str>(&["tidewire", "", "\u{e4}", "tidewire\n"]));
        let size = self.chance.between(1, LARGEST);
        let content = match self.chance.below(3) {
            0 => format!("repeat('[', {})", size / 4),
            1 => format!("'{{\"attach\":\"' || gen_random_uuid() || '\",\"seen\":\"' || repeat('x', {size}) || '\"}}'"),
            _ => format!("repeat('{{\"attach\":', {})", size / 16),
        };
        format!("select pg_logical_emit_message({transactional}, {prefix}, {content})")
    }

    fn comment(&mut self) -> Vec<String> {
        let table = self.name();
        let size = self.chance.between(1, LARGEST / 2);
        vec![
            "select event.subscribe_table(meta.relation_id('meta', 'comment'))".to_owned(),
            format!("create table {table} ()"),
            format!(
                "do $$ begin execute 'comment on table ' || {} || ' is ' || quote_literal(repeat('\"', {size})); end $$",
                literal(&table)
            ),
        ]
    }

    /// Keys up to what an index takes, and those that subscriptions name.
    fn keys(&mut self) -> Vec<String> {
        let table = self.name();
        let size = self.chance.between(1, 2600);
        vec![
            format!("create table {table} (a text, b text, v int, primary key (a, b))"),
            subscribe(&table),
            // not compressible
            format!(
                "insert into {table} select string_agg(md5(random()::text), ''), e'\\n\"' from generate_series(1, {})",
                size / 32 + 1
            ),
            format!("update {table} set v = 1; update {table} set a = ''; truncate {table}"),
        ]
    }

    fn schema_changes(&mut self) -> Vec<String> {
        let (table, other, column) = (self.name(), self.name(), self.name());
        vec![
            format!("create table {table} (id int primary key, v int)"),
            subscribe(&table),
            format!(
                "insert into {table} values (1, 1); alter table {table} rename v to {column}; update {table} set {column} = 2"
            ),
            format!(
                "alter table {table} alter {column} type text; alter table {table} rename to {other}; update {other} set {column} = '3'"
            ),
            format!("alter table {other} drop column {column}; delete from {other}; drop table {other}"),
        ]
    }
}

/// The role's session wants the table.
fn subscribe(table: &str) -> String {
    format!(
        "select event._subscribe((select id from event.session order by created_at limit 1), 'table', {}::regclass, null, null, null)",
        literal(table)
    )
}

/// What the seed makes is the same each time.
#[test]
fn hostile_input_is_the_same_for_the_same_seed() {
    let statements = |seed| {
        let mut hostile = Hostile::new(seed);
        (0..50).flat_map(|_| hostile.next()).collect::<Vec<_>>()
    };
    assert_eq!(statements(7), statements(7));
    assert_ne!(statements(7), statements(8));
}
