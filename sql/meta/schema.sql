-- Schemas as rows.

create view meta._schema as
select n.oid as scope, n.oid as object, meta.schema_id(n.nspname) as id, n.nspname::text collate "default" as name,
       pg_get_userbyid(n.nspowner)::text collate "default" as owner, obj_description(n.oid, 'pg_namespace') collate "default" as comment
from pg_namespace n
where meta._is_shown(n.oid);
comment on view meta._schema is 'meta.schema, with its oid.';

create view meta.schema as select id, name, owner, comment from meta._schema;
comment on view meta.schema is 'Schemas. INSERT creates one, UPDATE renames it or gives it another owner or comment, DELETE drops it if it is empty.';
comment on column meta.schema.id is 'Names the schema.';
comment on column meta.schema.owner is 'Its owner; given as NULL, who creates it.';

create function meta._schema_given(old meta.schema, new meta.schema) returns meta.schema
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
    end if;
    perform meta._name_given(new.name, 'schema');
    return new;
end
$$;
comment on function meta._schema_given(meta.schema, meta.schema) is 'The row as it is to be, completed and checked.';

create function meta._schema_ddl(old meta.schema, new meta.schema) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if new is null then
        return array[format('drop schema %I', old.name)];
    end if;
    if old is null then
        -- whose it is at once: nobody else may make one for others without a privilege on the database
        ddl := array[format('create schema %I', new.name) || coalesce(' authorization ' || quote_ident(new.owner), '')];
        old.name := new.name;
        old.owner := new.owner;
    end if;
    return ddl || meta._object_ddl('schema', '', array[null, old.name, old.owner, old.comment], array[null, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._schema_ddl(meta.schema, meta.schema) is 'CREATE, ALTER, DROP SCHEMA.';

create function meta._schema_now(given meta.schema) returns meta.schema
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.id, s.name, s.owner, s.comment from meta._schema s where s.object = to_regnamespace(quote_ident((given).name))
$$;
comment on function meta._schema_now(meta.schema) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.schema for each row execute function meta._write();
