-- Sessions: inboxes that outlive connections.

create table event.session (
    id uuid primary key default gen_random_uuid(),
    name text check (name <> ''),
    owner regrole not null,
    durable boolean not null,
    pinned boolean not null,
    shared_with regrole[] not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    attached_at timestamptz
);
create unique index session_owner_name on event.session (owner, name);
comment on table event.session is 'One row a session. A role sees its own and those shared with it.';
comment on column event.session.name is 'A name of the owner''s choice, by which session_create finds it again.';
comment on column event.session.owner is 'The role whose privileges decide what the session may be told.';
comment on column event.session.durable is 'True: events are kept in the inbox until acknowledged. False: they are only sent.';
comment on column event.session.pinned is 'True: the session is deleted when no connection holds it any more.';
comment on column event.session.shared_with is 'Other roles that may attach, read, acknowledge and subscribe.';
comment on column event.session.attached_at is 'When a connection last attached.';

create function event._may_use(who oid, owner regrole, shared_with regrole[]) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(pg_has_role(who, owner, 'usage'), false)
        or exists (select from unnest(shared_with) as u(shared) where pg_has_role(who, shared, 'usage'))
$$;
comment on function event._may_use(oid, regrole, regrole[]) is 'Whether a role may use a session of this owner, shared with these roles.';

create function event._session(caller oid, session uuid) returns event.session
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_session event.session;
    current_session constant text := current_setting('event.current_session', true);
begin
    if session is null and coalesce(current_session, '') = '' then
        raise exception 'this connection has no current session'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Call event.session_create() or event.session_attach(session) first, or name the session in each call, as through a pooler. A connection that sends no setting at its start (an application_name, say) is taken for a pooler''s.';
    end if;
    session := coalesce(session, current_session::uuid);
    select * into found_session from event.session s where s.id = session;
    if not found then
        raise exception 'session "%" does not exist', session
            using errcode = 'undefined_object', hint = 'Create one with event.session_create().';
    end if;
    if not event._may_use(caller, found_session.owner, found_session.shared_with) then
        raise exception 'permission denied for session "%"', session
            using errcode = 'insufficient_privilege',
                  hint = 'Its owner can let you in: select event.session_share(session, role).';
    end if;
    return found_session;
end
$$;
comment on function event._session(oid, uuid) is 'The session, or the current one for NULL; an error unless the caller may use it.';

create function event._owned_session(caller oid, session uuid) returns event.session
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_session constant event.session := event._session(caller, session);
begin
    if not pg_has_role(caller, found_session.owner, 'usage') then
        raise exception 'must be owner of session "%"', found_session.id using errcode = 'insufficient_privilege';
    end if;
    return found_session;
end
$$;
comment on function event._owned_session(oid, uuid) is 'The session; an error unless the caller is its owner.';

-- A session of PostgreSQL's is there until its connection closes, however that ends. No lock says so: every role can hold an advisory
-- lock, and whoever attaches would wait for it.
create table event.held (
    session_id uuid references event.session on delete cascade,
    pid integer,
    role oid not null,
    started timestamptz,
    primary key (session_id, pid)
);
comment on table event.held is 'The connections that hold pinned sessions, each by its process. A row counts while that process is there; upkeep removes it then.';
comment on column event.held.role is 'The role that logged in; with the start it tells the process from a later one of the same number.';
comment on column event.held.started is 'NULL where Tidewire''s own role may not know.';

create function event._hold(session uuid) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into event.held (session_id, pid, role, started)
    select _hold.session, a.pid, a.usesysid, a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()
    on conflict (session_id, pid) do update set role = excluded.role, started = excluded.started
$$;
comment on function event._hold(uuid) is 'Marks the session as held by this connection until it closes.';

-- Behind a pooler each transaction of a client may run on another connection, and each connection
-- serves all clients. The server cannot see that. But a pooler does not pass on what a client sets
-- in its startup message: a setting that came with the startup of this connection came from the
-- client itself. Where there is none, the client can say so.
create function event._is_own_connection() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    said constant text := nullif(current_setting('event.own_connection', true), '');
begin
    if said is null then
        -- what was set again since has the startup's value to go back to; of application_name that is nothing but the client's
        return exists (select from pg_settings where source = 'client' or source = 'session' and name = 'application_name' and reset_val <> '');
    end if;
    return said::boolean;
exception when invalid_text_representation then
    raise exception 'invalid value for parameter "event.own_connection": "%"', left(said, 100)
        using errcode = 'invalid_parameter_value', hint = 'It is on or off.';
