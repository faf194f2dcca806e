-- Names for all other kinds of objects, and their JSON, which is that of their parts.

create type meta.type_id as (schema_id meta.schema_id, name text);
create type meta.function_id as (schema_id meta.schema_id, name text, parameter_types text[]);
create type meta.function_parameter_id as (function_id meta.function_id, position integer);
create type meta.cast_id as (source_type text, target_type text);
create type meta.operator_id as (schema_id meta.schema_id, name text, left_type text, right_type text);
create type meta.constraint_id as (relation_id meta.relation_id, name text);
create type meta.trigger_id as (relation_id meta.relation_id, name text);
create type meta.policy_id as (relation_id meta.relation_id, name text);
create type meta.role_id as (name text);
create type meta.policy_role_id as (policy_id meta.policy_id, role_id meta.role_id);
create type meta.role_inheritance_id as (role_id meta.role_id, member_id meta.role_id);
create type meta.table_privilege_id as (relation_id meta.relation_id, role_id meta.role_id, privilege text);
create type meta.connection_id as (pid integer);
create type meta.extension_id as (name text);
create type meta.foreign_data_wrapper_id as (name text);
create type meta.foreign_server_id as (name text);
create type meta.publication_id as (name text);
create type meta.setting_id as (database_name text, role_name text, name text);
create type meta.comment_id as (object_type text, object_names text[], object_args text[]);

comment on type meta.type_id is 'Names a type.';
comment on type meta.function_id is 'Names a function or procedure by its schema, its name and the types of its input parameters.';
comment on type meta.function_parameter_id is 'Names a parameter of a function by its place, from 1.';
comment on type meta.cast_id is 'Names a cast by its types.';
comment on type meta.operator_id is 'Names an operator by its schema, its name and its types. Without a left type it is a prefix operator.';
comment on type meta.constraint_id is 'Names a constraint of a table: a key, a check, a foreign key.';
comment on type meta.trigger_id is 'Names a trigger of a relation.';
comment on type meta.policy_id is 'Names a row-level security policy of a table.';
comment on type meta.role_id is 'Names a role; public is all of them.';
comment on type meta.policy_role_id is 'Names a role that a policy applies to.';
comment on type meta.role_inheritance_id is 'Names a membership: of member_id in role_id.';
comment on type meta.table_privilege_id is 'Names a privilege of a role on a relation.';
comment on type meta.connection_id is 'Names a connection by its server process.';
comment on type meta.extension_id is 'Names an extension.';
comment on type meta.foreign_data_wrapper_id is 'Names a foreign-data wrapper.';
comment on type meta.foreign_server_id is 'Names a foreign server.';
comment on type meta.publication_id is 'Names a publication.';
comment on type meta.setting_id is 'Names a setting of a database, of a role, or of a role in a database: what it is not of is NULL.';
comment on type meta.comment_id is 'Names the object of a comment, as pg_identify_object_as_address does.';

