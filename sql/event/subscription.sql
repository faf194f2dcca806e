-- Subscriptions: what each session wants to be told of.

create table event.subscription (
    id uuid primary key default gen_random_uuid(),
    session_id uuid not null references event.session on delete cascade,
    kind text not null check (kind in ('table', 'column', 'row', 'field')),
    relation oid not null,
    attnum smallint,
    key_attnums smallint[],
    key text[],
    visible smallint[],
    durable boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    ended text,
    check ((attnum is not null) = (kind in ('column', 'field'))),
    check ((key is not null) = (kind in ('row', 'field')))
);
create unique index subscription_target
    on event.subscription (session_id, kind, relation, coalesce(attnum, 0), coalesce(key, '{}'))
    where ended is null;
create index subscription_relation on event.subscription (relation);
comment on table event.subscription is
    'One row a subscription. It is in Tidewire''s own publication: the engine learns of it from the WAL, at its exact place among the changes.';
comment on column event.subscription.relation is 'The table''s oid (the root''s, of a partitioned one): a subscription follows its table through renames. Read it as relation::regclass.';
comment on column event.subscription.attnum is 'The column, of a column or field subscription.';
comment on column event.subscription.key_attnums is 'The primary key''s columns when a row or field was subscribed to.';
comment on column event.subscription.key is 'The key''s values in PostgreSQL''s text form (numbers without zeros at the end), in the key''s order.';
comment on column event.subscription.visible is 'The columns that the session''s owner may see; NULL: all.';
comment on column event.subscription.durable is 'As the session''s.';
comment on column event.subscription.ended is 'Why the subscription ended; the row goes once the session has been told.';

create table event.route (
    subscription_id uuid primary key,
    session_id uuid not null,
    kind text not null,
    relation oid not null,
    attnum smallint,
    key text[],
    visible smallint[],
    durable boolean not null
);
comment on table event.route is
    'The subscriptions as they stand at event.progress: the engine''s own copy, written with its progress, so that after a restart each change meets the subscriptions of its time.';

create function event._pinned_text(value anyelement) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
set extra_float_digits = 1
set quote_all_identifiers = off
as $$ select format('%s', value) $$;
comment on function event._pinned_text(anyelement) is 'A value''s text as the engine sees it in the WAL''s stream.';

-- Runs with the caller's rights: a cast may run code that belongs to a type.
create function event._key_text(relation oid, columns text[], given text[]) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_attnums constant smallint[] := event._key_attnums(relation);
    key_columns text[];
    result text[] := '{}';
    key_attnum smallint;
    at integer;
    type_name text;
    category "char";
    base_type regtype;
    value text;
begin
    if key_attnums is null then
        raise exception 'table "%" has no primary key', relation::regclass
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Without a key a row has no name. Add a primary key, or subscribe to the table or to a column.';
    end if;
    select array_agg(a.attname::text order by array_position(key_attnums, a.attnum)) into key_columns
    from pg_attribute a where a.attrelid = relation and a.attnum = any (key_attnums);
    if not (columns @> key_columns and columns <@ key_columns and cardinality(columns) = cardinality(key_columns)) then
        raise exception 'the primary key of "%" is (%), not (%)', relation::regclass,
                array_to_string(key_columns, ', '), array_to_string(columns, ', ')
            using errcode = 'invalid_column_reference', hint = 'Name the row by all columns of its primary key.';
    end if;
    foreach key_attnum in array key_attnums loop
        at := array_position(columns, (select a.attname::text from pg_attribute a
                                       where a.attrelid = relation and a.attnum = key_attnum));
        if given[at] is null then
            raise exception 'a key value is never null (column "%")', columns[at] using errcode = 'null_value_not_allowed';
        end if;
        with recursive base (oid) as (
            select a.atttypid from pg_attribute a where a.attrelid = relation and a.attnum = key_attnum
            union all
            select t.typbasetype from base b join pg_type t on t.oid = b.oid and t.typtype = 'd'
        )
        select format_type(a.atttypid, a.atttypmod), t.typcategory,
               (select b.oid from base b join pg_type t on t.oid = b.oid and t.typtype <> 'd')
        into type_name, category, base_type
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum = key_attnum;
        begin
            -- A cast would cut a text that is too long for the column, and name another row.
            execute format(case when category in ('S', 'V', 'A', 'C')
                                then 'select event._pinned_text(v) from jsonb_to_record(jsonb_build_object(''v'', %L::text)) as r(v %s)'
                                else 'select event._pinned_text(%L::%s)' end, given[at], type_name) into value;
            -- Of numbers that are equal the engine knows one spelling (src/subscription/key.rs).
            value := case when base_type = 'numeric'::regtype then trim_scale(value::numeric)::text
                          when base_type in ('float4'::regtype, 'float8'::regtype) and value = '-0' then '0'
                          else value end;
        exception when data_exception or check_violation then
            raise exception '"%" is no value of key column "%"', left(given[at], 200), columns[at]
                using errcode = 'invalid_parameter_value', detail = sqlerrm,
                      hint = format('The column''s type is %s.', type_name);
        end;
        result := result || value;
    end loop;
    return result;
