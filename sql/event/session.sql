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

create function event._session(session uuid) returns event.session
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_session event.session;
    current_session constant text := current_setting('event.current_session', true);
begin
    if session is null and coalesce(current_session, '') = '' then
        raise exception 'this connection has no current session'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Call event.session_create() or event.session_attach(session) first, or name the session.';
    end if;
    session := coalesce(session, current_session::uuid);
    select * into found_session from event.session s where s.id = session;
    if not found then
        raise exception 'session "%" does not exist', session
            using errcode = 'undefined_object', hint = 'Create one with event.session_create().';
    end if;
    if not event._may_use(event._caller(), found_session.owner, found_session.shared_with) then
        raise exception 'permission denied for session "%"', session
            using errcode = 'insufficient_privilege',
                  hint = 'Its owner can let you in: select event.session_share(session, role).';
    end if;
    return found_session;
end
$$;
comment on function event._session(uuid) is 'The session, or the current one for NULL; an error unless the caller may use it.';

create function event._owned_session(session uuid) returns event.session
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_session constant event.session := event._session(session);
begin
    if not pg_has_role(event._caller(), found_session.owner, 'usage') then
        raise exception 'must be owner of session "%"', found_session.id using errcode = 'insufficient_privilege';
    end if;
    return found_session;
end
$$;
comment on function event._owned_session(uuid) is 'The session; an error unless the caller is its owner.';

-- The lock says that a connection holds the session: it goes with the connection, however that ends.
create function event._hold(session uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_lock_shared(x'74696465'::int, hashtext(session::text));
end
$$;
comment on function event._hold(uuid) is 'Marks the session as held by this connection until it closes.';

create function event.session_create(name text default null, durable boolean default true) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    caller constant regrole := event._caller();
    created event.session;
begin
    if session_create.durable is null then
        raise exception 'durable must be true or false' using errcode = 'null_value_not_allowed';
    end if;
    if session_create.name = '' or octet_length(session_create.name) > 200 then
        raise exception 'a session''s name has 1 to 200 bytes' using errcode = 'invalid_parameter_value';
    end if;
    insert into event.session as s (name, owner, durable, pinned)
    values (session_create.name, caller, session_create.durable, not session_create.durable)
    on conflict (owner, name) do update set name = excluded.name
    returning s.* into created;
    if created.durable <> session_create.durable then
        raise exception 'session "%" exists and is %', session_create.name,
                case when created.durable then 'durable' else 'not durable' end
            using errcode = 'duplicate_object',
                  hint = 'Choose another name, or delete it with event.session_delete(session).';
    end if;
    perform event.session_attach(created.id);
    return created.id;
end
$$;
comment on function event.session_create(text, boolean) is
    'Creates a session, attaches this connection and makes the session current. With a name that the caller has used before: attaches to that session.';

create function event.session_attach(session uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    attached event.session := event._session(session);
    seen text collate "C" := '';
    waiting record;
begin
    -- waits for who deletes the session or pins it
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
    for waiting in
        select i.id, event._notification(j, i.kind, i.visible, 7999) as payload
        from event.inbox i join event.journal j on j.id = i.id
        where i.session_id = attached.id
          -- a full queue would fail this; the engine says what is left out
          and (select pg_notification_queue_usage() < 0.5)
        order by i.id
    loop
        perform pg_notify(attached.id::text, waiting.payload);
        seen := waiting.id;
    end loop;
    -- What was put into the inbox between the look above and the moment that this LISTEN takes effect (the commit) is
    -- sent by the engine, when it sees this message in the WAL.
    perform pg_logical_emit_message(true, 'tidewire', json_build_object('attach', attached.id, 'seen', seen)::text);
end
$$;
comment on function event.session_attach(uuid) is
    'Listens on the channel named by the session''s id, makes the session current, and sends again, in order, what its inbox still holds.';

create function event.session_detach(session uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    detached constant event.session := event._session(session);
begin
    execute format('unlisten %I', detached.id);
    if current_setting('event.current_session', true) = detached.id::text then
        perform set_config('event.current_session', '', false);
    end if;
end
$$;
comment on function event.session_detach(uuid) is 'Stops listening. The inbox keeps filling; attach again to get what was missed.';

create function event.session_delete(session uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted constant event.session := event._owned_session(session);
begin
    perform event._delete_session(deleted.id);
    execute format('unlisten %I', deleted.id);
    if current_setting('event.current_session', true) = deleted.id::text then
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
comment on function event._delete_session(uuid) is 'Deletes a session whoever owns it. Tables that nobody watches any more are let go of by the sweep.';

create function event.session_share(session uuid, role name) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    shared constant event.session := event._owned_session(session);
    other oid := (select oid from pg_roles where rolname = role);
begin
    if other is null then
        raise exception 'role "%" does not exist', role using errcode = 'undefined_object';
    end if;
    update event.session s set shared_with = s.shared_with || other::regrole
    where s.id = shared.id and not other::regrole = any (s.shared_with);
end
$$;
comment on function event.session_share(uuid, name) is 'Lets another role attach to the session and see in it what its owner sees.';

create function event.session_pin(session uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    held constant event.session := event._owned_session(session);
begin
    perform event._hold(held.id);
    update event.session s set pinned = true where s.id = held.id;
end
$$;
comment on function event.session_pin(uuid) is 'Ties the session''s life to the connections that hold it: it is deleted soon after the last one closes.';
