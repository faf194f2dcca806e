-- What keys, checks, foreign keys, exclusions and indexes share.

create function meta._column_names(relation oid, numbers smallint[]) returns text[]
language sql stable
return (select pg_catalog.array_agg(a.attname::text collate "default" order by u.place)
        from pg_catalog.unnest(numbers) with ordinality as u(number, place) join pg_catalog.pg_attribute a on a.attrelid = relation and a.attnum = u.number);
comment on function meta._column_names(oid, smallint[]) is 'The names of these columns of a relation, in this order; of none NULL.';

create function meta._columns_clause(names text[], of_last text[] default '{"",""}') returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '(' || string_agg(case when u.place = cardinality(names) then of_last[1] || quote_ident(u.name) || of_last[2] else quote_ident(u.name) end,
                             ', ' order by u.place) || ')'
    from unnest(names) with ordinality as u(name, place)
$$;
comment on function meta._columns_clause(text[], text[]) is 'How SQL lists columns; of_last stands before and behind the last one.';

create function meta._deferral_clause("deferrable" boolean, deferred boolean) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- of what is said to be both not deferrable and deferred PostgreSQL says that it cannot be
    select case when "deferrable" then ' deferrable' when not "deferrable" and deferred then ' not deferrable' else '' end
           || case when deferred then ' initially deferred' else '' end
$$;
comment on function meta._deferral_clause(boolean, boolean) is 'How SQL says when a constraint is checked.';

create function meta._columns_given(names text[], what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(cardinality(names), 0) = 0 then
        raise exception '% needs columns', what using errcode = 'not_null_violation';
    end if;
    perform meta._name_given(u.name, 'column') from unnest(names) as u(name);
end
$$;
comment on function meta._columns_given(text[], text) is 'An error unless there are columns, and all are names.';

create function meta._version_given(wanted boolean, version integer, what text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if wanted and current_setting('server_version_num')::integer < version * 10000 then
        perform meta._refuse(format('PostgreSQL has %s from %s on', what, version), 'Leave that out.');
    end if;
end
$$;
comment on function meta._version_given(boolean, integer, text) is 'An error for what only newer versions of PostgreSQL have.';

-- The names are those of the schema, the relation and the part itself, which PostgreSQL can choose: then there is nothing yet to comment on.
create function meta._part_made(what text, names text[], inherited boolean, comment text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform meta._name_given(names[1], what || '''s schema'), meta._name_given(names[2], what || '''s table');
    if names[3] is not null then
        perform meta._name_given(names[3], what);
    elsif comment is not null then
        perform meta._refuse('PostgreSQL chooses the name, by which the comment would be given', 'Give name, or update comment after it.');
    end if;
    if inherited then
        perform meta._refuse('what is inherited comes with the parent''s', 'Leave inherited out.');
    end if;
end
$$;
comment on function meta._part_made(text, text[], boolean, text) is 'An error unless a constraint or an index can be made so.';

create function meta._part_kept(what text, old text[], new text[], was_inherited boolean, inherited boolean) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform meta._id_kept(old[1], new[1], 'Update name.');
    if new[2:3] is distinct from old[2:3] then
        perform meta._refuse('a ' || what || ' stays in its table',
                             'Make it in the other table, and delete this one. To move or rename the table update meta.table.');
    end if;
    if inherited is distinct from was_inherited then
        perform meta._refuse('whether a ' || what || ' is inherited follows its table', 'Inherit or attach the table, or end that.');
    end if;
    perform meta._name_given(new[4], what);
end
$$;
comment on function meta._part_kept(text, text[], text[], boolean, boolean) is
    'An error when an UPDATE of a constraint or an index gives another id, schema or relation, or no name.';

-- Nobody else can have made one since: the table is locked against that.
create function meta._constraint_made(relation oid, kind "char", name text) returns oid
language sql stable
return (select k.oid from pg_catalog.pg_constraint k
        where k.conrelid = relation and k.contype = kind and case when name is not null then k.conname = name else k.conparentid = 0 end
        order by pg_catalog.age(k.xmin), k.oid desc limit 1);
comment on function meta._constraint_made(oid, "char", text) is 'The constraint of that name; without a name, the one made last.';
