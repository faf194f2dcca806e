-- Who calls. A function that runs with Tidewire's rights cannot ask PostgreSQL which role calls it: there, current_user is
-- Tidewire's role, and session_user is the role that logged in, whoever acts. So every call enters through this view.

-- A caller may name each column but "caller". PostgreSQL fills that one in from its default, in the statement that calls: it is
-- the role that acts there, also in a trigger, a foreign key's cascade, an index expression or autovacuum.
create view event._call as
select null::text as command, null::uuid as session, null::uuid as subscription, null::text as kind, null::oid as relation,
       null::smallint as attnum, null::smallint[] as key_attnums, null::text[] as key, null::text as name,
       null::boolean as durable, null::boolean as explicit, null::text as through, null::oid as caller, null::uuid as result
where false;
alter view event._call alter column caller set default to_regrole(quote_ident(current_user))::oid;
comment on view event._call is
    'One row inserted is one call: a function of the interface, its arguments, and the role that acts. It holds no rows.';
comment on column event._call.caller is 'The role that acts. Nobody may name it: PostgreSQL fills it in.';

create function event._do_call() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.caller is null then
        raise exception 'the role that calls is unknown' using errcode = 'invalid_authorization_specification';
    end if;
    case new.command
        when 'session_create' then new.result := event._session_create(new.caller, new.name, new.durable);
        when 'session_attach' then perform event._session_attach(new.caller, new.session);
        when 'session_detach' then new.result := (event._session(new.caller, new.session)).id;
        when 'session_delete' then new.result := event._session_delete(new.caller, new.session);
        when 'session_share' then perform event._session_share(new.caller, new.session, new.name);
        when 'session_unshare' then perform event._session_unshare(new.caller, new.session, new.name);
        when 'session_pin' then perform event._session_pin(new.caller, new.session);
        when 'subscribe' then
            new.result := event._do_subscribe(new.caller, new.session, new.kind, new.relation, new.attnum, new.key_attnums, new.key);
        when 'unsubscribe' then perform event._do_unsubscribe(new.caller, new.subscription);
        when 'ack' then perform event._ack(new.caller, new.session, new.through);
        when 'watch' then perform event._watch(new.caller, new.relation);
        when 'note_watch' then perform event._note_own_watch(new.caller, new.relation);
        when 'unwatch' then perform event._unwatch(new.caller, new.relation);
        else
            raise exception 'there is no command "%"', left(new.command, 100) using errcode = 'invalid_parameter_value';
    end case;
    return new;
end
$$;
comment on function event._do_call() is 'Does what a call asks for, with Tidewire''s rights, as far as the calling role may.';
create trigger call instead of insert on event._call for each row execute function event._do_call();
