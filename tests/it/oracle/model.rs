//! What each session must be told: the committed transactions, one after the other, through the rules of an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::audit::{Control, Image, Note, Transaction};
use super::schema::Table;

/// A change, whoever is told of it.
#[derive(Debug)]
pub struct Change {
    /// Its place among all changes of the test.
    pub place: u64,
    /// The start of its transaction's commit record, as an id has it.
    pub lsn: String,
    pub xid: i64,
    pub relation: usize,
    /// The partition, where it is told of that.
    pub leaf: Option<String>,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    Insert(Image),
    Delete(Image),
    /// The row as it now is, the column, its values as jsonb.
    Update {
        row: Image,
        column: String,
        old: String,
        new: String,
    },
    Truncate,
}

/// One session's event.
#[derive(Debug, Clone)]
pub struct Expected {
    pub change: Arc<Change>,
    /// The widest subscription that matches.
    pub kind: &'static str,
    pub last: bool,
}

/// What a subscription selects.
#[derive(Debug)]
struct Selector {
    relation: usize,
    column: Option<String>,
    key: Option<Vec<String>>,
}

impl Selector {
    fn kind(&self) -> &'static str {
        match (&self.column, &self.key) {
            (None, None) => "table",
            (Some(_), None) => "column",
            (None, Some(_)) => "row",
            (Some(_), Some(_)) => "field",
        }
    }

    /// Whether it selects the change; `exchanged` are the columns in which a row without a key differs from the one that
    /// it takes the place of.
    fn selects(&self, change: &Change, exchanged: Option<&[String]>) -> bool {
        let differs = |column: &String| exchanged.is_none_or(|columns| columns.contains(column));
        let is_of = |row: &Image| self.key.as_ref().is_none_or(|key| *key == row.sought);
        self.relation == change.relation
            && match &change.what {
                What::Insert(_) => self.key.is_none() && self.column.as_ref().is_none_or(differs),
                What::Delete(row) => is_of(row) && (self.key.is_some() || self.column.as_ref().is_none_or(differs)),
                What::Update { row, column, .. } => is_of(row) && self.column.as_ref().is_none_or(|of| of == column),
                What::Truncate => true,
            }
    }
}

const WIDEST_FIRST: [&str; 4] = ["table", "column", "row", "field"];

/// A session.
#[derive(Debug, Default)]
pub struct Session {
    pub deleted: bool,
    subscriptions: HashMap<String, Selector>,
    /// Those whose table is still to be prepared.
    waiting: HashMap<String, Selector>,
    /// Those that took effect, by their own account.
    in_effect: BTreeSet<String>,
    /// What it must have been told since the last check.
    pub expected: Vec<Expected>,
}

/// All that was committed.
#[derive(Debug)]
pub struct Model {
    pub tables: Arc<Vec<Table>>,
    pub sessions: BTreeMap<String, Session>,
    /// The tables' rows, by relation, partition and content, and how many there are of each.
    pub rows: BTreeMap<(usize, String, String), usize>,
    pub changes: u64,
}

impl Model {
    pub fn new(tables: Arc<Vec<Table>>) -> Model {
        Model { tables, sessions: BTreeMap::new(), rows: BTreeMap::new(), changes: 0 }
    }

    pub fn apply(&mut self, transaction: &Transaction) {
        for note in &transaction.notes {
            match &note.control {
                Some(control) => self.control(note, control),
                None => self.change(transaction, note),
            }
        }
        for session in self.sessions.values_mut() {
            if let Some(last) = session.expected.last_mut()
                && last.change.lsn == transaction.lsn
            {
                last.last = true;
            }
        }
    }

