-- The doors: what must happen before there is an identity, or must not depend on what the identity may see.
-- They belong to auth_door, whose policies pass everything on just the tables it needs; only auth_owner may call them, and
-- every caller is one of our own functions. Each says what it crosses, because of what, and who calls.

-- Crosses: passwords, bans. Because: whoever signs in has no identity yet. Callers: sign_in.
create function auth_private.find_credentials(
    address text, out user_id uuid, out hash text, out epoch bigint, out email_verified boolean, out ban_reason text, out ban_expires_at timestamptz)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    select u.id, p.hash, coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) u.id), 0), u.email_verified, b.reason, b.expires_at
      into user_id, hash, epoch, email_verified, ban_reason, ban_expires_at
      from auth.users u
      left join auth_private.passwords p on p.user_id operator(pg_catalog.=) u.id
      left join auth.bans b on b.user_id operator(pg_catalog.=) u.id
                           and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())
     where u.email operator(pg_catalog.=) address;
end
$$;
comment on function auth_private.find_credentials is 'Door: what sign_in must know about an address. All null where there is no such user.';

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
    lock table auth.users, auth.user_roles, auth.accounts, auth_private.passwords in row exclusive mode;
    user_id := pg_catalog.gen_random_uuid();
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

-- Crosses: sessions, session_keys, users. Because: the session is what makes the identity. Callers: sign_in, sign_up, change_password, sign_in_with_provider.
-- The epoch, and the hash or the account, are those read before the password was checked: a ban or another password since then makes the
-- new session worthless or refuses it, however long the hashing took.
create function auth_private.open_session(
    of_user uuid, read_epoch bigint, checked_hash text, checked_account uuid, key bytea, lifetime_seconds integer, fixed boolean, address inet, agent text)
    returns uuid
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    opened     timestamptz := pg_catalog.clock_timestamp();
    expires    timestamptz := opened operator(pg_catalog.+) pg_catalog.make_interval(secs => lifetime_seconds);
    session_id uuid;
begin
    -- The user first, as everything does that changes credentials: in any other order two of them would wait for each other.
    perform from auth.users u where u.id operator(pg_catalog.=) of_user for no key update;
    -- "for share": at REPEATABLE READ a password changed since our snapshot stops us here.
    if checked_hash is not null then
        perform from auth_private.passwords p
          where p.user_id operator(pg_catalog.=) of_user and p.hash operator(pg_catalog.=) checked_hash for share;
    else
        perform from auth.accounts a
          where a.user_id operator(pg_catalog.=) of_user and a.id operator(pg_catalog.=) checked_account for share;
    end if;
    if not found then
        return null;
    end if;
    update auth.users u set last_sign_in_at = opened where u.id operator(pg_catalog.=) of_user;
    insert into auth.sessions (user_id, created_at, updated_at, expires_at, ip_address, user_agent)
    values (of_user, opened, opened, expires, address, agent)
    returning id into session_id;
    insert into auth_private.session_keys (token_hash, session_id, epoch, authenticated_at, slides_until)
    values (key, session_id, read_epoch, opened, case when fixed then expires end);
    return session_id;
