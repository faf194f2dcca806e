-- What is installed here, and how far delivery is.

create table event.installation (
    only_one boolean primary key default true check (only_one),
    version integer not null,
    program text not null,
    publication name not null,
    slot name not null,
    installed_at timestamptz not null default now(),
    privileges text,
    look_again_until xid8,
    home text,
    gap_from text collate "C",
    gap_reason text,
    catalog text
);
comment on table event.installation is 'One row: which version of Tidewire''s schemas is installed, and the names of its publication and replication slot.';
comment on column event.installation.home is 'What event._home() was when the engine last started.';
comment on column event.installation.gap_from is 'Changes are lost, and the sessions have yet to be told: the last that they were told of.';
comment on column event.installation.gap_reason is 'Why they are lost.';
comment on column event.installation.catalog is 'What event._catalog_mark() was at the last look.';
comment on column event.installation.privileges is 'What event._privileges() was when subscriptions were last looked at.';
comment on column event.installation.look_again_until is
    'Transactions before this one were open then, and may have subscribed by what they were allowed before: until they have ended, subscriptions are looked at again.';

-- Which sessions serve the database. An advisory lock would say the same; but every role can hold one, or wait in its queue.
create table event.server (
    part text primary key check (part in ('lease', 'writer')),
    pid integer,
    role oid,
    started timestamptz,
    turn bigint not null default 0
);
insert into event.server (part) values ('lease'), ('writer');
comment on table event.server is
    'The session of the program that serves the database, and the session that writes for it. A row counts while its session is there; only Tidewire''s own role can write or lock these rows.';
comment on column event.server.role is 'The role that logged in; with the start it tells the session from a later one of the same number.';
comment on column event.server.turn is 'Raised by each session that takes the part.';

-- Rows are only added: one that is updated with each batch leaves a dead version each time, and finding the living one
-- takes longer and longer while an open transaction keeps vacuum from removing the dead.
create table event.progress (
    lsn pg_lsn not null,
    number bigint not null,
    messages bigint not null default 0,
    at timestamptz not null default clock_timestamp(),
    primary key (lsn, number)
) partition by range (lsn);
comment on table event.progress is
    'How far the engine was with each batch; the newest row counts. Written in the same transaction as the batch''s events; after a restart the engine skips what is at or below it.';
comment on column event.progress.lsn is 'The commit LSN of the transaction that the batch''s last change is of.';
comment on column event.progress.number is 'The number of that change in its transaction; 4294967295: the transaction is done.';
comment on column event.progress.messages is 'How many messages of an unfinished transaction are done.';

create function event._progress() returns event.progress
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select p from event.progress p order by p.lsn desc, p.number desc limit 1 $$;
comment on function event._progress() is 'The newest row of event.progress.';

create function event._event_id(lsn pg_lsn, number bigint) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select upper(lpad(to_hex((lsn - '0/0'::pg_lsn)::bigint), 16, '0') || '-' || lpad(to_hex(number), 8, '0')) $$;
comment on function event._event_id(pg_lsn, bigint) is 'The text form of an event''s place.';

create function event._reached() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select event._event_id(p.lsn, p.number) from event._progress() p $$;
comment on function event._reached() is 'No event that was delivered has a higher id.';

-- A large transaction is stored in pieces; a reader must see all of it or nothing.
create function event._unfinished() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select left(event._event_id(p.lsn, 0), 16) from event._progress() p where p.number not in (0, 4294967295)
$$;
comment on function event._unfinished() is
    'The commit LSN, in 16 hexadecimal digits, of a transaction of which only a part is stored yet; NULL: there is none.';

create function event._slot() returns name
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select slot from event.installation $$;
comment on function event._slot() is 'The name of Tidewire''s replication slot in this database.';

create function event._is_caught_up() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(lower(a.wait_event) = 'walsenderwaitforwal' and r.sent_lsn = s.confirmed_flush_lsn), false)
    from pg_replication_slots s
    join pg_stat_activity a on a.pid = s.active_pid
    join pg_stat_replication r on r.pid = s.active_pid
    where s.slot_name = event._slot()
$$;
comment on function event._is_caught_up() is 'Whether the walsender has sent all that it can and all of that has been delivered.';

create function event._replied_at() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.reply_time from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
    where s.slot_name = event._slot()
$$;
comment on function event._replied_at() is 'When Tidewire last answered its walsender, by its own clock: about every second when there is nothing else.';

