-- Reading an inbox: what a program does that was woken by a notification.

-- Stable, so that all of it is seen in one snapshot: an event of a large transaction is in the inbox before the progress
-- row says that the transaction is whole, and never the other way round.
create function event.read(session uuid, after text default '', max_events integer default 1000)
returns table (id text, committed_at timestamptz, xid bigint, change text, relation text, "row" json, field text,
               value json, old json, last boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    reading constant event.session := event._session(session);
    -- A page has at least one event, and ends once it holds this much: a row may be large.
    max_bytes constant bigint := 4194304;
    -- A large transaction is written in pieces, and not shown before its last one: it is seen whole or not at all.
    unfinished constant text collate "C" := (
        select upper(lpad(to_hex((p.lsn - '0/0'::pg_lsn)::bigint), 16, '0'))
        from event._progress() p where p.number not in (0, 4294967295));
begin
    if after is null or after <> '' and after !~ '^[0-9A-F]{16}-[0-9A-F]{8}$' then
        raise exception '"%" is not an event id', left(after, 100)
            using errcode = 'invalid_parameter_value',
                  hint = 'An event id is 16 hexadecimal digits, a dash and 8 hexadecimal digits, in capitals; '''' is before the first.';
    end if;
    if after collate "C" > event._reached() collate "C" then
        raise exception 'event "%" has not been delivered yet', after
            using errcode = 'invalid_parameter_value',
                  detail = 'Either it is of another database, or this one was restored to an earlier time.',
                  hint = 'Read from the start, with '''' as the place.';
    end if;
    if max_events is null or max_events < 1 then
        raise exception 'max_events must be at least 1' using errcode = 'invalid_parameter_value';
    end if;
    if not reading.durable then
        raise exception 'session "%" keeps no inbox', reading.id
            using errcode = 'object_not_in_prerequisite_state', hint = 'It was created with durable => false.';
    end if;
    return query
    select e.id, e.committed_at, e.xid, e.change,
           -- behind a schema's name the keywords table and column are names like any other
           case when e.schema_name = 'meta' then 'meta.' || e.relation_name
                else quote_ident(e.schema_name) || '.' || quote_ident(e.relation_name) end,
           e.row::json, e.field,
           case e.change when 'row_insert' then event._visible_part(e.value, e.visible)
                         when 'gap' then '{' || e.value || '}'
                         when 'subscription_ended' then '{' || e.value || '}'
                         else e.value end::json,
           case e.change when 'row_delete' then event._visible_part(e.old, e.visible) else e.old end::json,
           e.last
    from (select j.*, i.last, i.visible,
                 sum(coalesce(octet_length(j.value), 0) + coalesce(octet_length(j.old), 0))
                     over (order by i.id rows between unbounded preceding and 1 preceding) as bytes_before
          from (select x.id, x.last, x.visible from event.inbox x
                where x.session_id = reading.id and x.id > read.after and (unfinished is null or x.id < unfinished)
                order by x.id limit read.max_events) i
          join event.journal j on j.id = i.id) e
    where coalesce(e.bytes_before, 0) < max_bytes
    order by e.id;
end
$$;
comment on function event.read(uuid, text, integer) is
    'What the session''s inbox holds after an event id, in order, as far as the session''s owner may see it: a page of at most max_events, shorter when rows are large. Empty: there is no more. Acknowledge with event.ack.';
