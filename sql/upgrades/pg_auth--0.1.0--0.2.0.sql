\echo Use "ALTER EXTENSION pg_auth UPDATE" to load this file. \quit
-- A change of sql/ stands here too: tests/upgrade.rs compares what comes of this with a fresh installation.
set local search_path = pg_catalog, pg_temp;

-- A foreign key that somebody made with a type and a cast of their own ran that cast as auth_owner. Keys that are there already go on
-- working; auth.check_deployment() lists those whose column is no uuid.
revoke references (id) on auth.users from authenticated;

-- No pause outlasts itself when the clock is set back.
drop function auth_private.blocked_for(bytea[], integer, integer);
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
alter function auth_private.blocked_for(bytea[], integer, integer) owner to auth_door;
do $strip$
declare
    grantee record;
begin
    revoke all on function auth_private.blocked_for(bytea[], integer, integer) from public;
    -- What default privileges have given.
    for grantee in
        select distinct pg_catalog.quote_ident(r.rolname) as name
          from pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) a.grantee
         where p.oid operator(pg_catalog.=) 'auth_private.blocked_for(bytea[], integer, integer)'::pg_catalog.regprocedure and a.grantee operator(pg_catalog.<>) p.proowner
    loop
        execute pg_catalog.format('revoke all on function auth_private.blocked_for(bytea[], integer, integer) from %s', grantee.name);
    end loop;
end
$strip$;
grant execute on function auth_private.blocked_for(bytea[], integer, integer) to auth_owner;

-- Reading a table that is small stops where somebody is found, and is sooner done than where nobody is.
alter function auth_private.find_user(text) set enable_seqscan = off;

-- Ids in order of time: what is new lies together in every index.
create function auth_private.new_id() returns uuid
    language c volatile parallel safe set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'new_id_wrapper';
comment on function auth_private.new_id() is 'An id in order of time (UUIDv7, RFC 9562): what comes one after the other lies together in every index. It tells its own moment.';
alter table auth.users alter id set default auth_private.new_id();
alter table auth.sessions alter id set default auth_private.new_id();
alter table auth.accounts alter id set default auth_private.new_id();

-- The caller is looked up without a statement, and so are the credentials of who signs in and what is shown of them and of the session.
drop function auth_private.resolve_identity();
drop function auth_private.find_credentials(text);
drop function auth_private.user_json(uuid);
drop function auth_private.session_json(uuid, uuid);
drop function auth_private.sign_access_token(uuid);
drop function auth_private.increment_epoch(uuid, boolean);
drop function auth_private.guard_user(uuid, boolean);
drop function auth_private.append_audit(text, uuid, uuid, uuid, text, uuid, inet, text, jsonb);
drop function auth_private.open_session(uuid, bigint, text, uuid, bytea, integer, boolean, inet, text);
drop policy signing_secrets_door on auth_private.signing_secrets;
revoke all on auth_private.signing_secrets from auth_door;
drop view auth_private.user_directory, auth_private.users_rendered;
create view auth_private.user_directory as
select u.id, u.email, u.email_verified, u.name, u.image,
       array(select r.role from auth.user_roles r where r.user_id operator(pg_catalog.=) u.id order by r.role using operator(pg_catalog.<)) as roles,
       b.user_id is not null as banned, b.reason as ban_reason, b.expires_at as ban_expires_at,
       u.attributes, u.created_at, u.updated_at, u.last_sign_in_at
  from auth.users u
  left join auth.bans b on b.user_id operator(pg_catalog.=) u.id
                       and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())
 where (select auth.has_permission('user:list'));
comment on view auth_private.user_directory is 'Every user for holders of user:list, nobody for anybody else.';

-- sign_up counts.
comment on function auth.sign_up(text, text, text, text, jsonb, text, text) is 'Creates a user with a password and signs them in: {user, session, token, access_token} (Better Auth''s signUpEmail).
In the caller''s transaction, so the application''s own rows about the user are written with it or not at all. token: keep it secret, give it to use_session(); it is shown this once and stored only as a hash. attributes: a JSON object of at most 64 kB. ip_address: believed from auth_admin, otherwise recorded as claimed. With auth.require_email_verification there is no session, and an address that is taken gets an answer that looks the same; its owner gets a mail. With it or auth.send_verification_on_sign_up a mail with a token for verify_email is queued. Permission: none. Errors: SIGN_UP_DISABLED, MISSING_ARGUMENT, INVALID_EMAIL, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON (NIST SP 800-63B-4 3.1.1.2), INVALID_ARGUMENT, USER_ALREADY_EXISTS, TOO_MANY_ATTEMPTS (for one address, with auth.require_email_verification), READ_ONLY.';