create function meta.type_id(schema_name text, name text) returns meta.type_id
language sql immutable parallel safe return row(row(schema_name), name)::meta.type_id;
create function meta.function_id(schema_name text, name text, parameter_types text[]) returns meta.function_id
language sql immutable parallel safe return row(row(schema_name), name, parameter_types)::meta.function_id;
create function meta.function_parameter_id(schema_name text, function_name text, parameter_types text[], "position" integer)
returns meta.function_parameter_id
language sql immutable parallel safe return row(row(row(schema_name), function_name, parameter_types), "position")::meta.function_parameter_id;
create function meta.cast_id(source_type text, target_type text) returns meta.cast_id
language sql immutable parallel safe return row(source_type, target_type)::meta.cast_id;
create function meta.operator_id(schema_name text, name text, left_type text, right_type text) returns meta.operator_id
language sql immutable parallel safe return row(row(schema_name), name, left_type, right_type)::meta.operator_id;
create function meta.constraint_id(schema_name text, relation_name text, name text) returns meta.constraint_id
language sql immutable parallel safe return row(row(row(schema_name), relation_name), name)::meta.constraint_id;
create function meta.trigger_id(schema_name text, relation_name text, name text) returns meta.trigger_id
language sql immutable parallel safe return row(row(row(schema_name), relation_name), name)::meta.trigger_id;
create function meta.policy_id(schema_name text, relation_name text, name text) returns meta.policy_id
language sql immutable parallel safe return row(row(row(schema_name), relation_name), name)::meta.policy_id;
create function meta.role_id(name text) returns meta.role_id
language sql immutable parallel safe return row(name)::meta.role_id;
create function meta.policy_role_id(schema_name text, relation_name text, policy_name text, role_name text) returns meta.policy_role_id
language sql immutable parallel safe
return row(row(row(row(schema_name), relation_name), policy_name), row(role_name))::meta.policy_role_id;
create function meta.role_inheritance_id(role_name text, member_name text) returns meta.role_inheritance_id
language sql immutable parallel safe return row(row(role_name), row(member_name))::meta.role_inheritance_id;
create function meta.table_privilege_id(schema_name text, relation_name text, role_name text, privilege text) returns meta.table_privilege_id
language sql immutable parallel safe
return row(row(row(schema_name), relation_name), row(role_name), privilege)::meta.table_privilege_id;
create function meta.connection_id(pid integer) returns meta.connection_id
language sql immutable parallel safe return row(pid)::meta.connection_id;
create function meta.extension_id(name text) returns meta.extension_id
language sql immutable parallel safe return row(name)::meta.extension_id;
create function meta.foreign_data_wrapper_id(name text) returns meta.foreign_data_wrapper_id
language sql immutable parallel safe return row(name)::meta.foreign_data_wrapper_id;
create function meta.foreign_server_id(name text) returns meta.foreign_server_id
language sql immutable parallel safe return row(name)::meta.foreign_server_id;
create function meta.publication_id(name text) returns meta.publication_id
language sql immutable parallel safe return row(name)::meta.publication_id;
create function meta.setting_id(database_name text, role_name text, name text) returns meta.setting_id
language sql immutable parallel safe return row(database_name, role_name, name)::meta.setting_id;
create function meta.comment_id(object_type text, object_names text[], object_args text[] default '{}') returns meta.comment_id
language sql immutable parallel safe return row(object_type, object_names, object_args)::meta.comment_id;

create function meta._of_its_form(given jsonb, read jsonb) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if given is distinct from read then
        raise exception 'the identifier is not of its form'
            using errcode = 'invalid_parameter_value', detail = format('It is: %s', left(given::text, 200));
    end if;
end
$$;
comment on function meta._of_its_form(jsonb, jsonb) is 'An error unless what was read of an identifier is all that was given: with a part missing it would name something else.';

-- row_to_json takes a name apart without asking for the cast that is made of it here.
do $$
declare
    kind text;
    path text;
    parent record;
