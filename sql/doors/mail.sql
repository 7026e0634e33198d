-- The doors of mail and of the one-time tokens in it; what a door is stands in credentials.sql.

-- Crosses: messages. Because: whoever asks for mail need not be anybody. Callers: everything that sends mail.
-- Always one row and one notification, so that the time tells neither whether there is such a user nor whether they were written to
-- a moment ago. Nothing is locked or updated: an open transaction of an attacker keeps nobody's mail back.
create function auth_private.queue_message(
    of_kind text, address text, of_user uuid, purpose text, particulars jsonb, interval_seconds integer) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    -- A plan from when the table was small would read all of it later, and by how long that takes the time would tell after all.
    set enable_seqscan = off
as $$
declare
    -- A change of address is counted for each user: nobody else's request keeps one's own mail back.
    counted bytea := pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.concat_ws(' ', of_kind, address, case when of_kind operator(pg_catalog.=) 'change-email' then of_user end), 'UTF8'));
    addressee uuid;
begin
    if not exists (
        select from auth_private.messages m
         where m.subject operator(pg_catalog.=) counted and m.user_id is not null
           and m.created_at operator(pg_catalog.>) (pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.make_interval(secs => interval_seconds)))
    then
        addressee := of_user;
    end if;
    insert into auth_private.messages (kind, user_id, epoch, recipient, token_purpose, payload, subject)
    values (of_kind, addressee,
            coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) of_user), 0),
            case when addressee is not null then address end, purpose, particulars, counted);
    perform pg_catalog.pg_notify('auth_messages', '');
end
$$;
comment on function auth_private.queue_message is 'Door: queues a message; none to a null user, nor within the interval of the last one of its kind to the address.';

-- Crosses: users. Because: whoever asks need not be anybody. Callers: request_password_reset, send_verification_email, change_email, sign_up.
create function auth_private.find_user(of_address text, out user_id uuid, out email_verified boolean)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    -- As above: reading a small table stops where somebody is found.
    set enable_seqscan = off
as $$
begin
    select u.id, u.email_verified into user_id, email_verified from auth.users u where u.email operator(pg_catalog.=) of_address;
end
$$;
comment on function auth_private.find_user is 'Door: whose address it is, and whether that is proved. Null where it is nobody''s.';

-- Crosses: messages. Because: nobody may read all of them. Callers: lease_messages, purge.
-- What was done, or was nobody's, is of use only for as long as it is counted.
create function auth_private.clear_messages(max_rows integer, keep_seconds integer) returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment  timestamptz := pg_catalog.clock_timestamp();
    cleared bigint;
begin
    delete from auth_private.messages d
     where d.id operator(pg_catalog.=) any (array(
               select m.id from auth_private.messages m
                where (m.completed_at is not null or m.user_id is null)
                  and m.created_at operator(pg_catalog.<) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => keep_seconds))
                limit max_rows for update skip locked));
    get diagnostics cleared = row_count;
    return cleared;
end
$$;
comment on function auth_private.clear_messages is 'Door: deletes messages that are done or nobody''s and not counted any more; returns how many.';

-- Crosses: messages, users. Because: the mailer is no user and reads no table. Callers: claim_messages.
create function auth_private.lease_messages(max_messages integer, lease_seconds integer, keep_seconds integer, max_attempts integer)
    returns table (id uuid, kind text, recipient text, token_purpose text, user_id uuid, payload jsonb, created_at timestamptz)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment     timestamptz := pg_catalog.clock_timestamp();
    superseded uuid[];
