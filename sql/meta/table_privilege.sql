-- Privileges on tables, views and sequences as rows: one for each role and privilege.

-- Who owns a relation has its privileges from the start, which is in the catalog only after the first GRANT or REVOKE.
create view meta._table_privilege as
select c.oid as scope, c.oid as object, meta.table_privilege_id(n.nspname, c.relname, p.role_name, p.privilege) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name,
       p.role_name, p.privilege, p.grantable
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee)::text end collate "default" as role_name,
           a.privilege_type collate "default" as privilege, bool_or(a.is_grantable) as grantable
    from aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) a
    group by a.grantee, a.privilege_type) p
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and meta._is_shown(n.oid);
comment on view meta._table_privilege is 'meta.table_privilege, with the relation''s oid.';

create view meta.table_privilege as
select id, schema_name, relation_name, role_name, privilege, grantable from meta._table_privilege;
comment on view meta.table_privilege is 'Who may do what with tables, views, foreign tables and sequences. INSERT grants a privilege, UPDATE gives or takes its grant option, DELETE revokes it.';
comment on column meta.table_privilege.id is 'Names the privilege.';
comment on column meta.table_privilege.role_name is 'Who has it; public: every role.';
comment on column meta.table_privilege.privilege is 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN (17); of a sequence SELECT, UPDATE, USAGE.';
comment on column meta.table_privilege.grantable is 'Whether the role may grant it to others. Who owns the relation may do that anyway.';

create function meta._table_privilege_given(old meta.table_privilege, new meta.table_privilege) returns meta.table_privilege
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.role_name := coalesce(new.role_name, ((new.id).role_id).name);
        new.privilege := upper(coalesce(new.privilege, (new.id).privilege));
        new.grantable := coalesce(new.grantable, false);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Delete the privilege, and insert another.');
        perform meta._flag_given(new.grantable, 'grantable');
        if (new.schema_name, new.relation_name, new.role_name, new.privilege)
           is distinct from (old.schema_name, old.relation_name, old.role_name, old.privilege) then
            perform meta._refuse('a privilege stays that of its role on its relation', 'Delete it, and insert another.');
        end if;
    end if;
    perform meta._name_given(new.schema_name, 'privilege''s schema'), meta._name_given(new.relation_name, 'privilege''s relation'),
            meta._name_given(new.role_name, 'privilege''s role'), meta._name_given(new.privilege, 'privilege');
    return new;
end
$$;
comment on function meta._table_privilege_given(meta.table_privilege, meta.table_privilege) is 'The row as it is to be, completed and checked.';

create function meta._table_privilege_ddl(old meta.table_privilege, new meta.table_privilege) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant meta.table_privilege := case when new is null then old else new end;
    place constant text := format('%I.%I', given.schema_name, given.relation_name);
    -- as a name: PostgreSQL says whether there is such a privilege
    privilege constant text := format('%I on %s %s', lower(given.privilege),
        case when exists (select from pg_class c where c.oid = to_regclass(place) and c.relkind = 'S') then 'sequence' else 'table' end, place);
    ddl text;
begin
    if new is null then
        ddl := format('revoke %s from %I', privilege, given.role_name);
    elsif old is null or new.grantable and not old.grantable then
        ddl := format('grant %s to %I', privilege, given.role_name) || case when new.grantable then ' with grant option' else '' end;
    elsif old.grantable and not new.grantable then
        ddl := format('revoke grant option for %s from %I', privilege, given.role_name);
    else
        return '{}';
    end if;
    return array[ddl, format('select meta._privilege_done(%L, %L, %L, %L, %L, %L)', given.schema_name, given.relation_name, given.role_name,
                             given.privilege, not (new is null), case when new.grantable or not (old is null) then new.grantable end)];
end
$$;
comment on function meta._table_privilege_ddl(meta.table_privilege, meta.table_privilege) is 'GRANT and REVOKE on a relation.';

-- GRANT and REVOKE only warn who may do neither but has some other privilege, and REVOKE leaves what another role granted.
create function meta._privilege_done(schema_name text, relation_name text, role_name text, privilege text, there boolean, grantable boolean)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    now meta.table_privilege;
    others text;
begin
    select p.id, p.schema_name, p.relation_name, p.role_name, p.privilege, p.grantable into now from meta._table_privilege p
    where p.scope = to_regclass(format('%I.%I', $1, $2)) and p.role_name = $3 and p.privilege = $4;
    if found = there and (not there or grantable is null or now.grantable = grantable) then
        return;
    end if;
    if there and (not found or grantable) then
        raise exception 'permission denied to grant % on %', privilege, relation_name
            using errcode = 'insufficient_privilege', hint = 'Its owner may, and who was granted it as grantable.';
    end if;
    select string_agg(distinct quote_ident(pg_get_userbyid(a.grantor)), ', ') into others
    from pg_class c cross join aclexplode(c.relacl) a
    where c.oid = to_regclass(format('%I.%I', $1, $2)) and a.privilege_type = $4
      and case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee) end = $3;
    raise exception '% has % on % from %', role_name, privilege, relation_name, others
        using errcode = 'insufficient_privilege', hint = 'Who granted it may revoke it: set role.';
end
$$;
comment on function meta._privilege_done(text, text, text, text, boolean, boolean) is 'An error unless a privilege is there, or is gone, or is grantable, as it was to be.';

create function meta._table_privilege_now(given meta.table_privilege) returns meta.table_privilege
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.id, p.schema_name, p.relation_name, p.role_name, p.privilege, p.grantable
    from meta._table_privilege p
    where p.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name))
      and p.role_name = (given).role_name and p.privilege = (given).privilege
$$;
comment on function meta._table_privilege_now(meta.table_privilege) is 'The row as it is.';

create trigger write instead of insert or update or delete on meta.table_privilege for each row execute function meta._write();
