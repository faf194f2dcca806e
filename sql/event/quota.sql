-- Limits of what one role may keep: sessions, subscriptions, and all its inboxes together. They protect every other role, and the
-- disk, from one that never stops; the defaults are so high that ordinary use does not meet them.

create table event.quota (
    role regrole primary key,
    sessions bigint check (sessions >= -1),
    subscriptions bigint check (subscriptions >= -1),
    inbox_bytes bigint check (inbox_bytes >= -1),
    check (role::oid <> 0 or num_nulls(sessions, subscriptions, inbox_bytes) = 0)
);
comment on table event.quota is
    'Limits of roles. The row of role 0 holds the defaults, which the program that serves the database writes at its start; other rows are event.limit_role''s.';
comment on column event.quota.sessions is 'NULL: the default; -1: no limit.';
comment on column event.quota.subscriptions is 'NULL: the default; -1: no limit.';
comment on column event.quota.inbox_bytes is 'All inboxes of the role together. NULL: the default; -1: no limit.';
-- The reasons for these values stand where the program has them, in src/config.rs.
insert into event.quota (role, sessions, subscriptions, inbox_bytes) values (0, 20000, 2000000, pg_size_bytes('8GB'));

-- Upkeep writes a row only when its numbers changed: a database at rest writes no WAL.
create table event.used (
    role regrole primary key,
    sessions bigint not null default 0,
    subscriptions bigint not null default 0,
    inbox_bytes bigint not null default 0,
    counted_at timestamptz not null default clock_timestamp()
);
comment on table event.used is 'How much each role keeps, as upkeep last counted it.';

create view event.usage with (security_barrier) as
select u.role,
       u.sessions, nullif(coalesce(q.sessions, d.sessions), -1) as max_sessions,
       u.subscriptions, nullif(coalesce(q.subscriptions, d.subscriptions), -1) as max_subscriptions,
       u.inbox_bytes, nullif(coalesce(q.inbox_bytes, d.inbox_bytes), -1) as max_inbox_bytes,
       u.counted_at
from event.used u
join event.quota d on d.role = 0
left join event.quota q on q.role = u.role
where pg_has_role(current_user, u.role, 'usage')
   or pg_has_role(current_user, 'pg_monitor', 'usage')
   or pg_has_role(current_user, (select n.nspowner from pg_namespace n where n.nspname = 'event'), 'usage');
comment on view event.usage is
    'What each role keeps, and its limits. A role sees its own row; members of pg_monitor and Tidewire''s own role see all.';
comment on column event.usage.role is 'The role that owns the sessions.';
comment on column event.usage.sessions is 'Sessions, durable or not.';
comment on column event.usage.max_sessions is 'NULL: no limit.';
comment on column event.usage.subscriptions is 'Subscriptions of those sessions, whichever role made them. One with a long key counts once more for each 1,000 bytes of its key.';
comment on column event.usage.max_subscriptions is 'NULL: no limit.';
comment on column event.usage.inbox_bytes is 'What the events in those sessions'' inboxes weigh, roughly.';
comment on column event.usage.max_inbox_bytes is 'NULL: no limit.';
comment on column event.usage.counted_at is 'When these numbers last changed. Upkeep counts every ten seconds.';

create view event._near with (security_barrier) as
select u.role, (select r.rolname from pg_roles r where r.oid = u.role) as name, n.limit_name, n.used, n.most,
       n.used::double precision / greatest(n.most, 1) as ratio,
       case when n.limit_name = 'inbox_size'
            then format('%s of %s in inboxes', pg_size_pretty(n.used), pg_size_pretty(n.most))
            else format('%s of %s %s', n.used, n.most, n.limit_name) end as shown,
       format('select event.limit_role(%L, %s => %s);', (select r.rolname from pg_roles r where r.oid = u.role), n.limit_name,
              case when n.limit_name = 'inbox_size' then quote_literal(pg_size_pretty(n.most::numeric * 2))
                   else (greatest(n.most, 1)::numeric * 2)::text end) as remedy
