-- Types as rows: enums, domains, composite types, ranges, and base types. The rows of a table or a view are its own type, an array
-- belongs to its element's, a multirange to its range: they are not shown.

create view meta._type as
select t.oid as scope, t.oid as object, meta.type_id(n.nspname, t.typname) as id,
       n.nspname::text collate "default" as schema_name, t.typname::text collate "default" as name,
       case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'c' then 'composite' when 'r' then 'range' else 'base' end as kind,
       case when t.typtype = 'e' then
           array(select e.enumlabel::text collate "default" from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder) end as labels,
       case when t.typtype = 'c' then a.names end as attribute_names,
       case when t.typtype = 'c' then a.types end as attribute_types, a.collations as attribute_collations,
       case when t.typtype = 'd' then meta._type_text(t.typbasetype, t.typtypmod) end as base_type,
       case when t.typtype = 'd' then meta._collation_text(t.typcollation, t.typbasetype)
            when t.typtype = 'r' then meta._collation_text(r.rngcollation, r.rngsubtype) end as collation_name,
       case when t.typtype = 'd' then meta._expression_text(t.typdefaultbin, 0) collate "default" end as "default",
       case when t.typtype = 'd' then not t.typnotnull end as nullable,
       (select k.conname::text collate "default" from pg_constraint k
        where k.contypid = t.oid and k.contype = 'n' and k.conname <> t.typname || '_not_null') as not_null_name,
       case when t.typtype = 'd' then k.names end as check_names,
       case when t.typtype = 'd' then k.expressions end as check_expressions, k.validated as check_validated,
       meta._type_text(r.rngsubtype, null) as subtype,
       (select meta._in_schema(c.opcnamespace, c.opcname) from pg_opclass c where c.oid = r.rngsubopc and not c.opcdefault) as subtype_opclass,
       meta._routine_name(r.rngsubdiff) as subtype_diff, meta._routine_name(r.rngcanonical) as canonical,
       (select meta._in_schema(m.typnamespace, m.typname) from pg_type m where m.oid = r.rngmultitypid) as multirange_name,
       pg_get_userbyid(t.typowner)::text collate "default" as owner, obj_description(t.oid, 'pg_type') collate "default" as comment
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
left join pg_range r on r.rngtypid = t.oid
cross join lateral (
    select coalesce(array_agg(a.attname::text collate "default" order by a.attnum), '{}') as names,
           coalesce(array_agg(meta._type_text(a.atttypid, a.atttypmod) order by a.attnum), '{}') as types,
           array_agg(meta._collation_text(a.attcollation, a.atttypid) order by a.attnum)
               filter (where exists (select from pg_attribute o where o.attrelid = t.typrelid and o.attnum > 0 and not o.attisdropped
                                     and meta._collation_text(o.attcollation, o.atttypid) is not null)) as collations
    from pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) a
cross join lateral (
    select coalesce(array_agg(k.conname::text collate "default" order by k.conname), '{}') as names,
           coalesce(array_agg(meta._expression_text(k.conbin, 0) collate "default" order by k.conname), '{}') as expressions,
           case when not bool_and(k.convalidated) then array_agg(k.convalidated order by k.conname) end as validated
    from pg_constraint k where k.contypid = t.oid and k.contype = 'c') k
