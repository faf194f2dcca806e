-- Functions, procedures and aggregates as rows.

create function meta._parameters_text(function oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select case when coalesce(octet_length(p.proargdefaults::text), 0) <= 67108864 then pg_get_function_arguments(function)
                else '... (' || octet_length(p.proargdefaults::text) || ' bytes)' end
    from pg_proc p where p.oid = function);
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._parameters_text(oid) is 'A function''s parameters as SQL writes them, always the same.';

create function meta._returns_text(function oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$ select pg_get_function_result(function) $$;
comment on function meta._returns_text(oid) is 'What a function returns as SQL writes it, always the same.';

create function meta._sql_body_text(function oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select case when octet_length(p.prosqlbody::text) <= 67108864 then pg_get_function_sqlbody(function)
                else '... (' || octet_length(p.prosqlbody::text) || ' bytes)' end
    from pg_proc p where p.oid = function and p.prosqlbody is not null);
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._sql_body_text(oid) is 'A function''s body in standard SQL, always the same.';

create function meta._aggregate_text(function oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(i.item || ' = ' || i.value, ', ' order by i.place)
    from pg_aggregate a
    -- of an ordered-set aggregate's final functions another default
    cross join lateral (select case when a.aggkind = 'n' then 'r' else 'w' end as modify, '{"r": "read_only", "s": "shareable", "w": "read_write"}'::jsonb as words) d
    cross join lateral (values
        (1, 'sfunc', meta._routine_name(a.aggtransfn)), (2, 'stype', meta._type_text(a.aggtranstype, null)),
        (3, 'sspace', nullif(a.aggtransspace, 0)::text), (4, 'initcond', quote_literal(a.agginitval)),
        (5, 'finalfunc', meta._routine_name(a.aggfinalfn)), (6, 'finalfunc_extra', case when a.aggfinalextra then 'true' end),
        (7, 'finalfunc_modify', d.words ->> nullif(a.aggfinalmodify::text, d.modify)),
        (8, 'combinefunc', meta._routine_name(a.aggcombinefn)), (9, 'serialfunc', meta._routine_name(a.aggserialfn)),
        (10, 'deserialfunc', meta._routine_name(a.aggdeserialfn)), (11, 'msfunc', meta._routine_name(a.aggmtransfn)),
        (12, 'minvfunc', meta._routine_name(a.aggminvtransfn)),
        (13, 'mstype', case when a.aggmtranstype <> 0 then meta._type_text(a.aggmtranstype, null) end),
        (14, 'msspace', nullif(a.aggmtransspace, 0)::text), (15, 'minitcond', quote_literal(a.aggminitval)),
        (16, 'mfinalfunc', meta._routine_name(a.aggmfinalfn)), (17, 'mfinalfunc_extra', case when a.aggmfinalextra then 'true' end),
        (18, 'mfinalfunc_modify', d.words ->> nullif(a.aggmfinalmodify::text, d.modify)),
        (19, 'sortop', (select format('operator(%I.%s)', n.nspname, o.oprname)
                        from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where o.oid = a.aggsortop)),
        (20, 'hypothetical', case when a.aggkind = 'h' then 'true' end)) as i(place, item, value)
    where a.aggfnoid = function and i.value is not null
$$;
comment on function meta._aggregate_text(oid) is 'What an aggregate is made of as SQL writes it, always the same.';

create view meta._function as
select p.oid as scope, p.oid as object, meta.function_id(n.nspname, p.proname, t.parameter_types) as id,
       n.nspname::text collate "default" as schema_name, p.proname::text collate "default" as name, t.parameter_types,
       case p.prokind when 'f' then 'function' when 'p' then 'procedure' when 'a' then 'aggregate' else 'window' end as kind,
       meta._parameters_text(p.oid) as parameters, meta._returns_text(p.oid) as returns,
       case when p.prokind <> 'a' then l.lanname::text collate "default" end as language,
       case when p.prokind = 'a' then meta._aggregate_text(p.oid) when p.prosqlbody is not null then meta._sql_body_text(p.oid)
            else p.prosrc collate "default" end as body,
       p.prosqlbody is not null as body_is_sql, p.probin collate "default" as library,
       case when p.prokind in ('f', 'w') then case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end end as volatility,
       case when p.prokind in ('f', 'w') then p.proisstrict end as strict, p.prosecdef as security_definer,
       case when p.prokind in ('f', 'w') then p.proleakproof end as leakproof,
       case when p.prokind <> 'p' then case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end end as parallel,
       case when p.prokind in ('f', 'w') then p.procost end as cost, case when p.proretset then p.prorows end as rows,
       p.proconfig collate "default" as settings, meta._routine_name(p.prosupport) as support,
       (select array_agg(meta._type_text(u.type, null) order by u.place) from unnest(p.protrftypes) with ordinality as u(type, place)) as transform_types,
       pg_get_userbyid(p.proowner)::text collate "default" as owner, obj_description(p.oid, 'pg_proc') collate "default" as comment
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang
cross join lateral (select array(select meta._type_text(u.type, null) from unnest(p.proargtypes) with ordinality as u(type, place)
                                 order by u.place) as parameter_types) t
where meta._is_shown(n.oid)
  -- a range's constructors are the type's
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i');
comment on view meta._function is 'meta.function, with its oid.';

create view meta.function as
select id, schema_name, name, parameter_types, kind, parameters, returns, language, body, body_is_sql, library, volatility, strict,
       security_definer, leakproof, parallel, cost, rows, settings, support, transform_types, owner, comment
from meta._function;
comment on view meta.function is 'Functions, procedures and aggregates. INSERT creates one, UPDATE alters or replaces it, DELETE drops it.';
comment on column meta.function.id is 'Names the function by the types of its input parameters.';
comment on column meta.function.parameter_types is 'The types of its input parameters: follows parameters, and can be given in place of them.';
comment on column meta.function.kind is 'function (NULL is that), procedure, aggregate or window.';
comment on column meta.function.parameters is 'Modes, names, types and defaults, which are taken as SQL. The types of a function that is there stay.';
comment on column meta.function.returns is 'What it returns, taken as SQL: integer, setof text, table (a integer). A procedure returns nothing, what an aggregate returns follows its functions.';
comment on column meta.function.body is 'Its text; of a function in C its name there. Of an aggregate what it is made of, taken as SQL: sfunc = f, stype = integer.';
comment on column meta.function.body_is_sql is 'Whether body is in standard SQL, return ... or begin atomic ... end, and taken as such: not a text for its language.';
comment on column meta.function.library is 'Of a function in C, where it is.';
comment on column meta.function.volatility is 'immutable, stable or volatile; NULL for procedures and aggregates.';
comment on column meta.function.strict is 'Whether it gives NULL for NULL without being called.';
comment on column meta.function.security_definer is 'Whether it runs with its owner''s rights.';
comment on column meta.function.parallel is 'safe, restricted or unsafe; NULL for procedures.';
comment on column meta.function.rows is 'How many rows it is thought to return; NULL: it returns no set.';
comment on column meta.function.settings is 'The settings that it runs with: work_mem=1MB; search_path=a, "B".';
comment on column meta.function.support is 'Its planner support function.';
comment on column meta.function.transform_types is 'The types that are given to its language transformed.';
comment on column meta.function.owner is 'Its owner; given as NULL, who creates it.';

create function meta._word_given(word text, words text[], what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if word is null or not word = any (words) then
        raise exception '% is one of %', what, array_to_string(words, ', ') using errcode = 'invalid_parameter_value';
    end if;
end
$$;
comment on function meta._word_given(text, text[], text) is 'An error unless it is one of these.';

create function meta._set_clause(setting text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('set %I to %s', s.name,
        -- one text for the others; of these each part is one, as what is one may be in quotes
        case when lower(s.name) in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries',
                                    'shared_preload_libraries', 'unix_socket_directories')
             then coalesce((select string_agg(quote_literal(replace(regexp_replace(rtrim(m.part[1]), '^"(.*)"$', E'\\1'), '""', '"')), ', ' order by m.place)
                            from regexp_matches(s.value, '"(?:[^"]|"")*"|[^",[:space:]][^",]*', 'g') with ordinality as m(part, place)), '''''')
             else quote_literal(s.value) end)
    from (select split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value) s
$$;
comment on function meta._set_clause(text) is 'How SQL says a setting that is kept as name=value.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which types and functions are found.
create function meta._function_given(old meta.function, new meta.function) returns meta.function
language plpgsql stable
as $$
declare
    type pg_catalog.text;
begin
    new := meta._function_named(old, new);
    if old is null and new.parameters is null then
        foreach type in array new.parameter_types loop
            perform meta._type_given(type);
        end loop;
        new.parameters := pg_catalog.array_to_string(new.parameter_types, E'\n, ');
    end if;
    if old is null then
        -- they follow from the parameters, and how it is found is not by them
        new.parameter_types := null;
    end if;
    if new.transform_types is not null then
        foreach type in array new.transform_types loop
            perform meta._type_given(type);
        end loop;
    end if;
    if new.support is not null and pg_catalog.to_regproc(new.support) is null then
        raise exception 'function "%" does not exist', new.support using errcode = 'undefined_function';
    end if;
    new.support := meta._name_text(new.support);
    return new;
end
$$;
comment on function meta._function_given(meta.function, meta.function) is 'The row as it is to be, completed and checked.';

create function meta._function_named(old meta.function, new meta.function) returns meta.function
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.parameter_types := coalesce(new.parameter_types, (new.id).parameter_types, '{}');
        new.kind := coalesce(new.kind, 'function');
        perform meta._word_given(new.kind, '{function,procedure,aggregate,window}', 'kind');
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        if new.kind is distinct from old.kind then
            perform meta._refuse('a function stays one, as a procedure and an aggregate do', 'Drop it and make another.');
        end if;
        if new.parameter_types is distinct from old.parameter_types then
            perform meta._refuse('a function keeps the types of its parameters', 'Drop it and make another.');
        end if;
        perform meta._flag_given(new.body_is_sql, 'body_is_sql'), meta._flag_given(new.security_definer, 'security_definer');
        if new.kind in ('function', 'window') then
            perform meta._flag_given(new."strict", 'strict'), meta._flag_given(new.leakproof, 'leakproof');
            new.cost := coalesce(new.cost, case when new.language in ('c', 'internal') then 1 else 100 end);
        end if;
        new.rows := coalesce(new.rows, case when old.rows is not null then 1000 end);
        new.parameters := coalesce(new.parameters, '');
    end if;
    if new.volatility is not null or new.kind in ('function', 'window') and not (old is null) then
        perform meta._word_given(new.volatility, '{immutable,stable,volatile}', 'volatility');
    end if;
    if new.parallel is not null or new.kind <> 'procedure' and not (old is null) then
        perform meta._word_given(new.parallel, '{safe,restricted,unsafe}', 'parallel');
    end if;
    if new.kind = 'procedure' and new.returns is not null then
        perform meta._refuse('a procedure returns nothing', 'What it gives back are its out and inout parameters.');
    end if;
    if new.kind = 'aggregate' and (new.body_is_sql or new.security_definer or num_nonnulls(new.language, new.library, new.volatility, new."strict",
        new.leakproof, new.cost, new.rows, new.settings, new.support, new.transform_types) > 0) then
        perform meta._refuse('an aggregate has no language, volatility, cost or settings of its own', 'The functions that it is made of have.');
    end if;
    if new.kind = 'aggregate' and not (old is null) and new.returns is distinct from old.returns then
        perform meta._refuse('what an aggregate returns follows the functions that it is made of', 'Update body.');
    end if;
    if exists (select from unnest(new.settings) as u(setting) where u.setting is null or u.setting !~ '^[^=]+=') then
        raise exception 'a setting is name=value' using errcode = 'invalid_parameter_value';
    end if;
    perform meta._name_given(new.schema_name, 'function''s schema'), meta._name_given(new.name, 'function');
    return new;
end
$$;
comment on function meta._function_named(meta.function, meta.function) is 'The row with its names, which may have been given as its id.';

create function meta._function_now(given meta.function) returns meta.function
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.id, f.schema_name, f.name, f.parameter_types, f.kind, f.parameters, f.returns, f.language, f.body, f.body_is_sql, f.library,
           f.volatility, f.strict, f.security_definer, f.leakproof, f.parallel, f.cost, f.rows, f.settings, f.support, f.transform_types,
           f.owner, f.comment
    from meta._function f
    where f.object = any (array(select p.oid from pg_proc p
                                where p.proname = (given).name::name and p.pronamespace = to_regnamespace(quote_ident((given).schema_name))))
      -- what its parameters mean only PostgreSQL knows: it is the one that there was not before
      and case when (given).parameter_types is null then not f.object = any (current_setting('meta.functions', true)::oid[])
               else f.parameter_types = (given).parameter_types end
$$;
comment on function meta._function_now(meta.function) is 'The row as it is.';

-- With in before each: else a procedure could be meant that has as many parameters with the out ones.
create function meta._signature_text(given meta.function) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select '(' || coalesce((select string_agg(format('in %I.%I', n.nspname, t.typname), ', ' order by u.place)
                            from unnest(p.proargtypes) with ordinality as u(type, place)
                            join pg_type t on t.oid = u.type join pg_namespace n on n.oid = t.typnamespace),
                           case when p.prokind = 'a' then '*' else '' end) || ')'
    from meta._function f join pg_proc p on p.oid = f.object
    where f.object = any (array(select q.oid from pg_proc q
                                where q.proname = (given).name::name and q.pronamespace = to_regnamespace(quote_ident((given).schema_name))))
      and f.parameter_types = (given).parameter_types
$$;
comment on function meta._signature_text(meta.function) is 'What stands behind a function''s name for PostgreSQL to know which it is, by whatever search path.';

create function meta._create_function(verb text, place text, new meta.function) returns text
language sql stable
set search_path = pg_catalog, pg_temp set extra_float_digits = 1
as $$
    select case when (new).kind = 'aggregate' then
        verb || ' aggregate ' || place || '(' || coalesce(nullif((new).parameters, ''), '*') || E'\n) ('
        || concat_ws(', ', (new).body || E'\n', 'parallel = ' || (new).parallel) || ')'
    else concat_ws(' ', verb, case when (new).kind = 'procedure' then 'procedure' else 'function' end,
        place || '(' || (new).parameters || E'\n)', 'returns ' || (new).returns || E'\n', 'language ' || quote_ident((new).language),
        (select 'transform ' || string_agg('for type ' || u.type || E'\n', ', ' order by u.place)
         from unnest((new).transform_types) with ordinality as u(type, place)),
        case when (new).kind = 'window' then 'window' end, (new).volatility, case when (new).strict then 'strict' end,
        case when (new).security_definer then 'security definer' end, case when (new).leakproof then 'leakproof' end,
        'parallel ' || (new).parallel, 'cost ' || (new).cost, 'rows ' || (new).rows, 'support ' || (new).support,
        (select string_agg(meta._set_clause(u.setting), ' ' order by u.place) from unnest((new).settings) with ordinality as u(setting, place)),
        case when (new).body_is_sql then (new).body || E'\n'
             else 'as ' || nullif(concat_ws(', ', quote_literal((new).library), quote_literal((new).body)), '') end) end
$$;
comment on function meta._create_function(text, text, meta.function) is 'CREATE [OR REPLACE] FUNCTION, PROCEDURE, AGGREGATE.';

create function meta._alter_function(old meta.function, new meta.function) returns text
language sql stable
set search_path = pg_catalog, pg_temp set extra_float_digits = 1
as $$
    select nullif(concat_ws(' ', case when (new).volatility is distinct from (old).volatility then (new).volatility end,
        case when (new).strict is distinct from (old).strict then case when (new).strict then 'strict' else 'called on null input' end end,
        case when (new).security_definer <> (old).security_definer then case when (new).security_definer then 'security definer' else 'security invoker' end end,
        case when (new).leakproof is distinct from (old).leakproof then case when (new).leakproof then 'leakproof' else 'not leakproof' end end,
        case when (new).parallel is distinct from (old).parallel then 'parallel ' || (new).parallel end,
        case when (new).cost is distinct from (old).cost then 'cost ' || (new).cost end,
        case when (new).rows is distinct from (old).rows then 'rows ' || (new).rows end,
        case when (new).support is distinct from (old).support then 'support ' || (new).support end,
        (select string_agg(format('reset %I', split_part(o.setting, '=', 1)), ' ') from unnest((old).settings) as o(setting)
         where not exists (select from unnest((new).settings) as n(setting) where split_part(n.setting, '=', 1) = split_part(o.setting, '=', 1))),
        (select string_agg(meta._set_clause(n.setting), ' ' order by n.place) from unnest((new).settings) with ordinality as n(setting, place)
         where not n.setting = any (coalesce((old).settings, '{}')))), '')
$$;
comment on function meta._alter_function(meta.function, meta.function) is 'What ALTER FUNCTION has to do; NULL: nothing.';

create function meta._describe_function(given meta.function) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made constant meta.function := meta._function_now(given);
    described meta.function := made;
    statement text;
begin
    described.owner := coalesce(given.owner, made.owner);
    described.comment := given.comment;
    foreach statement in array meta._function_ddl(made, described) loop
        execute statement;
    end loop;
end
$$;
comment on function meta._describe_function(meta.function) is 'Gives a function that was just made its comment and its owner.';

create function meta._function_kept(schema_name text, name text, number bigint) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if (select count(*) from pg_proc p where p.proname = name::name and p.pronamespace = to_regnamespace(quote_ident(schema_name))) <> number then
        perform meta._refuse('a function keeps the types of its parameters', 'Drop it and make another.');
    end if;
end
$$;
comment on function meta._function_kept(text, text, bigint) is 'An error when a function was made, not replaced.';

create function meta._function_ddl(old meta.function, new meta.function) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    kind constant text := replace(coalesce(old.kind, new.kind), 'window', 'function');
    signature constant text := coalesce(meta._signature_text(old), '()');
    there constant oid[] := array(select p.oid from pg_proc p
                                  where p.proname = coalesce(old.name, new.name)::name
                                    and p.pronamespace = to_regnamespace(quote_ident(coalesce(old.schema_name, new.schema_name))));
begin
    if new is null then
        return array[format('drop %s %s%s', kind, place, signature)];
    end if;
    if old is null then
        ddl := array[format('select pg_catalog.set_config(''meta.functions'', %L, true)', there), meta._create_function('create', place, new)];
        if new.owner is not null or new.comment is not null then
            -- the body may be long, and is not needed for it
            new.body := null;
            ddl := array_append(ddl, format('select meta._describe_function(%L::meta.function)', new));
        end if;
        return ddl;
    end if;
    if (new.parameters, new.returns, new.language, new.body, new.body_is_sql, new.library, new.transform_types)
       is distinct from (old.parameters, old.returns, old.language, old.body, old.body_is_sql, old.library, old.transform_types)
       or old.support is not null and new.support is null or kind = 'aggregate' and new.parallel <> old.parallel then
        ddl := array[format('select meta._execute_again(%L)', meta._create_function('create or replace', place, new))];
        if new.parameters <> old.parameters then
            ddl := array_append(ddl, format('select meta._function_kept(%L, %L, %s)', old.schema_name, old.name, cardinality(there)));
        end if;
    elsif meta._alter_function(old, new) is not null then
        ddl := array[format('alter %s %s%s %s', kind, place, signature, meta._alter_function(old, new))];
    end if;
    return ddl || meta._object_ddl(kind, signature, array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._function_ddl(meta.function, meta.function) is 'CREATE [OR REPLACE], ALTER, DROP FUNCTION, PROCEDURE, AGGREGATE.';

create trigger write instead of insert or update or delete on meta.function for each row execute function meta._write();
