//! A session that keeps nothing: what its connection is notified of is all there is.

use super::control;
use super::inbox::{Form, Received};
use super::link::Link;

/// What was sent, in the form of an inbox's events. PostgreSQL brings values to one spelling.
const PARSED: &str = "select e ->> 'event_id', e ->> 'operation', e ->> 'subscription_type', (e -> 'row_id')::text,
           (e -> 'relation_id')::text, (e -> 'payload')::text, sent
    from (select sent, n, sent::jsonb as e from unnest($1::text[]) with ordinality as u(sent, n) offset 0) x order by n";

pub struct Live {
    pub session: String,
    link: Link,
}

impl Live {
    /// Creates the session; it lives as long as this.
    pub async fn open(url: &str) -> Live {
        let link = Link::open(url).await.expect("the server runs");
        let rows = link.rows("select event.session_create(durable => false)::text", &[]).await.unwrap();
        let session: String = rows[0].get(0);
        link.run(&control::create(&session)).await.unwrap();
        Live { session, link }
    }

    /// All that was sent since the last call, in the order in which it came.
    pub async fn hear(&mut self) -> Vec<Received> {
        // the answer brings along what was committed before it
        self.link.run("select event.sync('60 s')").await.unwrap();
        let sent = self.link.drain().into_iter().filter(|one| one.channel() == self.session);
        let sent: Vec<String> = sent.map(|one| one.payload().to_owned()).collect();
        let rows = self.link.rows(PARSED, &[&sent]).await.unwrap();
        let received = rows.iter().map(|row| Received {
            id: row.get(0),
            form: Form::Sent {
                notified: true,
                operation: row.get(1),
                kind: row.get(2),
                row_id: row.get(3),
                relation_id: row.get(4),
                payload: row.get(5),
                text: row.get(6),
            },
        });
        received.collect()
    }
}
