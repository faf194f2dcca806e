-- A grown web application: 60 tables in three schemas, each with keys, checks, indexes, a trigger; views, policies, privileges on some.

create role app_owner;
create role app_user login;
create function public.touch() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;
create function public.current_tenant() returns bigint language sql stable as $$ select nullif(current_setting('app.tenant', true), '')::bigint $$;
create domain public.email as text check (value ~ '^[^@]+@[^@]+$');
create type public.status as enum ('new', 'active', 'on hold', 'closed');

do $$
declare
    schema text;
    tables constant integer := 20;
    here text;
begin
    foreach schema in array array['app', 'billing', 'crm'] loop
        execute format('create schema %I authorization app_owner', schema);
        for t in 1..tables loop
            here := format('%I.entity_%s', schema, t);
            execute format('create table %s (
                id bigint generated always as identity,
                tenant_id bigint default public.current_tenant() not null,
                code varchar(40) not null,
                name text collate "C",
                contact public.email,
                amount numeric(12,2) default 0,
                state public.status default ''new'' not null,
                tags text[] default ''{}'',
                data jsonb,
                parent_id bigint,
                created_at timestamp with time zone default now() not null,
                updated_at timestamp with time zone,
                constraint entity_%s_pkey primary key (id),
                constraint entity_%s_code unique (tenant_id, code),
                constraint entity_%s_amount check (amount >= 0 or state = ''closed''))', here, t, t, t);
            execute format('alter table %s add constraint entity_%s_parent foreign key (parent_id) references %s on delete set null', here, t, here);
            if t > 1 then
                execute format('alter table %s add related_id bigint', here);
                execute format('alter table %s add constraint entity_%s_related foreign key (related_id) references %I.entity_%s deferrable', here, t, schema, t - 1);
            end if;
            execute format('create index entity_%s_created on %s (tenant_id, created_at desc)', t, here);
            execute format('create index entity_%s_open on %s (lower(name)) where state <> ''closed''', t, here);
            execute format('create trigger touch before update on %s for each row execute function public.touch()', here);
            execute format('comment on table %s is %L', here, 'Entity ' || t || ' of ' || schema);
            execute format('comment on column %s.state is %L', here, 'Where it''s at');
            execute format('grant select, insert on %s to app_user', here);
            if t % 5 = 0 then
                execute format('alter table %s enable row level security', here);
                execute format('create policy own on %s for select to app_user using (tenant_id = public.current_tenant())', here);
            end if;
            if t % 10 = 0 then
                execute format('create view %I.open_%s as select e.id, e.name, r.name as related from %s e left join %I.entity_%s r on r.id = e.related_id
                                where e.state <> ''closed''', schema, t, here, schema, t - 1);
                execute format('alter table %s owner to app_owner', here);
            end if;
        end loop;
    end loop;
end
$$;
