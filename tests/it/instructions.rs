//! What `make instructions` fails at: its comparison, and how it reads what callgrind writes.

#[path = "../../benches/instructions/baseline.rs"]
mod baseline;
#[path = "../../benches/instructions/profile.rs"]
mod profile;

use baseline::{Baseline, Case, Cost, Taken, Verdict, compare, differing, parse, written};
use profile::{Counted, of_case};

fn taken() -> Taken {
    Taken { target: "t".into(), rustc: "1.95.0".into(), libc: "glibc 2.36".into(), valgrind: "3.19.0".into() }
}

fn case(name: &str, instructions: f64, allocations: f64) -> Case {
    (name.to_owned(), Cost { instructions, allocations })
}

fn stored(cases: &[Case]) -> Baseline {
    parse(&written(&taken(), cases)).unwrap()
}

#[test]
fn what_is_written_as_the_baseline_is_read_as_it_was() {
    let cases = [case("decode/insert of 3 columns", 703.0, 0.0), case("encode/100,000", 15_520.0, 6.44)];
    let baseline = stored(&cases);
    assert_eq!(baseline.taken, taken());
    assert_eq!(baseline.cases.into_iter().collect::<Vec<_>>(), cases);
}

#[test]
fn the_stored_baseline_can_be_read() {
    let baseline = parse(include_str!("../../benches/instructions/baseline.toml")).unwrap();
    for stop in ["decode/", "diff/", "route/", "encode/", "whole/"] {
        assert!(baseline.cases.keys().any(|name| name.starts_with(stop)), "{stop}");
    }
    // as docs/performance.md has it
    assert_eq!(baseline.cases["whole/update of two fields that nobody watches"].allocations, 0.0);
}

#[test]
fn what_grows_by_more_than_a_tenth_fails_and_what_shrinks_does_not() {
    let baseline = stored(&[case("a", 1000.0, 10.0)]);
    for (instructions, allocations, verdict) in [
        (1000.0, 10.0, Verdict::Same),
        (1099.0, 10.0, Verdict::Same),
        (1101.0, 10.0, Verdict::Grown),
        (1000.0, 11.5, Verdict::Grown),
        (500.0, 11.5, Verdict::Grown),
        (901.0, 10.0, Verdict::Same),
        (899.0, 10.0, Verdict::Shrunk),
        (1000.0, 8.0, Verdict::Shrunk),
    ] {
        let row = &compare(&baseline, &[case("a", instructions, allocations)])[0];
        assert_eq!(row.verdict(), verdict, "{row:?}");
        assert_eq!(row.verdict().fails(), verdict == Verdict::Grown);
    }
    let row = &compare(&baseline, &[case("a", 1250.0, 10.0)])[0];
    assert_eq!(row.growth(), Some(25.0));
}

#[test]
fn an_allocation_where_there_was_none_fails() {
    let baseline = stored(&[case("a", 1000.0, 0.0)]);
    assert_eq!(compare(&baseline, &[case("a", 1000.0, 0.0)])[0].verdict(), Verdict::Same);
    assert_eq!(compare(&baseline, &[case("a", 1000.0, 0.01)])[0].verdict(), Verdict::Grown);
}

#[test]
fn a_case_without_a_baseline_and_a_baseline_without_a_case_fail() {
    let rows = compare(&stored(&[case("old", 1.0, 0.0)]), &[case("new", 1.0, 0.0)]);
    let verdicts: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.verdict())).collect();
    assert_eq!(verdicts, [("new", Verdict::New), ("old", Verdict::Gone)]);
    assert!(rows.iter().all(|row| row.verdict().fails()));
}

#[test]
fn another_compiler_is_told() {
    let now = Taken { rustc: "1.96.0".into(), ..taken() };
    assert!(differing(&taken(), &taken()).is_empty());
    assert_eq!(differing(&taken(), &now), [("rustc", "1.95.0", "1.96.0")]);
}

/// What callgrind 3.19 wrote of a case that fills a vector, cut short.
const PART: &str = "\
# callgrind format
part: 6
desc: Trigger: --dump-after=instructions::counted_pass
positions: line
events: Ir
summary: 97728

fn=(988) free
4417 800
cfn=(868) malloc
calls=100 3281
1338 4400
cfn=(982) _int_realloc
calls=200 4814
3394 9000
fn=(978) realloc
3394 600
cfn=(868)
calls=7 3281
450 300
fn=(1204) alloc::raw_vec::RawVec<T,A>::grow_one
cfn=(978)
calls=200 3394 +3
totals: 97728
";

#[test]
fn a_part_of_callgrind_has_the_instructions_and_the_calls_that_allocate() {
    assert_eq!(of_case(PART), Some(Counted { instructions: 97_728, allocations: 307 }));
    // what came before the case
    assert_eq!(of_case(&PART.replace("--dump-after", "--dump-before")), None);
    // cut off
    assert_eq!(of_case(PART.trim_end_matches("totals: 97728\n")), None);
}
