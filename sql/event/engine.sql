-- What the engine calls: upkeep that needs the catalog.

-- Goes by event.watched, which has one row a table and what was known of it: a million subscriptions cost nothing here
-- unless their table lost something.
create function event._end_subscriptions(relations oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    lost record;
    now_at constant pg_snapshot := pg_current_snapshot();
begin
    -- An older snapshot does not show every subscription; upkeep finds what is left.
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    for lost in
        select w.relation, c.oid is null as whole, c.relkind = 'p' and event._has_untold_partition(w.relation) as untold,
               now.dropped, now.key_attnums,
               now.dropped <> w.dropped or now.key_attnums is distinct from w.key_attnums as is_news
        from event.watched w
        left join pg_class c on c.oid = w.relation
        cross join lateral (
            select array(select a.attnum from pg_attribute a where a.attrelid = w.relation and a.attisdropped
                         order by a.attnum) as dropped,
                   event._key_attnums(w.relation) as key_attnums) now
        where w.relation = any (relations) and (c.oid is null and exists (select from event.subscription s where s.relation = w.relation and s.ended is null)
           or c.oid is not null and (now.dropped <> w.dropped or now.key_attnums is distinct from w.key_attnums
                                     or w.look_again_until is not null)
           or c.relkind = 'p' and event._has_untold_partition(w.relation)
              and exists (select from event.subscription s where s.relation = w.relation and s.ended is null))
    loop
        perform event._end(array_agg(e.id), e.reason)
        from (select s.id, case when lost.whole then 'relation_dropped'
                                when lost.untold then 'partition_not_logged'
                                when s.attnum = any (lost.dropped) then 'column_dropped'
                                when s.key is not null and lost.key_attnums is distinct from s.key_attnums then 'key_changed'
                                end as reason
              from event.subscription s where s.relation = lost.relation and s.ended is null) e
        where e.reason is not null
        group by e.reason;
        -- A transaction that is open may have subscribed to what it saw.
        update event.watched w
        set dropped = lost.dropped, key_attnums = lost.key_attnums,
            look_again_until = case when lost.is_news then pg_snapshot_xmax(now_at)
                                    when w.look_again_until > pg_snapshot_xmin(now_at) then w.look_again_until end
        where w.relation = lost.relation and not lost.whole
          and (lost.is_news or w.look_again_until <= pg_snapshot_xmin(now_at));
    end loop;
end
$$;
comment on function event._end_subscriptions(oid[]) is 'Ends the subscriptions of these tables whose table, column or key is gone; the engine delivers that to their sessions.';

-- First what differs, then each subscription: a table may have a million subscriptions of a few owners.
create function event._recheck(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    ended bigint;
begin
    with asked as materialized (
        select distinct x.owner, s.relation, s.kind, s.attnum, s.visible
        from event.subscription s join event.session x on x.id = s.session_id
        where (_recheck.relation is null or s.relation = _recheck.relation) and s.ended is null
    ), lost as materialized (
        select a.*, coalesce(event._unreadable(a.owner, a.kind, a.relation, a.attnum),
                             case when not event._may_still_see(a.owner, a.relation, a.visible) then 'privilege_revoked' end)
                        as reason
        from asked a
    ), ending as materialized (
        select l.reason, array_agg(s.id) as subscriptions
        from lost l join event.session x on x.owner = l.owner
        join event.subscription s on s.session_id = x.id and s.relation = l.relation and s.kind = l.kind
             and s.attnum is not distinct from l.attnum and s.visible is not distinct from l.visible and s.ended is null
        where l.reason is not null
        group by l.reason
    )
    select count(*) from ending e cross join lateral event._end(e.subscriptions, e.reason) into ended;
end
$$;
comment on function event._recheck(oid) is
    'Ends the subscriptions of a table (NULL: of all) whose session''s owner may no longer see what they tell.';

-- Not all that decides it is told by an event trigger or by the stream: memberships are not, nor what roles may bypass.
create function event._privileges() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select md5(concat_ws('|',
        (select string_agg(concat_ws(',', r.oid, r.rolsuper, r.rolbypassrls, r.rolinherit), ';' order by r.oid) from pg_roles r),
        (select string_agg(m::text, ';' order by m::text) from pg_auth_members m),
        (select string_agg(concat_ws(',', c.oid, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
                                     n.oid, n.nspowner, n.nspacl), ';' order by c.oid)
         from event.watched w join pg_class c on c.oid = w.relation join pg_namespace n on n.oid = c.relnamespace),
        (select string_agg(concat_ws(',', a.attrelid, a.attnum, a.attacl), ';' order by a.attrelid, a.attnum)
         from event.watched w join pg_attribute a on a.attrelid = w.relation where a.attacl is not null)))
$$;
comment on function event._privileges() is 'What the privileges on the watched tables rest on, in short: another text when it changed.';

-- Their updates and deletes fail from the moment on at which a table with REPLICA IDENTITY FULL gets a virtual generated
-- column, or a publication that leaves out one of its columns. It is put back at once, for the writers' sake.
create function event._spare_writers(relations oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    endangered oid;
begin
    if current_setting('server_version_num')::int < 150000 then
        return;
    end if;
    for endangered in
        select w.relation from event.watched w
        where (relations is null or w.relation = any (relations))
          and (event._has_virtual_column(w.relation) or exists (select from event._narrow_publications(w.relation)))
          -- a table that was FULL before is not so for our sake
          and exists (select from event.identity i join pg_class c on c.oid = i.relation
                      where i.root = w.relation and i.former <> 'f'
                        and (c.relreplident = 'f'
                             or exists (select from event.subscription s where s.relation = w.relation and s.ended is null)))
          and event._tidewire_may_alter(w.relation)
    loop
        begin
            -- A transaction that is subscribing just now keeps its row of event.watched: upkeep looks again. The writers cannot wait.
            begin
                perform from event.watched w where w.relation = endangered for update nowait;
            exception when lock_not_available then
                insert into event.overdue default values;
            end;
            perform event._end(array(select s.id from event.subscription s where s.relation = endangered and s.ended is null),
                               'writers_endangered');
            perform event._put_back_identity(endangered, clock_timestamp());
        exception when lock_not_available then
            insert into event.overdue default values;
        end;
    end loop;
end
$$;
comment on function event._spare_writers(oid[]) is
    'Ends the watch of those of the tables (NULL: of all) whose writers would fail under REPLICA IDENTITY FULL.';

create function event._unidentified(relations oid[]) returns setof oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    candidate oid;
begin
    for candidate in
        select w.relation from event.watched w
        where (relations is null or w.relation = any (relations)) and w.release_after < clock_timestamp()
    loop
        if exists (select from event._leaves(candidate) f join pg_class l on l.oid = f where l.relreplident <> 'f')
           and event._tidewire_may_alter(candidate)
           -- not of a table that is being put back as it was
           and exists (select from event.watched w where w.relation = candidate and w.explicit
                       union all select from event.subscription s where s.relation = candidate and s.ended is null)
           and not event._has_virtual_column(candidate)
           and not event._has_untold_partition(candidate)
           and not exists (select from event._narrow_publications(candidate)) then
            return next candidate;
        end if;
    end loop;
end
$$;
comment on function event._unidentified(oid[]) is
    'Those of the watched tables (NULL: of all) that have not the replica identity that they need: partitions joined, or somebody gave them another.';

create function event._identify(root oid) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    why text;
begin
    begin
        perform event._note_watch(root, false);
        perform event._publish(root);
        return null;
    exception
        when lock_not_available then
            return null;
        when others then
            why := sqlerrm;
    end;
    update event.watched w set release_after = clock_timestamp() + interval '1 minute' where w.relation = root;
    return why;
end
$$;
comment on function event._identify(oid) is
    'Gives a watched table, or its partitions, the replica identity that they need; not now if one is busy. What is in the way otherwise is returned, and it is tried again a minute later.';

-- Once more while a transaction is open that was open at the first look: it may have subscribed by what it was allowed then.
create function event._sweep_privileges() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    checked constant text := event._privileges();
    now_at constant pg_snapshot := pg_current_snapshot();
    installed event.installation;
begin
    select * into installed from event.installation;
    if checked is distinct from installed.privileges then
        update event.installation i set privileges = checked, look_again_until = pg_snapshot_xmax(now_at);
    elsif installed.look_again_until <= pg_snapshot_xmin(now_at) then
        update event.installation i set look_again_until = null;
    elsif installed.look_again_until is null then
        return;
    end if;
    perform event._recheck(null);
end
$$;
comment on function event._sweep_privileges() is 'Ends subscriptions whose session''s owner may no longer see what they tell.';

create function event._sweep_subscriptions() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from event.subscription s
    where s.id in (select t.id from event.subscription t join event.ending e on e.id = t.id
                   where e.delivered for update of t skip locked);
    delete from event.ending e where e.delivered and not exists (select from event.subscription s where s.id = e.id);
$$;
comment on function event._sweep_subscriptions() is 'Removes subscriptions whose end is delivered, and that were locked by their session just then.';

create function event._waiting() returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.relation from event.subscription s where s.waiting and s.ended is null
    union
    select a.relation from event.asked a
$$;
comment on function event._waiting() is 'The tables that are to be prepared: subscriptions wait for them, or their owners asked for it.';

-- In a transaction of its own, as short as the ALTERs are. Neither a subscriber nor a writer waits for it beyond their lock's 200 ms.
create function event._prepare(relation oid, out waiting bigint, out why text, out of_table boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    refusal text;
    locked text;
    is_asked constant boolean := exists (select from event.asked a where a.relation = _prepare.relation);
begin
    select count(*) + is_asked::integer into _prepare.waiting from event.subscription s
    where s.relation = _prepare.relation and s.waiting and s.ended is null;
    if _prepare.waiting = 0 then
        return;
    end if;
    begin
        perform event._check_watchable(_prepare.relation);
        if is_asked or not (event._keep_watched(_prepare.relation) and event._is_watched(_prepare.relation)) then
            perform event._note_watch(_prepare.relation, is_asked);
            perform event._publish(_prepare.relation);
        end if;
    exception
        when lock_not_available then
            get stacked diagnostics locked = table_name;
            why := sqlerrm;
            of_table := locked <> '';
            return;
        when undefined_table then
            refusal := 'relation_dropped';
        when others then
            refusal := 'cannot_watch';
            why := sqlerrm;
    end;
    delete from event.asked a
    where a.relation in (select k.relation from event.asked k where k.relation = _prepare.relation for update skip locked);
    perform event._end(array_agg(e.id), e.reason)
    from (select s.id,
                 case when refusal is not null then refusal
                      when s.attnum is not null and not exists (
                          select from pg_attribute a where a.attrelid = s.relation and a.attnum = s.attnum and not a.attisdropped)
                          then 'column_dropped'
                      when s.key is not null and (event._key_attnums(s.relation) is distinct from s.key_attnums
                                                  or event._key_classes(s.relation, s.key) is distinct from s.key_classes) then 'key_changed'
                      else event._unreadable(x.owner, s.kind, s.relation, s.attnum) end as reason
          from event.subscription s join event.session x on x.id = s.session_id
          where s.relation = _prepare.relation and s.waiting and s.ended is null) e
    where e.reason is not null
    group by e.reason;
    if refusal is null and exists (select from event.subscription s
                                   where s.relation = _prepare.relation and s.waiting and s.key is not null) then
        perform event._note_key(_prepare.relation);
    end if;
    update event.subscription s
    set waiting = false,
        visible = event._visible((select x.owner from event.session x where x.id = s.session_id), s.relation),
        -- made anew: a long key that an update leaves as it is would not be in the WAL
        key = case when s.key is not null then (select array_agg(u.value order by u.place) from unnest(s.key) with ordinality u (value, place)) end
    where s.id in (select t.id from event.subscription t
                   where t.relation = _prepare.relation and t.waiting and t.ended is null
                     and not exists (select from event.ending e where e.id = t.id)
                   for update skip locked);
end
$$;
comment on function event._prepare(oid) is
    'Watches a table for its owner, and for the subscriptions that wait for it: they take effect with its commit. Returns how many it found, what is in the way, and whether that is a lock on the table itself, for which its writers waited too.';

create function event._idle_watches() returns setof oid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- one that somebody holds locked is left for the next time
    delete from event.watched w where w.relation in (
        select g.relation from event.watched g
        where not exists (select from pg_class c where c.oid = g.relation)
          and not exists (select from event.subscription s where s.relation = g.relation)
        for update skip locked);
    select w.relation from event.watched w where not w.explicit and w.release_after < clock_timestamp()
       and event._tidewire_may_alter(w.relation)
       and not exists (select from event.subscription s where s.relation = w.relation)
$$;
comment on function event._idle_watches() is 'The tables that nobody watches any more and that are to be put back.';

create function event._let_go(relation oid) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    why text;
begin
    begin
        if event._release(relation) then
            return null;
        end if;
    exception when others then
        why := sqlerrm;
    end;
    -- Each attempt may hold up the table's writers for a moment: not often.
    update event.watched w set release_after = clock_timestamp() + interval '1 minute' where w.relation = _let_go.relation;
    return why;
end
$$;
comment on function event._let_go(oid) is
    'Puts a table back as it was once nobody watches it; when that is not possible, not again for a minute. Returns what is in the way, but for locks and privileges.';

create function event._sweep_sessions() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    abandoned uuid;
    begun constant timestamptz := clock_timestamp();
begin
    delete from event.held h
    where (h.session_id, h.pid) in (
        select g.session_id, g.pid from event.held g
        where not exists (select from pg_stat_activity a
                          where a.pid = g.pid and a.usesysid = g.role and coalesce(a.backend_start = g.started, true))
        for update skip locked);
    -- Created within the last seconds: its connection may not have said yet that it holds it. Whose owner was dropped: nobody
    -- is there any more by whose privileges it could be told anything.
    for abandoned in
        select s.id from event.session s
        where not exists (select from pg_roles r where r.oid = s.owner)
           or s.pinned and s.created_at < clock_timestamp() - interval '10 seconds'
          and not exists (select from event.held h join pg_stat_activity a on a.pid = h.pid
                          where h.session_id = s.id and a.usesysid = h.role and coalesce(a.backend_start = h.started, true))
    loop
        begin
            perform set_config('lock_timeout', event._patience(begun), true);
            perform event._delete_session(abandoned);
        exception when lock_not_available then
            null;
        end;
    end loop;
end
$$;
comment on function event._sweep_sessions() is 'Deletes sessions that no connection holds, or whose owner is gone.';

create function event._uninstall() returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    watched record;
    -- one for all: the first table is held until the last is done
    begun timestamptz;
begin
    begun := clock_timestamp();
    delete from event.subscription;
    return query select event._put_back_strangers(event._strangers());
    delete from event.watched w where w.relation = any (event._strangers());
    update event.watched set explicit = false;
    for watched in select w.relation, w.relation::regclass::text as name from event.watched w loop
        if not event._release(watched.relation, begun)
           and exists (select from pg_class c where c.oid = watched.relation) then
            return next watched.name;
        end if;
    end loop;
end
$$;
comment on function event._uninstall() is 'Puts every watched table back; returns those that were busy.';
