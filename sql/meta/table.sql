-- Tables as rows.

create view meta._tables as
select c.oid as relation, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       pg_get_userbyid(c.relowner)::text collate "default" as owner, c.relpersistence = 'u' as unlogged,
       c.relrowsecurity as row_security, c.relforcerowsecurity as force_row_security,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and meta._is_shown(n.oid);
comment on view meta._tables is 'meta.table, with the oid.';

create view meta.table as
select id, schema_name, name, owner, unlogged, row_security, force_row_security, comment from meta._tables;
comment on view meta.table is 'Tables, also partitioned ones and partitions. INSERT creates one without columns (they are rows of meta.column), UPDATE alters it or moves it to another schema, DELETE drops it.';
comment on column meta.table.id is 'Names the table.';
comment on column meta.table.owner is 'Its owner; given as NULL, who creates it.';
comment on column meta.table.row_security is 'Whether its policies apply to others than its owner.';
comment on column meta.table.force_row_security is 'Whether they apply to its owner too.';

create function meta._table_named(given meta.table) returns meta.table
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    given.schema_name := coalesce(given.schema_name, ((given.id).schema_id).name);
    given.name := coalesce(given.name, (given.id).name);
    perform meta._name_given(given.schema_name, 'table''s schema'), meta._name_given(given.name, 'table');
    return given;
end
$$;
comment on function meta._table_named(meta.table) is 'The row with its names, which may have been given as its id.';

create function meta._table_now(given meta.table) returns meta.table
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select t from meta.table t where t.schema_name = (given).schema_name and t.name = (given).name $$;
comment on function meta._table_now(meta.table) is 'The row as it is.';

create function meta._table_insert_ddl(new meta.table) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place text;
begin
    place := format('%I.%I', new.schema_name, new.name);
    ddl := array_append(ddl, 'create ' || case when new.unlogged then 'unlogged ' else '' end || 'table ' || place || ' ()');
    if new.row_security then
        ddl := array_append(ddl, 'alter table ' || place || ' enable row level security');
    end if;
    if new.force_row_security then
        ddl := array_append(ddl, 'alter table ' || place || ' force row level security');
    end if;
    if new.comment is not null then
        ddl := array_append(ddl, format('comment on table %s is %L', place, new.comment));
    end if;
    -- last: then it may be somebody else's
    if new.owner is not null then
        ddl := array_append(ddl, format('alter table %s owner to %I', place, new.owner));
    end if;
    return ddl;
end
$$;
comment on function meta._table_insert_ddl(meta.table) is 'The statements for it.';

create function meta._table_insert() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    new := meta._table_named(new);
    foreach statement in array meta._table_insert_ddl(new) loop
        execute statement;
    end loop;
    return meta._table_now(new);
end
$$;
comment on function meta._table_insert() is 'CREATE TABLE.';

create function meta._table_update_ddl(old meta.table, new meta.table) returns text[]
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
    perform meta._flag_given(new.unlogged, 'unlogged'), meta._flag_given(new.row_security, 'row_security'),
            meta._flag_given(new.force_row_security, 'force_row_security');
    if new.unlogged is distinct from old.unlogged then
        ddl := array_append(ddl, 'alter table ' || place || case when new.unlogged then ' set unlogged' else ' set logged' end);
    end if;
    if new.row_security is distinct from old.row_security then
        ddl := array_append(ddl, 'alter table ' || place || case when new.row_security then ' enable' else ' disable' end || ' row level security');
    end if;
    if new.force_row_security is distinct from old.force_row_security then
        ddl := array_append(ddl, 'alter table ' || place || case when new.force_row_security then ' force' else ' no force' end
                || ' row level security');
    end if;
    return ddl || meta._relation_ddl('table', array[old.schema_name, old.name, old.owner, old.comment],
                                     array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._table_update_ddl(meta.table, meta.table) is 'The statements for it.';

create function meta._table_update() returns trigger
language plpgsql
as $$
declare
    statement text;
begin
    foreach statement in array meta._table_update_ddl(old, new) loop
        execute statement;
    end loop;
    return meta._table_now(new);
end
$$;
comment on function meta._table_update() is 'ALTER TABLE, COMMENT.';

create function meta._table_delete() returns trigger
language plpgsql
as $$
begin
    execute pg_catalog.format('drop table %I.%I', old.schema_name, old.name);
    return old;
end
$$;
comment on function meta._table_delete() is 'DROP TABLE.';

create trigger table_insert instead of insert on meta.table for each row execute function meta._table_insert();
create trigger table_update instead of update on meta.table for each row execute function meta._table_update();
create trigger table_delete instead of delete on meta.table for each row execute function meta._table_delete();
