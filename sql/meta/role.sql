-- Roles as rows, and who is a member of whom. They are all databases'.

create view meta._role as
select r.oid as scope, r.oid as object, meta.role_id(r.rolname) as id, r.rolname::text collate "default" as name,
       r.rolsuper as superuser, r.rolinherit as inherit, r.rolcreaterole as create_role, r.rolcreatedb as create_db,
       r.rolcanlogin as can_login, r.rolreplication as replication, r.rolbypassrls as bypass_rls, r.rolconnlimit as connection_limit,
       r.rolvaliduntil as valid_until, shobj_description(r.oid, 'pg_authid') collate "default" as comment
from pg_roles r
where r.rolname !~ '^pg_';
comment on view meta._role is 'meta.role, with its oid.';

create view meta.role as
select id, name, superuser, inherit, create_role, create_db, can_login, replication, bypass_rls, connection_limit,
       null::text as password, valid_until, comment
from meta._role;
comment on view meta.role is 'Roles, of all databases, but for PostgreSQL''s own. INSERT creates one, UPDATE alters or renames it, DELETE drops it if nothing is its own and nothing is granted to it.';
comment on column meta.role.id is 'Names the role.';
comment on column meta.role.inherit is 'Whether it has the privileges of the roles that it is a member of; from 16 on, whether a new membership passes them on.';
comment on column meta.role.connection_limit is 'How many connections it may have at a time; -1: any number.';
comment on column meta.role.password is 'Always NULL. INSERT and UPDATE give the role this password; an empty one takes it away.';
comment on column meta.role.valid_until is 'Until when its password is good. Once there is a time it can be infinity, but not NULL again.';

create function meta._role_given(old meta.role, new meta.role) returns meta.role
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        perform meta._flag_given(new.superuser, 'superuser'), meta._flag_given(new.inherit, 'inherit'),
                meta._flag_given(new.create_role, 'create_role'), meta._flag_given(new.create_db, 'create_db'),
                meta._flag_given(new.can_login, 'can_login'), meta._flag_given(new.replication, 'replication'),
                meta._flag_given(new.bypass_rls, 'bypass_rls');
        if new.connection_limit is null then
            raise exception 'connection_limit is a number' using errcode = 'not_null_violation', hint = 'Any number of connections is -1.';
        end if;
        if new.valid_until is null and old.valid_until is not null then
            perform meta._refuse('a role that was valid until some time stays so', 'Update valid_until to infinity.');
        end if;
    end if;
    perform meta._name_given(new.name, 'role');
    return new;
end
$$;
comment on function meta._role_given(meta.role, meta.role) is 'The row as it is to be, completed and checked.';

-- The time is written in the one way that is read the same under every setting.
create function meta._role_options(old meta.role, new meta.role) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set timezone = 'UTC'
as $$
    select nullif(concat(
        (select string_agg(case when o.to_be then ' ' else ' no' end || o.word, '' order by o.place)
         from (values (1, (old).superuser, (new).superuser, 'superuser'), (2, (old).inherit, (new).inherit, 'inherit'),
                      (3, (old).create_role, (new).create_role, 'createrole'), (4, (old).create_db, (new).create_db, 'createdb'),
                      (5, (old).can_login, (new).can_login, 'login'), (6, (old).replication, (new).replication, 'replication'),
                      (7, (old).bypass_rls, (new).bypass_rls, 'bypassrls')) as o(place, was, to_be, word)
         where o.to_be is not null and o.to_be is distinct from o.was),
        case when (new).connection_limit is distinct from (old).connection_limit then ' connection limit ' || (new).connection_limit end,
        case when (new).valid_until is distinct from (old).valid_until then ' valid until ' || quote_literal((new).valid_until) end), '')
$$;
comment on function meta._role_options(meta.role, meta.role) is 'How SQL says what is to be different about a role, but for its password; NULL: nothing.';