end
$$;
comment on function auth_private.open_session is 'Door: a new session after a right password, or for an account that a provider vouches for. Null where it or the user has changed meanwhile.';

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
begin
    if actor is distinct from auth.uid() or actor_session is distinct from auth.session_id()
        or not auth.has_permission('user:impersonate') or not auth_private.dominates_user(of_user)
        or (auth_private.is_administrative(of_user) and not auth.has_permission('user:impersonate-admins'))
    then
        return null;
    end if;
    insert into auth.sessions (user_id, created_at, updated_at, expires_at, ip_address, user_agent, impersonated_by)
    values (of_user, opened, opened, expires, address, null, actor)
    returning id into session_id;
    insert into auth_private.session_keys (token_hash, session_id, epoch, authenticated_at, slides_until, parent_session_id)
    values (key, session_id,
            coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) of_user), 0),
            opened, expires, actor_session);
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
begin
    -- The clock stands in the condition: a session that expired while we waited for its row is not raised from the dead.
    update auth.sessions s
       set updated_at = moment,
           expires_at = greatest(s.expires_at, least(moment operator(pg_catalog.+) pg_catalog.make_interval(secs => lifetime_seconds), k.slides_until))
      from auth_private.session_keys k
     where k.session_id operator(pg_catalog.=) s.id and s.id operator(pg_catalog.=) live_session
       and s.expires_at operator(pg_catalog.>) moment
       and s.updated_at operator(pg_catalog.<=) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => update_age_seconds));
    return found;
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
               operator(pg_catalog.-) extract(epoch from moment operator(pg_catalog.-) f.latest))
      into seconds
      from (select pg_catalog.count(*) as failures, pg_catalog.max(a.failed_at) as latest
              from auth_private.failed_attempts a
             where a.subject operator(pg_catalog.=) any (subjects)
               and a.failed_at operator(pg_catalog.>) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => window_seconds))
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

-- Crosses: users, accounts. Because: what only locks needs a policy for updates. Callers: unlink_account.
-- Every account of the user: another call that would take the other one away must then wait, and counts anew or fails.
create function auth_private.hold_accounts(of_user uuid) returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.users u where u.id operator(pg_catalog.=) of_user for no key update;
    return (select pg_catalog.count(*)
              from (select from auth.accounts a where a.user_id operator(pg_catalog.=) of_user
                     order by a.id using operator(pg_catalog.<) for update) as held);
end
$$;
comment on function auth_private.hold_accounts is 'Door: how many accounts a user has; they stay as they are until the transaction ends.';

-- Crosses: session_epochs, users. Because: whoever may ban need not be allowed to read. Callers: every verb on another user, first of all.
-- An update and not a lock: at REPEATABLE READ a row that was only locked would let a stale snapshot pass.
create function auth_private.guard_user(target uuid, at_once boolean) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.users u where u.id operator(pg_catalog.=) target;
    if not found then
        return false;
    end if;
    if not at_once then
        -- Waits until a deletion that has begun has ended either way, and lets go again: the user's row comes after the guard.
        begin
            perform from auth.users u where u.id operator(pg_catalog.=) target for key share;
            raise sqlstate 'PGA01';
        exception when sqlstate 'PGA01' then
        end;
    end if;
    insert into auth_private.session_epochs as e (user_id, administrative) values (target, true)
        on conflict (user_id, administrative) do update set guard = e.guard operator(pg_catalog.+) 1;
    -- Also after having waited for our turn. From here on the user stays until we are done; whose deletion has begun since is gone.
    if at_once then
        perform from auth.users u where u.id operator(pg_catalog.=) target;
    else
        perform from auth.users u where u.id operator(pg_catalog.=) target for key share skip locked;
    end if;
    return found;
end
$$;
comment on function auth_private.guard_user is 'Door: makes verbs on one user take turns; with at_once it waits for nothing that the user can hold. False where there is no such user.';