-- refresh_session records who is acting.
comment on function auth_private.find_session(bytea) is 'Door: the ids of the live session with this token, of its user and, of an impersonation, of the real person; for refresh_session, whose caller need not be anybody yet.';

-- Comments say more.
comment on function auth.change_password(text, text, boolean) is 'Changes the caller''s password: {user, session, token} (Better Auth''s changePassword).
revoke_other_sessions: every session ends, the caller''s too, and token is that of a new one, for which refresh_session gives an access token; otherwise token is null and the sessions stay. Answer: INVALID_PASSWORD, returned so that the attempt stays on record. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, CREDENTIAL_ACCOUNT_NOT_FOUND, TOO_MANY_ATTEMPTS, READ_ONLY.';
comment on function auth.change_email(text) is 'Asks for another address: a token for verify_email goes to the new one, and the old one is told (Better Auth''s changeEmail).
Nothing changes until verify_email. An address that is somebody else''s gets the same answer in equal time, and its owner a mail that says so. Needs a fresh session (auth.session_fresh_age). Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT (it is the address already), TOO_MANY_ATTEMPTS, READ_ONLY.';
comment on function auth.update_user(uuid, jsonb) is 'Changes the fields that the patch names and returns the user (Better Auth''s updateUser and admin.updateUser).
An absent key is left alone, null clears: image becomes null, name empty, attributes {}. Oneself: name, image, attributes. user:update: the same of others; with user:set-email also email (which resets email_verified unless the patch sets it) and email_verified; with user:set-role also roles; with user:ban also banned, ban_reason and ban_expires_at, which do what ban_user and unban_user do. attributes is replaced whole; see update_user_attributes. Permission: user:update and what else the fields need, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, UNKNOWN_FIELD, FIELD_NOT_ALLOWED, INVALID_ARGUMENT, INVALID_EMAIL, INVALID_ROLE, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, USER_ALREADY_EXISTS, YOU_CANNOT_BAN_YOURSELF, LAST_ADMIN, READ_ONLY.';
comment on function auth.delete_user(uuid) is 'Deletes a user with sessions, accounts and roles; false when there is no such user (Better Auth''s deleteUser and removeUser, Lucia''s deleteUser).
Oneself: with a fresh session, which verify_password makes. Rows of applications follow their foreign keys; one that forbids raises USER_IN_USE. Deferrable constraints of the tables that follow are checked first and stay immediate for the rest of the transaction. Permission: user:delete, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, PERMISSION_DENIED, MISSING_ARGUMENT, TARGET_OUTRANKS_YOU, LAST_ADMIN, USER_IN_USE, READ_ONLY.';
comment on function auth.reset_role_password(text) is 'Gives a database role a new password: {"role": {…, password}} (Neon''s resetProjectBranchRolePassword).
The old password stops working when the transaction commits; ROLLBACK undoes it. updated_at moves, created_at does not. Permission: database-role:reset-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (a role without login), ROLE_NOT_FOUND, PROTECTED_ROLE (also a role that was not made here), READ_ONLY.';
comment on function auth.list_audit_log(uuid, text, timestamptz, integer, text) is 'A page of the audit log, newest first.
user_id: done to that user. action: the name of the function. since: not before. page_size: 1 to 1000. after_cursor: the id of the last line of the page before, as text. Permission: audit:read. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';
comment on function auth.use_session(text, boolean) is 'Verifies a session''s token and makes its user the caller; returns the user''s id.
is_local: true for this transaction (right behind every pooler; outside of a transaction block for this statement alone, which a notice says), false for the connection (psql, one connection a user), until reset_session() or DISCARD ALL. A second call switches the user. Works in read-only transactions and on a standby. Errors: MISSING_ARGUMENT, INVALID_SESSION (unknown, expired and revoked alike).';