begin
    perform auth_private.clear_messages(1000, keep_seconds);
    -- Of several that wait for one purpose the newest counts. Tokens go to the address that the user has now; only for a change of
    -- address to another one. Notices go to where the user was when they were queued: a thief may have changed the address since.
    superseded := array(
        select m.id from auth_private.messages m
         where m.completed_at is null and m.parked_at is null and m.user_id is not null
           and m.due_at operator(pg_catalog.<=) moment
           and (not exists (select from auth.users u
                             where u.id operator(pg_catalog.=) m.user_id
                               and (coalesce(m.token_purpose, 'change-email') operator(pg_catalog.=) 'change-email' or u.email operator(pg_catalog.=) m.recipient))
                or exists (select from auth_private.messages n
                            where n.user_id operator(pg_catalog.=) m.user_id and n.token_purpose operator(pg_catalog.=) m.token_purpose
                              and n.created_at operator(pg_catalog.>) m.created_at)
                -- The newer one may be done and cleared away: its token has superseded this one all the same.
                or exists (select from auth_private.one_time_tokens t
                            where t.user_id operator(pg_catalog.=) m.user_id and t.purpose operator(pg_catalog.=) m.token_purpose
                              and t.requested_at operator(pg_catalog.>) m.created_at))
         order by m.due_at using operator(pg_catalog.<)
         limit 1000);
    return query
        -- With its user, so that nobody who holds the own row in an open transaction makes the mailer wait, and everybody with it. The user
        -- first: "skip locked" waits all the same where the row is being updated at that very moment and then somebody else's, and whoever holds
        -- a user can be waiting for their messages.
        with due as (
            select m.id from auth.users u join auth_private.messages m on m.user_id operator(pg_catalog.=) u.id
             where m.completed_at is null and m.parked_at is null and m.user_id is not null
               and m.due_at operator(pg_catalog.<=) moment and m.id operator(pg_catalog.<>) all (superseded)
             order by m.due_at using operator(pg_catalog.<)
             limit max_messages
               for no key update of u, m skip locked),
        -- A message that ends every worker that takes it must not end them for ever.
        leased as (
            update auth_private.messages m
               set attempts = m.attempts operator(pg_catalog.+) 1,
                   due_at = moment operator(pg_catalog.+) pg_catalog.make_interval(secs => lease_seconds),
                   parked_at = case when m.attempts operator(pg_catalog.>=) max_attempts then moment end
              from due
             where m.id operator(pg_catalog.=) due.id
            returning m.*)
        select l.id, l.kind, l.recipient, l.token_purpose, l.user_id, l.payload, l.created_at
          from leased l
         where l.parked_at is null
         order by l.created_at using operator(pg_catalog.<);
    -- Last, since from here on nothing is waited for.
    delete from auth_private.messages d
     where d.id operator(pg_catalog.=) any (array(
               select m.id from auth_private.messages m where m.id operator(pg_catalog.=) any (superseded) for update skip locked));
end
$$;
comment on function auth_private.lease_messages is 'Door: takes messages that are due, and hides them from other workers until the lease ends.';

-- Crosses: one_time_tokens. Because: as above. Callers: claim_messages.
create function auth_private.mint_token(of_message uuid, hash bytea, lifetime_seconds integer) returns timestamptz
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    expires timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) pg_catalog.make_interval(secs => lifetime_seconds);
begin
    -- One row for each user and purpose: what was there before is superseded.
    insert into auth_private.one_time_tokens as t (user_id, purpose, token_hash, address, epoch, requested_at, expires_at)
    select m.user_id, m.token_purpose, hash, m.recipient, m.epoch, m.created_at, expires
      from auth_private.messages m join auth.users u on u.id operator(pg_catalog.=) m.user_id
     where m.id operator(pg_catalog.=) of_message and m.token_purpose is not null
        on conflict (user_id, purpose) do update
       set token_hash = excluded.token_hash, address = excluded.address, epoch = excluded.epoch,
           requested_at = excluded.requested_at, expires_at = excluded.expires_at
     where t.requested_at operator(pg_catalog.<=) excluded.requested_at;
    return case when found then expires end;
end
$$;
comment on function auth_private.mint_token is 'Door: writes the hash of the token that a message carries; returns when it expires, null where the user is gone.';

-- Crosses: messages. Because: as above. Callers: complete_message, fail_message.
create function auth_private.settle_message(of_message uuid, failure text, max_attempts integer) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment timestamptz := pg_catalog.clock_timestamp();
begin
    update auth_private.messages m
       set completed_at = case when failure is null then moment end,
           last_error = coalesce(failure, m.last_error),
           parked_at = case when failure is not null and m.attempts operator(pg_catalog.>=) max_attempts then moment end,
           -- 30 s, doubling with each attempt, at most an hour.
           due_at = moment operator(pg_catalog.+) pg_catalog.make_interval(secs => least(30::double precision operator(pg_catalog.*) pg_catalog.power(2, greatest(m.attempts operator(pg_catalog.-) 1, 0)), 3600))
     where m.id operator(pg_catalog.=) of_message and m.completed_at is null and m.parked_at is null and m.attempts operator(pg_catalog.>) 0;
    return found;
end
$$;
comment on function auth_private.settle_message is 'Door: notes that a message was sent, or why not; false where it waits for nothing of the kind.';