from event.usage u
cross join lateral (values ('sessions', u.sessions, u.max_sessions), ('subscriptions', u.subscriptions, u.max_subscriptions),
                           ('inbox_size', u.inbox_bytes, u.max_inbox_bytes)) n (limit_name, used, most)
where n.most is not null;
comment on view event._near is 'How near each role is to each of its limits, as far as the role that asks may know.';

create function event._limit(role oid, limit_name text) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select nullif(case limit_name when 'sessions' then coalesce(q.sessions, d.sessions)
                                  when 'subscriptions' then coalesce(q.subscriptions, d.subscriptions)
                                  when 'inbox_size' then coalesce(q.inbox_bytes, d.inbox_bytes) end, -1)
    from event.quota d left join event.quota q on q.role = _limit.role
    where d.role = 0
$$;
comment on function event._limit(oid, text) is 'A role''s limit (sessions, subscriptions, inbox_size); NULL: none.';

create function event._refuse_more(role oid, limit_name text, most bigint) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    role_name constant text := (select r.rolname from pg_roles r where r.oid = role);
begin
    raise exception 'too many % for role "%"', limit_name, role_name
        using errcode = 'configuration_limit_exceeded',
              detail = format('The limit "%s" of the role is %s.', limit_name, most),
              hint = format('%s %s can raise the limit: select event.limit_role(%L, %s => %s);',
                            case limit_name when 'sessions' then 'Delete sessions that nobody reads: event.session_delete(session).'
                                            else 'End subscriptions that are not needed: event.unsubscribe(subscription).' end,
                            'A superuser or a member of role "'
                                || (select n.nspowner::regrole from pg_namespace n where n.nspname = 'event') || '"',
                            role_name, limit_name, greatest(most, 1)::numeric * 2);
end
$$;
comment on function event._refuse_more(oid, text, bigint) is 'The error for a role that has reached a limit.';

