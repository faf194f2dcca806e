-- At the moment of a schema change, inside its transaction, where event triggers may be created (superuser). Without them
-- the engine's sweep does the same within seconds. Nothing here may ever fail somebody's DDL.

create function event._on_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from event.watched) then
        return;
    end if;
    -- Twice: in the stream a message has the place of the record behind it, and if that is a row of another
    -- subtransaction, either may come first. The first of two is ahead of whatever follows the second.
    perform pg_logical_emit_message(true, 'tidewire', '{"ddl":true}'), pg_logical_emit_message(true, 'tidewire', '{"ddl":true}');
    begin
        perform event._end_subscriptions();
        perform event._identify_leaves();
    exception when others then
        raise warning 'tidewire could not follow this schema change at once: %', sqlerrm
            using hint = 'The running program looks again within seconds.';
    end;
end
$$;
comment on function event._on_ddl() is 'Ends subscriptions of what was dropped, and gives new partitions of watched tables their replica identity.';

create event trigger tidewire_ddl on ddl_command_end
    when tag in ('ALTER TABLE', 'CREATE TABLE', 'CREATE TABLE AS', 'ALTER SCHEMA', 'ALTER TYPE',
                 'DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP TYPE', 'DROP EXTENSION')
    execute function event._on_ddl();
comment on event trigger tidewire_ddl is 'Tidewire follows schema changes of watched tables.';
