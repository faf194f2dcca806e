-- Indexes as rows: of tables and of materialized views.

-- PostgreSQL tells a key alone without its collation, operator class and order, and only in the whole definition with them. So that is
-- gone through: what stands behind a key is known, but for whether it stands there.
create function meta._index_keys(index oid) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
as $$
declare
    rest text;
    keys text[];
    key record;
    part text;
    found_key text;
begin
    rest := pg_get_indexdef(index);
    select array(select pg_get_indexdef(index, p.place, false) from generate_series(1, i.indnkeyatts) as p(place) order by p.place),
           substr(rest, length(format('CREATE %sINDEX %I ON %s%I.%I USING %I (', case when i.indisunique then 'UNIQUE ' end, x.relname,
                                      case when x.relkind = 'I' then 'ONLY ' end, n.nspname, c.relname, m.amname)) + 1)
    into keys, rest
    from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_am m on m.oid = x.relam
    where i.indexrelid = index;
    -- most have nothing there
    if starts_with(rest, array_to_string(keys, ', ') || ')') then
        return keys;
    end if;
    for key in
        select p.place, keys[p.place] as text,
               ' COLLATE ' || case when l.collnamespace = 'pg_catalog'::regnamespace then quote_ident(l.collname)
                                   when l.oid is not null then format('%s.%I', l.collnamespace::regnamespace, l.collname) end as collate,
               ' ' || case when o.opcnamespace = 'pg_catalog'::regnamespace then quote_ident(o.opcname)
                           else format('%s.%I', o.opcnamespace::regnamespace, o.opcname) end as operators,
               ' (' || (select string_agg(quote_ident(s.name) || '=' || case when quote_ident(s.value) = s.value then s.value
                                                                             else quote_literal(s.value) end, ', ' order by u.place)
                        from unnest(a.attoptions) with ordinality as u(option, place)
                        cross join lateral (select split_part(u.option, '=', 1), substr(u.option, strpos(u.option, '=') + 1)) as s(name, value))
                   || ')' as options
        from pg_index i
        cross join lateral generate_series(1, i.indnkeyatts) as p(place)
        join pg_attribute a on a.attrelid = i.indexrelid and a.attnum = p.place
        left join pg_collation l on l.oid = i.indcollation[p.place - 1]
        join pg_opclass o on o.oid = i.indclass[p.place - 1]
        where i.indexrelid = index order by p.place loop
        found_key := key.text;
        rest := substr(rest, length(key.text) + 1);
        foreach part in array array[key.collate, key.operators, key.options, ' DESC', ' NULLS LAST', ' NULLS FIRST'] loop
            -- an operator class whose name begins as another one's
            if starts_with(rest, part) and substr(rest, length(part) + 1, 1) in (' ', ',', ')') then
                found_key := found_key || part;
                rest := substr(rest, length(part) + 1);
            end if;
        end loop;
        keys[key.place] := found_key;
        rest := substr(rest, 3);
    end loop;
    return keys;
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return array[meta._untold(sqlstate)];
end
$$;
comment on function meta._index_keys(oid) is 'The keys of an index as CREATE INDEX has them, always the same.';

