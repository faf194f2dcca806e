-- What people type: tables and rows by name and plain values, and what is subscribed to in words.
--
-- A file of its own, because nothing here does anything: each function is a short form of one in subscription.sql. A name is
-- resolved by the caller: as a regclass before the call, or, of a text, by a body that was parsed when it was created, so that
-- only the name itself meets the caller's search path.

create function event._relation(relation regclass) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    class record;
begin
    select n.nspname, c.relname into class from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
    if not found then
        raise exception 'relation % does not exist', coalesce(quote_literal(relation), 'null')
            using errcode = 'undefined_table', hint = 'Name it as you do in a query: ''public.person''.';
    end if;
    -- of a relation of meta, what mirrors it
    return event._relation(meta.relation_id(class.nspname, class.relname));
end
$$;
comment on function event._relation(regclass) is 'The oid of the table, or of what mirrors a relation of meta.';

create function event._row_key(relation oid, value text) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    columns constant text[] := array(
        select a.attname::text
        from unnest(event._key_attnums(relation)) with ordinality u (attnum, place)
        join pg_attribute a on a.attrelid = relation and a.attnum = u.attnum order by u.place);
    given text[] := array[value];
begin
    if cardinality(columns) > 1 then
        begin
            given := value::text[];
        exception when data_exception then
            given := null;
        end;
        if cardinality(given) is distinct from cardinality(columns) then
            raise exception 'the primary key of "%" is (%)', relation::regclass, array_to_string(columns, ', ')
                using errcode = 'invalid_parameter_value',
                      hint = format('Give its values in this order as an array of %s texts.', cardinality(columns));
        end if;
    end if;
    return event._key_text(relation, columns, given);
end
$$;
comment on function event._row_key(oid, text) is 'A key as subscriptions have it, from its value; of several columns an array''s text, in the key''s order.';

create function event.subscribe_table(relation regclass, session uuid default null) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return event._subscribe(session, 'table', event._relation(relation), null, null, null);
end
$$;

create function event.subscribe_column(relation regclass, column_name text, session uuid default null) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target constant oid := event._relation(relation);
begin
    return event._subscribe(session, 'column', target, event._attnum(target, column_name), null, null);
end
$$;

create function event.subscribe_row(relation regclass, key text, session uuid default null) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target constant oid := event._relation(relation);
begin
    return event._subscribe(session, 'row', target, null, event._key_attnums(target), event._row_key(target, key));
end
$$;

create function event.subscribe_field(relation regclass, key text, column_name text, session uuid default null) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target constant oid := event._relation(relation);
begin
    return event._subscribe(session, 'field', target, event._attnum(target, column_name), event._key_attnums(target),
                            event._row_key(target, key));
end
$$;

-- The value's text is read again by the caller's settings: this form of it is read alike by all of them.
create function event.subscribe_row(relation regclass, key anyelement, session uuid default null) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_row(relation, case when key is not null then event._pinned_text(key) end, session) $$;
create function event.subscribe_field(relation regclass, key anyelement, column_name text, session uuid default null) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select event.subscribe_field(relation, case when key is not null then event._pinned_text(key) end, column_name, session) $$;

create function event.subscribe_table(relation text, session uuid default null) returns uuid
language sql volatile
begin atomic select event.subscribe_table(relation::regclass, session); end;
create function event.subscribe_column(relation text, column_name text, session uuid default null) returns uuid
language sql volatile
begin atomic select event.subscribe_column(relation::regclass, column_name, session); end;
create function event.subscribe_row(relation text, key text, session uuid default null) returns uuid
language sql volatile
begin atomic select event.subscribe_row(relation::regclass, key, session); end;
create function event.subscribe_field(relation text, key text, column_name text, session uuid default null) returns uuid
language sql volatile
begin atomic select event.subscribe_field(relation::regclass, key, column_name, session); end;

comment on function event.subscribe_table(regclass, uuid) is 'subscribe_table by the table''s name; without a session for the current one.';
comment on function event.subscribe_table(text, uuid) is 'subscribe_table by the table''s name, which the caller''s search path resolves.';
comment on function event.subscribe_column(regclass, text, uuid) is 'subscribe_column by names; without a session for the current one.';
comment on function event.subscribe_column(text, text, uuid) is 'subscribe_column by names; the caller''s search path resolves the table''s.';
comment on function event.subscribe_row(regclass, text, uuid) is 'subscribe_row by the table''s name and the key''s value, of several columns an array of texts; without a session for the current one.';
comment on function event.subscribe_row(regclass, anyelement, uuid) is 'subscribe_row by the table''s name and the key''s value.';
comment on function event.subscribe_row(text, text, uuid) is 'subscribe_row by the table''s name, which the caller''s search path resolves, and the key''s value.';
comment on function event.subscribe_field(regclass, text, text, uuid) is 'subscribe_field by the table''s name, the key''s value and the column''s name; without a session for the current one.';
comment on function event.subscribe_field(regclass, anyelement, text, uuid) is 'subscribe_field by the table''s name, the key''s value and the column''s name.';
comment on function event.subscribe_field(text, text, text, uuid) is 'subscribe_field by names and the key''s value; the caller''s search path resolves the table''s.';

-- With the rights of Tidewire's role, and so with the condition of event.subscription's policy: a view cannot leave that to the
-- reader's rights on PostgreSQL 14.
create view event.subscribed with (security_barrier) as
select s.id, s.session_id, x.name as session, x.owner, s.kind,
       coalesce((select event._shown_name(case when m.name is null then n.nspname else 'meta' end, coalesce(m.name, c.relname))
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 cross join lateral event._mirrors(c.oid) m (name) where c.oid = s.relation), s.relation::text) as relation,
       (select a.attname from pg_attribute a where a.attrelid = s.relation and a.attnum = s.attnum and not a.attisdropped) as "column",
       (select json_object_agg(a.attname, u.value order by u.place)
        from unnest(s.key_attnums, s.key) with ordinality u (attnum, value, place)
        join pg_attribute a on a.attrelid = s.relation and a.attnum = u.attnum) as key,
       case when s.ended is not null then 'ended: ' || s.ended when s.waiting then 'waiting' else 'active' end as state,
       s.created_at
from event.subscription s join event.session x on x.id = s.session_id
where event._may_use((select r.oid from pg_roles r where r.rolname = current_user), x.owner, x.shared_with);
comment on view event.subscribed is 'What is subscribed to, in names: event.subscription for people. A role sees its own and what is shared with it.';
comment on column event.subscribed.session is 'The session''s name, if it has one.';
comment on column event.subscribed.key is 'The key of a row or field, by the names of its columns.';
comment on column event.subscribed.state is 'active, waiting (the table is being prepared), or why it ended.';
