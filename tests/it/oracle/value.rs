//! Types of columns and values for them, as SQL writes them.

use super::chance::Chance;

/// Texts that something on the way may trip over.
const TEXTS: [&str; 16] = [
    "",
    " ",
    "a",
    "it's",
    "a\"b",
    "back\\slash",
    "{\"a\": 1}",
    "{1,2}",
    "(1,2)",
    "null",
    "NULL",
    "tab\tnew\nline\r",
    "Größe № 7",
    "🐘",
    "\u{1}\u{7f}\u{2028}",
    "x, y; -- z",
];

/// A type, and how a value of it is drawn.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    draw: fn(&mut Chance) -> String,
}

impl Kind {
    /// An expression for a value that is not NULL.
    pub fn value(&self, chance: &mut Chance) -> String {
        (self.draw)(chance)
    }

    /// The same, or NULL.
    pub fn nullable(&self, chance: &mut Chance) -> String {
        if chance.one_in(8) { "null".to_owned() } else { self.value(chance) }
    }

    /// Whether its values may be of many thousand bytes.
    pub fn is_large(&self) -> bool {
        self.name == "oracle.large"
    }

    /// Whether equal values may be spelled in more than one way.
    pub fn is_numeric(&self) -> bool {
        self.name == "numeric"
    }
}

/// Keys come from a few values, so that rows meet each other.
pub static KEYS: [Kind; 8] = [
    Kind { name: "int4", draw: |chance| (chance.below(14) as i64 - 2).to_string() },
    Kind { name: "int8", draw: |chance| format!("{}::int8", 9_007_199_254_740_990 + chance.below(12)) },
    Kind { name: "text", draw: |chance| text(chance) },
    Kind { name: "varchar(9)", draw: |chance| quoted(&format!("k{}", chance.below(12))) },
    Kind {
        name: "numeric",
        draw: |chance| format!("{}::numeric", chance.pick(&["0", "1", "1.0", "1.00", "-2.50", "1e20", "'NaN'"])),
    },
    Kind { name: "uuid", draw: |chance| format!("'00000000-0000-4000-8000-00000000000{:x}'::uuid", chance.below(12)) },
    Kind { name: "timestamptz", draw: |chance| format!("timestamptz '2026-11-23 04:51:{:02}.5+02'", chance.below(12)) },
    Kind { name: "date", draw: |chance| format!("date '2026-02-{:02}'", 1 + chance.below(12)) },
];

/// What the other columns are of.
pub static KINDS: [Kind; 18] = [
    Kind { name: "int4", draw: |chance| (chance.below(5) as i64 - 1).to_string() },
    Kind { name: "int8", draw: |chance| format!("{}::int8", i64::MIN / 2 + chance.below(3) as i64) },
    Kind {
        name: "numeric",
        draw: |chance| {
            format!("{}::numeric", chance.pick(&["0", "1.0", "1.00", "-12345678901234567890.12345", "'NaN'"]))
        },
    },
    Kind {
        name: "float8",
        draw: |chance| format!("{}::float8", chance.pick(&["0", "0.1", "1e300", "-1.5e-7", "'Infinity'", "'NaN'"])),
    },
    Kind { name: "bool", draw: |chance| chance.pick(&["true", "false"]).to_string() },
    Kind { name: "text", draw: |chance| text(chance) },
    Kind { name: "char(5)", draw: |chance| quoted(chance.pick::<&str>(&["", "ab", "abcde"])) },
    Kind { name: "bytea", draw: |chance| format!("'\\x{:04x}'::bytea", chance.below(4)) },
    Kind {
        name: "date",
        draw: |chance| chance.pick(&["date '2026-02-28'", "date 'infinity'", "date '0044-03-15 BC'"]).to_string(),
    },
    Kind {
        name: "timestamptz",
        draw: |chance| {
            chance.pick(&["timestamptz '2026-11-23 04:51:07.123456+02'", "timestamptz '-infinity'"]).to_string()
        },
    },
    Kind {
        name: "interval",
        draw: |chance| chance.pick(&["interval '1 day -2 hours'", "interval '0'", "interval '13 months'"]).to_string(),
    },
    Kind {
        name: "jsonb",
        draw: |chance| {
            chance
                .pick(&["jsonb '{\"a\": [1, null, \"x\"], \"b\": {}}'", "jsonb 'null'", "jsonb '[]'", "jsonb '1.50'"])
                .to_string()
        },
    },
    Kind { name: "json", draw: |chance| chance.pick(&["json '{\"b\":1,\"a\":[true]}'", "json '\"x\"'"]).to_string() },
    Kind {
        name: "int4[]",
        draw: |chance| {
            chance
                .pick(&["'{}'::int4[]", "'{1,null,3}'::int4[]", "'[0:1]={7,8}'::int4[]", "'{{1,2},{3,4}}'::int4[]"])
                .to_string()
        },
    },
    Kind { name: "text[]", draw: |chance| format!("array[{}, null, {}]::text[]", text(chance), text(chance)) },
    Kind {
        name: "oracle.mood",
        draw: |chance| chance.pick(&["'so so'::oracle.mood", "'\"Ça va\"'::oracle.mood"]).to_string(),
    },
    Kind { name: "oracle.pair", draw: |chance| format!("row({}, {})::oracle.pair", chance.below(3), text(chance)) },
    // kept out of line: an update of another column does not carry it
    Kind { name: "oracle.large", draw: large },
];

fn text(chance: &mut Chance) -> String {
    quoted(chance.pick::<&str>(&TEXTS))
}

fn large(chance: &mut Chance) -> String {
    let length = *chance.pick(&[1, 80, 90, 300]);
    format!("(select string_agg(md5(({} + g)::text), '') from generate_series(1, {length}) g)", chance.below(1000))
}

/// The types that are not PostgreSQL's own. A domain, so that the column's storage can be set by what it is of.
pub const TYPES: &str = "create type oracle.mood as enum ('so so', '\"Ça va\"');
    create type oracle.pair as (a int, \"b c\" text);
    create domain oracle.large as text;";

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A name as SQL writes it.
pub fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
