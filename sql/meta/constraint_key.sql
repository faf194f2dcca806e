-- Primary keys and unique constraints as rows.

create view meta._primary_key as
select k.conrelid as scope, k.oid as object, meta.constraint_id(n.nspname, c.relname, k.conname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       k.conname::text collate "default" as name, meta._column_names(k.conrelid, k.conkey) as columns,
       meta._column_names(k.conrelid, (i.indkey::smallint[])[i.indnkeyatts:]) as include,
       coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) as without_overlaps,
       k.condeferrable as "deferrable", k.condeferred as deferred, x.reloptions as options, k.conparentid <> 0 as inherited,
       obj_description(k.oid, 'pg_constraint') collate "default" as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indexrelid = k.conindid
join pg_class x on x.oid = k.conindid
where k.contype = 'p' and meta._is_shown(n.oid);
comment on view meta._primary_key is 'meta.primary_key, with the table''s and the constraint''s oid.';

create view meta.primary_key as
select id, schema_name, relation_name, name, columns, include, without_overlaps, "deferrable", deferred, options, inherited, comment
from meta._primary_key;
comment on view meta.primary_key is 'Primary keys. INSERT adds one, UPDATE gives it another name, comment or options, DELETE drops it.';
comment on column meta.primary_key.id is 'Names the constraint.';
comment on column meta.primary_key.name is 'Its name, which is also its index''s; given as NULL, PostgreSQL chooses one.';
comment on column meta.primary_key.columns is 'The names of its columns, in its order.';
comment on column meta.primary_key.include is 'Further columns that its index has.';
comment on column meta.primary_key.without_overlaps is 'Whether the last column is a range of which no two may overlap (18).';
comment on column meta.primary_key."deferrable" is 'Whether its check can wait for the end of the transaction.';
comment on column meta.primary_key.deferred is 'Whether it does so if nothing else is said: initially deferred.';
comment on column meta.primary_key.options is 'Its index''s storage parameters: fillfactor=70.';
comment on column meta.primary_key.inherited is 'Whether it is part of a partitioned table''s.';

create view meta._constraint_unique as
select k.conrelid as scope, k.oid as object, meta.constraint_id(n.nspname, c.relname, k.conname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       k.conname::text collate "default" as name, meta._column_names(k.conrelid, k.conkey) as columns,
       meta._column_names(k.conrelid, (i.indkey::smallint[])[i.indnkeyatts:]) as include,
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) as nulls_not_distinct,
       coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) as without_overlaps,
       k.condeferrable as "deferrable", k.condeferred as deferred, x.reloptions as options, k.conparentid <> 0 as inherited,
       obj_description(k.oid, 'pg_constraint') collate "default" as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indexrelid = k.conindid
join pg_class x on x.oid = k.conindid
where k.contype = 'u' and meta._is_shown(n.oid);
comment on view meta._constraint_unique is 'meta.constraint_unique, with the table''s and the constraint''s oid.';

create view meta.constraint_unique as
select id, schema_name, relation_name, name, columns, include, nulls_not_distinct, without_overlaps, "deferrable", deferred, options,
       inherited, comment
from meta._constraint_unique;
comment on view meta.constraint_unique is
    'Unique constraints. INSERT adds one, UPDATE gives it another name, comment or options, DELETE drops it. A unique index without a constraint is in meta.index.';
comment on column meta.constraint_unique.id is 'Names the constraint.';
comment on column meta.constraint_unique.name is 'Its name, which is also its index''s; given as NULL, PostgreSQL chooses one.';
comment on column meta.constraint_unique.columns is 'The names of its columns, in its order.';
comment on column meta.constraint_unique.include is 'Further columns that its index has.';
comment on column meta.constraint_unique.nulls_not_distinct is 'Whether two NULLs are the same value (15).';
comment on column meta.constraint_unique.without_overlaps is 'Whether the last column is a range of which no two may overlap (18).';
comment on column meta.constraint_unique."deferrable" is 'Whether its check can wait for the end of the transaction.';
comment on column meta.constraint_unique.deferred is 'Whether it does so if nothing else is said: initially deferred.';
comment on column meta.constraint_unique.options is 'Its index''s storage parameters: fillfactor=70.';
comment on column meta.constraint_unique.inherited is 'Whether it is part of a partitioned table''s.';

