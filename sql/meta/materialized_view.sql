-- Materialized views as rows. Their columns' names and comments are in meta.relation_column.

create view meta._materialized_view as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       meta._query_text(c.oid) as query, c.reloptions collate "default" as options, c.relispopulated as populated,
       pg_get_userbyid(c.relowner)::text collate "default" as owner, obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm' and meta._is_shown(n.oid);
comment on view meta._materialized_view is 'meta.materialized_view, with its oid.';

create view meta.materialized_view as
select id, schema_name, name, query, options, populated, owner, comment from meta._materialized_view;
comment on view meta.materialized_view is 'Materialized views. INSERT creates one, UPDATE alters it, fills or empties it, or moves it to another schema, DELETE drops it.';
comment on column meta.materialized_view.id is 'Names the materialized view.';
comment on column meta.materialized_view.query is 'The query, which is taken as SQL. It stays as it is.';
comment on column meta.materialized_view.options is 'Its storage parameters: fillfactor=70.';
comment on column meta.materialized_view.populated is 'Whether it can be read. INSERT takes NULL as true. Updated to true it is filled, to false emptied; one that is filled is refreshed by REFRESH.';
comment on column meta.materialized_view.owner is 'Its owner, with whose rights it is refreshed; given as NULL, who creates it.';

create function meta._materialized_view_given(old meta.materialized_view, new meta.materialized_view) returns meta.materialized_view
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.populated := coalesce(new.populated, true);
        if new.query is null then
            raise exception 'a materialized view needs a query' using errcode = 'not_null_violation';
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        perform meta._flag_given(new.populated, 'populated');
        if new.query is distinct from old.query then
            perform meta._refuse('a materialized view keeps its query', 'Drop it and make another.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'materialized view''s schema'), meta._name_given(new.name, 'materialized view');
    return new;
end
$$;
comment on function meta._materialized_view_given(meta.materialized_view, meta.materialized_view) is 'The row as it is to be, completed and checked.';

create function meta._materialized_view_ddl(old meta.materialized_view, new meta.materialized_view) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
begin
    if new is null then
        return array['drop materialized view ' || place];
    end if;
    if old is null then
        ddl := array['create materialized view ' || place || meta._options_clause(new.options) || ' as '
                     || case when new.populated then new.query else regexp_replace(new.query, ';[[:space:]]*$', '') || E'\nwith no data' end];
        old.schema_name := new.schema_name;
        old.name := new.name;
    else
        ddl := meta._options_ddl('materialized view ' || place, old.options, new.options);
        if new.populated <> old.populated then
            ddl := array_append(ddl, 'refresh materialized view ' || place || case when new.populated then '' else ' with no data' end);
        end if;
    end if;
    return ddl || meta._object_ddl('materialized view', '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._materialized_view_ddl(meta.materialized_view, meta.materialized_view) is 'CREATE, ALTER, REFRESH, DROP MATERIALIZED VIEW.';

create function meta._materialized_view_now(given meta.materialized_view) returns meta.materialized_view
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.id, v.schema_name, v.name, v.query, v.options, v.populated, v.owner, v.comment
    from meta._materialized_view v where v.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._materialized_view_now(meta.materialized_view) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.materialized_view for each row execute function meta._write();
