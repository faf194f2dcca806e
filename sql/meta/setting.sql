-- The settings that connections start with as rows: those of this database, of roles, of roles in this database, and of all of them.

create view meta._setting as
select s.oid as scope, s.oid as object, meta.setting_id(s.database_name, s.role_name, s.name) as id,
       s.database_name, s.role_name, s.name, s.value
from (
    select coalesce(nullif(s.setrole, 0), s.setdatabase) as oid,
           case when s.setdatabase <> 0 then d.datname::text end collate "default" as database_name,
           case when s.setrole <> 0 then pg_get_userbyid(s.setrole)::text end collate "default" as role_name,
           split_part(u.setting, '=', 1) collate "default" as name,
           substr(u.setting, strpos(u.setting, '=') + 1) collate "default" as value
    from pg_db_role_setting s
    cross join pg_database d cross join unnest(s.setconfig) as u(setting)
    where d.datname = current_database() and s.setdatabase in (0, d.oid)) s;
comment on view meta._setting is 'meta.setting, with the oid of its role, or else of its database.';

create view meta.setting as
select id, database_name, role_name, name, value from meta._setting;
comment on view meta.setting is 'What connections start with: settings of this database, of roles, of roles in this database, of all. INSERT sets one, UPDATE gives it another value, DELETE resets it.';
comment on column meta.setting.id is 'Names the setting.';
comment on column meta.setting.database_name is 'The database, which is this one; NULL: in all databases.';
comment on column meta.setting.role_name is 'The role; NULL: for all roles.';
comment on column meta.setting.name is 'Its name: work_mem, search_path, ...';
comment on column meta.setting.value is 'Its value, as SHOW would say it. In a list of names (search_path) each is quoted like an identifier where it has to be.';

create function meta._setting_given(old meta.setting, new meta.setting) returns meta.setting
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.database_name := coalesce(new.database_name, (new.id).database_name);
        new.role_name := coalesce(new.role_name, (new.id).role_name);
        new.name := coalesce(new.name, (new.id).name);
        if new.database_name <> current_database() then
            perform meta._refuse('the settings of another database are not shown here', 'Connect to it.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Delete the setting, and insert another.');
        if (new.database_name, new.role_name, new.name) is distinct from (old.database_name, old.role_name, old.name) then
            perform meta._refuse('a setting stays the one that it is', 'Delete it, and insert another.');
        end if;
    end if;
    perform meta._name_given(new.name, 'setting');
    if new.value is null then
        raise exception 'a setting needs a value' using errcode = 'not_null_violation', hint = 'Delete it, and PostgreSQL''s own is in force.';
    end if;
    return new;
end
$$;
comment on function meta._setting_given(meta.setting, meta.setting) is 'The row as it is to be, completed and checked.';

-- These few are lists of which SET quotes each item, as identifiers are; their value is such a text already. Of the first two what is not
-- quoted is in small letters, as an identifier is.
create function meta._setting_clause(name text, value text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    item constant text := '("(?:[^"]|"")*"|[^[:space:],"]+)';
begin
    if lower(name) not in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries', 'shared_preload_libraries',
                           'unix_socket_directories') or value ~ '^[[:space:]]*$' then
        return quote_literal(value);
    end if;
    if value !~ ('^[[:space:]]*' || item || '([[:space:]]*,[[:space:]]*' || item || ')*[[:space:]]*$') then
        raise exception '% is a list of names', name
            using errcode = 'invalid_parameter_value', hint = 'Between commas; what is more than a plain name stands in double quotes.';
    end if;
    return (select string_agg(quote_literal(case when m.part[1] like '"%' then replace(substr(m.part[1], 2, length(m.part[1]) - 2), '""', '"')
                                                 when lower(name) in ('search_path', 'temp_tablespaces') then lower(m.part[1])
                                                 else m.part[1] end), ', ' order by m.place)
            from regexp_matches(value, item, 'g') with ordinality as m(part, place));
end
$$;
comment on function meta._setting_clause(text, text) is 'How SQL says the value of a setting.';

create function meta._setting_ddl(old meta.setting, new meta.setting) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant meta.setting := case when new is null then old else new end;
    place constant text := case when given.role_name is null and given.database_name is not null then format('alter database %I', given.database_name)
        else 'alter role ' || coalesce(quote_ident(given.role_name), 'all') || coalesce(' in database ' || quote_ident(given.database_name), '') end;
begin
    if new is null then
        return array[place || format(' reset %I', given.name)];
    end if;
    if new.value is distinct from old.value then
        return array[place || format(' set %I to ', given.name) || meta._setting_clause(given.name, given.value)];
    end if;
    return '{}';
end
$$;
comment on function meta._setting_ddl(meta.setting, meta.setting) is 'ALTER DATABASE and ALTER ROLE, SET and RESET.';

-- PostgreSQL writes a name in its own way: DateStyle.
create function meta._setting_now(given meta.setting) returns meta.setting
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.id, s.database_name, s.role_name, s.name, s.value
    from meta._setting s
    where s.database_name is not distinct from (given).database_name and s.role_name is not distinct from (given).role_name
      and lower(s.name) = lower((given).name)
    order by s.name = (given).name desc limit 1
$$;
comment on function meta._setting_now(meta.setting) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.setting for each row execute function meta._write();
