-- Exclusion constraints as rows.

create function meta._exclusion_elements(index oid, operators oid[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
    select array_agg(k.key || ' WITH ' || case when o.oprnamespace = 'pg_catalog'::regnamespace then o.oprname::text
                                               else format('OPERATOR(%I.%s)', n.nspname, o.oprname) end order by k.place)
    from unnest(meta._index_keys(index), operators) with ordinality as k(key, operator, place)
    join pg_operator o on o.oid = k.operator join pg_namespace n on n.oid = o.oprnamespace
$$;
comment on function meta._exclusion_elements(oid, oid[]) is 'What an exclusion compares and by which operators, always the same text.';

create view meta._constraint_exclusion as
select k.conrelid as scope, k.oid as object, meta.constraint_id(n.nspname, c.relname, k.conname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       k.conname::text collate "default" as name, m.amname::text collate "default" as method,
       meta._exclusion_elements(k.conindid, k.conexclop) as elements,
       meta._column_names(k.conrelid, (i.indkey::smallint[])[i.indnkeyatts:]) as include,
       meta._expression_text(i.indpred, i.indrelid) collate "default" as predicate,
       k.condeferrable as "deferrable", k.condeferred as deferred, x.reloptions as options, k.conparentid <> 0 as inherited,
       obj_description(k.oid, 'pg_constraint') collate "default" as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indexrelid = k.conindid
join pg_class x on x.oid = k.conindid
join pg_am m on m.oid = x.relam
where k.contype = 'x' and meta._is_shown(n.oid);
comment on view meta._constraint_exclusion is 'meta.constraint_exclusion, with the table''s and the constraint''s oid.';

create view meta.constraint_exclusion as
select id, schema_name, relation_name, name, method, elements, include, predicate, "deferrable", deferred, options, inherited, comment
from meta._constraint_exclusion;
comment on view meta.constraint_exclusion is
    'Exclusion constraints: of no two rows all comparisons are true. INSERT adds one, UPDATE gives it another name, comment or options, DELETE drops it.';
comment on column meta.constraint_exclusion.id is 'Names the constraint.';
comment on column meta.constraint_exclusion.name is 'Its name, which is also its index''s; given as NULL, PostgreSQL chooses one.';
comment on column meta.constraint_exclusion.method is 'Its index''s: gist, spgist, btree, ...; given as NULL, btree.';
comment on column meta.constraint_exclusion.elements is 'What is compared and by which operator: during WITH &&. Taken as SQL.';
comment on column meta.constraint_exclusion.include is 'The names of further columns that its index has.';
comment on column meta.constraint_exclusion.predicate is 'Which rows it is for: an expression, which is taken as SQL; NULL: all.';
comment on column meta.constraint_exclusion."deferrable" is 'Whether its check can wait for the end of the transaction.';
comment on column meta.constraint_exclusion.deferred is 'Whether it does so if nothing else is said: initially deferred.';
comment on column meta.constraint_exclusion.options is 'Its index''s storage parameters: fillfactor=70.';
comment on column meta.constraint_exclusion.inherited is 'Whether it is part of a partitioned table''s.';

create function meta._constraint_exclusion_given(old meta.constraint_exclusion, new meta.constraint_exclusion) returns meta.constraint_exclusion
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.method := coalesce(new.method, 'btree');
        perform meta._part_made('constraint', array[new.schema_name, new.relation_name, new.name], new.inherited, new.comment);
        if coalesce(cardinality(new.elements), 0) = 0 or array_position(new.elements, null) is not null then
            raise exception 'an exclusion needs elements' using errcode = 'not_null_violation', hint = 'What is compared, and how: during WITH &&.';
        end if;
        perform meta._name_given(u.name, 'column') from unnest(new.include) as u(name);
    else
        perform meta._part_kept('constraint', array[old.id::text, old.schema_name, old.relation_name, old.name],
                                array[new.id::text, new.schema_name, new.relation_name, new.name], old.inherited, new.inherited);
        if (new.method, new.elements, new.include, new.predicate, new."deferrable", new.deferred)
           is distinct from (old.method, old.elements, old.include, old.predicate, old."deferrable", old.deferred) then
            perform meta._refuse('of an exclusion the name, the comment and the options can change', 'Drop it and make another.');
        end if;
    end if;
    return new;
end
$$;
comment on function meta._constraint_exclusion_given(meta.constraint_exclusion, meta.constraint_exclusion) is 'The row as it is to be, completed and checked.';

create function meta._constraint_exclusion_ddl(old meta.constraint_exclusion, new meta.constraint_exclusion) returns text[]
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
        ddl := array['alter table ' || place || ' add ' || coalesce('constraint ' || quote_ident(new.name) || ' ', '')
                     || 'exclude using ' || quote_ident(new.method) || ' (' || array_to_string(new.elements, E'\n, ') || E'\n)'
                     || coalesce(' include ' || meta._columns_clause(new.include), '') || meta._options_clause(new.options)
                     || coalesce(' where (' || new.predicate || E'\n)', '') || meta._deferral_clause(new."deferrable", new.deferred)];
        old.name := new.name;
    else
        ddl := meta._options_ddl(format('index %I.%I', old.schema_name, old.name), old.options, new.options);
    end if;
    return ddl || meta._part_ddl('constraint', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._constraint_exclusion_ddl(meta.constraint_exclusion, meta.constraint_exclusion) is 'ALTER TABLE ADD, RENAME, DROP CONSTRAINT.';

create function meta._constraint_exclusion_now(given meta.constraint_exclusion) returns meta.constraint_exclusion
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.id, k.schema_name, k.relation_name, k.name, k.method, k.elements, k.include, k.predicate, k."deferrable", k.deferred, k.options,
           k.inherited, k.comment
    from (select to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) as oid) r
    join meta._constraint_exclusion k on k.scope = r.oid and k.object = meta._constraint_made(r.oid, 'x', (given).name)
$$;
comment on function meta._constraint_exclusion_now(meta.constraint_exclusion) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.constraint_exclusion for each row execute function meta._write();
