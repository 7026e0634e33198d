-- The door of housekeeping; what a door is stands in credentials.sql.

-- Crosses: sessions, one_time_tokens, messages, failed_attempts, rival_sign_ups, bans, session_epochs. Because: nobody may read all of them.
-- Callers: purge_expired. Everything in small batches, past the rows that somebody holds; the clock stands in every condition, so
-- that a session that was refreshed at the last moment stays.
create function auth_private.purge(max_rows integer, attempts_seconds integer, messages_seconds integer) returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment timestamptz := pg_catalog.clock_timestamp();
    purged bigint := 0;
    batch  bigint;
begin
    begin
        delete from auth.sessions d
         where d.id operator(pg_catalog.=) any (array(
                   select s.id from auth.sessions s where s.expires_at operator(pg_catalog.<) moment limit max_rows for update skip locked));
        get diagnostics batch = row_count;
    exception when foreign_key_violation or restrict_violation then
        -- Somebody's foreign key keeps one of them, and is not to keep all the rest.
        batch := 0;
    end;
    purged := purged operator(pg_catalog.+) batch;
    delete from auth_private.one_time_tokens d
     where d.token_hash operator(pg_catalog.=) any (array(
               select t.token_hash from auth_private.one_time_tokens t
                where t.expires_at operator(pg_catalog.<) moment limit max_rows for update skip locked));
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
    purged := purged operator(pg_catalog.+) auth_private.clear_messages(max_rows, messages_seconds);
    delete from auth_private.failed_attempts d
     where d.id operator(pg_catalog.=) any (array(
               select a.id from auth_private.failed_attempts a
                where a.failed_at operator(pg_catalog.<) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => attempts_seconds))
                limit max_rows for update skip locked));
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
    delete from auth_private.rival_sign_ups d
     where d.id operator(pg_catalog.=) any (array(
               select r.id from auth_private.rival_sign_ups r
                where not exists (select from auth.users u where u.id operator(pg_catalog.=) r.user_id and not u.email_verified)
                limit max_rows for update skip locked));
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
    delete from auth.bans d
     where d.user_id operator(pg_catalog.=) any (array(
               select b.user_id from auth.bans b
                where not exists (select from auth.users u where u.id operator(pg_catalog.=) b.user_id)
                limit max_rows for update skip locked));
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
    delete from auth_private.session_epochs d
     using (select e.user_id, e.administrative from auth_private.session_epochs e
             where not exists (select from auth.users u where u.id operator(pg_catalog.=) e.user_id)
             limit max_rows for update skip locked) as gone
     where d.user_id operator(pg_catalog.=) gone.user_id and d.administrative operator(pg_catalog.=) gone.administrative;
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
    -- When nothing else is left: where it takes too long, what was purged is.
    if purged operator(pg_catalog.=) 0 then
        perform auth_private.keep_directory();
    end if;
    return purged;
end
$$;
comment on function auth_private.purge is 'Door: deletes what is over, so many rows of each kind; returns how many.';
