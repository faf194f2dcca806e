-- What the engine looks for by itself: schema changes that no event trigger followed, whatever the reason.

create table event.looked (
    relation oid primary key,
    print bigint not null
);
comment on table event.looked is 'What the catalog said of each watched table when it was last described, in short.';

create function event._prints() returns table (relation oid, print bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive watched as materialized (
        select w.relation, c.relkind, hash_record_extended(row(c.relname::text, n.nspname::text, c.relnatts, c.relkind, c.relpersistence), 0) as print
        from event.watched w join pg_class c on c.oid = w.relation join pg_namespace n on n.oid = c.relnamespace
    ), columns as materialized (
        select a.attrelid, bool_or(a.atttypid >= 16384) as has_types,
               bit_xor(hash_record_extended(row(a.attnum, a.attname::text, a.atttypid, a.attgenerated, a.attisdropped), 0)) as print
        from pg_attribute a where a.attrelid in (select w.relation from watched w) and a.attnum > 0
        group by a.attrelid
    ), keys as (
        select k.conrelid, hash_record_extended(row(k.conkey::int[]), 0) as print
        from pg_constraint k where k.conrelid in (select w.relation from watched w) and k.contype = 'p'
    ), tree (root, oid, relkind) as (
        select w.relation, w.relation, w.relkind from watched w where w.relkind = 'p'
        union all
        select t.root, c.oid, c.relkind from tree t
        join pg_inherits h on h.inhparent = t.oid join pg_class c on c.oid = h.inhrelid
        where t.relkind = 'p'
    ), parts as (
        select t.root, bit_xor(hash_record_extended(row(c.oid, c.relname::text, n.nspname::text, c.relnatts, c.relkind, c.relpersistence), 0)) as print
        from tree t join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
        group by t.root
    ), reached (type) as (
        select distinct a.atttypid from pg_attribute a
        where a.attrelid in (select w.relation from watched w) and a.attnum > 0 and a.atttypid >= 16384
        union
        select x.type from reached r join pg_type t on t.oid = r.type cross join lateral (
            select t.typelem as type union all select t.typbasetype
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and t.typtype = 'c' and a.attnum > 0 and not a.attisdropped) x
        where x.type >= 16384
    ), types as (
        select bit_xor(hash_record_extended(row(t.oid, t.typtype, t.typelem, t.typbasetype, a.attnum, a.attname::text, a.atttypid), 0)) as print
        from reached r join pg_type t on t.oid = r.type
        left join pg_attribute a on a.attrelid = t.typrelid and t.typtype = 'c' and a.attnum > 0 and not a.attisdropped
    )
    select w.relation, hash_record_extended(row(w.print, c.print, k.print, p.print, case when c.has_types then t.print end), 0)
    from watched w cross join types t
    left join columns c on c.attrelid = w.relation left join keys k on k.conrelid = w.relation left join parts p on p.root = w.relation
$$;
comment on function event._prints() is
    'All that the descriptions of the watched tables are made of, in short. Of all tables at once: to describe each takes a hundred times as long.';

create function event._sweep_schema() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    altered oid[];
    is_overdue boolean;
    followed oid;
    begun timestamptz;
begin
    delete from event.overdue;
    is_overdue := found;
    with now as materialized (
        select p.relation, p.print from event._prints() p
    ), gone as (
        delete from event.looked l where not exists (select from now n where n.relation = l.relation)
    ), noted as (
        insert into event.looked as l (relation, print) select n.relation, n.print from now n
        where not exists (select from event.looked o where o.relation = n.relation and o.print = n.print)
        on conflict on constraint looked_pkey do update set print = excluded.print
        returning l.relation
    )
    select array_agg(n.relation) into altered from noted n;
    if is_overdue then
        altered := array(select w.relation from event.watched w);
    end if;
    -- Each table by itself: whoever keeps one locked must not keep the others from it. That one is looked at again.
    begun := clock_timestamp();
    for followed in
        select distinct u.relation from unnest(altered || array(
            select w.relation from event.watched w
            where w.look_again_until is not null or not exists (select from pg_class c where c.oid = w.relation))) as u (relation)
    loop
        begin
            perform set_config('lock_timeout', event._patience(begun), true);
            perform event._end_subscriptions(array[followed]);
            if followed = any (altered) then
                perform event._spare_writers(array[followed]);
                perform event._redescribe(array[followed]);
            end if;
        exception when lock_not_available then
            delete from event.looked l where l.relation = followed;
        end;
    end loop;
    perform event._follow_keys(null, false, false);
end
$$;
comment on function event._sweep_schema() is 'Follows what schema changes no event trigger did.';

-- Whoever may alter the publication may take a watched table out of it. What is written then is lost to those who watch the table.
create function event._unpublished() returns setof oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select w.relation from event.watched w join pg_class c on c.oid = w.relation
    where not exists (select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
                      where r.prrelid = w.relation and p.pubname = (select i.publication from event.installation i))
      and exists (select from pg_publication p where p.pubname = (select i.publication from event.installation i))
      and (w.explicit or exists (select from event.subscription s where s.relation = w.relation and s.ended is null))
      and w.release_after < clock_timestamp();
end
$$;
comment on function event._unpublished() is 'The watched tables that are not in the publication, and are to be.';

create function event._republish(relation oid, out name text, out told bigint, out why text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    name := _republish.relation::regclass;
    begin
        perform event._publish(_republish.relation);
        insert into event.gap (session_id, durable, reason, from_id, to_id)
        -- since when it was not there nothing tells
        select s.id, s.durable, 'unpublished', event._event_id('0/0', 0), event._event_id(pg_current_wal_insert_lsn(), 0)
        from event.session s
        where exists (select from event.route r where r.session_id = s.id and r.relation = _republish.relation);
        get diagnostics told = row_count;
        return;
    exception
        when lock_not_available then
            return;
        when others then
            why := sqlerrm;
    end;
    update event.watched w set release_after = clock_timestamp() + interval '1 minute' where w.relation = _republish.relation;
end
$$;
comment on function event._republish(oid) is
    'Puts a watched table back into the publication, and tells those who watch it of a gap; returns its name, how many sessions are told (NULL: it is busy), and what else is in the way.';