-- Crosses: one_time_tokens, messages, users. Because: whoever shows a token need not be anybody. Callers: verify_email, reset_password.
-- The condition of a live token, once: not expired by the clock, not superseded, and for the address that it was sent to. One that
-- would change the address is also as dead as the sessions from when it was asked for, or a thief who was thrown out comes back with it.
create function auth_private.live_token(hash bytea, for_purposes text[]) returns setof auth_private.one_time_tokens
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off rows 1
as $$
begin
    return query
        select t.*
          from auth_private.one_time_tokens t join auth.users u on u.id operator(pg_catalog.=) t.user_id
         where t.token_hash operator(pg_catalog.=) hash
           and t.purpose operator(pg_catalog.=) any (for_purposes)
           and t.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()
           and case when t.purpose operator(pg_catalog.<>) 'change-email' then u.email operator(pg_catalog.=) t.address
                    else t.epoch operator(pg_catalog.=) coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e
                                                                  where e.user_id operator(pg_catalog.=) u.id), 0)
                         and not exists (select from auth.bans b where b.user_id operator(pg_catalog.=) u.id
                                            and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()))
               end
           and not exists (select from auth_private.messages m
                            where m.user_id operator(pg_catalog.=) t.user_id and m.token_purpose operator(pg_catalog.=) t.purpose
                              and m.created_at operator(pg_catalog.>) t.requested_at);
end
$$;
comment on function auth_private.live_token is 'Door: the token with this hash, if it is good.';

-- Crosses: one_time_tokens, messages. Because: the tokens of a user who is no longer who asked for them. Callers: whatever changes a password or an address.
create function auth_private.revoke_tokens(of_user uuid, purposes text[]) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    is_there boolean;
begin
    -- The user first, as everything does that changes credentials: in any other order two of them would wait for each other.
    perform from auth.users u where u.id operator(pg_catalog.=) of_user for no key update;
    is_there := found;
    delete from auth_private.messages m
     where m.user_id operator(pg_catalog.=) of_user and m.token_purpose operator(pg_catalog.=) any (purposes) and m.completed_at is null;
    delete from auth_private.one_time_tokens t
     where t.user_id operator(pg_catalog.=) of_user and t.purpose operator(pg_catalog.=) any (purposes);
    return is_there;
end
$$;
comment on function auth_private.revoke_tokens is 'Door: locks a user, and no token that they were sent for these purposes, or are about to be sent, is good any more; false where there is no such user.';

-- Crosses: messages, rival_sign_ups. Because: they follow no foreign key. Callers: the deletion of a user.
create function auth_private.forget_mail() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from auth_private.messages m where m.user_id operator(pg_catalog.=) old.id;
    delete from auth_private.rival_sign_ups r where r.user_id operator(pg_catalog.=) old.id;
    return null;
end
$$;
comment on function auth_private.forget_mail is 'Door: trigger; whose row is deleted leaves no address in the queue.';
create trigger users_forget_mail after delete on auth.users for each row execute function auth_private.forget_mail();

-- Crosses: rival_sign_ups. Because: whoever signs up has no identity yet. Callers: sign_up.
-- Called for nobody too: which tables a transaction has locked can be seen by whoever holds it open.
create function auth_private.contest_sign_up(of_user uuid, of_address text) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth_private.rival_sign_ups (user_id, address)
    select of_user, of_address
     where of_user is not null
       and not exists (select from auth_private.rival_sign_ups r
                        where r.user_id operator(pg_catalog.=) of_user and r.address operator(pg_catalog.=) of_address);
end
$$;
comment on function auth_private.contest_sign_up is 'Door: somebody else claims the address of a user who has not proved it.';

