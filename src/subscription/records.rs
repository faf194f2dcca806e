//! The subscriptions themselves. Those to the same thing are a ring: each knows the one before it and the one behind it, the
//! last and the first of them too. So one more is added, and any of them taken out, without a look at the others.

use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use super::index::Slot;
use super::selector::Kind;

/// Which record: its place in [`Records`].
pub(super) type Number = u32;

/// A subscription. There may be a million: 80 bytes each.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: Uuid,
    /// The encoded key, of a row or field; a short one is here and not on the heap.
    pub(super) key: SmallVec<[u8; 16]>,
    pub(super) visible: Option<Arc<[i16]>>,
    pub(super) relation: u32,
    pub(super) slot: Slot,
    /// Of a column or field.
    pub(super) attnum: i16,
    pub(super) kind: Kind,
    pub(super) before: Number,
    pub(super) behind: Number,
}

#[derive(Debug, Default)]
pub(super) struct Records {
    all: Vec<Record>,
    /// Places whose subscription is gone.
    free: Vec<Number>,
}

impl Records {
    pub(super) fn of(&self, number: Number) -> &Record {
        &self.all[number as usize]
    }

    fn of_mut(&mut self, number: Number) -> &mut Record {
        &mut self.all[number as usize]
    }

    /// Adds one, as a ring of its own.
    pub(super) fn add(&mut self, record: Record) -> Number {
        let number = match self.free.pop() {
            Some(number) => {
                self.all[number as usize] = record;
                number
            }
            None => {
                self.all.push(record);
                (self.all.len() - 1) as Number
            }
        };
        (self.of_mut(number).before, self.of_mut(number).behind) = (number, number);
        number
    }

    /// Puts one that is a ring of its own behind the last of the ring that begins with `first`.
    pub(super) fn append(&mut self, first: Number, number: Number) {
        let last = std::mem::replace(&mut self.of_mut(first).before, number);
        self.of_mut(last).behind = number;
        (self.of_mut(number).before, self.of_mut(number).behind) = (last, first);
    }

    /// Takes one out of its ring; the one that was behind it, if it was not alone.
    pub(super) fn unlink(&mut self, number: Number) -> Option<Number> {
        let &Record { before, behind, .. } = self.of(number);
        self.of_mut(before).behind = behind;
        self.of_mut(behind).before = before;
        (behind != number).then_some(behind)
    }

    /// Forgets one that is in no ring any more.
    pub(super) fn remove(&mut self, number: Number) {
        let record = self.of_mut(number);
        (record.key, record.visible) = (SmallVec::new(), None);
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 80);
    }
}
