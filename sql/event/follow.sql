-- Following a schema change in its own transaction: what it concerns, and what it asks for.

-- Up from a type to the tables that have it in a column, through arrays, domains and other rows; up from a partition to its root; down
-- from a table to those that inherit from it.
create function event._concerned(relations oid[], types oid[]) returns oid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    concerned oid[];
begin
    with recursive touched (class, object) as (
        select 'pg_class'::regclass, u.oid from unnest(relations) as u (oid)
        union
        select 'pg_type'::regclass, u.oid from unnest(types) as u (oid)
        union
        select x.class, x.object
        from touched t cross join lateral (
            select 'pg_class'::regclass as class, h.inhrelid as object from pg_inherits h
            where t.class = 'pg_class'::regclass and h.inhparent = t.object
            union all
            select 'pg_class'::regclass, h.inhparent from pg_inherits h join pg_class c on c.oid = h.inhrelid and c.relispartition
            where t.class = 'pg_class'::regclass and h.inhrelid = t.object
            union all
            select 'pg_type'::regclass, c.reltype from pg_class c
            where t.class = 'pg_class'::regclass and c.oid = t.object and c.reltype <> 0
            union all
            select d.classid::regclass, d.objid from pg_depend d
            where t.class = 'pg_type'::regclass and d.refclassid = 'pg_type'::regclass and d.refobjid = t.object
              and d.classid in ('pg_class'::regclass, 'pg_type'::regclass)) x
    )
    select array_agg(distinct r.relation) into concerned
    from (select w.relation from touched t join event.watched w on w.relation = t.object
          where t.class = 'pg_class'::regclass
          union all
          -- a partition that is no more
          select i.root from touched t join event.identity i on i.relation = t.object
          where t.class = 'pg_class'::regclass) r;
    return concerned;
end
$$;
comment on function event._concerned(oid[], oid[]) is
    'The watched tables that are made of something else when these relations and types are; NULL: none.';

-- Each step by itself: what keeps one from being done must not keep the others from it.
create function event._follow(relations oid[], with_privileges boolean) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    step text;
    failed text;
begin
    foreach step in array array['end', 'spare', 'redescribe', 'identify', 'recheck'] loop
        begin
            if step = 'redescribe' then
                perform event._redescribe(relations);
            elsif step = 'end' then
                perform event._end_subscriptions(relations);
            elsif step = 'spare' then
                perform event._spare_writers(relations);
            elsif step = 'identify' then
                failed := nullif(concat_ws('; ', failed, (select string_agg(event._identify(r), '; ')
                                                          from event._unidentified(relations) r)), '');
            elsif with_privileges then
                perform event._recheck(r) from unnest(relations) r;
            end if;
        exception when others then
            failed := coalesce(failed, sqlerrm);
        end;
    end loop;
    return failed;
end
$$;
comment on function event._follow(oid[], boolean) is
    'All that a schema change of these watched tables asks for; returns what was in the way.';

-- Which table a GRANT was of it does not say: it is among what has been written since the oldest transaction began that may be open.
create function event._granted(of_schemas boolean) returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recent (age) as (select age(pg_snapshot_xmin(pg_current_snapshot())::xid))
    select w.relation from recent r cross join event.watched w
    join pg_class c on c.oid = w.relation join pg_namespace n on n.oid = c.relnamespace
    where case when of_schemas then age(n.xmin) <= r.age
          else age(c.xmin) <= r.age
               or exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and age(a.xmin) <= r.age) end
$$;
comment on function event._granted(boolean) is 'The watched tables of which a GRANT or REVOKE may just have been, or of whose schemas.';

-- The message tells it too, in a language of the server's.
create function event._is_timed_out() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.setting::bigint > 0 and clock_timestamp() >= statement_timestamp() + s.setting::bigint * interval '1 ms'
    from pg_settings s where s.name = 'statement_timeout'
$$;
comment on function event._is_timed_out() is 'Whether the statement has run for as long as statement_timeout allows.';
