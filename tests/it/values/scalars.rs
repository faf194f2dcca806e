//! Values of scalar types, at random.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The enum among the scalars.
pub const ENUM: &str = r#"create type "Ünï Enum" as enum ('plain', '', 'a "b"', 'c, d', '{e}', '\f', 'null')"#;

type Texts = fn() -> BoxedStrategy<String>;

/// Types, and what they take.
pub const SCALARS: [(&str, Texts); 34] = [
    ("bool", || select(vec!["t", "f"]).prop_map(str::to_owned).boxed()),
    ("int2", || any::<i16>().prop_map(|number| number.to_string()).boxed()),
    ("int4", || any::<i32>().prop_map(|number| number.to_string()).boxed()),
    ("int8", || any::<i64>().prop_map(|number| number.to_string()).boxed()),
    ("oid", || any::<u32>().prop_map(|number| number.to_string()).boxed()),
    ("float4", || prop_oneof![any::<u32>().prop_map(f32::from_bits), -1e6..1e6_f32].prop_map(float).boxed()),
    ("float8", || prop_oneof![any::<u64>().prop_map(f64::from_bits), -1e6..1e6_f64].prop_map(float).boxed()),
    ("numeric", numeric),
    ("numeric(20,5)", || any::<i32>().prop_map(|number| format!("{}e-3", number)).boxed()),
    ("money", || any::<i32>().prop_map(|cents| (f64::from(cents) / 100.0).to_string()).boxed()),
    ("text", || text(40).boxed()),
    ("varchar", || text(12).boxed()),
    ("char(6)", || text(6).boxed()),
    (r#""Ünï Enum""#, || {
        select(vec!["plain", "", "a \"b\"", "c, d", "{e}", "\\f", "null"]).prop_map(str::to_owned).boxed()
    }),
    ("bytea", || vec(any::<u8>(), 0..20).prop_map(|bytes| format!("\\x{}", hex(&bytes, ""))).boxed()),
    ("uuid", || any::<[u8; 16]>().prop_map(|bytes| hex(&bytes, "")).boxed()),
    ("json", json),
    ("jsonb", json),
    ("date", || (1..=5_000_000_u32, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}")).boxed()),
    ("time", || time().boxed()),
    ("timetz", || (time(), zone()).prop_map(|(time, zone)| time + &zone).boxed()),
    ("timestamp", || timestamp(Just(String::new())).boxed()),
    ("timestamptz", || timestamp(zone()).boxed()),
    ("interval", || {
        (any::<[i16; 3]>(), select(vec!["", "-", "+"]), time())
            .prop_map(|([y, m, d], sign, time)| format!("{y} years {m} mons {d} days {sign}{time}"))
            .boxed()
    }),
    ("inet", || {
        prop_oneof![
            (any::<u32>(), 0..=32_u8).prop_map(|(bits, mask)| format!("{}/{mask}", Ipv4Addr::from_bits(bits))),
            (any::<u128>(), 0..=128_u8).prop_map(|(bits, mask)| format!("{}/{mask}", Ipv6Addr::from_bits(bits))),
        ]
        .boxed()
    }),
    ("macaddr", || any::<[u8; 6]>().prop_map(|bytes| hex(&bytes, ":")).boxed()),
    ("bit(5)", || "[01]{5}".boxed()),
    ("varbit", || "[01]{0,40}".boxed()),
    ("pg_lsn", || any::<u64>().prop_map(|lsn| format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)).boxed()),
    ("box", || any::<[i32; 4]>().prop_map(|[a, b, c, d]| format!("({a}.5,{b}e-3),({c},{d}e5)")).boxed()),
    ("tsvector", tsvector),
    ("numrange", || range(number_bound)),
    ("tstzrange", || range(|number| format!("\"{:04}-02-03 04:05:06.7+05:30\"", 1 + number.unsigned_abs() % 9999))),
    ("int4multirange", || {
        vec(range(|number| number.to_string()), 0..4)
            .prop_map(|ranges| {
                let ranges: Vec<String> = ranges.into_iter().filter(|range| range != "empty").collect();
                format!("{{{}}}", ranges.join(","))
            })
            .boxed()
    }),
];

fn float(number: impl std::fmt::LowerExp + Into<f64> + Copy) -> String {
    let wide: f64 = number.into();
    match wide {
        _ if wide.is_nan() => "NaN".to_owned(),
        _ if wide.is_infinite() => if wide > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        _ => format!("{number:e}"),
    }
}

fn numeric() -> BoxedStrategy<String> {
    prop_oneof![
        1 => select(vec!["NaN", "Infinity", "-Infinity", "-0.00"]).prop_map(str::to_owned),
        6 => "-?[0-9]{1,40}(\\.[0-9]{1,30})?",
        2 => "-?[0-9]{1,5}\\.[0-9]{1,5}e-?[0-9]{1,2}",
    ]
    .boxed()
}