where t.typisdefined and meta._is_shown(n.oid)
  and (t.typtype in ('e', 'd', 'r')
       or t.typtype = 'b' and not exists (select from pg_type e where e.oid = t.typelem and e.typarray = t.oid)
       or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'));
comment on view meta._type is 'meta.type, with its oid.';

create view meta.type as
select id, schema_name, name, kind, labels, attribute_names, attribute_types, attribute_collations, base_type, collation_name, "default",
       nullable, not_null_name, check_names, check_expressions, check_validated, subtype, subtype_opclass, subtype_diff, canonical,
       multirange_name, owner, comment
from meta._type;
comment on view meta.type is 'Types that are no table''s: enums, domains, composite types, ranges, base types. INSERT creates one (but for a base type), UPDATE alters it, DELETE drops it.';
comment on column meta.type.id is 'Names the type.';
comment on column meta.type.kind is 'enum, domain, composite, range or base. It says which of the other columns are not NULL.';
comment on column meta.type.labels is 'An enum''s values in their order. UPDATE adds some, anywhere, or gives some another text in their place; none goes.';
comment on column meta.type.attribute_names is 'A composite type''s attributes. One with another name in the same place and of the same type is renamed; a new one comes last.';
comment on column meta.type.attribute_types is 'Their types, as SQL writes them.';
comment on column meta.type.attribute_collations is 'By which their texts are compared, where it is not by their type''s; NULL: nowhere.';
comment on column meta.type.base_type is 'The type that a domain is of, as SQL writes it.';
comment on column meta.type.collation_name is 'By which a domain''s or a range''s texts are compared, if not by their type''s.';
comment on column meta.type.default is 'A domain''s default, an expression, which is taken as SQL.';
comment on column meta.type.nullable is 'Whether a domain has NULL among its values.';
comment on column meta.type.not_null_name is 'The name of its not-null constraint (17), if it is not the domain''s with _not_null behind it.';
comment on column meta.type.check_names is 'A domain''s checks by name; given as NULL, PostgreSQL names them.';
comment on column meta.type.check_expressions is 'What they check of VALUE: expressions, which are taken as SQL. One with another expression is dropped and made again, with its comment.';
comment on column meta.type.check_validated is 'Whether what was there before the check is known to fulfil it; NULL: all are. Updated from false to true it is looked at.';
comment on column meta.type.subtype is 'The type that a range is of, as SQL writes it.';
comment on column meta.type.subtype_opclass is 'By which operator class a range is ordered, if not by its type''s own.';
comment on column meta.type.subtype_diff is 'The function that tells how far apart two of a range''s values are.';
comment on column meta.type.canonical is 'The function that brings a range to the one form of those that are equal.';
comment on column meta.type.multirange_name is 'The type of several such ranges, as SQL writes it; given as NULL, PostgreSQL names it. Without a schema it is in the range''s.';
comment on column meta.type.owner is 'Its owner; given as NULL, who creates it.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which a type is found.
create function meta._type_given(old meta.type, new meta.type) returns meta.type
language plpgsql stable
as $$
declare
    type pg_catalog.text;
begin
    new := meta._type_named(old, new);
    foreach type in array meta._types_to_find(old, new) loop
        perform meta._type_given(type);
    end loop;
    return new;
end
$$;
comment on function meta._type_given(meta.type, meta.type) is 'The row as it is to be, completed and checked.';

create function meta._types_to_find(old meta.type, new meta.type) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select array(select u.type from unnest((new).attribute_types) as u(type) where u.type <> all (coalesce((old).attribute_types, '{}')))
           || case when old is null then array_remove(array[(new).base_type, (new).subtype], null) else '{}' end
$$;
comment on function meta._types_to_find(meta.type, meta.type) is 'The types that were given and were not there before.';

create function meta._type_named(old meta.type, new meta.type) returns meta.type
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- counted from 1, whatever the array was
    new.labels := case when new.labels is not null then array(select unnest(new.labels)) end;
    new.attribute_names := case when new.attribute_names is not null then array(select unnest(new.attribute_names)) end;
    new.attribute_types := case when new.attribute_types is not null then array(select unnest(new.attribute_types)) end;
    new.attribute_collations := case when new.attribute_collations is not null then
        array(select meta._name_text(u.name) from unnest(new.attribute_collations) with ordinality as u(name, place) order by u.place) end;
    new.check_names := case when new.check_names is not null then array(select unnest(new.check_names)) end;
    new.check_expressions := case when new.check_expressions is not null then array(select unnest(new.check_expressions)) end;
    new.check_validated := case when new.check_validated is not null then array(select unnest(new.check_validated)) end;
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        if new.kind = 'base' then
            perform meta._refuse('a base type is made of functions in C', 'Run CREATE TYPE, or CREATE EXTENSION, as SQL.');
        end if;
        if new.kind is null or new.kind not in ('enum', 'domain', 'composite', 'range') then
            raise exception 'a type is an enum, a domain, a composite type or a range'
                using errcode = 'invalid_parameter_value', hint = 'kind is enum, domain, composite or range.';
        end if;
        if new.kind = 'enum' then
            new.labels := coalesce(new.labels, '{}');
        elsif new.kind = 'domain' then
            new.nullable := coalesce(new.nullable, true);
            new.check_names := coalesce(new.check_names, array_fill(null::text, array[coalesce(cardinality(new.check_expressions), 0)]));
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        if new.kind is distinct from old.kind then
            perform meta._refuse('a type stays of its kind', 'Drop it and make another.');
        end if;
        if (new.base_type, new.subtype, new.collation_name) is distinct from (old.base_type, old.subtype, old.collation_name) then
            perform meta._refuse('a type keeps its base_type, its subtype and its collation', 'Drop it and make another.');
        end if;
        if (new.subtype_opclass, new.subtype_diff, new.canonical) is distinct from (old.subtype_opclass, old.subtype_diff, old.canonical) then
            perform meta._refuse('a range keeps its operator class and functions', 'Drop it and make another.');
        end if;
        if new.multirange_name is null and old.multirange_name is not null then
            perform meta._name_given(null, 'multirange');
        end if;
        if new.nullable and new.not_null_name = old.not_null_name then
            new.not_null_name := null;
        end if;
    end if;
    if new.kind = 'composite' then
        new.attribute_names := coalesce(new.attribute_names, '{}');
        new.attribute_types := coalesce(new.attribute_types, '{}');
    elsif new.kind = 'domain' then
        perform meta._flag_given(new.nullable, 'nullable');
        new.check_names := coalesce(new.check_names, '{}');
        new.check_expressions := coalesce(new.check_expressions, '{}');
    end if;
    new.collation_name := meta._name_text(new.collation_name);
    new.multirange_name := meta._name_text(case when cardinality(parse_ident(new.multirange_name)) = 1
                                                then quote_ident(new.schema_name) || '.' || new.multirange_name else new.multirange_name end);
    perform meta._name_given(new.schema_name, 'type''s schema'), meta._name_given(new.name, 'type');
    perform meta._type_checked(new);
    return new;
end
$$;
comment on function meta._type_named(meta.type, meta.type) is 'The row with its names, which may have been given as its id.';

create function meta._type_checked(new meta.type) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    what text;
begin
    -- nothing that was given is left aside
    select v.what into what
    from (values ('labels', 'enum', new.labels is null), ('attribute_names', 'composite', new.attribute_names is null),
                 ('attribute_types', 'composite', new.attribute_types is null),
                 ('attribute_collations', 'composite', new.attribute_collations is null), ('base_type', 'domain', new.base_type is null),
                 ('default', 'domain', new."default" is null), ('nullable', 'domain', new.nullable is null),
                 ('not_null_name', 'domain', new.not_null_name is null), ('check_names', 'domain', new.check_names is null),
                 ('check_expressions', 'domain', new.check_expressions is null),
                 ('check_validated', 'domain', new.check_validated is null), ('subtype', 'range', new.subtype is null),
                 ('subtype_opclass', 'range', new.subtype_opclass is null), ('subtype_diff', 'range', new.subtype_diff is null),
                 ('canonical', 'range', new.canonical is null), ('multirange_name', 'range', new.multirange_name is null),
                 ('collation_name', case when new.kind = 'range' then 'range' else 'domain' end, new.collation_name is null))
         as v(what, kind, missing)
    where v.kind <> new.kind and not v.missing limit 1;
    if found then
        raise exception 'a type of kind % has no %', new.kind, what using errcode = 'invalid_parameter_value';
    end if;
    what := case new.kind when 'enum' then case when new.labels is null or array_position(new.labels, null) > 0 then 'a label needs a text' end
                          when 'domain' then case when new.base_type is null then 'a domain needs a base_type'
                                                  when array_position(new.check_expressions, null) > 0 then 'a check needs an expression' end
                          when 'range' then case when new.subtype is null then 'a range needs a subtype' end
                          when 'composite' then case when array_position(new.attribute_types, null) > 0 then 'an attribute needs a type' end end;
    if what is not null then
        raise exception '%', what using errcode = 'not_null_violation';
    end if;
    if cardinality(new.attribute_names) <> cardinality(new.attribute_types)
       or cardinality(new.attribute_collations) > cardinality(new.attribute_names) then
        raise exception 'each attribute has a name and a type' using errcode = 'invalid_parameter_value',
            hint = 'attribute_names, attribute_types and attribute_collations go side by side.';
    end if;
    if cardinality(new.check_names) <> cardinality(new.check_expressions)
       or cardinality(new.check_validated) > cardinality(new.check_names) then
        raise exception 'each check has a name and an expression' using errcode = 'invalid_parameter_value',
            hint = 'check_names, check_expressions and check_validated go side by side.';
    end if;
    if new.nullable and new.not_null_name is not null then
        raise exception 'a nullable domain has no not-null constraint' using errcode = 'invalid_parameter_value', hint = 'Leave not_null_name out.';
    end if;
    if cardinality(parse_ident(new.multirange_name)) > 2 then
        raise exception 'a multirange_name is a name, with or without a schema' using errcode = 'invalid_name';
    end if;
    perform meta._name_given(u.name, 'type''s attribute') from unnest(new.attribute_names) as u(name);
    perform meta._name_given(u.name, 'check') from unnest(new.check_names) as u(name) where u.name is not null;
    perform meta._name_given(u.name, 'multirange') from unnest(parse_ident(new.multirange_name)) as u(name);
    if new.not_null_name is not null then
        perform meta._name_given(new.not_null_name, 'constraint');
    end if;
    select u.name into what from unnest(new.attribute_names || new.check_names) as u(name) where u.name is not null
    group by u.name having count(*) > 1 limit 1;
    if found then
        raise exception 'there are two of the name "%"', what using errcode = 'duplicate_object';
    end if;
end
$$;
comment on function meta._type_checked(meta.type) is 'An error unless each kind of type has what it has, and nothing else.';

create function meta._type_now(given meta.type) returns meta.type
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.id, t.schema_name, t.name, t.kind, t.labels, t.attribute_names, t.attribute_types, t.attribute_collations, t.base_type,
           t.collation_name, t."default", t.nullable, t.not_null_name, t.check_names, t.check_expressions, t.check_validated, t.subtype,
           t.subtype_opclass, t.subtype_diff, t.canonical, t.multirange_name, t.owner, t.comment
    from meta._type t where t.object = to_regtype(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._type_now(meta.type) is 'The row as it is.';
