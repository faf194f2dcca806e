-- What a schema change concerns, and when all has to be compared.

create function event._part_of(class oid, object oid) returns table (class_of oid, object_of oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select _part_of.class, _part_of.object
    union all
    select 'pg_class'::regclass, i.indrelid from pg_index i where _part_of.class = 'pg_class'::regclass and i.indexrelid = _part_of.object
    union all
    -- ALTER TYPE of a composite type names the relation that it has
    select 'pg_type'::regclass, c.reltype from pg_class c
    where _part_of.class = 'pg_class'::regclass and c.oid = _part_of.object and c.relkind = 'c'
    union all
    select case when k.conrelid <> 0 then 'pg_class'::regclass else 'pg_type'::regclass end, greatest(k.conrelid, k.contypid)
    from pg_constraint k where _part_of.class = 'pg_constraint'::regclass and k.oid = _part_of.object
    union all
    select 'pg_class'::regclass, t.tgrelid from pg_trigger t where _part_of.class = 'pg_trigger'::regclass and t.oid = _part_of.object
    union all
    select 'pg_class'::regclass, p.polrelid from pg_policy p where _part_of.class = 'pg_policy'::regclass and p.oid = _part_of.object
    union all
    select 'pg_class'::regclass, w.ev_class from pg_rewrite w where _part_of.class = 'pg_rewrite'::regclass and w.oid = _part_of.object
    union all
    select 'pg_class'::regclass, d.adrelid from pg_attrdef d where _part_of.class = 'pg_attrdef'::regclass and d.oid = _part_of.object
    union all
    select 'pg_publication'::regclass, p.prpubid from pg_publication_rel p
    where _part_of.class = 'pg_publication_rel'::regclass and p.oid = _part_of.object
$$;
comment on function event._part_of(oid, oid) is 'An object and what it is a part of: a trigger''s table, a domain''s constraint''s domain.';

-- Partitions and children, since much is done to them too; and, of what was altered, what depends on it, since that may say its name.
create function event._touched(inout classes oid[], inout objects oid[], with_dependents boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive named as (
        select p.class_of as class, p.object_of as object from unnest(classes, objects) as u(class, object) cross join lateral event._part_of(u.class, u.object) p
        union
        select 'pg_class'::regclass, i.inhrelid from named n join pg_inherits i on i.inhparent = n.object where n.class = 'pg_class'::regclass
    ), dependents as (
        select p.class_of as class, p.object_of as object
        from (select distinct d.classid, d.objid from named n join pg_depend d on d.refclassid = n.class and d.refobjid = n.object
              where with_dependents and d.deptype in ('n', 'a')) d
        cross join lateral event._part_of(d.classid, d.objid) p
    ), whole as (
        select class, object from named union select class, object from dependents
    )
    select array_agg(w.class), array_agg(w.object) from whole w
$$;
comment on function event._touched(oid[], oid[], boolean) is 'Whatever a command concerns that names these objects.';

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
            or d.classoid = 'pg_namespace'::regclass),
        (select sum(hashtextextended(concat(d.objoid, '/', d.classoid, '/', d.xmin), 0)) from pg_shdescription d),
        (select sum(hashtextextended(concat(w.oid, '/', w.xmin), 0)) from pg_rewrite w where w.ev_class in (select c.oid from shown c)),
        (select sum(hashtextextended(concat(t.oid, '/', t.xmin), 0)) from pg_type t where t.oid >= 16384 and t.typrelid = 0 and t.typelem = 0),
        (select sum(hashtextextended(concat(e.oid, '/', e.xmin), 0)) from pg_enum e where e.enumtypid >= 16384),
        (select sum(hashtextextended(concat(p.oid, '/', p.xmin), 0)) from pg_proc p where p.oid >= 16384),
        (select sum(hashtextextended(concat(o.oid, '/', o.xmin), 0)) from pg_operator o where o.oid >= 16384),
        (select sum(hashtextextended(concat(c.oid, '/', c.xmin), 0)) from pg_cast c where c.oid >= 16384),
        (select sum(hashtextextended(concat(x.oid, '/', x.xmin), 0)) from pg_extension x),
        (select sum(hashtextextended(concat(w.oid, '/', w.xmin), 0)) from pg_foreign_data_wrapper w),
        (select sum(hashtextextended(concat(s.oid, '/', s.xmin), 0)) from pg_foreign_server s),
        (select sum(hashtextextended(concat(p.oid, '/', p.xmin), 0)) from pg_publication p where p.pubname <> 'tidewire'),
        (select sum(hashtextextended(concat(r.oid, '/', r.xmin), 0)) from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where p.pubname <> 'tidewire'),
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
    mark := event._catalog_mark();
    if mark is distinct from (select i.catalog from event.installation i) then
        perform event._mirror(null, null);
        update event.installation i set catalog = mark;
    end if;
end
$$;
comment on function event._sweep_mirrors() is 'Compares the mirrors with the catalog when anything in it has changed.';