create view meta._index as
select i.indrelid as scope, i.indexrelid as object, meta.relation_id(n.nspname, x.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       x.relname::text collate "default" as name, meta._index_keys(i.indexrelid) as columns,
       meta._column_names(i.indrelid, (i.indkey::smallint[])[i.indnkeyatts:]) as include, m.amname::text collate "default" as method,
       i.indisunique as is_unique, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) as nulls_not_distinct,
       meta._expression_text(i.indpred, i.indrelid) collate "default" as predicate, x.reloptions as options,
       (select k.conname::text collate "default" from pg_constraint k
        where k.conrelid = i.indrelid and k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')) as constraint_name,
       x.relispartition as inherited, i.indisclustered as clustered, i.indisvalid as valid,
       obj_description(x.oid, 'pg_class') collate "default" as comment
from pg_index i
join pg_class x on x.oid = i.indexrelid
join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_am m on m.oid = x.relam
where meta._is_shown(n.oid);
comment on view meta._index is 'meta.index, with the table''s and the index''s oid.';

create view meta.index as
select id, schema_name, relation_name, name, columns, include, method, is_unique, nulls_not_distinct, predicate, options, constraint_name,
       inherited, clustered, valid, comment
from meta._index;
comment on view meta.index is
    'Indexes. INSERT creates one (not concurrently), UPDATE gives it another name, comment or options or clusters by it, DELETE drops it.';
comment on column meta.index.id is 'Names the index, which is in its table''s schema.';
comment on column meta.index.relation_name is 'The table or materialized view that it is of.';
comment on column meta.index.name is 'Its name, which is also its constraint''s, if it has one; given as NULL, PostgreSQL chooses one.';
comment on column meta.index.columns is 'What it is made of, in its order, each as CREATE INDEX has it: "Na me", lower(name) COLLATE "C" DESC. Taken as SQL: (a + b) needs its parentheses.';
comment on column meta.index.include is 'The names of further columns that it has.';
comment on column meta.index.method is 'btree, hash, gist, spgist, gin, brin or another one''s name; given as NULL, btree.';
comment on column meta.index.nulls_not_distinct is 'Whether to a unique one two NULLs are the same value (15).';
comment on column meta.index.predicate is 'Which rows it has: an expression, which is taken as SQL; NULL: all.';
comment on column meta.index.options is 'Its storage parameters: fillfactor=70.';
comment on column meta.index.constraint_name is 'The constraint that it came with and goes with: of meta.primary_key, meta.constraint_unique or meta.constraint_exclusion.';
comment on column meta.index.inherited is 'Whether it is part of a partitioned table''s.';
comment on column meta.index.clustered is 'Whether CLUSTER sorts the table by it.';
comment on column meta.index.valid is 'Whether it can be used: not if it failed while it was made concurrently, or lacks a partition''s.';

create function meta._index_given(old meta.index, new meta.index) returns meta.index
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.method := coalesce(new.method, 'btree');
        perform meta._part_made('table''s index', array[new.schema_name, new.relation_name, new.name], new.inherited, new.comment);
        if new.constraint_name is not null then
            perform meta._refuse('a constraint''s index comes with it',
                                 'Insert into meta.primary_key, meta.constraint_unique or meta.constraint_exclusion.');
        end if;
        if not new.valid then
            perform meta._refuse('an index is made to be valid', 'Leave valid out.');
        end if;
        if new.clustered and new.name is null then
            perform meta._refuse('PostgreSQL chooses the name, by which the table would be clustered', 'Give name, or update clustered after it.');
        end if;
        if coalesce(cardinality(new.columns), 0) = 0 or array_position(new.columns, null) is not null then
            raise exception 'an index needs columns' using errcode = 'not_null_violation';
        end if;
        perform meta._name_given(u.name, 'column') from unnest(new.include) as u(name);
        perform meta._version_given(new.nulls_not_distinct, 15, 'nulls not distinct');
    else
        perform meta._part_kept('table''s index', array[old.id::text, old.schema_name, old.relation_name, old.name],
                                array[new.id::text, new.schema_name, new.relation_name, new.name], old.inherited, new.inherited),
                meta._flag_given(new.clustered, 'clustered');
        if (new.columns, new.include, new.method, new.is_unique, new.nulls_not_distinct, new.predicate, new.constraint_name)
           is distinct from (old.columns, old.include, old.method, old.is_unique, old.nulls_not_distinct, old.predicate, old.constraint_name) then
            perform meta._refuse('an index stays as it was made, but for name, options, clustered and comment', 'Drop it and make another.');
        end if;
        if new.valid is distinct from old.valid then
            perform meta._refuse('valid is what was found', 'REINDEX makes an index valid.');
        end if;
    end if;
    return new;
end
$$;
comment on function meta._index_given(meta.index, meta.index) is 'The row as it is to be, completed and checked.';

create function meta._index_ddl(old meta.index, new meta.index) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
begin
    if new is null then
        if old.constraint_name is not null then
            perform meta._refuse('a constraint''s index goes with it',
                                 'Delete from meta.primary_key, meta.constraint_unique or meta.constraint_exclusion.');
        end if;
        return array[format('drop index %I.%I', old.schema_name, old.name)];
    end if;
    if old is null then
        -- each key may end in a comment
        ddl := array['create ' || case when new.is_unique then 'unique ' else '' end || 'index ' || coalesce(quote_ident(new.name) || ' ', '')
                     || 'on ' || place || ' using ' || quote_ident(new.method) || ' (' || array_to_string(new.columns, E'\n, ') || E'\n)'
                     || coalesce(' include ' || meta._columns_clause(new.include), '')
                     || case when new.nulls_not_distinct then ' nulls not distinct' else '' end || meta._options_clause(new.options)
                     || coalesce(' where ' || new.predicate, '')];
        old.schema_name := new.schema_name;
        old.name := new.name;
        old.clustered := false;
    else
        ddl := meta._options_ddl(format('index %I.%I', old.schema_name, old.name), old.options, new.options);
    end if;
    if new.clustered and not old.clustered then
        ddl := array_append(ddl, format('alter table %s cluster on %I', place, old.name));
    -- the same UPDATE may have given the table another one
    elsif old.clustered and not new.clustered
          and exists (select from pg_index i where i.indexrelid = to_regclass(format('%I.%I', old.schema_name, old.name)) and i.indisclustered) then
        ddl := array_append(ddl, format('alter table %s set without cluster', place));
    end if;
    return ddl || meta._object_ddl('index', '', array[old.schema_name, old.name, null, old.comment], array[new.schema_name, new.name, null, new.comment]);
end
$$;
comment on function meta._index_ddl(meta.index, meta.index) is 'CREATE, ALTER, DROP INDEX.';

-- Others may have made one of the same table since, but nobody else has locked ours.
create function meta._index_made(relation oid) returns oid
language sql stable
return (select i.indexrelid from pg_catalog.pg_index i
        where i.indrelid = relation
          and exists (select from pg_catalog.pg_locks l where l.relation = i.indexrelid and l.pid = pg_catalog.pg_backend_pid() and l.mode = 'AccessExclusiveLock')
        order by pg_catalog.age(i.xmin), i.indexrelid desc limit 1);
comment on function meta._index_made(oid) is 'The index that was made last, in this transaction.';

create function meta._index_now(given meta.index) returns meta.index
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.id, v.schema_name, v.relation_name, v.name, v.columns, v.include, v.method, v.is_unique, v.nulls_not_distinct, v.predicate, v.options,
           v.constraint_name, v.inherited, v.clustered, v.valid, v.comment
    from meta._index v
    where v.object = case when (given).name is not null then to_regclass(format('%I.%I', (given).schema_name, (given).name))
                          else meta._index_made(to_regclass(format('%I.%I', (given).schema_name, (given).relation_name))) end
$$;
comment on function meta._index_now(meta.index) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.index for each row execute function meta._write();
