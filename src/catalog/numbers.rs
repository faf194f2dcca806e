//! Which columns a relation's rows have, by number. The stream tells a row's columns in the order of their numbers, and not the
//! numbers. What is known of the relation at an earlier and at a later time bounds what it can have been in between: a number is
//! given once and, when its column is dropped, never again (`pg_attribute.attnum`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The numbers of a relation's columns at some time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Layout {
    /// The highest number that was ever given.
    pub(super) natts: i16,
    /// Each column's number, and the number of the same column in the table that subscriptions name.
    pub(super) columns: Vec<(i16, i16)>,
}

/// The numbers, in the table that subscriptions name, of `length` columns that a relation had at a time between `before` and
/// `after`; `None` for a column that may be one or another.
pub(super) fn certain(before: &Layout, after: &Layout, length: usize) -> Vec<Option<i16>> {
    let (had, has): (BTreeMap<i16, i16>, BTreeMap<i16, i16>) =
        (before.columns.iter().copied().collect(), after.columns.iter().copied().collect());
    let kept: Vec<i16> = had.keys().filter(|number| has.contains_key(number)).copied().collect();
    let mut possible: BTreeSet<i16> = had.keys().chain(has.keys()).copied().collect();
    possible.extend(before.natts.saturating_add(1)..=after.natts);
    let of_table = |number: &i16| had.get(number).or_else(|| has.get(number)).copied();
    if length == possible.len() {
        // one that came and went in between has no number in the table that anybody could have asked for
        return possible.iter().map(of_table).collect();
    }
    if length == kept.len() {
        return kept.iter().map(of_table).collect();
    }
    // before the first that may or may not have been there, a column's place tells its number
    let mut numbers: Vec<Option<i16>> = possible
        .iter()
        .zip(&kept)
        .take_while(|(one, other)| one == other)
        .map(|(number, _)| of_table(number))
        .collect();
    numbers.resize(length.max(numbers.len()), None);
    numbers.truncate(length);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(natts: i16, columns: &[i16]) -> Layout {
        Layout { natts, columns: columns.iter().map(|&number| (number, number)).collect() }
    }

    /// As many as are told, and 0 for what is not certain.
    fn between(before: &Layout, after: &Layout, length: usize) -> Vec<i16> {
        certain(before, after, length).into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn what_was_before_and_is_after_was_between() {
        let same = layout(3, &[1, 3]);
        assert_eq!(between(&same, &same, 2), [1, 3]);
        // added or dropped at the time, or not yet
        let (few, many) = (layout(2, &[1, 2]), layout(4, &[1, 2, 3, 4]));
        assert_eq!(between(&few, &many, 2), [1, 2]);
        assert_eq!(between(&few, &many, 4), [1, 2, 3, 4]);
        assert_eq!(between(&few, &many, 3), [1, 2, 0]);
        let dropped = layout(4, &[1, 4]);
        assert_eq!(between(&many, &dropped, 4), [1, 2, 3, 4]);
        assert_eq!(between(&many, &dropped, 2), [1, 4]);
        assert_eq!(between(&many, &dropped, 3), [1, 0, 0]);
    }

    #[test]
    fn a_column_in_the_place_of_another_is_not_taken_for_it() {
        let (before, after) = (layout(2, &[1, 2]), layout(3, &[1, 3]));
        assert_eq!(between(&before, &after, 2), [1, 0]);
        assert_eq!(between(&before, &after, 1), [1]);
        assert_eq!(between(&before, &after, 3), [1, 2, 3]);
        // one that came and went in between
        let gone = layout(3, &[1, 2]);
        assert_eq!(between(&before, &gone, 3), [1, 2, 0]);
        assert_eq!(between(&before, &gone, 2), [1, 2]);
    }

    #[test]
    fn a_column_that_the_stream_began_to_carry_may_or_may_not_be_there() {
        let (before, after) = (layout(3, &[1, 3]), layout(3, &[1, 2, 3]));
        assert_eq!(between(&before, &after, 2), [1, 3]);
        assert_eq!(between(&before, &after, 3), [1, 2, 3]);
    }

    #[test]
    fn whatever_happened_between_two_times_no_number_is_wrong() {
        // every way of a table of at most five columns: each is added at some time and dropped at some later one, or never
        let times = 0..6_u8;
        let lives: Vec<(u8, u8)> = times.clone().flat_map(|from| (from..7).map(move |to| (from, to))).collect();
        let at = |columns: &[(u8, u8)], time: u8| {
            let numbered = (1_i16..).zip(columns);
            let natts = columns.iter().filter(|(from, _)| *from <= time).count() as i16;
            let alive = numbered.filter(|(_, (from, to))| *from <= time && time < *to);
            layout(natts, &alive.map(|(number, _)| number).collect::<Vec<_>>())
        };
        let mut looked = 0_u32;
        for one in &lives {
            for other in lives.iter().filter(|other| other.0 >= one.0) {
                for third in lives.iter().filter(|third| third.0 >= other.0) {
                    let columns = [*one, *other, *third];
                    for (before, between, after) in [(0, 1, 2), (1, 3, 5), (2, 2, 4), (1, 4, 4), (0, 3, 6)] {
                        let truth = at(&columns, between);
                        let told = certain(&at(&columns, before), &at(&columns, after), truth.columns.len());
                        assert_eq!(told.len(), truth.columns.len());
                        for (told, (number, _)) in told.iter().zip(&truth.columns) {
                            assert!(told.is_none_or(|told| told == *number), "{columns:?}: {told:?} for {number}");
                            looked += 1;
                        }
                    }
                }
            }
        }
        assert!(looked > 1000, "{looked}");
    }
}