-- Crosses: session_epochs. Because: who has just proved an address is nobody yet. Callers: remove_unproven, reset_forgotten_password.
-- The user's row of the two: that of administrators must never be held by anybody else, or a ban would wait.
create function auth_private.end_sessions(of_user uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth_private.session_epochs as e (user_id, administrative, epoch) values (of_user, false, 1)
        on conflict (user_id, administrative) do update set epoch = e.epoch operator(pg_catalog.+) 1;
end
$$;
comment on function auth_private.end_sessions is 'Door: ends every session of a user.';

-- Crosses: accounts, session_epochs, passwords, rival_sign_ups. Because: who has just proved an address is nobody yet.
-- Callers: verify_address, reset_forgotten_password. Whoever signed up first with an address that is not theirs would
-- otherwise keep a way into the account that its owner then proves and uses.
create function auth_private.remove_unproven(of_user uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform auth_private.end_sessions(of_user);
    delete from auth.accounts a where a.user_id operator(pg_catalog.=) of_user;
    delete from auth_private.passwords p where p.user_id operator(pg_catalog.=) of_user;
    delete from auth_private.rival_sign_ups r where r.user_id operator(pg_catalog.=) of_user;
end
$$;
comment on function auth_private.remove_unproven is 'Door: removes every way to sign in and every session from before the address was proved.';

-- Crosses: one_time_tokens. Because: whoever shows a token need not be anybody. Callers: verify_address, reset_forgotten_password.
-- One conditional statement consumes: of two at once, one finds the row gone; where the winner rolls back, the other gets it.
create function auth_private.consume_token(hash bytea, for_purposes text[], out user_id uuid, out purpose text, out address text, out was_verified boolean, out former_address text)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    select u.email_verified, u.email into was_verified, former_address
      from auth_private.live_token(hash, for_purposes) l join auth.users u on u.id operator(pg_catalog.=) l.user_id
       for no key update of u;
    delete from auth_private.one_time_tokens t
     using auth_private.live_token(hash, for_purposes) l
     where t.user_id operator(pg_catalog.=) l.user_id and t.purpose operator(pg_catalog.=) l.purpose and t.token_hash operator(pg_catalog.=) hash
    returning t.user_id, t.purpose, t.address into user_id, purpose, address;
end
$$;
comment on function auth_private.consume_token is 'Door: takes a token out of the world and locks its user. All null where it is not good.';

-- Crosses: users. Because: as above. Callers: verify_email.
create function auth_private.verify_address(
    hash bytea, out user_id uuid, out purpose text, out former_address text, out unproven_removed boolean, out is_taken boolean)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    used record;
begin
    select * into used from auth_private.consume_token(hash, '{verify-email,change-email}') c;
    if used.user_id is null then
        return;
    end if;
    user_id := used.user_id;
    purpose := used.purpose;
    former_address := used.former_address;
    begin
        update auth.users u set email = used.address, email_verified = true, updated_at = pg_catalog.clock_timestamp()
         where u.id operator(pg_catalog.=) used.user_id;
    exception when unique_violation then
        is_taken := true;
        return;
    end;
    unproven_removed := purpose operator(pg_catalog.=) 'verify-email' and not used.was_verified
        and exists (select from auth_private.rival_sign_ups r
                     where r.user_id operator(pg_catalog.=) used.user_id and r.address operator(pg_catalog.=) used.address);
    if unproven_removed then
        perform auth_private.remove_unproven(used.user_id);
    end if;
    perform auth_private.revoke_tokens(
        used.user_id,
        case when unproven_removed or purpose operator(pg_catalog.=) 'change-email' then '{verify-email,change-email,reset-password}'
             else '{verify-email}' end::text[]);
end
$$;
comment on function auth_private.verify_address is 'Door: consumes a token and notes what it proves. All null where it is not good.';

-- Crosses: passwords, accounts, users. Because: as above. Callers: reset_password.
create function auth_private.reset_forgotten_password(hash bytea, new_hash text) returns uuid
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    used record;
begin
    select * into used from auth_private.consume_token(hash, '{reset-password}') c;
    if used.user_id is null then
        return null;
    end if;
    perform auth_private.revoke_tokens(used.user_id, '{verify-email,change-email,reset-password}');
    if used.was_verified then
        perform auth_private.end_sessions(used.user_id);
    else
        -- Who reads the mail to an address owns it.
        perform auth_private.remove_unproven(used.user_id);
        update auth.users u set email_verified = true, updated_at = pg_catalog.clock_timestamp() where u.id operator(pg_catalog.=) used.user_id;
    end if;
    insert into auth_private.passwords as p (user_id, hash) values (used.user_id, new_hash)
        on conflict (user_id) do update set hash = excluded.hash, updated_at = pg_catalog.clock_timestamp();
    insert into auth.accounts (user_id, provider, provider_user_id) values (used.user_id, 'credential', used.user_id::text)
        on conflict (provider, provider_user_id) do update set updated_at = pg_catalog.clock_timestamp();
    return used.user_id;
end
$$;
comment on function auth_private.reset_forgotten_password is 'Door: consumes a token and writes the password; every session ends. Null where the token is not good.';