-- A user reads what was done to them.
alter policy audit_log_client_select on auth.audit_log
    using (user_id = (select auth.uid()) or (select auth.has_permission('audit:read')));
comment on table auth.audit_log is 'Append-only record of every change and every sign-in. A user reads what was done to them, holders of audit:read all; nobody changes it.';
create or replace function auth_private.refuse_change_of_audit_log() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only',
        hint = 'To archive lines, a superuser disables the trigger audit_log_append_only in the transaction that deletes them.';
end
$$;

-- Roles that are being granted stay as they are.
create or replace function auth_private.hold_roles(wanted text[]) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    held bigint;
begin
    select pg_catalog.count(*) into held
      from (select from auth.roles r where r.name operator(pg_catalog.=) any (wanted)
             -- "share": a role that is being granted in an open transaction gets no other permissions, since who defines it could not see to whom.
             order by r.name using operator(pg_catalog.<) for share) as roles;
    return held operator(pg_catalog.=) pg_catalog.cardinality(wanted);
end
$$;
comment on function auth_private.hold_roles is 'Door: keeps roles as they are until the transaction ends; false when one does not exist.';

-- The mailer takes users before their messages.
create or replace function auth_private.lease_messages(max_messages integer, lease_seconds integer, keep_seconds integer, max_attempts integer)
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

-- get_session needs no statement. Never dropped: a policy or a view of an application may have it.
create or replace function auth.get_session() returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'render_session_wrapper';
comment on function auth.get_session() is '{"session": …, "user": …} of the caller, or null when anonymous or when the session has ended (Better Auth''s getSession).';
create index bans_expires_at_idx on auth.bans (expires_at) where expires_at is not null;

-- What makes a page of the directory cheap: counts that are kept instead of counted, and an order in which those with a role or a ban
-- stand by age. Both only repeat what users, user_roles and bans say; sql/doors/directory.sql keeps them. UNLOGGED: after a crash, and
-- on a standby, they are empty, and list_users counts for itself; and no publication carries them to a subscriber, which has its own.

-- directory_counts: rows are only ever added, so that nobody waits for anybody; what a snapshot sees of them sums up to what it sees
-- of the tables.
create unlogged table auth_private.directory_counts (
    -- 'users', 'banned', 'role:' and a role; null says that something changed that nobody has counted.
    facet      text collate "C",
    change     bigint not null,
    -- Of a row that says how many there were at that moment.
    counted_at timestamptz
);
comment on table auth_private.directory_counts is 'How many users there are, how many are banned and how many hold each role, as sums.';

-- directory_facets: who is banned and who holds a role, but for "user", which nearly everybody holds. A row here proves nothing: who
-- reads it asks the table that it repeats.
create unlogged table auth_private.directory_facets (
    user_id    uuid not null,
    facet      text collate "C" not null,
    -- The user's.
    created_at timestamptz not null,
    constraint directory_facets_pkey primary key (user_id, facet)
);
comment on table auth_private.directory_facets is 'Who is banned and who holds which role, by age.';
create index directory_facets_order_idx on auth_private.directory_facets (facet, created_at, user_id);

alter table auth_private.directory_counts enable row level security;
alter table auth_private.directory_counts force row level security;
create policy directory_counts_select on auth_private.directory_counts for select to auth_owner using ((select auth.has_permission('user:list')));
create policy directory_counts_door on auth_private.directory_counts to auth_door using (true) with check (true);
alter table auth_private.directory_facets enable row level security;
alter table auth_private.directory_facets force row level security;
create policy directory_facets_select on auth_private.directory_facets for select to auth_owner using ((select auth.has_permission('user:list')));
create policy directory_facets_door on auth_private.directory_facets to auth_door using (true) with check (true);

-- The doors that keep directory_counts and directory_facets; what a door is stands in credentials.sql. Triggers, so that a DBA's own
-- statements count too; "row_security", which pg_restore switches off, is on in them. Callers: every change of users, user_roles and bans.

-- Crosses: directory_counts. Because: nobody but these doors writes to it.
create function auth_private.count_users() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    insert into auth_private.directory_counts (facet, change)
    select 'users', case tg_op when 'INSERT' then w.n else operator(pg_catalog.-) w.n end
      from (select pg_catalog.count(*) as n from changed) as w where w.n operator(pg_catalog.>) 0;
    return null;
