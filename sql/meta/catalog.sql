-- The catalog as data: what its relations share. They are views above pg_catalog, and what is written to them is done by DDL with the
-- caller's own rights. The triggers have no search path of their own: what the caller gives as SQL (types, defaults, queries) means what
-- it means to the caller. So they do nothing but execute what functions with a fixed one have put together: an operator or a
-- function that somebody made for the caller to come by is not called.
--
-- Each relation of meta is a view over one that has the same name behind an underscore and two columns more, by which the mirrors find what a
-- schema change touches (see event/mirror.sql): object is the oid of what the row tells, scope that of what it belongs to (a column's table).

create function meta._is_shown(schema oid) returns boolean
language sql stable
return (select n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'meta', 'event') from pg_catalog.pg_namespace n where n.oid = schema);
comment on function meta._is_shown(oid) is 'Whether meta shows a schema and what is in it: not PostgreSQL''s own, nor Tidewire''s.';

create function meta._in_schema(schema oid, name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$ select format('%I.%I', n.nspname, _in_schema.name) from pg_namespace n where n.oid = schema $$;
comment on function meta._in_schema(oid, text) is 'A name with its schema as SQL writes it, always the same.';

create function meta._routine_name(routine oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select meta._in_schema(p.pronamespace, p.proname) from pg_proc p where p.oid = routine $$;
comment on function meta._routine_name(oid) is 'A function''s name as SQL writes it, without its parameters.';

-- Each part is quoted again: it is a place for names alone, which PostgreSQL finds by the caller's search path.
create function meta._name_text(name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$ select string_agg(quote_ident(u.part), '.' order by u.place) from unnest(parse_ident(name)) with ordinality as u(part, place) $$;
comment on function meta._name_text(text) is 'A name, perhaps with its schema, as SQL writes it.';

-- With its schema unless it is PostgreSQL's own, whatever the caller's search path is: one text for one type.
create function meta._type_text(type oid, typmod integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
as $$ select format_type(type, typmod) $$;
comment on function meta._type_text(oid, integer) is 'A type as SQL writes it, always the same.';

-- A text takes more of the stack the deeper what it is of is, and more than it took to make that. One that cannot be written is told as such:
-- it is one object's, and the mirrors of the catalog are for all. A lock that is not to be had is no reason: it goes by.
create function meta._untold(code text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '... (error ' || code || ')' $$;
comment on function meta._untold(text) is 'What stands in the place of a text that PostgreSQL cannot write.';

-- What PostgreSQL keeps of an expression is longer than its text, and to read it takes as long as it is: of one of over 64 MB no text is
-- made. Whoever may make a table may make such, and the mirrors of the catalog are for all.
create function meta._expression_text(expression pg_node_tree, relation oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select case when octet_length(expression::text) <= 67108864 then pg_get_expr(expression, relation)
                else '... (' || octet_length(expression::text) || ' bytes)' end
    where expression is not null);
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._expression_text(pg_node_tree, oid) is 'An expression of a relation as SQL writes it, always the same.';

create function meta._query_text(view oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select case when octet_length(r.ev_action::text) <= 67108864 then rtrim(ltrim(pg_get_viewdef(view)), ';')
                else '... (' || octet_length(r.ev_action::text) || ' bytes)' end
    from pg_rewrite r where r.ev_class = view and r.rulename = '_RETURN');
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._query_text(oid) is 'A view''s query as SQL writes it, always the same.';

-- The whole text has to be the name of a type, which PostgreSQL's own parser decides: it is not a place for other SQL. A comment
-- at its end ends with it.
create function meta._type_given(type text) returns text
language plpgsql stable
as $$
begin
    perform meta._type_found(type, pg_catalog.to_regtype(type));
    return pg_catalog.concat(type, E'\n');
end
$$;
comment on function meta._type_given(text) is 'A type''s name as it was given, when it is one.';

create function meta._collation_text("of" oid, type oid) returns text
language sql stable
return (select meta._in_schema(c.collnamespace, c.collname) from pg_catalog.pg_collation c
        where c.oid = "of" and c.oid is distinct from (select t.typcollation from pg_catalog.pg_type t where t.oid = _collation_text.type));
comment on function meta._collation_text(oid, oid) is 'A collation as SQL writes it; NULL: it is its type''s own.';

create function meta._type_found(given text, resolved regtype) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if given is null then
        raise exception 'a type is missing' using errcode = 'not_null_violation';
    end if;
    if resolved is null then
        raise exception 'type "%" does not exist', given
            using errcode = 'undefined_object',
                  hint = case when given ~* '^[[:space:]]*(big|small)?serial' then
                      'A serial is an integer with generated = ''identity by default''.'
                  else 'One that is not found by the search path needs its schema.' end;
    end if;
end
$$;
comment on function meta._type_found(text, regtype) is 'An error unless a type was given, and found.';

create function meta._collation_given(name text) returns text
language plpgsql stable
as $$
begin
    if name is not null and pg_catalog.to_regcollation(name) is null then
        raise exception 'collation "%" does not exist', name using errcode = 'undefined_object';
    end if;
    return meta._name_text(name);
end
$$;
comment on function meta._collation_given(text) is 'A collation''s name as it was given, when it is one.';

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

create function meta._relation_text(relation meta.relation_id) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select format('%I.%I', ((relation).schema_id).name, (relation).name) $$;
comment on function meta._relation_text(meta.relation_id) is 'A relation''s name as SQL writes it.';

-- A NULL owner is one that is not to be changed: who creates a thing owns it.
create function meta._object_ddl(kind text, suffix text, old text[], new text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place text := coalesce(quote_ident(old[1]) || '.', '') || quote_ident(old[2]) || suffix;
begin
    if new[4] is distinct from old[4] then
        ddl := array_append(ddl, format('comment on %s %s is %L', kind, place, new[4]));
    end if;
    if new[2] is distinct from old[2] then
        perform meta._name_given(new[2], kind);
        ddl := array_append(ddl, format('alter %s %s rename to %I', kind, place, new[2]));
        place := coalesce(quote_ident(old[1]) || '.', '') || quote_ident(new[2]) || suffix;
    end if;
    if new[1] is distinct from old[1] then
        perform meta._name_given(new[1], kind || '''s schema');
        ddl := array_append(ddl, format('alter %s %s set schema %I', kind, place, new[1]));
        place := quote_ident(new[1]) || '.' || quote_ident(new[2]) || suffix;
    end if;
    -- last: then it may be somebody else's
    if new[3] is distinct from old[3] then
        perform meta._name_given(new[3], kind || '''s owner');
        ddl := array_append(ddl, format('alter %s %s owner to %I', kind, place, new[3]));
    end if;
    return ddl;
end
$$;
comment on function meta._object_ddl(text, text, text[], text[]) is
    'The statements for what objects have: schema (NULL: they are in none), name, owner, comment, as they are and as they are to be. Of one just made the owner and the comment are NULL. The suffix stands behind the name: a function''s parameters.';

create function meta._part_ddl(kind text, relation text, old text[], new text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
begin
    if new[2] is distinct from old[2] then
        ddl := array_append(ddl, format('comment on %s %I on %s is %L', kind, old[1], relation, new[2]));
    end if;
    if new[1] is distinct from old[1] then
        perform meta._name_given(new[1], kind);
        ddl := array_append(ddl, case when kind = 'constraint' then format('alter table %s rename constraint %I to %I', relation, old[1], new[1])
                                      else format('alter %s %I on %s rename to %I', kind, old[1], relation, new[1]) end);
    end if;
    return ddl;
end
$$;
comment on function meta._part_ddl(text, text, text[], text[]) is
    'The same for what a relation has (trigger, policy, constraint), of which the name and the comment can change.';

create function meta._options_clause(options text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(' with (' || string_agg(format('%I = %L', split_part(u.option, '=', 1), nullif(substr(u.option, strpos(u.option, '=') + 1), '')),
                                            ', ' order by u.place) || ')', '')
    from unnest(options) with ordinality as u(option, place)
$$;
comment on function meta._options_clause(text[]) is 'How SQL says the options of a relation.';

create function meta._options_ddl(what text, old text[], new text[]) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_remove(array[
        'alter ' || what || ' reset (' || (select string_agg(quote_ident(split_part(u.option, '=', 1)), ', ') from unnest(old) as u(option)) || ')',
        'alter ' || what || ' set' || substr(nullif(meta._options_clause(new), ''), 6)], null), '{}')
    from (select 1) as one where new is distinct from old
$$;
comment on function meta._options_ddl(text, text[], text[]) is 'The statements that lead from these options of a relation to those.';

create function meta._refuse(what text, advice text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%', what using errcode = 'feature_not_supported', hint = advice;
end
$$;
comment on function meta._refuse(text, text) is 'An error: PostgreSQL has no DDL for it.';

create function meta._id_kept(old text, new text, advice text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if new is distinct from old then
        perform meta._refuse('an id follows the names that it is made of', advice);
    end if;
end
$$;
comment on function meta._id_kept(text, text, text) is 'An error when an UPDATE gives another id.';

-- What was read from the catalog is to mean again what it meant: PostgreSQL's own comes first, wherever the caller has it in his
-- search path. It has none of its own, as what was given is to mean what it means to him.
create function meta._execute_again(statement text) returns void
language plpgsql
as $$
declare
    path constant pg_catalog.text := pg_catalog.current_setting('search_path');
begin
    perform pg_catalog.set_config('search_path', case when path operator(pg_catalog.=) '' then 'pg_catalog, pg_temp'
                                                      else pg_catalog.concat('pg_catalog, ', path, ', pg_temp') end, true);
    execute statement;
    perform pg_catalog.set_config('search_path', path, true);
end
$$;
comment on function meta._execute_again(text) is 'Executes what replaces something by its own definition with something else in it.';

create function meta._again(statements text[]) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select array(select format('select meta._execute_again(%L)', s.statement) from unnest(statements) with ordinality as s(statement, place) order by s.place) $$;
comment on function meta._again(text[]) is
    'The statements, to be read with PostgreSQL''s own names before those of the caller''s search path: they have texts from the catalog in them, in which those have no schema.';

create function meta._id_met(given text, made text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if given <> made then
        raise exception 'the id and the names given are of different things'
            using errcode = 'invalid_parameter_value', detail = format('The id is %s, by its names it is %s.', given, made);
    end if;
end
$$;
comment on function meta._id_met(text, text) is 'An error when an INSERT gives an id that is not what its names make.';

-- Of each relation of meta there are three functions: _X_given(old, new) completes and checks a row as it was given, _X_ddl(old, new) puts
-- the statements together that lead from one to the other (NULL: there is none), _X_now(given) reads the row as it then is.
create function meta._write() returns trigger
language plpgsql
as $$
declare
    ddl pg_catalog.text[];
    statement pg_catalog.text;
    given_id pg_catalog.text;
begin
    -- what it was and is to be, to each of the three; a record once assigned to is no row of the relation any more
    if tg_op operator(pg_catalog.=) 'DELETE' then
        execute pg_catalog.format('select meta._%s_ddl($1, null)', tg_table_name) into ddl using old;
    elsif tg_op operator(pg_catalog.=) 'UPDATE' then
        execute pg_catalog.format('select meta._%1$s_ddl($1, meta._%1$s_given($1, $2))', tg_table_name) into ddl using old, new;
    else
        given_id := new.id::pg_catalog.text;
        execute pg_catalog.format('select meta._%1$s_ddl(null, meta._%1$s_given(null, $1))', tg_table_name) into ddl using new;
    end if;
    foreach statement in array ddl loop
        execute statement;
    end loop;
    if tg_op operator(pg_catalog.=) 'DELETE' then
        return old;
    elsif tg_op operator(pg_catalog.=) 'UPDATE' then
        execute pg_catalog.format('select * from meta._%1$s_now(meta._%1$s_given($1, $2))', tg_table_name) into new using old, new;
    else
        execute pg_catalog.format('select * from meta._%1$s_now(meta._%1$s_given(null, $1))', tg_table_name) into new using new;
        perform meta._id_met(given_id, new.id::pg_catalog.text);
    end if;
    return new;
end
$$;
comment on function meta._write() is 'Does what is written to a relation of meta.';
