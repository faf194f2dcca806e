//! A session with a connection of its own, and what it is told in a form that reads well in a test.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde_json::{Map, Value};

use super::{Client, Database};

/// What every client of the tests reaches by short names.
pub const SEARCH_PATH: &str = "set search_path = public, event; set client_min_messages = warning";

/// A connection with a current session.
pub struct Subscriber {
    client: Client,
    pub session: String,
}

impl Deref for Subscriber {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Subscriber {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Subscriber {
    /// A new durable session of the superuser's.
    pub async fn open(database: &Database) -> Subscriber {
        Subscriber::create(database.connect().await, "session_create()").await
    }

    /// A new durable session of that role's.
    pub async fn open_as(database: &Database, role: &str) -> Subscriber {
        Subscriber::create(database.connect_as(role).await, "session_create()").await
    }

    /// The session that a call makes.
    pub async fn create(client: Client, call: &str) -> Subscriber {
        client.sql(SEARCH_PATH).await;
        let session = client.text(&format!("select {call}")).await;
        Subscriber { client, session }
    }

    /// Another connection to a session.
    pub async fn attach(client: Client, session: &str) -> Subscriber {
        client.sql(SEARCH_PATH).await;
        client.sql(&format!("select session_attach('{session}')")).await;
        Subscriber { client, session: session.to_owned() }
    }

    /// Subscribes to a table of schema public; returns the subscription.
    pub async fn table(&self, table: &str) -> String {
        self.text(&format!("select subscribe_table(meta.relation_id('public', '{table}'))")).await
    }

    /// Subscribes to a column of a table of schema public.
    pub async fn column(&self, table: &str, column: &str) -> String {
        self.text(&format!("select subscribe_column(meta.column_id('public', '{table}', '{column}'))")).await
    }

    /// Subscribes to a row of a table of schema public whose key is `id`.
    pub async fn row(&self, table: &str, id: &str) -> String {
        self.text(&format!("select subscribe_row(meta.row_id('public', '{table}', 'id', '{id}'))")).await
    }

    /// Subscribes to a field of a table of schema public whose key is `id`.
    pub async fn field(&self, table: &str, id: &str, column: &str) -> String {
        self.text(&format!("select subscribe_field(meta.field_id('public', '{table}', 'id', '{id}', '{column}'))"))
            .await
    }

    /// What arrived since the last call, once all that is committed has been delivered.
    pub async fn events(&mut self) -> Vec<Event> {
        self.client.sql("select event.sync()").await;
        let session = self.session.clone();
        let arrived = self.client.drain().into_iter();
        arrived.filter(|told| told.channel() == session).map(|told| Event::from(told.payload())).collect()
    }

    /// The same, each in one line (see [`Event`]).
    pub async fn told(&mut self) -> Vec<String> {
        self.events().await.iter().map(Event::to_string).collect()
    }

    /// What the inbox holds, in order.
    pub async fn inbox(&self) -> Vec<Event> {
        let query = format!("select event from event.event where session_id = '{}' order by id", self.session);
        self.rows(&query).await.into_iter().map(|row| Event::from(row[0].as_deref().unwrap())).collect()
    }