/// Anything but the character 0, and often what means something to somebody on the way.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let marks = "{}()[]\"'\\,;: \n\t\r\u{1}\u{b}\u{1f}\u{7f}é\u{2028}🐘NULLnullt=>1.5e-";
    let marks: Vec<char> = marks.chars().collect();
    let character = prop_oneof![3 => select(marks), 1 => any::<char>()].prop_filter("is no text", |c| *c != '\0');
    prop_oneof![
        8 => vec(character, 0..=longest).prop_map(|all| all.into_iter().collect()),
        1 => select(vec!["NULL", "null", "", " ", "{}", "\\N"]).prop_map(str::to_owned),
    ]
}

fn json() -> BoxedStrategy<String> {
    let space = || select(vec!["", "", " ", "\n\t", " \r\n "]);
    let string = || text(8).prop_map(|text| serde_json::to_string(&text).unwrap());
    let numbers = vec!["null", "true", "false", "0", "-0", "1.50", "-12e3", "1E-5", "123456789012345678901234567890"];
    let leaf =
        prop_oneof![select(numbers).prop_map(str::to_owned), string(), Just("\"\\u00e9\\/\\ud83d\\udc18\"".to_owned())];
    let tree = leaf.prop_recursive(3, 12, 4, move |inner| {
        let member =
            (string(), space(), inner.clone()).prop_map(|(name, space, value)| format!("{name}{space}:{value}"));
        prop_oneof![
            (vec(inner, 0..4), space()).prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
            (vec(member, 0..4), space())
                .prop_map(|(items, space)| format!("{{{}{space}}}", items.join(&format!("{space},{space}")))),
        ]
    });
    (space(), tree, space()).prop_map(|(before, tree, after)| format!("{before}{tree}{after}")).boxed()
}

fn time() -> impl Strategy<Value = String> {
    (0..24, 0..60, 0..60, prop_oneof![Just(0), 0..1_000_000])
        .prop_map(|(hour, minute, second, micros)| format!("{hour:02}:{minute:02}:{second:02}.{micros:06}"))
}

fn zone() -> impl Strategy<Value = String> {
    (select(vec!['+', '-']), 0..16, 0..60).prop_map(|(sign, hours, minutes)| format!("{sign}{hours:02}:{minutes:02}"))
}

fn timestamp(zone: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let at = (1..=12, 1..=28, time(), zone);
    let year = prop_oneof![6 => 1..=2100, 1 => 2100..=290_000, 1 => -4700..=-1_i32];
    let moment = (year, at).prop_map(|(year, (month, day, time, zone)): (i32, _)| {
        let era = if year < 0 { " BC" } else { "" };
        format!("{:04}-{month:02}-{day:02} {time}{zone}{era}", year.abs())
    });
    prop_oneof![8 => moment, 1 => select(vec!["infinity", "-infinity"]).prop_map(str::to_owned)]
}

fn tsvector() -> BoxedStrategy<String> {
    let lexeme = text(8).prop_filter("is no lexeme", |text| !text.is_empty());
    let lexeme = (lexeme, vec((1..17_000_u32, select(vec!["", "A", "b"])), 0..3)).prop_map(|(text, positions)| {
        let positions: Vec<String> = positions.iter().map(|(at, weight)| format!("{at}{weight}")).collect();
        let colon = if positions.is_empty() { "" } else { ":" };
        format!("'{}'{colon}{}", text.replace('\\', "\\\\").replace('\'', "''"), positions.join(","))
    });
    vec(lexeme, 0..4).prop_map(|lexemes| lexemes.join(" ")).boxed()
}

fn number_bound(number: i32) -> String {
    format!("{}.{:03}", number / 1000, number.unsigned_abs() % 1000)
}

/// Ranges between bounds that rise with the number.
fn range(bound: fn(i32) -> String) -> BoxedStrategy<String> {
    let number = || prop_oneof![1 => Just(None::<i32>), 5 => (0..1_000_000).prop_map(Some)];
    let ends = (number(), number(), select(vec!["[)", "[]", "(]", "()"]));
    ends.prop_map(move |(one, other, ends)| {
        let (lower, upper) = match (one, other) {
            (Some(one), Some(other)) => (Some(one.min(other) % 5000), Some(one.max(other) % 5000 + 4999)),
            either => either,
        };
        let text = |number: Option<i32>| number.map_or(String::new(), bound);
        format!("{}{},{}{}", &ends[..1], text(lower), text(upper), &ends[1..])
    })
    .boxed()
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}