    fn control(&mut self, note: &Note, control: &Control) {
        let session = self.sessions.entry(control.session.clone()).or_default();
        let id = || control.id.clone().unwrap();
        match note.op.as_str() {
            "CREATE" => {}
            "DELETE" => {
                session.deleted = true;
                session.subscriptions.clear();
                session.waiting.clear();
            }
            "SUBSCRIBE" => {
                let selector =
                    Selector { relation: note.relation, column: control.column.clone(), key: control.key.clone() };
                assert_eq!(control.kind.as_deref(), Some(selector.kind()));
                let is_in_effect = session.in_effect.contains(&id());
                let place = if is_in_effect { &mut session.subscriptions } else { &mut session.waiting };
                place.insert(id(), selector);
            }
            // of one that does not wait it comes just before the note of the call
            "EFFECT" => {
                session.in_effect.insert(id());
                session.subscriptions.extend(session.waiting.remove_entry(&id()));
            }
            "UNSUBSCRIBE" => {
                let waited = session.waiting.remove(&id());
                session.subscriptions.remove(&id()).or(waited).expect("it was subscribed");
            }
            op => panic!("{op}"),
        }
    }

    fn change(&mut self, transaction: &Transaction, note: &Note) {
        self.keep(note);
        let tables = Arc::clone(&self.tables);
        let table = &tables[note.relation];
        let leaf = (note.op == "TRUNCATE").then(|| note.leaf.clone()).flatten();
        let mut tell = |what, exchanged: Option<&[String]>| {
            self.changes += 1;
            let change = Change {
                place: self.changes,
                lsn: transaction.lsn.clone(),
                xid: transaction.xid,
                relation: note.relation,
                leaf: leaf.clone(),
                what,
            };
            self.tell(&Arc::new(change), exchanged);
        };
        match (&note.old, &note.new) {
            (None, None) => tell(What::Truncate, None),
            (None, Some(new)) => tell(What::Insert(new.clone()), None),
            (Some(old), None) => tell(What::Delete(old.clone()), None),
            (Some(_), Some(_)) if note.changed.is_empty() => {}
            (Some(old), Some(new)) if table.key.is_empty() => {
                tell(What::Delete(old.clone()), Some(&note.changed));
                tell(What::Insert(new.clone()), Some(&note.changed));
            }
            (Some(old), Some(new)) if table.key.iter().any(|&at| note.changed.contains(&table.columns[at].name)) => {
                tell(What::Delete(old.clone()), None);
                tell(What::Insert(new.clone()), None);
            }
            (Some(old), Some(new)) => {
                let (before, after) = (fields(&old.row), fields(&new.row));
                for column in table.columns.iter().filter(|column| note.changed.contains(&column.name)) {
                    let [old, new_value] = [&before, &after].map(|row| row[&column.name].get().to_owned());
                    let what = What::Update { row: new.clone(), column: column.name.clone(), old, new: new_value };
                    tell(what, None);
                }
            }
        }
    }

    fn tell(&mut self, change: &Arc<Change>, exchanged: Option<&[String]>) {
        for session in self.sessions.values_mut() {
            let kinds: BTreeSet<&str> = session
                .subscriptions
                .values()
                .filter(|selector| selector.selects(change, exchanged))
                .map(Selector::kind)
                .collect();
            if let Some(kind) = WIDEST_FIRST.into_iter().find(|kind| kinds.contains(kind)) {
                session.expected.push(Expected { change: Arc::clone(change), kind, last: false });
            }
        }
    }

    /// The tables as the notes have them.
    fn keep(&mut self, note: &Note) {
        let leaf = note.leaf.clone().unwrap_or_default();
        if note.op == "TRUNCATE" {
            self.rows.retain(|(relation, of, _), _| {
                *relation != note.relation || note.leaf.as_ref().is_some_and(|leaf| leaf != of)
            });
            return;
        }
        if let Some(old) = &note.old {
            let place = (note.relation, leaf.clone(), old.row.clone());
            let count = self.rows.get_mut(&place).unwrap_or_else(|| panic!("no such row: {place:?}"));
            *count -= 1;
            if *count == 0 {
                self.rows.remove(&place);
            }
        }
        if let Some(new) = &note.new {
            *self.rows.entry((note.relation, leaf, new.row.clone())).or_default() += 1;
        }
    }
}

/// The members of an object, each as it is written.
pub fn fields(object: &str) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {object}"))
}
