//! Tables made at random, and what notes down each change of them.

use std::fmt::Write as _;

use super::chance::Chance;
use super::value::{KEYS, KINDS, Kind, name, quoted};

/// Names that must survive the way: quotes, capitals, what is SQL, what is JSON.
const NAMES: [&str; 10] = [
    "plain",
    "Capital",
    "with space",
    "sel\"ect",
    "it's",
    "dot.ted",
    "Straße № 7",
    "back\\slash",
    "new\nline",
    "table",
];

/// A table of the test.
#[derive(Debug)]
pub struct Table {
    pub number: usize,
    pub schema: String,
    pub name: String,
    /// In the table's order.
    pub columns: Vec<Column>,
    /// Places in `columns`, in the key's order; empty without a key.
    pub key: Vec<usize>,
    /// The partitions' names; empty if it has none.
    pub leaves: Vec<String>,
    /// Schema and name as PostgreSQL writes them: of the table, then of its partitions.
    pub shown: Vec<String>,
    /// Watched by its owner before anybody subscribes: then no subscription locks it.
    pub is_watched: bool,
}

#[derive(Debug)]
pub struct Column {
    pub name: String,
    pub kind: &'static Kind,
}

impl Table {
    /// A table at random. The first ones are of each sort, so that every run has them.
    pub fn generate(chance: &mut Chance, number: usize) -> Table {
        let mut columns = Vec::new();
        let keys = match number {
            0 => 1,
            1 => 2,
            2 => 0,
            _ => *chance.pick(&[0, 1, 1, 2, 3]),
        };
        let named = |columns: &mut Vec<Column>, kind, chance: &mut Chance| {
            let at = columns.len();
            columns.push(Column { name: format!("{} {at}", chance.pick(&NAMES)), kind });
        };
        for _ in 0..keys {
            named(&mut columns, chance.pick(&KEYS), chance);
        }
        for _ in 0..chance.between(2, 6) {
            named(&mut columns, chance.pick(&KINDS), chance);
        }
        if number == 0 || chance.one_in(3) {
            named(&mut columns, &KINDS[KINDS.len() - 1], chance);
        }
        // the key's columns need not come first, nor in the key's order
        for at in (1..columns.len()).rev() {
            columns.swap(at, chance.below(at + 1));
        }
        let mut key: Vec<usize> =
            (0..columns.len()).filter(|&at| KEYS.iter().any(|k| std::ptr::eq(k, columns[at].kind))).collect();
        if chance.one_in(2) {
            key.reverse();
        }
        let schema = if chance.one_in(3) { "Odd \"schema\"" } else { "public" };
        let base = chance.pick(&NAMES);
        let leaves = match number {
            0 => 0,
            1 => 3,
            _ => *chance.pick(&[0, 0, 2]),
        };
        let mut table = Table {
            number,
            schema: schema.to_owned(),
            name: format!("{base} {number}"),
            columns,
            key,
            leaves: (0..leaves).map(|leaf| format!("{base} {number}/{leaf}")).collect(),
            shown: Vec::new(),
            is_watched: number == 0 || chance.one_in(2),
        };
        if !table.is_partitionable() {
            table.leaves.clear();
        }
        table
    }

    /// The name as SQL writes it.
    pub fn sql(&self) -> String {
        format!("{}.{}", name(&self.schema), name(&self.name))
    }

    /// The relation of an event: the table, or one of its partitions.
    pub fn shown(&self, leaf: Option<&str>) -> &str {
        let at = leaf.and_then(|leaf| self.leaves.iter().position(|one| one == leaf));
        &self.shown[at.map_or(0, |at| at + 1)]
    }

    /// The column's name as SQL writes it.
    pub fn column(&self, at: usize) -> String {
        name(&self.columns[at].name)
    }

