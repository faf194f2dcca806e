//! The types of a server that a table's column can have, read from its catalog, and values of each.

use std::collections::BTreeMap;

use super::samples;
use crate::support::Client;

/// A type as the catalog describes it.
pub struct Type {
    /// As it is written in a statement.
    pub name: String,
    /// Its plain name; with its schema, unless that is PostgreSQL's own or public.
    pub key: String,
    pub kind: Kind,
}

pub enum Kind {
    Scalar,
    Array { element: u32, delimiter: char },
    Composite(Vec<u32>),
    Domain(u32),
}

/// Every type that a column can have, but for the row types of other people's tables.
pub struct ServerTypes {
    by_oid: BTreeMap<u32, Type>,
    /// For types that nobody has picked values for: what their input functions were seen to take.
    guessed: BTreeMap<u32, Vec<String>>,
    /// The last character that the database's encoding has; 0x7f where it has no idea.
    last_character: char,
}

/// Texts that one type or another takes.
const GUESSES: [&str; 12] = ["", "0", "1", "a", "{}", "()", "(0,0)", "[]", "1:1", "1/1", "2026-01-01", "00:00:00"];

/// Longer values stay out of arrays and composites, which would multiply them.
const INSIDE: usize = 10_000;

/// More rows of a composite tell nothing new.
const COMPOSITE_VALUES: usize = 24;

impl ServerTypes {
    /// Reads the catalog; needs a search path of pg_catalog alone, so that names come with their schema.
    pub async fn read(client: &Client) -> ServerTypes {
        let query = "select t.oid, format_type(t.oid, -1),
                            case when n.nspname in ('pg_catalog', 'public') then '' else n.nspname || '.' end || t.typname,
                            t.typtype, e.oid, e.typdelim, t.typbasetype,
                            (select string_agg(a.atttypid::text, ' ' order by a.attnum) from pg_attribute a
                             where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
                     from pg_type t join pg_namespace n on n.oid = t.typnamespace
                     left join pg_type e on e.typarray = t.oid
                     join pg_type p on p.oid = coalesce(e.oid, t.oid)
                     where p.typtype in ('b', 'd', 'e', 'r', 'm')
                        or p.typtype = 'c' and (n.nspname = 'public'
                           or n.nspname = 'meta' and exists (select from pg_class c where c.oid = p.typrelid and c.relkind = 'c'))
                     order by t.oid";
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<u32>().ok());
        let by_oid = client.rows(query).await.into_iter().map(|row| {
            let text = |at: usize| row[at].clone().unwrap_or_default();
            let kind = match (number(&row[4]), text(3).as_str()) {
                (Some(element), _) => Kind::Array { element, delimiter: text(5).chars().next().unwrap() },
                (None, "c") => Kind::Composite(text(7).split_whitespace().map(|oid| oid.parse().unwrap()).collect()),
                (None, "d") => Kind::Domain(number(&row[6]).unwrap()),
                _ => Kind::Scalar,
            };
            (number(&row[0]).unwrap(), Type { name: text(1), key: text(2), kind })
        });
        let by_oid: BTreeMap<u32, Type> = by_oid.collect();
        let last_character = match client.text("show server_encoding").await.as_str() {
            "UTF8" => char::MAX,
            "LATIN1" => '\u{ff}',
            _ => '\u{7f}',
        };
        let guessed = guess(client, &by_oid).await;
        ServerTypes { by_oid, guessed, last_character }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Type)> {
        self.by_oid.iter().map(|(oid, of)| (*oid, of))
    }

    /// Whether PostgreSQL's JSON of the type has one spelling only: no container, no white space of the user's.
    pub fn is_scalar(&self, oid: u32) -> bool {
        match &self.by_oid[&oid] {
            Type { kind: Kind::Domain(base), .. } => self.is_scalar(*base),
            Type { kind: Kind::Scalar, key, .. } => {
                !["json", "jsonb", "int2vector", "oidvector", "hstore"].contains(&key.as_str())
            }
            _ => false,
        }
    }

