-- Partitions as rows: what they are of, and which part. What they are by themselves is in meta.table and meta.foreign_table.

create view meta._partition as
select c.oid as scope, i.inhparent as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       pn.nspname::text collate "default" as parent_schema_name, p.relname::text collate "default" as parent_name,
       meta._expression_text(c.relpartbound, c.oid) collate "default" as bound
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_inherits i on i.inhrelid = c.oid
join pg_class p on p.oid = i.inhparent
join pg_namespace pn on pn.oid = p.relnamespace
where c.relispartition and c.relkind in ('r', 'p', 'f') and meta._is_shown(n.oid);
comment on view meta._partition is 'meta.partition, with its oid, and as the object the oid of the table that it is of: what is detached is found by it.';

create view meta.partition as select id, schema_name, name, parent_schema_name, parent_name, bound from meta._partition;
comment on view meta.partition is 'Partitions of tables. INSERT attaches a table that is there, UPDATE detaches it and attaches it with another bound or to another table, DELETE detaches it: it stays as a table.';
comment on column meta.partition.id is 'Names the partition.';
comment on column meta.partition.parent_name is 'The partitioned table. With another one it is detached and attached: all of its rows are read.';
comment on column meta.partition.bound is 'Which rows are in it, taken as SQL: FOR VALUES FROM (1) TO (10), FOR VALUES IN (''a''), FOR VALUES WITH (MODULUS 4, REMAINDER 0), DEFAULT. With another one it is detached and attached: all of its rows are read.';

create function meta._partition_given(old meta.partition, new meta.partition) returns meta.partition
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update meta.table''s schema_name or name.');
        if (new.schema_name, new.name) is distinct from (old.schema_name, old.name) then
            perform meta._refuse('a partition is named as a table', 'Update meta.table, or meta.foreign_table. Delete this one and insert another to have another table in its place.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'partition''s schema'), meta._name_given(new.name, 'partition'),
            meta._name_given(new.parent_schema_name, 'partition''s parent''s schema'), meta._name_given(new.parent_name, 'partition''s parent');
    if new.bound is null then
        raise exception 'a partition needs a bound' using errcode = 'not_null_violation', hint = 'FOR VALUES ..., or DEFAULT.';
    end if;
    return new;
end
$$;
comment on function meta._partition_given(meta.partition, meta.partition) is 'The row as it is to be, completed and checked.';

create function meta._partition_ddl(old meta.partition, new meta.partition) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if new is not distinct from old then
        return ddl;
    end if;
    if not old is null then
        ddl := array[format('alter table %I.%I detach partition %I.%I', old.parent_schema_name, old.parent_name, old.schema_name, old.name)];
    end if;
    if not new is null then
        ddl := array_append(ddl, format('alter table %I.%I attach partition %I.%I ', new.parent_schema_name, new.parent_name,
                                        new.schema_name, new.name) || new.bound || E'\n');
    end if;
    return ddl;
end
$$;
comment on function meta._partition_ddl(meta.partition, meta.partition) is 'ALTER TABLE ATTACH, DETACH PARTITION.';

create function meta._partition_now(given meta.partition) returns meta.partition
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.schema_name, p.name, p.parent_schema_name, p.parent_name, p.bound
    from meta._partition p where p.scope = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._partition_now(meta.partition) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.partition for each row execute function meta._write();
