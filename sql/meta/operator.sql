-- Operators as rows. One that is only spoken of as yet, as another's commutator or negator, is not shown.

create function meta._operator_name(operator oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$ select format('%I.%s', n.nspname, o.oprname) from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where o.oid = operator $$;
comment on function meta._operator_name(oid) is 'An operator''s name as SQL writes it, always the same.';

create view meta._operator as
select o.oid as scope, o.oid as object,
       meta.operator_id(n.nspname, o.oprname, meta._type_text(nullif(o.oprleft, 0), null), meta._type_text(o.oprright, null)) as id,
       n.nspname::text collate "default" as schema_name, o.oprname::text collate "default" as name,
       meta._type_text(nullif(o.oprleft, 0), null) as left_type, meta._type_text(o.oprright, null) as right_type,
       meta._type_text(o.oprresult, null) as result_type, meta._routine_name(o.oprcode) as function,
       meta._operator_name(o.oprcom) as commutator, meta._operator_name(o.oprnegate) as negator,
       meta._routine_name(o.oprrest) as restrict_function, meta._routine_name(o.oprjoin) as join_function,
       o.oprcanhash as hashes, o.oprcanmerge as merges, pg_get_userbyid(o.oprowner)::text collate "default" as owner,
       obj_description(o.oid, 'pg_operator') collate "default" as comment
from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
where o.oprcode <> 0 and meta._is_shown(n.oid);
comment on view meta._operator is 'meta.operator, with its oid.';

create view meta.operator as
select id, schema_name, name, left_type, right_type, result_type, function, commutator, negator, restrict_function, join_function, hashes,
       merges, owner, comment
from meta._operator;
comment on view meta.operator is 'Operators. INSERT creates one, UPDATE gives it another schema, owner, comment or other hints to the planner, DELETE drops it.';
comment on column meta.operator.id is 'Names the operator.';
comment on column meta.operator.left_type is 'The type on its left, as SQL writes it; NULL: it is a prefix operator.';
comment on column meta.operator.right_type is 'The type on its right, as SQL writes it.';
comment on column meta.operator.result_type is 'What its function returns.';
comment on column meta.operator.function is 'The function that it calls: shop.nearby. Its parameters are of the operator''s types.';
comment on column meta.operator.commutator is 'The operator that gives the same with the sides exchanged: shop.<. Without a schema it is in this one''s. Not there yet, it may be inserted later. UPDATE gives one that had none (17).';
comment on column meta.operator.negator is 'The operator that gives the opposite: shop.<>. As with the commutator.';
comment on column meta.operator.restrict_function is 'By which the planner guesses how many rows a condition with a constant leaves: eqsel.';
comment on column meta.operator.join_function is 'By which it guesses how many rows a join leaves: eqjoinsel.';
comment on column meta.operator.hashes is 'Whether it may be used for a hash join. UPDATE sets it (17).';
comment on column meta.operator.merges is 'Whether it may be used for a merge join. UPDATE sets it (17).';
comment on column meta.operator.owner is 'Its owner; given as NULL, who creates it.';

-- An operator's name cannot be quoted. With a comment's beginning in it, what follows would be lost.
create function meta._operator_name_given(name text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if name is null then
        raise exception 'an operator needs a name' using errcode = 'not_null_violation';
    end if;
    perform meta._name_given(name, 'operator');
    if name !~ '^[-+*/<>=~!@#%^&|`?]+$' or name ~ '--|/[*]' then
        raise exception '"%" is not a name for an operator', name
            using errcode = 'invalid_name', hint = 'It is made of + - * / < > = ~ ! @ # % ^ & | ` ? without -- and /*.';
    end if;
end
$$;
comment on function meta._operator_name_given(text) is 'An error unless it can be an operator''s name.';

create function meta._operator_text(name text, schema_name text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
    symbol constant text := substring(name from '[-+*/<>=~!@#%^&|`?]*$');
    schema constant text[] := parse_ident(nullif(rtrim(left(name, length(name) - length(symbol)), '.'), ''));
begin
    if name is null then
        return null;
    end if;
    perform meta._operator_name_given(symbol);
    if cardinality(schema) > 1 then
        raise exception '"%" is not a name for an operator', name using errcode = 'invalid_name', hint = 'It is one with a schema: public.<>';
    end if;
    return quote_ident(coalesce(schema[1], schema_name)) || '.' || symbol;
end
$$;
comment on function meta._operator_text(text, text) is 'An operator as it was given, with its schema: that one, if it has none.';

-- Neither operators nor functions but PostgreSQL's own: it runs by the caller's search path, by which a type is found.
create function meta._operator_given(old meta.operator, new meta.operator) returns meta.operator
language plpgsql stable
as $$
begin
    new := meta._operator_checked(old, new);
    if old is null then
        if new.left_type is not null then
            perform meta._type_given(new.left_type);
            new.left_type := meta._type_text(pg_catalog.to_regtype(new.left_type), null);
        end if;
        perform meta._type_given(new.right_type);
        new.right_type := meta._type_text(pg_catalog.to_regtype(new.right_type), null);
    end if;
    return new;
end
$$;
comment on function meta._operator_given(meta.operator, meta.operator) is 'The row as it is to be, completed and checked.';

create function meta._operator_checked(old meta.operator, new meta.operator) returns meta.operator
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.left_type := coalesce(new.left_type, (new.id).left_type);
        new.right_type := coalesce(new.right_type, (new.id).right_type);
        if new.result_type is not null then
            perform meta._refuse('what an operator gives is what its function returns', 'Leave result_type out.');
        end if;
        if new.right_type is null or new.function is null then
            raise exception 'an operator needs a right_type and a function' using errcode = 'not_null_violation';
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name.');
        if (new.name, new.left_type, new.right_type, new.result_type, new.function)
           is distinct from (old.name, old.left_type, old.right_type, old.result_type, old.function) then
            perform meta._refuse('an operator keeps its name, its types and its function', 'Drop it and make another.');
        end if;
        perform meta._flag_given(new.hashes, 'hashes'), meta._flag_given(new.merges, 'merges');
    end if;
    perform meta._name_given(new.schema_name, 'new operator''s schema'), meta._operator_name_given(new.name);
    new.function := meta._name_text(new.function);
    new.restrict_function := meta._name_text(new.restrict_function);
    new.join_function := meta._name_text(new.join_function);
    new.commutator := meta._operator_text(new.commutator, new.schema_name);
    new.negator := meta._operator_text(new.negator, new.schema_name);
    if old.commutator <> new.commutator is not false and old.commutator is not null
       or old.negator <> new.negator is not false and old.negator is not null or old.hashes and not new.hashes or old.merges and not new.merges then
        perform meta._refuse('a commutator or negator stays, and so do hashes and merges', 'Drop the operator and make another.');
    end if;
    if not old is null and current_setting('server_version_num')::int4 < 170000
       and (new.commutator, new.negator, new.hashes, new.merges) is distinct from (old.commutator, old.negator, old.hashes, old.merges) then
        perform meta._refuse('before PostgreSQL 17 a commutator, a negator, hashes and merges are not added', 'Drop the operator and make another.');
    end if;
    return new;
end
$$;
comment on function meta._operator_checked(meta.operator, meta.operator) is 'The row with its names, which may have been given as its id.';

create function meta._operator_ddl(old meta.operator, new meta.operator) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    todo text[];
    symbol constant text := coalesce(old.name, new.name);
    types constant text := case when old is null then format('(%s, %s)', coalesce(new.left_type, 'none'), new.right_type)
                                else format('(%s, %s)', coalesce(old.left_type, 'none'), old.right_type) end;
    place text := format('%I.%s %s', coalesce(old.schema_name, new.schema_name), symbol, types);
begin
    if new is null then
        return meta._again(array['drop operator ' || place]);
    end if;
    todo := array_remove(array[
        case when new.commutator is distinct from old.commutator then 'commutator = operator(' || new.commutator || ')' end,
        case when new.negator is distinct from old.negator then 'negator = operator(' || new.negator || ')' end,
        case when new.restrict_function is distinct from old.restrict_function then 'restrict = ' || coalesce(new.restrict_function, 'none') end,
        case when new.join_function is distinct from old.join_function then 'join = ' || coalesce(new.join_function, 'none') end,
        case when new.hashes and old.hashes is not true then 'hashes' end,
        case when new.merges and old.merges is not true then 'merges' end], null);
    if old is null then
        ddl := array[format('create operator %I.%s (', new.schema_name, symbol)
                     || array_to_string(array['function = ' || new.function, 'leftarg = ' || new.left_type, 'rightarg = ' || new.right_type]
                                        || todo, ', ') || ')'];
        old.schema_name := new.schema_name;
    elsif cardinality(todo) > 0 then
        ddl := array['alter operator ' || place || ' set (' || array_to_string(todo, ', ') || ')'];
    end if;
    if new.comment is distinct from old.comment then
        ddl := array_append(ddl, format('comment on operator %s is %L', place, new.comment));
    end if;
    if new.schema_name <> old.schema_name then
        ddl := array_append(ddl, format('alter operator %s set schema %I', place, new.schema_name));
        place := format('%I.%s %s', new.schema_name, symbol, types);
    end if;
    if new.owner is distinct from old.owner then
        perform meta._name_given(new.owner, 'new operator''s owner');
        ddl := array_append(ddl, format('alter operator %s owner to %I', place, new.owner));
    end if;
    return meta._again(ddl);
end
$$;
comment on function meta._operator_ddl(meta.operator, meta.operator) is 'CREATE, ALTER, DROP OPERATOR.';

create function meta._operator_now(given meta.operator) returns meta.operator
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select o.id, o.schema_name, o.name, o.left_type, o.right_type, o.result_type, o.function, o.commutator, o.negator, o.restrict_function,
           o.join_function, o.hashes, o.merges, o.owner, o.comment
    from meta._operator o
    where o.object = to_regoperator(format('%I.%s(%s,%s)', (given).schema_name, (given).name, coalesce((given).left_type, 'none'),
                                           (given).right_type))
$$;
comment on function meta._operator_now(meta.operator) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.operator for each row execute function meta._write();