    /// Places of the columns that are not of the key.
    pub fn others(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| !self.key.contains(at)).collect()
    }

    /// An expression with this table's key columns, each behind `prefix`.
    fn each_key(&self, prefix: &str, text: impl Fn(usize, String) -> String) -> String {
        let all: Vec<String> = self.key.iter().map(|&at| text(at, format!("{prefix}.{}", self.column(at)))).collect();
        all.join(", ")
    }

    /// What makes the table.
    pub fn create(&self, chance: &mut Chance) -> String {
        let definition = |at: &usize| {
            let not_null = if self.key.contains(at) { " not null" } else { "" };
            format!("{} {}{not_null}", self.column(*at), self.columns[*at].kind.name)
        };
        let order: Vec<usize> = (0..self.columns.len()).collect();
        let mut columns: Vec<String> = order.iter().map(definition).collect();
        // a column that is gone: numbers of columns are not their places
        let gone = chance.one_in(2);
        if gone {
            columns.insert(chance.below(columns.len() + 1), "gone int".to_owned());
        }
        let mut sql = format!("create table {} ({}", self.sql(), columns.join(", "));
        if !self.key.is_empty() {
            let key: Vec<String> = self.key.iter().map(|&at| self.column(at)).collect();
            let _ = write!(sql, ", primary key ({})", key.join(", "));
        }
        sql.push(')');
        if !self.leaves.is_empty() {
            let by = self.key.first().copied().unwrap_or_else(|| self.hashed());
            let _ = write!(sql, " partition by hash ({})", self.column(by));
        }
        sql.push_str(";\n");
        if gone {
            let _ = writeln!(sql, "alter table {} drop column gone;", self.sql());
        }
        for (at, leaf) in self.leaves.iter().enumerate() {
            let leaf = format!("{}.{}", name(&self.schema), name(leaf));
            let bound = format!("for values with (modulus {}, remainder {at})", self.leaves.len());
            if at == 0 {
                let _ = writeln!(sql, "create table {leaf} partition of {} {bound};", self.sql());
            } else {
                // made apart, with its columns in another order
                let columns: Vec<String> = order.iter().rev().map(definition).collect();
                let _ = writeln!(sql, "create table {leaf} ({});", columns.join(", "));
                let _ = writeln!(sql, "alter table {} attach partition {leaf} {bound};", self.sql());
            }
        }
        for at in (0..self.columns.len()).filter(|&at| self.columns[at].kind.is_large()) {
            let _ = writeln!(sql, "alter table {} alter {} set storage external;", self.sql(), self.column(at));
        }
        if self.leaves.is_empty() && chance.one_in(4) {
            let _ = writeln!(sql, "alter table {} replica identity nothing;", self.sql());
        }
        sql + &self.audit()
    }

    /// The column by which a table without a key is partitioned.
    fn hashed(&self) -> usize {
        let hashable =
            |kind: &Kind| matches!(kind.name, "int4" | "int8" | "numeric" | "text" | "bool" | "date" | "timestamptz");
        self.columns.iter().position(|column| hashable(column.kind)).unwrap_or_default()
    }

    /// Whether it can have partitions: by the key, or by a column that can be hashed.
    fn is_partitionable(&self) -> bool {
        let kind = self.columns[self.key.first().copied().unwrap_or_else(|| self.hashed())].kind.name;
        kind != "json" && kind != "oracle.large" && kind != "oracle.pair"
    }

    /// The trigger that notes down each changed row, in PostgreSQL's own words.
    fn audit(&self) -> String {
        let image = |row: &str| {
            let named = self.each_key(row, |at, value| format!("{}, {value}", quoted(&self.columns[at].name)));
            let texts = self.each_key(row, |_, value| format!("{value}::text"));
            let sought = self.each_key(row, |at, value| self.sought(at, &value));
            format!("to_jsonb({row}), jsonb_build_object({named}), array[{texts}]::text[], array[{sought}]::text[]")
        };
        let differing: Vec<String> = (0..self.columns.len())
            .map(|at| {
                let column = self.column(at);
                format!(
                    "case when old.{column}::text is distinct from new.{column}::text then {} end",
                    quoted(&self.columns[at].name)
                )
            })
            .collect();
        format!(
            "create function oracle.audit_{number}() returns trigger language plpgsql {PINNED} as $oracle$
             begin
                 insert into oracle.audit (relation, op, leaf, old, old_row, old_key, old_sought, new, new_row, new_key, new_sought,
                                           changed)
                 select {number}, tg_op, tg_table_name, o.*, n.*,
                        case tg_op when 'UPDATE' then array_remove(array[{differing}]::text[], null) end
                 from (select 1) one
                 left join lateral (select {old} where tg_op <> 'INSERT') o on true
                 left join lateral (select {new} where tg_op <> 'DELETE') n on true;
                 return null;
             end $oracle$;
             create trigger oracle after insert or update or delete on {table} for each row
                 execute function oracle.audit_{number}();\n",
            number = self.number,
            differing = differing.join(", "),
            old = image("old"),
            new = image("new"),
            table = self.sql(),
        )
    }

    /// The text under which a key's value is looked for: equal values have one.
    pub fn sought(&self, at: usize, value: &str) -> String {
        if self.columns[at].kind.is_numeric() { format!("trim_scale({value})::text") } else { format!("{value}::text") }
    }
}

/// The settings under which PostgreSQL's text is that of the events, whatever the writer's own are.
pub const PINNED: &str =
    "set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = postgres set bytea_output = hex
    set extra_float_digits = 1";

/// Where changes are noted down. It is in a publication of its own, whose slot gives the order of the commits.
pub const AUDIT: &str = "create table oracle.audit (
        seq bigserial primary key,
        xid bigint not null default pg_current_xact_id()::text::bigint & 4294967295,
        relation int, op text not null, leaf text,
        old jsonb, old_row jsonb, old_key text[], old_sought text[],
        new jsonb, new_row jsonb, new_key text[], new_sought text[],
        changed text[], control jsonb);
    -- what cannot be told from the rows: noted by the generator, in the same transaction
    create table oracle.said (kind text not null);
    create publication oracle for table oracle.audit with (publish = 'insert');
    create function oracle.truncate(relations int[], leaves text[], tables text) returns void language plpgsql as $$
    begin
        execute 'truncate ' || tables;
        insert into oracle.audit (relation, op, leaf)
        select r, 'TRUNCATE', l from unnest(relations, leaves) with ordinality as u(r, l, at) order by at;
    end $$;";
