-- The JSON of names: to `json` byte for byte as events carry it, to `jsonb`, and back from `jsonb`.

create function meta._json(id meta.schema_id) returns json
language sql immutable parallel safe
return ('{"name":' || to_json((id).name)::text || '}')::json;

create function meta._json(id meta.relation_id) returns json
language sql immutable parallel safe
return ('{"schema_id":' || meta._json((id).schema_id)::text || ',"name":' || to_json((id).name)::text || '}')::json;

create function meta._json(id meta.column_id) returns json
language sql immutable parallel safe
return ('{"relation_id":' || meta._json((id).relation_id)::text || ',"name":' || to_json((id).name)::text || '}')::json;

create function meta._json(id meta.row_id) returns json
language sql immutable parallel safe
return (case when cardinality((id).pk_values) = 1 then
    '{"pk_column_id":' || meta._json((id).pk_column_ids[1])::text
    || ',"pk_value":' || to_json((id).pk_values[1])::text || '}'
else
    '{"pk_column_ids":['
    || (select string_agg(meta._json(row((c).relation_id, (c).name)::meta.column_id)::text, ',' order by i)
        from unnest((id).pk_column_ids) with ordinality as u(relation_id, name, i)
        cross join lateral (select row(u.relation_id, u.name)::meta.column_id as c) as whole)
    || '],"pk_values":['
    || (select string_agg(to_json(v)::text, ',' order by i) from unnest((id).pk_values) with ordinality as u(v, i))
    || ']}'
end)::json;

create function meta._json(id meta.field_id) returns json
language sql immutable parallel safe
return ('{"row_id":' || meta._json((id).row_id)::text || ',"column_id":' || meta._json((id).column_id)::text || '}')::json;

create function meta._jsonb(id meta.schema_id) returns jsonb language sql immutable parallel safe return meta._json(id)::jsonb;
create function meta._jsonb(id meta.relation_id) returns jsonb language sql immutable parallel safe return meta._json(id)::jsonb;
create function meta._jsonb(id meta.column_id) returns jsonb language sql immutable parallel safe return meta._json(id)::jsonb;
create function meta._jsonb(id meta.row_id) returns jsonb language sql immutable parallel safe return meta._json(id)::jsonb;
create function meta._jsonb(id meta.field_id) returns jsonb language sql immutable parallel safe return meta._json(id)::jsonb;

-- Back. What is not of the form is refused: a name with a part missing would name something else.

create function meta._text_at(value jsonb, key text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(value -> key) is distinct from 'string' then
        raise exception 'the identifier has no string "%"', key
            using errcode = 'invalid_parameter_value', detail = format('It is: %s', left(value::text, 200));
    end if;
    return value ->> key;
end
$$;

create function meta._schema_id(value jsonb) returns meta.schema_id
language sql immutable parallel safe
return row(meta._text_at(value, 'name'))::meta.schema_id;

create function meta._relation_id(value jsonb) returns meta.relation_id
language sql immutable parallel safe
return row(meta._schema_id(value -> 'schema_id'), meta._text_at(value, 'name'))::meta.relation_id;

create function meta._column_id(value jsonb) returns meta.column_id
language sql immutable parallel safe
return row(meta._relation_id(value -> 'relation_id'), meta._text_at(value, 'name'))::meta.column_id;

create function meta._row_id(value jsonb) returns meta.row_id
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    names meta.column_id[];
    texts text[];
begin
    if value ? 'pk_column_id' then
        return row(array[meta._column_id(value -> 'pk_column_id')], array[meta._text_at(value, 'pk_value')])::meta.row_id;
    end if;
    if jsonb_typeof(value -> 'pk_column_ids') is distinct from 'array'
       or jsonb_typeof(value -> 'pk_values') is distinct from 'array'
       or jsonb_array_length(value -> 'pk_column_ids') = 0
       or jsonb_array_length(value -> 'pk_column_ids') <> jsonb_array_length(value -> 'pk_values') then
        raise exception 'the identifier is not one of a row'
            using errcode = 'invalid_parameter_value', detail = format('It is: %s', left(value::text, 200));
    end if;
    select array_agg(meta._column_id(e) order by i) into names
    from jsonb_array_elements(value -> 'pk_column_ids') with ordinality as u(e, i);
    select array_agg(e order by i) into texts
    from jsonb_array_elements_text(value -> 'pk_values') with ordinality as u(e, i);
    return row(names, texts)::meta.row_id;
end
$$;

create function meta._field_id(value jsonb) returns meta.field_id
language sql immutable parallel safe
return row(meta._row_id(value -> 'row_id'), meta._column_id(value -> 'column_id'))::meta.field_id;

create cast (meta.schema_id as json) with function meta._json(meta.schema_id);
create cast (meta.relation_id as json) with function meta._json(meta.relation_id);
create cast (meta.column_id as json) with function meta._json(meta.column_id);
create cast (meta.row_id as json) with function meta._json(meta.row_id);
create cast (meta.field_id as json) with function meta._json(meta.field_id);
create cast (meta.schema_id as jsonb) with function meta._jsonb(meta.schema_id);
create cast (meta.relation_id as jsonb) with function meta._jsonb(meta.relation_id);
create cast (meta.column_id as jsonb) with function meta._jsonb(meta.column_id);
create cast (meta.row_id as jsonb) with function meta._jsonb(meta.row_id);
create cast (meta.field_id as jsonb) with function meta._jsonb(meta.field_id);
create cast (jsonb as meta.schema_id) with function meta._schema_id(jsonb);
create cast (jsonb as meta.relation_id) with function meta._relation_id(jsonb);
create cast (jsonb as meta.column_id) with function meta._column_id(jsonb);
create cast (jsonb as meta.row_id) with function meta._row_id(jsonb);
create cast (jsonb as meta.field_id) with function meta._field_id(jsonb);

comment on function meta._json(meta.schema_id) is 'The name as events carry it: the cast.';
comment on function meta._json(meta.relation_id) is 'The name as events carry it: the cast.';
comment on function meta._json(meta.column_id) is 'The name as events carry it: the cast.';
comment on function meta._json(meta.row_id) is 'The name as events carry it: the cast.';
comment on function meta._json(meta.field_id) is 'The name as events carry it: the cast.';
comment on function meta._jsonb(meta.schema_id) is 'The same as jsonb: the cast.';
comment on function meta._jsonb(meta.relation_id) is 'The same as jsonb: the cast.';
comment on function meta._jsonb(meta.column_id) is 'The same as jsonb: the cast.';
comment on function meta._jsonb(meta.row_id) is 'The same as jsonb: the cast.';
comment on function meta._jsonb(meta.field_id) is 'The same as jsonb: the cast.';
comment on function meta._text_at(jsonb, text) is 'A member that has to be a text; an error otherwise.';
comment on function meta._schema_id(jsonb) is 'Reads a name as events carry it: the cast.';
comment on function meta._relation_id(jsonb) is 'Reads a name as events carry it: the cast.';
comment on function meta._column_id(jsonb) is 'Reads a name as events carry it: the cast.';
comment on function meta._row_id(jsonb) is 'Reads a name as events carry it: the cast.';
comment on function meta._field_id(jsonb) is 'Reads a name as events carry it: the cast.';
