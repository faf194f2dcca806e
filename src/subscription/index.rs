//! The index: relation, column, key to sessions.

use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use uuid::Uuid;

use super::key::encode_key;
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
type Slot = u32;

#[derive(Debug, Clone)]
struct Listener {
    subscription: Uuid,
    slot: Slot,
    visible: Option<Arc<[i16]>>,
}

#[derive(Debug, Default)]
struct Watched {
    table: Vec<Listener>,
    columns: Map<i16, Vec<Listener>>,
    rows: Map<Box<[u8]>, RowListeners>,
}

#[derive(Debug, Default)]
struct RowListeners {
    row: SmallVec<[Listener; 1]>,
    fields: Vec<(i16, Listener)>,
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
#[derive(Debug, Default)]
pub struct Index {
    relations: Map<u32, Watched>,
    subscriptions: Map<Uuid, (u32, Selector, Slot)>,
    sessions: Vec<Session>,
    slots: Map<Uuid, Slot>,
    free: Vec<Slot>,
    lookups: u64,
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
        let listener = Listener { subscription: subscription.id, slot, visible: subscription.visible };
        let watched = self.relations.entry(subscription.relation).or_default();
        match &subscription.selector {
            Selector::Table => watched.table.push(listener),
            Selector::Column(attnum) => watched.columns.entry(*attnum).or_default().push(listener),
            Selector::Row(key) => {
                encode_key(&mut self.scratch, key.iter().map(|value| value.as_bytes()));
                watched.rows.entry(self.scratch.as_slice().into()).or_default().row.push(listener);
            }
            Selector::Field(key, attnum) => {
                encode_key(&mut self.scratch, key.iter().map(|value| value.as_bytes()));
                watched.rows.entry(self.scratch.as_slice().into()).or_default().fields.push((*attnum, listener));
            }
        }
        self.subscriptions.insert(subscription.id, (subscription.relation, subscription.selector, slot));
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
        let Some((relation, selector, slot)) = self.subscriptions.remove(&id) else { return false };
        if let Some(watched) = self.relations.get_mut(&relation) {
            watched.remove(id, &selector, &mut self.scratch);
            if watched.is_empty() {
                self.relations.remove(&relation);
            }
        }
        if let Some(session) = self.sessions.get_mut(slot as usize) {
            session.subscriptions -= 1;
            if session.subscriptions == 0 {
                self.slots.remove(&session.id);
                self.free.push(slot);
            }
        }
        true
    }

    /// Who is told of an inserted row. `changed` limits the columns whose subscribers are told (a row that replaces
    /// another in a table without a key); `None`: all.
    pub fn on_insert(&mut self, relation: u32, changed: Option<&dyn Fn(i16) -> bool>) -> Recipients {
        let mut found = Finder::start(&mut self.lookups, &mut self.sessions);
        if let Some(watched) = self.relations.get(&relation) {
            found.all(&watched.table, Kind::Table);
            found.columns(watched, changed);
        }
        found.recipients
    }

    /// Who is told of a deleted row with this key (empty without one). `changed` as in [`Index::on_insert`].
    pub fn on_delete<'k>(
        &mut self,
        relation: u32,
        key: impl ExactSizeIterator<Item = &'k [u8]>,
        changed: Option<&dyn Fn(i16) -> bool>,
    ) -> Recipients {
        let mut found = Finder::start(&mut self.lookups, &mut self.sessions);
        if let Some(watched) = self.relations.get(&relation) {
            found.all(&watched.table, Kind::Table);
            found.columns(watched, changed);
            if let Some(row) = watched.row(key, &mut self.scratch) {
                found.all(&row.row, Kind::Row);
                for (_, listener) in &row.fields {
                    found.one(listener, Kind::Field);
                }
            }
        }
        found.recipients
    }

    /// Who is told of a field's new value.
    pub fn on_update<'k>(
        &mut self,
        relation: u32,
        key: impl ExactSizeIterator<Item = &'k [u8]>,
        attnum: i16,
    ) -> Recipients {
        let mut found = Finder::start(&mut self.lookups, &mut self.sessions);
        if let Some(watched) = self.relations.get(&relation) {
            found.all(&watched.table, Kind::Table);
            if let Some(listeners) = watched.columns.get(&attnum) {
                found.all(listeners, Kind::Column);
            }
            if let Some(row) = watched.row(key, &mut self.scratch) {
                found.all(&row.row, Kind::Row);
                for (column, listener) in &row.fields {
                    if *column == attnum {
                        found.one(listener, Kind::Field);
                    }
                }
            }
            found.recipients.retain(|to| to.visible.as_ref().is_none_or(|visible| visible.contains(&attnum)));
        }
        found.recipients
    }

    /// Who has any subscription in the relation.
    pub fn on_truncate(&mut self, relation: u32) -> Recipients {
        let mut found = Finder::start(&mut self.lookups, &mut self.sessions);
        if let Some(watched) = self.relations.get(&relation) {
            found.all(&watched.table, Kind::Table);
            found.columns(watched, None);
            for row in watched.rows.values() {
                found.all(&row.row, Kind::Row);
            }
            for row in watched.rows.values() {
                for (_, listener) in &row.fields {
                    found.one(listener, Kind::Field);
                }
            }
        }
        found.recipients
    }
}

