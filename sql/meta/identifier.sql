-- Names for things: composite types that name an object of the database, and their JSON.

create type meta.schema_id as (name text);
create type meta.relation_id as (schema_id meta.schema_id, name text);
create type meta.column_id as (relation_id meta.relation_id, name text);
create type meta.row_id as (pk_column_ids meta.column_id[], pk_values text[]);
create type meta.field_id as (row_id meta.row_id, column_id meta.column_id);

comment on type meta.schema_id is 'Names a schema.';
comment on type meta.relation_id is 'Names a relation: a table, a view, ...';
comment on type meta.column_id is 'Names a column of a relation.';
comment on type meta.row_id is 'Names a row by its primary key: key columns and the text of their values, in the key''s order.';
comment on type meta.field_id is 'Names one field: a row and a column.';

-- Constructors. They do not look whether the object exists: a name may be made before the thing it names.

create function meta.schema_id(name text) returns meta.schema_id
language sql immutable parallel safe
return row(name)::meta.schema_id;

create function meta.relation_id(schema_name text, name text) returns meta.relation_id
language sql immutable parallel safe
return row(row(schema_name), name)::meta.relation_id;

create function meta.column_id(schema_name text, relation_name text, name text) returns meta.column_id
language sql immutable parallel safe
return row(row(row(schema_name), relation_name), name)::meta.column_id;

create function meta.row_id(schema_name text, relation_name text, pk_columns text[], pk_values text[]) returns meta.row_id
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(cardinality(pk_columns), 0) = 0 or cardinality(pk_columns) is distinct from cardinality(pk_values) then
        raise exception 'a row is named by as many values as its key has columns'
            using errcode = 'invalid_parameter_value',
                  detail = format('%s key columns and %s values were given.',
                                  coalesce(cardinality(pk_columns), 0), coalesce(cardinality(pk_values), 0));
    end if;
    return row(
        (select array_agg(meta.column_id(schema_name, relation_name, c) order by i)
         from unnest(pk_columns) with ordinality as u(c, i)),
        pk_values)::meta.row_id;
end
$$;

create function meta.row_id(schema_name text, relation_name text, pk_column text, pk_value text) returns meta.row_id
language sql immutable parallel safe
return row(array[meta.column_id(schema_name, relation_name, pk_column)], array[pk_value])::meta.row_id;

create function meta.field_id(schema_name text, relation_name text, pk_columns text[], pk_values text[], column_name text)
returns meta.field_id
language sql immutable parallel safe
return row(meta.row_id(schema_name, relation_name, pk_columns, pk_values),
           meta.column_id(schema_name, relation_name, column_name))::meta.field_id;

create function meta.field_id(schema_name text, relation_name text, pk_column text, pk_value text, column_name text)
returns meta.field_id
language sql immutable parallel safe
return row(meta.row_id(schema_name, relation_name, pk_column, pk_value),
           meta.column_id(schema_name, relation_name, column_name))::meta.field_id;

-- Every type casts to its parents.

create function meta._schema_of(relation meta.relation_id) returns meta.schema_id
language sql immutable parallel safe return (relation).schema_id;
create function meta._schema_of(col meta.column_id) returns meta.schema_id
language sql immutable parallel safe return ((col).relation_id).schema_id;
create function meta._relation_of(col meta.column_id) returns meta.relation_id
language sql immutable parallel safe return (col).relation_id;
create function meta._relation_of(row_id meta.row_id) returns meta.relation_id
language sql immutable parallel safe return ((row_id).pk_column_ids[1]).relation_id;
create function meta._schema_of(row_id meta.row_id) returns meta.schema_id
language sql immutable parallel safe return (((row_id).pk_column_ids[1]).relation_id).schema_id;
create function meta._row_of(field meta.field_id) returns meta.row_id
language sql immutable parallel safe return (field).row_id;
create function meta._column_of(field meta.field_id) returns meta.column_id
language sql immutable parallel safe return (field).column_id;
create function meta._relation_of(field meta.field_id) returns meta.relation_id
language sql immutable parallel safe return ((field).column_id).relation_id;
create function meta._schema_of(field meta.field_id) returns meta.schema_id
language sql immutable parallel safe return (((field).column_id).relation_id).schema_id;

create cast (meta.relation_id as meta.schema_id) with function meta._schema_of(meta.relation_id) as assignment;
create cast (meta.column_id as meta.schema_id) with function meta._schema_of(meta.column_id) as assignment;
create cast (meta.column_id as meta.relation_id) with function meta._relation_of(meta.column_id) as assignment;
create cast (meta.row_id as meta.schema_id) with function meta._schema_of(meta.row_id) as assignment;
create cast (meta.row_id as meta.relation_id) with function meta._relation_of(meta.row_id) as assignment;
create cast (meta.field_id as meta.schema_id) with function meta._schema_of(meta.field_id) as assignment;
create cast (meta.field_id as meta.relation_id) with function meta._relation_of(meta.field_id) as assignment;
create cast (meta.field_id as meta.column_id) with function meta._column_of(meta.field_id) as assignment;
create cast (meta.field_id as meta.row_id) with function meta._row_of(meta.field_id) as assignment;

comment on function meta.schema_id(text) is 'Names a schema.';
comment on function meta.relation_id(text, text) is 'Names a relation by its schema''s name and its own.';
comment on function meta.column_id(text, text, text) is 'Names a column by schema, relation and its own name.';
comment on function meta.row_id(text, text, text[], text[]) is 'Names a row by the columns of its primary key and their values as text.';
comment on function meta.row_id(text, text, text, text) is 'Names a row by its key, a single column, and the value as text.';
comment on function meta.field_id(text, text, text[], text[], text) is 'Names a field by the row''s key and the column.';
comment on function meta.field_id(text, text, text, text, text) is 'Names a field by the row''s key, a single column, and the column.';
comment on function meta._schema_of(meta.relation_id) is 'The schema of a relation: the cast.';
comment on function meta._schema_of(meta.column_id) is 'The schema of a column''s relation: the cast.';
comment on function meta._schema_of(meta.row_id) is 'The schema of a row''s relation: the cast.';
comment on function meta._schema_of(meta.field_id) is 'The schema of a field''s relation: the cast.';
comment on function meta._relation_of(meta.column_id) is 'The relation of a column: the cast.';
comment on function meta._relation_of(meta.row_id) is 'The relation of a row: the cast.';
comment on function meta._relation_of(meta.field_id) is 'The relation of a field: the cast.';
comment on function meta._column_of(meta.field_id) is 'The column of a field: the cast.';
comment on function meta._row_of(meta.field_id) is 'The row of a field: the cast.';
