-- Schema changes as events. Each relation of the catalog that can be subscribed to (meta.schema, meta.table, meta.column, meta.view) has a
-- table here that mirrors it, row for row. It is watched, published and told of like any table, under the name in meta: so a schema
-- change has its place among the changes of rows, its id, and everything that is promised of an event. A mirror is kept only while
-- somebody is subscribed to it.

create table event.meta_schema (id meta.schema_id primary key, name text, owner text, comment text);
create table event.meta_table (
    id meta.relation_id primary key, schema_name text, name text, owner text, unlogged boolean, row_security boolean,
    force_row_security boolean, comment text);
create table event.meta_column (
    id meta.column_id primary key, schema_name text, relation_name text, name text, type text, position integer, "default" text,
    nullable boolean, primary_key boolean, generated text, comment text);
create table event.meta_view (
    id meta.relation_id primary key, schema_name text, name text, query text, options text[], owner text, comment text);
alter table event.meta_schema replica identity full;
alter table event.meta_table replica identity full;
alter table event.meta_column replica identity full;
alter table event.meta_view replica identity full;
create index meta_column_relation on event.meta_column (schema_name, relation_name);
comment on table event.meta_schema is 'What the subscribers of meta.schema have been told is there.';
comment on table event.meta_table is 'What the subscribers of meta.table have been told is there.';
comment on table event.meta_column is 'What the subscribers of meta.column have been told is there.';
comment on table event.meta_view is 'What the subscribers of meta.view have been told is there.';

-- Under which name: what was renamed or dropped is found by it.
create table event.mirrored (
    relation oid primary key,
    schema_name text not null,
    name text not null
);
comment on table event.mirrored is 'The tables and views that the mirrors hold, by the names under which they do.';

create function event._is_mirroring() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_class c join event.watched w on w.relation = c.oid
                   where c.relnamespace = 'event'::regnamespace
                     and c.relname in ('meta_schema', 'meta_table', 'meta_column', 'meta_view'))
$$;
comment on function event._is_mirroring() is 'Whether anybody is subscribed to the catalog.';

-- Matched by the id, which is made of names: what is renamed goes and comes, as a row whose key changes does.
create function event._bring_up_to_date(what text, relation_column text, relations oid[], schema_names text[], names text[])
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    mirror constant text := 'event.' || quote_ident('meta_' || what);
    columns text;
    differs text;
    of_these text := '';
    known text := '';
begin
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum),
           string_agg(format('m.%1$I is distinct from now.%1$I', a.attname), ' or ' order by a.attnum)
    into columns, differs
    from pg_attribute a where a.attrelid = mirror::regclass and a.attnum > 0 and not a.attisdropped;
    if relations is not null then
        of_these := ' where v.relation = any ($1)';
        known := format(' (m.schema_name, m.%I) in (select * from unnest($2, $3)) and', relation_column);
    end if;
    execute format(
        'with now as materialized (select %1$s from meta.%2$I v%4$s),
              gone as (delete from %3$s m where%5$s not exists (select from now where now.id = m.id) returning 1),
              changed as (update %3$s m set (%1$s) = (select now.*) from now where now.id = m.id and (%6$s) returning 1)
         insert into %3$s (%1$s)
         select %1$s from now
         where (select count(*) from gone) >= 0 and (select count(*) from changed) >= 0
           and not exists (select from %3$s m where m.id = now.id)
         on conflict (id) do nothing',
        columns, '_' || what || 's', mirror, of_these, known, differs)
    using relations, schema_names, names;
end
$$;
comment on function event._bring_up_to_date(text, text, oid[], text[], text[]) is
    'Makes the mirror of a relation of meta what that is: as far as these relations are concerned, or all of it.';

