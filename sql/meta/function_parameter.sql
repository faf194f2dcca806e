-- The parameters of functions as rows, with what they give back. They have no DDL of their own: a function is replaced by itself with
-- another name or default of one.

create function meta._parameter_default_text(function oid, "position" integer) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select case when octet_length(p.proargdefaults::text) <= 67108864 then pg_get_function_arg_default(function, "position")
                else '... (' || octet_length(p.proargdefaults::text) || ' bytes)' end
    from pg_proc p where p.oid = function and p.proargdefaults is not null);
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._parameter_default_text(oid, integer) is 'A parameter''s default as SQL writes it, always the same.';

create view meta._function_parameter as
select p.oid as scope, p.oid as object, row(row(row(n.nspname), p.proname, t.parameter_types), u.position::integer)::meta.function_parameter_id as id,
       n.nspname::text collate "default" as schema_name, p.proname::text collate "default" as function_name, t.parameter_types,
       u.position::integer as position, nullif(p.proargnames[u.position], '') collate "default" as name,
       case p.proargmodes[u.position] when 'o' then 'out' when 'b' then 'inout' when 'v' then 'variadic' when 't' then 'table' else 'in' end as mode,
       meta._type_text(u.type, null) as type,
       case when p.pronargdefaults > 0 then meta._parameter_default_text(p.oid, u.position::integer) end as "default"
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
cross join lateral (select array(select meta._type_text(i.type, null) from unnest(p.proargtypes) with ordinality as i(type, place)
                                 order by i.place) as parameter_types) t
cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type, position)
where meta._is_shown(n.oid)
  -- a range's constructors are the type's
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i');
comment on view meta._function_parameter is 'meta.function_parameter, with the function''s oid.';

create view meta.function_parameter as
select id, schema_name, function_name, parameter_types, position, name, mode, type, "default" from meta._function_parameter;
comment on view meta.function_parameter is 'The parameters of functions. UPDATE names one that has no name, or gives another default; others are made and dropped with the function.';
comment on column meta.function_parameter.id is 'Names the parameter.';
comment on column meta.function_parameter.parameter_types is 'The types of the function''s input parameters, by which it is known.';
comment on column meta.function_parameter.position is 'Its place among all of them, from 1.';
comment on column meta.function_parameter.name is 'Its name; NULL: it has none.';
comment on column meta.function_parameter.mode is 'in, out, inout, variadic, or table: a column of what it returns.';
comment on column meta.function_parameter.default is 'Its default: an expression, which is taken as SQL. PostgreSQL lets none be taken away.';

create function meta._function_parameter_given(old meta.function_parameter, new meta.function_parameter) returns meta.function_parameter
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        perform meta._refuse('a parameter comes with its function', 'Insert a function with it into meta.function.');
    end if;
    perform meta._id_kept(old.id::text, new.id::text, 'Update meta.function.');
    if (new.schema_name, new.function_name, new.parameter_types) is distinct from (old.schema_name, old.function_name, old.parameter_types) then
        perform meta._refuse('a parameter stays in its function', 'To move or rename the function update meta.function.');
    end if;
    if (new.position, new.mode, new.type) is distinct from (old.position, old.mode, old.type) then
        perform meta._refuse('a parameter keeps its place, mode and type', 'Drop the function and make another.');
    end if;
    if new.name is not null then
        perform meta._name_given(new.name, 'parameter');
    end if;
    return new;
end
$$;
comment on function meta._function_parameter_given(meta.function_parameter, meta.function_parameter) is 'The row as it is to be, checked.';

create function meta._function_parameter_ddl(old meta.function_parameter, new meta.function_parameter) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    function_old meta.function;
    function_new meta.function;
    columns text;
begin
    if new is null then
        perform meta._refuse('a parameter goes with its function', 'Drop the function and make another.');
    end if;
    if new is not distinct from old then
        return '{}';
    end if;
    function_old.schema_name := old.schema_name;
    function_old.name := old.function_name;
    function_old.parameter_types := old.parameter_types;
    function_old := meta._function_now(function_old);
    if function_old.kind = 'aggregate' then
        perform meta._refuse('an aggregate keeps its parameters', 'Drop it and make another.');
    end if;
    function_new := function_old;
    select coalesce(string_agg(d.definition, ', ' order by d.position) filter (where d.mode <> 'table'), ''),
           string_agg(d.definition, ', ' order by d.position) filter (where d.mode = 'table')
    into function_new.parameters, columns
    from (select p.position, p.mode, concat_ws(' ', nullif(p.mode, 'table'), quote_ident(n.name), p.type, 'default ' || n."default" || E'\n') as definition
          from meta._function_parameter p
          cross join lateral (select case when p.position = old.position then new.name else p.name end as name,
                                     case when p.position = old.position then new."default" else p."default" end as "default") n
          where p.scope = any (array(select q.oid from pg_proc q where q.proname = old.function_name::name
                                       and q.pronamespace = to_regnamespace(quote_ident(old.schema_name))))
            and p.parameter_types = old.parameter_types) d;
    if columns is not null then
        function_new.returns := 'table (' || columns || ')';
    end if;
    return meta._function_ddl(function_old, function_new);
end
$$;
comment on function meta._function_parameter_ddl(meta.function_parameter, meta.function_parameter) is 'CREATE OR REPLACE FUNCTION with another name or default of one.';

create function meta._function_parameter_now(given meta.function_parameter) returns meta.function_parameter
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.schema_name, p.function_name, p.parameter_types, p.position, p.name, p.mode, p.type, p."default"
    from meta._function_parameter p
    where p.scope = any (array(select q.oid from pg_proc q
                               where q.proname = (given).function_name::name and q.pronamespace = to_regnamespace(quote_ident((given).schema_name))))
      and p.parameter_types = (given).parameter_types and p.position = (given).position
$$;
comment on function meta._function_parameter_now(meta.function_parameter) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.function_parameter for each row execute function meta._write();