    /// The ids of the events in the inbox that are marked as their transaction's last. For the superuser.
    pub async fn last_ids(&self) -> Vec<String> {
        let query = format!("select id from event.inbox where session_id = '{}' and last order by id", self.session);
        self.rows(&query).await.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}

/// An event, as it was sent. Shown, it is one line: operation, subscription type, relation, key, payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub text: String,
    pub json: Value,
}

impl From<&str> for Event {
    fn from(text: &str) -> Event {
        let json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Event { text: text.to_owned(), json }
    }
}

impl Event {
    pub fn id(&self) -> &str {
        self.json["event_id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.text))
    }

    /// The transaction's part of the id.
    pub fn transaction(&self) -> &str {
        &self.id()[..16]
    }

    pub fn operation(&self) -> &str {
        self.json["operation"].as_str().unwrap_or_default()
    }

    pub fn payload(&self) -> Option<&Map<String, Value>> {
        self.json.get("payload")?.as_object()
    }

    /// The values of the row's key.
    pub fn key(&self) -> Vec<String> {
        let row = &self.json["row_id"];
        let values = row.get("pk_values").and_then(Value::as_array).cloned();
        let values = values.or_else(|| row.get("pk_value").map(|value| vec![value.clone()]));
        values.unwrap_or_default().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Schema and name of the relation; empty where the event names none.
    pub fn relation(&self) -> String {
        let row = &self.json["row_id"];
        let column = row.get("pk_column_id").or_else(|| row.get("pk_column_ids").and_then(|all| all.get(0)));
        let relation = column.and_then(|column| column.get("relation_id")).or_else(|| self.json.get("relation_id"));
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        relation.map(|relation| format!("{}.{}", name(&relation["schema_id"]), name(relation))).unwrap_or_default()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation())?;
        if let Some(reason) = self.json["reason"].as_str() {
            return write!(f, " {reason}");
        }
        write!(f, " {}", self.json["subscription_type"].as_str().unwrap_or("?"))?;
        match self.relation().as_str() {
            "" => f.write_str(" -")?,
            relation => write!(f, " {}", relation.strip_prefix("public.").unwrap_or(relation))?,
        }
        if !self.key().is_empty() {
            write!(f, " {}", self.key().join(","))?;
        }
        if self.json["truncated"] == Value::Bool(true) {
            f.write_str(" truncated")?;
        }
        self.json.get("payload").map_or(Ok(()), |payload| write!(f, " {payload}"))
    }
}

/// A table with a key, as events say that it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub rows: BTreeMap<Vec<String>, Map<String, Value>>,
}

impl Table {
    /// The table as it is; `key` is an expression that gives the key's values as `text[]`.
    pub async fn read(client: &Client, table: &str, key: &str) -> Table {
        let rows = client.rows(&format!("select array_to_json({key}), to_jsonb(t) from {table} t")).await;
        let rows = rows.into_iter().map(|row| {
            let [key, data] = [&row[0], &row[1]].map(|text| text.as_deref().unwrap().to_owned());
            (serde_json::from_str(&key).unwrap(), serde_json::from_str(&data).unwrap())
        });
        Table { rows: rows.collect() }
    }

    /// What an event says. An event that does not fit what came before it is a failure.
    pub fn apply(&mut self, event: &Event) {
        let key = event.key();
        match event.operation() {
            "insert" => {
                let before = self.rows.insert(key, event.payload().unwrap().clone());
                assert_eq!(before, None, "inserted twice: {event}");
            }
            "update" => {
                let row = self.rows.get_mut(&key).unwrap_or_else(|| panic!("no such row: {event}"));
                for (name, value) in event.payload().unwrap() {
                    let before = row.insert(name.clone(), value.clone()).unwrap_or_else(|| panic!("no field: {event}"));
                    assert_ne!(before, *value, "not a change: {event}");
                }
            }
            "delete" => assert!(self.rows.remove(&key).is_some(), "no such row: {event}"),
            "truncate" => self.rows.clear(),
            _ => panic!("not a change: {event}"),
        }
    }
}

/// Ids rise, a transaction's events stand together, and exactly the last of each transaction is marked.
pub fn assert_in_order(events: &[Event], last: &[String]) {
    let mut lasts = Vec::new();
    for pair in events.windows(2) {
        assert!(pair[0].id() < pair[1].id(), "{} is not before {}", pair[0].text, pair[1].text);
        if pair[0].transaction() != pair[1].transaction() {
            lasts.push(pair[0].id());
        }
    }
    lasts.extend(events.last().map(Event::id));
    assert_eq!(lasts, last, "the last events of transactions");
}