create function meta._role_ddl(old meta.role, new meta.role) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    options constant text := meta._role_options(old, new);
begin
    if new is null then
        return array[format('drop role %I', old.name)];
    end if;
    if old is null then
        ddl := array[format('create role %I', new.name) || coalesce(options, '')];
        old.name := new.name;
    elsif options is not null then
        ddl := array[format('alter role %I', old.name) || options];
    end if;
    ddl := ddl || meta._object_ddl('role', '', array[null, old.name, null, old.comment], array[null, new.name, null, new.comment]);
    -- last: an md5 one is lost by a rename
    if new.password is not null then
        ddl := array_append(ddl, format('alter role %I password %L', new.name, nullif(new.password, '')));
    end if;
    return ddl;
end
$$;
comment on function meta._role_ddl(meta.role, meta.role) is 'CREATE, ALTER, DROP ROLE.';

create function meta._role_now(given meta.role) returns meta.role
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.id, r.name, r.superuser, r.inherit, r.create_role, r.create_db, r.can_login, r.replication, r.bypass_rls, r.connection_limit,
           null::text, r.valid_until, r.comment
    from meta._role r where r.object = to_regrole(quote_ident((given).name))
$$;
comment on function meta._role_now(meta.role) is 'The row as it is.';

-- As meta._write(), but that an error tells nothing of the statement, nor does a warning: the password is in it. Here is nothing that would have
-- to be found by the caller's search path.
create function meta._write_role() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    given meta.role;
    given_id text;
    statement text;
    warnings constant text := current_setting('md5_password_warnings', true);
    code text;
    what text;
    detail text;
    advice text;
begin
    if tg_op = 'DELETE' then
        foreach statement in array meta._role_ddl(old, null) loop
            execute statement;
        end loop;
        return old;
    end if;
    given := case when tg_op = 'UPDATE' then meta._role_given(old, new) else meta._role_given(null, new) end;
    begin
        if warnings = 'on' then
            perform set_config('md5_password_warnings', 'off', true);
        end if;
        foreach statement in array meta._role_ddl(case when tg_op = 'UPDATE' then old end, given) loop
            execute statement;
        end loop;
        if warnings = 'on' then
            perform set_config('md5_password_warnings', 'on', true);
        end if;
    exception when others or query_canceled then
        if given.password is null then
            raise;
        end if;
        get stacked diagnostics code = returned_sqlstate, what = message_text, detail = pg_exception_detail, advice = pg_exception_hint;
        if detail = '' and advice = '' then
            raise exception using errcode = code, message = what;
        end if;
        raise exception using errcode = code, message = what, detail = concat_ws(' ', nullif(detail, ''), nullif(advice, ''));
    end;
    given_id := case when tg_op = 'INSERT' then new.id::text end;
    new := meta._role_now(given);
    perform meta._id_met(given_id, new.id::text);
    return new;
end
$$;
comment on function meta._write_role() is 'Does what is written to meta.role.';

create trigger write instead of insert or update or delete on meta.role for each row execute function meta._write_role();

-- From 16 on several may have granted the same: it holds what one of them gave.
create view meta._role_inheritance as
select m.roleid as scope, m.roleid as object,
       meta.role_inheritance_id(pg_get_userbyid(m.roleid)::text, pg_get_userbyid(m.member)::text) as id,
       pg_get_userbyid(m.roleid)::text collate "default" as role_name, pg_get_userbyid(m.member)::text collate "default" as member_name,
       bool_or(m.admin_option) as admin, bool_or((to_jsonb(m) ->> 'inherit_option')::boolean) as inherit_option,
       bool_or((to_jsonb(m) ->> 'set_option')::boolean) as set_option
from pg_auth_members m
where pg_get_userbyid(m.member) !~ '^pg_'
group by m.roleid, m.member;
comment on view meta._role_inheritance is 'meta.role_inheritance, with the role''s oid.';

create view meta.role_inheritance as
select id, role_name, member_name, admin, inherit_option, set_option from meta._role_inheritance;
comment on view meta.role_inheritance is 'Which role is a member of which, also of PostgreSQL''s own ones (pg_monitor). INSERT grants a membership, UPDATE gives or takes its options, DELETE revokes it.';
comment on column meta.role_inheritance.id is 'Names the membership.';
comment on column meta.role_inheritance.role_name is 'The role that there are members of.';
comment on column meta.role_inheritance.member_name is 'Its member.';
comment on column meta.role_inheritance.admin is 'Whether the member may make others members.';
comment on column meta.role_inheritance.inherit_option is 'Whether the member has the role''s privileges by itself (16; NULL before: its meta.role.inherit says so).';
comment on column meta.role_inheritance.set_option is 'Whether the member may set role to it (16; NULL before: it may).';

