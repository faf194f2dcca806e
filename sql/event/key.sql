-- What names a row: the values of its primary key, in one spelling for all values that are equal.
--
-- A file of its own, because the engine has to come to the same spelling from the text in the WAL's stream
-- (src/subscription/key.rs), where there is no PostgreSQL at hand.

create function event._pinned_text(value anyelement) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
set extra_float_digits = 1
set quote_all_identifiers = off
as $$ select format('%s', value) $$;
comment on function event._pinned_text(anyelement) is 'A value''s text as the engine sees it in the WAL''s stream.';

create function event._pinned_element(value anyarray) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
set extra_float_digits = 1
set quote_all_identifiers = off
as $$ select array_to_string(value, '') $$;
comment on function event._pinned_element(anyarray) is 'The text of an array''s one element as the engine sees it in the WAL''s stream.';

-- By the type's oid: its owner can give the name to another type between the look at the type and the use. With the type's modifier the
-- input function refuses a text that is too long for the column; a cast would cut it, and name another row.
create function event._key_value(given text, type oid, typmod integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select event._pinned_element(array_in(
        textout('{"' || replace(replace(given, chr(92), chr(92) || chr(92)), '"', chr(92) || '"') || '"}'), type, typmod))
$$;
comment on function event._key_value(text, oid, integer) is 'Reads a value as the caller''s settings have it; its text as the engine sees it.';

-- A domain's check is code of the domain's owner. An attribute of a composite type can become one of a domain while a value is read.
-- Neither must run as the role that subscribes, and neither is needed to find a row. What only superusers, or the role whose functions
-- the subscriber calls anyway, can alter is trusted.
create function event._may_run_code(type oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select _may_run_code.type
        union
        select n.oid
        from part p join pg_type t on t.oid = p.oid
        cross join lateral (
            select t.typelem where t.typelem <> 0
            union all
            select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            union all
            select r.rngsubtype from pg_range r where r.rngtypid = t.oid
            union all
            select r.rngtypid from pg_range r where to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
        ) n (oid)
    )
    select exists (
        select from part p join pg_type t on t.oid = p.oid
        where t.typtype = 'd'
           or t.typtype = 'c' and not exists (select from pg_roles r where r.oid = t.typowner and r.rolsuper)
              and t.typowner <> (select n.nspowner from pg_namespace n where n.nspname = 'event')
           or exists (select from pg_range r join pg_proc f on f.oid = r.rngcanonical join pg_language l on l.oid = f.prolang
                      where r.rngtypid = t.oid and l.lanname not in ('internal', 'c')))
$$;
comment on function event._may_run_code(oid) is 'Whether reading a value of the type may run code of a role that is neither a superuser nor Tidewire''s own.';

create function event._key_type(relation oid, attnum smallint, out type oid, out typmod integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    element oid;
    element_typmod integer;
begin
    select a.atttypid, a.atttypmod into type, typmod from pg_attribute a where a.attrelid = relation and a.attnum = _key_type.attnum;
    loop
        select t.typbasetype, case when t.typtypmod >= 0 then t.typtypmod else typmod end into element, element_typmod
        from pg_type t where t.oid = type and t.typtype = 'd';
        exit when not found;
        type := element;
        typmod := element_typmod;
    end loop;
    -- of an array of a domain the elements are read as the domain's base type
    select e.oid into element from pg_type t join pg_type e on e.oid = t.typelem and e.typtype = 'd'
    where t.oid = type and t.typsubscript = 'array_subscript_handler'::regproc;
    while found loop
        select b.oid, b.typarray into element, type from pg_type d join pg_type b on b.oid = d.typbasetype where d.oid = element;
        perform from pg_type t where t.oid = element and t.typtype = 'd';
    end loop;
    if type = 0 or event._may_run_code(type) then
        raise exception 'rows of "%" cannot be named by their key', relation::regclass
            using errcode = 'feature_not_supported',
                  detail = 'A key column''s type contains a domain, or a composite type of a role that is no superuser. To read its values '
                           'can run code of its owner as the subscriber.',
                  hint = 'Subscribe to the table or to a column.';
    end if;
end
$$;
comment on function event._key_type(oid, smallint) is
    'The type as which a key column''s values are read: one that runs no code of the table''s owner.';

-- The engine compares texts. Of most types equal values have equal texts; of some there is a spelling that both sides can
-- compute; of the others a row cannot be named: not by citext, nor by text of a collation to which different texts are equal.
-- The types are listed, and what is not known is refused. In containers a number's zeros can be dropped where nothing else in
-- the text could look like a number ('plain').
create function event._key_form(type oid, typmod integer, collation_oid oid, depth integer default 0) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    found_type record;
    part record;
    form text;
    result text := 'plain';
begin
    select t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, t.typrelid, t.typcollation, e.oid as element into found_type
    from pg_type t
    left join pg_type e on e.oid = t.typelem and t.typsubscript = 'array_subscript_handler'::regproc and t.oid <> 30
    where t.oid = type;
    if not found or depth > 8
       or collation_oid <> 0 and not (select c.collisdeterministic from pg_collation c where c.oid = collation_oid) then
        return null;
    end if;
    if type < 16384 and found_type.typtype = 'b' and found_type.element is null then
        return case
            when type in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'date'::regtype,
                          'time'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) then 'plain'
            when type in ('"char"'::regtype, 'name'::regtype, 'text'::regtype, 'varchar'::regtype, 'bytea'::regtype,
                          'uuid'::regtype, 'timetz'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype,
                          'macaddr8'::regtype, 'bit'::regtype, 'varbit'::regtype, 'tsvector'::regtype, 'pg_lsn'::regtype,
                          'xid8'::regtype, 'tid'::regtype, 'oidvector'::regtype) then 'exact'
            when type in ('numeric'::regtype, 'float4'::regtype, 'float8'::regtype) then 'number'
            -- the blanks at its end count for nothing; of a fixed length all have the same number of them
            when type = 'bpchar'::regtype and depth = 0 then 'blanks'
            when type = 'bpchar'::regtype and typmod >= 0 then 'exact'
            when type in ('interval'::regtype, 'jsonb'::regtype, 'money'::regtype) and depth = 0 then found_type.typname
        end;
    end if;
    if found_type.typtype = 'b' and found_type.element is null then
        -- these extensions' types have one text a value
        return (select 'exact' from pg_depend d
                join pg_extension x on d.refclassid = 'pg_extension'::regclass and x.oid = d.refobjid
                where d.classid = 'pg_type'::regclass and d.objid = type and d.deptype = 'e'
                  and (x.extname in ('hstore', 'isn') or x.extname = 'ltree' and found_type.typname = 'ltree'));
    end if;
    -- somebody's own idea of what is equal
    if type >= 16384 and exists (select from pg_opclass o where o.opcintype = type and o.opcdefault) then
        return null;
    end if;
    if found_type.typtype = 'd' then
        return event._key_form(found_type.typbasetype, case when found_type.typtypmod >= 0 then found_type.typtypmod else typmod end,
                               collation_oid, depth);
    elsif found_type.typtype = 'e' then
        return 'exact';
    end if;
    for part in
        select p.type, p.typmod, p.collation_oid from (
            select found_type.element as type, typmod as typmod, collation_oid as collation_oid, 0 as place
            where found_type.element is not null
            union all
            select a.atttypid, a.atttypmod, a.attcollation, a.attnum from pg_attribute a
            where found_type.typtype = 'c' and a.attrelid = found_type.typrelid and a.attnum > 0 and not a.attisdropped
            union all
            select r.rngsubtype, -1, r.rngcollation, 0 from pg_range r
            where r.rngtypid = type and exists (select from pg_opclass o where o.oid = r.rngsubopc and o.oid < 16384)
            union all
            select r.rngtypid, -1, 0::oid, 0 from pg_range r
            where found_type.typtype = 'm' and to_jsonb(r) ->> 'rngmultitypid' = type::text) p
        order by p.place
    loop
        form := event._key_form(part.type, part.typmod, part.collation_oid, depth + 1);
        result := case when form is null then null
                       when form = 'plain' or form = result then result
                       when result = 'plain' then form end;
        if result is null then
            return null;
        end if;
    end loop;
    -- a range whose comparison is not PostgreSQL's own has no part
    if found_type.typtype not in ('c', 'r', 'm') and found_type.element is null
       or found_type.typtype in ('r', 'm') and form is null then
        return null;
    end if;
    return result;
end
$$;
comment on function event._key_form(oid, integer, oid, integer) is
    'How a key''s text becomes the one spelling of all equal values: plain and exact, it is; number, blanks, interval, jsonb, money: event._canonical_key; NULL: there is none.';

create function event._key_forms(relation oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(case when k.form not in ('plain', 'exact') then k.form end order by k.place)
    from (select u.place,
                 -- most keys, without a call
                 case when a.atttypid in (20, 21, 23, 2950) or a.atttypid in (25, 1043) and a.attcollation in (100, 950) then 'exact'
                      else event._key_form(a.atttypid, a.atttypmod, a.attcollation) end as form
          from unnest(event._key_attnums(relation)) with ordinality u (attnum, place)
          join pg_attribute a on a.attrelid = relation and a.attnum = u.attnum) k
    having count(*) filter (where k.form not in ('plain', 'exact')) > 0
$$;
comment on function event._key_forms(oid) is
    'The forms of a table''s key columns, NULL for those whose text stands as it is; NULL: all do.';

-- Both sides compute it from the text: what is written here is written in src/subscription/key.rs, and a test holds them together.
create function event._canonical_key(form text, value text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
declare
    span interval;
begin
    case form
        when 'number' then
            return regexp_replace(regexp_replace(value, '([.][0-9]*[1-9])0+(?![0-9])|[.]0+(?![0-9])', E'\\1', 'g'),
                                  '-0(?![0-9.])', '0', 'g');
        when 'blanks' then
            return rtrim(value, ' ');
        when 'jsonb' then
            return regexp_replace(value, E'("(?:[^"\\\\]|\\\\.)*")|([.][0-9]*[1-9])0+(?![0-9])|[.]0+(?![0-9])', E'\\1\\2', 'g');
        when 'money' then
            -- the rest depends on lc_monetary
            return case when value ~ '[-(]' then '-' else '' end || regexp_replace(value, '[^0-9]', '', 'g');
        when 'interval' then
            if value in ('infinity', '-infinity') then
                return value;
            end if;
            -- as interval_cmp_value has it: a month is 30 days, and a day 24 hours
            span := value;
            return trim_scale((((extract(year from span) * 12 + extract(month from span)) * 30 + extract(day from span)) * 24
                               + extract(hour from span)) * 3600000000
                              + extract(minute from span) * 60000000 + extract(microseconds from span))::text;
        else
            return value;
    end case;
end
$$;
comment on function event._canonical_key(text, text) is 'The one spelling of a key''s value, from its text and its form.';

-- Runs with the caller's rights. What it calls are the input and output functions of types that run no other code: those are C code
-- that only a superuser can install.
create function event._key_text(relation oid, columns text[], given text[]) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key_attnums constant smallint[] := event._key_attnums(relation);
    key_columns text[];
    result text[] := '{}';
    key_attnum smallint;
    at integer;
    base_type oid;
    base_typmod integer;
    form text;
    value text;
begin
    if key_attnums is null then
        raise exception 'table "%" has no primary key', relation::regclass
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Without a key a row has no name. Add a primary key, or subscribe to the table or to a column.';
    end if;
    select array_agg(a.attname::text order by array_position(key_attnums, a.attnum)) into key_columns
    from pg_attribute a where a.attrelid = relation and a.attnum = any (key_attnums);
    if not (columns @> key_columns and columns <@ key_columns and cardinality(columns) = cardinality(key_columns)) then
        raise exception 'the primary key of "%" is (%), not (%)', relation::regclass,
                array_to_string(key_columns, ', '), array_to_string(columns, ', ')
            using errcode = 'invalid_column_reference', hint = 'Name the row by all columns of its primary key.';
    end if;
    foreach key_attnum in array key_attnums loop
        at := array_position(columns, (select a.attname::text from pg_attribute a
                                       where a.attrelid = relation and a.attnum = key_attnum));
        if given[at] is null then
            raise exception 'a key value is never null (column "%")', columns[at] using errcode = 'null_value_not_allowed';
        end if;
        select k.type, k.typmod into base_type, base_typmod from event._key_type(relation, key_attnum) k;
        form := (select event._key_form(base_type, base_typmod, a.attcollation) from pg_attribute a
                 where a.attrelid = relation and a.attnum = key_attnum);
        if form is null then
            raise exception 'rows of "%" cannot be named by their key', relation::regclass
                using errcode = 'feature_not_supported',
                      detail = format('Column "%s" is of type %s. Equal values of this type can have different texts, or a value''s '
                                      'text changes with the catalog, and the engine compares texts.', columns[at], format_type(base_type, base_typmod)),
                      hint = 'Subscribe to the table or to a column; or give the table a primary key of another type, such as text or uuid.';
        end if;
        begin
            value := event._canonical_key(form, event._key_value(given[at], base_type, base_typmod));
        exception when data_exception or check_violation then
            raise exception '"%" is no value of key column "%"', left(given[at], 200), columns[at]
                using errcode = 'invalid_parameter_value', detail = sqlerrm,
                      hint = format('The column''s type is %s.', format_type(base_type, base_typmod));
        end;
        result := result || value;
    end loop;
    return result;
end
$$;
comment on function event._key_text(oid, text[], text[]) is 'Brings a key''s values into the key''s order and into the text form of its columns.';
