-- What a watched table is made of. A row of event.watched carries it and is published like any row: the engine learns of
-- names, keys and types from the WAL, at their place among the changes, and never asks the catalog, which is ahead of it.

-- A type of 17 levels with two parts each has 131,072: what is made of a type is bounded by what it is made of, not by how deep it is.
create function event._shape(type oid, room integer, depth integer, out shape text, out room_left integer)
language plpgsql stable
-- it is called for each part: to plan its look-ups takes longer than they do
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    found_type record;
    attribute record;
    parts text[] := '{}';
begin
    shape := '{"scalar":25}';
    room_left := room;
    select t.oid, t.typname, t.typtype, t.typbasetype, t.typrelid, e.oid as element, e.typdelim into found_type
    from pg_type t
    -- but for int2vector and oidvector, which are written in a way of their own
    left join pg_type e on e.oid = t.typelem and t.typsubscript = 'array_subscript_handler'::regproc and t.oid not in (22, 30)
    where t.oid = type;
    -- deeper than any sane type is told as text
    if not found or depth > 32 then
        return;
    end if;
    if found_type.typtype = 'd' then
        select s.shape, s.room_left into shape, room_left from event._shape(found_type.typbasetype, room, depth + 1) s;
    elsif found_type.typtype = 'c' then
        for attribute in
            -- plain: there is nothing in it. Each is looked up: most have few attributes
            select a.attname, a.atttypid, t.is_plain
            from pg_attribute a cross join lateral (
                select t.typtype in ('b', 'e', 'r', 'm') and t.typname <> 'hstore'
                       and (t.typsubscript <> 'array_subscript_handler'::regproc or t.oid in (22, 30)) as is_plain
                from pg_type t where t.oid = a.atttypid offset 0) t
            where a.attrelid = found_type.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum
        loop
            room_left := room_left - 1;
            if room_left >= 0 and attribute.is_plain then
                shape := '{"scalar":' || attribute.atttypid || '}';
            elsif room_left >= 0 then
                select s.shape, s.room_left into shape, room_left from event._shape(attribute.atttypid, room_left, depth + 1) s;
            end if;
            if room_left < 0 then
                return;
            end if;
            parts := parts || ('{"name":' || to_json(attribute.attname::text) || ',"shape":' || shape || '}');
        end loop;
        shape := '{"composite":[' || array_to_string(parts, ',') || ']}';
    elsif found_type.element is not null then
        select s.shape, s.room_left into shape, room_left from event._shape(found_type.element, room, depth + 1) s;
        shape := '{"array":' || shape || ',"delimiter":' || to_json(found_type.typdelim::text) || '}';
    elsif found_type.typname = 'hstore'
          and exists (select from pg_depend d
                      join pg_extension x on d.refclassid = 'pg_extension'::regclass and x.oid = d.refobjid
                      where d.classid = 'pg_type'::regclass and d.objid = found_type.oid and d.deptype = 'e' and x.extname = 'hstore') then
        shape := '{"known":"hstore"}';
    else
        shape := '{"scalar":' || found_type.oid || '}';
    end if;
end
$$;
comment on function event._shape(oid, integer, integer) is
    'What a type is made of, down to PostgreSQL''s own types, and how much of the room for its parts is left: less than none, if it has more.';

