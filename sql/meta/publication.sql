-- Publications as rows. Tidewire's own is not shown.

-- What PostgreSQL 14 has not: there the catalogs are not there either.
create function meta._row_filter_text(publication oid, relation oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('server_version_num')::int4 < 150000 then
        return null;
    end if;
    return (select meta._expression_text(r.prqual, r.prrelid) from pg_publication_rel r
            where r.prpubid = publication and r.prrelid = relation);
end
$$;
comment on function meta._row_filter_text(oid, oid) is 'Which rows of a table a publication publishes, as SQL writes it, always the same; NULL: all.';

create function meta._published_schemas(publication oid) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('server_version_num')::int4 < 150000 then
        return null;
    end if;
    return (select array_agg(n.nspname::text order by n.nspname)
            from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid where s.pnpubid = publication);
end
$$;
comment on function meta._published_schemas(oid) is 'The schemas of which a publication publishes all tables.';

create view meta._publication as
select p.oid as scope, p.oid as object, meta.publication_id(p.pubname) as id, p.pubname::text collate "default" as name,
       p.puballtables as all_tables, t.tables, t.row_filters,
       (select array_agg(meta.column_id(n.nspname, c.relname, a.attname) order by n.nspname, c.relname, a.attnum)
        from pg_publication_rel r
        join pg_class c on c.oid = r.prrelid
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid
        where r.prpubid = p.oid and to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum)) as columns,
       meta._published_schemas(p.oid) as schemas,
       array_remove(array[case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                          case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end], null) as publish,
       p.pubviaroot as via_root,
       case to_jsonb(p) ->> 'pubgencols' when 'n' then 'none' when 's' then 'stored' end as generated_columns,
       pg_get_userbyid(p.pubowner)::text collate "default" as owner, obj_description(p.oid, 'pg_publication') collate "default" as comment
from pg_publication p
cross join lateral (
    select array_agg(meta.relation_id(n.nspname, c.relname) order by n.nspname, c.relname) as tables,
           case when count(f.filter) > 0 then array_agg(f.filter order by n.nspname, c.relname) end as row_filters
    from pg_publication_rel r
    join pg_class c on c.oid = r.prrelid
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (select meta._row_filter_text(p.oid, c.oid) as filter) f
    where r.prpubid = p.oid) t
where p.pubname <> 'tidewire';
comment on view meta._publication is 'meta.publication, with its oid.';

create view meta.publication as
select id, name, all_tables, tables, row_filters, columns, schemas, publish, via_root, generated_columns, owner, comment
from meta._publication;
comment on view meta.publication is 'Publications, but for Tidewire''s own. INSERT creates one, UPDATE alters it, DELETE drops it.';
comment on column meta.publication.id is 'Names the publication.';
comment on column meta.publication.all_tables is 'Whether it is of all tables, which stays.';
comment on column meta.publication.tables is 'The tables that it names, by their names'' order.';
comment on column meta.publication.row_filters is 'Which of their rows (15): an expression, which is taken as SQL, at the place that the table has in tables; NULL: all. NULL if all of all.';
comment on column meta.publication.columns is 'Which of their columns (15), of tables of which it is not all.';
comment on column meta.publication.schemas is 'The schemas of which it is all tables (15).';
comment on column meta.publication.publish is 'What it publishes: insert, update, delete, truncate. Given as NULL to INSERT, all four.';
comment on column meta.publication.via_root is 'Whether changes of partitions are published as the partitioned table''s.';
comment on column meta.publication.generated_columns is 'none or stored (18): which generated columns are published, where columns does not say.';
comment on column meta.publication.owner is 'Its owner; given as NULL, who creates it.';

create function meta._publication_given(old meta.publication, new meta.publication) returns meta.publication
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        perform meta._flag_given(new.all_tables, 'all_tables'), meta._flag_given(new.via_root, 'via_root');
        if new.publish is null then
            raise exception 'publish is a list' using errcode = 'not_null_violation', hint = 'An empty one is {}.';
        end if;
        if new.all_tables <> old.all_tables then
            perform meta._refuse('whether a publication is of all tables stays', 'Drop it and make another.');
        end if;
        -- a filter would be another table's
        if new.row_filters = old.row_filters and new.tables is distinct from old.tables
           and new.tables[:cardinality(old.tables)] is distinct from old.tables then
            raise exception 'row_filters is by the places of tables' using errcode = 'invalid_parameter_value',
                hint = 'Give both, or only put tables behind those that are there.';
        end if;
    end if;
    perform meta._name_given(new.name, 'publication');
    new.tables := nullif(new.tables, '{}');
    new.columns := nullif(new.columns, '{}');
    new.schemas := nullif(new.schemas, '{}');
    if array_remove(new.row_filters, null) = '{}' then
        new.row_filters := null;
    end if;
    new.generated_columns := coalesce(new.generated_columns, 'none');
    if new.all_tables and (new.tables is not null or new.schemas is not null) then
        raise exception 'a publication of all tables names none' using errcode = 'invalid_parameter_value';
    end if;
    if cardinality(new.row_filters) > coalesce(cardinality(new.tables), 0) then
        raise exception 'row_filters is longer than tables' using errcode = 'invalid_parameter_value',
            hint = 'A filter has the place that the table has in tables.';
    end if;
    if exists (select from unnest(new.columns) as c(relation_id, name) where c.relation_id = any (new.tables) is not true) then
        raise exception 'columns has some of a table that is not in tables' using errcode = 'invalid_parameter_value';
    end if;
    if current_setting('server_version_num')::int4 < 150000
       and (new.schemas is not null or new.row_filters is not null or new.columns is not null) then
        perform meta._refuse('before PostgreSQL 15 a publication is of whole tables', 'Leave row_filters, columns and schemas out.');
    end if;
    return new;
