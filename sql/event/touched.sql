-- What a schema change concerns, and when all has to be compared.

create function event._whole(class regclass, object oid, out class_of oid, out object_of oid)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    class_of := 'pg_class'::regclass;
    case class
        when 'pg_constraint'::regclass then
            select case when k.conrelid = 0 then 'pg_type'::regclass else class_of end, greatest(k.conrelid, k.contypid) into class_of, object_of
            from pg_constraint k where k.oid = object;
        when 'pg_trigger'::regclass then
            select t.tgrelid into object_of from pg_trigger t where t.oid = object;
        when 'pg_policy'::regclass then
            select p.polrelid into object_of from pg_policy p where p.oid = object;
        when 'pg_rewrite'::regclass then
            select w.ev_class into object_of from pg_rewrite w where w.oid = object;
        when 'pg_attrdef'::regclass then
            select d.adrelid into object_of from pg_attrdef d where d.oid = object;
        when 'pg_publication_rel'::regclass then
            class_of := 'pg_publication'::regclass;
            select p.prpubid into object_of from pg_publication_rel p where p.oid = object;
        when 'pg_class'::regclass then
            -- ALTER TYPE of a composite type names the relation that it has
            select case c.relkind when 'c' then 'pg_type'::regclass else class_of end, case c.relkind when 'c' then c.reltype else i.indrelid end
            into class_of, object_of
            from pg_class c left join pg_index i on i.indexrelid = c.oid where c.oid = object;
        else
            null;
    end case;
end
$$;
comment on function event._whole(regclass, oid) is 'What an object is a part of: a trigger''s table, a constraint''s domain; NULL: of nothing.';

