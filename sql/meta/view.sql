-- Views as rows.

create view meta._views as
select c.oid as relation, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       meta._query_text(c.oid) as query, c.reloptions as options, pg_get_userbyid(c.relowner)::text collate "default" as owner,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and meta._is_shown(n.oid);
comment on view meta._views is 'meta.view, with the oid.';

create view meta.view as
select id, schema_name, name, query, options, owner, comment from meta._views;
comment on view meta.view is 'Views. INSERT creates one, UPDATE gives it another query, options, name, schema, owner or comment, DELETE drops it.';
comment on column meta.view.id is 'Names the view.';
comment on column meta.view.query is 'The query, which is taken as SQL. Another one may add columns at the end, and keeps the others'' names and types.';
comment on column meta.view.options is 'What stands in WITH (...): security_barrier=true, security_invoker=true (15), check_option=local.';
comment on column meta.view.owner is 'Its owner, with whose rights it reads; given as NULL, who creates it.';

create function meta._options_clause(options text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(' with (' || string_agg(format('%I = %L', split_part(u.option, '=', 1), nullif(substr(u.option, strpos(u.option, '=') + 1), '')),
                                            ', ' order by u.place) || ')', '')
    from unnest(options) with ordinality as u(option, place)
$$;
comment on function meta._options_clause(text[]) is 'How SQL says the options of a relation.';

create function meta._view_named(given meta.view) returns meta.view
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    given.schema_name := coalesce(given.schema_name, ((given.id).schema_id).name);
    given.name := coalesce(given.name, (given.id).name);
    perform meta._name_given(given.schema_name, 'view''s schema'), meta._name_given(given.name, 'view');
    return given;
end
$$;
comment on function meta._view_named(meta.view) is 'The row with its names, which may have been given as its id.';

create function meta._view_now(given meta.view) returns meta.view
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select v from meta.view v where v.schema_name = (given).schema_name and v.name = (given).name $$;
comment on function meta._view_now(meta.view) is 'The row as it is.';

create function meta._view_insert_ddl(new meta.view) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place text;
begin
    if new.query is null then
        raise exception 'a view needs a query' using errcode = 'not_null_violation';
    end if;
    place := format('%I.%I', new.schema_name, new.name);
    ddl := array_append(ddl, 'create view ' || place || meta._options_clause(new.options) || ' as ' || new.query);
    if new.comment is not null then
        ddl := array_append(ddl, format('comment on view %s is %L', place, new.comment));
    end if;
    if new.owner is not null then
        ddl := array_append(ddl, format('alter view %s owner to %I', place, new.owner));
    end if;
    return ddl;
end
$$;
comment on function meta._view_insert_ddl(meta.view) is 'The statements for it.';

create function meta._view_insert() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    new := meta._view_named(new);
    foreach statement in array meta._view_insert_ddl(new) loop
        execute statement;
    end loop;
    return meta._view_now(new);
end
$$;
comment on function meta._view_insert() is 'CREATE VIEW.';

create function meta._view_update_ddl(old meta.view, new meta.view) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', old.schema_name, old.name);
begin
    if new.id is distinct from old.id then
        perform meta._refuse('an id follows the names that it is made of', 'Update schema_name or name.');
    end if;
    if new.query is distinct from old.query then
        ddl := array_append(ddl, 'create or replace view ' || place || meta._options_clause(new.options) || ' as ' || new.query);
    elsif new.options is distinct from old.options then
        -- not with the query once more: its text would be read by the caller's search path
        if old.options is not null then
            ddl := array_append(ddl, format('alter view %s reset (%s)', place,
                       (select string_agg(quote_ident(split_part(u.option, '=', 1)), ', ') from unnest(old.options) as u(option))));
        end if;
        if new.options is not null then
            ddl := array_append(ddl, format('alter view %s set%s', place, substr(meta._options_clause(new.options), 6)));
        end if;
    end if;
    return ddl || meta._relation_ddl('view', array[old.schema_name, old.name, old.owner, old.comment],
                                     array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._view_update_ddl(meta.view, meta.view) is 'The statements for it.';

create function meta._view_update() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    foreach statement in array meta._view_update_ddl(old, new) loop
        execute statement;
    end loop;
    return meta._view_now(new);
end
$$;
comment on function meta._view_update() is 'CREATE OR REPLACE VIEW, ALTER VIEW, COMMENT.';

create function meta._view_delete() returns trigger
language plpgsql
as $$
begin
    execute pg_catalog.format('drop view %I.%I', old.schema_name, old.name);
    return old;
end
$$;
comment on function meta._view_delete() is 'DROP VIEW.';

create trigger view_insert instead of insert on meta.view for each row execute function meta._view_insert();
create trigger view_update instead of update on meta.view for each row execute function meta._view_update();
create trigger view_delete instead of delete on meta.view for each row execute function meta._view_delete();
