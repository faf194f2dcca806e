//! Bytes to messages.

use std::hint::black_box;

use tidewire::pgoutput;

use super::Case;
use crate::table::{self, ROWS, STATUS, changed, person_row, purchase_row};

pub fn cases() -> Vec<Case> {
    let (person, purchase) = (table::person(), table::purchase());
    let decoded = |name, messages| {
        Case::new(name, messages, |message: &mut Vec<u8>| {
            black_box(&pgoutput::decode(message).unwrap());
        })
    };
    let inserts = (0..ROWS).map(|id| table::insert(&person, &person_row(id))).collect();
    let updates = (0..ROWS).map(|id| {
        let old = purchase_row(id);
        table::update(&purchase, &old, &changed(&old, &[STATUS]), &[])
    });
    let deletes = (0..ROWS).map(|id| table::delete(&purchase, &purchase_row(id))).collect();
    vec![
        decoded("decode/insert of 3 columns", inserts),
        decoded("decode/update of 10 columns with the old row", updates.collect()),
        decoded("decode/delete of 10 columns", deletes),
    ]
}
