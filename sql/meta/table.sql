-- Tables as rows.

create function meta._partition_key_text(relation oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return pg_get_partkeydef(relation);
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._partition_key_text(oid) is 'What a table is partitioned by as SQL writes it, always the same.';

create view meta._table as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       pg_get_userbyid(c.relowner)::text collate "default" as owner, c.relpersistence = 'u' as unlogged,
       case when c.relkind = 'p' then meta._partition_key_text(c.oid) end as partition_by,
       (select array_agg(meta.relation_id(pn.nspname, p.relname) order by i.inhseqno)
        from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
        where i.inhrelid = c.oid and not c.relispartition) as inherits,
       c.reloptions as options, c.relrowsecurity as row_security, c.relforcerowsecurity as force_row_security,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and meta._is_shown(n.oid);
comment on view meta._table is 'meta.table, with its oid.';

create view meta.table as
select id, schema_name, name, owner, unlogged, partition_by, inherits, options, row_security, force_row_security,
       null::meta.column[] as columns, comment
from meta._table;
comment on view meta.table is 'Tables, also partitioned ones and partitions. INSERT creates one, UPDATE alters it or moves it to another schema, DELETE drops it.';
comment on column meta.table.id is 'Names the table.';
comment on column meta.table.owner is 'Its owner; given as NULL, who creates it.';
comment on column meta.table.partition_by is 'How it is partitioned: range (at), list (region), hash (id). Taken as SQL. What its partitions are is in meta.partition.';
comment on column meta.table.inherits is 'The tables that it inherits from; a partition''s is in meta.partition.';
comment on column meta.table.options is 'Its storage parameters: fillfactor=70.';
comment on column meta.table.columns is 'Always NULL. INSERT makes the table with these columns, or without any: further ones are inserted into meta.column. A partitioned table needs those that it is partitioned by.';
comment on column meta.table.row_security is 'Whether its policies apply to others than its owner.';
comment on column meta.table.force_row_security is 'Whether they apply to its owner too.';


create function meta._table_given(old meta.table, new meta.table) returns meta.table
language plpgsql stable
as $$
declare
    col meta.column;
begin
    new := meta._table_named(old, new);
    if new.columns is not null then
        foreach col in array new.columns loop
            perform meta._type_given(col.type);
            perform meta._collation_given(col.collation_name);
        end loop;
    end if;
    return new;
end
$$;
comment on function meta._table_given(meta.table, meta.table) is 'The row as it is to be, completed and checked.';

create function meta._table_named(old meta.table, new meta.table) returns meta.table
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        perform meta._name_given(c.name, 'column') from unnest(new.columns) as c;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        perform meta._flag_given(new.unlogged, 'unlogged'), meta._flag_given(new.row_security, 'row_security'),
                meta._flag_given(new.force_row_security, 'force_row_security');
        if new.columns is not null then
            perform meta._refuse('the columns of a table that is there are rows of meta.column', 'Leave columns out.');
        end if;
        if new.partition_by is distinct from old.partition_by then
            perform meta._refuse('how a table is partitioned stays', 'Make another, and move the rows.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'table''s schema'), meta._name_given(new.name, 'table');
    return new;
end
$$;
comment on function meta._table_named(meta.table, meta.table) is 'The row with its names, which may have been given as its id.';

create function meta._table_now(given meta.table) returns meta.table
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.id, t.schema_name, t.name, t.owner, t.unlogged, t.partition_by, t.inherits, t.options, t.row_security,
           t.force_row_security, null::meta.column[], t.comment
    from meta._table t where t.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._table_now(meta.table) is 'The row as it is.';

create function meta._create_table(place text, new meta.table) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    col meta.column;
    definitions text[] := '{}';
    comments text[] := '{}';
    key text[] := '{}';
begin
    foreach col in array coalesce(new.columns, '{}') loop
        -- with a parent an inherited one comes by itself
        if new.inherits is null or col.inherited is not true then
            definitions := array_append(definitions, meta._column_clause(col));
        end if;
        if col.primary_key then
            key := array_append(key, quote_ident(col.name));
        end if;
        if col.comment is not null then
            comments := array_append(comments, format('comment on column %s.%I is %L', place, col.name, col.comment));
        end if;
    end loop;
    if cardinality(key) > 0 then
        definitions := array_append(definitions, 'primary key (' || array_to_string(key, ', ') || ')');
    end if;
    return array_prepend('create ' || case when new.unlogged then 'unlogged ' else '' end || 'table ' || place
        || ' (' || array_to_string(definitions, ', ') || ')'
        || coalesce(' inherits (' || (select string_agg(meta._relation_text(p.relation), ', ' order by p.place)
                                      from (select row(u.schema_id, u.name)::meta.relation_id as relation, u.place
                                            from unnest(new.inherits) with ordinality as u(schema_id, name, place)) p) || ')', '')
        || coalesce(' partition by ' || new.partition_by, '') || meta._options_clause(new.options), comments);
end
$$;
comment on function meta._create_table(text, meta.table) is 'CREATE TABLE, and what its columns are to be commented with.';

create function meta._table_ddl(old meta.table, new meta.table) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    parent meta.relation_id;
begin
    if new is null then
        return array['drop table ' || place];
    end if;
    if old is null then
        ddl := meta._create_table(place, new);
        old.schema_name := new.schema_name;
        old.name := new.name;
    else
        if new.unlogged <> old.unlogged then
            ddl := array_append(ddl, 'alter table ' || place || case when new.unlogged then ' set unlogged' else ' set logged' end);
        end if;
        foreach parent in array coalesce(old.inherits, '{}') loop
            if new.inherits is null or not parent = any (new.inherits) then
                ddl := array_append(ddl, format('alter table %s no inherit %s', place, meta._relation_text(parent)));
            end if;
        end loop;
        foreach parent in array coalesce(new.inherits, '{}') loop
            if old.inherits is null or not parent = any (old.inherits) then
                ddl := array_append(ddl, format('alter table %s inherit %s', place, meta._relation_text(parent)));
            end if;
        end loop;
        ddl := ddl || meta._options_ddl('table ' || place, old.options, new.options);
    end if;
    if coalesce(new.row_security, false) <> coalesce(old.row_security, false) then
        ddl := array_append(ddl, 'alter table ' || place || case when new.row_security then ' enable' else ' disable' end || ' row level security');
    end if;
    if coalesce(new.force_row_security, false) <> coalesce(old.force_row_security, false) then
        ddl := array_append(ddl, 'alter table ' || place || case when new.force_row_security then ' force' else ' no force' end
                || ' row level security');
    end if;
    return ddl || meta._object_ddl('table', '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._table_ddl(meta.table, meta.table) is 'CREATE, ALTER, DROP TABLE.';

create trigger write instead of insert or update or delete on meta.table for each row execute function meta._write();