end
$$;
comment on function auth_private.count_users is 'Door: trigger; counts users who come and go.';
create trigger users_count_insert after insert on auth.users referencing new table as changed for each statement execute function auth_private.count_users();
create trigger users_count_delete after delete on auth.users referencing old table as changed for each statement execute function auth_private.count_users();

-- Crosses: directory_counts, directory_facets, users. Because: as above.
create function auth_private.list_role_holders() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    insert into auth_private.directory_counts (facet, change)
    select 'role:' operator(pg_catalog.||) c.role, case tg_op when 'INSERT' then pg_catalog.count(*) else operator(pg_catalog.-) pg_catalog.count(*) end
      from changed c group by c.role;
    if not exists (select from changed c where c.role operator(pg_catalog.<>) 'user') then
        return null;
    end if;
    if tg_op operator(pg_catalog.=) 'INSERT' then
        insert into auth_private.directory_facets (user_id, facet, created_at)
        select u.id, 'role:' operator(pg_catalog.||) c.role, u.created_at
          from changed c join auth.users u on u.id operator(pg_catalog.=) c.user_id where c.role operator(pg_catalog.<>) 'user'
            on conflict (user_id, facet) do update set created_at = excluded.created_at;
    else
        -- An array, as the planner takes "changed" for a thousand rows, and would read the whole table for one.
        delete from auth_private.directory_facets f
         where f.user_id operator(pg_catalog.=) any (array(select c.user_id from changed c where c.role operator(pg_catalog.<>) 'user'))
           and exists (select from changed c where c.user_id operator(pg_catalog.=) f.user_id and ('role:' operator(pg_catalog.||) c.role) operator(pg_catalog.=) f.facet);
    end if;
    return null;
end
$$;
comment on function auth_private.list_role_holders is 'Door: trigger; counts and lists who gets a role or loses it.';
create trigger user_roles_list_insert after insert on auth.user_roles referencing new table as changed for each statement execute function auth_private.list_role_holders();
create trigger user_roles_list_delete after delete on auth.user_roles referencing old table as changed for each statement execute function auth_private.list_role_holders();

-- Crosses: directory_counts, directory_facets, users. Because: as above.
create function auth_private.list_banned() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    if tg_op operator(pg_catalog.=) 'INSERT' then
        with counted as (insert into auth_private.directory_counts (facet, change)
                         select 'banned', pg_catalog.count(*) from changed having pg_catalog.count(*) operator(pg_catalog.>) 0)
        insert into auth_private.directory_facets (user_id, facet, created_at)
        select u.id, 'banned', u.created_at from auth.users u where u.id operator(pg_catalog.=) any (array(select c.user_id from changed c))
            on conflict (user_id, facet) do update set created_at = excluded.created_at;
    else
        with counted as (insert into auth_private.directory_counts (facet, change)
                         select 'banned', operator(pg_catalog.-) pg_catalog.count(*) from changed having pg_catalog.count(*) operator(pg_catalog.>) 0)
        delete from auth_private.directory_facets f
         where f.user_id operator(pg_catalog.=) any (array(select c.user_id from changed c)) and f.facet operator(pg_catalog.=) 'banned';
    end if;
    return null;
end
$$;
comment on function auth_private.list_banned is 'Door: trigger; counts and lists who is banned.';
create trigger bans_list_insert after insert on auth.bans referencing new table as changed for each statement execute function auth_private.list_banned();
create trigger bans_list_delete after delete on auth.bans referencing old table as changed for each statement execute function auth_private.list_banned();

-- Crosses: directory_counts. Because: as above. Where rows change in a way that the triggers above do not see or cannot follow
-- (TRUNCATE, another date of creation, another role in a row, replicated rows), the counts say nothing until they are counted again.
create function auth_private.distrust_directory() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    -- Those that are replicated; of an ordinary change the triggers above have written down what it was.
    if tg_op operator(pg_catalog.=) any ('{INSERT,DELETE}') and pg_catalog.current_setting('session_replication_role') operator(pg_catalog.<>) 'replica' then
        return null;
    end if;
    -- One row of this transaction: another's may be taken away by who counts and does not see what we have changed.
    if not exists (select from auth_private.directory_counts d
                    where d.facet is null and d.xmin operator(pg_catalog.=) (pg_catalog.pg_current_xact_id()::xid)) then
        insert into auth_private.directory_counts (change) values (0);
    end if;
    return null;
