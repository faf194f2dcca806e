-- Foreign keys as rows. Not those that PostgreSQL makes for itself, of the partitions of the table referenced: they cannot be dropped by themselves.

create function meta._action_text(action "char") returns text
language sql immutable
return case action when 'a' then 'no action' when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' end;
comment on function meta._action_text("char") is 'What a foreign key does, as SQL says it.';

create view meta._foreign_key as
select k.conrelid as scope, k.oid as object, meta.constraint_id(n.nspname, c.relname, k.conname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       k.conname::text collate "default" as name, meta._column_names(k.conrelid, k.conkey) as columns,
       rn.nspname::text collate "default" as referenced_schema_name, r.relname::text collate "default" as referenced_relation_name,
       meta._column_names(k.confrelid, k.confkey) as referenced_columns, coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) as period,
       meta._action_text(k.confupdtype) as on_update, meta._action_text(k.confdeltype) as on_delete,
       meta._column_names(k.conrelid, array(select jsonb_array_elements_text(nullif(to_jsonb(k) -> 'confdelsetcols', 'null'))::smallint))
           as on_delete_columns,
       case k.confmatchtype when 'f' then 'full' else 'simple' end as match, k.condeferrable as "deferrable", k.condeferred as deferred,
       k.convalidated as validated, coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) as enforced, k.conparentid <> 0 as inherited,
       obj_description(k.oid, 'pg_constraint') collate "default" as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class r on r.oid = k.confrelid
join pg_namespace rn on rn.oid = r.relnamespace
where k.contype = 'f' and meta._is_shown(n.oid)
  and not exists (select from pg_constraint p where p.oid = k.conparentid and p.conrelid = k.conrelid);
comment on view meta._foreign_key is 'meta.foreign_key, with the table''s and the constraint''s oid.';

create view meta.foreign_key as
select id, schema_name, relation_name, name, columns, referenced_schema_name, referenced_relation_name, referenced_columns, period,
       on_update, on_delete, on_delete_columns, match, "deferrable", deferred, validated, enforced, inherited, comment
from meta._foreign_key;
comment on view meta.foreign_key is
    'Foreign keys. INSERT adds one, UPDATE alters it, DELETE drops it. What PostgreSQL cannot alter is made anew, by which all rows are checked.';
comment on column meta.foreign_key.id is 'Names the constraint.';
comment on column meta.foreign_key.name is 'Its name; given as NULL, PostgreSQL chooses one.';
comment on column meta.foreign_key.columns is 'The names of its columns. Given others, as well as for all that follows up to match, it is made anew.';
comment on column meta.foreign_key.referenced_schema_name is 'Given as NULL, it is the table''s own.';
comment on column meta.foreign_key.referenced_columns is 'The columns that these refer to, in the same order; given as NULL, the other table''s primary key.';
comment on column meta.foreign_key.period is 'Whether the last column is a range which ranges of the other have to cover (18).';
comment on column meta.foreign_key.on_update is 'no action, restrict, cascade, set null or set default.';
comment on column meta.foreign_key.on_delete is 'no action, restrict, cascade, set null or set default.';
comment on column meta.foreign_key.on_delete_columns is 'Which columns are set (15); NULL: all.';
comment on column meta.foreign_key.match is 'simple: it does not count while one of its columns is NULL. full: all or none are NULL.';
comment on column meta.foreign_key."deferrable" is 'Whether its check can wait for the end of the transaction.';
comment on column meta.foreign_key.deferred is 'Whether it does so if nothing else is said: initially deferred.';
comment on column meta.foreign_key.validated is 'Whether it is known to hold for all rows. INSERT as false looks only at rows written from then on, UPDATE to true looks at all.';
comment on column meta.foreign_key.enforced is 'Whether it is checked at all; always, before 18.';
comment on column meta.foreign_key.inherited is 'Whether it is part of a partitioned table''s.';

create function meta._foreign_key_given(old meta.foreign_key, new meta.foreign_key) returns meta.foreign_key
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.on_update := coalesce(new.on_update, 'no action');
        new.on_delete := coalesce(new.on_delete, 'no action');
        new.match := coalesce(new.match, 'simple');
        perform meta._part_made('foreign key', array[new.schema_name, new.relation_name, new.name], new.inherited, new.comment);
    else
        perform meta._part_kept('foreign key', array[old.id::text, old.schema_name, old.relation_name, old.name],
                                array[new.id::text, new.schema_name, new.relation_name, new.name], old.inherited, new.inherited),
                meta._flag_given(new.period, 'period'), meta._flag_given(new."deferrable", 'deferrable'),
                meta._flag_given(new.deferred, 'deferred'), meta._flag_given(new.validated, 'validated'), meta._flag_given(new.enforced, 'enforced');
        if old.validated and not new.validated and new.enforced then
            perform meta._refuse('what was validated stays so', 'Drop it and make another.');
        end if;
    end if;
    new.referenced_schema_name := coalesce(new.referenced_schema_name, new.schema_name);
    perform meta._columns_given(new.columns, 'a foreign key'), meta._name_given(new.referenced_relation_name, 'referenced table'),
            meta._version_given(new.on_delete_columns is not null, 15, 'columns of on delete'),
            meta._version_given(new.period, 18, 'foreign keys with a period'),
            meta._version_given(not new.enforced, 18, 'constraints that are not enforced');
    perform meta._name_given(u.name, 'column') from unnest(new.referenced_columns || new.on_delete_columns) as u(name);
    if (new.on_update in ('no action', 'restrict', 'cascade', 'set null', 'set default')
        and new.on_delete in ('no action', 'restrict', 'cascade', 'set null', 'set default')) is not true then
        raise exception 'a foreign key does not do that'
            using errcode = 'invalid_parameter_value', hint = 'on_update and on_delete are no action, restrict, cascade, set null or set default.';
    end if;
    if (new.match in ('simple', 'full')) is not true then
        raise exception 'a foreign key does not match so' using errcode = 'invalid_parameter_value', hint = 'match is simple or full.';
    end if;
    return new;
