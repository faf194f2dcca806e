-- What becomes of subscriptions to rows when the key's type, or an enum's label, changes.
--
-- A file of its own, because the event trigger and upkeep decide it alike: a stored key is rewritten where it names the same row
-- in another text, and where that cannot be known the subscription ends. The catalog does not say whether a type was changed
-- USING an expression. It says whether the column was written, and whether the table was; the statement says the rest.

create table event.watched_key (
    relation oid primary key references event.watched on delete cascade,
    attnums smallint[] not null,
    read_as text[] not null,
    made_of text not null,
    labels jsonb not null,
    written text not null,
    place oid,
    file oid,
    types oid[] not null,
    look_again_until xid8,
    ended_before timestamptz
);
comment on table event.watched_key is 'What the key of each table was made of whose rows are subscribed to, when last looked at.';
comment on column event.watched_key.read_as is 'Of each key column: type without domains, modifier, collation.';
comment on column event.watched_key.made_of is 'The enum labels and attributes of the types that the key''s types are made of, in short.';
comment on column event.watched_key.labels is 'The labels of the key columns'' enums, by their numbers.';
comment on column event.watched_key.written is 'The versions of the key columns'' rows in pg_attribute.';
comment on column event.watched_key.place is 'The table, or the first partition that holds its rows; file is where that is stored: another one when it was rewritten.';
comment on column event.watched_key.types is 'The types that are not PostgreSQL''s own and of which the key''s types are made.';
comment on column event.watched_key.look_again_until is
    'Transactions before this one were open when the key changed, and may have subscribed by what it was before.';
comment on column event.watched_key.ended_before is 'All subscriptions to rows from before this time have ended.';

