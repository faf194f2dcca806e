-- The catalog as data: what its relations share. They are views above pg_catalog, and what is written to them is done by DDL with the
-- caller's own rights. The triggers have no search path of their own: what the caller gives as SQL (types, defaults, queries) means what
-- it means to the caller. So they do nothing but execute what functions with a fixed one have put together: an operator or a
-- function that somebody made for the caller to come by is not called.

create function meta._is_shown(schema oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'meta', 'event') from pg_namespace n where n.oid = schema
$$;
comment on function meta._is_shown(oid) is 'Whether meta shows a schema and what is in it: not PostgreSQL''s own, nor Tidewire''s.';

-- With its schema unless it is PostgreSQL's own, whatever the caller's search path is: one text for one type.
create function meta._type_text(type oid, typmod integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
as $$ select format_type(type, typmod) $$;
comment on function meta._type_text(oid, integer) is 'A type as SQL writes it, always the same.';

create function meta._expression_text(expression pg_node_tree, relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
as $$ select pg_get_expr(expression, relation) $$;
comment on function meta._expression_text(pg_node_tree, oid) is 'An expression of a relation as SQL writes it, always the same.';

create function meta._query_text(view oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
as $$ select rtrim(ltrim(pg_get_viewdef(view)), ';') $$;
comment on function meta._query_text(oid) is 'A view''s query as SQL writes it, always the same.';

-- The whole text has to be the name of a type, which PostgreSQL's own parser decides: it is not a place for other SQL. A comment
-- at its end ends with it.
create function meta._type_given(type text) returns text
language plpgsql stable
as $$
begin
    if type is null then
        raise exception 'a column needs a type' using errcode = 'not_null_violation';
    end if;
    if pg_catalog.to_regtype(type) is null then
        raise exception 'type "%" does not exist', type
            using errcode = 'undefined_object',
                  hint = case when type ~* '^\s*(big|small)?serial' then
                      'A serial is an integer with generated = ''identity by default''.' end;
    end if;
    return type || E'\n';
end
$$;
comment on function meta._type_given(text) is 'A type''s name as it was given, when it is one.';

create function meta._name_given(name text, what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if name is null then
        raise exception 'a % needs a name', what using errcode = 'not_null_violation';
    end if;
    if name = '' or octet_length(name) > 63 then
        raise exception 'a name has 1 to 63 bytes' using errcode = 'invalid_name';
    end if;
end
$$;
comment on function meta._name_given(text, text) is 'An error unless it is a name: PostgreSQL would cut a longer one in silence.';

create function meta._flag_given(flag boolean, what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if flag is null then
        raise exception '% is true or false', what using errcode = 'not_null_violation';
    end if;
end
$$;
comment on function meta._flag_given(boolean, text) is 'An error for NULL: who updates to it means nothing that could be done.';

create function meta._relation_ddl(kind text, old text[], new text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place text := format('%I.%I', old[1], old[2]);
begin
    if new[4] is distinct from old[4] then
        ddl := array_append(ddl, format('comment on %s %s is %L', kind, place, new[4]));
    end if;
    if new[2] is distinct from old[2] then
        perform meta._name_given(new[2], kind);
        ddl := array_append(ddl, format('alter %s %s rename to %I', kind, place, new[2]));
        place := format('%I.%I', old[1], new[2]);
    end if;
    if new[1] is distinct from old[1] then
        perform meta._name_given(new[1], kind || '''s schema');
        ddl := array_append(ddl, format('alter %s %s set schema %I', kind, place, new[1]));
        place := format('%I.%I', new[1], new[2]);
    end if;
    -- last: then it may be somebody else's
    if new[3] is distinct from old[3] then
        perform meta._name_given(new[3], kind || '''s owner');
        ddl := array_append(ddl, format('alter %s %s owner to %I', kind, place, new[3]));
    end if;
    return ddl;
end
$$;
comment on function meta._relation_ddl(text, text[], text[]) is
    'The statements for what all relations have: schema, name, owner, comment, as they are and as they are to be.';

create function meta._refuse(what text, advice text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%', what using errcode = 'feature_not_supported', hint = advice;
end
$$;
comment on function meta._refuse(text, text) is 'An error: PostgreSQL has no DDL for it.';
