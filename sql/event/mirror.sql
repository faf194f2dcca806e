-- Schema changes as events. Each relation of meta has a table here that mirrors it, row for row. It is watched, published and told of like any
-- table, under the name in meta: so a schema change has its place among the changes of rows, its id, and everything that is promised of an event. A
-- mirror is kept only while somebody is subscribed to it.

create table event.mirror (
    kind text primary key,
    place integer not null unique,
    class regclass,
    object_class regclass,
    mirror regclass unique
);
comment on table event.mirror is 'The relations of meta, each of which event.meta_... mirrors.';
comment on column event.mirror.place is 'Their order: what others are made of comes first.';
comment on column event.mirror.mirror is 'Its table.';
comment on column event.mirror.class is 'The catalog that the scope of its rows is an object of; NULL: any.';
comment on column event.mirror.object_class is 'The catalog that their objects are of, where those are others than the scope.';

-- Under which name: what was renamed or dropped is found by it.
create table event.mirrored (
    kind text not null,
    id text not null,
    object oid not null,
    scope oid not null,
    primary key (kind, id)
);
create index mirrored_object on event.mirrored (object);
create index mirrored_scope on event.mirrored (scope);
comment on table event.mirrored is 'What the rows of the mirrors tell of: the oids, as in the views of meta.';

do $$
declare
    kind record;
begin
    insert into event.mirror (kind, place, class, object_class)
    select k.kind, row_number() over (), k.class::regclass, k.object_class::regclass
    from (values
        ('role', 'pg_authid', null), ('role_inheritance', 'pg_authid', null), ('setting', 'pg_authid', null), ('connection', 'pg_authid', null),
        ('schema', 'pg_namespace', null), ('extension', 'pg_extension', null), ('type', 'pg_type', null), ('function', 'pg_proc', null),
        ('function_parameter', 'pg_proc', null), ('cast', 'pg_cast', null), ('operator', 'pg_operator', null),
        ('foreign_data_wrapper', 'pg_foreign_data_wrapper', null), ('foreign_server', 'pg_foreign_server', null),
        ('relation', 'pg_class', null), ('relation_column', 'pg_class', null), ('sequence', 'pg_class', null), ('table', 'pg_class', null),
        ('column', 'pg_class', null), ('foreign_table', 'pg_class', null), ('foreign_column', 'pg_class', null),
        ('partition', 'pg_class', 'pg_class'), ('primary_key', 'pg_class', 'pg_constraint'), ('constraint_unique', 'pg_class', 'pg_constraint'),
        ('constraint_check', 'pg_class', 'pg_constraint'), ('constraint_exclusion', 'pg_class', 'pg_constraint'),
        ('foreign_key', 'pg_class', 'pg_constraint'), ('index', 'pg_class', 'pg_class'), ('view', 'pg_class', null),
        ('materialized_view', 'pg_class', null), ('trigger', 'pg_class', 'pg_trigger'), ('policy', 'pg_class', 'pg_policy'),
        ('policy_role', 'pg_class', 'pg_policy'), ('table_privilege', 'pg_class', null), ('publication', 'pg_publication', null),
        ('comment', null, null)) k (kind, class, object_class);
    for kind in
        select m.kind as name, 'event.' || quote_ident('meta_' || m.kind) as mirror, 'meta.' || quote_ident('_' || m.kind) as shown,
               (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
                where a.attrelid = to_regclass('meta.' || quote_ident('_' || m.kind)) and a.attname not in ('scope', 'object')) as columns
        from event.mirror m order by m.place loop
        execute format('create table %s as select %s from %s with no data', kind.mirror, kind.columns, kind.shown);
        update event.mirror m set mirror = kind.mirror::regclass where m.kind = kind.name;
        execute format('alter table %s add primary key (id), replica identity full', kind.mirror);
        execute format('comment on table %s is %L', kind.mirror, 'What the subscribers of meta.' || kind.name || ' have been told is there.');
    end loop;
end
$$;

