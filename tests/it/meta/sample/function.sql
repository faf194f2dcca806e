-- What functions, procedures, aggregates and triggers there can be.
create schema if not exists programs;
create schema if not exists "Odd ""schema";
create type programs.mood as enum ('sad', 'happy');
create table programs.thing (id int primary key, "Pri""ce" numeric, note text, tags text[]);
create table programs.line (id int primary key, thing int);
create table "Odd ""schema"."Ta ble" (id int primary key, v text);
create view programs.seen as select id, note from programs.thing;
create function programs.plus(a integer, b integer default 1 + 2) returns integer
    language sql immutable strict parallel safe cost 2.5 as 'select a + b';
create function programs.plus(a numeric, b numeric) returns numeric language sql stable leakproof return a + b + 0.5;
create function programs.plus(text, programs.mood default 'happy', timestamp with time zone default '2020-01-01 00:00:00+00') returns text
    language sql parallel restricted as $$select $1 || 'x;"\' -- it's$$;
create function "Odd ""schema"."Fu""n'c"("A ""x" "Odd ""schema"."Ta ble"[], inout "select" double precision default 1.5,
                                         variadic rest character varying[] default '{a,b}')
    language plpgsql security definer
    set search_path = pg_catalog, "Odd ""schema", "$user", 'x, y', pg_temp set work_mem = '1MB' set datestyle = 'ISO, DMY' set "my.Set" = 'a=b, ''c'''
    as $$ begin null; end $$;
create function programs.empty_path() returns void language sql set search_path = '' begin atomic end;
create function programs.nothing() returns trigger language plpgsql as $$ begin return coalesce(new, old); end $$;
create function "Odd ""schema"."Trig ger"() returns trigger language plpgsql as $$ begin return null; end $$;
create function programs.rows(n integer) returns table (a integer, "B b" programs.mood[]) language sql rows 7
    begin atomic select n, array['sad'::programs.mood]; select n + 1, array['happy'::programs.mood]; end;
create function programs.two(out a integer, out b text) language sql as 'select 1, ''x''::text';
create function programs.many(x anyelement) returns setof anyelement language sql as 'select x';
create function programs.chars(character, bit, "char", interval, text[]) returns setof record language sql as 'select 1, 2';
create function programs.lower_c(text) returns text language internal immutable strict as 'lower';
create function programs.win(anyelement) returns anyelement language internal window immutable as 'window_first_value';
create procedure programs.pay(in a integer, out b text, inout c numeric default 5) language plpgsql as $$ begin b := a; end $$;
create procedure programs.pay(in a integer, in b text, in c numeric) language sql security definer set work_mem = '2MB' as 'select 1';
create procedure programs.only_out(out a integer) language sql begin atomic select 1; end;
create function programs.wide_state(numeric, numeric) returns numeric language sql immutable as 'select $1 + $2';
create aggregate programs.total(numeric) (sfunc = programs.wide_state, stype = numeric, initcond = '0.5', combinefunc = programs.wide_state,
    msfunc = numeric_add, minvfunc = numeric_sub, mstype = numeric, msspace = 8, minitcond = '1', parallel = safe, sspace = 16);
create aggregate programs.counted(*) (sfunc = int8inc, stype = int8, initcond = '0');
create aggregate programs.percentile("percent" double precision order by "val" anyelement) (sfunc = ordered_set_transition, stype = internal,
    finalfunc = percentile_disc_final, finalfunc_extra, finalfunc_modify = read_only);
create aggregate programs.ranked(variadic "any" order by variadic "any") (sfunc = ordered_set_transition_multi, stype = internal,
    finalfunc = rank_final, finalfunc_extra, hypothetical);
create aggregate programs.smallest(integer) (sfunc = int4smaller, stype = integer, sortop = <, finalfunc_modify = shareable, finalfunc = int4abs);
create aggregate programs.averaged(numeric) (sfunc = numeric_avg_accum, stype = internal, sspace = 128, finalfunc = numeric_avg,
    combinefunc = numeric_avg_combine, serialfunc = numeric_avg_serialize, deserialfunc = numeric_avg_deserialize);
comment on function programs.plus(integer, integer) is 'it''s a sum';
comment on procedure programs.pay(in integer, in text, in numeric) is 'pays';
comment on aggregate programs.counted(*) is 'counts';
comment on aggregate programs.percentile(double precision order by anyelement) is 'E\scaped';
alter function programs.plus(numeric, numeric) owner to keeper;
alter procedure programs.pay(in integer, in text, in numeric) owner to clerk;
alter aggregate programs.total(numeric) owner to keeper;
alter aggregate programs.ranked(variadic "any" order by variadic "any") owner to keeper;
-- triggers
create trigger plain before insert on programs.thing for each row execute function programs.nothing();
create trigger "Ev""er'y WHEN (x) " after insert or delete or update of "Pri""ce", tags on programs.thing for each row
    execute function "Odd ""schema"."Trig ger"('a', '', 'it''s', 'b\c', '\000', 'Ünï', ') EXECUTE FUNCTION programs.nothing(');
create trigger conditional before update on programs.thing for each row
    when (old.* is distinct from new.* and new.note <> ') EXECUTE FUNCTION programs.nothing(''x'')' and new."Pri""ce" > 1.5) execute function programs.nothing('1', 'b\c''s', '');
create trigger same_row before update on programs.thing for each row when (old is distinct from new) execute function suppress_redundant_updates_trigger();
create trigger moved after update on programs.thing referencing old table as "Old ""rows" new table as new_rows for each statement
    execute function programs.nothing();
create trigger emptied after truncate on "Odd ""schema"."Ta ble" when (pg_trigger_depth() = 0) execute function programs.nothing();
create trigger asked instead of insert or update or delete on programs.seen for each row execute function programs.nothing();
create constraint trigger checked after insert or update on programs.line from "Odd ""schema"."Ta ble" deferrable initially deferred
    for each row when (new.thing > 0) execute function programs.nothing('now');
create constraint trigger at_once after delete on programs.line for each row execute function programs.nothing();
create constraint trigger later after delete on programs.line deferrable for each row execute function programs.nothing();
create trigger off before insert on programs.line for each row execute function programs.nothing();
create trigger on_replicas before insert on programs.line for each row execute function programs.nothing();
create trigger on_all before insert on programs.line for each row execute function programs.nothing();
alter table programs.line disable trigger off;
alter table programs.line enable replica trigger on_replicas;
alter table programs.line enable always trigger on_all;
comment on trigger off on programs.line is 'it''s off';
create table programs.parted (id int, v text) partition by range (id);
create table programs.parted_1 partition of programs.parted for values from (0) to (10);
create trigger of_all after insert on programs.parted for each row when (new.id > 0) execute function programs.nothing();