begin
    foreach kind in array array['type', 'function', 'function_parameter', 'cast', 'operator', 'constraint', 'trigger', 'policy', 'role',
        'policy_role', 'role_inheritance', 'table_privilege', 'connection', 'extension', 'foreign_data_wrapper', 'foreign_server',
        'publication', 'setting', 'comment'] loop
        execute format($sql$
            create function meta._json(id meta.%1$s_id) returns json language sql immutable parallel safe return row_to_json(id);
            create function meta._jsonb(id meta.%1$s_id) returns jsonb language sql immutable parallel safe return row_to_json(id)::jsonb;
            create function meta._%1$s_id(value jsonb) returns meta.%1$s_id language plpgsql immutable parallel safe
            set search_path = pg_catalog, pg_temp
            as $body$
            declare
                read constant meta.%1$s_id := jsonb_populate_record(null::meta.%1$s_id, value);
            begin
                perform meta._of_its_form(value, row_to_json(read)::jsonb);
                return read;
            end
            $body$;
            comment on function meta._json(meta.%1$s_id) is 'The name as events carry it: the cast.';
            comment on function meta._jsonb(meta.%1$s_id) is 'The same as jsonb: the cast.';
            comment on function meta._%1$s_id(jsonb) is 'Reads a name as events carry it: the cast.';
            create cast (meta.%1$s_id as json) with function meta._json(meta.%1$s_id);
            create cast (meta.%1$s_id as jsonb) with function meta._jsonb(meta.%1$s_id);
            create cast (jsonb as meta.%1$s_id) with function meta._%1$s_id(jsonb);
        $sql$, kind);
    end loop;
    -- to the parents
    for parent in values ('type', 'schema', 'schema_id'), ('function', 'schema', 'schema_id'), ('operator', 'schema', 'schema_id'),
        ('function_parameter', 'function', 'function_id'), ('function_parameter', 'schema', 'function_id.schema_id'),
        ('constraint', 'relation', 'relation_id'), ('constraint', 'schema', 'relation_id.schema_id'),
        ('trigger', 'relation', 'relation_id'), ('trigger', 'schema', 'relation_id.schema_id'),
        ('policy', 'relation', 'relation_id'), ('policy', 'schema', 'relation_id.schema_id'),
        ('policy_role', 'policy', 'policy_id'), ('policy_role', 'role', 'role_id'), ('policy_role', 'relation', 'policy_id.relation_id'),
        ('policy_role', 'schema', 'policy_id.relation_id.schema_id'), ('role_inheritance', 'role', 'role_id'),
        ('table_privilege', 'relation', 'relation_id'), ('table_privilege', 'schema', 'relation_id.schema_id'),
        ('table_privilege', 'role', 'role_id') loop
        path := '(id).' || parent.column3;
        execute format($sql$
            create function meta._%2$s_of(id meta.%1$s_id) returns meta.%2$s_id language sql immutable parallel safe return %3$s;
            comment on function meta._%2$s_of(meta.%1$s_id) is 'The %2$s of a %4$s: the cast.';
            create cast (meta.%1$s_id as meta.%2$s_id) with function meta._%2$s_of(meta.%1$s_id) as assignment;
        $sql$, parent.column1, parent.column2, path, replace(parent.column1, '_', ' '));
    end loop;
end
$$;

comment on function meta.type_id(text, text) is 'Names a type by its schema''s name and its own.';
comment on function meta.function_id(text, text, text[]) is 'Names a function by its schema''s name, its own and the types of its input parameters as meta.function has them.';
comment on function meta.function_parameter_id(text, text, text[], integer) is 'Names a parameter by the function and its place, from 1.';
comment on function meta.cast_id(text, text) is 'Names a cast by the types that it leads from and to.';
comment on function meta.operator_id(text, text, text, text) is 'Names an operator by its schema''s name, its own and its types.';
comment on function meta.constraint_id(text, text, text) is 'Names a constraint by schema, table and its own name.';
comment on function meta.trigger_id(text, text, text) is 'Names a trigger by schema, relation and its own name.';
comment on function meta.policy_id(text, text, text) is 'Names a policy by schema, table and its own name.';
comment on function meta.role_id(text) is 'Names a role.';
comment on function meta.policy_role_id(text, text, text, text) is 'Names a role that a policy applies to by schema, table, policy and role.';
comment on function meta.role_inheritance_id(text, text) is 'Names a membership by the role and its member.';
comment on function meta.table_privilege_id(text, text, text, text) is 'Names a privilege by schema, relation, role and the privilege''s own name: SELECT, INSERT, ...';
comment on function meta.connection_id(integer) is 'Names a connection by the process id of its server process.';
comment on function meta.extension_id(text) is 'Names an extension.';
comment on function meta.foreign_data_wrapper_id(text) is 'Names a foreign-data wrapper.';
comment on function meta.foreign_server_id(text) is 'Names a foreign server.';
comment on function meta.publication_id(text) is 'Names a publication.';
comment on function meta.setting_id(text, text, text) is 'Names a setting by database and role, of which one may be NULL, and its own name.';
comment on function meta.comment_id(text, text[], text[]) is 'Names the object of a comment.';
