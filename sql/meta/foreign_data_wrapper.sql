-- Foreign-data wrappers and foreign servers as rows.

create function meta._option_given(options text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    option text;
begin
    foreach option in array coalesce(options, '{}') loop
        if option is null or strpos(option, '=') < 2 then
            raise exception 'an option is name=value, which "%" is not', option using errcode = 'invalid_parameter_value';
        end if;
    end loop;
end
$$;
comment on function meta._option_given(text[]) is 'An error unless each is the name of an option, an equals sign and its value.';

create function meta._foreign_options_clause(old text[], new text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    with was as (select split_part(u.option, '=', 1) as name, substr(u.option, strpos(u.option, '=') + 1) as value, u.place
                 from unnest(old) with ordinality as u(option, place)),
         is_now as (select split_part(u.option, '=', 1) as name, substr(u.option, strpos(u.option, '=') + 1) as value, u.place
                    from unnest(new) with ordinality as u(option, place)),
         change as (select format('drop %I', w.name) as change, w.place, 1 as pass from was w
                    where not exists (select from is_now i where i.name = w.name)
                    union all
                    select format('%s%I %L', case when w.name is not null then 'set ' when old is not null then 'add ' end, i.name, i.value), i.place, 2
                    from is_now i left join was w on w.name = i.name where w.value is distinct from i.value)
    select ' options (' || string_agg(c.change, ', ' order by c.pass, c.place) || ')' from change c
$$;
comment on function meta._foreign_options_clause(text[], text[]) is
    'How SQL says which options of something foreign change; NULL: none. Of what is just made the old ones are NULL.';

create view meta._foreign_data_wrapper as
select w.oid as scope, w.oid as object, meta.foreign_data_wrapper_id(w.fdwname) as id, w.fdwname::text collate "default" as name,
       meta._routine_name(w.fdwhandler) as handler, meta._routine_name(w.fdwvalidator) as validator,
       w.fdwoptions collate "default" as options, pg_get_userbyid(w.fdwowner)::text collate "default" as owner,
       obj_description(w.oid, 'pg_foreign_data_wrapper') collate "default" as comment
from pg_foreign_data_wrapper w;
comment on view meta._foreign_data_wrapper is 'meta.foreign_data_wrapper, with its oid.';

create view meta.foreign_data_wrapper as
select id, name, handler, validator, options, owner, comment from meta._foreign_data_wrapper;
comment on view meta.foreign_data_wrapper is 'Foreign-data wrappers. INSERT creates one, UPDATE alters it, DELETE drops it.';
comment on column meta.foreign_data_wrapper.id is 'Names the foreign-data wrapper.';
comment on column meta.foreign_data_wrapper.handler is 'The function by which its tables are read, without parameters; NULL: they cannot be.';
comment on column meta.foreign_data_wrapper.validator is 'The function that checks options; NULL: they are not checked.';
comment on column meta.foreign_data_wrapper.options is 'Its options: {name=value}.';
comment on column meta.foreign_data_wrapper.owner is 'Its owner, a superuser; given as NULL, who creates it.';

create function meta._foreign_data_wrapper_given(old meta.foreign_data_wrapper, new meta.foreign_data_wrapper)
returns meta.foreign_data_wrapper
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
    end if;
    perform meta._name_given(new.name, 'foreign data wrapper'), meta._option_given(new.options);
    new.handler := meta._name_text(new.handler);
    new.validator := meta._name_text(new.validator);
    return new;
end
$$;
comment on function meta._foreign_data_wrapper_given(meta.foreign_data_wrapper, meta.foreign_data_wrapper) is
    'The row as it is to be, completed and checked.';

create function meta._foreign_data_wrapper_ddl(old meta.foreign_data_wrapper, new meta.foreign_data_wrapper) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    change text := '';
begin
    if new is null then
        return array[format('drop foreign data wrapper %I', old.name)];
    end if;
    if new.handler is distinct from old.handler then
        change := coalesce(' handler ' || new.handler, ' no handler');
    end if;
    if new.validator is distinct from old.validator then
        change := change || coalesce(' validator ' || new.validator, ' no validator');
    end if;
    if old is null then
        ddl := array[format('create foreign data wrapper %I', new.name) || change
                     || coalesce(meta._foreign_options_clause(null, new.options), '')];
        old.name := new.name;
    else
        change := change || coalesce(meta._foreign_options_clause(coalesce(old.options, '{}'), new.options), '');
        if change <> '' then
            ddl := array_append(ddl, format('alter foreign data wrapper %I', old.name) || change);
        end if;
    end if;
    return ddl || meta._object_ddl('foreign data wrapper', '', array[null, old.name, old.owner, old.comment],
                                   array[null, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._foreign_data_wrapper_ddl(meta.foreign_data_wrapper, meta.foreign_data_wrapper) is
    'CREATE, ALTER, DROP FOREIGN DATA WRAPPER.';

create function meta._foreign_data_wrapper_now(given meta.foreign_data_wrapper) returns meta.foreign_data_wrapper
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select w.id, w.name, w.handler, w.validator, w.options, w.owner, w.comment
    from meta._foreign_data_wrapper w where w.name = (given).name
$$;
comment on function meta._foreign_data_wrapper_now(meta.foreign_data_wrapper) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.foreign_data_wrapper for each row execute function meta._write();

create view meta._foreign_server as
select s.oid as scope, s.oid as object, meta.foreign_server_id(s.srvname) as id, s.srvname::text collate "default" as name,
       w.fdwname::text collate "default" as foreign_data_wrapper_name, s.srvtype collate "default" as type,
       s.srvversion collate "default" as version, s.srvoptions collate "default" as options,
       pg_get_userbyid(s.srvowner)::text collate "default" as owner, obj_description(s.oid, 'pg_foreign_server') collate "default" as comment
from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw;
comment on view meta._foreign_server is 'meta.foreign_server, with its oid.';

create view meta.foreign_server as
select id, name, foreign_data_wrapper_name, type, version, options, owner, comment from meta._foreign_server;
comment on view meta.foreign_server is 'Foreign servers. INSERT creates one, UPDATE gives it another name, version, options, owner or comment, DELETE drops it.';
comment on column meta.foreign_server.id is 'Names the foreign server.';
comment on column meta.foreign_server.foreign_data_wrapper_name is 'By which foreign-data wrapper it is reached.';
comment on column meta.foreign_server.type is 'What the wrapper takes for its type, if anything.';
comment on column meta.foreign_server.version is 'What the wrapper takes for its version, if anything.';
comment on column meta.foreign_server.options is 'Its options: {host=there,port=5433}. PostgreSQL shows them to everybody: passwords belong into user mappings.';
comment on column meta.foreign_server.owner is 'Its owner; given as NULL, who creates it.';

create function meta._foreign_server_given(old meta.foreign_server, new meta.foreign_server) returns meta.foreign_server
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.name := coalesce(new.name, (new.id).name);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        if new.foreign_data_wrapper_name is distinct from old.foreign_data_wrapper_name then
            perform meta._refuse('a foreign server keeps its foreign-data wrapper', 'Drop it and make another.');
        end if;
        if new.type is distinct from old.type then
            perform meta._refuse('a foreign server keeps its type', 'Drop it and make another.');
        end if;
    end if;
    perform meta._name_given(new.name, 'foreign server'), meta._name_given(new.foreign_data_wrapper_name, 'foreign server''s wrapper'),
            meta._option_given(new.options);
    return new;
end
$$;
comment on function meta._foreign_server_given(meta.foreign_server, meta.foreign_server) is 'The row as it is to be, completed and checked.';

create function meta._foreign_server_ddl(old meta.foreign_server, new meta.foreign_server) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    change text := '';
begin
    if new is null then
        return array[format('drop server %I', old.name)];
    end if;
    if old is null then
        ddl := array[format('create server %I', new.name) || coalesce(' type ' || quote_literal(new.type), '')
                     || coalesce(' version ' || quote_literal(new.version), '')
                     || format(' foreign data wrapper %I', new.foreign_data_wrapper_name)
                     || coalesce(meta._foreign_options_clause(null, new.options), '')];
        old.name := new.name;
    else
        if new.version is distinct from old.version then
            change := format(' version %L', new.version);
        end if;
        change := change || coalesce(meta._foreign_options_clause(coalesce(old.options, '{}'), new.options), '');
        if change <> '' then
            ddl := array_append(ddl, format('alter server %I', old.name) || change);
        end if;
    end if;
    return ddl || meta._object_ddl('server', '', array[null, old.name, old.owner, old.comment], array[null, new.name, new.owner, new.comment]);
end
$$;
comment on function meta._foreign_server_ddl(meta.foreign_server, meta.foreign_server) is 'CREATE, ALTER, DROP SERVER.';

create function meta._foreign_server_now(given meta.foreign_server) returns meta.foreign_server
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.id, s.name, s.foreign_data_wrapper_name, s.type, s.version, s.options, s.owner, s.comment
    from meta._foreign_server s where s.name = (given).name
$$;
comment on function meta._foreign_server_now(meta.foreign_server) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.foreign_server for each row execute function meta._write();
