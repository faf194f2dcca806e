-- What stopped the walk twice at the same place, and was set aside: the sessions that it concerned have a gap in its place. Nothing of
-- what was in it stands here.

create table event.failure (
    id text collate "C" primary key,
    stop text not null,
    code text not null,
    at timestamptz not null default clock_timestamp()
);
comment on table event.failure is 'Changes that were set aside because they failed twice, in place of which sessions have a gap; the last thousand.';
comment on column event.failure.id is 'The place of the change, as in an event''s id.';
comment on column event.failure.stop is 'Where it failed: read (the server cannot send the transaction), walk (decode, diff, route, encode) or write (the inbox).';
comment on column event.failure.code is 'Why: an SQLSTATE, or malformed, panic, not_utf8, too_long, of_a_relation (its relation could not be read), before (it failed in another run).';

create function event._note_failures(ids text[], stops text[], codes text[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into event.failure (id, stop, code)
    select f.id, f.stop, f.code from unnest(ids, stops, codes) as f (id, stop, code)
    on conflict (id) do nothing;
    delete from event.failure f
    where f.id <= (select o.id from event.failure o order by o.id desc offset 1000 limit 1);
$$;
comment on function event._note_failures(text[], text[], text[]) is 'Notes changes that were set aside, and forgets all but the last thousand.';

-- The process ends within such a step: the next one has to know before it comes there.
create table event.hang (
    lsn pg_lsn not null,
    message bigint not null,
    kind smallint not null,
    at timestamptz not null default clock_timestamp(),
    primary key (lsn, message, kind)
);
comment on table event.hang is 'Steps of the walk that did not end; the next walk sets them aside.';
comment on column event.hang.lsn is 'Where the transaction commits.';
comment on column event.hang.message is 'The message''s number in it.';
comment on column event.hang.kind is 'The message''s kind: the first byte of it.';

create function event._pass_over(commits_at pg_lsn, code text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    first_id constant text := event._event_id(commits_at, 0);
    last_id constant text := event._event_id(commits_at, 4294967295);
    told bigint;
begin
    -- What the transaction did to subscriptions, endings and descriptions is not read either: it is taken from the tables, which show the
    -- transaction by now. What was done since is among it, and comes by in the stream once more; the gap says that this place is not
    -- exact. Nothing is locked: what an open transaction does comes by at its commit, and nobody waits for it.
    told := event._tell_gap('change_failed', first_id, last_id);
    delete from event.route r where not exists (select from event.subscription s where s.id = r.subscription_id);
    insert into event.route (subscription_id, session_id, kind, relation, attnum, key, visible, durable)
    select s.id, s.session_id, s.kind, s.relation, s.attnum, s.key, s.visible, s.durable
    from event.subscription s where s.ended is null and not s.waiting
    on conflict (subscription_id) do nothing;
    -- an ending that is not delivered takes its place behind this
    update event.ending e set reason = e.reason where not e.delivered;
    delete from event.described d where not exists (select from event.watched w where w.relation = d.relation);
    insert into event.described (relation, description)
    select w.relation, w.description from event.watched w where w.description is not null
    on conflict (relation) do update set description = excluded.description;
    -- of what of it was stored before
    update event.inbox i set last = true
    from (select m.session_id, max(m.id) as id from event.inbox m where m.id > first_id and m.id <= last_id group by m.session_id) n
    where i.session_id = n.session_id and i.id = n.id and not i.last;
    perform event._note_failures(array[last_id], array['read'], array[code]);
    return told;
end
$$;
comment on function event._pass_over(pg_lsn, text) is
    'A transaction cannot be read: tells every session of a gap in its place, and brings the engine''s copies up to date; returns how many sessions.';
