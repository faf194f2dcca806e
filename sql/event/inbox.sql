-- What happened (the journal, once) and who has not acknowledged it yet (the inbox, narrow rows).

create table event.journal (
    id text collate "C" not null,
    committed_at timestamptz not null,
    xid bigint not null,
    change text not null,
    schema_name text,
    relation_name text,
    key_columns text[],
    key_values text[],
    row text,
    field text,
    value text,
    old text,
    primary key (id)
) partition by range (id);
comment on table event.journal is 'Each change that some durable session is told of, once. Partitioned by place in the WAL; partitions that nobody needs are dropped.';
comment on column event.journal.id is 'Commit LSN in 16 hexadecimal digits, a dash, the change''s number in its transaction in 8: text order is event order.';
comment on column event.journal.xid is 'The writer''s transaction id, as in the WAL (32 bits).';
comment on column event.journal.key_values is 'The key in PostgreSQL''s text form, as row identifiers carry it.';
comment on column event.journal.row is 'The key as JSON with its types: {"id":3}.';
comment on column event.journal.value is 'JSON: the inserted row, the field''s new value, or what a gap or an ended subscription says.';
comment on column event.journal.old is 'JSON: the deleted row or the field''s old value.';

create table event.inbox (
    session_id uuid not null,
    id text collate "C" not null,
    kind text not null,
    last boolean not null,
    visible integer[],
    bytes integer not null default 0,
    total bigint not null default 0,
    primary key (session_id, id)
) partition by range (id);
comment on table event.inbox is 'Which event waits for which session.';
comment on column event.inbox.kind is 'The widest of the session''s matching subscriptions: table, column, row, field.';
comment on column event.inbox.last is 'It is the last event of its transaction for this session.';
comment on column event.inbox.visible is
    'Where in the row''s JSON the columns stand that the session''s owner may see: of each run of them the first byte, counted from 1, and their number, in UTF-8; NULL: all may be seen.';
comment on column event.inbox.bytes is 'What the event weighs, roughly.';
comment on column event.inbox.total is 'The weights of the session''s events up to this one, added up since its inbox was last empty at a start of the engine: two of them tell what lies between.';

