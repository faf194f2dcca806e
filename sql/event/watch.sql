-- Watching a table: it joins the publication, and its writers log old rows whole (REPLICA IDENTITY FULL). Both are
-- undone when nobody watches it any more.

create table event.watched (
    relation oid primary key,
    explicit boolean not null,
    description text not null,
    key_attnums smallint[],
    dropped smallint[] not null default '{}',
    look_again_until xid8,
    release_after timestamptz not null default '-infinity',
    since timestamptz not null default clock_timestamp()
);
comment on table event.watched is 'One row a table that Tidewire put into its publication.';
comment on column event.watched.explicit is 'The owner asked for it with event.watch; it stays until event.unwatch.';
comment on column event.watched.key_attnums is 'The primary key''s column numbers when last looked at.';
comment on column event.watched.release_after is 'Putting it back, or setting the identity of a partition, failed: not to be tried again before.';
comment on column event.watched.dropped is 'The numbers of the columns that were dropped when last looked at.';
comment on column event.watched.look_again_until is
    'Transactions before this one were open when a column or the key went, and may have subscribed by what was there before: until they have ended, subscriptions are looked at again.';
comment on column event.watched.description is 'What the table is made of (event._describe): the engine reads it from the WAL.';

create table event.identity (
    relation oid primary key,
    root oid not null references event.watched on delete cascade,
    former "char" not null,
    former_index oid,
    former_index_name name
);
comment on table event.identity is 'The replica identity that each watched table, and each partition of one, had before, to be put back.';
comment on column event.identity.former_index_name is 'Its name then: in a copy that was loaded from a dump it has another number.';

create function event._is_published(relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
                   where r.prrelid = relation and p.pubname = (select i.publication from event.installation i))
$$;
comment on function event._is_published(oid) is 'Whether the relation is in Tidewire''s publication.';