create function event._base_type(type oid, typmod integer, out base oid, out base_typmod integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    domain record;
begin
    base := type;
    base_typmod := typmod;
    loop
        select t.typbasetype, t.typtypmod into domain from pg_type t where t.oid = base and t.typtype = 'd';
        exit when not found;
        base := domain.typbasetype;
        base_typmod := case when domain.typtypmod >= 0 then domain.typtypmod else base_typmod end;
    end loop;
end
$$;
comment on function event._base_type(oid, integer) is 'The type and modifier beneath domains.';

-- Types whose values have the same texts are of one class: a key stays what it is when its column goes from one to the other. Of
-- an enum's label its number is kept, which renaming leaves as it is.
create function event._key_classes(relation oid, key text[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(case when b.base in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) then 'number'
                          when b.base in ('text'::regtype, 'varchar'::regtype) then 'text'
                          else b.base::text end
                     || coalesce(':' || (select e.oid from pg_enum e where e.enumtypid = b.base and e.enumlabel = key[u.place]), '')
                     order by u.place)
    from unnest(event._key_attnums(relation)) with ordinality u (attnum, place)
    join pg_attribute a on a.attrelid = relation and a.attnum = u.attnum
    cross join lateral event._base_type(a.atttypid, a.atttypmod) b
$$;
comment on function event._key_classes(oid, text[]) is 'What the values of a key are read as.';

create function event._part_types(types oid[]) returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select unnest(types)
        union
        select n.oid
        from part p join pg_type t on t.oid = p.oid and t.oid >= 16384
        cross join lateral (
            select t.typelem where t.typelem <> 0
            union all
            select t.typbasetype where t.typbasetype <> 0
            union all
            select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            union all
            select r.rngsubtype from pg_range r where r.rngtypid = t.oid
            union all
            select r.rngtypid from pg_range r where to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
        ) n (oid)
    )
    select coalesce(array_agg(p.oid order by p.oid), '{}') from part p where p.oid >= 16384
$$;
comment on function event._part_types(oid[]) is 'The types that are not PostgreSQL''s own and of which these types are made, themselves among them.';

create function event._made_of(types oid[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when types = '{}' then '' else md5(concat_ws('|',
        (select string_agg(concat_ws(',', e.oid, e.enumlabel), ';' order by e.oid) from pg_enum e where e.enumtypid = any (types)),
        (select string_agg(concat_ws(',', a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped), ';'
                           order by a.attrelid, a.attnum)
         from pg_type t join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0
         where t.oid = any (types) and t.typtype = 'c'))) end
$$;
comment on function event._made_of(oid[]) is 'The labels of enums and the attributes of row types, in short: another text when they change.';

-- A column that is altered twice in one transaction has another command's number.
create function event._key_written(relation oid, attnums smallint[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_agg(concat_ws('/', a.attnum, a.xmin, a.cmin), ',' order by a.attnum), '')
    from pg_attribute a where a.attrelid = relation and a.attnum = any (attnums)
$$;
comment on function event._key_written(oid, smallint[]) is 'The versions of these columns'' rows in pg_attribute.';

create function event._look_at_key(relation oid) returns event.watched_key
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    look event.watched_key;
begin
    look.relation := relation;
    look.attnums := coalesce(event._key_attnums(relation), '{}');
    select coalesce(array_agg(concat_ws('/', b.base, b.base_typmod, a.attcollation) order by array_position(look.attnums, a.attnum)), '{}'),
           case when bool_or(a.atttypid >= 16384) then event._part_types(array_agg(a.atttypid)) else '{}' end
    into look.read_as, look.types
    from pg_attribute a cross join lateral event._base_type(a.atttypid, a.atttypmod) b
    where a.attrelid = relation and a.attnum = any (look.attnums);
    look.made_of := event._made_of(look.types);
    select coalesce(jsonb_object_agg(e.enumtypid || ':' || e.oid, e.enumlabel), '{}') into look.labels
    from pg_enum e where look.types <> '{}' and e.enumtypid in (select split_part(r, '/', 1)::oid from unnest(look.read_as) r);
    look.written := event._key_written(relation, look.attnums);
    select c.oid, c.relfilenode into look.place, look.file from pg_class c
    where c.oid = case when (select r.relkind from pg_class r where r.oid = look.relation) = 'p'
                       then (select min(l) from event._leaves(look.relation) l) else look.relation end;
    return look;
end
$$;
comment on function event._look_at_key(oid) is 'What the key of a table is made of now.';

create function event._note_key(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from event.watched_key k where k.relation = _note_key.relation) then
        insert into event.watched_key select l.* from event._look_at_key(_note_key.relation) l on conflict do nothing;
    end if;
end
$$;
comment on function event._note_key(oid) is 'Remembers what a table''s key is made of, for its first subscription to a row.';

-- 'keep': the text is the same; 'cast': it names the same row in another text; 'end': it is not known what it names.
create function event._key_verdict(was text, now text, form text, is_rewritten boolean, is_plain boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    former constant oid := split_part(was, '/', 1);
    latter constant oid := split_part(now, '/', 1);
    -- the scale, as numeric_typmod_scale has it
    scale constant integer[] := array(
        select case when m::integer >= 0 then (((m::integer - 4) & 2047) # 1024) - 1024 end
        from unnest(array[split_part(was, '/', 2), split_part(now, '/', 2)]) m);
    integers constant oid[] := array['int2'::regtype, 'int4'::regtype, 'int8'::regtype];
    strings constant oid[] := array['text'::regtype, 'varchar'::regtype];
begin
    if form is null or is_rewritten and not is_plain then
        return 'end';
    end if;
    if former = latter and latter = 'numeric'::regtype then
        return case when scale[2] is null or scale[2] >= scale[1] then 'keep' else 'end' end;
    end if;
    if former = latter then
        -- it is cut, or rounded, when it is rewritten
        return case when was = now or not is_rewritten or split_part(was, '/', 2) = split_part(now, '/', 2)
                         or latter = 'bpchar'::regtype then 'keep' else 'end' end;
    end if;
    if former = any (integers) and latter = any (integers) or former = any (strings) and latter = any (strings) and not is_rewritten then
        return 'keep';
    end if;
    if former = any (integers) and latter = 'numeric'::regtype then
        return case when scale[2] >= 0 or scale[2] is null then 'keep' else 'end' end;
    end if;
    return case
        when former = any (integers || array['uuid'::regtype, 'name'::regtype]::oid[]) and latter = any (strings)
             or former = any (strings) and latter = 'bpchar'::regtype
             or former = 'bpchar'::regtype and latter = any (strings)
             or former = 'float4'::regtype and latter = 'float8'::regtype
             or former = 'date'::regtype and latter = 'timestamp'::regtype
             or former = 'cidr'::regtype and latter = 'inet'::regtype
             or exists (select from pg_type t where t.oid = former and t.typtype = 'e') and latter = any (strings)
             -- it is rewritten unless the time zone was UTC
             or former = 'timestamp'::regtype and latter = 'timestamptz'::regtype and not is_rewritten then 'cast'
        else 'end'
    end;
end
$$;
comment on function event._key_verdict(text, text, text, boolean, boolean) is
    'What becomes of the stored values of a key column whose type was altered.';

-- A subscription that its session keeps locked ends, since its key cannot be rewritten.
create function event._rewrite_keys(relation oid, expressions text[], classes text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
    execute format(
        'with key as materialized (
             select s.id, array[%s]::text[] as key, s.session_id, s.kind, s.attnum, s.created_at from event.subscription s
             where s.relation = $1 and s.key is not null and s.ended is null and ($2 is null or s.key_classes && $2)
               and not exists (select from event.ending e where e.id = s.id)
         ), ranked as materialized (
             select k.*, row_number() over (partition by k.session_id, k.kind, k.attnum, k.key order by k.created_at, k.id) as rank from key k
         ), free as materialized (
             select t.id from event.subscription t
             where t.id in (select r.id from ranked r where r.rank = 1 and array_position(r.key, null) is null) for update skip locked
         ), ending as (
             select event._end(array(select r.id from ranked r where r.id not in (select f.id from free f)), ''key_changed'') as done
         )
         -- made anew: a long key that an update leaves as it is would not be in the WAL
         update event.subscription s set key = r.key, key_classes = event._key_classes(s.relation, r.key)
         from ranked r, ending where r.id = s.id and s.id in (select f.id from free f)',
        array_to_string(expressions, ', ')) using relation, classes;
end
$$;
comment on function event._rewrite_keys(oid, text[], text[]) is
    'Brings the stored keys of a table, those of these classes (NULL: all), to the texts that the expressions give; of subscriptions that come to be the same one stays.';

create function event._stale_keys(relation oid, made_before timestamptz) returns uuid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- of no value: without a label's number
    classes constant text[] := event._key_classes(relation, null);
begin
    return array(
        select s.id from event.subscription s
        where s.relation = _stale_keys.relation and s.key is not null and s.ended is null and not s.waiting
          and not exists (select from event.ending e where e.id = s.id)
          and (s.created_at < made_before or cardinality(s.key_classes) <> cardinality(classes)
               or exists (select from unnest(s.key_classes, s.key, classes) u (class, value, class_now)
                          left join pg_enum e on e.oid = nullif(split_part(u.class, ':', 2), '')::oid
                          where split_part(u.class, ':', 1) is distinct from u.class_now
                                or split_part(u.class, ':', 2) <> '' and e.enumlabel is distinct from u.value)));
end
$$;
comment on function event._stale_keys(oid, timestamptz) is
    'The subscriptions to rows of a table whose key is read as something else now, and those from before a time.';

create function event._follow_key(was event.watched_key, at_once boolean, is_plain boolean) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    now_at constant pg_snapshot := pg_current_snapshot();
    look event.watched_key := event._look_at_key(was.relation);
    is_rewritten constant boolean := look.place is distinct from was.place or look.file is distinct from was.file;
    renamed constant text[] := array(select l.key from jsonb_each_text(was.labels) l where look.labels ->> l.key is distinct from l.value);
    verdicts text[] := '{}';
    expressions text[] := '{}';
    part record;
begin
    -- ALTER TYPE waits for no writer. In the stream, what an open transaction has written has the former label, wherever it commits.
    if renamed <> '{}' and at_once and exists (
        select from pg_locks l
        where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.pid is distinct from pg_backend_pid()
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.relation in (select event._leaves(was.relation)))
    then
        at_once := false;
    end if;
    -- another key is another reason to end, and event._end_subscriptions's
    for part in
        select u.place, split_part(u.was, '/', 1)::oid as former, split_part(u.now, '/', 1)::oid as latter,
               event._key_form(a.atttypid, a.atttypmod, a.attcollation) as form,
               case when u.was <> u.now or w.row is distinct from n.row and is_rewritten
                        then event._key_verdict(u.was, u.now, event._key_form(a.atttypid, a.atttypmod, a.attcollation), is_rewritten, is_plain)
                    when t.typtype = 'e' and renamed <> '{}' then 'label'
                    when t.oid >= 16384 and t.typtype <> 'e' and look.made_of <> was.made_of then 'end'
                    else 'keep' end as verdict
        from unnest(was.read_as, look.read_as, look.attnums) with ordinality u (was, now, attnum, place)
        join pg_attribute a on a.attrelid = was.relation and a.attnum = u.attnum
        left join unnest(string_to_array(was.written, ',')) w (row) on split_part(w.row, '/', 1) = u.attnum::text
        left join unnest(string_to_array(look.written, ',')) n (row) on split_part(n.row, '/', 1) = u.attnum::text
        left join pg_type t on t.oid = split_part(u.now, '/', 1)::oid
        where look.attnums = was.attnums
        order by u.place
    loop
        verdicts := verdicts || part.verdict;
        expressions := expressions || case
            when part.verdict = 'label'
                then format('(select e.enumlabel::text from pg_enum e where e.oid = split_part(s.key_classes[%s], '':'', 2)::oid)', part.place)
            when part.verdict = 'cast' and part.latter = 'bpchar'::regtype then format('rtrim(s.key[%s], '' '')', part.place)
            when part.verdict = 'cast' and part.latter in ('float8'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                then format('event._canonical_key(%L, event._pinned_text(s.key[%s]::%s::%s))', part.form, part.place,
                            part.former::regtype, part.latter::regtype)
            else format('s.key[%s]', part.place) end;
    end loop;
    look.look_again_until := was.look_again_until;
    look.ended_before := was.ended_before;
    if verdicts && '{end,cast,label}' then
        look.look_again_until := pg_snapshot_xmax(now_at);
    end if;
    if 'end' = any (verdicts) then
        look.ended_before := clock_timestamp();
        perform event._end(array(select s.id from event.subscription s
                                 where s.relation = was.relation and s.key is not null and s.ended is null), 'key_changed');
    elsif verdicts && '{cast,label}' and at_once then
        perform event._rewrite_keys(was.relation, expressions, case when 'cast' = any (verdicts) then null else renamed end);
    elsif verdicts && '{cast,label}' then
        -- Changes since then were sought by the former text: a new one would hide that.
        perform event._end(event._stale_keys(was.relation, null), 'key_changed');
    end if;
    update event.watched_key k
    set (attnums, read_as, made_of, labels, written, place, file, types, look_again_until, ended_before)
        = (select look.attnums, look.read_as, look.made_of, look.labels, look.written, look.place, look.file, look.types,
                  look.look_again_until, look.ended_before)
    where k.relation = was.relation;
end
$$;
comment on function event._follow_key(event.watched_key, boolean, boolean) is
    'Rewrites or ends the subscriptions to rows of a table whose key was altered; where that is not found at once, they end.';

create function event._follow_keys(relations oid[], at_once boolean, is_plain boolean) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed record;
    now_at constant pg_snapshot := pg_current_snapshot();
begin
    -- An older snapshot does not show every subscription; upkeep finds what is left.
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    for changed in
        select k as was,
               k.written <> event._key_written(k.relation, k.attnums)
               or k.types <> '{}' and k.made_of <> event._made_of(k.types)
               or w.key_attnums is distinct from k.attnums
               or c.oid is null or c.relfilenode is distinct from k.file as is_news,
               k.look_again_until, k.ended_before
        from event.watched_key k join event.watched w on w.relation = k.relation left join pg_class c on c.oid = k.place
        where (relations is null or k.relation = any (relations)) and exists (select from pg_class t where t.oid = k.relation)
    loop
        if changed.is_news then
            perform event._follow_key(changed.was, at_once, is_plain);
        elsif changed.look_again_until is not null then
            perform event._end(event._stale_keys((changed.was).relation, changed.ended_before), 'key_changed');
            update event.watched_key k set look_again_until = null
            where k.relation = (changed.was).relation and k.look_again_until <= pg_snapshot_xmin(now_at);
        end if;
    end loop;
end
$$;
comment on function event._follow_keys(oid[], boolean, boolean) is
    'Follows what was done to the keys of these tables (NULL: of all), at once or later; plain: certainly without USING.';

-- The statement as the client sent it. Whatever could call a function could run another ALTER TABLE in there: then it is not known.
create function event._is_plain_alter() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select current_query() !~* 'using'
           and not exists (select from regexp_split_to_table(current_query(), ';') s
                           where s !~* '^[[:space:]]*((alter[[:space:]]+table|begin|start|commit|end|set)[[:space:]]|(begin|commit|end)?[[:space:]]*$)')
$$;
comment on function event._is_plain_alter() is 'Whether the client''s statement is an ALTER TABLE that certainly has no USING.';

create function event._follow_keys_at_once() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    touched oid[];
begin
    if not exists (select from event.watched_key) then
        return;
    end if;
    with recursive command as (
        select c.classid, c.objid from pg_event_trigger_ddl_commands() c
    ), altered (oid) as (
        select c.objid from command c where c.classid = 'pg_class'::regclass
        union
        select h.inhrelid from altered a join pg_inherits h on h.inhparent = a.oid
    ), type (oid) as (
        select c.objid from command c where c.classid = 'pg_type'::regclass
        union
        select r.reltype from altered a join pg_class r on r.oid = a.oid where r.reltype <> 0
    )
    select array_agg(k.relation) into touched from event.watched_key k
    where k.relation in (select a.oid from altered a) or k.types && (select array_agg(t.oid) from type t);
    if touched is not null then
        perform event._follow_keys(touched, true, event._is_plain_alter());
    end if;
end
$$;
comment on function event._follow_keys_at_once() is 'Follows what the command of an event trigger did to keys.';