end
$$;
comment on function auth_private.distrust_directory is 'Door: trigger; says that the counts are not right any more.';
create trigger users_distrust_truncate after truncate on auth.users for each statement execute function auth_private.distrust_directory();
create trigger users_distrust_update after update on auth.users for each row when (old.id operator(pg_catalog.<>) new.id or old.created_at operator(pg_catalog.<>) new.created_at) execute function auth_private.distrust_directory();
create trigger users_distrust_replicated after insert or delete on auth.users for each row execute function auth_private.distrust_directory();
create trigger user_roles_distrust_truncate after truncate on auth.user_roles for each statement execute function auth_private.distrust_directory();
create trigger user_roles_distrust_update after update on auth.user_roles for each row when (old.user_id operator(pg_catalog.<>) new.user_id or old.role operator(pg_catalog.<>) new.role) execute function auth_private.distrust_directory();
create trigger user_roles_distrust_replicated after insert or delete on auth.user_roles for each row execute function auth_private.distrust_directory();
create trigger bans_distrust_truncate after truncate on auth.bans for each statement execute function auth_private.distrust_directory();
create trigger bans_distrust_update after update on auth.bans for each row when (old.user_id operator(pg_catalog.<>) new.user_id) execute function auth_private.distrust_directory();
create trigger bans_distrust_replicated after insert or delete on auth.bans for each row execute function auth_private.distrust_directory();
alter table auth.users enable always trigger users_distrust_truncate, enable always trigger users_distrust_update, enable replica trigger users_distrust_replicated;
alter table auth.user_roles enable always trigger user_roles_distrust_truncate, enable always trigger user_roles_distrust_update, enable replica trigger user_roles_distrust_replicated;
alter table auth.bans enable always trigger bans_distrust_truncate, enable always trigger bans_distrust_update, enable replica trigger bans_distrust_replicated;

-- Crosses: directory_counts, directory_facets, users, user_roles, bans. Because: as above. Callers: purge_expired.
-- One statement counts and takes away what was counted until then: a change that its snapshot does not see leaves its row, which is
-- summed up with the new count. Once a day even if nothing is amiss, in case that somebody has switched the triggers off.
create function auth_private.keep_directory() returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment   timestamptz := pg_catalog.clock_timestamp();
    is_right boolean;
    entries  bigint;
begin
    -- With an older snapshot one would count what somebody else has counted since.
    if pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.<>) 'read committed' then
        return;
    end if;
    -- One at a time: of two, both would take away the same rows and both count.
    lock table auth_private.directory_counts in share update exclusive mode nowait;
    select coalesce(pg_catalog.bool_or(d.counted_at operator(pg_catalog.>) (moment operator(pg_catalog.-) interval '1 day')
                                       and d.counted_at operator(pg_catalog.<=) moment), false)
           and not coalesce(pg_catalog.bool_or(d.facet is null), false), pg_catalog.count(*)
      into is_right, entries
      from auth_private.directory_counts d;
    if is_right then
        if entries operator(pg_catalog.>) 1000 then
            with summed as (delete from auth_private.directory_counts d where d.counted_at is null returning d.facet, d.change)
            insert into auth_private.directory_counts (facet, change)
            select s.facet, pg_catalog.sum(s.change) from summed s group by s.facet;
        end if;
        return;
    end if;
    with gone as (delete from auth_private.directory_counts)
    insert into auth_private.directory_counts (facet, change, counted_at)
    select w.facet, w.n, moment
      from (select 'users' as facet, pg_catalog.count(*) as n from auth.users
             union all select 'banned', pg_catalog.count(*) from auth.bans
             union all select 'role:' operator(pg_catalog.||) r.role, pg_catalog.count(*) from auth.user_roles r group by r.role) as w;
    insert into auth_private.directory_facets as f (user_id, facet, created_at)
    select u.id, w.facet, u.created_at
      from (select r.user_id, 'role:' operator(pg_catalog.||) r.role as facet from auth.user_roles r where r.role operator(pg_catalog.<>) 'user'
             union all select b.user_id, 'banned' from auth.bans b) as w
      join auth.users u on u.id operator(pg_catalog.=) w.user_id
     where not exists (select from auth_private.directory_facets f
                        where f.user_id operator(pg_catalog.=) w.user_id and f.facet operator(pg_catalog.=) w.facet
                          and f.created_at operator(pg_catalog.=) u.created_at)
        on conflict (user_id, facet) do update set created_at = excluded.created_at;
