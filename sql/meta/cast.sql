-- Casts as rows: those that PostgreSQL did not come with.

create function meta._routine_signature(routine oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select meta._routine_name(p.oid) || '(' || coalesce((select string_agg(meta._type_text(u.type, null), ', ' order by u.place)
                                                         from unnest(p.proargtypes) with ordinality as u(type, place)), '') || ')'
    from pg_proc p where p.oid = routine
$$;
comment on function meta._routine_signature(oid) is 'A function''s name as SQL writes it, with the types of its parameters.';

create view meta._cast as
select c.oid as scope, c.oid as object, meta.cast_id(meta._type_text(s.oid, null), meta._type_text(t.oid, null)) as id,
       meta._type_text(s.oid, null) as source_type, meta._type_text(t.oid, null) as target_type,
       meta._routine_signature(c.castfunc) as function,
       case c.castmethod when 'f' then 'function' when 'i' then 'inout' else 'binary' end as method,
       case c.castcontext when 'i' then 'implicit' when 'a' then 'assignment' else 'explicit' end as context,
       obj_description(c.oid, 'pg_cast') collate "default" as comment
from pg_cast c
join pg_type s on s.oid = c.castsource
join pg_type t on t.oid = c.casttarget
-- 16384: the first oid that is not PostgreSQL's own
where c.oid >= 16384 and (s.typnamespace = 'pg_catalog'::regnamespace or meta._is_shown(s.typnamespace))
  and (t.typnamespace = 'pg_catalog'::regnamespace or meta._is_shown(t.typnamespace))
  -- it comes and goes with the range
  and not exists (select from pg_range r where r.rngtypid = c.castsource and r.rngmultitypid = c.casttarget);
comment on view meta._cast is 'meta.cast, with its oid.';

create view meta.cast as select id, source_type, target_type, function, method, context, comment from meta._cast;
comment on view meta.cast is 'Casts that PostgreSQL did not come with. INSERT creates one, UPDATE gives it another way, context or comment, DELETE drops it.';
comment on column meta.cast.id is 'Names the cast.';
comment on column meta.cast.source_type is 'The type that it leads from, as SQL writes it.';
comment on column meta.cast.target_type is 'The type that it leads to, as SQL writes it.';
comment on column meta.cast.function is 'The function that it is done by, with the types of its parameters: shop.price(text). Another way is a new cast in the place of the old: what was made by that stays as it is.';
comment on column meta.cast.method is 'function; inout: by way of its text; binary: the same bytes. Given as NULL it is what function says.';
comment on column meta.cast.context is 'Where it is done: explicit (where it is asked for; given as NULL), also in an assignment, or implicit.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which types and functions are found.
create function meta._cast_given(old meta.cast, new meta.cast) returns meta.cast
language plpgsql stable
as $$
begin
    new := meta._cast_checked(old, new);
    if old is null then
        perform meta._type_given(new.source_type), meta._type_given(new.target_type);
        new.source_type := meta._type_text(pg_catalog.to_regtype(new.source_type), null);
        new.target_type := meta._type_text(pg_catalog.to_regtype(new.target_type), null);
    end if;
    if new.function is not null then
        if pg_catalog.to_regprocedure(new.function) is null then
            raise exception 'function "%" does not exist', new.function using errcode = 'undefined_function';
        end if;
        new.function := meta._routine_signature(pg_catalog.to_regprocedure(new.function));
    end if;
    return new;
end
$$;
comment on function meta._cast_given(meta.cast, meta.cast) is 'The row as it is to be, completed and checked.';

create function meta._cast_checked(old meta.cast, new meta.cast) returns meta.cast
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.source_type := coalesce(new.source_type, (new.id).source_type);
        new.target_type := coalesce(new.target_type, (new.id).target_type);
        new.method := coalesce(new.method, case when new.function is not null then 'function' end);
        new.context := coalesce(new.context, 'explicit');
        if new.source_type is null or new.target_type is null then
            raise exception 'a cast needs a source_type and a target_type' using errcode = 'not_null_violation';
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Delete this cast and insert another.');
        if (new.source_type, new.target_type) is distinct from (old.source_type, old.target_type) then
            perform meta._refuse('a cast stays between its types', 'Delete this cast and insert another.');
        end if;
    end if;
    if new.method is null or new.method not in ('function', 'inout', 'binary') or (new.method = 'function') <> (new.function is not null) then
        raise exception 'a cast is done by a function, by way of its text, or not at all'
            using errcode = 'invalid_parameter_value', hint = 'Either function is given, or method is inout or binary.';
    end if;
    if new.context is null or new.context not in ('explicit', 'assignment', 'implicit') then
        raise exception 'the context of a cast is not "%"', new.context
            using errcode = 'invalid_parameter_value', hint = 'context is explicit, assignment or implicit.';
    end if;
    return new;
end
$$;
comment on function meta._cast_checked(meta.cast, meta.cast) is 'The row with its types, which may have been given as its id.';

create function meta._cast_ddl(old meta.cast, new meta.cast) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('cast (%s as %s)', coalesce(old.source_type, new.source_type), coalesce(old.target_type, new.target_type));
begin
    if new is null then
        return meta._again(array['drop ' || place]);
    end if;
    if (new.function, new.method, new.context) is distinct from (old.function, old.method, old.context) then
        if not old is null then
            -- nothing depends on a cast: a view has the function in it
            ddl := array['drop ' || place];
            old.comment := null;
        end if;
        ddl := array_append(ddl, 'create ' || place
            || case new.method when 'function' then ' with function ' || new.function when 'inout' then ' with inout' else ' without function' end
            || case new.context when 'explicit' then '' else ' as ' || new.context end);
    end if;
    if new.comment is distinct from old.comment then
        ddl := array_append(ddl, format('comment on %s is %L', place, new.comment));
    end if;
    return meta._again(ddl);
end
$$;
comment on function meta._cast_ddl(meta.cast, meta.cast) is 'CREATE, DROP CAST.';

create function meta._cast_now(given meta.cast) returns meta.cast
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.source_type, c.target_type, c.function, c.method, c.context, c.comment
    from meta._cast c
    where c.object = (select k.oid from pg_cast k
                      where k.castsource = to_regtype((given).source_type) and k.casttarget = to_regtype((given).target_type))
$$;
comment on function meta._cast_now(meta.cast) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.cast for each row execute function meta._write();