create function event._column_shapes(relation oid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- A row has at most 1600 columns. A type that is made of one such is told, and a table that has two of them.
    most_of_column constant integer := 1600;
    room integer := 3200;
    generated_too constant boolean := current_setting('server_version_num')::int >= 180000;
    attribute record;
    part_room integer;
    part_left integer;
    shape text;
    parts text[] := '{}';
begin
    for attribute in
        select a.attname, a.attnum, a.atttypid, t.typtype in ('b', 'e', 'r', 'm') and t.typname <> 'hstore'
               and (t.typsubscript <> 'array_subscript_handler'::regproc or t.oid in (22, 30)) as is_plain
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
              -- generated ones are in the stream from PostgreSQL 18 on, and only if they are stored
              and (a.attgenerated = '' or a.attgenerated = 's' and generated_too)
        order by a.attnum
    loop
        shape := '{"scalar":' || attribute.atttypid || '}';
        if not attribute.is_plain and room <= 0 then
            shape := '{"scalar":25}';
        elsif not attribute.is_plain then
            part_room := least(most_of_column, room);
            select s.shape, s.room_left into shape, part_left from event._shape(attribute.atttypid, part_room, 0) s;
            if part_left < 0 then
                shape := '{"scalar":25}';
            end if;
            -- what was looked at in vain was looked at too
            room := room - part_room + greatest(part_left, 0);
        end if;
        parts := parts || ('{"name":' || to_json(attribute.attname::text) || ',"attnum":' || attribute.attnum
                           || ',"type":' || attribute.atttypid || ',"shape":' || shape || '}');
    end loop;
    return '[' || array_to_string(parts, ',') || ']';
end
$$;
comment on function event._column_shapes(oid) is
    'A table''s columns with what their types are made of; what is made of too many parts is told as text.';

create function event._layout(partition oid, root oid) returns json
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when bool_and(a.attnum = r.attnum) is not true or l.relnatts <> c.relnatts
                then json_build_object('natts', l.relnatts, 'columns', json_agg(json_build_array(a.attnum, r.attnum) order by a.attnum)) end
    from pg_class l join pg_class c on c.oid = root
    join pg_attribute r on r.attrelid = c.oid and r.attnum > 0 and not r.attisdropped
         and (r.attgenerated = '' or r.attgenerated = 's' and current_setting('server_version_num')::int >= 180000)
    join pg_attribute a on a.attrelid = l.oid and a.attname = r.attname
    where l.oid = partition
    group by l.relnatts, c.relnatts
$$;
comment on function event._layout(oid, oid) is
    'The numbers of a partition''s columns beside those of its root''s columns of the same name; NULL where both have the same.';

create function event._describe(relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select event._readable(json_build_object(
        'schema', case when event._mirrors(relation) is null then n.nspname else 'meta' end,
        'name', coalesce(event._mirrors(relation), c.relname),
        'natts', c.relnatts,
        'key', event._key_attnums(relation),
        'key_forms', event._key_forms(relation),
        'columns', event._column_shapes(relation),
        'partitions', case when c.relkind = 'p' then coalesce(
                          (select json_agg(json_build_object('oid', l.oid::bigint, 'schema', ln.nspname, 'name', l.relname,
                                                             'layout', event._layout(l.oid, relation))
                                           order by l.oid)
                           from event._leaves(relation) f join pg_class l on l.oid = f join pg_namespace ln on ln.oid = l.relnamespace), '[]') end)::text)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation
$$;
comment on function event._describe(oid) is 'A table''s names, key, columns with their types, partitions, and how many columns it has ever had, as JSON.';

-- What a schema change does to rows is not in the stream: those of a partition that joins with rows, a new column's default, a
-- column's values in another type. (A partition that leaves the engine tells by the descriptions.)
create function event._came_with_rows(partition oid) returns boolean
language plpgsql stable
-- no policy's code: an error instead
set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    joined xid;
    result boolean;
begin
    if pg_relation_size(partition) = 0 then
        return false;
    elsif exists (select from pg_event_trigger t where t.evtname = 'tidewire_ddl' and t.evtenabled in ('O', 'A')) then
        -- it is joining just now
        return true;
    end if;
    select h.xmin into joined from pg_inherits h where h.inhrelid = partition;
    -- what came first stands first
    execute format('select age(p.xmin) >= age($1) from only %s p limit 1', partition::regclass) into result using joined;
    return coalesce(result, false);
end
$$;
comment on function event._came_with_rows(oid) is 'Whether a partition had rows when it joined its table, as far as they are there still.';

create function event._rewrites(relation oid, former json, now json) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
            select from json_array_elements(case when former ->> 'partitions' is null then '[]' else former -> 'partitions' end) p (part)
            right join json_array_elements(case when now ->> 'partitions' is null then '[]' else now -> 'partitions' end) n (part)
                 on n.part ->> 'oid' = p.part ->> 'oid'
            where p.part is null and event._came_with_rows((n.part ->> 'oid')::bigint::oid))
        or exists (
            select from json_array_elements(former -> 'columns') f (col)
            right join json_array_elements(now -> 'columns') n (col) on n.col ->> 'attnum' = f.col ->> 'attnum'
            join pg_attribute a on a.attrelid = relation and a.attnum = (n.col ->> 'attnum')::smallint
            where case when f.col is null then a.atthasmissing or a.atthasdef or a.attidentity <> ''
                  else n.col ->> 'type' <> f.col ->> 'type' end)
           and exists (select from event._leaves(relation) f where pg_relation_size(f) > 0);
end
$$;
comment on function event._rewrites(oid, json, json) is 'Whether values of the table''s rows may be others than were told, since it is made of something else.';

create function event._redescribe(relations oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    changed record;
begin
    for changed in
        with now as materialized (
            select w.relation, w.description as former, event._describe(w.relation) as description
            from event.watched w where relations is null or w.relation = any (relations)
        )
        update event.watched w set description = now.description
        from now
        where w.relation = now.relation and now.description is not null and now.description is distinct from w.description
        returning w.relation, now.former, now.description
    loop
        if event._rewrites(changed.relation, changed.former::json, changed.description::json) then
            insert into event.gap (session_id, durable, reason, from_id, to_id)
            select s.id, s.durable, 'rewritten', event._event_id(pg_current_wal_insert_lsn(), 0), event._event_id(pg_current_wal_insert_lsn(), 0)
            from event.session s
            where exists (select from event.subscription u
                          where u.session_id = s.id and u.relation = changed.relation and u.ended is null and not u.waiting
                            and not exists (select from event.ending e where e.id = u.id));
        end if;
        -- PostgreSQL 14's walsender keeps to what it knew of a table before that was attached: not published. It thinks again
        -- when the publication changes.
        if current_setting('server_version_num')::int < 150000
           and exists (select from pg_class c where c.oid = changed.relation and c.relkind = 'p') then
            execute format('alter publication %I set (publish_via_partition_root = false)', event._publication());
        end if;
    end loop;
end
$$;
comment on function event._redescribe(oid[]) is
    'Brings the descriptions of these watched tables up to date (NULL: of all), and tells of a gap where rows are others than were told.';

create table event.described (
    relation oid primary key,
    description text not null
);
comment on table event.described is
    'The descriptions as they stand at event.progress: the engine''s own copy, for the same reason as event.route.';

create table event.overdue (
    -- of any table that is published, as by somebody's FOR ALL TABLES, rows can be deleted only if it has a key
    id uuid primary key default gen_random_uuid(),
    since timestamptz not null default clock_timestamp()
);
comment on table event.overdue is
    'One row a schema change that the event trigger could not follow at once, because somebody held a lock: the sweep does.';
