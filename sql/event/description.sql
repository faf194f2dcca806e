-- What a watched table is made of. A row of event.watched carries it and is published like any row: the engine learns of
-- names, keys and types from the WAL, at their place among the changes, and never asks the catalog, which is ahead of it.

create function event._shape(type oid, depth integer default 0) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_type record;
begin
    select t.oid, t.typname, t.typtype, t.typbasetype, t.typrelid, e.oid as element, e.typdelim into found_type
    from pg_type t
    left join pg_type e on e.oid = t.typelem and t.typsubscript = 'array_subscript_handler'::regproc
    where t.oid = type;
    -- deeper than any sane type is told as text
    if not found or depth > 32 then
        return '{"scalar":25}';
    end if;
    if found_type.typtype = 'd' then
        return event._shape(found_type.typbasetype, depth + 1);
    elsif found_type.typtype = 'c' then
        return json_build_object('composite', (
            select coalesce(json_agg(json_build_object('name', a.attname, 'shape', event._shape(a.atttypid, depth + 1))
                                     order by a.attnum), '[]')
            from pg_attribute a where a.attrelid = found_type.typrelid and a.attnum > 0 and not a.attisdropped));
    -- but for int2vector and oidvector, which are written in a way of their own
    elsif found_type.element is not null and found_type.oid not in (22, 30) then
        return json_build_object('array', event._shape(found_type.element, depth + 1), 'delimiter', found_type.typdelim);
    end if;
    if exists (select from pg_depend d
               join pg_extension x on d.refclassid = 'pg_extension'::regclass and x.oid = d.refobjid
               where d.classid = 'pg_type'::regclass and d.objid = found_type.oid and d.deptype = 'e'
               and x.extname = 'hstore' and found_type.typname = 'hstore') then
        return '{"known":"hstore"}';
    end if;
    return json_build_object('scalar', found_type.oid::bigint);
end
$$;
comment on function event._shape(oid, integer) is 'What a type is made of, down to PostgreSQL''s own types.';

create function event._describe(relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select json_build_object(
        'schema', case when event._mirrors(relation) is null then n.nspname else 'meta' end,
        'name', coalesce(event._mirrors(relation), c.relname),
        'key', event._key_attnums(relation),
        'columns', (select coalesce(json_agg(json_build_object('name', a.attname, 'attnum', a.attnum,
                                                               'shape', event._shape(a.atttypid)) order by a.attnum), '[]')
                    from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped),
        'partitions', (select json_agg(json_build_object('oid', l.oid::bigint, 'schema', ln.nspname, 'name', l.relname)
                                       order by l.oid)
                       from pg_class l join pg_namespace ln on ln.oid = l.relnamespace
                       where c.relkind = 'p' and l.oid in (select event._leaves(relation))))::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation
$$;
comment on function event._describe(oid) is 'A table''s names, key, columns with their types, and partitions, as JSON.';

create function event._redescribe(relations oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    partitioned boolean;
begin
    with now as (
        select w.relation, event._describe(w.relation) as description
        from event.watched w where relations is null or w.relation = any (relations)
    ), changed as (
        update event.watched w set description = now.description
        from now
        where w.relation = now.relation and now.description is not null and now.description is distinct from w.description
        returning w.relation
    )
    select bool_or(c.relkind = 'p') into partitioned from changed h join pg_class c on c.oid = h.relation;
    -- PostgreSQL 14's walsender keeps to what it knew of a table before that was attached: not published. It thinks again
    -- when the publication changes.
    if partitioned and current_setting('server_version_num')::int < 150000 then
        execute format('alter publication %I set (publish_via_partition_root = false)', event._publication());
    end if;
end
$$;
comment on function event._redescribe(oid[]) is 'Brings the descriptions of these watched tables up to date; NULL: of all.';

create table event.described (
    relation oid primary key,
    description text not null
);
comment on table event.described is
    'The descriptions as they stand at event.progress: the engine''s own copy, for the same reason as event.route.';

create table event.overdue (
    since timestamptz not null default clock_timestamp()
);
comment on table event.overdue is
    'One row a schema change that the event trigger could not follow at once, because somebody held a lock: the sweep does.';