-- Without the caller's own connection string it cannot know whether tidewire runs elsewhere, so it says what it sees.
create function event.sync(timeout interval default '30 seconds') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    slot constant name := event._slot();
    block_size constant numeric := current_setting('wal_block_size')::numeric;
    target pg_lsn;
    into_block numeric;
    -- An asynchronous commit is flushed within three times wal_writer_delay (manual, section 30.4). What is not flushed by
    -- then is no commit, and may not be flushed for long.
    flushed_by constant timestamptz := clock_timestamp() + 3 * current_setting('wal_writer_delay')::interval;
    give_up constant timestamptz := clock_timestamp() + timeout;
    confirmed pg_lsn;
    is_active boolean;
    reply timestamptz;
    has_looked boolean := false;
    waiting text;
    asked boolean;
begin
    if timeout is null then
        raise exception 'timeout must not be null' using errcode = 'null_value_not_allowed';
    end if;
    -- A subscription that waits takes effect at a place of its own: everything from there on is delivered. By an older snapshot
    -- that cannot be seen.
    while current_setting('transaction_isolation') = 'read committed' loop
        select min(s.relation::regclass::text) into waiting
        from event.subscription s join event.session x on x.id = s.session_id
        where s.waiting and s.ended is null
          and (x.owner = (select r.oid from pg_roles r where r.rolname = current_user)
               or x.id::text = current_setting('event.current_session', true));
        if waiting is not null and exists (select from event.subscription s
                                           where s.waiting and s.ended is null and s.xmin = pg_current_xact_id_if_assigned()::xid) then
            raise exception 'the subscription to table "%" takes effect after this transaction', waiting
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Commit first: the running program then prepares the table. A client that begins transactions by itself needs autocommit.';
        end if;
        asked := waiting is null;
        if asked then
            select min(a.relation::regclass::text) into waiting
            from event.asked a where a.caller = (select r.oid from pg_roles r where r.rolname = current_user);
        end if;
        exit when waiting is null;
        if clock_timestamp() > give_up then
            raise exception '%', format(case when asked then 'event.watch of table "%s" has not taken effect within %s'
                                             else 'a subscription to table "%s" has not taken effect within %s' end, waiting, timeout)
                using errcode = 'query_canceled',
                      detail = 'The running program has to prepare the table first, with a short lock.',
                      hint = case when exists (select from pg_replication_slots s where s.slot_name = slot and s.active)
                             then 'The table is busy: wait longer, or run event.watch as its owner at a quiet moment.'
                             else 'Start it: tidewire up --database-url ...' end;
        end if;
        perform pg_sleep(0.001);
    end loop;
    target := pg_current_wal_insert_lsn();
    into_block := mod(target - '0/0'::pg_lsn, block_size);
    -- Behind a page header nothing has been written yet: the position that will be streamed is the one before the
    -- header (24 bytes, 40 at the start of a segment).
    if into_block in (24, 40) then
        target := target - into_block;
    end if;
    loop
        select s.confirmed_flush_lsn, s.active into confirmed, is_active
        from pg_replication_slots s where s.slot_name = slot;
        if confirmed >= target then
            return;
        end if;
        if clock_timestamp() > flushed_by then
            perform pg_stat_clear_snapshot();
            target := least(target, pg_current_wal_flush_lsn());
            -- What is flushed may end within a record, which then belongs to no commit either, and is not streamed. That a
            -- walsender waits says nothing when it was woken and has not had a processor yet; but one that was given an
            -- answer since, and waits again, has looked what there is.
            if has_looked and event._is_caught_up() then
                return;
            end if;
            reply := coalesce(reply, event._replied_at());
            has_looked := event._replied_at() <> reply;
        end if;
        if clock_timestamp() > give_up then
            raise exception 'not everything committed so far was delivered within %', timeout
                using errcode = 'query_canceled',
                      detail = case when confirmed is null then format('The replication slot "%s" does not exist.', slot)
                               else format('Delivered up to %s, asked for %s; the replication slot is %s.', confirmed, target,
                                           case when is_active then 'in use' else 'not in use' end) end,
                      hint = case when is_active then 'Tidewire is behind; wait longer, or see its log.'
                             else 'Start it: tidewire up --database-url ...' end;
        end if;
        perform pg_sleep(0.001);
    end loop;
end
$$;
comment on function event.sync(interval) is 'Returns when all that was committed before the call has been delivered; an error after the timeout.';
