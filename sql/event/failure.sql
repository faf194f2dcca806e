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
comment on column event.failure.stop is 'Where it failed: walk (decode, diff, route, encode) or write (the inbox).';
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
