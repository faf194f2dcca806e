-- Columns of every kind of relation as rows, by what they have in common: those of views and materialized views are only here. ALTER TABLE
-- means any of them, so they are altered as meta.column's are.

create view meta._relation_column as
select c.oid as scope, c.oid as object, meta.column_id(n.nspname, c.relname, a.attname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       a.attname::text collate "default" as name, meta._relation_kind(c.relkind) as relation_kind,
       meta._type_text(a.atttypid, a.atttypmod) as type, a.attnum::integer as position,
       meta._expression_text(d.adbin, d.adrelid) collate "default" as "default", not a.attnotnull as nullable,
       col_description(c.oid, a.attnum) collate "default" as comment
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped and meta._is_shown(n.oid);
comment on view meta._relation_column is 'meta.relation_column, with the relation''s oid.';

create view meta.relation_column as
select id, schema_name, relation_name, name, relation_kind, type, position, "default", nullable, comment from meta._relation_column;
comment on view meta.relation_column is 'Columns of tables, views, materialized views and foreign tables. INSERT adds one, UPDATE alters it, DELETE drops it, as far as its relation has columns of its own; a view''s have a name, a default and a comment, a materialized view''s a name and a comment.';
comment on column meta.relation_column.id is 'Names the column.';
comment on column meta.relation_column.relation_kind is 'table, partitioned table, view, materialized view or foreign table. INSERT need not say it.';
comment on column meta.relation_column.type is 'Its type, as SQL writes it. Another one takes its own collation.';
comment on column meta.relation_column.position is 'Its place. Those of dropped columns are not used again; a new one comes last.';
comment on column meta.relation_column.default is 'Its default, or what it is generated from: an expression, which is taken as SQL.';
comment on column meta.relation_column.nullable is 'Whether it can be NULL; always true of a view''s and a materialized view''s.';

create function meta._relation_as_column(col meta.relation_column) returns meta.column
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(null::meta.column, to_jsonb(col) || '{"primary_key": false}')
    where (col).name is not null
$$;
comment on function meta._relation_as_column(meta.relation_column) is 'The row as it would be one of meta.column.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which a type is found.
create function meta._relation_column_given(old meta.relation_column, new meta.relation_column) returns meta.relation_column
language plpgsql stable
as $$
begin
    new := meta._relation_column_named(old, new);
    if meta._is_other_type(meta._relation_as_column(old), meta._relation_as_column(new)) then
        perform meta._type_given(new.type);
    end if;
    return new;
end
$$;
comment on function meta._relation_column_given(meta.relation_column, meta.relation_column) is 'The row as it is to be, completed and checked.';

create function meta._of_its_query(kind text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if kind in ('view', 'materialized view') then
        perform meta._refuse('the columns of a ' || kind || ' are those of its query',
                             case when kind = 'view' then 'Update meta.view''s query.' else 'Drop it and make another.' end);
    end if;
end
$$;
comment on function meta._of_its_query(text) is 'An error when the columns of such a relation come from its query.';

create function meta._relation_column_named(old meta.relation_column, new meta.relation_column) returns meta.relation_column
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kind text;
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        select meta._relation_kind(c.relkind) into kind
        from pg_class c where c.oid = to_regclass(format('%I.%I', coalesce(new.schema_name, ''), coalesce(new.relation_name, '')));
        if kind <> new.relation_kind then
            raise exception 'the relation is a %', kind using errcode = 'invalid_parameter_value', hint = 'Leave relation_kind out.';
        end if;
        if kind = 'sequence' then
            perform meta._refuse('the columns of a sequence are PostgreSQL''s own', 'What can be said of one is in meta.sequence.');
        end if;
        perform meta._of_its_query(kind);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        perform meta._flag_given(new.nullable, 'nullable');
        if (new.schema_name, new.relation_name) is distinct from (old.schema_name, old.relation_name) then
            perform meta._refuse('a column stays in its relation',
                                 'Add it to the other one, and delete this one. To move or rename the relation update meta.relation.');
        end if;
        if new.relation_kind is distinct from old.relation_kind then
            perform meta._refuse('a relation stays what it is', 'Drop it and make another.');
        end if;
        if new.position is distinct from old.position then
            perform meta._refuse('a column stays in its place', 'A new one comes last.');
        end if;
        if new.type is distinct from old.type then
            perform meta._of_its_query(old.relation_kind);
        end if;
        if old.relation_kind in ('view', 'materialized view') and not new.nullable then
            perform meta._refuse('the columns of a ' || old.relation_kind || ' have no NOT NULL', 'Update those that it reads.');
        end if;
        if old.relation_kind = 'materialized view' and new."default" is not null then
            perform meta._refuse('a materialized view has no defaults', 'Nothing is inserted into one.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'column''s schema'), meta._name_given(new.relation_name, 'column''s relation'),
            meta._name_given(new.name, 'column');
    return new;
end
$$;
comment on function meta._relation_column_named(meta.relation_column, meta.relation_column) is
    'The row with its names, which may have been given as its id.';

create function meta._relation_column_ddl(old meta.relation_column, new meta.relation_column) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    was meta.column := meta._relation_as_column(old);
    wanted meta.column := meta._relation_as_column(new);
begin
    if new is null then
        perform meta._of_its_query(old.relation_kind);
    elsif not old is null then
        -- what is generated has another way to another expression
        select case when a.attgenerated = 's' then 'stored' when a.attgenerated = 'v' then 'virtual'
                    when a.attidentity = 'a' then 'identity always' when a.attidentity = 'd' then 'identity by default' end
        into was.generated
        from pg_attribute a
        where a.attrelid = to_regclass(format('%I.%I', old.schema_name, old.relation_name)) and a.attname = old.name;
        wanted.generated := was.generated;
    end if;
    return meta._column_ddl(was, wanted);
end
$$;
comment on function meta._relation_column_ddl(meta.relation_column, meta.relation_column) is 'ALTER TABLE ADD, ALTER, RENAME, DROP COLUMN, for every kind of relation.';

create function meta._relation_column_now(given meta.relation_column) returns meta.relation_column
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.schema_name, c.relation_name, c.name, c.relation_kind, c.type, c.position, c."default", c.nullable, c.comment
    from meta._relation_column c
    where c.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) and c.name = (given).name
$$;
comment on function meta._relation_column_now(meta.relation_column) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.relation_column for each row execute function meta._write();
