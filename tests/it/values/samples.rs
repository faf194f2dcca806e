//! Values picked by hand: for each type those at its edges, in the form in which they are typed in.

/// Types whose values can be had from the catalog alone, and a query for one.
pub const FROM_THE_CATALOG: [(&str, &str); 4] = [
    ("pg_node_tree", "(select adbin from pg_attrdef where adrelid = 'public.made'::regclass)"),
    ("pg_ndistinct", "(select stxdndistinct from pg_statistic_ext_data)"),
    ("pg_dependencies", "(select stxddependencies from pg_statistic_ext_data)"),
    ("pg_mcv_list", "(select stxdmcv from pg_statistic_ext_data)"),
];

/// What the samples below speak of, and types of the test's own: enums, ranges, domains over everything, composites in
/// composites.
pub const SETUP: &str = r#"
    create role "Röle, ""odd""";
    create schema "Odd Schema";
    create table public."Odd Table" (id int);
    create table public.made (a int default 7 + 8, b int);
    insert into public.made select i % 10, i % 20 from generate_series(1, 200) i;
    create statistics public.made (ndistinct, dependencies, mcv) on a, b from public.made;
    analyze public.made;

    create type public.mood as enum ('sad', 'so, so', 'hap"py', 'Ünï', '');
    create type public.floatrange as range (subtype = float8);
    create type public.textrange as range (subtype = text, collation = "C");
    create type public.nothing as ();
    create type public.pair as (a int, b text);
    create type public."Odd Type" as ("Key one" public.pair, list int[], "q""uote" timestamptz, doc jsonb, m public.mood);
    create type public.nested as (pairs public.pair[], odd public."Odd Type", odds public."Odd Type"[], f float8, b box[]);
    create table public.holder (a int, gone text, b text[], c public.pair);
    alter table public.holder drop column gone;
    create table public.holders (h public.holder, all_of_them public.holder[]);

    create domain public.positive as int check (value > 0);
    create domain public.more_positive as public.positive check (value > 1);
    create domain public.truth as bool;
    create domain public.stamp as timestamptz;
    create domain public.doc as json;
    create domain public.docs as json[];
    create domain public.boxes as box[];
    create domain public.a_box as box;
    create domain public.numbers as numeric[];
    create domain public.padded as char(5);
    create domain public.code as varchar(7);
    create domain public.price as numeric(12, 3);
    create domain public.flags as bit(3);
    create domain public.seconds as timestamptz(0);
    create domain public.pair_domain as public.pair check ((value).a is distinct from 999);
    create domain public.pairs as public.pair[];
    create domain public.nested_domain as public.nested;
    create domain public.mood_domain as public.mood;
    create domain public.span as int4range;
    create type public.of_domains as (p public.positive, d public.doc, ps public.pairs, b public.a_box[], s public.stamp[]);
"#;

