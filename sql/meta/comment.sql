-- Comments as rows: of everything of the user's that can have one, also what is no relation of meta.

-- Names are quoted where they have to be, whatever the reader's settings: they are in identifiers.
create function meta._commented(class oid, object oid, part integer,
                                out type text, out names text[], out args text[], out schema_name text, out identity text)
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
    select a.type, a.object_names, a.object_args, case when a.type in ('schema', 'trigger', 'rule', 'policy') then a.object_names[1] else i.schema end,
           i.identity
    from pg_identify_object_as_address(class, object, part) a cross join pg_identify_object(class, object, part) i
$$;
comment on function meta._commented(oid, oid, integer) is 'What a comment is of, by its address.';

create view meta._comment as
select d.objoid as scope, d.objoid as object, meta.comment_id(o.type, o.names, o.args) as id, o.type as object_type,
       o.names as object_names, o.args as object_args, o.identity, d.description collate "default" as comment
from (select p.classoid, p.objoid, p.objsubid, p.description from pg_description p
      -- of PostgreSQL's own the schema public (by which oid initdb makes it), and that there is plpgsql
      where p.objoid >= 16384 or (p.classoid = 'pg_namespace'::regclass and p.objoid = 2200) or p.classoid = 'pg_extension'::regclass
      union all
      select s.classoid, s.objoid, 0, s.description from pg_shdescription s
      where case when s.classoid = 'pg_database'::regclass then s.objoid = (select b.oid from pg_database b where b.datname = current_database())
                 else s.objoid >= 16384 or (s.classoid = 'pg_authid'::regclass and s.objoid = 10) end) d
cross join lateral meta._commented(d.classoid, d.objoid, d.objsubid) o
where not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
  and o.type is not null
  and coalesce(o.schema_name !~ '^pg_' and o.schema_name not in ('information_schema', 'meta', 'event'), true)
  and not (o.type = 'publication' and o.names[1] = 'tidewire') and not (o.type = 'event trigger' and starts_with(o.names[1], 'tidewire_'))
  and not (o.type = 'cast' and (o.names[1] like 'meta.%' or o.args[1] like 'meta.%'));
comment on view meta._comment is 'meta.comment, with the oid of what it is of.';

create view meta.comment as select id, object_type, object_names, object_args, identity, comment from meta._comment;
comment on view meta.comment is 'Comments, of whatever can have one. INSERT comments what has none, UPDATE gives it another comment, DELETE takes it away.';
comment on column meta.comment.id is 'Names what it is of.';
comment on column meta.comment.object_type is 'What it is of: table, table column, function, ...: these three are those of pg_identify_object_as_address.';
comment on column meta.comment.object_names is 'Its name, with its schema''s, its table''s.';
comment on column meta.comment.object_args is 'The types of a function''s parameters, what an operator or a cast is between, a domain''s constraint.';
comment on column meta.comment.identity is 'Its name as SQL writes it, which is a fact.';