end
$$;
comment on function meta._publication_given(meta.publication, meta.publication) is 'The row as it is to be, completed and checked.';

create function meta._published_tables(publication meta.publication) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(
        'only ' || meta._relation_text((publication).tables[i.place])
        || coalesce((select ' (' || string_agg(quote_ident(c.name), ', ' order by c.name) || ')'
                     from unnest((publication).columns) as c(relation_id, name) where c.relation_id = (publication).tables[i.place]), '')
        || coalesce(' where (' || (publication).row_filters[i.place] || E'\n)', '') order by i.place), '{}')
    from generate_subscripts((publication).tables, 1) as i(place)
$$;
comment on function meta._published_tables(meta.publication) is 'How SQL says each of the tables of a publication.';

create function meta._schema_list(schemas text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select 'tables in schema ' || string_agg(quote_ident(s.name), ', ' order by s.name) from unnest(schemas) as s(name) $$;
comment on function meta._schema_list(text[]) is 'How SQL says of which schemas a publication is all tables.';

create function meta._publication_parameters(old meta.publication, new meta.publication) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '(' || nullif(concat_ws(', ',
        case when (new).publish is distinct from (old).publish then format('publish = %L', array_to_string((new).publish, ', ')) end,
        case when (new).via_root <> coalesce((old).via_root, false) then 'publish_via_partition_root = ' || (new).via_root end,
        case when (new).generated_columns is distinct from coalesce((old).generated_columns, 'none')
             then format('publish_generated_columns = %L', (new).generated_columns) end), '') || ')'
$$;
comment on function meta._publication_parameters(meta.publication, meta.publication) is 'How SQL says what else changes; NULL: nothing.';

create function meta._publication_ddl(old meta.publication, new meta.publication) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := 'alter publication ' || quote_ident(old.name);
    were constant text[] := meta._published_tables(old);
    are constant text[] := meta._published_tables(new);
    gone text;
    added text;
begin
    if new is null then
        return array[format('drop publication %I', old.name)];
    end if;
    if old is null then
        added := concat_ws(', ', 'table ' || nullif(array_to_string(are, ', '), ''), meta._schema_list(new.schemas));
        ddl := array[format('create publication %I', new.name)
                     || case when new.all_tables then ' for all tables' when added <> '' then ' for ' || added else '' end
                     || coalesce(' with ' || meta._publication_parameters(null, new), '')];
        old.name := new.name;
    else
        -- a table whose filter or columns change goes and comes
        select string_agg('only ' || meta._relation_text(old.tables[w.place]), ', ' order by w.place) into gone
        from unnest(were) with ordinality as w(clause, place) where w.clause <> all (are);
        select string_agg(a.clause, ', ' order by a.place) into added
        from unnest(are) with ordinality as a(clause, place) where a.clause <> all (were);
        ddl := array_remove(array[
            place || ' drop table ' || gone,
            place || ' drop ' || meta._schema_list(array(select unnest(old.schemas) except select unnest(new.schemas))),
            -- a filter of a partitioned table needs via_root: between what goes and what comes
            place || ' set ' || meta._publication_parameters(old, new),
            place || ' add table ' || added,
            place || ' add ' || meta._schema_list(array(select unnest(new.schemas) except select unnest(old.schemas)))], null);
    end if;
    return ddl || meta._object_ddl('publication', '', array[null, old.name, old.owner, old.comment],
                                   array[null, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._publication_ddl(meta.publication, meta.publication) is 'CREATE, ALTER, DROP PUBLICATION.';

create function meta._publication_now(given meta.publication) returns meta.publication
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.name, p.all_tables, p.tables, p.row_filters, p.columns, p.schemas, p.publish, p.via_root, p.generated_columns,
           p.owner, p.comment
    from meta._publication p where p.name = (given).name
$$;
comment on function meta._publication_now(meta.publication) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.publication for each row execute function meta._write();