create function meta._role_inheritance_given(old meta.role_inheritance, new meta.role_inheritance) returns meta.role_inheritance
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.role_name := coalesce(new.role_name, ((new.id).role_id).name);
        new.member_name := coalesce(new.member_name, ((new.id).member_id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Delete the membership, and insert another.');
        perform meta._flag_given(new.admin, 'admin');
        if (new.role_name, new.member_name) is distinct from (old.role_name, old.member_name) then
            perform meta._refuse('a membership stays one of its member in its role', 'Delete it, and insert another.');
        end if;
    end if;
    if current_setting('server_version_num')::integer < 160000 then
        if new.inherit_option is not null or new.set_option is not null then
            perform meta._refuse('before PostgreSQL 16 a membership has no inherit_option and no set_option', 'Leave them out. meta.role has inherit.');
        end if;
    elsif not (old is null) then
        perform meta._flag_given(new.inherit_option, 'inherit_option'), meta._flag_given(new.set_option, 'set_option');
    end if;
    perform meta._name_given(new.role_name, 'membership''s role'), meta._name_given(new.member_name, 'membership''s member');
    return new;
end
$$;
comment on function meta._role_inheritance_given(meta.role_inheritance, meta.role_inheritance) is 'The row as it is to be, completed and checked.';

create function meta._role_inheritance_ddl(old meta.role_inheritance, new meta.role_inheritance) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    membership constant text := format('%I to %I', coalesce(old.role_name, new.role_name), coalesce(old.member_name, new.member_name));
    revoked constant text := format('%I from %I', coalesce(old.role_name, new.role_name), coalesce(old.member_name, new.member_name));
    options text;
    granted record;
    granted_by text;
begin
    if old is null then
        -- the words for the other options are there from 16 on
        options := concat_ws(', ', case when new.admin then 'admin option' end, 'inherit ' || new.inherit_option, 'set ' || new.set_option);
        return array['grant ' || membership || coalesce(' with ' || nullif(options, ''), '')];
    end if;
    for granted in
        select m.admin_option as admin, (to_jsonb(m) ->> 'inherit_option')::boolean as inherits, (to_jsonb(m) ->> 'set_option')::boolean as sets,
               g.rolname as grantor
        from pg_auth_members m left join pg_roles g on g.oid = m.grantor
        where m.roleid = to_regrole(quote_ident(old.role_name)) and m.member = to_regrole(quote_ident(old.member_name))
        order by m.grantor loop
        -- before 16 there is one, whoever it was granted by
        granted_by := case when granted.sets is not null then ' granted by ' || quote_ident(granted.grantor) else '' end;
        if new is null then
            ddl := array_append(ddl, 'revoke ' || revoked || granted_by);
        else
            if granted.admin and not new.admin then
                ddl := array_append(ddl, 'revoke admin option for ' || revoked || granted_by);
            end if;
            options := concat_ws(', ', case when new.admin and not old.admin then 'admin option' end,
                                 case when new.inherit_option <> old.inherit_option and new.inherit_option <> granted.inherits then 'inherit ' || new.inherit_option end,
                                 case when new.set_option <> old.set_option and new.set_option <> granted.sets then 'set ' || new.set_option end);
            if options <> '' then
                ddl := array_append(ddl, 'grant ' || membership || ' with ' || options || granted_by);
            end if;
        end if;
    end loop;
    return ddl;
end
$$;
comment on function meta._role_inheritance_ddl(meta.role_inheritance, meta.role_inheritance) is 'GRANT and REVOKE of a role.';

create function meta._role_inheritance_now(given meta.role_inheritance) returns meta.role_inheritance
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select i.id, i.role_name, i.member_name, i.admin, i.inherit_option, i.set_option
    from meta._role_inheritance i
    where i.scope = to_regrole(quote_ident((given).role_name)) and i.member_name = (given).member_name
$$;
comment on function meta._role_inheritance_now(meta.role_inheritance) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.role_inheritance for each row execute function meta._write();
