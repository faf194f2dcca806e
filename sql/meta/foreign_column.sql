-- Columns of foreign tables as rows. But for their options they are what meta.column is about, by which they are altered.

create view meta._foreign_column as
select c.oid as scope, c.oid as object, meta.column_id(n.nspname, c.relname, a.attname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       a.attname::text collate "default" as name,
       meta._type_text(a.atttypid, a.atttypmod) as type, meta._collation_text(a.attcollation, a.atttypid) as collation_name,
       a.attnum::integer as position, meta._expression_text(d.adbin, d.adrelid) collate "default" as "default",
       not a.attnotnull as nullable,
       case when a.attgenerated = 's' then 'stored' when a.attgenerated = 'v' then 'virtual' end as generated,
       a.attfdwoptions collate "default" as options, not a.attislocal as inherited, col_description(c.oid, a.attnum) as comment
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relkind = 'f' and a.attnum > 0 and not a.attisdropped and meta._is_shown(n.oid);
comment on view meta._foreign_column is 'meta.foreign_column, with the foreign table''s oid.';

create view meta.foreign_column as
select id, schema_name, relation_name, name, type, collation_name, position, "default", nullable, generated, options, inherited, comment
from meta._foreign_column;
comment on view meta.foreign_column is 'Columns of foreign tables. INSERT adds one, UPDATE alters it, DELETE drops it.';
comment on column meta.foreign_column.id is 'Names the column.';
comment on column meta.foreign_column.type is 'Its type, as SQL writes it.';
comment on column meta.foreign_column.collation_name is 'By which its texts are compared, if not by its type''s.';
comment on column meta.foreign_column.position is 'Its place. Those of dropped columns are not used again; a new one comes last.';
comment on column meta.foreign_column.default is 'Its default, or what it is generated from: an expression, which is taken as SQL.';
comment on column meta.foreign_column.nullable is 'Whether it may be NULL there, which PostgreSQL believes and does not check.';
comment on column meta.foreign_column.generated is 'NULL, stored or virtual (18).';
comment on column meta.foreign_column.options is 'Its options: {column_name=first_name}.';
comment on column meta.foreign_column.inherited is 'Whether it came with a parent, and not with a definition of its own.';

create function meta._foreign_as_column(col meta.foreign_column) returns meta.column
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(null::meta.column, to_jsonb(col) || '{"primary_key": false}')
    where (col).name is not null
$$;
comment on function meta._foreign_as_column(meta.foreign_column) is 'The row as it would be one of meta.column.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which a type is found.
create function meta._foreign_column_given(old meta.foreign_column, new meta.foreign_column) returns meta.foreign_column
language plpgsql stable
as $$
begin
    new := meta._foreign_column_named(old, new);
    if meta._is_other_type(meta._foreign_as_column(old), meta._foreign_as_column(new)) then
        perform meta._type_given(new.type);
        new.collation_name := meta._collation_given(new.collation_name);
    end if;
    return new;
end
$$;
comment on function meta._foreign_column_given(meta.foreign_column, meta.foreign_column) is 'The row as it is to be, completed and checked.';

create function meta._foreign_column_named(old meta.foreign_column, new meta.foreign_column) returns meta.foreign_column
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        if new.inherited then
            perform meta._refuse('an inherited column comes with its parent', 'Leave inherited out, or update meta.foreign_table''s inherits.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        perform meta._flag_given(new.nullable, 'nullable');
        if (new.schema_name, new.relation_name) is distinct from (old.schema_name, old.relation_name) then
            perform meta._refuse('a column stays in its table',
                                 'Add it to the other table, and delete this one. To move or rename the table update meta.foreign_table.');
        end if;
        if new.position is distinct from old.position then
            perform meta._refuse('a column stays in its place', 'A new one comes last.');
        end if;
        if new.inherited is distinct from old.inherited then
            perform meta._refuse('whether a column is inherited follows its table', 'Update meta.foreign_table''s inherits.');
        end if;
    end if;
    if new.generated like 'identity%' then
        perform meta._refuse('a foreign table has no identity columns', 'Leave generated out.');
    end if;
    perform meta._name_given(new.schema_name, 'column''s schema'), meta._name_given(new.relation_name, 'column''s table'),
            meta._name_given(new.name, 'column'), meta._option_given(new.options);
    return new;
end
$$;
comment on function meta._foreign_column_named(meta.foreign_column, meta.foreign_column) is
    'The row with its names, which may have been given as its id.';

create function meta._foreign_column_ddl(old meta.foreign_column, new meta.foreign_column) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
    name constant text := coalesce(old.name, new.name);
    last integer;
begin
    if new is null then
        return array[format('alter foreign table %s drop column %I', place, old.name)];
    end if;
    if old is null then
        select max(a.attnum) into last from pg_attribute a where a.attrelid = to_regclass(place) and a.attnum > 0;
        if new.position is not null and new.position <> coalesce(last, 0) + 1 then
            perform meta._refuse('a new column comes last', 'Leave position out.');
        end if;
        ddl := array['alter foreign table ' || place || ' add column ' || meta._column_clause(meta._foreign_as_column(new))];
    else
        ddl := meta._alter_column(place, meta._foreign_as_column(old), meta._foreign_as_column(new));
    end if;
    ddl := array_remove(array_append(ddl, format('alter foreign table %s alter column %I', place, name)
                                          || meta._foreign_options_clause(coalesce(old.options, '{}'), new.options)), null);
    if new.comment is distinct from old.comment then
        ddl := array_append(ddl, format('comment on column %s.%I is %L', place, name, new.comment));
    end if;
    if new.name <> old.name then
        ddl := array_append(ddl, format('alter foreign table %s rename column %I to %I', place, old.name, new.name));
    end if;
    return ddl;
end
$$;
comment on function meta._foreign_column_ddl(meta.foreign_column, meta.foreign_column) is 'ALTER FOREIGN TABLE ADD, ALTER, RENAME, DROP COLUMN.';

create function meta._foreign_column_now(given meta.foreign_column) returns meta.foreign_column
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.schema_name, c.relation_name, c.name, c.type, c.collation_name, c.position, c."default", c.nullable, c.generated,
           c.options, c.inherited, c.comment
    from meta._foreign_column c
    where c.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) and c.name = (given).name
$$;
comment on function meta._foreign_column_now(meta.foreign_column) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.foreign_column for each row execute function meta._write();
