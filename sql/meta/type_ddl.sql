-- What is done when meta.type is written to.

create function meta._labels_ddl(place text, old text[], new text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if cardinality(new) = cardinality(old) then
        for i in 1 .. cardinality(new) loop
            if new[i] <> old[i] then
                -- it would be removed, or moved, and rows that have it are not changed
                if new[i] = any (old) or old[i] = any (new) then
                    perform meta._refuse('a label stays in its place', 'Make another type.');
                end if;
                ddl := array_append(ddl, format('alter type %s rename value %L to %L', place, old[i], new[i]));
            end if;
        end loop;
        return ddl;
    end if;
    if array(select u.label from unnest(new) with ordinality as u(label, place) where u.label = any (old) order by u.place) <> old then
        perform meta._refuse('the labels of an enum stay, in their order',
                             'Labels can be added, or renamed while their number stays. To remove one make another type.');
    end if;
    for i in 1 .. cardinality(new) loop
        if new[i] <> all (old) then
            ddl := array_append(ddl, format('alter type %s add value %L', place, new[i])
                || case when i > 1 then format(' after %L', new[i - 1]) when cardinality(old) > 0 then format(' before %L', old[1]) else '' end);
        end if;
    end loop;
    return ddl;
end
$$;
comment on function meta._labels_ddl(text, text[], text[]) is 'ALTER TYPE ADD, RENAME VALUE.';

create function meta._attribute_clause(name text, type text, collation_name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select quote_ident(name) || ' ' || type || E'\n' || coalesce('collate ' || meta._name_text(collation_name), '') $$;
comment on function meta._attribute_clause(text, text, text) is 'How SQL defines an attribute of a composite type.';

create function meta._attributes_ddl(place text, old meta.type, new meta.type) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    alter_type constant text := 'alter type ' || place;
    names text[] := old.attribute_names;
    kept text[];
    at integer;
begin
    for i in 1 .. least(cardinality(old.attribute_names), cardinality(new.attribute_names)) loop
        if old.attribute_names[i] <> all (new.attribute_names) and new.attribute_names[i] <> all (old.attribute_names)
           and (new.attribute_types[i], new.attribute_collations[i]) is not distinct from (old.attribute_types[i], old.attribute_collations[i]) then
            ddl := array_append(ddl, format('%s rename attribute %I to %I', alter_type, old.attribute_names[i], new.attribute_names[i]));
            names[i] := new.attribute_names[i];
        end if;
    end loop;
    kept := array(select u.name from unnest(names) with ordinality as u(name, place) where u.name = any (new.attribute_names) order by u.place);
    if kept <> new.attribute_names[1:cardinality(kept)] then
        perform meta._refuse('an attribute stays in its place', 'A new one comes last.');
    end if;
    ddl := ddl || array(select format('%s drop attribute %I', alter_type, u.name) from unnest(names) with ordinality as u(name, place)
                        where u.name <> all (new.attribute_names) order by u.place);
    for i in 1 .. cardinality(new.attribute_names) loop
        at := array_position(names, new.attribute_names[i]);
        if at is null then
            ddl := array_append(ddl, alter_type || ' add attribute '
                || meta._attribute_clause(new.attribute_names[i], new.attribute_types[i], new.attribute_collations[i]));
        elsif (new.attribute_types[i], new.attribute_collations[i]) is distinct from (old.attribute_types[at], old.attribute_collations[at]) then
            ddl := array_append(ddl, format('%s alter attribute %I type ', alter_type, new.attribute_names[i]) || new.attribute_types[i] || E'\n'
                || coalesce('collate ' || meta._name_text(new.attribute_collations[i]), ''));
        end if;
    end loop;
    return ddl;
end
$$;
comment on function meta._attributes_ddl(text, meta.type, meta.type) is 'ALTER TYPE ADD, ALTER, RENAME, DROP ATTRIBUTE.';

create function meta._check_clause(name text, expression text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select coalesce('constraint ' || quote_ident(name) || ' ', '') || 'check (' || expression || E'\n)' $$;
comment on function meta._check_clause(text, text) is 'How SQL says what a domain checks.';

create function meta._checks_ddl(place text, old meta.type, new meta.type) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    made text[] := '{}';
    alter_domain constant text := 'alter domain ' || place;
    names text[] := old.check_names;
    at integer;
    is_valid boolean;
    was_valid boolean;
begin
    for i in 1 .. least(cardinality(old.check_names), cardinality(new.check_names)) loop
        if old.check_names[i] = any (new.check_names) is not true and new.check_names[i] <> all (old.check_names)
           and new.check_expressions[i] = old.check_expressions[i] then
            ddl := array_append(ddl, format('%s rename constraint %I to %I', alter_domain, old.check_names[i], new.check_names[i]));
            names[i] := new.check_names[i];
        end if;
    end loop;
    for i in 1 .. cardinality(names) loop
        if names[i] = any (new.check_names) is not true then
            ddl := array_append(ddl, format('%s drop constraint %I', alter_domain, names[i]));
        end if;
    end loop;
    for i in 1 .. cardinality(new.check_names) loop
        at := array_position(names, new.check_names[i]);
        is_valid := coalesce(new.check_validated[i], true);
        was_valid := coalesce(old.check_validated[at], true);
        if at is not null and new.check_expressions[i] <> old.check_expressions[at] then
            ddl := array_append(ddl, format('%s drop constraint %I', alter_domain, names[at]));
        elsif at is not null and was_valid and not is_valid then
            perform meta._refuse('what a check has looked at stays so', 'Leave check_validated as it is.');
        elsif at is not null and not was_valid and is_valid then
            ddl := array_append(ddl, format('%s validate constraint %I', alter_domain, names[at]));
        end if;
        if at is null or new.check_expressions[i] <> old.check_expressions[at] then
            made := array_append(made, alter_domain || ' add ' || meta._check_clause(new.check_names[i], new.check_expressions[i])
                                       || case when is_valid then '' else ' not valid' end);
        end if;
        if at is not null and new.check_expressions[i] <> old.check_expressions[at] then
            made := made || array(select format('comment on constraint %I on domain %s is %L', names[at], place, d.description)
                                  from pg_constraint k join pg_description d on d.objoid = k.oid and d.classoid = 'pg_constraint'::regclass
                                  where k.contypid = to_regtype(place) and k.conname = old.check_names[at]);
        end if;
    end loop;
    return ddl || made;
end
$$;
comment on function meta._checks_ddl(text, meta.type, meta.type) is 'ALTER DOMAIN ADD, RENAME, VALIDATE, DROP CONSTRAINT.';

create function meta._domain_ddl(place text, old meta.type, new meta.type) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    alter_domain constant text := 'alter domain ' || place;
begin
    if new.not_null_name is not null and current_setting('server_version_num')::int4 < 170000 then
        perform meta._refuse('before PostgreSQL 17 a domain''s not-null constraint has no name', 'Leave not_null_name out.');
    end if;
    if old is null then
        return array['create domain ' || place || ' as ' || new.base_type || E'\n' || coalesce('collate ' || meta._name_text(new.collation_name), '')
                     || coalesce(' default (' || new."default" || E'\n)', '')
                     || case when new.nullable then '' else coalesce(' constraint ' || quote_ident(new.not_null_name), '') || ' not null' end
                     || coalesce((select string_agg(' ' || meta._check_clause(u.name, u.expression), '' order by u.place)
                                  from unnest(new.check_names, new.check_expressions, new.check_validated)
                                       with ordinality as u(name, expression, validated, place)
                                  where u.validated is not false), '')]
               || array(select alter_domain || ' add ' || meta._check_clause(u.name, u.expression) || ' not valid'
                        from unnest(new.check_names, new.check_expressions, new.check_validated)
                             with ordinality as u(name, expression, validated, place)
                        where not u.validated order by u.place);
    end if;
    if new."default" is distinct from old."default" then
        ddl := array_append(ddl, alter_domain || coalesce(' set default (' || new."default" || E'\n)', ' drop default'));
    end if;
    if new.nullable <> old.nullable then
        ddl := array_append(ddl, alter_domain || case when new.nullable then ' drop not null' when new.not_null_name is null then ' set not null'
                                                      else format(' add constraint %I not null', new.not_null_name) end);
    elsif new.not_null_name is distinct from old.not_null_name then
        ddl := array_append(ddl, format('%s rename constraint %I to %I', alter_domain, coalesce(old.not_null_name, old.name || '_not_null'),
                                        coalesce(new.not_null_name, new.name || '_not_null')));
    end if;
    return ddl || meta._checks_ddl(place, old, new);
end
$$;
comment on function meta._domain_ddl(text, meta.type, meta.type) is 'CREATE, ALTER DOMAIN.';

create function meta._type_ddl(old meta.type, new meta.type) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    what constant text := case when coalesce(old.kind, new.kind) = 'domain' then 'domain' else 'type' end;
begin
    if new is null then
        return array[format('drop %s %s', what, place)];
    end if;
    if new.kind = 'domain' then
        ddl := meta._domain_ddl(place, old, new);
    elsif not old is null then
        ddl := case new.kind when 'enum' then meta._labels_ddl(place, old.labels, new.labels)
                             when 'composite' then meta._attributes_ddl(place, old, new) else ddl end;
        if new.multirange_name <> old.multirange_name then
            ddl := ddl || meta._object_ddl('type', '', parse_ident(old.multirange_name), parse_ident(new.multirange_name));
        end if;
    elsif new.kind = 'enum' then
        ddl := array['create type ' || place || ' as enum ('
                     || coalesce((select string_agg(quote_literal(u.label), ', ' order by u.place)
                                  from unnest(new.labels) with ordinality as u(label, place)), '') || ')'];
    elsif new.kind = 'composite' then
        ddl := array['create type ' || place || ' as ('
                     || coalesce((select string_agg(meta._attribute_clause(u.name, u.type, u.collation_name), ', ' order by u.place)
                                  from unnest(new.attribute_names, new.attribute_types, new.attribute_collations)
                                       with ordinality as u(name, type, collation_name, place)), '') || ')'];
    else
        ddl := array['create type ' || place || ' as range (subtype = ' || new.subtype || E'\n'
                     || coalesce(', subtype_opclass = ' || meta._name_text(new.subtype_opclass), '')
                     || coalesce(', collation = ' || new.collation_name, '')
                     || coalesce(', canonical = ' || meta._name_text(new.canonical), '')
                     || coalesce(', subtype_diff = ' || meta._name_text(new.subtype_diff), '')
                     || coalesce(', multirange_type_name = ' || new.multirange_name, '') || ')'];
    end if;
    if old is null then
        old.schema_name := new.schema_name;
        old.name := new.name;
    else
        ddl := meta._again(ddl);
    end if;
    return ddl || meta._object_ddl(what, '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._type_ddl(meta.type, meta.type) is 'CREATE, ALTER, DROP TYPE and DOMAIN.';

create trigger write instead of insert or update or delete on meta.type for each row execute function meta._write();
