//! What was expected held against what was received.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::{Value, json};

use super::audit::Image;
use super::inbox::{Form, Received};
use super::model::{Expected, What, fields};
use super::schema::Table;

/// So many differences are shown in full.
const SHOWN: usize = 5;

/// What NOTIFY carries: less than this, in bytes.
pub const NOTIFY_LIMIT: usize = 8000;

/// What a check found.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub transactions: usize,
    pub expected: usize,
    pub delivered: usize,
    pub lost: usize,
    pub repeated: usize,
    pub out_of_order: usize,
    /// Told otherwise than they were: values, keys, ids, marks.
    pub different: usize,
    /// What was seen, in words.
    pub seen: Vec<String>,
    /// What was committed, by kind.
    pub kinds: BTreeMap<String, usize>,
}

/// What a run has to have committed for its check to say something.
pub const KINDS: [&str; 12] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "CREATE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "key changed",
    "upsert",
    "sub-transaction",
    "savepoint undone",
    "more than a batch",
];

impl Report {
    pub fn is_clean(&self) -> bool {
        self.lost + self.repeated + self.out_of_order + self.different == 0
    }

    pub fn differs(&mut self, what: String) {
        self.different += 1;
        self.note(what);
    }

    pub fn add(&mut self, other: Report) {
        self.transactions += other.transactions;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.different += other.different;
        self.seen.extend(other.seen);
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
    }

    /// A run in which nothing, or too little, happened shows nothing.
    pub fn assert_telling(&self) {
        let absent: Vec<&str> = KINDS.into_iter().filter(|kind| !self.kinds.contains_key(*kind)).collect();
        assert!(absent.is_empty(), "nothing of {absent:?} was committed: {:?}", self.kinds);
        assert!(self.expected > self.transactions && self.transactions > 0, "{self}");
    }

    fn note(&mut self, what: String) {
        if self.seen.len() < SHOWN {
            self.seen.push(what);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transactions, {} events expected, {} delivered, {} lost, {} repeated, {} out of order, {} different",
            self.transactions,
            self.expected,
            self.delivered,
            self.lost,
            self.repeated,
            self.out_of_order,
            self.different
        )?;
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(f, "; committed: {}", kinds.join(", "))?;
        self.seen.iter().try_for_each(|seen| write!(f, "\n  {seen}"))
    }
}

/// The ids by the changes' places: the same change has one id, whoever is told of it.
#[derive(Debug, Default)]
pub struct Ids(BTreeMap<u64, String>);

impl Ids {
    fn set(&mut self, place: u64, id: &str) -> bool {
        self.0.entry(place).or_insert_with(|| id.to_owned()) == id
    }

    /// Ids rise with the changes' places.
    pub fn check(&self, report: &mut Report) {
        for (one, next) in self.0.values().zip(self.0.values().skip(1)) {
            if one >= next {
                report.out_of_order += 1;
                report.note(format!("the id {next} follows {one}"));
            }
        }
    }
}

/// Holds one session's events against what it must have been told. A session that is gone may have been read less far.
pub fn session(
    name: &str,
    expected: &[Expected],
    received: &[Received],
    is_gone: bool,
    tables: &[Table],
    ids: &mut Ids,
    report: &mut Report,
) {
    let expected = if is_gone { &expected[..received.len().min(expected.len())] } else { expected };
    report.expected += expected.len();
    report.delivered += received.len();
    for pair in received.windows(2) {
        if pair[0].id >= pair[1].id {
            report.out_of_order += 1;
            report.note(format!("session {name}: {} stands behind {}", pair[1].id, pair[0].id));
        }
    }
    if counts(name, expected, received, report) {
        return;
    }
    for (expected, received) in expected.iter().zip(received) {
        if let Err(why) = same(expected, received, &tables[expected.change.relation], ids) {
            report.differs(format!("session {name}: {why}\n    expected {expected:?}\n    received {received:?}"));
        }
    }
}

/// Whether the events of some transaction are too few or too many.
fn counts(name: &str, expected: &[Expected], received: &[Received], report: &mut Report) -> bool {
    let mut per_transaction: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for one in expected {
        per_transaction.entry(&one.change.lsn).or_default().0 += 1;
    }
    for one in received {
        per_transaction.entry(one.id.get(..16).unwrap_or_default()).or_default().1 += 1;
    }
    let mut is_off = false;
    for (lsn, (wanted, got)) in per_transaction.into_iter().filter(|(_, (wanted, got))| wanted != got) {
        is_off = true;
        report.lost += wanted.saturating_sub(got);
        report.repeated += got.saturating_sub(wanted);
        let wanted: Vec<&Expected> = expected.iter().filter(|one| one.change.lsn == lsn).take(8).collect();
        let got: Vec<&Received> = received.iter().filter(|one| one.id.starts_with(lsn)).take(8).collect();
        report.note(format!("session {name}: transaction {lsn}\n    expected {wanted:#?}\n    received {got:#?}"));
    }
    is_off
}