create function event._mirror(touched oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    affected oid[];
    schema_names text[];
    names text[];
begin
    if not event._is_mirroring() then
        return;
    end if;
    perform event._bring_up_to_date('schema', null, null, null, null);
    if touched is not null then
        -- partitions and children, and the views on them all
        with recursive all_of as (
            select u.relation from unnest(touched) as u(relation)
            union
            select d.relation from all_of a cross join lateral (
                select h.inhrelid as relation from pg_inherits h where h.inhparent = a.relation
                union all
                select w.ev_class from pg_depend p join pg_rewrite w on w.oid = p.objid
                where p.classid = 'pg_rewrite'::regclass and p.refclassid = 'pg_class'::regclass and p.refobjid = a.relation) d
        )
        select coalesce(array_agg(a.relation), '{}') into affected from all_of a;
        select coalesce(array_agg(x.schema_name), '{}'), coalesce(array_agg(x.name), '{}') into schema_names, names
        from (select m.schema_name, m.name from event.mirrored m
              where m.relation = any (affected) or not exists (select from pg_class c where c.oid = m.relation)
              union
              select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.oid = any (affected) and c.relkind in ('r', 'p', 'v') and meta._is_shown(n.oid)) x;
        if schema_names = '{}' then
            return;
        end if;
    end if;
    perform event._bring_up_to_date('view', 'name', affected, schema_names, names);
    perform event._bring_up_to_date('table', 'name', affected, schema_names, names);
    perform event._bring_up_to_date('column', 'relation_name', affected, schema_names, names);
    with now as (
        select c.oid as relation, n.nspname::text as schema_name, c.relname::text as name
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v') and meta._is_shown(n.oid) and (affected is null or c.oid = any (affected))
    ), gone as (
        delete from event.mirrored m where not exists (select from pg_class c where c.oid = m.relation)
    )
    insert into event.mirrored as m (relation, schema_name, name) select now.relation, now.schema_name, now.name from now
    on conflict (relation) do update set schema_name = excluded.schema_name, name = excluded.name
    where (m.schema_name, m.name) is distinct from (excluded.schema_name, excluded.name);
end
$$;
comment on function event._mirror(oid[]) is 'Follows a schema change of these relations, and what hangs on them; NULL: whatever there is.';

-- In the subscriber's transaction, before the mirror is published: what there is already is no news. One at a time, and whoever
-- locks what a view reads is not waited for: the subscriber is told that the catalog is busy.
create function event._fill_mirrors() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
begin
    -- "tide", "meta"
    perform pg_advisory_xact_lock(x'74696465'::int, x'6d657461'::int);
    perform event._mirror(null);
exception when lock_not_available then
    raise exception 'the catalog is busy'
        using errcode = 'lock_not_available',
              detail = 'Another first subscription to it is not committed, or a table that a view reads is locked.',
              hint = 'Try again.';
end
$$;
comment on function event._fill_mirrors() is 'Makes the mirrors what is there, for the first who subscribes.';

-- Whatever the event triggers did not follow (what was done without them, or by a transaction that began before anybody subscribed, or
-- concerns more than they look at) changes it too.
create function event._catalog_mark() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- neither temporary tables, which come and go all the time, nor our own partitions
    with shown as materialized (
        select c.oid, c.xmin as changed from pg_class c
        where c.relkind <> 't' and c.relnamespace in (select s.schema from meta._schemas s)
    )
    select md5(concat_ws('|',
        (select sum(hashtextextended(concat(c.oid, '/', c.changed), 0)) from shown c),
        (select sum(hashtextextended(concat(a.attrelid, '/', a.attnum, '/', a.xmin), 0)) from pg_attribute a where a.attrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(d.oid, '/', d.xmin), 0)) from pg_attrdef d where d.adrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(k.oid, '/', k.xmin), 0)) from pg_constraint k where k.contype = 'p' and k.conrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(n.oid, '/', n.xmin), 0)) from pg_namespace n where meta._is_shown(n.oid)),
        (select sum(hashtextextended(concat(d.objoid, '/', d.objsubid, '/', d.xmin), 0)) from pg_description d
         where d.objoid in (select c.oid from shown c) or d.classoid = 'pg_namespace'::regclass),
        (select sum(hashtextextended(concat(w.oid, '/', w.xmin), 0)) from pg_rewrite w where w.ev_class in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_type t where t.oid >= 16384 and t.typrelid = 0 and t.typelem = 0),
        (select sum(hashtextextended(concat(p.oid, '/', p.xmin), 0)) from pg_proc p where p.oid >= 16384),
        (select sum(hashtextextended(concat(r.oid, '/', r.rolname), 0)) from pg_roles r)))
$$;
comment on function event._catalog_mark() is 'Another text when something changed that the mirrors may show.';

create function event._sweep_mirrors() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    mark text;
begin
    if not event._is_mirroring() then
        return;
    end if;
    mark := event._catalog_mark();
    if mark is distinct from (select i.catalog from event.installation i) then
        perform event._mirror(null);
        update event.installation i set catalog = mark;
    end if;
end
$$;
comment on function event._sweep_mirrors() is 'Compares the mirrors with the catalog when anything in it has changed.';
