-- Sequences as rows. What they have got to is not part of the schema, and not here.

create view meta._sequence as
select c.oid as scope, c.oid as object, meta.relation_id(n.nspname, c.relname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as name,
       meta._type_text(s.seqtypid, null) as type, s.seqstart as start, s.seqincrement as increment, s.seqmin as minimum,
       s.seqmax as maximum, s.seqcache as cache, s.seqcycle as cycle, o.owned_by, coalesce(o.deptype = 'i', false) as identity,
       c.relpersistence = 'u' as unlogged, pg_get_userbyid(c.relowner)::text collate "default" as owner,
       obj_description(c.oid, 'pg_class') collate "default" as comment
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_sequence s on s.seqrelid = c.oid
left join lateral (
    select meta.column_id(tn.nspname, t.relname, a.attname) as owned_by, d.deptype
    from pg_depend d
    join pg_class t on t.oid = d.refobjid
    join pg_namespace tn on tn.oid = t.relnamespace
    join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.refclassid = 'pg_class'::regclass
      and d.deptype in ('a', 'i')
    limit 1) o on true
where c.relkind = 'S' and meta._is_shown(n.oid);
comment on view meta._sequence is 'meta.sequence, with its oid.';

create view meta.sequence as
select id, schema_name, name, type, start, increment, minimum, maximum, cache, cycle, owned_by, identity, unlogged, owner, comment
from meta._sequence;
comment on view meta.sequence is 'Sequences. INSERT creates one, UPDATE alters it or moves it to another schema, DELETE drops it.';
comment on column meta.sequence.id is 'Names the sequence.';
comment on column meta.sequence.type is 'smallint, integer or bigint. Another one takes its limits along, if they were those of the type.';
comment on column meta.sequence.start is 'What it begins with, also when it is restarted. An update does not restart it, unless it has not been used yet.';
comment on column meta.sequence.minimum is 'Given as NULL, what PostgreSQL takes by itself.';
comment on column meta.sequence.maximum is 'Given as NULL, what PostgreSQL takes by itself.';
comment on column meta.sequence.cache is 'How many values a session takes at once.';
comment on column meta.sequence.cycle is 'Whether it begins again at its end.';
comment on column meta.sequence.owned_by is 'The column that it goes with when that is dropped: of a table of the same schema and owner.';
comment on column meta.sequence.identity is 'Whether it is an identity column''s, with which it comes and goes. Its other columns can be updated.';
comment on column meta.sequence.unlogged is 'Whether a crash resets it (15).';
comment on column meta.sequence.owner is 'Its owner; given as NULL, who creates it.';

create function meta._sequence_given(old meta.sequence, new meta.sequence) returns meta.sequence
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    number text;
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, ((new.id).schema_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.type := coalesce(new.type, 'bigint');
        new.cycle := coalesce(new.cycle, false);
        new.unlogged := coalesce(new.unlogged, false);
        if new.identity then
            perform meta._refuse('an identity column makes its sequence',
                                 'Leave identity out, or insert the column into meta.column, with generated, and update its sequence.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update schema_name or name.');
        perform meta._flag_given(new.cycle, 'cycle'), meta._flag_given(new.identity, 'identity'), meta._flag_given(new.unlogged, 'unlogged');
        if new.identity <> old.identity then
            perform meta._refuse('whether a sequence is an identity column''s follows the column', 'Update meta.column''s generated.');
        end if;
        if old.identity and new.owned_by is distinct from old.owned_by then
            perform meta._refuse('an identity column keeps its sequence', 'Update meta.column''s generated.');
        end if;
        select n.name into number
        from (values ('start', new.start), ('increment', new.increment), ('cache', new.cache)) as n(name, value) where n.value is null;
        if found then
            raise exception '% is a number', number using errcode = 'not_null_violation';
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'sequence''s schema'), meta._name_given(new.name, 'sequence');
    if not new.owned_by is null then
        perform meta._name_given((((new.owned_by).relation_id).schema_id).name, 'sequence''s column''s schema'),
                meta._name_given(((new.owned_by).relation_id).name, 'sequence''s column''s table'),
                meta._name_given((new.owned_by).name, 'sequence''s column');
    end if;
    -- whatever the caller's search path is there are only these three
    new.type := format_type(to_regtype(new.type), null);
    if new.type is null or new.type not in ('smallint', 'integer', 'bigint') then
        raise exception 'a sequence''s type is smallint, integer or bigint' using errcode = 'invalid_parameter_value';
    end if;
    if new.unlogged and current_setting('server_version_num')::int4 < 150000 then
        perform meta._refuse('before PostgreSQL 15 no sequence is unlogged', 'Leave unlogged out.');
    end if;
    return new;
end
$$;
comment on function meta._sequence_given(meta.sequence, meta.sequence) is 'The row as it is to be, completed and checked.';

create function meta._sequence_clause(old meta.sequence, new meta.sequence) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when (new).type is distinct from (old).type then ' as ' || (new).type else '' end
           || case when (new).increment is distinct from (old).increment then ' increment by ' || (new).increment else '' end
           || case when (new).minimum is distinct from (old).minimum then coalesce(' minvalue ' || (new).minimum, ' no minvalue') else '' end
           || case when (new).maximum is distinct from (old).maximum then coalesce(' maxvalue ' || (new).maximum, ' no maxvalue') else '' end
           || case when (new).start is distinct from (old).start then ' start with ' || (new).start else '' end
           || case when (new).cache is distinct from (old).cache then ' cache ' || (new).cache else '' end
           || case when (new).cycle = (old).cycle then '' when (new).cycle then ' cycle' else ' no cycle' end
$$;
comment on function meta._sequence_clause(meta.sequence, meta.sequence) is 'How SQL says what differs of the options of a sequence.';

-- Otherwise a sequence just made, as an identity column's is, could neither begin elsewhere nor get limits that its first value is not in.
-- Not by reading it: what has its name by then may be something else.
create function meta._is_unused(sequence regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- to whom it may not be told newer versions say that there is no value: then it would begin again
    if not has_sequence_privilege(sequence, 'select, usage') then
        raise exception 'permission denied for sequence %', (select c.relname from pg_class c where c.oid = sequence)
            using errcode = 'insufficient_privilege';
    end if;
    return pg_sequence_last_value(sequence) is null;
end
$$;
comment on function meta._is_unused(regclass) is 'Whether a sequence has given no value.';

create function meta._sequence_ddl(old meta.sequence, new meta.sequence) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.name, new.name));
    owning constant boolean := new.owned_by is distinct from old.owned_by;
    made text;
