//! The index: relation, column, key to sessions.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_table::{Entry, HashTable};
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use uuid::Uuid;

use super::key::{Digests, encode_key};
use super::records::{Number, Record, Records};
use super::selector::{Kind, Selector, Subscription};

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// A session to be told of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The session.
    pub session: Uuid,
    /// Whether it keeps an inbox.
    pub durable: bool,
    /// The widest of its subscriptions that match.
    pub kind: Kind,
    /// The numbers of the columns that its owner may see; `None`: all.
    pub visible: Option<Arc<[i16]>>,
}

/// The sessions to be told of one change, each once.
pub type Recipients = SmallVec<[Recipient; 4]>;

/// Place of a session in [`Index::sessions`].
pub(super) type Slot = u32;

/// Who watches what of a relation: rings of records, each known by its first.
#[derive(Debug, Default)]
struct Watched {
    table: Option<Number>,
    columns: Map<i16, Number>,
    /// By the key, which the records have.
    rows: HashTable<Number>,
}

#[derive(Debug)]
struct Session {
    id: Uuid,
    durable: bool,
    subscriptions: u32,
    /// The number of the look-up that last found it: each session is told once.
    found_in: u64,
}

/// All subscriptions, arranged for routing.
///
/// A subscription is one record, and the tables hold records' numbers: a million of them are small, and a look-up that finds
/// nothing reads no more than the table.
#[derive(Debug, Default)]
pub struct Index {
    relations: Map<u32, Watched>,
    records: Records,
    /// By the subscription's id, which the records have.
    subscriptions: HashTable<Number>,
    sessions: Vec<Session>,
    slots: Map<Uuid, Slot>,
    free: Vec<Slot>,
    lookups: u64,
    digests: Digests,
    scratch: Vec<u8>,
}

impl Index {
    /// How many subscriptions it holds.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Whether anybody is subscribed to anything in the relation.
    pub fn is_watched(&self, relation: u32) -> bool {
        self.relations.contains_key(&relation)
    }

    /// Adds a subscription; one with the same id is replaced.
    pub fn add(&mut self, subscription: Subscription) {
        self.remove(subscription.id);
        let slot = self.slot(subscription.session, subscription.durable);
        self.scratch.clear();
        if let Some(key) = subscription.selector.key() {
            encode_key(&mut self.scratch, key.iter().map(|value| value.as_bytes()));
            self.digests.shorten(&mut self.scratch);
        }
        let number = self.records.add(Record {
            id: subscription.id,
            key: self.scratch.as_slice().into(),
            visible: subscription.visible,
            relation: subscription.relation,
            slot,
            attnum: subscription.selector.attnum().unwrap_or_default(),
            kind: subscription.selector.kind(),
            before: 0,
            behind: 0,
        });
        let records = &mut self.records;
        let watched = self.relations.entry(subscription.relation).or_default();
        match subscription.selector {
            Selector::Table => match watched.table {
                Some(first) => records.append(first, number),
                None => watched.table = Some(number),
            },
            Selector::Column(attnum) => match watched.columns.get(&attnum) {
                Some(&first) => records.append(first, number),
                None => {
                    watched.columns.insert(attnum, number);
                }
            },
            Selector::Row(_) | Selector::Field(..) => {
                let is_same = |&first: &Number| *records.of(first).key == *self.scratch;
                match watched.rows.entry(hash(&*self.scratch), is_same, |&first| hash(&*records.of(first).key)) {
                    Entry::Occupied(first) => {
                        let first = *first.get();
                        records.append(first, number);
                    }
                    Entry::Vacant(place) => {
                        place.insert(number);
                    }
                }
            }
        }
        let records = &self.records;
        self.subscriptions.insert_unique(hash(subscription.id), number, |&number| hash(records.of(number).id));
    }

