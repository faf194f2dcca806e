//! Sessions and subscriptions that come and go. Each call is noted down in its own transaction, at its own place.

use super::chance::Chance;
use super::schema::{PINNED, Table};
use super::value::{name, quoted};

/// Notes down, in the transaction that makes it so, that a subscription takes effect: where its table has to be prepared first, that is
/// another one than the subscriber's.
pub const EFFECT: &str = "
    create function oracle.note_effect() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$ begin
        insert into oracle.audit (op, control)
        values ('EFFECT', jsonb_build_object('session', new.session_id, 'id', new.id));
        return new;
    end $$;
    create trigger oracle_effect after insert or update on event.subscription for each row
    when (not new.waiting and new.ended is null) execute function oracle.note_effect();";

/// One at a time changes a session: what a call found is then what it notes down.
pub fn alone(session: &str) -> String {
    format!("select pg_advisory_xact_lock(7, hashtext('{session}'))")
}

pub fn create(session: &str) -> String {
    format!("insert into oracle.audit (op, control) values ('CREATE', jsonb_build_object('session', '{session}'))")
}

pub fn delete(session: &str) -> String {
    format!(
        "with gone as (select event.session_delete('{session}'))
         insert into oracle.audit (op, control) select 'DELETE', jsonb_build_object('session', '{session}') from gone"
    )
}

/// One of the session's subscriptions ends, if it has any.
pub fn unsubscribe(chance: &mut Chance, session: &str) -> String {
    format!(
        "with one as materialized (select id from event.subscription where session_id = '{session}' and ended is null
                      order by relation, kind, attnum, key
                      offset {} % greatest((select count(*) from event.subscription where session_id = '{session}'), 1)
                      limit 1),
              gone as materialized (select id, event.unsubscribe(id) from one)
         insert into oracle.audit (op, control)
         select 'UNSUBSCRIBE', jsonb_build_object('session', '{session}', 'id', id) from gone",
        chance.below(1000)
    )
}

/// A subscription of any kind to anything.
pub fn subscribe(chance: &mut Chance, session: &str, table: &Table) -> String {
    let column = (!table.columns.is_empty()).then(|| chance.below(table.columns.len()));
    let kind = if table.key.is_empty() {
        chance.pick(&["table", "column"])
    } else {
        chance.pick(&["table", "column", "row", "row", "field", "field"])
    };
    subscribe_to(chance, session, table, kind, column.unwrap_or_default())
}

pub fn subscribe_to(chance: &mut Chance, session: &str, table: &Table, kind: &str, column: usize) -> String {
    let relation = format!("{}, {}", quoted(&table.schema), quoted(&table.name));
    let column = quoted(&table.columns[column].name);
    let values: Vec<String> = table.key.iter().map(|&at| table.columns[at].kind.value(chance)).collect();
    let names: Vec<String> = table.key.iter().map(|&at| quoted(&table.columns[at].name)).collect();
    let texts: Vec<String> = values
        .iter()
        .zip(&table.key)
        .map(|(value, &at)| match table.columns[at].kind.name {
            // its text has the zone's abbreviation in some styles, and that is not always read back as what it was
            "timestamptz" => format!("to_json({value}) #>> '{{}}'"),
            kind => format!("({value})::{kind}::text"),
        })
        .collect();
    let key = format!("array[{}]::text[], array[{}]::text[]", names.join(", "), texts.join(", "));
    let target = match kind {
        "table" => format!("meta.relation_id({relation})"),
        "column" => format!("meta.column_id({relation}, {column})"),
        "row" => format!("meta.row_id({relation}, {key})"),
        _ => format!("meta.field_id({relation}, {key}, {column})"),
    };
    let mut noted = format!("'session', '{session}', 'kind', '{kind}', 'id', id");
    if kind == "column" || kind == "field" {
        noted.push_str(&format!(", 'column', {column}"));
    }
    if kind == "row" || kind == "field" {
        noted.push_str(&format!(", 'key', oracle.key_{}({})", table.number, values.join(", ")));
    }
    format!(
        "with made as (select event.subscribe_{kind}('{session}', {target}) as id)
         insert into oracle.audit (relation, op, control)
         select {}, 'SUBSCRIBE', jsonb_build_object({noted}) from made",
        table.number
    )
}

/// The function that gives the texts by which a row of the table is found.
pub fn key_function(table: &Table) -> String {
    if table.key.is_empty() {
        return String::new();
    }
    let parameters: Vec<String> =
        table.key.iter().map(|&at| format!("{} {}", name(&format!("k{at}")), table.columns[at].kind.name)).collect();
    let texts: Vec<String> = table.key.iter().map(|&at| table.sought(at, &format!("\"k{at}\""))).collect();
    format!(
        "create function oracle.key_{}({}) returns text[] language plpgsql {PINNED} as
         $$ begin return array[{}]::text[]; end $$;\n",
        table.number,
        parameters.join(", "),
        texts.join(", ")
    )
}
