-- Checks of tables as rows.

create view meta._constraint_check as
select k.conrelid as scope, k.oid as object, meta.constraint_id(n.nspname, c.relname, k.conname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       k.conname::text collate "default" as name, meta._expression_text(k.conbin, k.conrelid) collate "default" as expression,
       k.connoinherit as no_inherit, k.convalidated as validated, coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) as enforced,
       not k.conislocal as inherited, obj_description(k.oid, 'pg_constraint') collate "default" as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
where k.contype = 'c' and meta._is_shown(n.oid);
comment on view meta._constraint_check is 'meta.constraint_check, with the table''s and the constraint''s oid.';

create view meta.constraint_check as
select id, schema_name, relation_name, name, expression, no_inherit, validated, enforced, inherited, comment
from meta._constraint_check;
comment on view meta.constraint_check is 'Checks of tables, also foreign ones. INSERT adds one, UPDATE alters it, DELETE drops it.';
comment on column meta.constraint_check.id is 'Names the constraint.';
comment on column meta.constraint_check.name is 'Its name; given as NULL, PostgreSQL chooses one.';
comment on column meta.constraint_check.expression is 'What has to be true, or NULL, of every row; taken as SQL. To give it another the check is made anew, which looks at all rows.';
comment on column meta.constraint_check.no_inherit is 'Whether children are without it.';
comment on column meta.constraint_check.validated is 'Whether it is known to hold for all rows. INSERT as false looks only at rows written from then on, UPDATE to true looks at all.';
comment on column meta.constraint_check.enforced is 'Whether it is checked at all; always, before 18.';
comment on column meta.constraint_check.inherited is 'Whether it came with a parent, and not with a definition of its own.';

create function meta._constraint_check_given(old meta.constraint_check, new meta.constraint_check) returns meta.constraint_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        perform meta._part_made('check', array[new.schema_name, new.relation_name, new.name], new.inherited, new.comment);
    else
        perform meta._part_kept('check', array[old.id::text, old.schema_name, old.relation_name, old.name],
                                array[new.id::text, new.schema_name, new.relation_name, new.name], old.inherited, new.inherited),
                meta._flag_given(new.no_inherit, 'no_inherit'), meta._flag_given(new.validated, 'validated'),
                meta._flag_given(new.enforced, 'enforced');
        if old.validated and not new.validated and new.enforced then
            perform meta._refuse('what was validated stays so', 'Drop it and make another.');
        end if;
    end if;
    perform meta._version_given(not new.enforced, 18, 'constraints that are not enforced');
    if new.expression is null then
        raise exception 'a check needs an expression' using errcode = 'not_null_violation';
    end if;
    return new;
end
$$;
comment on function meta._constraint_check_given(meta.constraint_check, meta.constraint_check) is 'The row as it is to be, completed and checked.';

create function meta._constraint_check_ddl(old meta.constraint_check, new meta.constraint_check) returns text[]
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
    if old is null or (new.expression, new.no_inherit, new.enforced) is distinct from (old.expression, old.no_inherit, old.enforced) then
        -- in one command: there is no moment without it
        ddl := array['alter table ' || place || coalesce(' drop constraint ' || quote_ident(old.name) || ',', '')
                     || ' add ' || coalesce('constraint ' || quote_ident(coalesce(old.name, new.name)) || ' ', '')
                     || 'check (' || new.expression || E'\n)' || case when new.no_inherit then ' no inherit' else '' end
                     || case when not new.enforced then ' not enforced' when not new.validated then ' not valid' else '' end];
        if new.expression = old.expression then
            ddl := meta._again(ddl);
        end if;
        old.name := coalesce(old.name, new.name);
        old.comment := null;
    elsif new.validated and not old.validated then
        ddl := array[format('alter table %s validate constraint %I', place, old.name)];
    end if;
    return ddl || meta._part_ddl('constraint', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._constraint_check_ddl(meta.constraint_check, meta.constraint_check) is 'ALTER TABLE ADD, VALIDATE, RENAME, DROP CONSTRAINT.';

create function meta._constraint_check_now(given meta.constraint_check) returns meta.constraint_check
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.id, k.schema_name, k.relation_name, k.name, k.expression, k.no_inherit, k.validated, k.enforced, k.inherited, k.comment
    from (select to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) as oid) r
    join meta._constraint_check k on k.scope = r.oid and k.object = meta._constraint_made(r.oid, 'c', (given).name)
$$;
comment on function meta._constraint_check_now(meta.constraint_check) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.constraint_check for each row execute function meta._write();