    fn slot(&mut self, id: Uuid, durable: bool) -> Slot {
        if let Some(&slot) = self.slots.get(&id) {
            if let Some(session) = self.sessions.get_mut(slot as usize) {
                session.subscriptions += 1;
            }
            return slot;
        }
        let session = Session { id, durable, subscriptions: 1, found_in: 0 };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.sessions[slot as usize] = session;
                slot
            }
            None => {
                self.sessions.push(session);
                (self.sessions.len() - 1) as Slot
            }
        };
        self.slots.insert(id, slot);
        slot
    }

    /// Removes a subscription; false if there was none with this id.
    pub fn remove(&mut self, id: Uuid) -> bool {
        let records = &self.records;
        let Ok(found) = self.subscriptions.find_entry(hash(id), |&number| records.of(number).id == id) else {
            return false;
        };
        let (number, _) = found.remove();
        // of its ring another is the first now, if it was it
        let next = self.records.unlink(number);
        let record = self.records.of(number);
        if let Some(watched) = self.relations.get_mut(&record.relation) {
            watched.forget(number, record, next);
            if watched.is_empty() {
                self.relations.remove(&record.relation);
            }
        }
        if let Some(session) = self.sessions.get_mut(record.slot as usize) {
            session.subscriptions -= 1;
            if session.subscriptions == 0 {
                self.slots.remove(&session.id);
                self.free.push(record.slot);
            }
        }
        self.records.remove(number);
        true
    }

    /// Who is told of an inserted row. `changed` limits the columns whose subscribers are told (a row that replaces
    /// another in a table without a key); `None`: all.
    pub fn on_insert(&mut self, relation: u32, changed: Option<&dyn Fn(i16) -> bool>) -> Recipients {
        let (watched, mut found) = self.find(relation, None);
        if let Some(watched) = watched {
            found.ring(watched.table, Kind::Table);
            found.columns(watched, changed);
        }
        found.recipients
    }

    /// Who is told of a deleted row with this key (empty without one). `changed` as in [`Index::on_insert`].
    pub fn on_delete(
        &mut self,
        relation: u32,
        key: impl ExactSizeIterator<Item: AsRef<[u8]>>,
        changed: Option<&dyn Fn(i16) -> bool>,
    ) -> Recipients {
        let (watched, mut found) = self.find(relation, None);
        if let Some(watched) = watched {
            found.ring(watched.table, Kind::Table);
            found.columns(watched, changed);
            if let Some(row) = found.row(watched, key) {
                found.of_row(row);
            }
        }
        found.recipients
    }

    /// Who is told of a field's new value. A column that may have another number is hidden from who may not see all columns.
    pub fn on_update(
        &mut self,
        relation: u32,
        key: impl ExactSizeIterator<Item: AsRef<[u8]>>,
        attnum: i16,
        is_certain: bool,
    ) -> Recipients {
        let (watched, mut found) = self.find(relation, Some(attnum));
        found.is_certain = is_certain;
        if let Some(watched) = watched {
            found.ring(watched.table, Kind::Table);
            found.ring(watched.columns.get(&attnum).copied(), Kind::Column);
            if let Some(row) = found.row(watched, key) {
                found.of_row(row);
            }
        }
        found.recipients
    }

    /// Who has any subscription in the relation.
    pub fn on_truncate(&mut self, relation: u32) -> Recipients {
        let (watched, mut found) = self.find(relation, None);
        if let Some(watched) = watched {
            found.ring(watched.table, Kind::Table);
            found.columns(watched, None);
            for kind in [Kind::Row, Kind::Field] {
                for &row in &watched.rows {
                    found.ring(Some(row), kind);
                }
            }
        }
        found.recipients
    }

    /// Who has any subscription at all.
    pub fn everybody(&self) -> Recipients {
        let sessions = self.slots.values().filter_map(|&slot| self.sessions.get(slot as usize));
        let told =
            |one: &Session| Recipient { session: one.id, durable: one.durable, kind: Kind::Table, visible: None };
        sessions.map(told).collect()
    }

    /// `attnum`: of what happened to this column alone.
    fn find(&mut self, relation: u32, attnum: Option<i16>) -> (Option<&Watched>, Finder<'_>) {
        self.lookups += 1;
        let finder = Finder {
            lookup: self.lookups,
            attnum,
            is_certain: true,
            records: &self.records,
            sessions: &mut self.sessions,
            digests: &self.digests,
            scratch: &mut self.scratch,
            recipients: Recipients::new(),
        };
        (self.relations.get(&relation), finder)
    }
}

fn hash(value: impl std::hash::Hash) -> u64 {
    FxBuildHasher.hash_one(value)
}