/// Whether it is the event that was expected.
fn same(expected: &Expected, received: &Received, table: &Table, ids: &mut Ids) -> Result<(), String> {
    let change = &expected.change;
    if received.id.get(..17) != Some(&format!("{}-", change.lsn)) {
        return Err("it is of another transaction".to_owned());
    }
    if !ids.set(change.place, &received.id) {
        return Err("another session has it under another id".to_owned());
    }
    let is_same = match &received.form {
        Form::Read { .. } => read(expected, table) == received.form,
        Form::Sent { .. } => sent(expected, table, &received.form),
    };
    if is_same { Ok(()) } else { Err("it says something else".to_owned()) }
}

fn read(expected: &Expected, table: &Table) -> Form {
    let change = &expected.change;
    let (name, row, field, value, old) = match &change.what {
        What::Insert(row) => ("row_insert", Some(row), None, Some(&row.row), None),
        What::Delete(row) => ("row_delete", Some(row), None, None, Some(&row.row)),
        What::Update { row, column, old, new } => ("field_update", Some(row), Some(column), Some(new), Some(old)),
        What::Truncate => ("truncate", None, None, None, None),
    };
    Form::Read {
        xid: change.xid,
        change: name.to_owned(),
        relation: Some(table.shown(change.leaf.as_deref()).to_owned()),
        row: row.filter(|_| !table.key.is_empty()).map(|row| row.id.clone()),
        field: field.cloned(),
        value: value.cloned(),
        old: old.cloned(),
        last: expected.last,
    }
}

/// The same in a notification's form; the ids of objects are compared as what they say.
fn sent(expected: &Expected, table: &Table, form: &Form) -> bool {
    let Form::Sent { notified, operation, kind, row_id, relation_id, payload, text } = form else { return false };
    let parsed =
        |text: &Option<String>| text.as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap_or_default());
    let change = &expected.change;
    let (name, row, wanted_payload) = match &change.what {
        What::Insert(row) => ("insert", Some(row), Some(row.row.clone())),
        What::Delete(row) => ("delete", Some(row), table.key.is_empty().then(|| row.row.clone())),
        What::Update { row, column, new, .. } => {
            let told: HashMap<String, String> = payload
                .iter()
                .flat_map(|text| fields(text))
                .map(|(name, value)| (name, value.get().to_owned()))
                .collect();
            let is_it = told.len() == 1 && told.get(column) == Some(new);
            ("update", Some(row), if is_it { payload.clone() } else { Some("another value".to_owned()) })
        }
        What::Truncate => ("truncate", None, None),
    };
    let relation =
        json!({ "schema_id": { "name": table.schema }, "name": change.leaf.as_ref().unwrap_or(&table.name) });
    let columns: Vec<Value> =
        table.key.iter().map(|&at| json!({ "relation_id": relation, "name": table.columns[at].name })).collect();
    let wanted_row = row.map(|row| match (columns.as_slice(), row.key.as_slice()) {
        ([], _) => Value::Null,
        ([column], [value]) => json!({ "pk_column_id": column, "pk_value": value }),
        (columns, values) => json!({ "pk_column_ids": columns, "pk_values": values }),
    });
    let wanted_relation = row.is_none().then_some(relation);
    let is_cut = *notified && payload.is_none() && is_rightly_cut(&change.what, text);
    operation == name
        && kind.as_deref() == Some(expected.kind)
        && parsed(row_id) == wanted_row
        && parsed(relation_id) == wanted_relation
        && (is_cut || *payload == wanted_payload)
}

/// What NOTIFY cannot carry goes out without its payload, and nothing else does.
fn is_rightly_cut(what: &What, text: &str) -> bool {
    let object = |inside: usize| "{}".len() + inside;
    let payload = match what {
        // jsonb writes white space that an event has not
        What::Insert(Image { row, .. }) | What::Delete(Image { row, .. }) => {
            let members = fields(row);
            let texts = members.iter().map(|(name, value)| json!(name).to_string().len() + 1 + value.get().len());
            object(texts.sum::<usize>() + members.len().saturating_sub(1))
        }
        What::Update { column, new, .. } => object(json!(column).to_string().len() + " : ".len() + new.len()),
        What::Truncate => return false,
    };
    const MARK: &str = "\"truncated\" : true";
    text.contains(MARK) && text.len() - MARK.len() + "\"payload\" : ".len() + payload >= NOTIFY_LIMIT
}