create function event._is_known(relation oid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select exists (select from event.watched w where w.relation = _is_known.relation) $$;
comment on function event._is_known(oid) is 'Whether the table has a row in event.watched, for the callers of event.watch too.';

create function event._is_watched(relation oid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from event.watched w where w.relation = _is_watched.relation)
           and event._is_published(relation)
           and not exists (select from event._leaves(relation) f join pg_class c on c.oid = f where c.relreplident <> 'f')
$$;
comment on function event._is_watched(oid) is 'Whether the table is published with whole old rows.';

create function event._tidewire_may_alter(relation oid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select pg_has_role(current_user, c.relowner, 'usage') from pg_class c where c.oid = relation $$;
comment on function event._tidewire_may_alter(oid) is 'Whether Tidewire''s own role owns the relation, by membership or as a superuser.';

-- A transaction that takes something from a watched table (releases it, follows a dropped column) first locks its row here. It then
-- sees every subscription that there is, and a later subscription sees what was taken. The lock is the weakest that does this: it
-- keeps nobody from bringing the description up to date.
create function event._keep_watched(relation oid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from event.watched w where w.relation = _keep_watched.relation for key share;
    return found;
end
$$;
comment on function event._keep_watched(oid) is
    'Keeps a watched table watched until the caller''s transaction ends, and waits for a transaction that is releasing it; false when it is not watched.';

create function event._note_watch(relation oid, explicit boolean) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform event._keep_watched(_note_watch.relation);
    insert into event.watched as w (relation, explicit, description, key_attnums, dropped)
    values (_note_watch.relation, _note_watch.explicit, event._describe(_note_watch.relation),
            event._key_attnums(_note_watch.relation),
            array(select a.attnum from pg_attribute a where a.attrelid = _note_watch.relation and a.attisdropped
                  order by a.attnum))
    on conflict (relation) do update set explicit = w.explicit or excluded.explicit, description = excluded.description;
    insert into event.identity (relation, root, former, former_index, former_index_name)
    select c.oid, _note_watch.relation, c.relreplident, x.oid, x.relname
    from event._leaves(_note_watch.relation) f join pg_class c on c.oid = f
    left join (pg_index i join pg_class x on x.oid = i.indexrelid) on i.indrelid = c.oid and i.indisreplident
    -- what is another again after it was made FULL somebody has chosen since
    on conflict on constraint identity_pkey do update
    set former = excluded.former, former_index = excluded.former_index, former_index_name = excluded.former_index_name
    where excluded.former <> 'f';
    if event._mirrors(_note_watch.relation) is not null and not event._is_published(_note_watch.relation) then
        perform event._fill_mirror(_note_watch.relation);
    end if;
end
$$;
comment on function event._note_watch(oid, boolean) is 'Remembers a table''s replica identity before it is changed.';

create function event._check_owner(caller oid, relation oid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_has_role(caller, (select c.relowner from pg_class c where c.oid = relation), 'usage') is not true then
        raise exception 'must be owner of table "%"', relation::regclass using errcode = 'insufficient_privilege';
    end if;
end
$$;
comment on function event._check_owner(oid, oid) is 'An error unless the caller owns the table.';

create function event._note_own_watch(caller oid, relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform event._check_watchable(relation);
    perform event._check_owner(caller, relation);
    perform event._note_watch(relation, true);
end
$$;
comment on function event._note_own_watch(oid, oid) is 'event._note_watch for a table''s owner, who then sets the replica identity with rights of its own.';

-- Milliseconds, for lock_timeout. Short: while an ALTER waits for its lock, every writer of the table queues up behind it;
-- and with many partitions those that are locked already wait for the others too.
create function event._patience(since timestamptz) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select greatest(200 - extract(epoch from clock_timestamp() - since) * 1000, 1)::int::text $$;
comment on function event._patience(timestamptz) is 'How long a change of a table may still wait for its lock.';

create function event._publish(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    leaf oid;
    publication constant name := event._publication();
    begun constant timestamptz := clock_timestamp();
    locked regclass;
begin
    if not event._is_published(relation) then
        -- The publication first: another's first subscription may hold it, and no writer waits for that.
        execute format('alter publication %I add table only %s', publication, relation::regclass);
        locked := relation;
        -- A transaction that has written to the table and goes on may not be seen to do so: PostgreSQL before 14.18, 15.13,
        -- 16.9 and 17.5 decodes it by the publication as it was when it began. Changing the identity waits for it too.
        perform set_config('lock_timeout', event._patience(begun), true);
        execute format('lock table %s in share row exclusive mode', relation::regclass);
    end if;
    locked := relation;
    for leaf in select c.oid from event._leaves(relation) f join pg_class c on c.oid = f
                where c.relreplident <> 'f' order by c.oid
    loop
        perform set_config('lock_timeout', event._patience(begun), true);
        execute format('alter table %s replica identity full', leaf::regclass);
    end loop;
    -- somebody may have been faster to the lock
    perform event._check_watchable(relation);
exception
    when lock_not_available then
        raise exception '%', case when locked is null then format('publication "%s" is busy', publication)
                             else format('table "%s" is busy', locked) end
            using errcode = 'lock_not_available',
                  -- whose writers have waited
                  table = coalesce(locked::text, ''),
                  detail = 'Watching a table needs a short exclusive lock on it, and one on the publication (which another first subscription, '
                           'not yet committed, may hold). They were not to be had within 200 ms.',
                  hint = 'Try again, or run event.watch at a quiet moment: once a table is watched, subscribing takes no lock.';
end
$$;
comment on function event._publish(oid) is 'Sets the replica identity and joins the publication, with the rights of whoever runs it.';

create function event._publication() returns name
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select publication from event.installation $$;
comment on function event._publication() is 'The name of Tidewire''s publication in this database.';

create table event.asked (
    relation oid primary key,
    caller oid not null,
    at timestamptz not null default clock_timestamp()
);
comment on table event.asked is 'Tables that their owners asked to have watched, and that the running program has not prepared yet.';
comment on column event.asked.caller is 'The role that asked: its event.sync() waits for it.';

-- No transaction of an ordinary role holds the publication, for as long as it likes: every first subscription to another table would wait.
create function event._watch(caller oid, relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform event._check_watchable(relation);
    perform event._check_owner(caller, relation);
    if event._is_watched(relation)
       or pg_has_role(caller, (select n.nspowner from pg_namespace n where n.nspname = 'event'), 'usage')
       or not exists (select from pg_replication_slots s where s.slot_name = event._slot() and s.active) then
        perform event._note_watch(relation, true);
        perform event._publish(relation);
        return;
    end if;
    insert into event.asked as a (relation, caller) values (_watch.relation, _watch.caller)
    on conflict on constraint asked_pkey do update set caller = excluded.caller;
    raise notice 'table "%" is not watched yet', relation::regclass
        using detail = 'After the commit Tidewire prepares the table.',
              hint = 'After the commit, "select event.sync()" returns once that is so.';
end
$$;
comment on function event._watch(oid, oid) is 'event.watch with the rights of Tidewire''s own role, for the table''s owner.';

create function event._caller_may_alter(relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select pg_has_role(c.relowner, 'usage')
           and pg_has_role((select p.pubowner from pg_publication p where p.pubname = event._publication()), 'usage')
    from pg_class c where c.oid = relation
$$;
comment on function event._caller_may_alter(oid) is 'Whether the caller may do itself what watching needs: it owns the table and the publication.';

create function event.watch(relation regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if relation is null then
        raise exception 'relation must not be null' using errcode = 'null_value_not_allowed';
    end if;
    perform event._check_watchable(relation);
    if event._tidewire_may_alter(relation) then
        insert into event._call (command, relation) values ('watch', watch.relation);
        return;
    end if;
    if not event._caller_may_alter(relation) then
        raise exception 'cannot put table "%" into publication "%"', relation, event._publication()
            using errcode = 'insufficient_privilege',
                  detail = 'That takes a role that owns both the table and the publication.',
                  hint = format('As an administrator: grant %s to %s; or run event.watch as a superuser.',
                                (select c.relowner::regrole from pg_class c where c.oid = relation),
                                (select p.pubowner::regrole from pg_publication p where p.pubname = event._publication()));
    end if;
    insert into event._call (command, relation) values ('note_watch', watch.relation);
    perform event._publish(relation);
end
$$;
comment on function event.watch(regclass) is
    'Run once by a table''s owner: lets others subscribe to the table (each needs SELECT). The running program prepares the table after the commit; event.sync() waits for that. Stays until event.unwatch.';

create function event._unwatch(caller oid, relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform event._check_owner(caller, relation);
    delete from event.asked a where a.relation = _unwatch.relation;
    update event.watched w set explicit = false where w.relation = _unwatch.relation;
    perform event._release(relation);
end
$$;
comment on function event._unwatch(oid, oid) is 'event.unwatch with the rights of Tidewire''s own role, for the table''s owner.';

create function event.unwatch(relation regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if relation is null then
        raise exception 'relation must not be null' using errcode = 'null_value_not_allowed';
    end if;
    insert into event._call (command, relation) values ('unwatch', unwatch.relation);
    if event._caller_may_alter(relation) and not event._tidewire_may_alter(relation) then
        perform event._release(relation);
    end if;
end
$$;
comment on function event.unwatch(regclass) is 'Takes back event.watch. The table stays watched until its last subscription ends.';

create function event._put_back_identity(relation oid, begun timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    former record;
begin
    for former in
        select i.relation, i.former, x.relname as index_name
        from event.identity i join pg_class c on c.oid = i.relation left join pg_class x on x.oid = i.former_index
        where i.root = _put_back_identity.relation and i.former <> 'f' and c.relreplident = 'f'
    loop
        perform set_config('lock_timeout', event._patience(begun), true);
        if former.former = 'i' and former.index_name is not null then
            begin
                execute format('alter table %s replica identity using index %I', former.relation::regclass, former.index_name);
                continue;
            exception when wrong_object_type or object_not_in_prerequisite_state then
                -- The index is of another kind now, such as one with a column that may be NULL.
            end;
        end if;
        execute format('alter table %s replica identity %s', former.relation::regclass,
                       case when former.former = 'n' then 'nothing' else 'default' end);
    end loop;
end
$$;
comment on function event._put_back_identity(oid, timestamptz) is 'Gives the tables of a watched one the replica identity that they had.';

create function event._release(relation oid, begun timestamptz default clock_timestamp()) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
#variable_conflict use_column
declare
    publication constant name := event._publication();
begin
    -- by an older snapshot it cannot be told who has subscribed since
    if current_setting('transaction_isolation') <> 'read committed' then
        return false;
    end if;
    perform from event.watched where relation = _release.relation and not explicit for update nowait;
    if not found or exists (select from event.subscription s where s.relation = _release.relation) then
        return false;
    end if;
    if event._is_published(_release.relation) then
        perform set_config('lock_timeout', event._patience(begun), true);
        execute format('alter publication %I drop table only %s', publication, _release.relation::regclass);
    end if;
    perform event._put_back_identity(_release.relation, begun);
    delete from event.watched where relation = _release.relation;
    return true;
-- in use: by the caller's own open cursor or pending trigger
exception when lock_not_available or object_in_use or insufficient_privilege then
    return false;
end
$$;
comment on function event._release(oid, timestamptz) is 'Puts a table back as it was once nobody watches it; false when that is not so, or not possible now.';