end
$$;
comment on function meta._foreign_key_given(meta.foreign_key, meta.foreign_key) is 'The row as it is to be, completed and checked.';

create function meta._foreign_key_clause(key meta.foreign_key) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    of_last constant text[] := case when key.period then '{"period ",""}' else '{"",""}' end;
begin
    return 'foreign key ' || meta._columns_clause(key.columns, of_last)
        || format(' references %I.%I', key.referenced_schema_name, key.referenced_relation_name)
        || coalesce(' ' || meta._columns_clause(key.referenced_columns, of_last), '')
        || case when key.match = 'full' then ' match full' else '' end
        || case when key.on_update = 'no action' then '' else ' on update ' || key.on_update end
        || case when key.on_delete = 'no action' then '' else ' on delete ' || key.on_delete end
        || coalesce(' ' || meta._columns_clause(key.on_delete_columns), '')
        || meta._deferral_clause(key."deferrable", key.deferred)
        || case when not key.enforced then ' not enforced' when not key.validated then ' not valid' else '' end;
end
$$;
comment on function meta._foreign_key_clause(meta.foreign_key) is 'How SQL defines a foreign key, but for its name.';

create function meta._foreign_key_ddl(old meta.foreign_key, new meta.foreign_key) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
    alter_constraint constant text := format('alter table %s alter constraint ', place);
begin
    if new is null then
        return array[format('alter table %s drop constraint %I', place, old.name)];
    end if;
    if old is null
       or (new.columns, new.referenced_schema_name, new.referenced_relation_name, new.referenced_columns, new.period, new.on_update,
           new.on_delete, new.on_delete_columns, new.match)
          is distinct from (old.columns, old.referenced_schema_name, old.referenced_relation_name, old.referenced_columns, old.period,
                            old.on_update, old.on_delete, old.on_delete_columns, old.match) then
        -- in one command: there is no moment without it
        ddl := array['alter table ' || place || coalesce(' drop constraint ' || quote_ident(old.name) || ',', '')
                     || ' add ' || coalesce('constraint ' || quote_ident(coalesce(old.name, new.name)) || ' ', '')
                     || meta._foreign_key_clause(new)];
        old.name := coalesce(old.name, new.name);
        old.comment := null;
    else
        if (new."deferrable", new.deferred) is distinct from (old."deferrable", old.deferred) then
            ddl := array_append(ddl, alter_constraint || quote_ident(old.name) || case when new."deferrable" then ' deferrable' else ' not deferrable' end
                                     || case when new.deferred then ' initially deferred' else ' initially immediate' end);
        end if;
        if new.enforced is distinct from old.enforced then
            ddl := array_append(ddl, alter_constraint || quote_ident(old.name) || case when new.enforced then ' enforced' else ' not enforced' end);
        end if;
        -- what comes to be enforced is validated by that
        if new.validated and not old.validated and new.enforced = old.enforced then
            ddl := array_append(ddl, format('alter table %s validate constraint %I', place, old.name));
        end if;
    end if;
    return ddl || meta._part_ddl('constraint', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._foreign_key_ddl(meta.foreign_key, meta.foreign_key) is 'ALTER TABLE ADD, ALTER, VALIDATE, RENAME, DROP CONSTRAINT.';

create function meta._foreign_key_now(given meta.foreign_key) returns meta.foreign_key
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.id, k.schema_name, k.relation_name, k.name, k.columns, k.referenced_schema_name, k.referenced_relation_name, k.referenced_columns,
           k.period, k.on_update, k.on_delete, k.on_delete_columns, k.match, k."deferrable", k.deferred, k.validated, k.enforced, k.inherited,
           k.comment
    from (select to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) as oid) r
    join meta._foreign_key k on k.scope = r.oid and k.object = meta._constraint_made(r.oid, 'f', (given).name)
$$;
comment on function meta._foreign_key_now(meta.foreign_key) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.foreign_key for each row execute function meta._write();
