-- What can be watched, and by whom.

create function event._mirror_of(schema_name text, name text) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid from pg_class c
    where schema_name = 'meta' and c.relnamespace = 'event'::regnamespace and c.relname = 'meta_' || _mirror_of.name and c.relkind = 'r'
$$;
comment on function event._mirror_of(text, text) is 'The table that mirrors a relation of meta (see mirror.sql); NULL: it is none that has one.';

-- What is called for each table is in PL/pgSQL, which keeps its plans: to plan takes longer than to look.
create function event._mirrors(relation oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select substr(c.relname, 6) from pg_class c
    where c.oid = relation and c.relnamespace = 'event'::regnamespace and starts_with(c.relname, 'meta_') and c.relkind = 'r');
end
$$;
comment on function event._mirrors(oid) is 'The name in meta of what a table mirrors; NULL: nothing.';

create function event._relation(relation_id meta.relation_id) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid := event._mirror_of(((relation_id).schema_id).name, (relation_id).name);
begin
    if relation is not null then
        return relation;
    end if;
    select c.oid into relation
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ((relation_id).schema_id).name and c.relname = (relation_id).name;
    if relation is null then
        raise exception 'relation "%.%" does not exist', ((relation_id).schema_id).name, (relation_id).name
            using errcode = 'undefined_table', hint = 'Names are taken as they are: without quotes, capitals count.';
    end if;
    return relation;
end
$$;
comment on function event._relation(meta.relation_id) is 'The oid of the named relation, or an error.';

create function event._key_attnums(relation oid) returns smallint[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.conkey from pg_constraint c where c.conrelid = relation and c.contype = 'p');
end
$$;
comment on function event._key_attnums(oid) is 'The primary key''s columns in its order; NULL without one.';

create function event._key_names(row_id meta.row_id) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select array_agg(u.name order by i) from unnest((row_id).pk_column_ids) with ordinality as u(relation_id, name, i) $$;
comment on function event._key_names(meta.row_id) is 'The names of the key columns of a row''s identifier.';

-- Read from pg_inherits: pg_partition_tree takes locks, and would wait for somebody's open ALTER TABLE.
create function event._partition_tree(relation oid) returns setof oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with recursive tree (oid, relkind) as (
        select c.oid, c.relkind from pg_class c where c.oid = relation
        union all
        select c.oid, c.relkind from tree t
        join pg_inherits h on h.inhparent = t.oid join pg_class c on c.oid = h.inhrelid
        where t.relkind = 'p'
    )
    select t.oid from tree t;
end
$$;
comment on function event._partition_tree(oid) is 'The relation and, of a partitioned table, all partitions beneath it.';

-- The tables whose identity matters: the leaves of a partitioned table, or the table itself.
create function event._leaves(relation oid) returns setof oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select c.oid from event._partition_tree(relation) f join pg_class c on c.oid = f where c.relkind = 'r';
end
$$;
comment on function event._leaves(oid) is 'The tables that hold the relation''s rows.';