create function event._is_mirrored(kind text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select exists (select from event.watched w join event.mirror m on m.mirror = w.relation where m.kind = _is_mirrored.kind) $$;
comment on function event._is_mirrored(text) is 'Whether anybody is subscribed to this relation of meta.';

create function event._is_mirroring() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select exists (select from event.watched w join event.mirror m on m.mirror = w.relation) $$;
comment on function event._is_mirroring() is 'Whether anybody is subscribed to the catalog.';

-- A mirror holds what anybody may have written into the catalog, a comment of 500 MB, say; and an UPDATE puts its row into the WAL twice.
-- A text is fetched no further than it is shown, and how long it is PostgreSQL knows without fetching it.
create function event._cut(value text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(value) > 262144 then
        return left(value, 65536) || '... (' || octet_length(value) || ' bytes)';
    end if;
    return value;
end
$$;
comment on function event._cut(text) is 'A text of the catalog as its mirror has it: of one over 256 kB the beginning.';

create function event._cut(value text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- of a value that is compressed this is its size as such: it has at most 255 times as many bytes
    if value is null or pg_column_size(value) <= 1000 then
        return value;
    elsif pg_column_size(value) <= 262144 and octet_length(array_to_string(value, '')) <= 262144 and cardinality(value) <= 10000 then
        return value;
    end if;
    return array['... (' || cardinality(value) || ' texts, ' || pg_column_size(value) || ' bytes)'];
end
$$;
comment on function event._cut(text[]) is 'Texts of the catalog as their mirror has them: of over 256 kB only that there are so many.';

create function event._cut(value anyarray) returns anyarray
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when pg_column_size(value) <= 1048576 then value end;
end
$$;
comment on function event._cut(anyarray) is 'Identifiers as their mirror has them: over 1 MB none.';

create function event._cut_columns(mirror oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format(case when a.atttypid = 'text'::regtype or t.typcategory = 'A' then 'event._cut(v.%1$I) as %1$I' else 'v.%1$I' end,
                             a.attname), ', ' order by a.attnum)
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = mirror and a.attnum > 0 and not a.attisdropped
$$;
comment on function event._cut_columns(oid) is 'The columns of a relation of meta as its mirror has them.';

-- Matched by the id, which is made of names: what is renamed goes and comes, as a row whose key changes does.
create function event._comparison(kind text, "of" text, known text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        -- what has a longer name is in no index
        'with now as materialized (select v.scope, v.object, %9$s from meta.%2$I v where octet_length(v.id::text) <= 2000 %5$s),
              known as materialized (%6$s),
              gone as (delete from %3$s m using known k where m.id = k.id and m.id not in (select n.id from now n) returning m.id),
              changed as (update %3$s m set (%1$s) = row(%8$s) from now n where n.id = m.id and (%4$s) returning 1),
              added as (insert into %3$s (%1$s)
                        select %1$s from now n
                        where (select count(*) from gone) >= 0 and (select count(*) from changed) >= 0
                          and not exists (select from %3$s m where m.id = n.id)
                        on conflict (id) do nothing),
              forgotten as (delete from event.mirrored x using gone g where x.kind = %7$L and x.id = g.id::text)
         insert into event.mirrored (kind, id, object, scope)
         select %7$L, n.id::text, n.object, n.scope from now n
         -- without a lock on what is as it was
         where not exists (select from event.mirrored x where x.kind = %7$L and x.id = n.id::text and x.object = n.object and x.scope = n.scope)
         on conflict on constraint mirrored_pkey do update set object = excluded.object, scope = excluded.scope',
        string_agg(quote_ident(a.attname), ', ' order by a.attnum), '_' || kind, a.attrelid::regclass,
        string_agg(format('m.%1$I is distinct from n.%1$I', a.attname), ' or ' order by a.attnum),
        "of", format(known, min(format_type(a.atttypid, a.atttypmod)) filter (where a.attname = 'id'), a.attrelid::regclass, kind), kind,
        string_agg('n.' || quote_ident(a.attname), ', ' order by a.attnum), event._cut_columns(a.attrelid))
    from pg_attribute a
    where a.attrelid = to_regclass('event.' || quote_ident('meta_' || kind)) and a.attnum > 0 and not a.attisdropped
    group by a.attrelid
$$;
comment on function event._comparison(text, text, text) is
    'The statement that makes the mirror of a relation of meta what that is: those rows of it, and of the mirror those that are known to be of the same things.';

-- A function for each, since planning its statement takes longer than doing it: it is planned once a session. For few objects: by indexes.
do $$
declare
    kind text;
begin
    for kind in select m.kind from event.mirror m order by m.place loop
        execute format('create function event.%I(scopes oid[], objects oid[]) returns void language plpgsql volatile
            set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
            set enable_hashjoin = off set enable_mergejoin = off as %L',
            '_follow_' || kind,
            'begin ' || event._comparison(kind,
                -- of a partition the object is what it is of
                case when kind = 'partition' then 'and (v.scope = any ($1) or v.object = any ($2))' else 'and v.scope = any ($1)' end,
                'select x.id::%1$s as id from event.mirrored x where x.kind = %3$L and (x.scope = any ($1) or x.object = any ($2))') || '; end');
        execute format('comment on function event.%I(oid[], oid[]) is %L', '_follow_' || kind,
                       'Makes the mirror of meta.' || kind || ' what that is, as far as these objects, and what is of these, are concerned.');
    end loop;
end
$$;

create function event._compare(kind text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute event._comparison(kind, '', 'select m.id from %2$s m');
end
$$;
comment on function event._compare(text) is 'Makes the mirror of a relation of meta what that is.';

create function event._mirror(classes oid[], objects oid[]) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    mirror event.mirror;
    scopes oid[];
    parts oid[];
    done boolean := true;
begin
    -- what concerns so much is left to upkeep
    if cardinality(objects) > 5000 then
        return false;
    end if;
    for mirror in select m.* from event.mirror m join event.watched w on w.relation = m.mirror order by m.place loop
        -- each by itself: what keeps one from being read (a lock, a view too deep to be told) must not keep the others from it
        begin
            if objects is null then
                perform event._compare(mirror.kind);
                continue;
            end if;
            select array_agg(distinct u.object) filter (where mirror.class is null or u.class = mirror.class),
                   array_agg(distinct u.object) filter (where u.class = mirror.object_class)
            into scopes, parts
            from unnest(classes, objects) as u(class, object);
            if mirror.kind = 'operator' and scopes is not null then
                -- few; and a commutator or negator changes with its other half
                perform event._compare(mirror.kind);
            elsif cardinality(scopes) <= 1000 or scopes is null and parts is not null then
                execute format('select event.%I($1, $2)', '_follow_' || mirror.kind) using coalesce(scopes, '{}'), coalesce(parts, '{}');
            end if;
        exception when others then
            -- whoever waits for one lock is not to wait for another
            if objects is not null and sqlstate = '55P03' then
                raise;
            end if;
            done := false;
            raise warning 'tidewire could not follow changes of meta.%: %', mirror.kind, sqlerrm;
        end;
    end loop;
    return done;
end
$$;
comment on function event._mirror(oid[], oid[]) is
    'Follows a change of these objects of these catalogs; NULL: of whatever there is. False: something is still to be followed.';

-- In upkeep's transaction, before the mirror is published: what there is already is no news. A lock on what a view reads is not waited
-- for: upkeep tries again. No advisory lock is taken, since every role could hold it.
create function event._fill_mirror(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
begin
    perform event._compare(event._mirrors(relation));
exception when lock_not_available then
    raise exception 'the catalog is busy'
        using errcode = 'lock_not_available',
              detail = 'A table that a view reads is locked.',
              hint = 'Try again.';
end
$$;
comment on function event._fill_mirror(oid) is 'Makes a mirror what is there, for the first subscription to it.';
