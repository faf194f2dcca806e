//! Rows to changes.

use std::hint::black_box;
use std::sync::Arc;

use smallvec::SmallVec;
use tidewire::diff::{Change, RowImage, updated};
use tidewire::pgoutput::Datum;

use super::Case;
use crate::table::{self, CHANGED_AT, DETAILS, NOTE, ROWS, STATUS, changed, purchase_row, updated_rows};

pub fn cases() -> Vec<Case> {
    vec![
        diffed("diff/update of 10 columns that changes none", &[], &[]),
        diffed("diff/update of 10 columns that changes one", &[STATUS], &[]),
        diffed(
            "diff/update of 10 columns that changes two, large values not sent",
            &[STATUS, CHANGED_AT],
            &[NOTE, DETAILS],
        ),
        diffed("diff/update of 10 columns that changes the key", &[0], &[]),
    ]
}

fn diffed(name: &'static str, changing: &[usize], unchanged: &[usize]) -> Case {
    let relation = table::purchase();
    let rows = (0..ROWS).map(|id| {
        let old = purchase_row(1 + id);
        updated_rows(table::update(&relation, &old, &changed(&old, changing), unchanged))
    });
    let unchanged = unchanged.to_vec();
    let relation = Arc::clone(&relation);
    Case::new(name, rows.collect(), move |(old, new): &mut (RowImage<'static>, RowImage<'static>)| {
        let mut changes: SmallVec<[Change<'_, '_>; 8]> = SmallVec::new();
        updated(&relation, Some(old), true, new, |change| changes.push(change));
        black_box(&changes);
        drop(changes);
        // the diff has filled them in
        for &column in &unchanged {
            new[column] = Datum::Unchanged;
        }
    })
}
