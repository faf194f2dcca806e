-- Relations of every kind as rows, by what they have in common. The rest of each is in the relation of its kind.

create function meta._relation_kind(letter "char") returns text
language sql immutable parallel safe
return case letter when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' when 'm' then 'materialized view'
                   when 'S' then 'sequence' when 'f' then 'foreign table' end;
comment on function meta._relation_kind("char") is 'What meta calls a relation of this relkind.';

create view meta._relation as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       meta._relation_kind(c.relkind) as kind, pg_get_userbyid(c.relowner)::text collate "default" as owner,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and meta._is_shown(n.oid);
comment on view meta._relation is 'meta.relation, with its oid.';

create view meta.relation as select id, schema_name, name, kind, owner, comment from meta._relation;
comment on view meta.relation is 'Relations of every kind. INSERT creates an empty table, UPDATE renames one, moves it to another schema or gives it another owner or comment, DELETE drops it.';
comment on column meta.relation.id is 'Names the relation.';
comment on column meta.relation.kind is 'table, partitioned table, view, materialized view, sequence or foreign table. Given as NULL, table.';
comment on column meta.relation.owner is 'Its owner; given as NULL, who creates it.';

create function meta._relation_given(old meta.relation, new meta.relation) returns meta.relation
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    place text;
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.kind := coalesce(new.kind, 'table');
        if new.kind <> 'table' then
            place := case new.kind when 'partitioned table' then 'meta.table, with partition_by' when 'view' then 'meta.view'
                                   when 'materialized view' then 'meta.materialized_view' when 'sequence' then 'meta.sequence'
                                   when 'foreign table' then 'meta.foreign_table' end;
            if place is null then
                raise exception '"%" is no kind of relation', new.kind
                    using errcode = 'invalid_parameter_value',
                          hint = 'kind is table, partitioned table, view, materialized view, sequence or foreign table.';
            end if;
            perform meta._refuse('a ' || new.kind || ' is more than its name', 'Insert it into ' || place || '.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        if new.kind is distinct from old.kind then
            perform meta._refuse('a relation stays what it is', 'Drop it and make another.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, new.kind || '''s schema'), meta._name_given(new.name, new.kind);
    return new;
end
$$;
comment on function meta._relation_given(meta.relation, meta.relation) is 'The row as it is to be, completed and checked.';

create function meta._relation_ddl(old meta.relation, new meta.relation) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    sort constant text := replace(coalesce(old.kind, new.kind), 'partitioned ', '');
begin
    if new is null then
        return array[format('drop %s %I.%I', sort, old.schema_name, old.name)];
    end if;
    if old is null then
        ddl := array[format('create table %I.%I ()', new.schema_name, new.name)];
        old.schema_name := new.schema_name;
        old.name := new.name;
    end if;
    return ddl || meta._object_ddl(sort, '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._relation_ddl(meta.relation, meta.relation) is 'CREATE TABLE, and ALTER and DROP for every kind.';

create function meta._relation_now(given meta.relation) returns meta.relation
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.id, r.schema_name, r.name, r.kind, r.owner, r.comment
    from meta._relation r where r.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._relation_now(meta.relation) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.relation for each row execute function meta._write();