-- Somebody else is at it.
exception when lock_not_available or serialization_failure then
    null;
end
$$;
comment on function auth_private.keep_directory is 'Door: makes the counts and the order of the directory right again, and the rows that say so few.';

drop function auth_private.register_user(text, text, text, jsonb, text);
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

-- A permission over a user is one question.
create function auth_private.holds_over(permission text, user_id uuid) returns boolean
    language c stable parallel safe cost 1000 security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_over_wrapper';
comment on function auth_private.holds_over(text, uuid) is 'True when the caller holds the permission, and the user none that the caller lacks. Without the latter a helper who may set passwords would take an administrator''s account over.';
alter policy users_update on auth.users
    using (id = (select auth.uid()) or auth_private.holds_over('user:update', id));
alter policy accounts_insert on auth.accounts
    with check ((provider = 'credential'
                 and (user_id = (select auth.uid()) or (select auth.has_permission('user:create'))
                      or auth_private.holds_over('user:set-password', user_id)))
                or (select auth_private.is_back_end()));
alter policy accounts_update on auth.accounts
    using ((provider = 'credential'
            and (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id)))
           or (select auth_private.is_back_end()));
alter policy accounts_delete on auth.accounts
    using (user_id = (select auth.uid())
           or (provider = 'credential' and auth_private.holds_over('user:set-password', user_id))
           or (select auth_private.is_back_end()));
alter policy passwords_insert on auth_private.passwords
    with check (user_id = (select auth.uid()) or (select auth.has_permission('user:create'))
                or auth_private.holds_over('user:set-password', user_id));
alter policy passwords_update on auth_private.passwords
    using (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id));
alter policy passwords_delete on auth_private.passwords
    using (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id));
alter policy sessions_delete on auth.sessions
    using (user_id = (select auth.uid()) or auth_private.holds_over('session:revoke', user_id));
alter policy session_epochs_select on auth_private.session_epochs
    using ((select auth_private.holds_any('user:')) or (select auth_private.holds_any('session:')) or user_id = (select auth.uid()));
alter policy session_epochs_insert on auth_private.session_epochs
    with check ((not administrative and user_id = (select auth.uid()))
                or (administrative and (auth_private.holds_over('user:ban', user_id) or auth_private.holds_over('user:set-password', user_id)
                                        or auth_private.holds_over('session:revoke', user_id))));
alter policy session_epochs_update on auth_private.session_epochs
    using ((not administrative and user_id = (select auth.uid()))
           or (administrative and (auth_private.holds_over('user:ban', user_id) or auth_private.holds_over('user:set-password', user_id)
                                   or auth_private.holds_over('session:revoke', user_id))));
alter policy user_roles_insert on auth.user_roles
    with check ((role = 'user' and (select auth.has_permission('user:create')))
                or (auth_private.holds_over('user:set-role', user_id) and auth_private.dominates_roles(array[role])));
alter policy user_roles_delete on auth.user_roles
    using (auth_private.holds_over('user:set-role', user_id));
alter policy bans_owner_select on auth.bans
    using ((select auth_private.holds_any('user:')) or user_id = (select auth.uid()));
alter policy bans_insert on auth.bans
    with check (auth_private.holds_over('user:ban', user_id));
alter policy bans_update on auth.bans
    using (auth_private.holds_over('user:ban', user_id));
alter policy bans_delete on auth.bans
    using (auth_private.holds_over('user:ban', user_id));
