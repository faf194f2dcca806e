-- Extensions, foreign things, publications, comments.
create schema if not exists abroad; create schema if not exists "Odd ""schema";
create extension hstore schema "Odd ""schema";
comment on extension hstore is 'key ''n'' value';
create foreign data wrapper "Wr ""ap" options (debug 'tr''ue', empty '', a 'b=c', "Odd, name" 'x');
comment on foreign data wrapper "Wr ""ap" is 'it''s a wrapper';
create foreign data wrapper checked validator pg_catalog.postgresql_fdw_validator;
create server "Se ""rver" type 'ty''pe' version '1.0' foreign data wrapper "Wr ""ap" options (host 'there', "Odd name" 'a,"b"\');
comment on server "Se ""rver" is 'far';
create server near foreign data wrapper checked options (host 'here', port '5433');
alter server near owner to keeper;
create table abroad.foreign_parent (id int not null, v text default 'v');
create foreign table abroad."Fa ""r" (
    id bigint not null,
    "na ""me" varchar(20) options (column_name 'na''me', other '') collate "C" default 'x' not null,
    tags text[] default '{a,b}',
    gone int,
    doubled numeric(10,2) generated always as (id * 2) stored,
    at timestamp(3) with time zone)
server "Se ""rver" options (table_name 'a b', schema_name 'it''s');
alter foreign table abroad."Fa ""r" drop column gone;
comment on foreign table abroad."Fa ""r" is E'over\nthere';
comment on column abroad."Fa ""r"."na ""me" is 'what it''s called';
alter foreign table abroad."Fa ""r" owner to keeper;
create foreign table "Odd ""schema".empty () server near;
create foreign table "Odd ""schema".child (own int options (p 'q')) inherits (abroad.foreign_parent) server "Se ""rver";
create table abroad.published (id int primary key, "na me" text, n int);
create table "Odd ""schema"."Pub ""lished" (id int primary key);
create publication nothing_yet;
create publication "Pub ""e" for table only abroad.published, only "Odd ""schema"."Pub ""lished"
    with (publish = 'insert, truncate', publish_via_partition_root = true);
comment on publication "Pub ""e" is 'some';
alter publication "Pub ""e" owner to keeper;
create publication everything for all tables with (publish = '');
do $$
begin
    if current_setting('server_version_num')::int >= 150000 then
        execute 'create publication filtered for table only abroad.published (id, "na me") where (id > 0 and "na me" <> ''it''''s''), only "Odd ""schema"."Pub ""lished"';
        execute 'create publication schemas for tables in schema "Odd ""schema", abroad, table only abroad.published where (n is not null)';
    end if;
    if current_setting('server_version_num')::int >= 180000 then
        execute 'create publication generated for table abroad.published with (publish_generated_columns = stored)';
    end if;
end $$;
-- what no other relation of meta says
create index published_n on abroad.published (n);
comment on index abroad.published_n is 'by n';
comment on constraint published_pkey on abroad.published is 'the key';
