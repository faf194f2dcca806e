-- What a session cannot be told any more, said. A row here is published like a subscription's: the engine finds it in the
-- WAL, at its place among the changes, tells the session and removes the row, all as it does with any event.

create table event.gap (
    id uuid primary key default gen_random_uuid(),
    session_id uuid not null,
    durable boolean not null,
    reason text not null,
    from_id text collate "C" not null,
    to_id text collate "C" not null
);
comment on table event.gap is 'Gaps that sessions have yet to be told of.';
comment on column event.gap.reason is 'slot_lost, database_restored, inbox_full, inbox_too_old, partition_gone, columns_uncertain, unpublished or rewritten.';
comment on column event.gap.from_id is 'Events from here on may be missing.';
comment on column event.gap.to_id is 'Events behind it are told again.';

create function event._tell_gap(reason text, from_id text, to_id text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    told bigint;
begin
    -- of a gap that was not told of yet and this one, one is made
    with merged as (
        delete from event.gap g returning g.session_id, g.from_id
    )
    insert into event.gap (session_id, durable, reason, from_id, to_id)
    select s.id, s.durable, _tell_gap.reason,
           least(_tell_gap.from_id collate "C", (select min(m.from_id) from merged m where m.session_id = s.id)), _tell_gap.to_id
    from event.session s
    -- who has asked for nothing misses nothing
    where exists (select from event.subscription u where u.session_id = s.id)
       or exists (select from event.route r where r.session_id = s.id);
    get diagnostics told = row_count;
    return told;
end
$$;
comment on function event._tell_gap(text, text, text) is 'Tells every session that has or had a subscription that changes between two places are lost to it; returns how many sessions.';

create function event._tell_of_unknown_partition(relation oid, place text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    told bigint;
begin
    insert into event.gap (session_id, durable, reason, from_id, to_id)
    select s.id, s.durable, 'partition_gone', place, place
    from event.session s
    where not event._is_published(_tell_of_unknown_partition.relation)
      and exists (select from event.route r join pg_class c on c.oid = r.relation and c.relkind = 'p' where r.session_id = s.id);
    get diagnostics told = row_count;
    return told;
end
$$;
comment on function event._tell_of_unknown_partition(oid, text) is
    'Tells the sessions that watch tables with partitions that changes of one are lost which was detached or dropped before it was known; returns how many sessions.';

create function event._tell_of_uncertain_columns(relation oid, columns smallint[], unknown smallint[], place text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    told bigint;
    is_key_unknown constant boolean := coalesce((select w.key_attnums && _tell_of_uncertain_columns.unknown from event.watched w
                                                 where w.relation = _tell_of_uncertain_columns.relation), true);
begin
    insert into event.gap (session_id, durable, reason, from_id, to_id)
    select s.id, s.durable, 'columns_uncertain', place, place
    from event.session s
    where exists (select from event.route r
                  where r.session_id = s.id and r.relation = _tell_of_uncertain_columns.relation
                    and (r.visible && columns or r.attnum = any (unknown) or r.key is not null and is_key_unknown));
    get diagnostics told = row_count;
    return told;
end
$$;
comment on function event._tell_of_uncertain_columns(oid, smallint[], smallint[], text) is
    'Tells the sessions that watch some columns of a table, or may not see all of it, that changes may be lost to them: it was not certain which column was which; returns how many sessions.';

-- Where the database is: another cluster, another timeline or another database under the same tables means that they were
-- restored or copied, and that what is remembered of the WAL is of another one.
create function event._home() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('/', (select c.system_identifier from pg_control_system() c),
                     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
                     (select d.oid from pg_database d where d.datname = current_database()))
$$;
comment on function event._home() is 'Cluster (system identifier), timeline and database (oid) of these tables.';

-- In a database that was dumped and loaded again every table has another oid. A subscription goes by oid: it might now be
-- one to somebody else's table.
create function event._strangers() returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select w.relation from event.watched w
        left join pg_class c on c.oid = w.relation left join pg_namespace n on n.oid = c.relnamespace
        where c.oid is null or w.description is null
           or (n.nspname is distinct from (w.description::json ->> 'schema') collate "C"
               or c.relname is distinct from (w.description::json ->> 'name') collate "C")
              and event._mirrors(w.relation) is distinct from (w.description::json ->> 'name')
           or event._describe(w.relation)::jsonb -> 'columns' is distinct from w.description::jsonb -> 'columns')
$$;
comment on function event._strangers() is 'The watched oids under which there is another table now, or none.';

-- The tables themselves came along with the dump, with the replica identity that they had only for our sake. Names and columns
-- say which they are.
create function event._put_back_strangers(strangers oid[]) returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    former record;
begin
    for former in
        select c.oid, i.former, coalesce(i.former_index_name in (
                   select x.relname from pg_index d join pg_class x on x.oid = d.indexrelid where d.indrelid = c.oid), false) as has_index,
               i.former_index_name
        from event.identity i
        join event.watched w on w.relation = i.root
        cross join lateral (
            select w.description::jsonb ->> 'schema' as schema_name, w.description::jsonb ->> 'name' as name where i.relation = i.root
            union all
            select p ->> 'schema', p ->> 'name'
            from jsonb_array_elements(nullif(w.description::jsonb -> 'partitions', 'null')) p where (p ->> 'oid')::oid = i.relation) known
        join pg_namespace n on n.nspname = known.schema_name collate "C"
        join pg_class c on c.relnamespace = n.oid and c.relname = known.name collate "C" and c.relkind = 'r' and c.relreplident = 'f'
        where i.root = any (strangers) and i.former <> 'f'
          and not exists (select from event.identity o where o.relation = c.oid and o.root <> all (strangers))
          and (select array_agg(a.attname::text order by a.attname::text collate "C") from pg_attribute a
               where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
              = (select array_agg(e ->> 'name' order by (e ->> 'name') collate "C") from jsonb_array_elements(w.description::jsonb -> 'columns') e)
    loop
        begin
            execute format('alter table %s replica identity %s', former.oid::regclass,
                           case when former.former = 'i' and former.has_index then format('using index %I', former.former_index_name)
                                when former.former = 'n' then 'nothing' else 'default' end);
        exception when lock_not_available or insufficient_privilege or wrong_object_type or object_not_in_prerequisite_state then
            return next former.oid::regclass::text;
        end;
    end loop;
end
$$;
comment on function event._put_back_strangers(oid[]) is
    'Gives tables that were loaded from a dump the replica identity that they had before they were watched where it was made; returns those that were busy.';

create function event._end_strangers() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    strangers constant oid[] := event._strangers();
begin
    perform event._end(array(select s.id from event.subscription s where s.relation = any (strangers) and s.ended is null),
                       'database_restored');
    perform count(*) from event._put_back_strangers(strangers);
    delete from event.watched w where w.relation = any (strangers);
end
$$;
comment on function event._end_strangers() is 'Ends the subscriptions whose table is not the one that it was when they were made.';

-- A full notification queue fails the transaction that wants to add to it: ours, which would stop delivery to everybody
-- because of one listener that does not read. Before it is full, the notifications are left out; the inboxes are not.
create table event.unnotified (
    session_id uuid primary key,
    from_id text collate "C" not null,
    to_id text collate "C" not null
);
comment on table event.unnotified is 'Sessions that were not notified of some events because the notification queue was filling up, and have yet to be told so.';

create function event._skipped(from_id text, to_id text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '{"operation" : "gap", "reason" : "notifications_skipped", "from" : "' || from_id || '", "to" : "' || to_id
           || '", "event_id" : "' || to_id || '"}'
$$;
comment on function event._skipped(text, text) is 'The gap that stands for notifications that were not sent.';

create function event._skip_notifications(sessions uuid[], ids text[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into event.unnotified as u (session_id, from_id, to_id)
    select s.session_id, min(s.id collate "C"), max(s.id collate "C")
    from unnest(sessions, ids) as s (session_id, id) group by s.session_id
    on conflict (session_id) do update set to_id = excluded.to_id
$$;
comment on function event._skip_notifications(uuid[], text[]) is 'Notes who was not notified, and of what.';

-- All of it or nothing: what came behind it in the meantime was sent already, and has to stand behind it. Anybody can ask (the
-- message in the WAL is not more than that), and everybody else's events wait meanwhile: so it is not much. What is too large for a
-- notification is not fetched: 2,000 of them are 16 MB at most.
create function event._send_again(sessions uuid[], after text[], through text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    room bigint := 2000;
    asked record;
    waiting bigint;
begin
    for asked in
        select * from unnest(sessions, after, through) as a (session_id, after, through)
        where exists (select from event.inbox i where i.session_id = a.session_id and i.id > a.after and i.id <= a.through)
    loop
        select count(*) into waiting from (
            select from event.inbox i where i.session_id = asked.session_id and i.id > asked.after limit room + 1) w;
        if waiting <= room and pg_notification_queue_usage() < 0.5
           and not exists (select from event.unnotified u where u.session_id = asked.session_id) then
            room := room - waiting;
            perform pg_notify(asked.session_id::text, n.payload)
            from (select (select event._notification(j.id, j.change, j.schema_name, j.relation_name, j.key_columns, j.key_values, j.field,
                                                     case when j.change <> 'row_delete' then j.value when j.key_columns is null then j.old end,
                                                     i.kind, i.visible, 7999)
                          from event.journal j where j.id = i.id) as payload
                  from event.inbox i
                  where i.session_id = asked.session_id and i.id > asked.after
                  order by i.id offset 0) n;
        else
            insert into event.unnotified as u (session_id, from_id, to_id)
            select asked.session_id, min(i.id), max(i.id)
            from event.inbox i
            where i.session_id = asked.session_id and i.id > asked.after
            -- acknowledged meanwhile
            having max(i.id) is not null
            on conflict (session_id) do update
            set from_id = least(u.from_id, excluded.from_id), to_id = greatest(u.to_id, excluded.to_id);
        end if;
    end loop;
end
$$;
comment on function event._send_again(uuid[], text[], text[]) is
    'Sends what inboxes hold behind an event once more, if a part of it, up to another event, may have been missed; of more than two thousand events the sessions are told as of any that were left out.';

create function event._tell_skipped() returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    notified bigint;
begin
    if not exists (select from event.unnotified) then
        return true;
    end if;
    -- well below the mark at which notifications are left out, so that it does not go back and forth
    if pg_notification_queue_usage() >= 0.25 then
        return false;
    end if;
    with told as (
        delete from event.unnotified u returning u.session_id, u.from_id, u.to_id
    )
    select count(*) into notified from (
        select pg_notify(t.session_id::text, event._skipped(t.from_id, t.to_id)) from told t offset 0) n;
    return true;
end
$$;
comment on function event._tell_skipped() is
    'Once the notification queue has room again, tells who was not notified; true: there is nobody left to tell.';