create function meta._address_given(type text, names text[], args text[], out class oid, out object oid, out part integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if type = 'operator' and cardinality(args) = 1 then
        -- a prefix operator, of which pg_get_object_address does not read what pg_identify_object_as_address writes
        class := 'pg_operator'::regclass;
        part := 0;
        object := (select o.oid from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
                   where n.nspname = names[1] and o.oprname = names[2] and o.oprleft = 0 and o.oprright = to_regtype(args[1]));
        if object is null then
            raise exception 'operator %.% (%) does not exist', names[1], names[2], args[1] using errcode = 'undefined_function';
        end if;
    else
        -- nor of columns, but for those of tables
        select a.classid, a.objid, a.objsubid into class, object, part
        from pg_get_object_address(case when type like '% column' then 'table column' else type end, names, args) a;
    end if;
end
$$;
comment on function meta._address_given(text, text[], text[]) is 'The address of what a comment is of, by its names; an error if it is not there.';

create function meta._comment_given(old meta.comment, new meta.comment) returns meta.comment
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if old is null then
        new.object_type := coalesce(new.object_type, (new.id).object_type);
        new.object_names := coalesce(new.object_names, (new.id).object_names);
        new.object_args := coalesce(new.object_args, (new.id).object_args, '{}');
        if new.object_type is null or new.object_names is null then
            raise exception 'a comment needs what it is of' using errcode = 'not_null_violation', hint = 'Give object_type and object_names.';
        end if;
        -- as it is written, which may be another way than it was given
        select o.type, o.names, o.args, o.identity into new.object_type, new.object_names, new.object_args, new.identity
        from meta._address_given(new.object_type, new.object_names, new.object_args) a, meta._commented(a.class, a.object, a.part) o;
        new.id := meta.comment_id(new.object_type, new.object_names, new.object_args);
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Insert one for the other object, and delete this one.');
        if (new.object_type, new.object_names, new.object_args, new.identity)
           is distinct from (old.object_type, old.object_names, old.object_args, old.identity) then
            perform meta._refuse('a comment stays with what it is of', 'Insert one for the other object, and delete this one.');
        end if;
    end if;
    if coalesce(new.comment, '') = '' then
        raise exception 'a comment has a text' using errcode = 'not_null_violation', hint = 'To take it away delete it.';
    end if;
    return new;
end
$$;
comment on function meta._comment_given(meta.comment, meta.comment) is 'The row as it is to be, completed and checked.';

create function meta._comment_ddl(old meta.comment, new meta.comment) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    type constant text := coalesce(old.object_type, new.object_type);
    identity constant text := coalesce(old.identity, new.identity);
    names constant text[] := coalesce(old.object_names, new.object_names);
    args constant text[] := coalesce(old.object_args, new.object_args);
    what text;
begin
    if old is null and exists (
        select from meta._address_given(new.object_type, new.object_names, new.object_args) a join meta._comment c on c.scope = a.object
        where c.id = new.id) then
        raise exception '% % has a comment', type, identity using errcode = 'unique_violation', hint = 'Update it.';
    end if;
    if new.comment is not distinct from old.comment then
        return '{}';
    end if;
    case
        when type like '% column' then
            what := 'column ' || identity;
        when type = 'table constraint' then
            what := 'constraint ' || identity;
        when type = 'domain constraint' then
            what := format('constraint %I on domain %s', args[1], names[1]);
        when type = 'transform' then
            what := format('transform for %s language %I', names[1], args[1]);
        when type in ('function', 'procedure', 'aggregate') then
            -- the one word by which an aggregate has its types like a function
            what := 'routine ' || identity;
        when type = 'foreign-data wrapper' then
            what := 'foreign data wrapper ' || identity;
        when type = 'statistics object' then
            what := 'statistics ' || identity;
        when type in ('access method', 'cast', 'collation', 'conversion', 'database', 'event trigger', 'extension', 'foreign table', 'index',
                      'language', 'large object', 'materialized view', 'operator', 'operator class', 'operator family', 'policy', 'publication',
                      'role', 'rule', 'schema', 'sequence', 'server', 'subscription', 'table', 'tablespace', 'text search configuration',
                      'text search dictionary', 'text search parser', 'text search template', 'trigger', 'type', 'view') then
            what := type || ' ' || identity;
        else
            perform meta._refuse(format('PostgreSQL has no comment on a %s', type), null);
    end case;
    return array[format('comment on %s is %L', what, new.comment)];
end
$$;
comment on function meta._comment_ddl(meta.comment, meta.comment) is 'COMMENT ON.';

create function meta._comment_now(given meta.comment) returns meta.comment
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_now meta.comment;
begin
    select c.id, c.object_type, c.object_names, c.object_args, c.identity, c.comment into found_now
    from meta._address_given(given.object_type, given.object_names, given.object_args) a join meta._comment c on c.scope = a.object
    where c.id = given.id;
    if not found then
        perform meta._refuse(format('%s %s is not yours to comment here', given.object_type, given.identity),
                             'Comments are not shown on what is PostgreSQL''s, Tidewire''s, an extension''s, or another database.');
    end if;
    return found_now;
end
$$;
comment on function meta._comment_now(meta.comment) is 'The row as it is. What is not shown is not commented.';

create trigger write instead of insert or update or delete on meta.comment for each row execute function meta._write();
