-- At the moment of a schema change or of a GRANT, inside its transaction, where event triggers may be created (superuser).
-- Without them the engine's sweep does the same within seconds. Nothing here may ever fail somebody's DDL, or hold it up.

create function event._on_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    touched oid[];
    types oid[];
    failed text;
begin
    begin
        if not exists (select from event.watched) then
            return;
        elsif tg_tag in ('GRANT', 'REVOKE') then
            perform event._recheck(r)
            from (select distinct c.object_type from pg_event_trigger_ddl_commands() c where c.object_type in ('TABLE', 'SCHEMA')) g
            cross join lateral event._granted(g.object_type = 'SCHEMA') r;
            return;
        elsif tg_tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION') then
            -- What is done to our own is our doing, or tidewire check tells.
            if exists (select from pg_event_trigger_ddl_commands() c
                       where c.object_identity !~ '(^|in publication )tidewire$') then
                perform event._spare_writers(null);
            end if;
            return;
        elsif tg_event = 'sql_drop' then
            -- what ALTER drops is a part of what it alters
            if tg_tag not like 'ALTER %' then
                select array_agg(d.objid) filter (where d.classid = 'pg_class'::regclass) into touched
                from pg_event_trigger_dropped_objects() d where not d.is_temporary;
            end if;
        else
            select array_agg(c.objid) filter (where c.classid = 'pg_class'::regclass),
                   array_agg(c.objid) filter (where c.classid = 'pg_type'::regclass)
            into touched, types
            from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp';
            if tg_tag = 'ALTER SCHEMA' then
                touched := touched || array(
                    select r.oid from pg_event_trigger_ddl_commands() c join pg_class r on r.relnamespace = c.objid
                    where c.classid = 'pg_namespace'::regclass and r.relkind in ('r', 'p'));
            elsif tg_tag = 'ALTER EXTENSION' then
                touched := array(select w.relation from event.watched w);
            end if;
        end if;
        touched := event._concerned(touched, types);
        if touched is not null then
            -- row-level security, the owner, the schema
            failed := event._follow(touched, tg_tag in ('ALTER TABLE', 'ALTER SCHEMA'));
        end if;
        -- which revokes too, and may drop nothing
        if tg_tag = 'DROP OWNED' and tg_event = 'ddl_command_end' then
            perform event._recheck(null);
        end if;
        if tg_event = 'ddl_command_end' and tg_tag in ('ALTER TABLE', 'ALTER TYPE') then
            begin
                perform event._follow_keys_at_once();
            exception when others then
                failed := coalesce(failed, sqlerrm);
            end;
        end if;
    exception when query_canceled or others then
        -- what its user cancels is cancelled
        if sqlstate = '57014' and not event._is_timed_out() then
            raise;
        end if;
        failed := sqlerrm;
    end;
    if failed is not null then
        begin
            insert into event.overdue default values;
        exception when others then
            null;
        end;
        raise warning 'tidewire could not follow this schema change at once: %', failed
            using hint = 'The running program looks again within seconds.';
    end if;
end
$$;
comment on function event._on_ddl() is 'Ends subscriptions of what was dropped or may not be seen any more, and gives new partitions of watched tables their replica identity.';

-- Of any command: a table may be made, or altered, by many (CREATE SCHEMA, ALTER INDEX, whose object may be a table). Also where
-- triggers do not fire, since a schema change there is one all the same.
create event trigger tidewire_ddl on ddl_command_end execute function event._on_ddl();
comment on event trigger tidewire_ddl is 'Tidewire follows schema changes of watched tables.';
create event trigger tidewire_ddl_drop on sql_drop execute function event._on_ddl();
comment on event trigger tidewire_ddl_drop is 'Tidewire follows what is dropped of watched tables.';
alter event trigger tidewire_ddl enable always;
alter event trigger tidewire_ddl_drop enable always;

-- The catalog's mirrors, as far as it is plain what a command touched; the rest is upkeep's, which compares whatever changed. Dropped objects
-- are among what sql_drop tells, all others among the commands.
create function event._on_catalog() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    classes oid[];
    objects oid[];
begin
    -- By an older snapshot it cannot be told what is there; and what is read in a serializable transaction can make it fail.
    if current_setting('transaction_isolation') <> 'read committed' or not event._is_mirroring() then
        return;
    end if;
    if tg_event = 'sql_drop' then
        -- of a part that went alone also what it was a part of
        select array_agg(x.class), array_agg(x.object) into classes, objects
        from (select d.classid as class, d.objid as object from pg_event_trigger_dropped_objects() d
              where not d.is_temporary and coalesce(d.schema_name, '') not in ('event', 'meta')
              union
              select 'pg_class'::regclass, to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))
              from pg_event_trigger_dropped_objects() d
              where d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass)
                and cardinality(d.address_names) = 3
              union
              select 'pg_type'::regclass, to_regtype(d.address_names[1])
              from pg_event_trigger_dropped_objects() d where d.object_type = 'domain constraint') x
        where x.object is not null;
    elsif tg_tag in ('GRANT', 'REVOKE') then
        -- It does not say of what: it is among what has been written since the oldest transaction began that may still be open.
        if event._is_mirrored('table_privilege')
           and exists (select from pg_event_trigger_ddl_commands() c where c.object_type in ('TABLE', 'SEQUENCE')) then
            perform event._follow_table_privilege(array(select c.oid from pg_class c
                where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and age(c.xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid)), '{}');
        end if;
        return;
    else
        select array_agg(x.class), array_agg(x.object) into classes, objects
        from (select c.classid as class, c.objid as object from pg_event_trigger_ddl_commands() c
              where c.classid is not null and coalesce(c.schema_name, '') not in ('pg_temp', 'event', 'meta')
              union
              select 'pg_class'::regclass, r.oid from pg_event_trigger_ddl_commands() c join pg_class r on r.relnamespace = c.objid
              where tg_tag = 'ALTER SCHEMA'
              union
              select 'pg_proc'::regclass, p.oid from pg_event_trigger_ddl_commands() c join pg_proc p on p.pronamespace = c.objid
              where tg_tag = 'ALTER SCHEMA'
              union
              select 'pg_type'::regclass, t.oid from pg_event_trigger_ddl_commands() c join pg_type t on t.typnamespace = c.objid
              where tg_tag = 'ALTER SCHEMA') x;
    end if;
    if cardinality(objects) > 0 then
        select t.classes, t.objects into classes, objects
        from event._touched(classes, objects, tg_tag <> 'COMMENT', tg_event <> 'sql_drop' and tg_tag like 'ALTER %') t;
        perform event._mirror(classes, objects);
    end if;
-- also when the writer's own statement_timeout ends it: then the DDL could never be done
exception when query_canceled or others then
    if sqlstate = '57014' and not event._is_timed_out() then
        raise;
    end if;
    raise warning 'tidewire could not follow this schema change at once: %', sqlerrm
        using hint = 'The running program looks again within seconds.';
end
$$;
comment on function event._on_catalog() is 'Follows a schema change for those who are subscribed to the catalog.';

create event trigger tidewire_catalog on ddl_command_end execute function event._on_catalog();
comment on event trigger tidewire_catalog is 'Tidewire tells subscribers of the catalog.';
create event trigger tidewire_catalog_drop on sql_drop execute function event._on_catalog();
comment on event trigger tidewire_catalog_drop is 'Tidewire tells subscribers of the catalog what was dropped.';
alter event trigger tidewire_catalog enable always;
alter event trigger tidewire_catalog_drop enable always;