end
$$;
comment on function event._is_own_connection() is
    'Whether this connection is known to be the client''s alone: by a setting in its startup message, or by event.own_connection.';

create function event._check_own_connection() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not event._is_own_connection() then
        raise exception 'this connection is not known to be the client''s own'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'Behind a pooler, what the session sends would reach other clients, '
                      'and the connection can end at any time.',
                  hint = 'Through a pooler, name a durable session in each call and read it with event.read(session). '
                      'Without one, connect with an application_name, or: set event.own_connection = on.';
    end if;
end
$$;
comment on function event._check_own_connection() is 'An error unless event._is_own_connection().';

create function event._session_create(caller oid, name text, durable boolean) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    created event.session;
begin
    if _session_create.durable is null then
        raise exception 'durable must be true or false' using errcode = 'null_value_not_allowed';
    end if;
    if _session_create.name = '' or octet_length(_session_create.name) > 200 then
        raise exception 'a session''s name has 1 to 200 bytes' using errcode = 'invalid_parameter_value';
    end if;
    if _session_create.name is null
       or not exists (select from event.session s where s.owner = _session_create.caller and s.name = _session_create.name) then
        perform event._check_sessions(_session_create.caller);
    end if;
    insert into event.session as s (name, owner, durable, pinned)
    values (_session_create.name, _session_create.caller, _session_create.durable, not _session_create.durable)
    on conflict (owner, name) do update set name = excluded.name
    returning s.* into created;
    if created.durable <> _session_create.durable then
        raise exception 'session "%" exists and is %', _session_create.name,
                case when created.durable then 'durable' else 'not durable' end
            using errcode = 'duplicate_object',
                  hint = 'Choose another name, or delete it with event.session_delete(session).';
    end if;
    if created.pinned or event._is_own_connection() then
        perform event._session_attach(_session_create.caller, created.id);
    else
        perform set_config('event.current_session', created.id::text, true);
        raise notice 'the session is current in this transaction alone, and is not attached'
            using detail = 'The connection is not known to be the client''s own: it may be a pooler''s.',
                  hint = 'Name the session in each call. Without a pooler, connect with an application_name, '
                      'or: set event.own_connection = on.';
    end if;
    return created.id;
end
$$;
comment on function event._session_create(oid, text, boolean) is 'event.session_create for a caller.';

create function event.session_create(name text default null, durable boolean default true) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    created uuid;
begin
    insert into event._call (command, name, durable)
    values ('session_create', session_create.name, session_create.durable) returning result into created;
    return created;
end
$$;
comment on function event.session_create(text, boolean) is
    'Creates a session, attaches this connection and makes the session current. With a name that the caller has used before: attaches to that session. On a connection that may be a pooler''s it does not attach, and the session is current until the transaction ends.';

