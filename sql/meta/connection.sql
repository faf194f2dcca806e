-- Connections to this database as rows.

-- What everybody may see of everybody's connections. Of which sort one is only some may see: those that replicate are known by another view.
create view meta._connection as
select a.usesysid as scope, a.usesysid as object, meta.connection_id(a.pid) as id, a.pid,
       a.datname::text collate "default" as database_name, a.usename::text collate "default" as role_name,
       a.application_name collate "default" as application_name
from pg_stat_activity a
where a.datname = current_database() and a.usesysid is not null and coalesce(a.backend_type, 'client backend') = 'client backend'
  and not exists (select from pg_stat_replication r where r.pid = a.pid);
comment on view meta._connection is 'meta.connection, with its role''s oid.';

create view meta.connection as
select c.id, c.pid, c.database_name, c.role_name, c.application_name, a.backend_start as started_at, a.client_addr as client_address,
       a.state collate "default" as state, nullif(a.query, '<insufficient privilege>') collate "default" as query
from meta._connection c join pg_stat_activity a on a.pid = c.pid;
comment on view meta.connection is 'Connections of clients to this database. DELETE ends one; INSERT and UPDATE are refused.';
comment on column meta.connection.id is 'Names the connection.';
comment on column meta.connection.pid is 'The process id of its server process.';
comment on column meta.connection.application_name is 'What the client calls itself.';
comment on column meta.connection.started_at is 'Since when; as what follows NULL to who may not see it: of other roles'' connections pg_read_all_stats may.';
comment on column meta.connection.client_address is 'Where it comes from; NULL: from this machine''s own socket.';
comment on column meta.connection.state is 'active, idle, idle in transaction, ...';
comment on column meta.connection.query is 'What it does, or did last.';

create function meta._connection_given(old meta.connection, new meta.connection) returns meta.connection
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        perform meta._refuse('a connection is made by a client', 'Connect.');
    end if;
    perform meta._refuse('a connection is altered by its client alone', 'Delete it to end it.');
    return null;
end
$$;
comment on function meta._connection_given(meta.connection, meta.connection) is 'An error: connections are neither made nor altered here.';

create function meta._connection_ddl(old meta.connection, new meta.connection) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select array[format('select pg_catalog.pg_terminate_backend(%s)', (old).pid)] $$;
comment on function meta._connection_ddl(meta.connection, meta.connection) is 'What ends a connection.';

create function meta._connection_now(given meta.connection) returns meta.connection
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.pid, c.database_name, c.role_name, c.application_name, c.started_at, c.client_address, c.state, c.query
    from meta.connection c where c.pid = (given).pid
$$;
comment on function meta._connection_now(meta.connection) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.connection for each row execute function meta._write();
