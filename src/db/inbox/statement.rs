//! The texts of the statements that every batch has: each for itself, and all in one.

/// A statement whose parameters can begin with any number.
pub(super) struct Text(&'static str);

/// Twelve parameters, those of [`Journal`](super::columns::Journal).
pub(super) const JOURNAL: Text = Text(
    "insert into event.journal (id, committed_at, xid, change, schema_name, relation_name, key_columns, key_values, row, field,
                                value, old)
     select a, b, c, d, e, f, g::text[], h::text[], i, j, k, l
     from unnest(?::text[], ?::timestamptz[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
                 ?::text[], ?::text[], ?::text[]) as u(a, b, c, d, e, f, g, h, i, j, k, l)",
);

/// Seven parameters, those of [`Inbox`](super::columns::Inbox).
pub(super) const INBOX: Text = Text(
    "insert into event.inbox (session_id, id, kind, last, visible, bytes, total)
     select a, b, c, d, e::integer[], f, g
     from unnest(?::uuid[], ?::text[], ?::text[], ?::boolean[], ?::text[], ?::integer[], ?::bigint[])
          as u(a, b, c, d, e, f, g)",
);

/// Two parameters, those of [`Notifications`](super::columns::Notifications). Says how many are not sent. Who is to be told of such is
/// told of nothing else before; which event it was stands at the end of what would have been sent.
pub(super) const NOTIFY: Text = Text(
    "select left_out, case when left_out > 0 then (select 1 from event._skip_notifications(sessions, ids)) end,
            pg_current_wal_insert_lsn()::text
     from (select count(*) as left_out, array_agg(s) as sessions, array_agg(substr(p, length(p) - 26, 25)) as ids
           from unnest(?::uuid[], ?::text[]) as u(s, p)
           where case
               when (select pg_notification_queue_usage() < 0.5 and current_setting('transaction_read_only') = 'off')
                    and ((select not exists (select from event.unnotified))
                         or not exists (select from event.unnotified t where t.session_id = s))
               then pg_notify(s::text, p) is null
               else true end) n",
);

/// Three parameters, those of [`Place`](super::columns::Place). A piece of a transaction that nothing but attaching fills moves no
/// progress.
pub(super) const PROGRESS: Text = Text(
    "insert into event.progress (lsn, number, messages) values (?::text::pg_lsn, ?, ?)
     on conflict (lsn, number) do nothing
     returning pg_current_wal_insert_lsn()::text",
);

impl Text {
    /// The statement with parameters from `first` on.
    pub(super) fn sql(&self, first: usize) -> String {
        let mut parts = self.0.split('?');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (first..).zip(parts) {
            sql.push_str(&format!("${number}{part}"));
        }
        sql
    }
}

/// All four in one statement: the server starts one and answers once, and the program wakes up once, not four times.
pub(super) fn small() -> String {
    let (journal, inbox, notify, progress) = (JOURNAL.sql(1), INBOX.sql(13), NOTIFY.sql(20), PROGRESS.sql(22));
    format!("with journal as ({journal}), inbox as ({inbox}), progress as ({progress}) {notify}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_from_the_first_on() {
        assert_eq!(Text("a ? b ?").sql(3), "a $3 b $4");
        assert!(JOURNAL.sql(1).contains("$12") && !JOURNAL.sql(1).contains("$13"));
        assert!(small().contains("$24") && !small().contains("$25"));
    }
}
