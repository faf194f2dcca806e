//! Types made of types, at random, and values of them in the form in which they are typed in.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::scalars::{ENUM, SCALARS};
use super::server_types::{array_text, composite_text};

/// How a type is made; a scalar is its place in [`SCALARS`].
#[derive(Debug, Clone)]
pub enum Shape {
    Scalar(usize),
    Array(Box<Shape>),
    Composite(Vec<Shape>),
    Domain(Box<Shape>),
}

/// Any type, three levels deep at most.
pub fn shape() -> impl Strategy<Value = Shape> {
    (0..SCALARS.len()).prop_map(Shape::Scalar).prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            2 => inner.clone().prop_map(|element| Shape::Array(Box::new(element))),
            2 => vec(inner.clone(), 1..4).prop_map(Shape::Composite),
            1 => inner.prop_map(|base| Shape::Domain(Box::new(base))),
        ]
    })
}

/// A type that has a name in the database.
pub struct Declared {
    pub name: String,
    delimiter: char,
    made_of: MadeOf,
}

enum MadeOf {
    Scalar(usize),
    Array(Box<Declared>),
    Composite(Vec<Declared>),
    Domain(Box<Declared>),
}

/// The statements that make types, in the order in which they need each other.
pub struct Declarations {
    pub sql: String,
    count: usize,
}

impl Declarations {
    pub fn new() -> Declarations {
        Declarations { sql: format!("{ENUM};\n"), count: 0 }
    }

    pub fn declare(&mut self, shape: &Shape) -> Declared {
        match shape {
            Shape::Scalar(at) => {
                let name = SCALARS[*at].0.to_owned();
                let delimiter = if name == "box" { ';' } else { ',' };
                Declared { name, delimiter, made_of: MadeOf::Scalar(*at) }
            }
            Shape::Array(element) => {
                let mut element = self.declare(element);
                if matches!(element.made_of, MadeOf::Array(_)) {
                    // There are no arrays of arrays but by way of a domain.
                    element = self.domain(element);
                }
                let name = format!("{}[]", element.name);
                Declared { name, delimiter: element.delimiter, made_of: MadeOf::Array(Box::new(element)) }
            }
            Shape::Composite(attributes) => {
                let attributes: Vec<Declared> = attributes.iter().map(|shape| self.declare(shape)).collect();
                let name = self.next_name();
                let list: Vec<String> =
                    attributes.iter().enumerate().map(|(at, of)| format!("\"A {at}\" {}", of.name)).collect();
                let _ = writeln!(self.sql, "create type {name} as ({});", list.join(", "));
                Declared { name, delimiter: ',', made_of: MadeOf::Composite(attributes) }
            }
            Shape::Domain(base) => {
                let base = self.declare(base);
                self.domain(base)
            }
        }
    }

    fn domain(&mut self, base: Declared) -> Declared {
        let name = self.next_name();
        let _ = writeln!(self.sql, "create domain {name} as {};", base.name);
        Declared { name, delimiter: base.delimiter, made_of: MadeOf::Domain(Box::new(base)) }
    }

    fn next_name(&mut self) -> String {
        self.count += 1;
        format!("\"Type {}\"", self.count)
    }
}

impl Declared {
    /// Values of the type.
    pub fn text(&self) -> BoxedStrategy<String> {
        match &self.made_of {
            MadeOf::Scalar(at) => SCALARS[*at].1(),
            MadeOf::Domain(base) => base.text(),
            MadeOf::Composite(attributes) => {
                let fields: Vec<_> = attributes.iter().map(Declared::nullable).collect();
                fields.prop_map(|fields| composite_text(&borrowed(&fields))).boxed()
            }
            MadeOf::Array(element) => array(element.nullable(), element.delimiter),
        }
    }

    /// The same, and NULL.
    pub fn nullable(&self) -> BoxedStrategy<Option<String>> {
        prop_oneof![1 => Just(None), 6 => self.text().prop_map(Some)].boxed()
    }
}

fn borrowed(texts: &[Option<String>]) -> Vec<Option<&str>> {
    texts.iter().map(Option::as_deref).collect()
}

/// Arrays of up to three dimensions, which need not count from 1.
fn array(element: BoxedStrategy<Option<String>>, delimiter: char) -> BoxedStrategy<String> {
    let lengths = prop_oneof![
        1 => Just(vec![]),
        5 => vec(1..4_usize, 1),
        2 => vec(1..3_usize, 2),
        1 => vec(1..3_usize, 3),
    ];
    let with_bounds = select(vec![None, None, Some(-1), Some(0), Some(7)]);
    (lengths, with_bounds)
        .prop_flat_map(move |(lengths, lower)| {
            let count = lengths.iter().product::<usize>();
            (Just(lengths), Just(lower), vec(element.clone(), count))
        })
        .prop_map(move |(lengths, lower, elements)| {
            if lengths.is_empty() {
                return "{}".to_owned();
            }
            let bounds = lower.map_or(String::new(), |lower: i64| {
                let bound = |length: &usize| format!("[{lower}:{}]", lower + *length as i64 - 1);
                lengths.iter().map(bound).collect::<String>() + "="
            });
            bounds + &dimensions(&lengths, &borrowed(&elements), delimiter)
        })
        .boxed()
}

fn dimensions(lengths: &[usize], elements: &[Option<&str>], delimiter: char) -> String {
    match lengths {
        [] | [_] => array_text(elements, delimiter),
        [_, inner @ ..] => {
            let size = inner.iter().product::<usize>();
            let rows: Vec<String> = elements.chunks(size).map(|row| dimensions(inner, row, delimiter)).collect();
            format!("{{{}}}", rows.join(&delimiter.to_string()))
        }
    }
}