create function event._session_attach(caller oid, session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    attached event.session := event._session(caller, session);
    -- What one attach sends at most, by the caller's own backend: a thousandth of PostgreSQL's queue of notifications (8 GB).
    max_events constant bigint := 10000;
    max_bytes constant bigint := 8388608;
    seen text collate "C" := '';
    held record;
    waiting record;
begin
    perform event._check_own_connection();
    -- waits for a transaction that deletes the session or pins it
    update event.session s set attached_at = clock_timestamp() where s.id = attached.id returning s.* into attached;
    if not found then
        raise exception 'session "%" does not exist', session
            using errcode = 'undefined_object', hint = 'Create one with event.session_create().';
    end if;
    execute format('listen %I', attached.id);
    perform set_config('event.current_session', attached.id::text, false);
    if attached.pinned then
        perform event._hold(attached.id);
    end if;
    -- a full queue would fail this; the engine reports what is left out
    if pg_notification_queue_usage() < 0.5 then
        select count(*) as events, sum(least(i.bytes, 7999)) as bytes, min(i.id) as first_id into held
        from (select i.id, i.bytes from event.inbox i where i.session_id = attached.id order by i.id limit max_events + 1) i;
        if held.events > max_events or held.bytes > max_bytes then
            select max(i.id) into seen from event.inbox i where i.session_id = attached.id;
            perform pg_notify(attached.id::text, event._skipped(held.first_id, seen));
        else
            for waiting in
                select i.id, event._notification(j, i.kind, i.visible, 7999) as payload
                from event.inbox i join event.journal j on j.id = i.id
                where i.session_id = attached.id
                order by i.id
            loop
                perform pg_notify(attached.id::text, waiting.payload);
                seen := waiting.id;
            end loop;
        end if;
    end if;
    -- What was stored between the query above and the moment that this LISTEN takes effect (the commit) is sent by the
    -- engine, when it sees this message in the WAL.
    perform pg_logical_emit_message(true, 'tidewire', json_build_object('attach', attached.id, 'seen', seen)::text);
end
$$;
comment on function event._session_attach(oid, uuid) is 'event.session_attach for a caller.';

create function event.session_attach(session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, session) values ('session_attach', session_attach.session);
end
$$;
comment on function event.session_attach(uuid) is
    'Listens on the channel named by the session''s id, makes the session current, and sends again, in order, what its inbox still holds. Of more than 10,000 events or 8 MB it sends one gap (notifications_skipped) instead: then read the inbox with event.read.';

create function event.session_detach(session uuid default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    detached uuid;
begin
    insert into event._call (command, session) values ('session_detach', session_detach.session) returning result into detached;
    execute format('unlisten %I', detached);
    if current_setting('event.current_session', true) = detached::text then
        perform set_config('event.current_session', '', false);
    end if;
end
$$;
comment on function event.session_detach(uuid) is 'Stops listening. The inbox keeps filling; attach again to get what was missed.';

create function event._session_delete(caller oid, session uuid) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted constant event.session := event._owned_session(caller, session);
begin
    perform event._delete_session(deleted.id);
    return deleted.id;
end
$$;
comment on function event._session_delete(oid, uuid) is 'event.session_delete for a caller.';

create function event.session_delete(session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted uuid;
begin
    insert into event._call (command, session) values ('session_delete', session_delete.session) returning result into deleted;
    execute format('unlisten %I', deleted);
    if current_setting('event.current_session', true) = deleted::text then
        perform set_config('event.current_session', '', false);
    end if;
end
$$;
comment on function event.session_delete(uuid) is 'Deletes the session with its subscriptions and its inbox.';

create function event._delete_session(session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from event.subscription s where s.session_id = session;
    delete from event.inbox i where i.session_id = session;
    delete from event.session s where s.id = session;
end
$$;
comment on function event._delete_session(uuid) is 'Deletes a session whoever owns it. Upkeep releases tables that have no subscription left.';

create function event._role(name text) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    role constant oid := (select r.oid from pg_roles r where r.rolname = _role.name);
begin
    if role is null then
        raise exception 'role "%" does not exist', _role.name using errcode = 'undefined_object';
    end if;
    return role;
end
$$;
comment on function event._role(text) is 'The role of that name, or an error.';

create function event._session_share(caller oid, session uuid, role text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    shared constant event.session := event._owned_session(caller, session);
    other constant regrole := event._role(role);
begin
    update event.session s set shared_with = s.shared_with || other
    where s.id = shared.id and not other = any (s.shared_with);
end
$$;
comment on function event._session_share(oid, uuid, text) is 'event.session_share for a caller.';

create function event.session_share(session uuid, role name) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, session, name) values ('session_share', session_share.session, session_share.role);
end
$$;
comment on function event.session_share(uuid, name) is 'Lets another role attach to the session and see in it what its owner sees.';

create function event._session_unshare(caller oid, session uuid, role text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    shared constant event.session := event._owned_session(caller, session);
    other constant regrole := event._role(role);
begin
    update event.session s set shared_with = array_remove(s.shared_with, other) where s.id = shared.id;
end
$$;
comment on function event._session_unshare(oid, uuid, text) is 'event.session_unshare for a caller.';

create function event.session_unshare(session uuid, role name) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, session, name) values ('session_unshare', session_unshare.session, session_unshare.role);
end
$$;
comment on function event.session_unshare(uuid, name) is
    'Takes back event.session_share. A role that knows the session''s id can still LISTEN on its channel: to rule that out, delete the session and create another.';

create function event._session_pin(caller oid, session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    held constant event.session := event._owned_session(caller, session);
begin
    perform event._check_own_connection();
    perform event._hold(held.id);
    update event.session s set pinned = true where s.id = held.id;
end
$$;
comment on function event._session_pin(oid, uuid) is 'event.session_pin for a caller.';

create function event.session_pin(session uuid default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into event._call (command, session) values ('session_pin', session_pin.session);
end
$$;
comment on function event.session_pin(uuid) is 'Ties the session''s life to the connections that hold it: it is deleted soon after the last one closes.';