/// The values of a type by its plain name; `None` where none were picked. NULL comes by itself.
pub fn of(key: &str) -> Option<Vec<String>> {
    let texts: &[&str] = match key {
        // Their input functions refuse everything, and nothing in SQL makes one.
        "gtsvector" | "ghstore" | "ltree_gist" | "pg_brin_bloom_summary" | "pg_brin_minmax_multi_summary" => &[],
        "bool" => &["t", "f"],
        "int2" => &["0", "-1", "32767", "-32768"],
        "int4" => &["0", "-1", "2147483647", "-2147483648"],
        "int8" => &["0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993"],
        "float4" => &[
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "16777216",
            "1e10",
            "3.4028235e38",
            "1e-45",
            "1.1754944e-38",
            "NaN",
            "Infinity",
            "-Infinity",
            "1234567.8",
            "1e-5",
            "123456.7",
        ],
        "float8" => &[
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "1e300",
            "-1e300",
            "5e-324",
            "1.7976931348623157e308",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e15",
            "1e16",
            "123456789012345680",
            "0.0001",
            "1e-5",
            "1.5e-10",
            "9007199254740993",
            "0.30000000000000004",
        ],
        "numeric" => &[
            "0",
            "-0.00",
            "1.50",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-20",
            "-1e-20",
            "1e20",
            "1e5000",
            "1e-5000",
            "123456789012345678901234567890.123456789012345678901234567890",
            "0.000",
            "100",
            "-12345.678900",
        ],
        "ean13" | "isbn13" => &["978-0-393-04002-9"],
        "isbn" => &["0-393-04002-X"],
        "ismn" | "ismn13" => &["979-0-2600-0043-8"],
        "issn" | "issn13" => &["1436-4522"],
        "upc" => &["220356483481"],
        "money" => &["0", "-0.01", "1234.56", "-92233720368547758.08", "92233720368547758.07"],
        "char" => &["a", "", "\"", "\\", "{", "\\001", "'", ",", " "],
        "name" => &["", "plain", "it's \"odd\"", "Ünï Çode", "NULL", "a.b"],
        "bpchar" => &["", "ab   ", "   ", "tab\t", "é ", "\"\\ "],
        "varchar" => &["", "ab   ", "NULL", "null", "it's \"quoted\" \\", "é🐘"],
        "text" => return Some(texts_of_text()),
        "xml" => &["<a/>", "<?xml version=\"1.0\"?><a b='c'>d &amp; é\n</a>", "text <b>and</b> \"more\"", ""],
        "bytea" => &["", "\\x", "\\x00ff5c22", "abc\\\\def", "\\xdeadbeef", "\\000\\001"],
        "bit" => &["0", "1"],
        "varbit" => &["", "0", "10110", "1111111100000000111111110000000011111111000000001"],
        "uuid" => &[
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc999c0b4ef8bb6d6bb9bd380a12}",
        ],
        "json" => &[
            "  {  \"a\" :\t[ 1 ,\n 2.50 , -0, 1e3,1E-2 , null , true ],\r\n \"a\" : \" b  c \" } ",
            "null",
            " 12.00 ",
            "\"\"",
            "[]",
            "{}",
            "[ [ ] , { } ]",
            "{\"b\":1,\"a\":{\"b\":[{\"c\":\"}]\"}]},\"\":0,\"b\":2}",
            "\"\\u00e9\\ud83d\\udc18 \\/ \\n\"",
            "\"\\\"\\\\é🐘\"",
            "123456789012345678901234567890.10",
            "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
        ],
        "jsonb" => &[
            "{\"b\": 1, \"a\": [1.0, 2.50, -0, 1e3, null, true], \"b\": 2, \"\": {}}",
            "null",
            "12.00",
            "\"\"",
            "[]",
            "{}",
            "\"\\u00e9\\ud83d\\udc18 \\/ \\n\"",
            "\"\\\"\\\\é🐘\\t\"",
            "1e-20",
            "[[], [[]], {\"c\": [{}]}]",
            "1e400",
        ],
        "jsonpath" => {
            &["$", "strict $.\"a b\"[*] ? (@.size() > 1 && @ like_regex \"^é\" flag \"i\")", "$.a.\"q\\\"uote\""]
        }
        "date" => {
            &["2026-02-28", "infinity", "-infinity", "4713-01-01 BC", "0044-03-15 BC", "5874897-12-31", "0001-01-01"]
        }
        "time" => &["00:00", "24:00", "23:59:59.999999", "04:05:06.7"],
        "timetz" => &["00:00+00", "24:00-15:59:59", "23:59:59.999999+05:30", "04:05:06.7-08", "12:00:00+15:59"],
        "timestamp" => &[
            "2026-02-28 12:34:56.789",
            "2026-02-28",
            "infinity",
            "-infinity",
            "4713-01-01 00:00:00 BC",
            "0044-03-15 12:00:00.000001 BC",
            "294276-12-31 23:59:59.999999",
            "2000-01-01 00:00:00.1",
            "0001-01-01",
        ],
        "timestamptz" => &[
            "2026-07-01 12:00:00+05:30",
            "2026-02-28 12:34:56.789 America/New_York",
            "infinity",
            "-infinity",
            "4713-01-01 00:00:00+00 BC",
            "0044-03-15 12:00:00.000001-03 BC",
            "294276-12-31 23:59:59.999999+00",
            "1883-11-18 12:00:00 America/New_York",
            "2026-01-01 00:00:00-15:59:59",
            "0001-01-01 00:00:00+10",
        ],
        "interval" => &[
            "0",
            "1 year 2 mons -3 days +04:05:06.789",
            "-1 year +2 days -03:04:05.678901",
            "-00:00:00.000001",
            "178000000 years",
            "-178000000 years",
            "1 mon -30 days",
            "1000000 days",
            "100:00:00",
            "P1Y2M3DT4H5M6S",
        ],
        "point" => &["(0,-0)", "(1e300,-5e-324)", "(NaN,Infinity)", "(1.5,-2.25)"],
        "lseg" => &["[(0,0),(1,1.5)]", "[(1e300,-1),(NaN,Infinity)]"],
        "line" => &["{1,-1,0.1}", "{0,1e-5,-1e20}"],
        "box" => &["(1,2),(3,4)", "(0.1,-0.1),(1e10,-1e-10)"],
        "path" => &["[(0,0),(1,1),(2,0)]", "((0,0),(1,1.5))", "((1e300,5e-324))"],
        "polygon" => &["((0,0),(1,1),(2,0))", "((0.1,0.2))"],
        "circle" => &["<(0,0),1>", "<(-1.5,1e10),0.1>"],
        "inet" => &["10.1.2.3", "10.1.2.3/8", "0.0.0.0/0", "::1", "2001:db8::ff00:42:8329/64", "::ffff:1.2.3.4"],
        "cidr" => &["10.1.2.3", "10.0.0.0/8", "0.0.0.0/0", "::1", "2001:DB8::/32"],
        "macaddr" => &["08:00:2b:01:02:03", "08-00-2B-01-02-AA", "0800.2b01.0203"],
        "macaddr8" => &["08:00:2b:01:02:03:04:05", "08-00-2B-FF-FE-01-02-AA"],
        "tsvector" => &["", "'a fat':1A,2B cat:3 'it''s':4,16383 '\\\\':5 '\"quoted\"' é", "a b c"],
        "tsquery" => &["", "'fat' & !( 'rat' | cat:*ab ) <2> 'it''s'", "'\\\\' & '\"'", "!a"],
        "pg_lsn" => &["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"],
        "pg_snapshot" | "txid_snapshot" => &["10:20:10,14,15", "1:1:"],
        "xid" | "cid" | "oid" => &["0", "1", "4294967295"],
        "xid8" => &["0", "18446744073709551615"],
        "tid" => &["(0,0)", "(4294967295,65535)"],
        "int2vector" => &["", "1", "1 -2 32767"],
        "oidvector" => &["", "26", "0 4294967295 1"],
        "refcursor" => &["", "a \"cursor\""],
        "aclitem" => &["\"Röle, \"\"odd\"\"\"=r*w/postgres", "=X/postgres", "postgres=arwdDxt/postgres"],
        "regproc" => &["-", "now", "event.ack", "4294967295"],
        "regprocedure" => &["-", "abs(integer)", "event.ack(uuid,text)"],
        "regoper" => &["0", "pg_catalog.||/"],
        "regoperator" => &["0", "+(integer,integer)", "!!(none,tsquery)"],
        "regclass" => &["-", "pg_class", "public.\"Odd Table\"", "event.subscription", "4294967295"],
        "regtype" => &["-", "int4", "timestamptz[]", "public.mood[]", "public.\"Odd Type\""],
        "regconfig" => &["english", "simple"],
        "regdictionary" => &["english_stem", "simple"],
        "regnamespace" => &["-", "public", "\"Odd Schema\""],
        "regrole" => &["-", "postgres", "\"Röle, \"\"odd\"\"\""],
        "regcollation" => &["-", "\"C\"", "\"POSIX\""],
        "int4range" => &["empty", "(,)", "[1,10)", "[-5,5]", "(,3)"],
        "int8range" => &["empty", "[,9223372036854775807)", "(1,10]"],
        "numrange" => &["empty", "(,)", "[1.0,1.00]", "(-Infinity,NaN]", "(1e-20,1e20)"],
        "daterange" => &["empty", "[2026-01-01,2026-12-31]", "[-infinity,infinity]", "(,0044-03-15 BC)"],
        "tsrange" => &["empty", "[2026-01-01 00:00,2026-01-02 12:34:56.7)", "(,infinity)"],
        "tstzrange" => &["empty", "[\"2026-01-01 00:00+05:30\",\"2026-01-02 12:34 America/New_York\")", "(-infinity,]"],
        "int4multirange" => &["{}", "{[1,3),[5,9]}", "{(,)}"],
        "int8multirange" => &["{}", "{(,-9),[5,9000000000]}"],
        "nummultirange" => &["{}", "{[1.50,2.0],(3,Infinity]}"],
        "datemultirange" => &["{}", "{[2026-01-01,2026-02-01],(,1999-01-01)}"],
        "tsmultirange" => &["{}", "{[2026-01-01,\"2026-01-02 03:04:05.6\"]}"],
        "tstzmultirange" => &["{}", "{[2026-01-01,\"2026-01-02 03:04:05.6+05:30\"],[2027-01-01,infinity)}"],
        "information_schema.cardinal_number" => &["0", "7"],
        "information_schema.yes_or_no" => &["YES", "NO"],
        "mood" | "mood_domain" => &["sad", "so, so", "hap\"py", "Ünï", ""],
        "floatrange" => &["empty", "[-0,1e300)", "(NaN,]", "(0.1,Infinity)"],
        "floatmultirange" => &["{}", "{[-1.5,0.1),(1e10,)}"],
        "textrange" => &["empty", "[a,b)", "[\"it's, \\\"q\\\" \",)", "[\"\",é)"],
        "textmultirange" => &["{}", "{[a,b),[\"c d\",\"e\\\\f\"]}"],
        "hstore" => &["", "a=>1, b=>NULL", "\"\"=>\"\", \"q\\\"uo\\\\te\"=>\"=>, é\", bb=>\"NULL\", \"a\"=>\" {}\t\""],
        "citext" => &["", "Ünï \"Çode\"", "NULL"],
        "ltree" => &["", "Top.Child_1.x"],
        "lquery" => &["*.Top@*|b.!c{1,2}.*"],
        "ltxtquery" => &["Europe & Russia*@ & !Transportation"],
        "cube" => &["(1,2),(0.1,-1e300)", "()", "(0)"],
        "nothing" => &["()"],
        "positive" | "more_positive" => &["2", "2147483647"],
        "flags" => &["000", "101"],
        "padded" => &["", "ab", "abcde"],
        "code" => &["", "ab ", "abcdefg"],
        "price" => &["0", "1.5", "-999999999.999", "NaN"],
        _ => return None,
    };
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// A text may hold whatever means something to whoever reads it on the way.
fn texts_of_text() -> Vec<String> {
    let control: String = (1..=0x1f).chain([0x7f]).map(char::from).collect();
    let latin: String = ('\u{80}'..='\u{ff}').collect();
    let words = [
        "",
        " ",
        "plain",
        "NULL",
        "null",
        "it's \"quoted\"",
        "back\\slash \\\\ \\n \\N \\x41",
        "{a,b}",
        "(a,b)",
        "a;b,c",
        "{\"a\": 1}",
        "  in the middle  ",
        "two\nlines\r\nand\ttabs",
        "é🐘👩‍👩‍👧 e\u{301}\u{2028}\u{feff}\u{10ffff}",
        "</script>",
        "'",
        "\"",
        "\\",
    ];
    let megabytes = ["0123456789abcdef".repeat(1 << 16), "\"\\é🐘\n ".repeat(100_000)];
    words.map(str::to_owned).into_iter().chain([control, latin]).chain(megabytes).collect()
}
