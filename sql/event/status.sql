-- How it stands: what `tidewire check` and the metrics say too, for whoever has psql at hand. It says how much there is, and
-- nothing of what is in it, so everybody may read it.

create function event._rows(relation regclass) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part regclass;
    total bigint := 0;
    counted bigint;
begin
    for part in
        select relation where (select c.relkind from pg_class c where c.oid = relation) <> 'p'
        union all
        select t.relid from pg_partition_tree(relation) t where t.isleaf and t.relid <> relation
    loop
        -- a table of 8 MB is counted in some ten milliseconds
        if pg_relation_size(part) <= 8388608 then
            execute format('select count(*) from %s', part) into counted;
        else
            select greatest(pg_stat_get_live_tuples(c.oid), c.reltuples, 0) into counted from pg_class c where c.oid = part;
        end if;
        total := total + coalesce(counted, 0);
    end loop;
    return total;
end
$$;
comment on function event._rows(regclass) is 'How many rows a table or all its partitions have: counted where they are few, else as the statistics have it.';

create function event._bytes(relation regclass) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(sum(pg_total_relation_size(t.relid)), pg_total_relation_size(relation))::bigint
    from pg_partition_tree(relation) t where t.isleaf
$$;
comment on function event._bytes(regclass) is 'Size on disk of a table or of all its partitions, with their indexes.';

create function event._oldest_event() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select min(oldest.id) from event.session s, lateral (
        select i.id from event.inbox i where i.session_id = s.id order by i.id limit 1) oldest
$$;
comment on function event._oldest_event() is 'The oldest event that some session has not acknowledged.';

