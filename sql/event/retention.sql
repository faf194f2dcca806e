-- How long what is kept, and where. Journal, inbox and progress are partitioned by place in the WAL and let go of by whole
-- partitions: that needs no vacuum, so that a transaction which is open for long cannot make them grow.

create function event._ensure_partition(segment bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    suffix constant text := lpad(to_hex(segment), 9, '0');
    since constant text := upper(lpad(to_hex(segment << 28), 16, '0'));
    until constant text := upper(lpad(to_hex((segment + 1) << 28), 16, '0'));
    class text;
begin
    if to_regclass('event.progress_' || suffix) is not null then
        return;
    end if;
    foreach class in array array['journal', 'inbox', 'progress'] loop
        execute format('create table event.%I (like event.%I including all)', class || '_' || suffix, class);
        if class = 'progress' then
            execute format('alter table event.%I attach partition event.%I for values from (%L) to (%L)', class, class || '_' || suffix,
                           left(since, 8) || '/' || right(since, 8), left(until, 8) || '/' || right(until, 8));
        else
            execute format('alter table event.%I attach partition event.%I for values from (%L) to (%L)', class, class || '_' || suffix,
                           since, until);
        end if;
    end loop;
end
$$;
comment on function event._ensure_partition(bigint) is 'Makes the partitions for 256 MB of WAL (their number: LSN >> 28).';

create function event._drop_partitions(before bigint) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- the newest progress row is needed however old it is
    last constant bigint := least(before, ((event._progress()).lsn - '0/0'::pg_lsn)::bigint >> 28);
    suffix text;
    is_needed boolean;
    dropped integer := 0;
begin
    for suffix in
        select right(c.relname, 9)
        from pg_inherits h join pg_class c on c.oid = h.inhrelid
        -- as text: which condition is asked first is PostgreSQL's choice, and a number cannot be made of every table's name
        where h.inhparent = 'event.progress'::regclass and right(c.relname, 9) collate "C" < lpad(to_hex(last), 9, '0')
        order by c.relname
    loop
        -- a session that was deleted while somebody held a row of its inbox locked leaves that row behind
        execute format('select exists (select from event.%I i where exists (select from event.session s where s.id = i.session_id))',
                       'inbox_' || suffix) into is_needed;
        continue when is_needed;
        begin
            perform set_config('lock_timeout', '50ms', true);
            execute format('drop table event.%I, event.%I, event.%I', 'inbox_' || suffix, 'journal_' || suffix, 'progress_' || suffix);
            dropped := dropped + 1;
        exception when lock_not_available then
            -- somebody reads it; each attempt holds up those who come after
            return dropped;
        end;
    end loop;
    return dropped;
end
$$;
comment on function event._drop_partitions(bigint) is 'Drops the partitions before the given one that no inbox needs; returns how many.';

-- A session that nobody reads must not fill the disk. Its inbox is emptied as a whole, so that the gap comes before whatever
-- is told from then on; a gap that it held is merged into the new one. If the inboxes of one role together are over the role's
-- limit, the largest of them are emptied, as few as it takes. One pass weighs every inbox for both, and for event.used.
create function event._cap_inboxes(max_bytes bigint, max_age interval) returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    over record;
    lost record;
begin
    perform event._forget_roles();
    for over in
        with weighed as materialized (
            select s.id, s.owner, s.durable, oldest.id as oldest, newest.id as newest,
                   coalesce(newest.total - oldest.total + oldest.bytes, 0) as weight
            from event.session s
            left join lateral (select i.id, i.total, i.bytes from event.inbox i where i.session_id = s.id order by i.id limit 1) oldest
                 on s.durable
            left join lateral (select i.id, i.total from event.inbox i where i.session_id = s.id order by i.id desc limit 1) newest
                 on oldest.id is not null
        ), kept as materialized (
            select w.owner, count(*) as sessions, sum(w.weight)::bigint as inbox_bytes, event._limit(w.owner, 'inbox_size') as most
            from weighed w group by w.owner
        ), noted as (
            insert into event.used as u (role, sessions, inbox_bytes)
            select k.owner, k.sessions, k.inbox_bytes
            from kept k
            -- ON CONFLICT locks rows that it leaves as they are, which is written to the WAL
            left join event.used u on u.role = k.owner
            where (u.sessions, u.inbox_bytes) is distinct from (k.sessions, k.inbox_bytes)
            on conflict (role) do update
            set sessions = excluded.sessions, inbox_bytes = excluded.inbox_bytes, counted_at = clock_timestamp()
        ), own as materialized (
            select w.*, case when w.weight > max_bytes then 'inbox_full'
                             when max_age < clock_timestamp() - j.committed_at
                                  -- nothing but the gap that was told before
                                  and (w.oldest <> w.newest or j.change <> 'gap') then 'inbox_too_old' end as reason
            -- one look-up a session: without the limit the whole journal may be read for a join
            from weighed w
            left join lateral (select j.committed_at, j.change from event.journal j where j.id = w.oldest limit 1) j on true
            where w.oldest is not null
        ), together as (
            select o.*, k.most,
                   sum(case when o.reason is null then o.weight else 0 end)
                       over (partition by o.owner order by o.weight desc, o.id rows between current row and unbounded following)
                       as with_smaller
            from own o join kept k on k.owner = o.owner
        )
        select t.id, t.durable, t.newest, coalesce(t.reason, 'inbox_full') as reason
        from together t
        where t.reason is not null
           or t.with_smaller > t.most
              and (t.oldest <> t.newest or (select j.change from event.journal j where j.id = t.oldest) <> 'gap')
    loop
        -- Rows that somebody is deleting are passed over, and a session too. Nothing that a role keeps open keeps its inbox from being emptied.
        continue when not exists (select from event.session s where s.id = over.id);
        with gone as (
            delete from event.inbox i
            where (i.session_id, i.id) in (select t.session_id, t.id from event.inbox t
                                           where t.session_id = over.id and t.id <= over.newest for update skip locked)
            returning i.id
        )
        select min(coalesce((select substring(j.value from '"from" : "([0-9A-F-]{25})"') from event.journal j
                             where j.id = g.id and j.change = 'gap'), g.id) collate "C") as from_id into lost
        from gone g;
        continue when lost.from_id is null;
        insert into event.gap (session_id, durable, reason, from_id, to_id)
        values (over.id, over.durable, over.reason, lost.from_id, over.newest);
        return next over.reason;
    end loop;
end
$$;
comment on function event._cap_inboxes(bigint, interval) is
    'Empties the inboxes that hold more than so many bytes or an event older than that, and the largest of a role over its limit; tells their sessions of the gap; returns a reason for each. Notes what each role keeps.';
