-- The doors: what must happen before there is an identity, or must not depend on what the identity may see.
-- They belong to auth_door, whose policies pass everything on just the tables it needs; only auth_owner may call them, and
-- every caller is one of our own functions. Each says what it crosses, because of what, and who calls. Three more, which are waited for often,
-- are in the library: open() in src/store/sessions.rs, append() in src/store/audit.rs, guard() in src/store/users.rs.

-- Crosses: users, user_roles, accounts, passwords. Because: whoever signs up has no identity yet. Callers: sign_up.
-- For an address that is taken it does the same work and takes it back, so that the time does not tell.
create function auth_private.register_user(
    address text, user_name text, user_image text, user_attributes jsonb, password_hash text,
    out user_id uuid, out is_taken boolean, out moment timestamptz)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- No address of anybody: it has no "@".
    written text := address;
begin
    -- In either case these, also after what was done is taken back: whoever holds a transaction open can see its locks.
    lock table auth.users, auth.user_roles, auth.accounts, auth_private.passwords, auth_private.directory_counts in row exclusive mode;
    user_id := auth_private.new_id();
    moment := pg_catalog.clock_timestamp();
    is_taken := exists (select from auth.users u where u.email operator(pg_catalog.=) address);
    if is_taken then
        written := user_id::text;
    end if;
    begin
        insert into auth.users (id, email, name, image, attributes, created_at, updated_at)
        values (user_id, written, user_name, user_image, user_attributes, moment, moment);
        insert into auth.user_roles (user_id, role) values (register_user.user_id, 'user');
        insert into auth.accounts (user_id, provider, provider_user_id) values (register_user.user_id, 'credential', register_user.user_id::text);
        insert into auth_private.passwords (user_id, hash) values (register_user.user_id, password_hash);
        if is_taken then
            raise unique_violation;
        end if;
    exception when unique_violation then
        is_taken := true;
    end;
end
$$;
comment on function auth_private.register_user is 'Door: a user who signs up, with the role "user" and a password. Where the address is taken, the id and moment of nobody.';

-- Crosses: sessions, session_keys. Because: the session belongs to somebody else. Callers: impersonate_user.
-- The condition is the truth of which impersonate_user's checks are the good messages.
create function auth_private.open_impersonation(
    of_user uuid, actor uuid, actor_session uuid, key bytea, lifetime_seconds numeric, address inet)
    returns uuid
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    opened     timestamptz := pg_catalog.clock_timestamp();
    expires    timestamptz := opened operator(pg_catalog.+) pg_catalog.make_interval(secs => least(lifetime_seconds, 3600)::double precision);
    session_id uuid;
    place      tid;
begin
    if actor is distinct from auth.uid() or actor_session is distinct from auth.session_id()
        or not auth_private.holds_over('user:impersonate', of_user)
        or (auth_private.is_administrative(of_user) and not auth.has_permission('user:impersonate-admins'))
    then
        return null;
    end if;
    insert into auth.sessions (user_id, created_at, updated_at, expires_at, ip_address, user_agent, impersonated_by)
    values (of_user, opened, opened, expires, address, null, actor)
    returning id, ctid into session_id, place;
    insert into auth_private.session_keys (token_hash, session_id, epoch, authenticated_at, slides_until, parent_session_id, session_ctid)
    values (key, session_id,
            coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) of_user), 0),
            opened, expires, actor_session, place);
    return session_id;
end
$$;
comment on function auth_private.open_impersonation is 'Door: a session of one user run by another.';

-- Crosses: sessions, session_keys. Because: the caller shows a token, and need not be anybody yet. Callers: refresh_session.
create function auth_private.slide_session(live_session uuid, lifetime_seconds integer, update_age_seconds integer)
    returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment timestamptz := pg_catalog.clock_timestamp();
    place  tid;
begin
    -- The clock stands in the condition: a session that expired while we waited for its row is not raised from the dead.
    update auth.sessions s
       set updated_at = moment,
           expires_at = greatest(s.expires_at, least(moment operator(pg_catalog.+) pg_catalog.make_interval(secs => lifetime_seconds), k.slides_until))
      from auth_private.session_keys k
     where k.session_id operator(pg_catalog.=) s.id and s.id operator(pg_catalog.=) live_session
       and s.expires_at operator(pg_catalog.>) moment
       and s.updated_at operator(pg_catalog.<=) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => update_age_seconds))
    returning s.ctid into place;
    if not found then
        return false;
    end if;
    -- A hint is not worth waiting for: verify_password and revoke_other_sessions hold the key first and the session after.
    update auth_private.session_keys k
       set session_ctid = place
     where k.session_id operator(pg_catalog.=) any (array(
               select l.session_id from auth_private.session_keys l
                where l.session_id operator(pg_catalog.=) live_session for no key update skip locked));
    return true;
