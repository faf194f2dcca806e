-- Extensions as rows.

create view meta._extension as
select e.oid as scope, e.oid as object, meta.extension_id(e.extname) as id, e.extname::text collate "default" as name,
       n.nspname::text collate "default" as schema_name, e.extversion collate "default" as version, e.extrelocatable as relocatable,
       pg_get_userbyid(e.extowner)::text collate "default" as owner, obj_description(e.oid, 'pg_extension') collate "default" as comment
from pg_extension e join pg_namespace n on n.oid = e.extnamespace;
comment on view meta._extension is 'meta.extension, with its oid.';

create view meta.extension as select id, name, schema_name, version, relocatable, owner, comment from meta._extension;
comment on view meta.extension is 'Extensions. INSERT creates one, UPDATE moves it to another schema or version or gives it another comment, DELETE drops it.';
comment on column meta.extension.id is 'Names the extension.';
comment on column meta.extension.schema_name is 'Where its objects are. Given as NULL, where it itself or the search path says; the schema has to be there.';
comment on column meta.extension.version is 'Its version; given as NULL, its default one.';
comment on column meta.extension.relocatable is 'Whether it can be moved to another schema, which is a fact.';
comment on column meta.extension.owner is 'Who created it, which stays.';
comment on column meta.extension.comment is 'Its comment; given as NULL to INSERT, the one that it comes with.';

create function meta._extension_given(old meta.extension, new meta.extension) returns meta.extension
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
        if new.relocatable is not null then
            perform meta._refuse('whether an extension is relocatable is its own', 'Leave relocatable out.');
        end if;
        if new.owner <> current_user then
            perform meta._refuse('an extension belongs to who creates it', 'Leave owner out.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Drop it and make another.');
        if new.name is distinct from old.name then
            perform meta._refuse('an extension keeps its name', 'Drop it and make another.');
        end if;
        if new.owner is distinct from old.owner then
            perform meta._refuse('an extension belongs to who created it', 'Drop it, and have the other one create it.');
        end if;
        if new.relocatable is distinct from old.relocatable then
            perform meta._refuse('whether an extension is relocatable is its own', 'Leave relocatable as it is.');
        end if;
        perform meta._name_given(new.schema_name, 'extension''s schema');
    end if;
    perform meta._name_given(new.name, 'extension');
    return new;
end
$$;
comment on function meta._extension_given(meta.extension, meta.extension) is 'The row as it is to be, completed and checked.';

create function meta._extension_ddl(old meta.extension, new meta.extension) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if new is null then
        return array[format('drop extension %I', old.name)];
    end if;
    if old is null then
        ddl := array[format('create extension %I', new.name) || coalesce(' schema ' || quote_ident(new.schema_name), '')
                     || coalesce(' version ' || quote_literal(new.version), '')];
    else
        if new.version is distinct from old.version then
            ddl := array_append(ddl, format('alter extension %I update', new.name) || coalesce(' to ' || quote_literal(new.version), ''));
        end if;
        if new.schema_name <> old.schema_name then
            ddl := array_append(ddl, format('alter extension %I set schema %I', new.name, new.schema_name));
        end if;
    end if;
    return ddl || meta._object_ddl('extension', '', array[null, new.name, null, old.comment], array[null, new.name, null, new.comment]);
end
$$;
comment on function meta._extension_ddl(meta.extension, meta.extension) is 'CREATE, ALTER, DROP EXTENSION.';

create function meta._extension_now(given meta.extension) returns meta.extension
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select e.id, e.name, e.schema_name, e.version, e.relocatable, e.owner, e.comment from meta._extension e where e.name = (given).name
$$;
comment on function meta._extension_now(meta.extension) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.extension for each row execute function meta._write();
