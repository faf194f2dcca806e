-- Triggers as rows.

create function meta._trigger_text(trigger oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
set datestyle = 'ISO, MDY' set intervalstyle = postgres set timezone = 'UTC' set bytea_output = hex set extra_float_digits = 1
set standard_conforming_strings = on
as $$
begin
    return (select pg_get_triggerdef(trigger, false));
exception
    when lock_not_available or deadlock_detected then
        raise;
    when others then
        return meta._untold(sqlstate);
end
$$;
comment on function meta._trigger_text(oid) is 'A trigger as SQL writes it, always the same.';

-- Each ends with a zero byte.
create function meta._trigger_arguments(arguments bytea) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select convert_from(decode(m.part[1], 'hex'), getdatabaseencoding())
                 from regexp_matches(encode(arguments, 'hex'), '((?:[0-9a-f]{2})*?)00', 'g') with ordinality as m(part, place) order by m.place)
$$;
comment on function meta._trigger_arguments(bytea) is 'What a trigger gives its function.';

-- There is no function for it: pg_get_expr knows no OLD and NEW. It stands behind names only, of which one may be in quotes and have
-- anything in it, and before the call, which is known.
create function meta._trigger_condition(trigger oid, function oid, arguments bytea) returns text
language sql stable
set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
    select case when starts_with(d.text, '... (') then d.text else left(d.rest, -length(format(') EXECUTE FUNCTION %s(%s)', d.function,
                                       (select string_agg('''' || replace(a.argument, '''', '''''') || '''', ', ' order by a.place)
                                        from unnest(meta._trigger_arguments(arguments)) with ordinality as a(argument, place))))) end
    from (select t.text, substr(t.text, 1 + length(substring(t.text from '^(?:[^"]|"(?:[^"]|"")*")*? FOR EACH (?:ROW|STATEMENT) WHEN [(]'))) as rest,
                 case when p.pronamespace = 'pg_catalog'::regnamespace then quote_ident(p.proname) else meta._routine_name(p.oid) end as function
          from (select meta._trigger_text(trigger) as text) t, pg_proc p where p.oid = _trigger_condition.function) d
$$;
comment on function meta._trigger_condition(oid, oid, bytea) is 'A trigger''s condition as SQL writes it, always the same.';

create view meta._trigger as
select t.tgrelid as scope, t.oid as object, meta.trigger_id(n.nspname, c.relname, t.tgname) as id,
       n.nspname::text collate "default" as schema_name, c.relname::text collate "default" as relation_name, t.tgname::text collate "default" as name,
       case when t.tgtype & 64 <> 0 then 'instead of' when t.tgtype & 2 <> 0 then 'before' else 'after' end as timing,
       array_remove(array[case when t.tgtype & 4 <> 0 then 'insert' end, case when t.tgtype & 16 <> 0 then 'update' end,
                          case when t.tgtype & 8 <> 0 then 'delete' end, case when t.tgtype & 32 <> 0 then 'truncate' end], null) as events,
       (select array_agg(a.attname::text collate "default" order by u.place) from unnest(t.tgattr) with ordinality as u(number, place)
        join pg_attribute a on a.attrelid = t.tgrelid and a.attnum = u.number) as update_columns,
       case when t.tgtype & 1 <> 0 then 'row' else 'statement' end as level,
       case when t.tgqual is not null then meta._trigger_condition(t.oid, t.tgfoid, t.tgargs) end as condition,
       fn.nspname::text collate "default" as function_schema_name, f.proname::text collate "default" as function_name,
       meta._trigger_arguments(t.tgargs) as arguments,
       t.tgoldtable::text collate "default" as old_table, t.tgnewtable::text collate "default" as new_table, t.tgconstraint <> 0 as is_constraint,
       t.tgdeferrable as "deferrable", t.tginitdeferred as deferred,
       rn.nspname::text collate "default" as referenced_schema_name, r.relname::text collate "default" as referenced_relation_name,
       case t.tgenabled when 'O' then 'origin' when 'D' then 'disabled' when 'R' then 'replica' else 'always' end as enabled,
       t.tgparentid <> 0 as inherited, obj_description(t.oid, 'pg_trigger') collate "default" as comment
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_proc f on f.oid = t.tgfoid
join pg_namespace fn on fn.oid = f.pronamespace
left join pg_class r on r.oid = t.tgconstrrelid
left join pg_namespace rn on rn.oid = r.relnamespace
-- before 15 a partition's is internal as a foreign key's are, which have an index
where (not t.tgisinternal or t.tgparentid <> 0 and t.tgconstrindid = 0) and meta._is_shown(n.oid);
comment on view meta._trigger is 'meta.trigger, with its oid and the relation''s.';

create view meta.trigger as
select id, schema_name, relation_name, name, timing, events, update_columns, level, condition, function_schema_name, function_name, arguments,
       old_table, new_table, is_constraint, "deferrable", deferred, referenced_schema_name, referenced_relation_name, enabled, inherited, comment
from meta._trigger;
comment on view meta.trigger is 'Triggers. INSERT creates one, UPDATE renames, enables, disables or replaces it, DELETE drops it.';
comment on column meta.trigger.id is 'Names the trigger.';
comment on column meta.trigger.timing is 'before, after or instead of.';
comment on column meta.trigger.events is 'Of insert, update, delete, truncate those that it fires for.';
comment on column meta.trigger.update_columns is 'The columns that an update has to name; NULL: any.';
comment on column meta.trigger.level is 'row or statement (NULL is that, but for a constraint trigger).';
comment on column meta.trigger.condition is 'When it fires, of OLD and NEW: an expression, which is taken as SQL. NULL: always.';
comment on column meta.trigger.arguments is 'What its function gets as tg_argv.';
comment on column meta.trigger.old_table is 'The name by which its function reads the rows as they were.';
comment on column meta.trigger.new_table is 'The name by which its function reads the rows as they are.';
comment on column meta.trigger.is_constraint is 'Whether it is a constraint trigger, which can be deferred and cannot be replaced.';
comment on column meta.trigger."deferrable" is 'Whether it can be put off to the end of the transaction.';
comment on column meta.trigger.deferred is 'Whether it is, unless the transaction says otherwise.';
comment on column meta.trigger.referenced_relation_name is 'The other relation that a constraint trigger is about.';
comment on column meta.trigger.enabled is 'origin, disabled, replica or always. Of a partitioned table''s trigger PostgreSQL changes the partitions'' too.';
comment on column meta.trigger.inherited is 'Whether it is a partition''s, and came with that of the partitioned table.';

create function meta._trigger_given(old meta.trigger, new meta.trigger) returns meta.trigger
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    event text;
begin
    new.is_constraint := coalesce(new.is_constraint, false);
    new.level := coalesce(new.level, case when new.is_constraint then 'row' else 'statement' end);
    new.arguments := coalesce(new.arguments, '{}');
    if old is null then
        new.schema_name := coalesce(new.schema_name, (((new.id).relation_id).schema_id).name);
        new.relation_name := coalesce(new.relation_name, ((new.id).relation_id).name);
        new.name := coalesce(new.name, (new.id).name);
        new.enabled := coalesce(new.enabled, 'origin');
        if new.inherited then
            perform meta._refuse('a partition''s trigger comes with that of the partitioned table', 'Leave inherited out.');
        end if;
    else
        perform meta._id_kept(old.id::text, new.id::text, 'Update name.');
        perform meta._flag_given(new.deferrable, 'deferrable'), meta._flag_given(new.deferred, 'deferred');
        if (new.schema_name, new.relation_name) is distinct from (old.schema_name, old.relation_name) then
            perform meta._refuse('a trigger stays with its relation', 'Insert one for the other, and delete this one. To move or rename the relation update meta.table.');
        end if;
        if new.inherited is distinct from old.inherited then
            perform meta._refuse('whether a trigger is inherited follows its table', 'Update meta.partition.');
        end if;
    end if;
    perform meta._word_given(new.timing, '{before,after,instead of}', 'timing'), meta._word_given(new.level, '{row,statement}', 'level'),
            meta._word_given(new.enabled, '{origin,disabled,replica,always}', 'enabled');
    if coalesce(cardinality(new.events), 0) = 0 then
        raise exception 'a trigger needs an event' using errcode = 'not_null_violation', hint = 'events is of insert, update, delete, truncate.';
    end if;
    foreach event in array new.events loop
        perform meta._word_given(event, '{insert,update,delete,truncate}', 'an event');
    end loop;
    if new.update_columns is not null and not 'update' = any (new.events) then
        raise exception 'update_columns are those of an update' using errcode = 'invalid_parameter_value', hint = 'Have update in events.';
    end if;
    if array_position(new.arguments, null) is not null then
        raise exception 'an argument is a text' using errcode = 'not_null_violation';
    end if;
    if not new.is_constraint and (new.deferrable or new.deferred or new.referenced_relation_name is not null) then
        perform meta._refuse('only a constraint trigger is deferrable and about another relation', 'Give is_constraint as true.');
    end if;
    if num_nonnulls(new.referenced_schema_name, new.referenced_relation_name) = 1 then
        perform meta._name_given(new.referenced_schema_name, 'referenced relation''s schema'),
                meta._name_given(new.referenced_relation_name, 'referenced relation');
    end if;
    perform meta._name_given(new.schema_name, 'trigger''s schema'), meta._name_given(new.relation_name, 'trigger''s relation'),
            meta._name_given(new.name, 'trigger'), meta._name_given(new.function_schema_name, 'trigger''s function''s schema'),
            meta._name_given(new.function_name, 'trigger''s function');
    return new;
end
$$;
comment on function meta._trigger_given(meta.trigger, meta.trigger) is 'The row as it is to be, completed and checked.';

create function meta._trigger_now(given meta.trigger) returns meta.trigger
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.id, t.schema_name, t.relation_name, t.name, t.timing, t.events, t.update_columns, t.level, t.condition, t.function_schema_name,
           t.function_name, t.arguments, t.old_table, t.new_table, t.is_constraint, t.deferrable, t.deferred, t.referenced_schema_name,
           t.referenced_relation_name, t.enabled, t.inherited, t.comment
    from meta._trigger t
    where t.scope = to_regclass(format('%I.%I', (given).schema_name, (given).relation_name)) and t.name = (given).name
$$;
comment on function meta._trigger_now(meta.trigger) is 'The row as it is.';

create function meta._create_trigger(verb text, name text, place text, new meta.trigger) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ', verb, case when (new).is_constraint then 'constraint' end, 'trigger', quote_ident(name), (new).timing,
        (select string_agg(e.event || case when e.event = 'update'
                                           then coalesce(' of ' || (select string_agg(quote_ident(c.name), ', ' order by c.place)
                                                                    from unnest((new).update_columns) with ordinality as c(name, place)), '')
                                           else '' end, ' or ' order by e.place)
         from unnest((new).events) with ordinality as e(event, place)),
        'on ' || place, 'from ' || quote_ident((new).referenced_schema_name) || '.' || quote_ident((new).referenced_relation_name),
        case when (new).deferrable then 'deferrable' end, case when (new).deferred then 'initially deferred' end,
        case when num_nonnulls((new).old_table, (new).new_table) > 0 then 'referencing' end,
        'old table as ' || quote_ident((new).old_table), 'new table as ' || quote_ident((new).new_table),
        'for each ' || (new).level, 'when (' || (new).condition || E'\n)',
        format('execute function %I.%I(%s)', (new).function_schema_name, (new).function_name,
               (select string_agg(quote_literal(a.argument), ', ' order by a.place) from unnest((new).arguments) with ordinality as a(argument, place))))
