-- Schemas as rows.

create view meta._schemas as
select n.oid as schema, meta.schema_id(n.nspname) as id, n.nspname::text collate "default" as name,
       pg_get_userbyid(n.nspowner)::text collate "default" as owner, obj_description(n.oid, 'pg_namespace') collate "default" as comment
from pg_namespace n
where meta._is_shown(n.oid);
comment on view meta._schemas is 'meta.schema, with the oid.';

create view meta.schema as select id, name, owner, comment from meta._schemas;
comment on view meta.schema is 'Schemas. INSERT creates one, UPDATE renames it or gives it another owner or comment, DELETE drops it if it is empty.';
comment on column meta.schema.id is 'Names the schema.';
comment on column meta.schema.owner is 'Its owner; given as NULL, who creates it.';

create function meta._schema_named(given meta.schema) returns meta.schema
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    given.name := coalesce(given.name, (given.id).name);
    perform meta._name_given(given.name, 'schema');
    return given;
end
$$;
comment on function meta._schema_named(meta.schema) is 'The row with its name, which may have been given as its id.';

create function meta._schema_now(given meta.schema) returns meta.schema
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select s from meta.schema s where s.name = (given).name $$;
comment on function meta._schema_now(meta.schema) is 'The row as it is.';

create function meta._schema_insert_ddl(new meta.schema) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    ddl := array_append(ddl, format('create schema %I', new.name)
            || case when new.owner is not null then format(' authorization %I', new.owner) else '' end);
    if new.comment is not null then
        ddl := array_append(ddl, format('comment on schema %I is %L', new.name, new.comment));
    end if;
    return ddl;
end
$$;
comment on function meta._schema_insert_ddl(meta.schema) is 'The statements for it.';

create function meta._schema_insert() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    new := meta._schema_named(new);
    foreach statement in array meta._schema_insert_ddl(new) loop
        execute statement;
    end loop;
    return meta._schema_now(new);
end
$$;
comment on function meta._schema_insert() is 'CREATE SCHEMA.';

create function meta._schema_update_ddl(old meta.schema, new meta.schema) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if new.id is distinct from old.id then
        perform meta._refuse('an id follows the names that it is made of', 'Update name.');
    end if;
    if new.comment is distinct from old.comment then
        ddl := array_append(ddl, format('comment on schema %I is %L', old.name, new.comment));
    end if;
    if new.owner is distinct from old.owner then
        perform meta._name_given(new.owner, 'schema''s owner');
        ddl := array_append(ddl, format('alter schema %I owner to %I', old.name, new.owner));
    end if;
    if new.name is distinct from old.name then
        perform meta._name_given(new.name, 'schema');
        ddl := array_append(ddl, format('alter schema %I rename to %I', old.name, new.name));
    end if;
    return ddl;
end
$$;
comment on function meta._schema_update_ddl(meta.schema, meta.schema) is 'The statements for it.';

create function meta._schema_update() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    foreach statement in array meta._schema_update_ddl(old, new) loop
        execute statement;
    end loop;
    return meta._schema_now(new);
end
$$;
comment on function meta._schema_update() is 'ALTER SCHEMA, COMMENT.';

create function meta._schema_delete() returns trigger
language plpgsql
as $$
begin
    execute pg_catalog.format('drop schema %I', old.name);
    return old;
end
$$;
comment on function meta._schema_delete() is 'DROP SCHEMA.';

create trigger schema_insert instead of insert on meta.schema for each row execute function meta._schema_insert();
create trigger schema_update instead of update on meta.schema for each row execute function meta._schema_update();
create trigger schema_delete instead of delete on meta.schema for each row execute function meta._schema_delete();
