-- from PostgreSQL 18 on
create table rules.time (id int4range, during tsrange, of int4range, of_during tsrange);
alter table rules.time add primary key (id, during without overlaps);
alter table rules.time add unique (of, of_during without overlaps);
alter table rules.time add foreign key (of, period of_during) references rules.time (id, period during);
alter table rules.product add constraint never check (id > 5) not enforced;
alter table rules.product add constraint never_too foreign key (parent) references rules.product not enforced;