$$;
comment on function meta._create_trigger(text, text, text, meta.trigger) is 'CREATE [OR REPLACE] TRIGGER.';

create function meta._trigger_ddl(old meta.trigger, new meta.trigger) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ddl text[] := '{}';
    place constant text := format('%I.%I', coalesce(old.schema_name, new.schema_name), coalesce(old.relation_name, new.relation_name));
    name constant text := coalesce(old.name, new.name);
    kept meta.trigger := new;
begin
    if new is null then
        return array[format('drop trigger %I on %s', name, place)];
    end if;
    -- what is changed without being made once more
    kept.name := old.name;
    kept.enabled := old.enabled;
    kept.comment := old.comment;
    if old is null then
        ddl := array[meta._create_trigger('create', name, place, new)];
        old.name := name;
        old.enabled := 'origin';
    elsif kept is distinct from old then
        if old.is_constraint or new.is_constraint then
            perform meta._refuse('a constraint trigger stays as it was made', 'Drop it and make another.');
        end if;
        ddl := array[format('select meta._execute_again(%L)', meta._create_trigger('create or replace', name, place, new))];
        -- which it is then, whatever it was
        old.enabled := 'origin';
    end if;
    if new.enabled <> old.enabled then
        ddl := array_append(ddl, format('alter table %s %s trigger %I', place,
            case new.enabled when 'origin' then 'enable' when 'disabled' then 'disable' else 'enable ' || new.enabled end, name));
    end if;
    return ddl || meta._part_ddl('trigger', place, array[old.name, old.comment], array[new.name, new.comment]);
end
$$;
comment on function meta._trigger_ddl(meta.trigger, meta.trigger) is 'CREATE [OR REPLACE], ALTER, DROP TRIGGER.';

create trigger write instead of insert or update or delete on meta.trigger for each row execute function meta._write();
