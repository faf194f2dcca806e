-- Views as rows.

create view meta._view as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       meta._query_text(c.oid) as query, c.reloptions as options, pg_get_userbyid(c.relowner)::text collate "default" as owner,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and meta._is_shown(n.oid);
comment on view meta._view is 'meta.view, with its oid.';

create view meta.view as
select id, schema_name, name, query, options, owner, comment from meta._view;
comment on view meta.view is 'Views. INSERT creates one, UPDATE gives it another query, options, name, schema, owner or comment, DELETE drops it.';
comment on column meta.view.id is 'Names the view.';
comment on column meta.view.query is 'The query, which is taken as SQL. Another one may add columns at the end, and keeps the others'' names and types.';
comment on column meta.view.options is 'What stands in WITH (...): security_barrier=true, security_invoker=true (15), check_option=local.';
comment on column meta.view.owner is 'Its owner, with whose rights it reads; given as NULL, who creates it.';

create function meta._view_given(old meta.view, new meta.view) returns meta.view
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
    end if;
    perform meta._name_given(new.schema_name, 'view''s schema'), meta._name_given(new.name, 'view');
    if new.query is null then
        raise exception 'a view needs a query' using errcode = 'not_null_violation';
    end if;
    return new;
end
$$;
comment on function meta._view_given(meta.view, meta.view) is 'The row as it is to be, completed and checked.';

create function meta._view_ddl(old meta.view, new meta.view) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    made constant text[] := array[new.schema_name, new.name, null, null];
begin
    if new is null then
        return array['drop view ' || place];
    end if;
    if old is null then
        ddl := array_append(ddl, 'create view ' || place || meta._options_clause(new.options) || ' as ' || new.query);
    elsif new.query is distinct from old.query then
        ddl := array_append(ddl, 'create or replace view ' || place || meta._options_clause(new.options) || ' as ' || new.query);
    else
        -- not with the query once more: its text would be read by the caller's search path
        ddl := ddl || meta._options_ddl('view ' || place, old.options, new.options);
    end if;
    return ddl || meta._object_ddl('view', '', case when old is null then made else array[old.schema_name, old.name, old.owner, old.comment] end,
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._view_ddl(meta.view, meta.view) is 'CREATE [OR REPLACE], ALTER, DROP VIEW.';

create function meta._view_now(given meta.view) returns meta.view
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.id, v.schema_name, v.name, v.query, v.options, v.owner, v.comment
    from meta._view v where v.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._view_now(meta.view) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.view for each row execute function meta._write();
