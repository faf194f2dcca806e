-- Row-level security policies as rows, and the roles that they apply to. Whether they apply at all is in meta.table.

create view meta._policy as
select p.polrelid as scope, p.oid as object, meta.policy_id(n.nspname, c.relname, p.polname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       p.polname::text collate "default" as name,
       case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' end as command,
       p.polpermissive as permissive,
       array(select case when u.role = 0 then 'public' else pg_get_userbyid(u.role)::text end collate "default"
             from unnest(p.polroles) with ordinality as u(role, place) order by u.place) as roles,
       meta._expression_text(p.polqual, p.polrelid) collate "default" as using_expression,
       meta._expression_text(p.polwithcheck, p.polrelid) collate "default" as check_expression,
       obj_description(p.oid, 'pg_policy') collate "default" as comment
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where meta._is_shown(n.oid);
comment on view meta._policy is 'meta.policy, with its table''s oid and its own.';

create view meta.policy as
select id, schema_name, relation_name, name, command, permissive, roles, using_expression, check_expression, comment from meta._policy;
comment on view meta.policy is 'Row-level security policies of tables. INSERT creates one, UPDATE alters it, DELETE drops it. They are in force where meta.table has row_security.';
comment on column meta.policy.id is 'Names the policy.';
comment on column meta.policy.command is 'What it is about: all, select, insert, update or delete; given as NULL, all.';
comment on column meta.policy.permissive is 'Whether it allows what no other policy does; one that is not forbids what others allow. Given as NULL, true.';
comment on column meta.policy.roles is 'The roles that it applies to; {public}, or given as NULL: to every role.';
comment on column meta.policy.using_expression is 'Which rows there are to be seen, updated, deleted: an expression, which is taken as SQL.';
comment on column meta.policy.check_expression is 'Which rows may come to be: an expression, which is taken as SQL; NULL: those of using_expression.';

create function meta._policy_given(old meta.policy, new meta.policy) returns meta.policy
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.command := coalesce(new.command, 'all');
        new.permissive := coalesce(new.permissive, true);
        new.roles := coalesce(new.roles, '{public}');
        if new.command not in ('all', 'select', 'insert', 'update', 'delete') then
            raise exception 'a policy is not about "%"', new.command
                using errcode = 'invalid_parameter_value', hint = 'command is all, select, insert, update or delete.';
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        if (new.schema_name, new.relation_name) is distinct from (old.schema_name, old.relation_name) then
            perform meta._refuse('a policy stays with its table', 'Delete it, and insert one for the other table. To move or rename the table update meta.table.');
        end if;
        if (new.command, new.permissive) is distinct from (old.command, old.permissive) then
            perform meta._refuse('a policy stays about its command, and permissive or not', 'Delete it, and insert another.');
        end if;
        if new.using_expression is null and old.using_expression is not null
           or new.check_expression is null and old.check_expression is not null then
            perform meta._refuse('a policy keeps an expression of each sort that it has', 'Give another, or delete the policy and insert one without it.');
        end if;
    end if;
    if coalesce(cardinality(new.roles), 0) = 0 or array_position(new.roles, null) is not null then
        raise exception 'a policy applies to roles' using errcode = 'not_null_violation', hint = 'Every role is {public}.';
    end if;
    -- PostgreSQL would leave the others aside, with no more than a warning
    if 'public' = any (new.roles) and cardinality(new.roles) > 1 then
        raise exception 'a policy for every role names no others' using errcode = 'invalid_parameter_value', hint = 'Every role is {public}.';
    end if;
    perform meta._name_given(new.schema_name, 'policy''s schema'), meta._name_given(new.relation_name, 'policy''s table'),
            meta._name_given(new.name, 'policy');
    return new;
end
$$;
comment on function meta._policy_given(meta.policy, meta.policy) is 'The row as it is to be, completed and checked.';

create function meta._roles_clause(roles text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select ' to ' || string_agg(quote_ident(u.role), ', ' order by u.place) from unnest(roles) with ordinality as u(role, place) $$;
comment on function meta._roles_clause(text[]) is 'How SQL says the roles that a policy applies to.';

create function meta._policy_ddl(old meta.policy, new meta.policy) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
    different text;
begin
    if new is null then
        return array[format('drop policy %I on %s', old.name, place)];
    end if;
    different := concat(case when new.roles is distinct from old.roles then meta._roles_clause(new.roles) end,
                        case when new.using_expression is distinct from old.using_expression then ' using (' || new.using_expression || E'\n)' end,
                        case when new.check_expression is distinct from old.check_expression then ' with check (' || new.check_expression || E'\n)' end);
    if old is null then
        ddl := array[format('create policy %I on %s', new.name, place) || case when new.permissive then '' else ' as restrictive' end
                     || ' for ' || new.command || different];
        old.name := new.name;
    elsif different <> '' then
        ddl := array[format('alter policy %I on %s', old.name, place) || different];
    end if;
    return ddl || meta._part_ddl('policy', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._policy_ddl(meta.policy, meta.policy) is 'CREATE, ALTER, DROP POLICY.';

create function meta._policy_now(given meta.policy) returns meta.policy
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.schema_name, p.relation_name, p.name, p.command, p.permissive, p.roles, p.using_expression, p.check_expression, p.comment
    from meta._policy p
    where p.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) and p.name = (given).name
$$;
comment on function meta._policy_now(meta.policy) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.policy for each row execute function meta._write();

-- A role may have been named twice.
create view meta._policy_role as
select p.polrelid as scope, p.oid as object, meta.policy_role_id(n.nspname, c.relname, p.polname, u.role_name) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       p.polname::text collate "default" as policy_name, u.role_name
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
cross join lateral (select distinct case when r.role = 0 then 'public' else pg_get_userbyid(r.role)::text end collate "default" as role_name
                    from unnest(p.polroles) as r(role)) u
where meta._is_shown(n.oid);
comment on view meta._policy_role is 'meta.policy_role, with its table''s and its policy''s oid.';

create view meta.policy_role as
select id, schema_name, relation_name, policy_name, role_name from meta._policy_role;
comment on view meta.policy_role is 'The roles that policies apply to. INSERT adds one, DELETE takes one away, but not the last.';
comment on column meta.policy_role.id is 'Names the role of the policy.';
comment on column meta.policy_role.role_name is 'The role; public: every role, and no others beside it.';

create function meta._policy_role_given(old meta.policy_role, new meta.policy_role) returns meta.policy_role
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((((new.id).policy_id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, (((new.id).policy_id).relation_id).name);
        new.policy_name := coalesce(new.policy_name, ((new.id).policy_id).name);
        new.role_name := coalesce(new.role_name, ((new.id).role_id).name);
    elsif new is distinct from old then
        perform meta._refuse('a role of a policy has nothing beside its names', 'Insert another and delete this one, or update meta.policy''s roles.');
    end if;
    perform meta._name_given(new.schema_name, 'policy''s schema'), meta._name_given(new.relation_name, 'policy''s table'),
            meta._name_given(new.policy_name, 'policy'), meta._name_given(new.role_name, 'policy''s role');
    return new;
end
$$;
comment on function meta._policy_role_given(meta.policy_role, meta.policy_role) is 'The row as it is to be, completed and checked.';

create function meta._policy_role_ddl(old meta.policy_role, new meta.policy_role) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant meta.policy_role := case when new is null then old else new end;
    place constant text := format('%I.%I', given.schema_name, given.relation_name);
    there text[];
    roles text[];
begin
    select p.roles into there from meta._policy p where p.scope = to_regclass(place) and p.name = given.policy_name;
    if new is null then
        roles := array_remove(there, given.role_name);
        if roles = '{}' then
            perform meta._refuse('a policy applies to some role', 'Delete the policy, or update its roles to {public}.');
        end if;
    elsif given.role_name = any (there) then
        return '{}';
    elsif given.role_name = 'public' or 'public' = any (there) then
        perform meta._refuse('a policy for every role names no others', 'Update meta.policy''s roles.');
    else
        -- of a policy that is not there PostgreSQL says so
        roles := there || given.role_name;
    end if;
    return array[format('alter policy %I on %s', given.policy_name, place) || meta._roles_clause(roles)];
end
$$;
comment on function meta._policy_role_ddl(meta.policy_role, meta.policy_role) is 'ALTER POLICY with one role more or less.';

create function meta._policy_role_now(given meta.policy_role) returns meta.policy_role
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.schema_name, p.relation_name, p.policy_name, p.role_name
    from meta._policy_role p
    where p.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name))
      and p.policy_name = (given).policy_name and p.role_name = (given).role_name
$$;
comment on function meta._policy_role_now(meta.policy_role) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.policy_role for each row execute function meta._write();