impl Watched {
    fn is_empty(&self) -> bool {
        self.table.is_none() && self.columns.is_empty() && self.rows.is_empty()
    }

    /// Where the record is known as a ring's first, `next` becomes it: nothing does, if it was alone.
    fn forget(&mut self, number: Number, record: &Record, next: Option<Number>) {
        match record.kind {
            Kind::Table if self.table == Some(number) => self.table = next,
            Kind::Column if self.columns.get(&record.attnum) == Some(&number) => {
                match next {
                    Some(next) => self.columns.insert(record.attnum, next),
                    None => self.columns.remove(&record.attnum),
                };
            }
            Kind::Row | Kind::Field => {
                if let Ok(mut first) = self.rows.find_entry(hash(&*record.key), |&first| first == number) {
                    match next {
                        Some(next) => *first.get_mut() = next,
                        None => {
                            first.remove();
                        }
                    }
                }
            }
            Kind::Table | Kind::Column => {}
        }
    }
}

/// Collects recipients, each session once: the widest kind is looked at first.
struct Finder<'s> {
    lookup: u64,
    attnum: Option<i16>,
    is_certain: bool,
    records: &'s Records,
    sessions: &'s mut [Session],
    digests: &'s Digests,
    scratch: &'s mut Vec<u8>,
    recipients: Recipients,
}

