-- from PostgreSQL 15 on
alter table rules.product add constraint one_null unique nulls not distinct (price, parent);
create unique index one_null_too on rules.product (parent, price) nulls not distinct where at is not null;
alter table "Odd ""schema"."from" add constraint sets foreign key (d1, "Ünï Çode") references "Odd ""schema"."from" on delete set null ("Ünï Çode");