create function event._check_watchable(relation oid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    class record;
    reason text;
    advice text;
    breaks text;
begin
    select c.oid, c.relkind, c.relpersistence, c.relispartition, n.nspname, c.oid::regclass::text as name
    into class
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
    if not found then
        raise exception 'relation with oid % does not exist', relation using errcode = 'undefined_table';
    end if;
    if class.nspname in ('event', 'meta') and class.relkind in ('r', 'p') and event._mirrors(relation) is null then
        reason := 'it is one of Tidewire''s own tables';
        advice := 'What Tidewire writes is not sent through it again.';
    elsif class.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or class.oid < 16384 then
        reason := 'it is a system table, and their changes cannot be decoded from the WAL';
    elsif class.relkind = 'v' then
        reason := 'it is a view, which has no rows of its own';
        advice := 'Subscribe to the tables that it reads.';
    elsif class.relkind = 'm' then
        reason := 'it is a materialized view, and those cannot be published';
        advice := 'Subscribe to the tables that it reads.';
    elsif class.relkind = 'f' then
        reason := 'it is a foreign table, whose changes happen on another server';
        advice := 'Run Tidewire on that server.';
    elsif class.relkind not in ('r', 'p') then
        reason := 'it is not a table';
    elsif class.relpersistence = 'u' then
        reason := 'it is unlogged: its changes are not in the WAL';
        advice := format('alter table %s set logged;', class.name);
    elsif class.relpersistence = 't' then
        reason := 'it is temporary: its changes are not in the WAL';
    elsif class.relispartition then
        reason := 'it is a partition, and changes are told of the root';
        advice := format('Subscribe to %s.', pg_partition_root(relation::regclass));
    end if;
    if reason is null then
        select format('changes of its partition %s are not in the WAL', c.oid::regclass) into reason
        from event._partition_tree(relation) f join pg_class c on c.oid = f
        where c.relkind = 'f' or c.relpersistence <> 'p'
        order by c.oid limit 1;
        if reason is not null then
            advice := 'All partitions must be ordinary, logged tables.';
        end if;
    end if;
    if reason is null then
        select string_agg(format('publication %s %s it', l.names, l.reason), ', ' order by l.reason) into breaks
        from (select string_agg(quote_ident(n.name), ', ' order by n.name) as names, n.reason
              from event._narrow_publications(relation) n group by n.reason) l;
        if breaks is not null then
            reason := breaks;
            advice := 'With REPLICA IDENTITY FULL the updates and deletes of the table''s writers would fail, or rows would '
                      'be missing. Publish all of its columns there.';
        end if;
    end if;
    if reason is null and event._has_virtual_column(relation) then
        reason := 'it has a virtual generated column';
        advice := 'With REPLICA IDENTITY FULL the updates and deletes of the table''s writers would fail. Make the column STORED.';
    end if;
    -- Without the event trigger a partition is published from the moment on at which it joins, and has the identity that it then
    -- needs a second later. With a key the default identity will do meanwhile. What is watched already needs that identity.
    if reason is null and class.relkind = 'p' and event._key_attnums(relation) is null
       and not event._is_known(relation)
       and not exists (select from pg_event_trigger t where t.evtname = 'tidewire_ddl' and t.evtenabled in ('O', 'A')) then
        reason := 'it has partitions and no primary key, and a superuser did not install Tidewire here';
        advice := 'The updates and deletes of a partition that joins later would fail until Tidewire has come to it. Give it a primary key, '
                  'or run "tidewire install" as a superuser.';
    end if;
    if reason is null and current_setting('server_version_num')::int < 180000 and exists (
        select from pg_attribute a
        where a.attrelid = relation and a.attnum = any (event._key_attnums(relation)) and a.attgenerated <> '') then
        reason := 'its primary key has a generated column, which is not in the WAL''s stream';
    end if;
    if reason is not null then
        raise exception 'cannot watch "%": %', class.name, reason
            using errcode = 'feature_not_supported', hint = coalesce(advice, 'Only ordinary and partitioned tables can be watched.');
    end if;
end
$$;
comment on function event._check_watchable(oid) is 'An error with the reason unless the relation is a table whose changes can be told, at no risk to its writers.';

create function event._has_untold_partition(relation oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select exists (select from event._partition_tree(relation) f join pg_class c on c.oid = f
                   where c.relkind = 'f' or c.relpersistence <> 'p'));
end
$$;
comment on function event._has_untold_partition(oid) is 'Whether changes of one of the table''s partitions are not in the WAL.';

-- They exist from PostgreSQL 18 on, and it does not publish them.
create function event._has_virtual_column(relation oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return current_setting('server_version_num')::int >= 180000
           and exists (select from event._leaves(relation) f join pg_attribute a on a.attrelid = f and a.attnum > 0
                       and not a.attisdropped and a.attgenerated = 'v');
end
$$;
comment on function event._has_virtual_column(oid) is 'Whether a virtual generated column would break the table''s writers under REPLICA IDENTITY FULL.';

-- pg_publication_rel.prattrs and prqual exist from PostgreSQL 15 on, pg_publication.pubgencols from 18 on.
create function event._narrow_publications(relation oid) returns table (name name, reason text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- read so that it can be planned once, whatever the server has
    return query
    select p.pubname, 'has a column list or row filter for'
    from event._partition_tree(relation) f join pg_publication_rel r on r.prrelid = f join pg_publication p on p.oid = r.prpubid
    where to_jsonb(r) ->> 'prattrs' is not null
          or to_jsonb(r) ->> 'prqual' is not null and p.pubname = (select i.publication from event.installation i);
    if current_setting('server_version_num')::int < 180000 then
        return;
    end if;
    if exists (select from event._leaves(relation) f join pg_attribute a on a.attrelid = f and a.attnum > 0
               and not a.attisdropped and a.attgenerated = 's') then
        return query execute
            'with tree as (select c.oid, c.relnamespace from event._partition_tree($1) f join pg_class c on c.oid = f)
             select p.pubname, ''leaves out generated columns of''
             from pg_publication p
             where p.pubgencols <> ''s'' and (p.pubupdate or p.pubdelete)
               and (p.puballtables or p.pubname = (select i.publication from event.installation i)
                    or exists (select from pg_publication_rel r join tree t on t.oid = r.prrelid where r.prpubid = p.oid)
                    or exists (select from pg_publication_namespace n join tree t on t.relnamespace = n.pnnspid
                               where n.pnpubid = p.oid))'
            using relation;
    end if;
end
$$;
comment on function event._narrow_publications(oid) is 'The publications that would break the table''s writers under REPLICA IDENTITY FULL (column lists, generated columns), or hide rows from us.';

create function event._visible(reader regrole, relation oid) returns smallint[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when has_table_privilege(reader, relation, 'select') then null
           else array(select a.attnum from pg_attribute a
                      where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
                        and has_column_privilege(reader, relation, a.attnum, 'select')
                      order by a.attnum) end
$$;
comment on function event._visible(regrole, oid) is 'The columns of the relation that the role may SELECT; NULL: all, also later ones.';

create function event._may_still_see(reader regrole, relation oid, visible smallint[]) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select has_table_privilege(reader, relation, 'select')
           or visible is not null and not exists (
               select from pg_attribute a where a.attrelid = relation and a.attnum = any (visible) and not a.attisdropped
               and not has_column_privilege(reader, relation, a.attnum, 'select'))
$$;
comment on function event._may_still_see(regrole, oid, smallint[]) is 'Whether the role may SELECT the columns that a subscription was made for.';

create function event._row_security_applies(reader regrole, relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.relrowsecurity and r.rolsuper is not true and r.rolbypassrls is not true
           and (c.relforcerowsecurity or not pg_has_role(reader, c.relowner, 'usage'))
    from pg_class c left join pg_roles r on r.oid = reader where c.oid = relation
$$;
comment on function event._row_security_applies(regrole, oid) is 'Whether row-level security hides rows of the relation from the role.';

create function event._check_readable(reader regrole, kind text, relation oid, attnum smallint) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    reason constant text := event._unreadable(reader, kind, relation, attnum);
    schema constant regnamespace := (select c.relnamespace from pg_class c where c.oid = relation);
begin
    if reason = 'row_security' then
        raise exception 'row-level security of "%" applies to role "%"', relation::regclass, reader
            using errcode = 'feature_not_supported',
                  detail = 'Which rows the role may see cannot be decided yet, so nothing is sent.',
                  hint = 'Use a session whose owner owns the table or has BYPASSRLS.';
    elsif reason is not null and not has_schema_privilege(reader, schema, 'usage') then
        raise exception 'permission denied for schema "%"', schema
            using errcode = 'insufficient_privilege',
                  detail = format('Role "%s" needs USAGE on the schema of what it subscribes to.', reader),
                  hint = format('grant usage on schema %s to %s;', schema, reader);
    elsif reason is not null then
        raise exception 'permission denied for table "%"', relation::regclass
            using errcode = 'insufficient_privilege',
                  detail = format('Role "%s" needs SELECT on what it subscribes to, and on the primary key.', reader),
                  hint = format('grant select on %s to %s;', relation::regclass, reader);
    end if;
end
$$;
comment on function event._check_readable(regrole, text, oid, smallint) is 'An error unless the role may SELECT all that such a subscription tells.';

create function event._unreadable(reader regrole, kind text, relation oid, attnum smallint) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when event._row_security_applies(reader, relation) then 'row_security'
        when not has_schema_privilege(reader, c.relnamespace, 'usage') then 'privilege_revoked'
        when has_table_privilege(reader, relation, 'select') then null
        when kind in ('table', 'row') and exists (
            select from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
            and not has_column_privilege(reader, relation, a.attnum, 'select')) then 'privilege_revoked'
        when attnum is not null and has_column_privilege(reader, relation, attnum, 'select') is not true then 'privilege_revoked'
        when exists (select from unnest(event._key_attnums(relation)) as u(k)
                     where not has_column_privilege(reader, relation, k, 'select')) then 'privilege_revoked'
        end
    from pg_class c where c.oid = relation
$$;
comment on function event._unreadable(regrole, text, oid, smallint) is 'Why the role may not be told of it; NULL: it may.';