impl Finder<'_> {
    /// The ring of those who watch the row with this key, or a field of it.
    fn row(&mut self, watched: &Watched, key: impl ExactSizeIterator<Item: AsRef<[u8]>>) -> Option<Number> {
        if watched.rows.is_empty() || key.len() == 0 {
            return None;
        }
        encode_key(self.scratch, key);
        self.digests.shorten(self.scratch);
        let is_same = |&first: &Number| *self.records.of(first).key == **self.scratch;
        watched.rows.find(hash(&**self.scratch), is_same).copied()
    }

    /// Those who watch a row or a field of it.
    fn of_row(&mut self, first: Number) {
        if self.ring(Some(first), Kind::Row) {
            self.ring(Some(first), Kind::Field);
        }
    }

    /// Those of a ring that are of this kind, in the order in which they came; whether there are others.
    fn ring(&mut self, first: Option<Number>, kind: Kind) -> bool {
        let mut others = false;
        let Some(first) = first else { return others };
        let mut number = first;
        loop {
            let record = self.records.of(number);
            if record.kind == kind {
                self.one(record);
            } else {
                others = true;
            }
            number = record.behind;
            if number == first {
                return others;
            }
        }
    }

    fn one(&mut self, record: &Record) {
        let is_other = |attnum| record.kind == Kind::Field && record.attnum != attnum;
        if self.attnum.is_some_and(is_other) {
            return;
        }
        let Some(session) = self.sessions.get_mut(record.slot as usize) else { return };
        if session.found_in == self.lookup {
            return;
        }
        session.found_in = self.lookup;
        let may_see = |visible: &[i16], attnum| self.is_certain && visible.contains(&attnum);
        let is_hidden = |attnum| record.visible.as_deref().is_some_and(|visible| !may_see(visible, attnum));
        if self.attnum.is_some_and(is_hidden) {
            return;
        }
        self.recipients.push(Recipient {
            session: session.id,
            durable: session.durable,
            kind: record.kind,
            visible: record.visible.clone(),
        });
    }

    #[inline]
    fn columns(&mut self, watched: &Watched, changed: Option<&dyn Fn(i16) -> bool>) {
        for (&attnum, &first) in &watched.columns {
            if changed.is_none_or(|changed| changed(attnum)) {
                self.ring(Some(first), Kind::Column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(session: u128, relation: u32, selector: Selector) -> Subscription {
        Subscription {
            id: Uuid::new_v4(),
            session: Uuid::from_u128(session),
            durable: true,
            relation,
            selector,
            visible: None,
        }
    }

    fn key(value: &str) -> impl ExactSizeIterator<Item = &[u8]> {
        [value.as_bytes()].into_iter()
    }

    fn told(recipients: &Recipients) -> Vec<(u128, Kind)> {
        let mut told: Vec<_> = recipients.iter().map(|to| (to.session.as_u128(), to.kind)).collect();
        told.sort();
        told
    }

    #[test]
    fn a_session_is_told_once_with_its_widest_kind() {
        let mut index = Index::default();
        index.add(subscription(1, 10, Selector::Field(vec!["3".into()], 2)));
        index.add(subscription(1, 10, Selector::Row(vec!["3".into()])));
        index.add(subscription(1, 10, Selector::Column(2)));
        assert_eq!(told(&index.on_update(10, key("3"), 2, true)), [(1, Kind::Column)]);
        assert_eq!(told(&index.on_update(10, key("3"), 3, true)), [(1, Kind::Row)]);
        index.add(subscription(1, 10, Selector::Table));
        assert_eq!(told(&index.on_update(10, key("3"), 2, true)), [(1, Kind::Table)]);
    }

    #[test]
    fn each_kind_is_told_of_what_it_covers() {
        let mut index = Index::default();
        index.add(subscription(1, 10, Selector::Table));
        index.add(subscription(2, 10, Selector::Column(2)));
        index.add(subscription(3, 10, Selector::Row(vec!["3".into()])));
        index.add(subscription(4, 10, Selector::Field(vec!["3".into()], 2)));
        assert_eq!(told(&index.on_insert(10, None)), [(1, Kind::Table), (2, Kind::Column)]);
        assert_eq!(told(&index.on_update(10, key("3"), 2, true)).len(), 4);
        assert_eq!(told(&index.on_update(10, key("3"), 1, true)), [(1, Kind::Table), (3, Kind::Row)]);
        assert_eq!(told(&index.on_update(10, key("4"), 2, true)), [(1, Kind::Table), (2, Kind::Column)]);
        assert_eq!(told(&index.on_delete(10, key("3"), None)).len(), 4);
        assert_eq!(told(&index.on_delete(10, key("4"), None)), [(1, Kind::Table), (2, Kind::Column)]);
        assert_eq!(told(&index.on_truncate(10)).len(), 4);
        assert!(index.on_insert(11, None).is_empty());
    }

    #[test]
    fn removing_the_last_subscription_leaves_nothing() {
        let mut index = Index::default();
        let all: Vec<_> = [
            Selector::Table,
            Selector::Column(1),
            Selector::Row(vec!["a".into(), "b".into()]),
            Selector::Field(vec!["a".into(), "b".into()], 1),
        ]
        .into_iter()
        .map(|selector| subscription(1, 10, selector))
        .collect();
        all.iter().for_each(|one| index.add(one.clone()));
        assert_eq!(index.len(), 4);
        for one in &all {
            assert!(index.remove(one.id));
            assert!(!index.remove(one.id));
        }
        assert!(index.is_empty() && !index.is_watched(10));
        index.add(subscription(2, 10, Selector::Table));
        assert_eq!(told(&index.on_insert(10, None)), [(2, Kind::Table)]);
    }

    #[test]
    fn those_of_one_row_are_told_in_the_order_in_which_they_came() {
        let mut index = Index::default();
        const LONG: &str = "a key that is kept on the heap";
        let row = |session| subscription(session, 10, Selector::Row(vec![LONG.into()]));
        let mut order: Vec<Subscription> = (1..=6).map(row).collect();
        order.iter().for_each(|one| index.add(one.clone()));
        for (at, next) in [(0, 7), (2, 8), (4, 9)] {
            let told: Vec<Uuid> = index.on_update(10, key(LONG), 2, true).iter().map(|to| to.session).collect();
            let expected: Vec<Uuid> = order.iter().map(|one| one.session).collect();
            assert_eq!(told, expected);
            assert!(index.remove(order.remove(at).id));
            order.push(row(next));
            index.add(order[5].clone());
        }
    }

    #[test]
    fn a_field_that_the_owner_may_not_see_is_not_told() {
        let mut index = Index::default();
        let mut limited = subscription(1, 10, Selector::Table);
        limited.visible = Some(Arc::from([1, 2]));
        index.add(limited);
        assert_eq!(index.on_update(10, key("3"), 2, true).len(), 1);
        assert!(index.on_update(10, key("3"), 3, true).is_empty());
        assert!(index.on_update(10, key("3"), 2, false).is_empty(), "it may be another");
    }
}