create function meta._constraint_unique_given(old meta.constraint_unique, new meta.constraint_unique) returns meta.constraint_unique
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        perform meta._part_made('key', array[new.schema_name, new.relation_name, new.name], new.inherited, new.comment),
                meta._columns_given(new.columns, 'a key');
        perform meta._name_given(u.name, 'column') from unnest(new.include) as u(name);
        perform meta._version_given(new.nulls_not_distinct, 15, 'nulls not distinct'),
                meta._version_given(new.without_overlaps, 18, 'keys without overlaps');
    else
        perform meta._part_kept('key', array[old.id::text, old.schema_name, old.relation_name, old.name],
                                array[new.id::text, new.schema_name, new.relation_name, new.name], old.inherited, new.inherited);
        if (new.columns, new.include, new.nulls_not_distinct, new.without_overlaps, new."deferrable", new.deferred)
           is distinct from (old.columns, old.include, old.nulls_not_distinct, old.without_overlaps, old."deferrable", old.deferred) then
            perform meta._refuse('of a key the name, the comment and the options can change', 'Drop it and make another.');
        end if;
    end if;
    return new;
end
$$;
comment on function meta._constraint_unique_given(meta.constraint_unique, meta.constraint_unique) is 'The row as it is to be, completed and checked.';

create function meta._key_ddl(kind text, old meta.constraint_unique, new meta.constraint_unique) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
begin
    if new is null then
        return array[format('alter table %s drop constraint %I', place, old.name)];
    end if;
    if old is null then
        ddl := array['alter table ' || place || ' add ' || coalesce('constraint ' || quote_ident(new.name) || ' ', '') || kind
                     || case when new.nulls_not_distinct then ' nulls not distinct ' else ' ' end
                     || meta._columns_clause(new.columns, case when new.without_overlaps then '{""," without overlaps"}' else '{"",""}' end::text[])
                     || coalesce(' include ' || meta._columns_clause(new.include), '') || meta._options_clause(new.options)
                     || meta._deferral_clause(new."deferrable", new.deferred)];
        old.name := new.name;
    else
        ddl := meta._options_ddl(format('index %I.%I', old.schema_name, old.name), old.options, new.options);
    end if;
    return ddl || meta._part_ddl('constraint', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._key_ddl(text, meta.constraint_unique, meta.constraint_unique) is 'ALTER TABLE ADD, RENAME, DROP CONSTRAINT.';

create function meta._constraint_unique_ddl(old meta.constraint_unique, new meta.constraint_unique) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select meta._key_ddl('unique', old, new) $$;
comment on function meta._constraint_unique_ddl(meta.constraint_unique, meta.constraint_unique) is 'ALTER TABLE ADD, RENAME, DROP CONSTRAINT.';

create function meta._constraint_unique_now(given meta.constraint_unique) returns meta.constraint_unique
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.id, k.schema_name, k.relation_name, k.name, k.columns, k.include, k.nulls_not_distinct, k.without_overlaps, k."deferrable",
           k.deferred, k.options, k.inherited, k.comment
    from (select to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) as oid) r
    join meta._constraint_unique k on k.scope = r.oid and k.object = meta._constraint_made(r.oid, 'u', (given).name)
$$;
comment on function meta._constraint_unique_now(meta.constraint_unique) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.constraint_unique for each row execute function meta._write();

-- A primary key is a unique constraint in which there are no NULLs to be told apart.
create function meta._as_unique(key meta.primary_key) returns meta.constraint_unique
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select (key).id, (key).schema_name, (key).relation_name, (key).name, (key).columns, (key).include, null::boolean, (key).without_overlaps,
           (key)."deferrable", (key).deferred, (key).options, (key).inherited, (key).comment
$$;
comment on function meta._as_unique(meta.primary_key) is 'What a primary key has in common with a unique constraint.';

create function meta._primary_key_given(old meta.primary_key, new meta.primary_key) returns meta.primary_key
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant meta.constraint_unique := meta._constraint_unique_given(meta._as_unique(old), meta._as_unique(new));
begin
    new.schema_name := given.schema_name;
    new.relation_name := given.relation_name;
    new.name := given.name;
    return new;
end
$$;
comment on function meta._primary_key_given(meta.primary_key, meta.primary_key) is 'The row as it is to be, completed and checked.';

create function meta._primary_key_ddl(old meta.primary_key, new meta.primary_key) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select meta._key_ddl('primary key', meta._as_unique(old), meta._as_unique(new)) $$;
comment on function meta._primary_key_ddl(meta.primary_key, meta.primary_key) is 'ALTER TABLE ADD, RENAME, DROP CONSTRAINT.';

create function meta._primary_key_now(given meta.primary_key) returns meta.primary_key
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.id, k.schema_name, k.relation_name, k.name, k.columns, k.include, k.without_overlaps, k."deferrable", k.deferred, k.options,
           k.inherited, k.comment
    from meta._primary_key k where k.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name))
$$;
comment on function meta._primary_key_now(meta.primary_key) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.primary_key for each row execute function meta._write();
