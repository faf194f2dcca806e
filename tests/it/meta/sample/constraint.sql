-- Keys, checks, foreign keys, exclusions, indexes.
create schema if not exists rules;
create schema if not exists "Odd ""schema";
create function rules.upper2(text) returns text language sql immutable as 'select upper($1)';
create table rules.product (
    id bigint not null,
    code text not null,
    "Na ""me" text collate "C",
    price numeric(10,2),
    at date,
    span tsrange,
    room int,
    point point,
    box box,
    tags text[],
    doc tsvector,
    parent bigint);
create table "Odd ""schema"."from" ("select" int not null, "Ünï Çode" text, product_id bigint, product_code text, d1 int, "d 2" int, more int);
create table rules.part (id int not null, region int not null, v text, product_id bigint) partition by range (id);
create table rules.part_1 partition of rules.part for values from (0) to (10);
create table rules.part_2 partition of rules.part for values from (10) to (20) partition by list (region);
create table rules.part_2a partition of rules.part_2 for values in (1, 2);
create table rules.refers (id int not null, part_id int, part_region int, twin int);
create table rules.base (a int, b int);
create table rules.child (c int) inherits (rules.base);
create materialized view rules.many as select id, code from rules.product;
create table rules.clerks (id int not null, name text);
alter table rules.clerks owner to clerk;
-- keys
alter table rules.product add primary key (id);
alter table rules.product add constraint "uniq ""ue" unique (code, "Na ""me") include (price, at) with (fillfactor = 70);
alter table rules.product add constraint product_twice unique (room, id) deferrable initially deferred;
alter table rules.product add unique (at, id) deferrable;
comment on constraint "uniq ""ue" on rules.product is 'it''s unique';
comment on index rules."uniq ""ue" is 'its index';
alter table "Odd ""schema"."from" add constraint "Key %I" primary key ("select", "Ünï Çode") include (more);
alter table rules.part add constraint part_key primary key (id, region);
alter table rules.part add unique (region, id);
alter table rules.base add constraint base_key primary key (a);
alter table rules.clerks add primary key (id);

alter table rules.product add check (price > 0);
alter table rules.product add constraint "odd ""check" check (code <> 'a -- b' and at > '2020-02-01' and "Na ""me" ~ '\d');
alter table rules.product add constraint young check (at > '2020-02-01'::date) not valid;
comment on constraint young on rules.product is 'not all of them';
alter table rules.base add constraint small check (a < 100);
alter table rules.base add constraint own check (b < 100) no inherit;
alter table rules.child add constraint more check (c > a);
alter table rules.part add constraint whole check (v <> '');
alter table rules.part_1 add constraint this_one check (region < 1000);

alter table rules.product add foreign key (parent) references rules.product;
alter table "Odd ""schema"."from" add constraint "to ""it" foreign key (product_id) references rules.product (id) on update cascade on delete restrict deferrable initially deferred;
alter table "Odd ""schema"."from" add constraint lax foreign key (d1) references rules.base (a) match full on update set default on delete set null not valid;
alter table "Odd ""schema"."from" add foreign key (d1, product_code) references "Odd ""schema"."from" ("select", "Ünï Çode");
comment on constraint "to ""it" on "Odd ""schema"."from" is 'refers';
alter table rules.refers add foreign key (part_id, part_region) references rules.part (id, region) on delete set default deferrable;
alter table rules.part add constraint part_product foreign key (product_id) references rules.product on delete cascade;
alter table rules.part_1 add constraint part_1_own foreign key (region) references rules.base (a);

create index on rules.product (code);
create index product_code_idx2 on rules.product using btree (lower(code) collate "C" desc, "Na ""me" collate "default" text_pattern_ops nulls first, (price * 2) desc nulls last, code collate "C") include (price, at) with (fillfactor = 55, deduplicate_items = off) where price > 1 and at < '2021-01-01';
create unique index "uni ""q" on rules.product (rules.upper2(code), id) where room is not null;
create index backw on rules.product (room int4_ops);
create index product_point on rules.product using gist (point, box) with (buffering = on);
create index product_sp on rules.product using spgist (code);
create index product_tags on rules.product using gin (tags, doc) with (fastupdate = off);
create index product_doc on rules.product using gist (doc tsvector_ops (siglen = '100'), span);
create index product_brin on rules.product using brin (at date_minmax_multi_ops (values_per_range = 16), id) with (pages_per_range = 4, autosummarize = on);
create index product_hash on rules.product using hash (code);
create index "both" on rules.product ((case when price > 1 then 'a, b' else ')' end) desc, (code || '/' || code) collate "C", id);
comment on index rules.product_hash is 'fast; it''s';
alter table rules.product cluster on backw;
alter table rules.part_1 add constraint p1u unique (v, id);
create index on rules.part (v);
create index part_v on rules.part (lower(v)) with (fillfactor = 80);
create unique index "Odd index" on "Odd ""schema"."from" ((more + 1), "Ünï Çode" varchar_pattern_ops);
create unique index many_id on rules.many (id);
create index on rules.clerks (name);

alter table rules.product add constraint booked exclude using gist (span with &&, box with ~=) where (room > 0) deferrable initially deferred;
alter table rules.product add constraint "ex ""x" exclude using btree ((lower(code)) collate "C" with =, id with operator(pg_catalog.=)) include (price) with (fillfactor = 66);
comment on constraint booked on rules.product is 'once';