    /// Values of the type, in the form in which they are typed in; `None` if nobody has picked any.
    pub fn texts(&self, oid: u32) -> Option<Vec<String>> {
        let of = &self.by_oid[&oid];
        if let Some(picked) = samples::of(&of.key).filter(|_| !self.guessed.contains_key(&oid)) {
            return Some(picked.into_iter().filter(|text| self.fits(text)).collect());
        }
        match &of.kind {
            Kind::Scalar => self.guessed.get(&oid).cloned(),
            Kind::Domain(base) => self.texts(*base),
            Kind::Array { element, delimiter } => Some(array_texts(&self.inside(*element)?, *delimiter)),
            Kind::Composite(attributes) => {
                let fields: Vec<_> = attributes.iter().map(|oid| self.inside(*oid)).collect::<Option<_>>()?;
                Some(composite_texts(&fields))
            }
        }
    }

    fn inside(&self, oid: u32) -> Option<Vec<String>> {
        Some(self.texts(oid)?.into_iter().filter(|text| text.len() <= INSIDE).collect())
    }

    fn fits(&self, text: &str) -> bool {
        // An escape in JSON asks for a character too.
        let is_unicode = self.last_character == char::MAX;
        text.chars().all(|character| character <= self.last_character) && (is_unicode || !text.contains("\\u"))
    }
}

/// Tries what types take that nobody has picked values for. A server without XML takes none for that.
async fn guess(client: &Client, types: &BTreeMap<u32, Type>) -> BTreeMap<u32, Vec<String>> {
    let mut guessed = BTreeMap::new();
    for (oid, of) in types {
        let is_unknown = samples::of(&of.key).is_none() || of.key == "xml";
        let is_without_input = samples::FROM_THE_CATALOG.iter().any(|(key, _)| *key == of.key);
        if !matches!(of.kind, Kind::Scalar) || !is_unknown || is_without_input {
            continue;
        }
        let mut taken = Vec::new();
        for text in GUESSES {
            if client.try_sql(&format!("select {}::{}", literal(text), of.name)).await.is_ok() {
                taken.push(text.to_owned());
            }
        }
        if of.key == "xml" && !taken.is_empty() {
            continue;
        }
        assert!(!taken.is_empty() || of.key == "xml", "no value is known of type {}: pick some in samples.rs", of.name);
        guessed.insert(*oid, taken);
    }
    guessed
}

/// A text as a literal. The session must have `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An array as `array_in` reads it.
pub fn array_text(elements: &[Option<&str>], delimiter: char) -> String {
    let element = |element: &Option<&str>| match element {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(&delimiter.to_string()))
}

/// A composite as `record_in` reads it.
pub fn composite_text(fields: &[Option<&str>]) -> String {
    let field = |field: &Option<&str>| match field {
        None => String::new(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")),
    };
    format!("({})", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

/// Arrays of all shapes: empty, with NULLs, of several dimensions, counting from elsewhere than 1.
fn array_texts(elements: &[String], delimiter: char) -> Vec<String> {
    let mut all: Vec<Option<&str>> = elements.iter().map(|text| Some(text.as_str())).collect();
    all.push(None);
    let (first, last) = (all[0], all[all.len().saturating_sub(2)]);
    let one = |elements: &[Option<&str>]| array_text(elements, delimiter);
    let of = |rows: &[String]| format!("{{{}}}", rows.join(&delimiter.to_string()));
    vec![
        "{}".to_owned(),
        one(&all),
        one(&[None]),
        of(&[one(&[first, None]), one(&[last, first])]),
        format!("[-1:0]={}", one(&[last, None])),
        format!("[0:1][5:5]={}", of(&[one(&[first]), one(&[None])])),
        format!("{{{{{{{{{{{}}}}}}}}}}}", one(&[last, first])),
    ]
}

/// Composites with each value of each attribute, and NULLs in turns.
fn composite_texts(fields: &[Vec<String>]) -> Vec<String> {
    let longest = fields.iter().map(Vec::len).max().unwrap_or(0).min(COMPOSITE_VALUES);
    let nulls = vec![None; fields.len()];
    let rows = (0..longest).map(|row| {
        let field = |(at, texts): (usize, &Vec<String>)| match (row + at) % 5 {
            4 => None,
            _ => texts.get((row + at) % texts.len().max(1)).cloned(),
        };
        fields.iter().enumerate().map(field).collect()
    });
    let rows = rows.chain([nulls]);
    rows.map(|row: Vec<Option<String>>| composite_text(&row.iter().map(Option::as_deref).collect::<Vec<_>>())).collect()
}
