//! Two tables, and rows of them: generated, the same each time.

use std::sync::Arc;

use tidewire::catalog::{Description, Relation};
use tidewire::diff::RowImage;
use tidewire::pgoutput::{Datum, Message, RelationBody, RelationColumn, decode};

use super::encoder::encode;

/// Rows a case has: its figures are the mean of them.
pub const ROWS: u64 = 64;

/// A column's name, and its type's oid; the element's, if that is an array.
type Column = (&'static str, u32, Option<u32>);

const PERSON: [Column; 3] = [("id", 23, None), ("name", 25, None), ("is_member", 16, None)];

const PURCHASE: [Column; 10] = [
    ("id", 20, None),
    ("customer_id", 23, None),
    ("status", 25, None),
    ("note", 25, None),
    ("total", 1700, None),
    ("is_paid", 16, None),
    ("placed_at", 1184, None),
    ("tags", 1009, Some(25)),
    ("details", 3802, None),
    ("changed_at", 1184, None),
];

/// Places in `PURCHASE`.
pub const STATUS: usize = 2;
pub const NOTE: usize = 3;
pub const DETAILS: usize = 8;
pub const CHANGED_AT: usize = 9;

/// A table of 3 columns.
pub fn person() -> Arc<Relation> {
    relation(16_385, "person", &PERSON)
}

/// A table of 10 columns of the usual types.
pub fn purchase() -> Arc<Relation> {
    relation(16_392, "purchase", &PURCHASE)
}

/// As the engine makes it: of what the stream and `event.watched.description` say.
fn relation(oid: u32, name: &str, columns: &[Column]) -> Arc<Relation> {
    let described = columns.iter().zip(1..).map(|((name, type_oid, element), attnum)| {
        let shape = match element {
            Some(element) => format!(r#"{{"array":{{"scalar":{element}}},"delimiter":","}}"#),
            None => format!(r#"{{"scalar":{type_oid}}}"#),
        };
        format!(r#"{{"name":"{name}","attnum":{attnum},"type":{type_oid},"shape":{shape}}}"#)
    });
    let natts = columns.len();
    let described = described.collect::<Vec<_>>().join(",");
    let description =
        format!(r#"{{"schema":"public","name":"{name}","natts":{natts},"key":[1],"columns":[{described}]}}"#);
    let description: Description = serde_json::from_str(&description).unwrap();
    let columns = columns.iter().map(|&(name, type_oid, _)| RelationColumn { name, type_oid }).collect();
    let body = RelationBody { oid, schema: "public", name, identity: b'f', columns };
    Arc::new(description.join(oid, &body, &description.number(&body, Some(&description))))
}

/// A row of `person`.
pub fn person_row(id: u64) -> Vec<String> {
    let mut random = Random::of(id);
    vec![id.to_string(), format!("{} {}", random.word(), random.word()), random.one_of(["t", "f"]).to_owned()]
}

/// A row of `purchase`. The text of some needs escapes.
pub fn purchase_row(id: u64) -> Vec<String> {
    let mut random = Random::of(id);
    let placed_at = random.timestamp();
    let status = random.one_of(["open", "packed", "sent", "delivered"]);
    let note: Vec<&str> = (0..4 + random.below(8)).map(|_| random.word()).collect();
    let details = format!(
        r#"{{"source": "{}", "items": [{{"sku": "{}-{}", "count": {}}}, {{"sku": "{}", "count": 1}}], "coupon": null}}"#,
        random.one_of(["web", "shop", "phone"]),
        random.sku(),
        random.below(10_000),
        1 + random.below(9),
        random.sku(),
    );
    vec![
        id.to_string(),
        (1 + random.below(50_000)).to_string(),
        status.to_owned(),
        note.join(" "),
        format!("{}.{:02}", random.below(2_000), random.below(100)),
        random.one_of(["t", "f"]).to_owned(),
        placed_at,
        format!("{{{},{}}}", random.one_of(["gift", "express"]), random.one_of(["new", "\"re order\""])),
        details,
        random.timestamp(),
    ]
}

/// The row with other values in these columns.
pub fn changed(row: &[String], columns: &[usize]) -> Vec<String> {
    let mut row = row.to_vec();
    for &column in columns {
        row[column] = match column {
            STATUS => format!("{}, again", row[column]),
            CHANGED_AT => "2026-11-23 04:51:07.123456+00".to_owned(),
            _ => row[column].repeat(2),
        };
    }
    row
}

/// The values as a message carries them.
pub fn values(row: &[String]) -> RowImage<'_> {
    row.iter().map(|value| Datum::Text(value.as_bytes())).collect()
}

pub fn insert(relation: &Relation, row: &[String]) -> Vec<u8> {
    encode(&Message::Insert { relation: relation.oid, new: values(row) })
}

/// An update with its whole old row. The new one comes without its large values in `unchanged`.
pub fn update(relation: &Relation, old: &[String], new: &[String], unchanged: &[usize]) -> Vec<u8> {
    let mut new = values(new);
    for &column in unchanged {
        new[column] = Datum::Unchanged;
    }
    encode(&Message::Update { relation: relation.oid, old: Some(values(old)), whole: true, new })
}

pub fn delete(relation: &Relation, row: &[String]) -> Vec<u8> {
    encode(&Message::Delete { relation: relation.oid, old: values(row), whole: true })
}

/// The rows of an update's message, which is kept for good.
pub fn updated_rows(message: Vec<u8>) -> (RowImage<'static>, RowImage<'static>) {
    match decode(message.leak()).unwrap() {
        Message::Update { old: Some(old), new, .. } => (old, new),
        other => panic!("{other:?}"),
    }
}

/// The row of an insert's message, which is kept for good.
pub fn inserted_row(message: Vec<u8>) -> RowImage<'static> {
    match decode(message.leak()).unwrap() {
        Message::Insert { new, .. } => new,
        other => panic!("{other:?}"),
    }
}

const WORDS: [&str; 16] = [
    "Pablo",
    "Sandy",
    "Nancy",
    "parcel",
    "leave",
    "with",
    "the",
    "neighbour",
    "Straße",
    "ring",
    "\"twice\"",
    "at",
    "back\\yard",
    "before",
    "noon,",
    "please\n",
];

/// A xorshift generator (Marsaglia, "Xorshift RNGs", 2003): the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        Random((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<const N: usize>(&mut self, of: [&'static str; N]) -> &'static str {
        of[self.below(N as u64) as usize]
    }

    fn word(&mut self) -> &'static str {
        self.one_of(WORDS)
    }

    /// Without what JSON would escape.
    fn sku(&mut self) -> &'static str {
        self.one_of(["lamp", "chair", "desk", "shelf", "mirror", "carpet", "hook", "candle"])
    }

    fn timestamp(&mut self) -> String {
        let (month, day) = (1 + self.below(12), 1 + self.below(28));
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        format!("2026-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:06}+00", self.below(1_000_000))
    }
}
