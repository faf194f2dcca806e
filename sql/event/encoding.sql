-- No backslash stands here: what it means is a setting of the role.

-- Databases whose encoding is not UTF8. The stream comes in the database's own encoding, and the engine converts it: the server would
-- end the stream at the first character that UTF-8 has no equivalent of.

create function event._characters() returns table (own bytea, utf8 text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    encoding constant name := current_setting('server_encoding');
    is_euc constant boolean := left(encoding, 4) = 'EUC_';
    high constant bytea[] := array(select set_byte(decode('00', 'hex'), 0, n) from generate_series(161, 254) n);
    -- what characters of more than one byte begin with
    leads bytea[] := case when is_euc then high else '{}' end;
    lead bytea;
    candidate bytea;
begin
    if encoding in ('UTF8', 'SQL_ASCII') then
        return;
    end if;
    if encoding = 'EUC_TW' then
        leads := leads || array(select decode('8e', 'hex') || set_byte(decode('00', 'hex'), 0, n) || h.byte
                                from generate_series(161, 167) n, unnest(high) h (byte));
    elsif is_euc then
        leads := leads || array[decode('8e', 'hex')] || array(select decode('8f', 'hex') || h.byte from unnest(high) h (byte));
    else
        leads := array[''::bytea];
    end if;
    foreach lead in array leads loop
        for candidate in
            select lead || set_byte(decode('00', 'hex'), 0, n) from generate_series(case when is_euc then 161 else 128 end,
                                                                       case when is_euc then 254 else 255 end) n
        loop
            begin
                own := candidate;
                utf8 := convert_from(candidate, encoding);
                -- as it is sent to a client
                perform convert_to(utf8, 'UTF8');
                return next;
            exception when untranslatable_character or character_not_in_repertoire then
                null;
            end;
        end loop;
    end loop;
end
$$;
comment on function event._characters() is
    'The characters over 127 of the database''s encoding that UTF-8 has an equivalent of; none for UTF8 and SQL_ASCII.';

create function event._readable(value text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform convert_to(value, 'UTF8');
    if current_setting('server_encoding') = 'SQL_ASCII' then
        perform convert_from(convert_to(value, 'SQL_ASCII'), 'UTF8');
    end if;
    return value;
exception when untranslatable_character or character_not_in_repertoire then
    return regexp_replace(value, '[^' || chr(1) || '-' || chr(127) || ']', '?', 'g');
end
$$;
comment on function event._readable(text) is
    'The text, if it can be had in UTF-8; otherwise with a question mark for each character that is not ASCII.';