drop function auth_private.may_erase(uuid);
create function auth_private.may_erase(target uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- The wait for whoever refers to the user in an open transaction comes before the question.
    perform from auth.users u where u.id operator(pg_catalog.=) target for update;
    return coalesce(target operator(pg_catalog.=) auth.uid(), false)
        or auth_private.holds_over('user:delete', target);
end
$$;
comment on function auth_private.may_erase is 'Door: true when the caller may delete the user.';
drop function auth_private.dominates_user(uuid);

-- A token is found by a hash index, and its session where its row lay.
alter table auth_private.session_keys
    drop constraint session_keys_pkey,
    drop constraint session_keys_session_id_key,
    add constraint session_keys_session_id_key primary key (session_id),
    add column session_ctid tid;
create index session_keys_token_hash_idx on auth_private.session_keys using hash (token_hash);
comment on column auth_private.session_keys.session_ctid is 'Where the session''s row lay when it was written. A hint: what lies there is believed only if it is that session; else the index is asked.';
drop function auth_private.open_impersonation(uuid, uuid, uuid, bytea, numeric, inet);
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
drop function auth_private.slide_session(uuid, integer, integer);
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

drop function auth_private.purge(integer, integer, integer);
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

-- Owners and grants, as sql/grants.sql gives them.
do $grants$
declare
    thing   record;
    grantee record;
begin
    for thing in
        select * from (values
            ('table', 'auth_private.directory_counts', 'auth_owner'),
            ('table', 'auth_private.directory_facets', 'auth_owner'),
            ('table', 'auth_private.user_directory', 'auth_door'),
            ('function', 'auth_private.new_id()', 'auth_owner'),
            ('function', 'auth_private.holds_over(text, uuid)', 'auth_door'),
            ('function', 'auth_private.may_erase(uuid)', 'auth_door'),
            ('function', 'auth.get_session()', 'auth_door'),
            ('function', 'auth_private.register_user(text, text, text, jsonb, text)', 'auth_door'),
            ('function', 'auth_private.open_impersonation(uuid, uuid, uuid, bytea, numeric, inet)', 'auth_door'),
            ('function', 'auth_private.slide_session(uuid, integer, integer)', 'auth_door'),
            ('function', 'auth_private.count_users()', 'auth_door'),
            ('function', 'auth_private.list_role_holders()', 'auth_door'),
            ('function', 'auth_private.list_banned()', 'auth_door'),
            ('function', 'auth_private.distrust_directory()', 'auth_door'),
            ('function', 'auth_private.keep_directory()', 'auth_door'),
            ('function', 'auth_private.purge(integer, integer, integer)', 'auth_door')) as t (kind, name, owner)
    loop
        execute pg_catalog.format('revoke all on %s %s from public', thing.kind, thing.name);
        -- What default privileges have given.
        for grantee in
            select distinct pg_catalog.quote_ident(r.rolname) as name
              from (select p.oid, p.proacl as acl, p.proowner as owner from pg_catalog.pg_proc p
                     union all select c.oid, c.relacl, c.relowner from pg_catalog.pg_class c) as o,
                   pg_catalog.aclexplode(o.acl) a join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) a.grantee
             where o.oid operator(pg_catalog.=) case thing.kind when 'table' then thing.name::pg_catalog.regclass::pg_catalog.oid
                                                                else thing.name::pg_catalog.regprocedure::pg_catalog.oid end
               and a.grantee operator(pg_catalog.<>) o.owner
        loop
            execute pg_catalog.format('revoke all on %s %s from %s', thing.kind, thing.name, grantee.name);
        end loop;
        execute pg_catalog.format('alter %s %s owner to auth_owner', thing.kind, thing.name);
        execute pg_catalog.format('alter %s %s owner to %I', thing.kind, thing.name, thing.owner);
        if thing.kind operator(pg_catalog.=) 'function' then
            execute pg_catalog.format('grant execute on function %s to auth_owner', thing.name);
        end if;
    end loop;
    grant execute on function auth.get_session() to anon, authenticated;
end
$grants$;
grant select on auth_private.user_directory to auth_owner;
grant execute on function auth_private.new_id to auth_door;
grant select, insert, update, delete on auth_private.directory_counts, auth_private.directory_facets to auth_door;

-- A PostgREST that is running learns of what has changed.
notify pgrst, 'reload schema';
