-- Subscriptions: what each session wants to be told of.

create table event.subscription (
    id uuid primary key default gen_random_uuid(),
    session_id uuid not null references event.session on delete cascade,
    kind text not null check (kind in ('table', 'column', 'row', 'field')),
    relation oid not null,
    attnum smallint,
    key_attnums smallint[],
    key text[],
    key_classes text[],
    visible smallint[],
    durable boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    waiting boolean not null default false,
    ended text,
    check ((attnum is not null) = (kind in ('column', 'field'))),
    check ((key is not null) = (kind in ('row', 'field'))),
    -- the engine reads no other arrays
    constraint subscription_list_check check (
        (key is null or cardinality(key) > 0 and array_ndims(key) = 1 and array_lower(key, 1) = 1 and array_position(key, null) is null)
        and (visible is null or coalesce(array_ndims(visible), 1) = 1 and array_position(visible, null) is null))
);
create unique index subscription_target
    on event.subscription (session_id, kind, relation, coalesce(attnum, 0), coalesce(key, '{}'))
    where ended is null;
create index subscription_relation on event.subscription (relation);
create index subscription_waiting on event.subscription (relation) where waiting;
comment on table event.subscription is
    'One row a subscription. It is in Tidewire''s own publication: the engine learns of it from the WAL, at its exact place among the changes.';
comment on column event.subscription.relation is 'The table''s oid (the root''s, of a partitioned one): a subscription follows its table through renames. Read it as relation::regclass.';
comment on column event.subscription.attnum is 'The column, of a column or field subscription.';
comment on column event.subscription.key_attnums is 'The primary key''s columns when a row or field was subscribed to.';
comment on column event.subscription.key is 'The key''s values in PostgreSQL''s text form (of values that are equal, one: event._canonical_key), in the key''s order.';
comment on column event.subscription.key_classes is 'What the key''s values were read as: the class of each one''s type and, of an enum''s label, its number.';
comment on column event.subscription.visible is 'The columns that the session''s owner may see; NULL: all.';
comment on column event.subscription.durable is 'As the session''s.';
comment on column event.subscription.waiting is
    'The table is not watched yet: the subscription takes effect as soon as the running program has prepared it. event.sync() waits for that.';
comment on column event.subscription.ended is 'Why the subscription ended; the row is deleted once that is delivered.';

-- An ending is a row of its own, since a row of event.subscription can be locked by its session: a role that has lost a privilege
-- could go on reading for as long as it holds that lock.
create table event.ending (
    id uuid primary key,
    session_id uuid not null,
    durable boolean not null,
    waiting boolean not null,
    reason text not null,
    delivered boolean not null default false
);
comment on table event.ending is
    'Subscriptions that ended by themselves. The engine learns of each from the WAL and routes nothing to it from there on; only Tidewire''s own role can lock or write these rows.';
comment on column event.ending.id is 'The subscription.';
comment on column event.ending.waiting is 'The subscription never took effect.';
comment on column event.ending.delivered is 'The session has its subscription_ended event; upkeep deletes the row with the subscription''s.';

