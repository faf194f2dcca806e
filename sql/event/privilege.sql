-- Who may do what. Everything starts closed.

revoke all on all functions in schema event, meta from public;
revoke all on all tables in schema event from public;
grant usage on schema event, meta to public;
grant execute on all functions in schema meta to public;
-- what they show anybody can see in the catalog itself; what is written to them is done with the caller's own rights
grant select on all tables in schema meta to public;

-- With DELETE or UPDATE on a view a role may take any lock by LOCK TABLE, and with the rights of the view's
-- owner also on the relations that the view reads: on the catalog itself. So a view that is written to reads
-- another view with the caller's rights, and the caller has no more than SELECT there (PostgreSQL 15 and later).
-- An older server has no such views: there only INSERT is granted to all roles, and the owner grants the rest
-- to roles that may lock everything.
do $$
declare
    is_safe constant boolean := current_setting('server_version_num')::int >= 150000;
    kind text;
begin
    for kind in select m.kind from event.mirror m loop
        if is_safe then
            execute format('alter view meta.%I set (security_invoker = true)', kind);
        end if;
        execute format('grant %s on meta.%I to public', case when is_safe then 'insert, update, delete' else 'insert' end, kind);
        execute format('grant select on event.%I to public', 'meta_' || kind);
    end loop;
    if is_safe then
        alter view event.event set (security_invoker = true);
        grant delete on event.event to public;
    end if;
end
$$;

-- A role with USAGE on a type can make an operator of exactly that type. In a session whose search path
-- leads to that operator, id = ... would run it.
do $$
declare
    type regtype;
begin
    for type in select t.oid from pg_type t where t.typnamespace in ('event'::regnamespace, 'meta'::regnamespace) and t.typcategory <> 'A' loop
        execute format('revoke usage on type %s from public', type);
    end loop;
end
$$;

grant execute on function
    event.session_create(text, boolean), event.session_attach(uuid), event.session_detach(uuid),
    event.session_delete(uuid), event.session_share(uuid, name), event.session_unshare(uuid, name), event.session_pin(uuid),
    event.subscribe_table(uuid, meta.relation_id), event.subscribe_table(meta.relation_id),
    event.subscribe_column(uuid, meta.column_id), event.subscribe_column(meta.column_id),
    event.subscribe_row(uuid, meta.row_id), event.subscribe_row(meta.row_id),
    event.subscribe_field(uuid, meta.field_id), event.subscribe_field(meta.field_id),
    event.subscribe_table(regclass, uuid), event.subscribe_table(text, uuid),
    event.subscribe_column(regclass, text, uuid), event.subscribe_column(text, text, uuid),
    event.subscribe_row(regclass, text, uuid), event.subscribe_row(regclass, anyelement, uuid),
    event.subscribe_row(text, text, uuid),
    event.subscribe_field(regclass, text, text, uuid), event.subscribe_field(regclass, anyelement, text, uuid),
    event.subscribe_field(text, text, text, uuid),
    event.unsubscribe(uuid), event.read(uuid, text, integer), event.ack(uuid, text), event.sync(interval),
    event.watch(regclass), event.unwatch(regclass), event._status()
to public;

-- What the functions above call with the caller's rights; each checks for itself what it is given.
grant execute on function
    event._slot(), event._is_caught_up(), event._replied_at(), event._reached(), event._unfinished(), event._publication(),
    event._relation(meta.relation_id), event._relation(regclass), event._row_key(oid, text), event._mirror_of(text, text), event._mirrors(oid), event._attnum(oid, text),
    event._key_attnums(oid), event._key_names(meta.row_id), event._key_type(oid, smallint), event._may_run_code(oid),
    event._key_text(oid, text[], text[]), event._pinned_text(anyelement),
    event._key_value(text, oid, integer), event._pinned_element(anyarray),
    event._key_form(oid, integer, oid, integer), event._canonical_key(text, text),
    event._partition_tree(oid), event._leaves(oid), event._check_watchable(oid), event._narrow_publications(oid),
    event._has_virtual_column(oid),
    event._subscribe(uuid, text, oid, smallint, smallint[], text[]),
    event._is_known(oid), event._is_watched(oid), event._is_published(oid), event._tidewire_may_alter(oid), event._caller_may_alter(oid),
    event._publish(oid), event._patience(timestamptz),
    event._may_use(oid, regrole, regrole[]), event._session_exists(uuid), event._shown_name(text, text), event._readable_session(uuid),
    event._notification(event.journal, text, integer[], integer), event._visible_part(text, integer[]),
    event._notification(text, text, text, text, text[], text[], text, text, text, integer[], integer)
to public;

grant select on event.installation, event.asked, event.session, event.subscription, event.change, event.status, event.usage, event._readable, event.subscribed to public;
grant select on event.event, event._event to public;
-- The one way in. The caller's name is not among the columns: PostgreSQL fills it in.
grant insert (command, session, subscription, kind, relation, attnum, key_attnums, key, name, durable, explicit, through),
      select (result) on event._call to public;

alter table event.session enable row level security;
create policy session_reader on event.session for select
    using (event._may_use((select r.oid from pg_roles r where r.rolname = current_user), owner, shared_with));
alter table event.subscription enable row level security;
create policy subscription_reader on event.subscription for select
    using (exists (select from event.session s where s.id = session_id));
