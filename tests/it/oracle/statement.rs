//! Statements that change a table's rows, at random.

use super::chance::Chance;
use super::schema::Table;
use super::value::{name, quoted};

/// A statement that changes one of the tables.
pub fn change(chance: &mut Chance, tables: &[Table]) -> String {
    let table = chance.pick(tables);
    match chance.below(40) {
        0..14 => insert(chance, table),
        14..26 => update(chance, table),
        26..29 => same(chance, table),
        29..32 if !table.key.is_empty() => new_key(chance, table),
        29..38 => delete(chance, table),
        38 => sub_transactions(chance, tables),
        _ if chance.one_in(3) => truncate(chance, tables),
        _ => insert(chance, table),
    }
}

fn values(chance: &mut Chance, table: &Table) -> String {
    let values: Vec<String> = (0..table.columns.len())
        .map(|at| {
            let kind = table.columns[at].kind;
            if table.key.contains(&at) { kind.value(chance) } else { kind.nullable(chance) }
        })
        .collect();
    format!("({})", values.join(", "))
}

fn columns(table: &Table) -> String {
    (0..table.columns.len()).map(|at| table.column(at)).collect::<Vec<_>>().join(", ")
}

fn insert(chance: &mut Chance, table: &Table) -> String {
    let rows = *chance.pick(&[1, 1, 1, 2, 4]);
    let rows: Vec<String> = (0..rows).map(|_| values(chance, table)).collect();
    let mut sql = format!("insert into {} ({}) values {}", table.sql(), columns(table), rows.join(", "));
    if table.key.is_empty() {
        return sql;
    }
    match chance.below(10) {
        0 => {}
        1..6 => sql.push_str(" on conflict do nothing"),
        _ => {
            let key: Vec<String> = table.key.iter().map(|&at| table.column(at)).collect();
            let set: Vec<String> = chance
                .some(&table.others())
                .into_iter()
                .map(|at| format!("{0} = excluded.{0}", table.column(at)))
                .collect();
            sql.push_str(&format!(" on conflict ({}) do update set {}", key.join(", "), set.join(", ")));
            sql.push_str(&said("upsert"));
        }
    }
    sql
}

/// Which rows: those with a part of a key, or those that a hash picks.
fn rows(chance: &mut Chance, table: &Table) -> String {
    if table.key.is_empty() || chance.one_in(6) {
        return format!("where hashtext(t::text) % 5 = {}", chance.below(5));
    }
    let key = if chance.one_in(2) { table.key.clone() } else { chance.some(&table.key) };
    let parts: Vec<String> =
        key.into_iter().map(|at| format!("{} = {}", table.column(at), table.columns[at].kind.value(chance))).collect();
    format!("where {}", parts.join(" and "))
}

fn update(chance: &mut Chance, table: &Table) -> String {
    let set: Vec<String> = chance
        .some(&table.others())
        .into_iter()
        .map(|at| format!("{} = {}", table.column(at), table.columns[at].kind.nullable(chance)))
        .collect();
    format!("update {} t set {} {}", table.sql(), set.join(", "), rows(chance, table))
}

/// An update that changes nothing.
fn same(chance: &mut Chance, table: &Table) -> String {
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let set: Vec<String> = chance.some(&all).into_iter().map(|at| format!("{0} = t.{0}", table.column(at))).collect();
    format!("update {} t set {} {}", table.sql(), set.join(", "), rows(chance, table))
}

fn new_key(chance: &mut Chance, table: &Table) -> String {
    let set: Vec<String> = chance
        .some(&table.key)
        .into_iter()
        .chain(chance.one_in(2).then(|| *chance.pick(&table.others())))
        .map(|at| format!("{} = {}", table.column(at), table.columns[at].kind.value(chance)))
        .collect();
    format!("update {} t set {} {}", table.sql(), set.join(", "), rows(chance, table))
}

/// A row that is there gets another key, in the table that has a key of one column and no partitions.
pub fn moved_key(chance: &mut Chance, tables: &[Table]) -> String {
    let table = &tables[0];
    let key = table.key[0];
    let from = table.columns[key].kind.value(chance);
    let mut to = from.clone();
    while to == from {
        to = table.columns[key].kind.value(chance);
    }
    let row: Vec<String> = (0..table.columns.len())
        .map(|at| if at == key { from.clone() } else { table.columns[at].kind.nullable(chance) })
        .collect();
    let (sql, key) = (table.sql(), table.column(key));
    format!(
        "insert into {sql} ({}) values ({}) on conflict do nothing; update {sql} set {key} = {to} where {key} = {from}",
        columns(table),
        row.join(", ")
    )
}

fn delete(chance: &mut Chance, table: &Table) -> String {
    format!("delete from {} t {}", table.sql(), rows(chance, table))
}

/// Notes what kind of statement it is, if it is committed.
pub fn said(kind: &str) -> String {
    format!("; insert into oracle.said values ('{kind}')")
}

/// Work that is undone within its statement, and work in its stead.
pub fn sub_transactions(chance: &mut Chance, tables: &[Table]) -> String {
    let [before, undone, instead] = [(); 3].map(|()| {
        let table = chance.pick(tables);
        if chance.one_in(3) { delete(chance, table) } else { insert(chance, table) }
    });
    format!(
        "do $do$ begin
             {before};
             begin {undone}; raise exception 'undone'; exception when raise_exception then {instead}; end{said};
         end $do$",
        said = said("sub-transaction")
    )
}

/// One table, several, or one partition. Who does it says so: no trigger tells a partition from its whole table.
pub fn truncate(chance: &mut Chance, tables: &[Table]) -> String {
    let table = chance.pick(tables);
    if !table.leaves.is_empty() && chance.one_in(2) {
        let leaf = chance.pick(&table.leaves);
        let sql = format!("{}.{}", name(&table.schema), name(leaf));
        return call_truncate(&table.number.to_string(), &quoted(leaf), &sql);
    }
    let mut emptied = vec![table];
    let other = chance.pick(tables);
    if chance.one_in(2) && other.number != table.number {
        emptied.push(other);
    }
    let numbers: Vec<String> = emptied.iter().map(|table| table.number.to_string()).collect();
    let names: Vec<String> = emptied.iter().map(|table| table.sql()).collect();
    call_truncate(&numbers.join(", "), "null", &names.join(", "))
}

fn call_truncate(numbers: &str, leaf: &str, tables: &str) -> String {
    format!("select oracle.truncate(array[{numbers}], array[{leaf}]::text[], {})", quoted(tables))
}

/// Many rows at once, whose events do not fit into one batch of the engine's; and what takes them away again.
pub fn many(chance: &mut Chance, tables: &[Table]) -> [String; 2] {
    let keyless: Vec<&Table> = tables.iter().filter(|table| table.key.is_empty()).collect();
    let table = chance.pick(&keyless);
    let count = chance.between(150, 600);
    // many small rows: what is large comes one by one
    let row: Vec<String> = table
        .columns
        .iter()
        .map(|column| if column.kind.is_large() { "null".to_owned() } else { column.kind.nullable(chance) })
        .collect();
    let row = row.join(", ");
    let insert = format!(
        "insert into {} ({}) select {row} from generate_series(1, {count}){}",
        table.sql(),
        columns(table),
        said("more than a batch")
    );
    [insert, format!("delete from {}", table.sql())]
}
