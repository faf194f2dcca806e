-- Reading an inbox: what a program does that was woken by a notification.

create view event._readable with (security_barrier) as
select i.session_id, i.last, i.visible, j.*
from event.inbox i
join event.journal j on j.id = i.id
where exists (select from event.session s
              where s.id = i.session_id
                and event._may_use((select r.oid from pg_roles r where r.rolname = current_user), s.owner, s.shared_with));
comment on view event._readable is 'What the sessions that the role which asks may use have not acknowledged yet.';

create function event._session_exists(session uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select exists (select from event.session s where s.id = _session_exists.session) $$;
comment on function event._session_exists(uuid) is 'Whether there is a session of this id; it says nothing else about it.';

-- With the caller's rights: row-level security and the view decide by the role that acts.
create function event._readable_session(session uuid) returns event.session
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
                  hint = 'Call event.session_create() or event.session_attach(session) first, or name the session: through a pooler, in each call.';
    end if;
    session := coalesce(session, current_session::uuid);
    select s.* into found_session from event.session s where s.id = session
    and event._may_use((select r.oid from pg_roles r where r.rolname = current_user), s.owner, s.shared_with);
    if not found and event._session_exists(session) then
        raise exception 'permission denied for session "%"', session
            using errcode = 'insufficient_privilege',
                  hint = 'Its owner can let you in: select event.session_share(session, role).';
    elsif not found then
        raise exception 'session "%" does not exist', session
            using errcode = 'undefined_object', hint = 'Create one with event.session_create().';
    end if;
    return found_session;
end
$$;
comment on function event._readable_session(uuid) is 'The session, or the current one for NULL; an error unless the role that acts may use it.';

-- Stable, so that all of it is seen in one snapshot: an event of a large transaction is in the inbox before the progress
-- row says that the transaction is whole, and never the other way round.
create function event.read(session uuid, after text default '', max_events integer default 1000)
returns table (id text, committed_at timestamptz, xid bigint, change text, relation text, "row" json, field text,
               value json, old json, last boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
#variable_conflict use_column
declare
    reading constant event.session := event._readable_session(session);
    -- A page has at least one event, and ends once it holds this much: a row may be large.
    max_bytes constant bigint := 4194304;
    -- A large transaction is stored in pieces, and not shown before its last one: it is seen whole or not at all.
    unfinished constant text collate "C" := event._unfinished();
begin
    if after is null or after <> '' and after !~ '^[0-9A-F]{16}-[0-9A-F]{8}$' then
        raise exception '"%" is not an event id', left(after, 100)
            using errcode = 'invalid_parameter_value',
                  hint = 'An event id is 16 hexadecimal digits, a dash and 8 hexadecimal digits, in capitals; '''' is before the first.';
    end if;
    if after collate "C" > event._reached() collate "C" then
        raise exception 'event "%" has not been delivered yet', after
            using errcode = 'invalid_parameter_value',
                  detail = 'Either it is of another database, or this one was restored to an earlier time.',
                  hint = 'Read from the start, with '''' as the place.';
    end if;
    if max_events is null or max_events < 1 then
        raise exception 'max_events must be at least 1' using errcode = 'invalid_parameter_value';
    end if;
    if not reading.durable then
        raise exception 'session "%" keeps no inbox', reading.id
            using errcode = 'object_not_in_prerequisite_state', hint = 'It was created with durable => false.';
    end if;
    return query
    select e.id, e.committed_at, e.xid, e.change,
           -- behind a schema's name the keywords table and column are names like any other
           case when e.schema_name = 'meta' then 'meta.' || e.relation_name
                else quote_ident(e.schema_name) || '.' || quote_ident(e.relation_name) end,
           e.row::json, e.field,
           case e.change when 'row_insert' then event._visible_part(e.value, e.visible)
                         when 'gap' then '{' || e.value || '}'
                         when 'subscription_ended' then '{' || e.value || '}'
                         else e.value end::json,
           case e.change when 'row_delete' then event._visible_part(e.old, e.visible) else e.old end::json,
           e.last
    from (select i.*,
                 sum(coalesce(octet_length(i.value), 0) + coalesce(octet_length(i.old), 0) + coalesce(octet_length(i.row), 0))
                     over (order by i.id rows between unbounded preceding and 1 preceding) as bytes_before
          from (select x.* from event._readable x
                where x.session_id = reading.id and x.id > read.after and (unfinished is null or x.id < unfinished)
                order by x.id limit read.max_events) i) e
    where coalesce(e.bytes_before, 0) < max_bytes
    order by e.id;
end
$$;
comment on function event.read(uuid, text, integer) is
    'What the session''s inbox holds after an event id, in order, as far as the session''s owner may see it: a page of at most max_events, shorter when rows are large. Empty: there is no more. Acknowledge with event.ack.';
