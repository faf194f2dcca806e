-- Foreign tables as rows.

create view meta._foreign_table as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       s.srvname::text collate "default" as server_name, f.ftoptions collate "default" as options,
       (select array_agg(meta.relation_id(pn.nspname, p.relname) order by i.inhseqno)
        from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
        where i.inhrelid = c.oid and not c.relispartition) as inherits,
       pg_get_userbyid(c.relowner)::text collate "default" as owner, obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_foreign_table f on f.ftrelid = c.oid
join pg_foreign_server s on s.oid = f.ftserver
where c.relkind = 'f' and meta._is_shown(n.oid);
comment on view meta._foreign_table is 'meta.foreign_table, with its oid.';

create view meta.foreign_table as
select id, schema_name, name, server_name, options, inherits, owner, comment from meta._foreign_table;
comment on view meta.foreign_table is 'Foreign tables, also those that are partitions. INSERT creates one without columns, UPDATE alters it or moves it to another schema, DELETE drops it.';
comment on column meta.foreign_table.id is 'Names the foreign table.';
comment on column meta.foreign_table.server_name is 'The foreign server that it is on.';
comment on column meta.foreign_table.options is 'Its options: {schema_name=public,table_name=person}.';
comment on column meta.foreign_table.inherits is 'The tables that it inherits from; a partition''s is in meta.partition.';
comment on column meta.foreign_table.owner is 'Its owner; given as NULL, who creates it.';

create function meta._foreign_table_given(old meta.foreign_table, new meta.foreign_table) returns meta.foreign_table
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        if new.server_name is distinct from old.server_name then
            perform meta._refuse('a foreign table stays on its server', 'Drop it and make another.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'foreign table''s schema'), meta._name_given(new.name, 'foreign table'),
            meta._name_given(new.server_name, 'foreign table''s server'), meta._option_given(new.options);
    return new;
end
$$;
comment on function meta._foreign_table_given(meta.foreign_table, meta.foreign_table) is 'The row as it is to be, completed and checked.';

create function meta._foreign_table_ddl(old meta.foreign_table, new meta.foreign_table) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    parent meta.relation_id;
    parents text[] := '{}';
begin
    if new is null then
        return array['drop foreign table ' || place];
    end if;
    if old is null then
        foreach parent in array coalesce(new.inherits, '{}') loop
            parents := array_append(parents, meta._relation_text(parent));
        end loop;
        ddl := array['create foreign table ' || place || ' ()'
                     || coalesce(' inherits (' || nullif(array_to_string(parents, ', '), '') || ')', '')
                     || format(' server %I', new.server_name) || coalesce(meta._foreign_options_clause(null, new.options), '')];
        old.schema_name := new.schema_name;
        old.name := new.name;
    else
        foreach parent in array coalesce(old.inherits, '{}') loop
            if new.inherits is null or not parent = any (new.inherits) then
                ddl := array_append(ddl, format('alter foreign table %s no inherit %s', place, meta._relation_text(parent)));
            end if;
        end loop;
        foreach parent in array coalesce(new.inherits, '{}') loop
            if old.inherits is null or not parent = any (old.inherits) then
                ddl := array_append(ddl, format('alter foreign table %s inherit %s', place, meta._relation_text(parent)));
            end if;
        end loop;
        ddl := array_remove(array_append(ddl, 'alter foreign table ' || place
                                              || meta._foreign_options_clause(coalesce(old.options, '{}'), new.options)), null);
    end if;
    return ddl || meta._object_ddl('foreign table', '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._foreign_table_ddl(meta.foreign_table, meta.foreign_table) is 'CREATE, ALTER, DROP FOREIGN TABLE.';

create function meta._foreign_table_now(given meta.foreign_table) returns meta.foreign_table
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.id, t.schema_name, t.name, t.server_name, t.options, t.inherits, t.owner, t.comment
    from meta._foreign_table t where t.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._foreign_table_now(meta.foreign_table) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.foreign_table for each row execute function meta._write();