impl Watched {
    fn is_empty(&self) -> bool {
        self.table.is_empty() && self.columns.is_empty() && self.rows.is_empty()
    }

    fn row<'k>(&self, key: impl ExactSizeIterator<Item = &'k [u8]>, scratch: &mut Vec<u8>) -> Option<&RowListeners> {
        if self.rows.is_empty() || key.len() == 0 {
            return None;
        }
        encode_key(scratch, key);
        self.rows.get(scratch.as_slice())
    }

    fn remove(&mut self, id: Uuid, selector: &Selector, scratch: &mut Vec<u8>) {
        match selector {
            Selector::Table => self.table.retain(|listener| listener.subscription != id),
            Selector::Column(attnum) => {
                if let Some(listeners) = self.columns.get_mut(attnum) {
                    listeners.retain(|listener| listener.subscription != id);
                    if listeners.is_empty() {
                        self.columns.remove(attnum);
                    }
                }
            }
            Selector::Row(key) | Selector::Field(key, _) => {
                encode_key(scratch, key.iter().map(|value| value.as_bytes()));
                if let Some(row) = self.rows.get_mut(scratch.as_slice()) {
                    row.row.retain(|listener| listener.subscription != id);
                    row.fields.retain(|(_, listener)| listener.subscription != id);
                    if row.row.is_empty() && row.fields.is_empty() {
                        self.rows.remove(scratch.as_slice());
                    }
                }
            }
        }
    }
}

/// Collects recipients, each session once: the widest kind is looked at first.
struct Finder<'s> {
    lookup: u64,
    sessions: &'s mut [Session],
    recipients: Recipients,
}

impl<'s> Finder<'s> {
    fn start(lookups: &mut u64, sessions: &'s mut [Session]) -> Self {
        *lookups += 1;
        Finder { lookup: *lookups, sessions, recipients: Recipients::new() }
    }

    fn one(&mut self, listener: &Listener, kind: Kind) {
        let Some(session) = self.sessions.get_mut(listener.slot as usize) else { return };
        if session.found_in == self.lookup {
            return;
        }
        session.found_in = self.lookup;
        self.recipients.push(Recipient {
            session: session.id,
            durable: session.durable,
            kind,
            visible: listener.visible.clone(),
        });
    }

    fn all(&mut self, listeners: &[Listener], kind: Kind) {
        for listener in listeners {
            self.one(listener, kind);
        }
    }

    fn columns(&mut self, watched: &Watched, changed: Option<&dyn Fn(i16) -> bool>) {
        for (&attnum, listeners) in &watched.columns {
            if changed.is_none_or(|changed| changed(attnum)) {
                self.all(listeners, Kind::Column);
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
        assert_eq!(told(&index.on_update(10, key("3"), 2)), [(1, Kind::Column)]);
        assert_eq!(told(&index.on_update(10, key("3"), 3)), [(1, Kind::Row)]);
        index.add(subscription(1, 10, Selector::Table));
        assert_eq!(told(&index.on_update(10, key("3"), 2)), [(1, Kind::Table)]);
    }

    #[test]
    fn each_kind_is_told_of_what_it_covers() {
        let mut index = Index::default();
        index.add(subscription(1, 10, Selector::Table));
        index.add(subscription(2, 10, Selector::Column(2)));
        index.add(subscription(3, 10, Selector::Row(vec!["3".into()])));
        index.add(subscription(4, 10, Selector::Field(vec!["3".into()], 2)));
        assert_eq!(told(&index.on_insert(10, None)), [(1, Kind::Table), (2, Kind::Column)]);
        assert_eq!(told(&index.on_update(10, key("3"), 2)).len(), 4);
        assert_eq!(told(&index.on_update(10, key("3"), 1)), [(1, Kind::Table), (3, Kind::Row)]);
        assert_eq!(told(&index.on_update(10, key("4"), 2)), [(1, Kind::Table), (2, Kind::Column)]);
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
    fn a_field_that_the_owner_may_not_see_is_not_told() {
        let mut index = Index::default();
        let mut limited = subscription(1, 10, Selector::Table);
        limited.visible = Some(Arc::from([1, 2]));
        index.add(limited);
        assert_eq!(index.on_update(10, key("3"), 2).len(), 1);
        assert!(index.on_update(10, key("3"), 3).is_empty());
    }
}
