-- What is installed here, and who is asking.

create table event.installation (
    only_one boolean primary key default true check (only_one),
    version integer not null,
    program text not null,
    publication name not null,
    slot name not null,
    installed_at timestamptz not null default now(),
    privileges text
);
comment on table event.installation is 'One row: which version of Tidewire''s schemas is installed, and the names of its publication and replication slot.';
comment on column event.installation.privileges is 'What event._privileges() was when subscriptions were last looked at.';

create table event.progress (
    only_one boolean primary key default true check (only_one),
    lsn pg_lsn not null,
    number bigint not null,
    messages bigint not null default 0,
    gap_from text,
    updated_at timestamptz not null default clock_timestamp()
);
comment on table event.progress is
    'One row: the last change whose events are in the inboxes. Written in the same transaction as those events; after a restart the engine skips what is at or below it.';
comment on column event.progress.messages is 'How many messages of an unfinished transaction are done.';
comment on column event.progress.gap_from is 'The slot was lost, and the sessions have yet to be told: what was the last that they were told of.';

-- In a security definer function current_user is the definer; the role that asks is the one set with SET ROLE, or else
-- the one that logged in.
create function event._caller() returns regrole
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select oid::regrole from pg_roles
    where rolname = case when current_setting('role') = 'none' then session_user else current_setting('role')::name end
$$;
comment on function event._caller() is 'The role that asks: the one of SET ROLE, or the one that logged in.';

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

-- Without the caller's own connection string it cannot know whether tidewire runs elsewhere, so it says what it sees.
create function event.sync(timeout interval default '30 seconds') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    slot constant name := event._slot();
    block_size constant numeric := current_setting('wal_block_size')::numeric;
    target pg_lsn := pg_current_wal_insert_lsn();
    into_block numeric := mod(target - '0/0'::pg_lsn, block_size);
    -- An asynchronous commit is flushed within three times wal_writer_delay (manual, section 30.4). What is not flushed by
    -- then is no commit, and may not be flushed for long.
    flushed_by constant timestamptz := clock_timestamp() + 3 * current_setting('wal_writer_delay')::interval;
    give_up constant timestamptz := clock_timestamp() + timeout;
    confirmed pg_lsn;
    is_active boolean;
    waits_since timestamptz;
begin
    if timeout is null then
        raise exception 'timeout must not be null' using errcode = 'null_value_not_allowed';
    end if;
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
            target := least(target, pg_current_wal_flush_lsn());
            -- What is flushed may end within a record, which then belongs to no commit either, and is not streamed.
            waits_since := case when event._is_caught_up() then coalesce(waits_since, clock_timestamp()) end;
            if clock_timestamp() > waits_since + interval '100 milliseconds' then
                return;
            end if;
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
