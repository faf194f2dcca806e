//! The shapes of PostgreSQL's own types, which have the same OIDs in every database.

use std::sync::Arc;

use super::shape::Shape;
use Scalar::{Bool, Int2Vector, Json, Jsonb, Number, OidVector, Text, Timestamp, TimestampTz};

/// A [`Shape`] that a constant can hold.
#[derive(Debug, Clone, Copy)]
enum Scalar {
    Bool,
    Number,
    Text,
    Json,
    Jsonb,
    Timestamp,
    TimestampTz,
    Int2Vector,
    OidVector,
}

/// OID of box, the one type whose arrays have another delimiter than the comma.
const BOX: u32 = 603;

/// Type, its array type (0: none), shape: `pg_type` of PostgreSQL 15 (`src/include/catalog/pg_type.dat`) less
/// pseudo-types and the row types of system catalogs. For a type that a later version adds there is no answer.
#[rustfmt::skip]
const TYPES: &[(u32, u32, Scalar)] = &[
    (16, 1000, Bool), // bool
    (17, 1001, Text), // bytea
    (18, 1002, Text), // char
    (19, 1003, Text), // name
    (20, 1016, Number), // int8
    (21, 1005, Number), // int2
    (22, 1006, Int2Vector), // int2vector
    (23, 1007, Number), // int4
    (24, 1008, Text), // regproc
    (25, 1009, Text), // text
    (26, 1028, Text), // oid
    (27, 1010, Text), // tid
    (28, 1011, Text), // xid
    (29, 1012, Text), // cid
    (30, 1013, OidVector), // oidvector
    (114, 199, Json), // json
    (142, 143, Text), // xml
    (194, 0, Text), // pg_node_tree
    (600, 1017, Text), // point
    (601, 1018, Text), // lseg
    (602, 1019, Text), // path
    (603, 1020, Text), // box
    (604, 1027, Text), // polygon
    (628, 629, Text), // line
    (650, 651, Text), // cidr
    (700, 1021, Number), // float4
    (701, 1022, Number), // float8
    (718, 719, Text), // circle
    (774, 775, Text), // macaddr8
    (790, 791, Text), // money
    (829, 1040, Text), // macaddr
    (869, 1041, Text), // inet
    (1033, 1034, Text), // aclitem
    (1042, 1014, Text), // bpchar
    (1043, 1015, Text), // varchar
    (1082, 1182, Text), // date
    (1083, 1183, Text), // time
    (1114, 1115, Timestamp), // timestamp
    (1184, 1185, TimestampTz), // timestamptz
    (1186, 1187, Text), // interval
    (1266, 1270, Text), // timetz
    (1560, 1561, Text), // bit
    (1562, 1563, Text), // varbit
    (1700, 1231, Number), // numeric
    (1790, 2201, Text), // refcursor
    (2202, 2207, Text), // regprocedure
    (2203, 2208, Text), // regoper
    (2204, 2209, Text), // regoperator
    (2205, 2210, Text), // regclass
    (2206, 2211, Text), // regtype
    (2950, 2951, Text), // uuid
    (2970, 2949, Text), // txid_snapshot
    (3220, 3221, Text), // pg_lsn
    (3361, 0, Text), // pg_ndistinct
    (3402, 0, Text), // pg_dependencies
    (3614, 3643, Text), // tsvector
    (3615, 3645, Text), // tsquery
    (3642, 3644, Text), // gtsvector
    (3734, 3735, Text), // regconfig
    (3769, 3770, Text), // regdictionary
    (3802, 3807, Jsonb), // jsonb
    (3904, 3905, Text), // int4range
    (3906, 3907, Text), // numrange
    (3908, 3909, Text), // tsrange
    (3910, 3911, Text), // tstzrange
    (3912, 3913, Text), // daterange
    (3926, 3927, Text), // int8range
    (4072, 4073, Text), // jsonpath
    (4089, 4090, Text), // regnamespace
    (4096, 4097, Text), // regrole
    (4191, 4192, Text), // regcollation
    (4451, 6150, Text), // int4multirange
    (4532, 6151, Text), // nummultirange
    (4533, 6152, Text), // tsmultirange
    (4534, 6153, Text), // tstzmultirange
    (4535, 6155, Text), // datemultirange
    (4536, 6157, Text), // int8multirange
    (4600, 0, Text), // pg_brin_bloom_summary
    (4601, 0, Text), // pg_brin_minmax_multi_summary
    (5017, 0, Text), // pg_mcv_list
    (5038, 5039, Text), // pg_snapshot
    (5069, 271, Text), // xid8
    (2275, 1263, Text), // cstring, itself a pseudo-type; its array is not
];

impl Shape {
    /// The shape of a scalar type of PostgreSQL's own, or of its array type, so that a value can be written even when
    /// the catalog no longer knows its column; `None` for a type that is not built in.
    pub fn builtin(type_oid: u32) -> Option<Shape> {
        if type_oid == 0 {
            return None;
        }
        TYPES.iter().find_map(|(oid, array, scalar)| {
            if *oid == type_oid {
                Some(scalar.shape())
            } else if *array == type_oid {
                let delimiter = if *oid == BOX { b';' } else { b',' };
                Some(Shape::Array { element: Arc::new(scalar.shape()), delimiter })
            } else {
                None
            }
        })
    }
}

impl Scalar {
    fn shape(self) -> Shape {
        match self {
            Bool => Shape::Bool,
            Number => Shape::Number,
            Text => Shape::Text,
            Json => Shape::Json,
            Jsonb => Shape::Jsonb,
            Timestamp => Shape::Timestamp,
            TimestampTz => Shape::TimestampTz,
            Int2Vector => Shape::Vector(Arc::new(Shape::Number)),
            OidVector => Shape::Vector(Arc::new(Shape::Text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_oid_stands_for_two_types() {
        let mut oids: Vec<u32> =
            TYPES.iter().flat_map(|(oid, array, _)| [*oid, *array]).filter(|oid| *oid != 0).collect();
        let count = oids.len();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), count);
    }

    #[test]
    fn an_array_type_holds_its_elements_shape() {
        for (oid, array, scalar) in TYPES.iter().filter(|(_, array, _)| *array != 0) {
            assert_eq!(Shape::builtin(*oid), Some(scalar.shape()));
            match Shape::builtin(*array) {
                Some(Shape::Array { element, delimiter }) => {
                    assert_eq!(*element, scalar.shape());
                    assert_eq!(delimiter == b';', *oid == BOX);
                }
                other => panic!("{array}: {other:?}"),
            }
        }
    }

    #[test]
    fn oid_and_money_are_strings_to_to_jsonb() {
        for oid in [26, 790] {
            assert_eq!(Shape::builtin(oid), Some(Shape::Text));
        }
        assert_eq!(Shape::builtin(23), Some(Shape::Number));
        assert_eq!(Shape::builtin(1231), Some(Shape::array_of(Shape::Number)));
    }

    #[test]
    fn other_types_are_not_built_in() {
        for oid in [0, 2249, 16384, u32::MAX] {
            assert_eq!(Shape::builtin(oid), None);
        }
    }
}