-- Partitions and children, since much is done to them too, also to one that has just been detached; and, of what was altered, what depends on it, since that may
-- say its name.
create function event._touched(inout classes oid[], inout objects oid[], with_family boolean, with_dependents boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    named oid[];
    part record;
    whole record;
begin
    for part in select u.class, u.object from unnest(classes, objects) as u(class, object) loop
        whole := event._whole(part.class, part.object);
        if whole.object_of is not null then
            classes := classes || whole.class_of;
            objects := objects || whole.object_of;
        end if;
    end loop;
    named := objects;
    if with_family and 'pg_class'::regclass = any (classes) then
        for part in
            with recursive family as (
                select i.inhrelid from pg_inherits i where i.inhparent = any (named)
                union
                select x.scope from event.mirrored x where x.kind = 'partition' and x.object = any (named)
                union
                select i.inhrelid from family f join pg_inherits i on i.inhparent = f.inhrelid
            )
            select f.inhrelid as object from family f loop
            classes := classes || 'pg_class'::regclass::oid;
            objects := objects || part.object;
        end loop;
    end if;
    if with_dependents then
        -- the types that are named after it: of its rows, of its arrays; a multirange's range
        named := named || array(select c.reltype from pg_class c where c.oid = any (named));
        named := named || array(select t.typarray from pg_type t where t.oid = any (named));
        for part in select r.rngtypid as object from pg_range r where r.rngmultitypid = any (named) loop
            classes := classes || 'pg_type'::regclass::oid;
            objects := objects || part.object;
        end loop;
        for part in select distinct d.classid as class, d.objid as object from pg_depend d
                    where d.refclassid = any (classes || 'pg_type'::regclass::oid) and d.refobjid = any (named) and d.refobjid <> 0
                      and d.deptype in ('n', 'a', 'i', 'P', 'S', 'e')
                    -- more is left to upkeep
                    limit 5001 loop
            whole := event._whole(part.class, part.object);
            classes := classes || part.class || whole.class_of;
            objects := objects || part.object || whole.object_of;
        end loop;
    end if;
end
$$;
comment on function event._touched(oid[], oid[], boolean, boolean) is 'Whatever a command concerns that names these objects.';

-- Whatever the event triggers did not follow (what was done without them, or by a transaction that began before anybody subscribed, or
-- concerns more than they look at) changes it too.
create function event._catalog_mark() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- neither temporary tables, which come and go all the time, nor our own partitions
    with shown as materialized (
        select c.oid, c.xmin as changed from pg_class c
        where c.relkind <> 't' and c.relnamespace in (select s.object from meta._schema s)
    )
    select md5(concat_ws('|',
        (select sum(hashtextextended(concat(c.oid, '/', c.changed), 0)) from shown c),
        (select sum(hashtextextended(concat(a.attrelid, '/', a.attnum, '/', a.xmin), 0)) from pg_attribute a where a.attrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(d.oid, '/', d.xmin), 0)) from pg_attrdef d where d.adrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(k.oid, '/', k.xmin), 0)) from pg_constraint k where k.conrelid in (select c.oid from shown c) or k.contypid >= 16384),
        (select sum(hashtextextended(concat(i.indexrelid, '/', i.xmin), 0)) from pg_index i where i.indrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_trigger t where t.tgrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(p.oid, '/', p.xmin), 0)) from pg_policy p where p.polrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(i.inhrelid, '/', i.inhparent, '/', i.xmin), 0)) from pg_inherits i where i.inhrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(s.seqrelid, '/', s.xmin), 0)) from pg_sequence s where s.seqrelid in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(f.ftrelid, '/', f.xmin), 0)) from pg_foreign_table f),
        (select sum(hashtextextended(concat(n.oid, '/', n.xmin), 0)) from pg_namespace n where meta._is_shown(n.oid)),
        (select sum(hashtextextended(concat(d.objoid, '/', d.objsubid, '/', d.xmin), 0)) from pg_description d
         where d.objoid >= 16384 and (d.classoid <> 'pg_class'::regclass or d.objoid in (select c.oid from shown c))
            or d.classoid in ('pg_namespace'::regclass, 'pg_extension'::regclass)),
        (select sum(hashtextextended(concat(d.objoid, '/', d.classoid, '/', d.xmin), 0)) from pg_shdescription d),
        (select sum(hashtextextended(concat(w.oid, '/', w.xmin), 0)) from pg_rewrite w where w.ev_class in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_type t
         where t.oid >= 16384 and t.typrelid = 0 and (t.typelem = 0 or not exists (select from pg_type e where e.typarray = t.oid))),
        (select sum(hashtextextended(concat(e.oid, '/', e.xmin), 0)) from pg_enum e where e.enumtypid >= 16384),
        (select sum(hashtextextended(concat(p.oid, '/', p.xmin), 0)) from pg_proc p where p.oid >= 16384),
        (select sum(hashtextextended(concat(o.oid, '/', o.xmin), 0)) from pg_operator o where o.oid >= 16384),
        (select sum(hashtextextended(concat(c.oid, '/', c.xmin), 0)) from pg_cast c where c.oid >= 16384),
        (select sum(hashtextextended(concat(x.oid, '/', x.xmin), 0)) from pg_extension x),
        (select sum(hashtextextended(concat(w.oid, '/', w.xmin), 0)) from pg_foreign_data_wrapper w),
        (select sum(hashtextextended(concat(s.oid, '/', s.xmin), 0)) from pg_foreign_server s),
        (select sum(hashtextextended(p::text, 0)) from meta._publication p),
        -- what is named in a type, an index, a function or a comment
        (select sum(hashtextextended(concat(c.oid, '/', c.xmin), 0)) from pg_collation c where c.oid >= 16384),
        (select sum(hashtextextended(concat(c.oid, '/', c.xmin), 0)) from pg_opclass c where c.oid >= 16384),
        (select sum(hashtextextended(concat(f.oid, '/', f.xmin), 0)) from pg_opfamily f where f.oid >= 16384),
        (select sum(hashtextextended(concat(l.oid, '/', l.xmin), 0)) from pg_language l),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_ts_config t where t.oid >= 16384),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_ts_dict t where t.oid >= 16384),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_ts_parser t where t.oid >= 16384),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_ts_template t where t.oid >= 16384),
        (select sum(hashtextextended(concat(c.oid, '/', c.xmin), 0)) from pg_conversion c where c.oid >= 16384),
        (select sum(hashtextextended(concat(e.oid, '/', e.xmin), 0)) from pg_statistic_ext e),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_event_trigger t),
        (select sum(hashtextextended(concat(a.oid, '/', a.xmin), 0)) from pg_am a),
        (select sum(hashtextextended(concat(d.classid, '/', d.objid, '/', d.refobjid), 0)) from pg_depend d where d.refclassid = 'pg_extension'::regclass),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_tablespace t),
        current_database(),
        (select sum(hashtextextended(r::text, 0)) from pg_roles r),
        (select sum(hashtextextended(concat(m.roleid, '/', m.member, '/', m.xmin), 0)) from pg_auth_members m),
        (select sum(hashtextextended(concat(s.setdatabase, '/', s.setrole, '/', s.xmin), 0)) from pg_db_role_setting s)))
$$;
comment on function event._catalog_mark() is 'Another text when something changed that the mirrors may show.';

create function event._sweep_mirrors() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    mark text;
begin
    if not event._is_mirroring() then
        return;
    end if;
    -- connections come and go all the time, and are few
    if event._is_mirrored('connection') then
        perform event._compare('connection');
    end if;
    mark := event._catalog_mark();
    if mark is distinct from (select i.catalog from event.installation i) then
        if event._mirror(null, null) then
            update event.installation i set catalog = mark;
        end if;
    end if;
end
$$;
comment on function event._sweep_mirrors() is 'Compares the mirrors with the catalog when anything in it has changed.';