-- The files of the log say when it was where: one is last written when the log leaves it. That works while nobody watches, so
-- it tells of the time in which Tidewire was stopped too. Who may not look at them (pg_monitor) is told the average.
create function event._wal_written(since pg_lsn, out lag interval, out rate double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    segment constant numeric := (select s.setting from pg_settings s where s.name = 'wal_segment_size');
    written constant pg_lsn := pg_current_wal_lsn();
    -- the rate of now is that of the last minutes
    recent constant timestamptz := clock_timestamp() - interval '5 minutes';
    timeline constant text := left(pg_walfile_name(written), 8);
begin
    if has_function_privilege(current_user, 'pg_ls_waldir()', 'execute') then
        with left_behind as materialized (
            select f.modification,
                   (('x' || substr(f.name, 9, 8))::bit(32)::bigint * div(4294967296, segment)
                    + ('x' || substr(f.name, 17, 8))::bit(32)::bigint + 1) * segment as ends
            from pg_ls_waldir() f
            where f.name ~ '^[0-9A-F]{24}$' and left(f.name, 8) = timeline
        ), complete as materialized (
            select l.modification, l.ends from left_behind l where l.ends <= written - '0/0'
        )
        select (select clock_timestamp() - c.modification from complete c where c.ends > since - '0/0' order by c.ends limit 1),
               (select (written - '0/0' - c.ends)::double precision
                       / greatest(extract(epoch from clock_timestamp() - c.modification), 1)
                from complete c
                order by c.modification < recent, case when c.modification < recent then -c.ends else c.ends end limit 1)
        into lag, rate;
    end if;
    if rate is null then
        select w.wal_bytes::double precision / greatest(extract(epoch from clock_timestamp() - w.stats_reset), 1) into rate
        from pg_stat_wal w;
    end if;
end
$$;
comment on function event._wal_written(pg_lsn) is
    'For how long, at least, the log has been beyond a position, and how many bytes a second are written to it now.';

create function event._status(
    out serving boolean, out program text, out slot name, out wal_status text, out lag_bytes bigint, out lag interval,
    out retained_bytes bigint, out safe_bytes bigint, out wal_rate bigint, out lost_in interval,
    out durable_sessions bigint, out live_sessions bigint, out subscriptions bigint,
    out inbox_rows bigint, out inbox_bytes bigint, out oldest_event text, out oldest_event_at timestamptz,
    out notification_queue double precision, out set_aside bigint, out last_set_aside text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    -- as JSON: some columns came with later versions
    found jsonb;
    written constant pg_lsn := pg_current_wal_lsn();
    idle constant interval := nullif(current_setting('idle_replication_slot_timeout', true)::interval, '0');
    idle_since timestamptz;
    rate double precision;
begin
    select i.program, i.slot into program, slot from event.installation i;
    select to_jsonb(s) into found from pg_replication_slots s where s.slot_name = _status.slot;
    serving := coalesce((found ->> 'active')::boolean, false);
    wal_status := coalesce(found ->> 'wal_status', 'missing');
    lag_bytes := greatest(written - (found ->> 'confirmed_flush_lsn')::pg_lsn, 0);
    retained_bytes := greatest(written - (found ->> 'restart_lsn')::pg_lsn, 0);
    safe_bytes := (found ->> 'safe_wal_size')::bigint;
    idle_since := (found ->> 'inactive_since')::timestamptz;
    select w.lag, w.rate into lag, rate from event._wal_written((found ->> 'confirmed_flush_lsn')::pg_lsn) w;
    if serving and event._is_caught_up() then
        lag := '0';
    elsif not serving then
        lag := greatest(lag, clock_timestamp() - idle_since);
    end if;
    wal_rate := rate;
    -- A slot that is read and follows is not lost; one that is not moved by anybody is, when what is left is used up.
    if wal_status = 'lost' then
        lost_in := '0';
    elsif not serving or lag > interval '1 minute' or safe_bytes <= 0 then
        lost_in := least(case when safe_bytes <= 0 then '0'
                              when rate > 0 and safe_bytes > 0 then make_interval(secs => least(safe_bytes / rate, 1e9)) end,
                         case when idle_since + idle < clock_timestamp() then '0'
                              when not serving then idle_since + idle - clock_timestamp() end);
    end if;
    notification_queue := pg_notification_queue_usage();
    select count(*) filter (where s.durable), count(*) filter (where not s.durable)
    into durable_sessions, live_sessions from event.session s;
    select count(*), max(f.id) into set_aside, last_set_aside from event.failure f;
    subscriptions := event._rows('event.subscription');
    inbox_rows := event._rows('event.inbox');
    inbox_bytes := event._bytes('event.inbox') + event._bytes('event.journal');
    oldest_event := event._oldest_event();
    oldest_event_at := (select j.committed_at from event.journal j where j.id = oldest_event);
exception when lock_not_available then
    -- who asks why nothing is delivered must get an answer when it is a lock
    null;
end
$$;
comment on function event._status() is 'See event.status.';

create view event.status as
select s.*, n.nearest_limit, n.nearest_limit_used
from event._status() s
left join lateral (
    select format('role "%s": %s', l.name, l.shown) as nearest_limit, l.ratio as nearest_limit_used
    from event._near l order by l.ratio desc limit 1) n on true;
comment on view event.status is 'One row: how Tidewire stands in this database. What cannot be counted because somebody holds it locked is NULL.';
comment on column event.status.serving is 'Whether a program reads the replication slot.';
comment on column event.status.program is 'The version of the program that installed the schemas.';
comment on column event.status.slot is 'The replication slot''s name.';
comment on column event.status.wal_status is 'As pg_replication_slots has it: reserved, extended, unreserved, lost; missing without a slot.';
comment on column event.status.lag_bytes is 'WAL that is written and not delivered yet.';
comment on column event.status.lag is 'For how long, at least, the oldest of that has been waiting, as far as the WAL''s files tell: 0 when there is none, NULL when it is all in the newest file or this version''s installer may not look (pg_monitor).';
comment on column event.status.retained_bytes is 'WAL that the slot keeps from being removed.';
comment on column event.status.safe_bytes is 'WAL that can be written before the slot is in danger; NULL without a limit (max_slot_wal_keep_size) or slot.';
comment on column event.status.wal_rate is 'WAL written, in bytes a second, over the last minutes; where the WAL''s files do not tell that, since the server''s statistics began.';
comment on column event.status.lost_in is 'When the slot will be lost at this rate, unless it is read: NULL when it follows, or nothing limits what it keeps.';
comment on column event.status.inbox_rows is 'Events that are not acknowledged, over all sessions; an estimate when they are many.';
comment on column event.status.inbox_bytes is 'Inboxes and journal on disk.';
comment on column event.status.oldest_event is 'The oldest event that some session has not acknowledged.';
comment on column event.status.oldest_event_at is 'When its change was committed.';
comment on column event.status.notification_queue is 'How full PostgreSQL''s queue of notifications is, 0 to 1.';
comment on column event.status.nearest_limit is 'Of the roles that you may know of (event.usage), the one that is nearest to one of its limits.';
comment on column event.status.nearest_limit_used is 'How much of that limit is used: 1 is all of it.';
comment on column event.status.set_aside is 'Changes that were set aside because they failed, of the last thousand such: sessions have a gap in their place. See event.failure.';
comment on column event.status.last_set_aside is 'The place of the last of them.';