begin
    if new is null then
        if old.identity then
            perform meta._refuse('an identity column''s sequence goes with the column', 'Update meta.column''s generated, or delete the column.');
        end if;
        return array['drop sequence ' || place];
    end if;
    if old is null then
        ddl := array['create ' || case when new.unlogged then 'unlogged ' else '' end || 'sequence ' || place || meta._sequence_clause(null, new)];
        old.schema_name := new.schema_name;
        old.name := new.name;
    else
        -- it stays in the schema and with the owner of the table while it is owned
        if owning and not old.owned_by is null then
            ddl := array_append(ddl, 'alter sequence ' || place || ' owned by none');
        end if;
        made := meta._sequence_clause(old, new);
        if new.start <> old.start and meta._is_unused(to_regclass(place)) then
            made := made || ' restart';
        end if;
        if made <> '' then
            ddl := array_append(ddl, 'alter sequence ' || place || made);
        end if;
        if new.unlogged <> old.unlogged then
            ddl := array_append(ddl, 'alter sequence ' || place || case when new.unlogged then ' set unlogged' else ' set logged' end);
        end if;
    end if;
    ddl := ddl || meta._object_ddl('sequence', '', array[old.schema_name, old.name, old.owner, old.comment],
                                   array[new.schema_name, new.name, new.owner, new.comment]);
    -- after its owner, who has to be the table's
    if owning and not new.owned_by is null then
        ddl := array_append(ddl, format('alter sequence %I.%I owned by %s.%I', new.schema_name, new.name,
                                        meta._relation_text((new.owned_by).relation_id), (new.owned_by).name));
    end if;
    return ddl;
end
$$;
comment on function meta._sequence_ddl(meta.sequence, meta.sequence) is 'CREATE, ALTER, DROP SEQUENCE.';

create function meta._sequence_now(given meta.sequence) returns meta.sequence
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.id, s.schema_name, s.name, s.type, s.start, s.increment, s.minimum, s.maximum, s.cache, s.cycle, s.owned_by, s.identity,
           s.unlogged, s.owner, s.comment
    from meta._sequence s where s.object = to_regclass(format('%I.%I', (given).schema_name, (given).name))
$$;
comment on function meta._sequence_now(meta.sequence) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.sequence for each row execute function meta._write();