-- The engine says where the columns stand that may be seen (src/delivery/visible.rs), and they are copied as they are: nothing is
-- read of the text, whatever a column of type json holds.
create function event._visible_part(data text, visible integer[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The engine counts in UTF-8, whatever the database's encoding is.
    bytes bytea;
begin
    if visible is null or data is null then
        return data;
    end if;
    bytes := convert_to(data, 'UTF8');
    return '{' || coalesce((
        select convert_from(string_agg(substring(bytes from visible[2 * r.run - 1] for visible[2 * r.run]), ',' order by r.run), 'UTF8')
        from generate_series(1, cardinality(visible) / 2) as r(run)), '') || '}';
end
$$;
comment on function event._visible_part(text, integer[]) is
    'A row''s JSON without the columns that may not be seen, by where the others stand.';

-- The same bytes as the engine's own rendering (src/delivery/notify.rs); a test holds them together.
create function event._notification(id text, change text, schema_name text, relation_name text, key_columns text[], key_values text[],
                                    field text, data text, kind text, visible integer[], max_bytes integer default null) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    head text;
    row_id text := 'null';
    tail constant text := ', "event_id" : "' || id || '"}';
    whole text;
begin
    if change in ('gap', 'subscription_ended') then
        return '{"operation" : "' || change || '", ' || data || tail;
    end if;
    head := '{"operation" : "'
        || case change when 'row_insert' then 'insert' when 'row_delete' then 'delete' when 'field_update' then 'update' else change end
        || '", "subscription_type" : "' || kind || '"';
    if change = 'truncate' then
        return head || ', "relation_id" : ' || meta.relation_id(schema_name, relation_name)::json::text || tail;
    end if;
    if key_columns is not null then
        row_id := meta.row_id(schema_name, relation_name, key_columns, key_values)::json::text;
    end if;
    -- The engine counts in UTF-8, whatever the database's encoding is; no encoding has texts that are four times as long. What is far too
    -- long is not even fetched.
    if max_bytes is null
       or visible is null and coalesce(octet_length(data), 0) <= 4 * max_bytes
       or visible is not null
          and (select coalesce(sum(v.number), 0) from unnest(visible) with ordinality as v(number, place) where v.place % 2 = 0) <= max_bytes
    then
        whole := head || ', "row_id" : ' || row_id
            || case when data is null then '' when change = 'field_update' then ', "payload" : {' || to_json(field)::text || ' : ' || data || '}'
                    else ', "payload" : ' || event._visible_part(data, visible) end
            || tail;
        if max_bytes is null or octet_length(convert_to(whole, 'UTF8')) <= max_bytes then
            return whole;
        end if;
    end if;
    whole := head || ', "row_id" : ' || row_id || ', "truncated" : true' || tail;
    if octet_length(convert_to(whole, 'UTF8')) > max_bytes then
        whole := head || ', "row_id" : null, "truncated" : true' || tail;
    end if;
    return whole;
end
$$;
comment on function event._notification(text, text, text, text, text[], text[], text, text, text, integer[], integer) is
    'The event as NOTIFY carries it; over max_bytes without its payload. data is what of the journal''s row goes out: its value, and old of a deleted row without a key.';

create function event._notification(j event.journal, kind text, visible integer[], max_bytes integer default null) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select event._notification((j).id, (j).change, (j).schema_name, (j).relation_name, (j).key_columns, (j).key_values, (j).field,
                               case when (j).change <> 'row_delete' then (j).value when (j).key_columns is null then (j).old end,
                               kind, visible, max_bytes)
$$;
comment on function event._notification(event.journal, text, integer[], integer) is
    'The same of a whole row of the journal, all of which is fetched for it.';

create view event._event with (security_barrier) as
select i.id, i.session_id,
       event._notification(j.id, j.change, j.schema_name, j.relation_name, j.key_columns, j.key_values, j.field,
                           case when j.change <> 'row_delete' then j.value when j.key_columns is null then j.old end,
                           i.kind, i.visible)::json as event,
       j.committed_at as created_at
from event.inbox i
join event.journal j on j.id = i.id
join event.session s on s.id = i.session_id
where event._may_use((select r.oid from pg_roles r where r.rolname = current_user), s.owner, s.shared_with);
comment on view event._event is 'What event.event shows; nobody writes to it, so that nobody can lock what it reads.';

create view event.event as select e.id, e.session_id, e.event, e.created_at from event._event e;
comment on view event.event is 'What each session has not acknowledged yet. DELETE removes from the inbox.';
comment on column event.event.id is 'The event''s place in the total order; ORDER BY id is commit order.';
comment on column event.event.event is 'The event as it was sent with NOTIFY, whole.';
comment on column event.event.created_at is 'When the change was committed.';

create function event._event_delete() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from event.inbox i where i.session_id = old.session_id and i.id = old.id;
    if not found then
        return null;
    end if;
    return old;
end
$$;
comment on function event._event_delete() is 'DELETE on event.event: removes from the inbox.';
create trigger event_delete instead of delete on event.event for each row execute function event._event_delete();

create function event._shown_name(schema_name text, relation_name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    -- behind a schema's name the keywords table and column are names like any other
    select case when schema_name = 'meta' then 'meta.' || relation_name
                else quote_ident(schema_name) || '.' || quote_ident(relation_name) end
$$;
comment on function event._shown_name(text, text) is 'A relation''s name as it is written in a statement, whatever the session''s settings.';

create view event.change with (security_barrier) as
select j.id, j.committed_at, j.xid, j.change,
       event._shown_name(j.schema_name, j.relation_name) as relation,
       j.row::json as row, j.field,
       case when j.change = 'row_insert' then event._visible_part(j.value, seen.visible) else j.value end::json as value
from event.journal j
join lateral (
    select null::integer[] as visible from event.installation
    where pg_has_role(current_user, (select n.nspowner from pg_namespace n where n.nspname = 'event'), 'usage')
    union all
    select i.visible from event.session s join event.inbox i on i.session_id = s.id and i.id = j.id
    where event._may_use((select r.oid from pg_roles r where r.rolname = current_user), s.owner, s.shared_with)
    limit 1
) seen on true
where j.change in ('row_insert', 'row_delete', 'field_update', 'truncate');
comment on view event.change is 'The log of changes, one row each, as far as the caller''s sessions hold them; Tidewire''s own role sees all that is kept.';

create function event._ack(caller oid, session uuid, through text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    acking constant event.session := event._session(caller, session);
begin
    if through is null or through !~ '^[0-9A-F]{16}-[0-9A-F]{8}$' then
        raise exception '"%" is not an event id', left(through, 100)
            using errcode = 'invalid_parameter_value',
                  hint = 'An event id is 16 hexadecimal digits, a dash and 8 hexadecimal digits, in capitals.';
    end if;
    if not acking.durable then
        raise exception 'session "%" keeps no inbox', acking.id
            using errcode = 'object_not_in_prerequisite_state', hint = 'It was created with durable => false.';
    end if;
    -- When nothing is left at or below it, it was acknowledged before: a client that does not know does it again.
    if not exists (select from event.inbox i where i.session_id = acking.id and i.id = through)
       and (through collate "C" > event._reached()
            or exists (select from event.inbox i where i.session_id = acking.id and i.id < through)) then
        raise exception 'event "%" is not in the inbox of session "%"', through, acking.id
            using errcode = 'undefined_object', hint = 'Acknowledge the id of an event that the session was sent.';
    end if;
    delete from event.inbox i where i.session_id = acking.id and i.id <= through;
end
$$;
comment on function event._ack(oid, uuid, text) is 'event.ack for a caller.';

create function event.ack(session uuid, through text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, session, through) values ('ack', ack.session, ack.through);
end
$$;
comment on function event.ack(uuid, text) is 'Everything up to and including that event is done: it leaves the inbox.';