end
$$;
comment on function event._key_text(oid, text[], text[]) is 'Brings a key''s values into the key''s order and into the text form of its columns.';

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

create function event._check_target(kind text, relation oid, attnum smallint, key_attnums smallint[], key text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if attnum is not null and not exists (select from pg_attribute a where a.attrelid = relation and a.attnum = _check_target.attnum
                                          and a.attnum > 0 and not a.attisdropped) then
        raise exception 'column % of relation "%" does not exist', attnum, relation::regclass using errcode = 'undefined_column';
    end if;
    if kind in ('row', 'field') and (key_attnums is distinct from event._key_attnums(relation)
                                     or cardinality(key) is distinct from cardinality(key_attnums)) then
        raise exception 'the key is not that of "%"', relation::regclass using errcode = 'invalid_parameter_value';
    end if;
end
$$;
comment on function event._check_target(text, oid, smallint, smallint[], text[]) is 'An error unless the table has the column, and a key of this form.';

create function event._subscribe(session uuid, kind text, relation oid, attnum smallint, key_attnums smallint[], key text[])
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    subscriber constant event.session := event._session(session);
    visible smallint[];
    subscription uuid;
begin
    perform event._keep_watched(relation);
    perform event._check_watchable(relation);
    perform event._check_target(kind, relation, attnum, key_attnums, key);
    -- Both: what the owner may not see must not reach the session, and who shares a session gains nothing by it.
    perform event._check_readable(event._caller(), kind, relation, attnum);
    perform event._check_readable(subscriber.owner, kind, relation, attnum);
    perform event._watch(relation);
    -- from here on nothing is taken from the table
    perform event._check_target(kind, relation, attnum, key_attnums, key);
    visible := event._visible(subscriber.owner, relation);
    loop
        insert into event.subscription as s (session_id, kind, relation, attnum, key_attnums, key, visible, durable)
        values (subscriber.id, _subscribe.kind, _subscribe.relation, _subscribe.attnum, _subscribe.key_attnums,
                _subscribe.key, visible, subscriber.durable)
        on conflict do nothing
        returning s.id into subscription;
        exit when subscription is not null;
        select s.id into subscription from event.subscription s
        where s.session_id = subscriber.id and s.kind = _subscribe.kind and s.relation = _subscribe.relation
          and s.attnum is not distinct from _subscribe.attnum and s.key is not distinct from _subscribe.key
          and s.ended is null;
        exit when subscription is not null;
    end loop;
    return subscription;
end
$$;
comment on function event._subscribe(uuid, text, oid, smallint, smallint[], text[]) is
    'Subscribes after every check. The subscribe_* functions call it with a key in its text form.';

create function event.subscribe_table(session uuid, relation_id meta.relation_id) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation constant oid := event._relation(relation_id);
begin
    perform event._watch_as_caller(relation);
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
    perform event._watch_as_caller(relation);
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
    perform event._watch_as_caller(relation);
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
    perform event._watch_as_caller(relation);
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

create function event.unsubscribe(subscription uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ending event.subscription;
begin
    select * into ending from event.subscription s where s.id = subscription;
    if not found then
        raise exception 'subscription "%" does not exist', subscription using errcode = 'undefined_object';
    end if;
    perform event._session(ending.session_id);
    delete from event.subscription s where s.id = subscription;
end
$$;
comment on function event.unsubscribe(uuid) is 'Ends a subscription. What the inbox already holds of it stays.';