end
$$;
comment on function auth_private.slide_session is 'Door: moves the expiry of a live session, at most once per update age and never past its limit.';

-- Crosses: session_keys. Because: nobody but doors reads or writes keys. Callers: verify_password, after a right password.
create function auth_private.freshen_session(live_session uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update auth_private.session_keys k set authenticated_at = pg_catalog.clock_timestamp() where k.session_id operator(pg_catalog.=) live_session;
end
$$;
comment on function auth_private.freshen_session is 'Door: the user has just proved who they are.';

-- Crosses: session_keys. Because: nobody but doors reads or writes keys. Callers: revoke_other_sessions, which has ended all and keeps one.
-- "- 1": just our own increment. Where a ban or another password came in between, the session must not outlive that.
create function auth_private.keep_session(live_session uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update auth_private.session_keys k
       set epoch = k.epoch operator(pg_catalog.+) 1
      from auth.sessions s
     where k.session_id operator(pg_catalog.=) live_session and s.id operator(pg_catalog.=) live_session
       and k.epoch operator(pg_catalog.=) ((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) s.user_id) operator(pg_catalog.-) 1);
    return found;
end
$$;
comment on function auth_private.keep_session is 'Door: lets one session live on in the user''s present epoch.';

-- Crosses: passwords. Because: whoever signs in has no identity yet. Callers: sign_in, after a right password.
-- "hash = checked_hash": a re-hash must not undo a password changed meanwhile.
create function auth_private.replace_hash(of_user uuid, checked_hash text, new_hash text) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.users u where u.id operator(pg_catalog.=) of_user for no key update;
    update auth_private.passwords p set hash = new_hash
     where p.user_id operator(pg_catalog.=) of_user and p.hash operator(pg_catalog.=) checked_hash;
    return found;
end
$$;
comment on function auth_private.replace_hash is 'Door: the same password under today''s parameters.';

-- Crosses: failed_attempts. Because: whoever guesses has no identity. Callers: everything that checks a password.
create function auth_private.blocked_for(subjects bytea[], max_attempts integer, window_seconds integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment  timestamptz := pg_catalog.clock_timestamp();
    seconds numeric;
begin
    -- After max_attempts failures in the window: 30 s, doubling with each further one, never longer than the window.
    select pg_catalog.max(
               least(30 operator(pg_catalog.*) pg_catalog.power(2::numeric, least(f.failures operator(pg_catalog.-) max_attempts, 30)::numeric), window_seconds::numeric)
               operator(pg_catalog.-) greatest(0, extract(epoch from moment operator(pg_catalog.-) f.latest)))
      into seconds
      from (select pg_catalog.count(*) as failures, pg_catalog.max(a.failed_at) as latest
              from auth_private.failed_attempts a
             where a.subject operator(pg_catalog.=) any (subjects)
               and a.failed_at operator(pg_catalog.>) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => window_seconds))
               -- What lies further in the future is from before the clock was set back.
               and a.failed_at operator(pg_catalog.<) (moment operator(pg_catalog.+) pg_catalog.make_interval(secs => window_seconds))
             group by a.subject) f
     where f.failures operator(pg_catalog.>=) max_attempts;
    return greatest(0, pg_catalog.ceil(seconds))::integer;
end
$$;
comment on function auth_private.blocked_for is 'Door: for how many seconds the next attempt must wait; 0 where it need not.';

-- Crosses: failed_attempts. Because: as above. Callers: everything that checks a password, after a wrong one.
create function auth_private.charge_failure(subjects bytea[]) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth_private.failed_attempts (subject) select s from pg_catalog.unnest(subjects) as s;
end
$$;
comment on function auth_private.charge_failure is 'Door: counts a wrong password.';

-- Crosses: failed_attempts. Because: as above. Callers: everything that checks a password, after a right one.
create function auth_private.forgive_failures(of_subject bytea) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Without waiting: who clears the same rows at this moment clears them, and may be waiting for what we hold.
    delete from auth_private.failed_attempts d
     where d.id operator(pg_catalog.=) any (array(
               select a.id from auth_private.failed_attempts a where a.subject operator(pg_catalog.=) of_subject for update skip locked));
end
$$;
comment on function auth_private.forgive_failures is 'Door: a right password clears the account''s count.';