create function event._check_sessions(role oid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant bigint := event._limit(role, 'sessions');
begin
    if most is not null
       and (select count(*) from (select from event.session s where s.owner = _check_sessions.role limit most) k) >= most then
        perform event._refuse_more(role, 'sessions', most);
    end if;
end
$$;
comment on function event._check_sessions(oid) is 'An error when the role has as many sessions as it may have.';

-- Runs after the insert, so that the row is counted too. The first, cheap number takes all that was inserted since the last count for the
-- role's, and may be wrong by what other connections did within a second. An error is raised only by the exact one. The engine keeps keys in memory: a long one counts for more.
create function event._check_subscriptions(role oid, key text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant bigint := event._limit(role, 'subscriptions');
    weight constant bigint := 1 + coalesce(octet_length(key::text), 0) / 1000;
    -- of this transaction, and what this connection has not passed to the statistics yet; no role can set this number
    own constant bigint := pg_stat_get_xact_tuples_inserted('event.subscription'::regclass)
                           - pg_stat_get_xact_tuples_deleted('event.subscription'::regclass);
begin
    if most is null
       or coalesce((select u.subscriptions from event.used u where u.role = _check_subscriptions.role), 0)
          + greatest(own, 1) * weight
          + greatest(pg_stat_get_tuples_inserted('event.subscription'::regclass) - coalesce((select c.inserted from event.counted c), 0), 0)
          <= most
    then
        return;
    end if;
    if (select sum(k.weight)
        from (select 1 + coalesce(octet_length(s.key::text), 0) / 1000 as weight
              from event.session x join event.subscription s on s.session_id = x.id
              where x.owner = _check_subscriptions.role limit most + 1) k) > most then
        perform event._refuse_more(role, 'subscriptions', most);
    end if;
end
$$;
comment on function event._check_subscriptions(oid, text[]) is 'An error when the role has more subscriptions than it may have; the key is that of the last one.';

-- Nobody counts while no program runs. What the server has counted meanwhile is a bound.
create table event.counted (
    only_one boolean primary key default true check (only_one),
    inserted bigint not null
);
comment on table event.counted is 'One row: how many subscriptions PostgreSQL''s statistics had seen inserted at the last count.';

create function event._count_subscriptions() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into event.counted as c (inserted)
    select n.inserted from (select pg_stat_get_tuples_inserted('event.subscription'::regclass)) n (inserted)
    -- too low a number only has subscriptions counted exactly; a database at rest writes none
    where not exists (select from event.counted k where n.inserted between k.inserted and k.inserted + 1000)
    on conflict (only_one) do update set inserted = excluded.inserted;
    insert into event.used as u (role, subscriptions)
    select c.owner, c.subscriptions
    from (select x.owner, sum(coalesce(n.subscriptions, 0)) as subscriptions
          from event.session x
          left join (select s.session_id, sum(1 + coalesce(octet_length(s.key::text), 0) / 1000) as subscriptions
                     from event.subscription s group by s.session_id) n
               on n.session_id = x.id
          group by x.owner) c
    -- ON CONFLICT locks rows that it leaves as they are, which is written to the WAL
    left join event.used u on u.role = c.owner
    where u.subscriptions is distinct from c.subscriptions
    on conflict (role) do update set subscriptions = excluded.subscriptions, counted_at = clock_timestamp();
$$;
comment on function event._count_subscriptions() is 'Brings event.used.subscriptions up to date.';

create function event._subscriptions_mark() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when current_setting('track_counts')::boolean
                then concat_ws('/', pg_stat_get_tuples_inserted('event.subscription'::regclass),
                               pg_stat_get_tuples_deleted('event.subscription'::regclass),
                               (select count(*) from event.used)) end
$$;
comment on function event._subscriptions_mark() is
    'Another text when subscriptions were added or removed; while it is the same, they are not counted again. NULL: the server does not say.';

create function event._forget_roles() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from event.used u where not exists (select from event.session s where s.owner = u.role);
    delete from event.quota q where q.role <> 0 and not exists (select from pg_roles r where r.oid = q.role);
$$;
comment on function event._forget_roles() is 'Removes what is kept of roles that have no session any more, and the limits of roles that were dropped.';

create function event._default_limits(sessions bigint, subscriptions bigint, inbox_bytes bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update event.quota q
    set sessions = _default_limits.sessions, subscriptions = _default_limits.subscriptions, inbox_bytes = _default_limits.inbox_bytes
    where q.role = 0 and (q.sessions, q.subscriptions, q.inbox_bytes)
                         is distinct from (_default_limits.sessions, _default_limits.subscriptions, _default_limits.inbox_bytes)
$$;
comment on function event._default_limits(bigint, bigint, bigint) is 'Sets the limits of roles that have none of their own.';

-- With the caller's rights: only Tidewire's own role, its members and superusers may write event.quota.
create function event.limit_role(
    role name, sessions bigint default null, subscriptions bigint default null, inbox_size text default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    limited constant regrole := event._role(limit_role.role);
    inbox_bytes constant bigint := case when limit_role.inbox_size = '-1' then -1 else pg_size_bytes(limit_role.inbox_size) end;
begin
    if least(limit_role.sessions, limit_role.subscriptions, inbox_bytes) < -1 then
        raise exception 'a limit must not be negative' using errcode = 'invalid_parameter_value', hint = '-1 is no limit.';
    end if;
    insert into event.quota as q (role, sessions, subscriptions, inbox_bytes)
    values (limited, limit_role.sessions, limit_role.subscriptions, inbox_bytes)
    on conflict (role) do update
    set sessions = coalesce(excluded.sessions, q.sessions), subscriptions = coalesce(excluded.subscriptions, q.subscriptions),
        inbox_bytes = coalesce(excluded.inbox_bytes, q.inbox_bytes);
end
$$;
comment on function event.limit_role(name, bigint, bigint, text) is
    'Sets limits of a role, at once; those that are not named stay as they are. -1: no limit. For superusers and Tidewire''s own role.';

create function event.limit_role_reset(role name) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    limited constant regrole := event._role(limit_role_reset.role);
begin
    delete from event.quota q where q.role = limited;
end
$$;
comment on function event.limit_role_reset(name) is 'Gives a role the default limits again. For superusers and Tidewire''s own role.';