create function event._end(subscriptions uuid[], reason text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into event.ending (id, session_id, durable, waiting, reason)
    select s.id, s.session_id, s.durable, s.waiting, _end.reason
    from event.subscription s where s.id = any (_end.subscriptions)
    on conflict (id) do nothing;
    -- a row that its session holds locked is left to upkeep: the ending does not depend on it
    update event.subscription s set ended = _end.reason
    where s.ended is null and s.id in (
        select t.id from event.subscription t where t.id = any (_end.subscriptions) for update skip locked);
end
$$;
comment on function event._end(uuid[], text) is 'Ends subscriptions, whatever locks their sessions hold.';

create table event.route (
    subscription_id uuid primary key,
    session_id uuid not null,
    kind text not null,
    relation oid not null,
    attnum smallint,
    key text[],
    visible smallint[],
    durable boolean not null,
    constraint route_key_check check (
        key is null or cardinality(key) > 0 and array_ndims(key) = 1 and array_lower(key, 1) = 1 and array_position(key, null) is null),
    constraint route_visible_check check (
        visible is null or coalesce(array_ndims(visible), 1) = 1 and array_position(visible, null) is null)
);
comment on table event.route is
    'The subscriptions as they stand at event.progress: the engine''s own copy, written with its progress, so that after a restart each change meets the subscriptions of its time.';

create function event._attnum(relation oid, column_name text) returns smallint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_attnum smallint;
    generation "char";
begin
    select a.attnum, a.attgenerated into found_attnum, generation from pg_attribute a
    where a.attrelid = relation and a.attname = column_name and a.attnum > 0 and not a.attisdropped;
    if found_attnum is null then
        raise exception 'column "%" of relation "%" does not exist', column_name, relation::regclass
            using errcode = 'undefined_column';
    end if;
    if generation <> '' and (generation <> 's' or current_setting('server_version_num')::int < 180000) then
        raise exception 'column "%" of relation "%" is generated', column_name, relation::regclass
            using errcode = 'feature_not_supported', detail = 'Generated columns are not in the WAL''s stream of this PostgreSQL.';
    end if;
    return found_attnum;
end
$$;
comment on function event._attnum(oid, text) is 'The number of a column that can be subscribed to.';

create function event._is_list(texts text[]) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- array_position is an error in an array of several dimensions
    select case when array_ndims(texts) = 1 then array_lower(texts, 1) = 1 and array_position(texts, null) is null else false end
$$;
comment on function event._is_list(text[]) is 'Whether an array has one dimension that begins at 1, and no NULL.';

create function event._check_target(kind text, relation oid, attnum smallint, key_attnums smallint[], key text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if attnum is not null and not exists (select from pg_attribute a where a.attrelid = relation and a.attnum = _check_target.attnum
                                          and a.attnum > 0 and not a.attisdropped) then
        raise exception 'column % of relation "%" does not exist', attnum, relation::regclass using errcode = 'undefined_column';
    end if;
    -- in parentheses, since PL/pgSQL takes the first THEN outside of any for its own
    if (case when kind in ('row', 'field')
             then key_attnums is distinct from event._key_attnums(relation) or key is null or not event._is_list(key)
                  or cardinality(key) is distinct from cardinality(key_attnums)
             else num_nonnulls(key, key_attnums) > 0 end) then
        raise exception 'the key is not that of "%"', relation::regclass using errcode = 'invalid_parameter_value';
    end if;
end
$$;
comment on function event._check_target(text, oid, smallint, smallint[], text[]) is 'An error unless the table has the column, and a key of this form.';

create function event._do_subscribe(
    caller oid, session uuid, kind text, relation oid, attnum smallint, key_attnums smallint[], key text[]) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    subscriber constant event.session := event._session(caller, session);
    waits boolean;
    visible smallint[];
    key_classes text[];
    subscription uuid;
begin
    -- By an older snapshot it cannot be told what the table is now: then upkeep looks, after the commit.
    waits := current_setting('transaction_isolation') <> 'read committed' or not event._keep_watched(relation);
    perform event._check_watchable(relation);
    perform event._check_target(kind, relation, attnum, key_attnums, key);
    -- Both: what the owner may not see must not reach the session, and a role with which it is shared gains nothing by it.
    perform event._check_readable(caller, kind, relation, attnum);
    perform event._check_readable(subscriber.owner, kind, relation, attnum);
    waits := waits or not event._is_watched(relation);
    if waits and not event._is_watched(relation) and not event._tidewire_may_alter(relation) then
        raise exception 'must be owner of table "%"', relation::regclass
            using errcode = 'insufficient_privilege',
                  detail = 'Watching a table adds it to a publication and changes its replica identity, which only its owner may do.',
                  hint = format('Ask its owner or a superuser to run once: select event.watch(%L);', relation::regclass);
    end if;
    visible := event._visible(subscriber.owner, relation);
    if key is not null then
        key_classes := event._key_classes(relation, key);
        if not waits then
            perform event._note_key(relation);
        end if;
    end if;
    -- one that ended and is not removed yet
    delete from event.subscription s using event.ending e
    where e.id = s.id and s.session_id = subscriber.id and s.kind = _do_subscribe.kind and s.relation = _do_subscribe.relation
      -- as the index subscription_target has it: a table may have a million subscriptions, and a session too
      and coalesce(s.attnum, 0) = coalesce(_do_subscribe.attnum, 0) and coalesce(s.key, '{}') = coalesce(_do_subscribe.key, '{}')
      and s.ended is null;
    loop
        insert into event.subscription as s (session_id, kind, relation, attnum, key_attnums, key, key_classes, visible, durable,
                                             waiting)
        values (subscriber.id, _do_subscribe.kind, _do_subscribe.relation, _do_subscribe.attnum, _do_subscribe.key_attnums,
                _do_subscribe.key, key_classes, visible, subscriber.durable, waits)
        on conflict do nothing
        returning s.id into subscription;
        if subscription is not null then
            perform event._check_subscriptions(subscriber.owner, _do_subscribe.key);
            exit;
        end if;
        select s.id into subscription from event.subscription s
        where s.session_id = subscriber.id and s.kind = _do_subscribe.kind and s.relation = _do_subscribe.relation
          and coalesce(s.attnum, 0) = coalesce(_do_subscribe.attnum, 0) and coalesce(s.key, '{}') = coalesce(_do_subscribe.key, '{}')
          and s.ended is null;
        exit when subscription is not null;
    end loop;
    if waits then
        raise notice 'the subscription to table "%" does not take effect yet', relation::regclass
            using detail = 'After the commit Tidewire prepares the table, and the subscription takes effect there.',
                  hint = 'After the commit, "select event.sync()" returns once that is so.';
    end if;
    return subscription;
end
$$;
comment on function event._do_subscribe(oid, uuid, text, oid, smallint, smallint[], text[]) is
    'Subscribes for a caller, after every check. It takes no lock on the table: where the table has to be prepared, the running program does that.';

create function event._subscribe(session uuid, kind text, relation oid, attnum smallint, key_attnums smallint[], key text[])
returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    subscription uuid;
begin
    insert into event._call (command, session, kind, relation, attnum, key_attnums, key)
    values ('subscribe', _subscribe.session, _subscribe.kind, _subscribe.relation, _subscribe.attnum, _subscribe.key_attnums,
            _subscribe.key)
    returning result into subscription;
    return subscription;
end
$$;
comment on function event._subscribe(uuid, text, oid, smallint, smallint[], text[]) is
    'What the subscribe_* functions have in common; a key is in its text form.';

create function event.subscribe_table(session uuid, relation_id meta.relation_id) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation constant oid := event._relation(relation_id);
begin
    return event._subscribe(session, 'table', relation, null, null, null);
end
$$;

create function event.subscribe_column(session uuid, column_id meta.column_id) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation constant oid := event._relation((column_id).relation_id);
    attnum constant smallint := event._attnum(relation, (column_id).name);
begin
    return event._subscribe(session, 'column', relation, attnum, null, null);
end
$$;

create function event.subscribe_row(session uuid, row_id meta.row_id) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation constant oid := event._relation(meta._relation_of(row_id));
    key constant text[] := event._key_text(relation, event._key_names(row_id), (row_id).pk_values);
begin
    return event._subscribe(session, 'row', relation, null, event._key_attnums(relation), key);
end
$$;

create function event.subscribe_field(session uuid, field_id meta.field_id) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation constant oid := event._relation(meta._relation_of((field_id).row_id));
    attnum smallint;
    key constant text[] := event._key_text(relation, event._key_names((field_id).row_id), ((field_id).row_id).pk_values);
begin
    if meta._relation_of(field_id) is distinct from meta._relation_of((field_id).row_id) then
        raise exception 'the field''s column is of another relation than its row' using errcode = 'invalid_parameter_value';
    end if;
    attnum := event._attnum(relation, ((field_id).column_id).name);
    return event._subscribe(session, 'field', relation, attnum, event._key_attnums(relation), key);
end
$$;

create function event.subscribe_table(relation_id meta.relation_id) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_table(null, relation_id) $$;
create function event.subscribe_column(column_id meta.column_id) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_column(null, column_id) $$;
create function event.subscribe_row(row_id meta.row_id) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_row(null, row_id) $$;
create function event.subscribe_field(field_id meta.field_id) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_field(null, field_id) $$;

comment on function event.subscribe_table(uuid, meta.relation_id) is 'Tells the session of every row_insert, row_delete and field_update in the table.';
comment on function event.subscribe_table(meta.relation_id) is 'subscribe_table for the current session.';
comment on function event.subscribe_column(uuid, meta.column_id) is 'Tells the session of every row_insert and row_delete in the table and of each field_update in the column.';
comment on function event.subscribe_column(meta.column_id) is 'subscribe_column for the current session.';
comment on function event.subscribe_row(uuid, meta.row_id) is 'Tells the session of the row''s row_delete and of each field_update in it.';
comment on function event.subscribe_row(meta.row_id) is 'subscribe_row for the current session.';
comment on function event.subscribe_field(uuid, meta.field_id) is 'Tells the session of the row''s row_delete and of each field_update of the field.';
comment on function event.subscribe_field(meta.field_id) is 'subscribe_field for the current session.';

create function event._do_unsubscribe(caller oid, subscription uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    ending event.subscription;
begin
    select * into ending from event.subscription s where s.id = subscription;
    if not found then
        raise exception 'subscription "%" does not exist', subscription using errcode = 'undefined_object';
    end if;
    perform event._session(caller, ending.session_id);
    delete from event.subscription s where s.id = subscription;
end
$$;
comment on function event._do_unsubscribe(oid, uuid) is 'event.unsubscribe for a caller.';

create function event.unsubscribe(subscription uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, subscription) values ('unsubscribe', unsubscribe.subscription);
end
$$;
comment on function event.unsubscribe(uuid) is 'Ends a subscription. What the inbox already holds of it stays.';