-- Crosses: users. Because: what deletes belongs to auth_eraser, under whom nobody is signed in. Callers: delete_user, before it erases.
-- This is the truth of which delete_user's checks are the good messages.
create function auth_private.may_erase(target uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(target operator(pg_catalog.=) auth.uid(), false)
        or (auth.has_permission('user:delete') and auth_private.dominates_user(target));
end
$$;
comment on function auth_private.may_erase is 'Door: true when the caller may delete the user.';

-- Crosses: bans, session_epochs. Because: they follow no foreign key. Callers: delete_user, of administrators.
-- Not when users delete themselves: what they hold deleted in an open transaction a ban would wait for. All that they can leave
-- behind is a ban that has expired, and counters.
create function auth_private.forget_restrictions(of_user uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from auth.bans b where b.user_id operator(pg_catalog.=) of_user;
    delete from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) of_user;
end
$$;
comment on function auth_private.forget_restrictions is 'Door: what administrators have noted about a user who is being deleted.';

-- Crosses: roles. Because: who grants a role need not be allowed to define it. Callers: everything that grants roles.
create function auth_private.hold_roles(wanted text[]) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    held bigint;
begin
    select pg_catalog.count(*) into held
      from (select from auth.roles r where r.name operator(pg_catalog.=) any (wanted)
             order by r.name using operator(pg_catalog.<) for key share) as roles;
    return held operator(pg_catalog.=) pg_catalog.cardinality(wanted);
end
$$;
comment on function auth_private.hold_roles is 'Door: keeps roles from being dropped until the transaction ends; false when one does not exist.';

-- Crosses: admin_guard, user_roles, bans. Because: the rule holds whatever the caller may read. Callers: set_user_roles, ban_user, delete_user.
create function auth_private.is_last_admin(target uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.user_roles r where r.user_id operator(pg_catalog.=) target and r.role operator(pg_catalog.=) 'admin';
    if not found then
        return false;
    end if;
    update auth_private.admin_guard g set turns = g.turns operator(pg_catalog.+) 1;
    return exists (
               select from auth.bans b where b.user_id operator(pg_catalog.=) target
                  and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())) is false
       and not exists (
               select from auth.user_roles r
                where r.role operator(pg_catalog.=) 'admin' and r.user_id operator(pg_catalog.<>) target
                  and not exists (select from auth.bans b where b.user_id operator(pg_catalog.=) r.user_id
                                     and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())));
end
$$;
comment on function auth_private.is_last_admin is 'Door: true when no other user with the role "admin" is free of a ban.';

-- Crosses: audit_log. Because: everybody's deeds are recorded, few may read them. Callers: every function that changes something.
create function auth_private.append_audit(
    act text, actor uuid, impersonator uuid, session uuid, db_role text, target uuid, address inet, agent text, particulars jsonb) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth.audit_log (action, actor_id, impersonator_id, session_id, database_role, user_id, ip_address, user_agent, details)
    values (act, actor, impersonator, session, db_role, target, address, agent, particulars);
end
$$;
comment on function auth_private.append_audit is 'Door: one line in the audit log.';

-- Crosses: users, user_roles, bans. Because: whoever may ban a user is shown the banned user, also without user:get. Callers: every function that returns a user.
create function auth_private.user_json(of_user uuid) returns jsonb
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select pg_catalog.to_jsonb(d) from auth_private.users_rendered d where d.id operator(pg_catalog.=) of_user);
end
$$;
comment on function auth_private.user_json is 'Door: a user as clients see it.';

-- Crosses: sessions. Because: as above. Callers: every function that returns a session.
create function auth_private.session_json(of_session uuid, current_session uuid) returns jsonb
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select pg_catalog.jsonb_build_object(
                'id', s.id, 'user_id', s.user_id, 'created_at', s.created_at, 'updated_at', s.updated_at, 'expires_at', s.expires_at,
                'ip_address', pg_catalog.host(s.ip_address), 'user_agent', s.user_agent, 'impersonated_by', s.impersonated_by,
                'current', s.id is not distinct from current_session)
              from auth.sessions s where s.id operator(pg_catalog.=) of_session);
end
$$;
comment on function auth_private.session_json is 'Door: a session as clients see it.';

-- Crosses: signing_secrets, sessions. Because: nobody but this door ever reads a private key. Callers: whatever returns a session's token.
create function auth_private.sign_access_token(of_session uuid) returns text
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_access_token_wrapper';
comment on function auth_private.sign_access_token is 'Door: signs an access token of a session that has just been opened or proved.';

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
    delete from auth_private.messages d
     where d.id operator(pg_catalog.=) any (array(
               select m.id from auth_private.messages m
                where (m.completed_at is not null or m.user_id is null)
                  and m.created_at operator(pg_catalog.<) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => messages_seconds))
                limit max_rows for update skip locked));
    get diagnostics batch = row_count;
    purged := purged operator(pg_catalog.+) batch;
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
    return purged operator(pg_catalog.+) batch;
end
$$;
comment on function auth_private.purge is 'Door: deletes what is over, so many rows of each kind; returns how many.';
