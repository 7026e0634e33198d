\echo Use "CREATE EXTENSION pg_auth CASCADE" to load this file. \quit

-- sql/path.sql
-- The script's own path would hold the schema of pg_trgm, where others may have put operators of the same names.
set local search_path = pg_catalog, pg_temp;

-- sql/requirements.sql
do $encoding$
begin
    -- Names, addresses and passwords are Unicode; in another encoding many of them cannot be stored.
    if pg_catalog.getdatabaseencoding() operator(pg_catalog.<>) 'UTF8' then
        raise exception using errcode = 'feature_not_supported',
            message = pg_catalog.format('pg_auth cannot be installed: the encoding of this database is %s and must be UTF8', pg_catalog.getdatabaseencoding());
    end if;
end
$encoding$;

-- Roles are cluster-wide: a second database finds them made. Whoever could make one of them first with more power than
-- intended would own every user, so the installation looks at each before it trusts it.
do $roles$
declare
    wanted record;
    present record;
begin
    for wanted in
        select * from (values
            ('anon',          false, false, 'callers without identity'),
            ('authenticated', false, false, 'callers with one'),
            ('auth_admin',    false, false, 'DBAs and trusted services: everything, without a session'),
            ('auth_mailer',   false, false, 'the process that delivers mail'),
            ('auth_owner',    true,  false, 'owns the tables and functions of pg_auth'),
            ('auth_door',     true,  false, 'owns the doors of pg_auth: what happens before there is an identity'),
            ('auth_eraser',   true,  false, 'deletes a user''s row in pg_auth; anybody''s code may run as it, so give it nothing'),
            ('auth_role_manager', true, true, 'owns the functions of pg_auth that manage database roles')
        ) as role(name, internal, makes_roles, purpose)
    loop
        select r.rolsuper, r.rolbypassrls, r.rolcanlogin, r.rolcreaterole,
               exists (select from pg_catalog.pg_auth_members m where m.roleid operator(pg_catalog.=) r.oid) as has_members
          into present
          from pg_catalog.pg_roles r
         where r.rolname operator(pg_catalog.=) wanted.name;
        if not found then
            execute pg_catalog.format('create role %I nologin %s', wanted.name, case when wanted.makes_roles then 'createrole' else '' end);
            execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.purpose);
        elsif present.rolsuper or present.rolbypassrls then
            raise exception using errcode = 'insufficient_privilege',
                message = pg_catalog.format('pg_auth cannot be installed: the role "%s" already exists and is a superuser or bypasses row-level security', wanted.name),
                hint = 'Rename or drop that role, or take these attributes from it.';
        elsif wanted.internal and (present.rolcanlogin or present.rolcreaterole operator(pg_catalog.<>) wanted.makes_roles or present.has_members) then
            raise exception using errcode = 'insufficient_privilege',
                message = pg_catalog.format('pg_auth cannot be installed: the role "%s" already exists and can log in, create roles or be used by its members', wanted.name),
                hint = 'That role owns everything in pg_auth; nobody else may be able to become it.';
        elsif wanted.name operator(pg_catalog.=) 'auth_admin' and present.has_members then
            raise notice 'the role auth_admin already exists: its members will administer this database too';
        end if;
    end loop;
    if not pg_catalog.pg_has_role('auth_admin', 'authenticated', 'member') then
        -- auth_admin may call and read whatever a signed-in user may; what it finds there is decided by has_permission().
        grant authenticated to auth_admin;
    end if;
end
$roles$;

-- sql/schemas.sql
-- No "if not exists": a schema that somebody else made, and could add functions to, must stop the installation.
create schema auth;
comment on schema auth is 'pg_auth: users, sessions and their administration. Everything here is meant to be reached, and decides for itself who may.';

create schema auth_private;
comment on schema auth_private is 'pg_auth: secrets, key material and internal functions. Nobody but pg_auth has USAGE.';

-- sql/functions/identity.sql
-- Who is calling. These belong to auth_door: they are what every policy stands on, so no policy may stand in their way.

create function auth.uid() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'uid_wrapper';
comment on function auth.uid() is 'The id of the signed-in user; null when anonymous, and as soon as the session ends.
In policies write (select auth.uid()): it is then evaluated once a statement and not once a row. While somebody is impersonated this is the impersonated user; see actor_id().';

create function auth.session_id() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'session_id_wrapper';
comment on function auth.session_id() is 'The id of the session in use; null when anonymous.
It is an identifier and not a secret: knowing it gives nobody the session.';

create function auth.actor_id() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'actor_id_wrapper';
comment on function auth.actor_id() is 'The real person behind the call: during an impersonation who runs it, otherwise uid().
Null when anonymous.';

create function auth.current_user_roles() returns text[]
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'current_user_roles_wrapper';
comment on function auth.current_user_roles() is 'The application roles of the signed-in user, sorted; an empty array when anonymous.
Read live: a change of roles needs no new session.';

create function auth.has_permission(permission text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'has_permission_wrapper';
comment on function auth.has_permission(text) is 'True when the caller holds the permission (resource:action); never null.
A permission is held when one of the user''s roles holds it; a member of auth_admin without a session holds all. In policies write (select auth.has_permission(''…'')). Errors: MISSING_ARGUMENT; INVALID_ARGUMENT for a name that is in no role and not built in, so that a misspelt policy is not silently closed or open.';

create function auth.has_permissions(permissions jsonb, user_id uuid default null, roles text[] default null) returns boolean
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'has_permissions_wrapper';
comment on function auth.has_permissions(jsonb, uuid, text[]) is 'True when all the permissions are held: {"user":["ban","list"]} (Better Auth''s hasPermission).
permissions: object of resource to list of actions; an empty object or list is false. user_id: about that user (needs user:get unless it is the caller). roles: about these application roles; wins over user_id. Permissions are united over the roles. Errors: NOT_SIGNED_IN, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (unknown permission), INVALID_ROLE, USER_NOT_FOUND.';

create function auth.use_session(token text, is_local boolean default true) returns uuid
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'use_session_wrapper';
comment on function auth.use_session(text, boolean) is 'Verifies a session''s token and makes its user the caller; returns the user''s id.
is_local: true for this transaction (right behind every pooler), false for the connection (psql, one connection a user), until reset_session() or DISCARD ALL. A second call switches the user. Works in read-only transactions and on a standby. Errors: MISSING_ARGUMENT, INVALID_SESSION (unknown, expired and revoked alike).';

create function auth.reset_session() returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_session_wrapper';
comment on function auth.reset_session() is 'Makes the caller anonymous again. The session itself lives on: sign_out() ends it.';

create function auth.get_session() returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_session_wrapper';
comment on function auth.get_session() is '{"session": …, "user": …} of the caller, or null when anonymous or when the session has ended (Better Auth''s getSession).';

create function auth_private.resolve_identity() returns void
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'resolve_identity_wrapper';
comment on function auth_private.resolve_identity() is 'Door: looks up the session and the permissions of the caller, for functions of auth_owner.';

create function auth_private.find_session(token_hash bytea) returns uuid[]
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'find_session_wrapper';
comment on function auth_private.find_session(bytea) is 'Door: the ids of the live session with this token and of its user, for refresh_session, whose caller need not be anybody yet.';

create function auth_private.erasing() returns uuid
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'erasing_wrapper';
comment on function auth_private.erasing() is 'The user whose row is being deleted at this moment. While there is one nobody is signed in: triggers of applications run.';

create function auth_private.holds(permission text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_wrapper';
comment on function auth_private.holds(text) is 'As has_permission, also for a permission that nobody has named before: holders of "admin" hold it.';

create function auth_private.holds_any(prefix text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_any_wrapper';
comment on function auth_private.holds_any(text) is 'True when the caller holds any built-in permission that begins so.';

create function auth_private.is_back_end() returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'is_back_end_wrapper';
comment on function auth_private.is_back_end() is 'True when the caller is a member of auth_admin without a session: what no user may do, not even an administrator.';

create function auth_private.dominates_user(user_id uuid) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'dominates_user_wrapper';
comment on function auth_private.dominates_user(uuid) is 'True when the user holds no permission that the caller lacks. Without it a helper who may set passwords would take an administrator''s account over.';

create function auth_private.is_administrative(user_id uuid) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'is_administrative_wrapper';
comment on function auth_private.is_administrative(uuid) is 'True when the user holds a built-in permission: an "admin" as the target of an impersonation.';

create function auth_private.dominates_roles(roles text[]) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'dominates_roles_wrapper';
comment on function auth_private.dominates_roles(text[]) is 'True when the roles hold no permission that the caller lacks. Without it whoever may grant roles would grant "admin" to themselves.';

-- sql/tables/users.sql
-- users: one row a person. What they may do is in user_roles, whether they are banned in bans, how they prove who they are in accounts.
create table auth.users (
    id              uuid not null default pg_catalog.gen_random_uuid() constraint users_pkey primary key,
    -- Canonical (NFC, ASCII lower case, domain as A-label), so equality is equality of octets: no collation of any
    -- operating system or locale can make two addresses one, or one two.
    email           text collate "C",
    email_verified  boolean not null default false,
    name            text not null default '',
    image           text,
    attributes      jsonb not null default '{}',
    created_at      timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at      timestamptz not null default pg_catalog.clock_timestamp(),
    last_sign_in_at timestamptz,
    constraint users_email_check      check (pg_catalog.octet_length(email) between 3 and 254),
    constraint users_name_check       check (pg_catalog.char_length(name) <= 255),
    constraint users_image_check      check (pg_catalog.char_length(image) <= 2048),
    -- The last: what our reader of JSON would take for something else; see src/backend/json.rs.
    constraint users_attributes_check check (pg_catalog.jsonb_typeof(attributes) operator(pg_catalog.=) 'object' and pg_catalog.octet_length(attributes::text) <= 65536 and attributes::text not like '%$serde\_json::private::%')
);
comment on table auth.users is 'The users. A user reads the own row, holders of user:list or user:get read all; only the functions of schema auth write. Applications may reference auth.users(id).';
comment on column auth.users.email is 'Canonical: NFC, ASCII letters lower-cased, the domain as IDNA A-label. Mail always goes to this address.';
comment on column auth.users.attributes is 'The application''s own data about the user: a JSON object of at most 64 kB.';

-- An index with a condition is no key: a change of address then locks the row no more than one of the name does. Otherwise the
-- checks of foreign keys would wait for it, and with them whatever an administrator does to a user who holds such a change open.
create unique index users_email_key on auth.users (email) where email is not null;

-- One index for each order that list_users offers; the id makes every order total, so cursors neither skip nor repeat.
create index users_email_order_idx     on auth.users ((coalesce(email, ''::text)), id);
create index users_created_at_idx      on auth.users (created_at, id);
create index users_updated_at_idx      on auth.users (updated_at, id);
create index users_last_sign_in_at_idx on auth.users ((coalesce(last_sign_in_at, '-infinity'::timestamptz)), id);
create index users_name_idx            on auth.users (name, id);

do $trigram$
-- The operator class is looked up by oid: "gin_trgm_ops" by name alone could be somebody else's.
declare
    extension_schema pg_catalog.text;
begin
    select n.nspname into strict extension_schema
      from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) e.extnamespace
     where e.extname operator(pg_catalog.=) 'pg_trgm';
    execute pg_catalog.format('create index users_email_trgm_idx on auth.users using gin (email %I.gin_trgm_ops)', extension_schema);
    execute pg_catalog.format('create index users_name_trgm_idx on auth.users using gin (name %I.gin_trgm_ops)', extension_schema);
end
$trigram$;

alter table auth.users enable row level security;
alter table auth.users force row level security;
create policy users_client_select on auth.users for select to authenticated
    using (id = (select auth.uid()) or (select auth.has_permission('user:list')) or (select auth.has_permission('user:get')));
-- Our own functions must find the row that they act on: whoever holds any user:… permission is let this far, and each
-- act has a policy of its own. list_users does not come through here but through auth_private.user_directory.
create policy users_owner_select on auth.users for select to auth_owner
    using (id = (select auth.uid()) or (select auth_private.holds_any('user:')) or (select auth_private.holds_any('session:')));
create policy users_insert on auth.users for insert to auth_owner
    with check ((select auth.has_permission('user:create')));
create policy users_update on auth.users for update to auth_owner
    using (id = (select auth.uid()) or ((select auth.has_permission('user:update')) and auth_private.dominates_user(id)));
-- Nobody else deletes, not even auth_owner; see auth_private.erase_user.
create policy users_eraser on auth.users to auth_eraser using (id = (select auth_private.erasing()));
create policy users_door on auth.users to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.users', '');

-- sql/tables/accounts.sql
-- accounts: the ways a user has to sign in. A password is the account "credential" whose provider_user_id is the user's id,
-- so a change of email never touches it; the hash itself lies in auth_private.passwords.
create table auth.accounts (
    id               uuid not null default pg_catalog.gen_random_uuid() constraint accounts_pkey primary key,
    user_id          uuid not null constraint accounts_user_id_fkey references auth.users on delete cascade,
    provider         text collate "C" not null,
    provider_user_id text collate "C" not null,
    created_at       timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at       timestamptz not null default pg_catalog.clock_timestamp(),
    constraint accounts_provider_key           unique (provider, provider_user_id),
    constraint accounts_provider_check         check (pg_catalog.char_length(provider) between 1 and 63),
    constraint accounts_provider_user_id_check check (pg_catalog.char_length(provider_user_id) between 1 and 255),
    constraint accounts_credential_check       check (provider <> 'credential' or provider_user_id = user_id::text)
);
comment on table auth.accounts is 'The ways a user can sign in: "credential" for a password, otherwise the identity provider''s name. No secrets.';
create index accounts_user_id_idx on auth.accounts (user_id);

alter table auth.accounts enable row level security;
alter table auth.accounts force row level security;
create policy accounts_client_select on auth.accounts for select to authenticated
    using (user_id = (select auth.uid()) or (select auth.has_permission('user:get')));
create policy accounts_owner_select on auth.accounts for select to auth_owner
    using (user_id = (select auth.uid()) or (select auth_private.holds_any('user:')));
-- A provider's account is a way in, so only a back end that has spoken to the provider may write one.
create policy accounts_insert on auth.accounts for insert to auth_owner
    with check ((provider = 'credential'
                 and (user_id = (select auth.uid()) or (select auth.has_permission('user:create'))
                      or ((select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id))))
                or (select auth_private.is_back_end()));
create policy accounts_update on auth.accounts for update to auth_owner
    using ((provider = 'credential'
            and (user_id = (select auth.uid()) or ((select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id))))
           or (select auth_private.is_back_end()));
create policy accounts_delete on auth.accounts for delete to auth_owner
    using (user_id = (select auth.uid())
           or (provider = 'credential' and (select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id))
           or (select auth_private.is_back_end()));
create policy accounts_door on auth.accounts to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.accounts', '');

-- sql/tables/passwords.sql
-- passwords: the hash, apart from everything that any client may read.
create table auth_private.passwords (
    user_id    uuid not null constraint passwords_pkey primary key
               constraint passwords_user_id_fkey references auth.users on delete cascade,
    hash       text collate "C" not null constraint passwords_hash_check check (hash like '$%'),
    created_at timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table auth_private.passwords is 'PHC strings; one row for each user who has a password.';

alter table auth_private.passwords enable row level security;
alter table auth_private.passwords force row level security;
create policy passwords_select on auth_private.passwords for select to auth_owner
    using (user_id = (select auth.uid()) or (select auth.has_permission('user:set-password')));
-- user:create may give a password only where there is none: the primary key refuses a second row, and there is no update for it.
create policy passwords_insert on auth_private.passwords for insert to auth_owner
    with check (user_id = (select auth.uid()) or (select auth.has_permission('user:create'))
                or ((select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id)));
create policy passwords_update on auth_private.passwords for update to auth_owner
    using (user_id = (select auth.uid()) or ((select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id)));
create policy passwords_delete on auth_private.passwords for delete to auth_owner
    using (user_id = (select auth.uid()) or ((select auth.has_permission('user:set-password')) and auth_private.dominates_user(user_id)));
create policy passwords_door on auth_private.passwords to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth_private.passwords', '');

-- sql/tables/sessions.sql
-- sessions: what a user may see of a session. Whether it is good is decided by its key, the user's epoch and the clock together.
create table auth.sessions (
    id              uuid not null default pg_catalog.gen_random_uuid() constraint sessions_pkey primary key,
    user_id         uuid not null constraint sessions_user_id_fkey references auth.users on delete cascade,
    created_at      timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at      timestamptz not null default pg_catalog.clock_timestamp(),
    expires_at      timestamptz not null,
    ip_address      inet,
    user_agent      text constraint sessions_user_agent_check check (pg_catalog.char_length(user_agent) <= 512),
    impersonated_by uuid constraint sessions_impersonated_by_fkey references auth.users on delete cascade
);
comment on table auth.sessions is 'Sessions, without their tokens. A user reads the own ones, holders of session:list all.';
create index sessions_user_id_idx on auth.sessions (user_id, created_at);
create index sessions_expires_at_idx on auth.sessions (expires_at);
create index sessions_impersonated_by_idx on auth.sessions (impersonated_by) where impersonated_by is not null;

alter table auth.sessions enable row level security;
alter table auth.sessions force row level security;
create policy sessions_client_select on auth.sessions for select to authenticated
    using (user_id = (select auth.uid()) or (select auth.has_permission('session:list')));
create policy sessions_owner_select on auth.sessions for select to auth_owner
    using (user_id = (select auth.uid()) or impersonated_by = (select auth.actor_id()) or (select auth_private.holds_any('session:')));
create policy sessions_delete on auth.sessions for delete to auth_owner
    using (user_id = (select auth.uid()) or ((select auth.has_permission('session:revoke')) and auth_private.dominates_user(user_id)));
create policy sessions_door on auth.sessions to auth_door using (true) with check (true);

-- session_keys: the SHA-256 of each token, and what makes its session good.
create table auth_private.session_keys (
    -- A stolen backup or replica holds no token, only this: 256 random bits cannot be found from their hash.
    token_hash        bytea not null constraint session_keys_pkey primary key,
    session_id        uuid not null constraint session_keys_session_id_key unique
                      constraint session_keys_session_id_fkey references auth.sessions on delete cascade,
    epoch             bigint not null,
    authenticated_at  timestamptz not null default pg_catalog.clock_timestamp(),
    slides_until      timestamptz,
    parent_session_id uuid constraint session_keys_parent_session_id_fkey references auth.sessions on delete cascade,
    constraint session_keys_token_hash_check check (pg_catalog.octet_length(token_hash) = 32)
);
comment on column auth_private.session_keys.epoch is 'The user''s epoch read before the password was checked; the session is good only while they are equal.';
comment on column auth_private.session_keys.slides_until is 'refresh_session never moves the expiry past this moment; null where there is no limit.';
comment on column auth_private.session_keys.parent_session_id is 'Of an impersonation: the session of the person who runs it. It ends with that session.';
create index session_keys_parent_session_id_idx on auth_private.session_keys (parent_session_id) where parent_session_id is not null;

alter table auth_private.session_keys enable row level security;
alter table auth_private.session_keys force row level security;
create policy session_keys_door on auth_private.session_keys to auth_door using (true) with check (true);

-- session_epochs: one increment ends every session of a user, however many there are; the epoch is the sum, and no row means 0.
-- Two rows, one for the user and one for administrators: with one, a user could hold it in an open transaction, and the ban
-- would wait for as long as they like. "guard" is what verbs on one user update first, so that two of them take turns at every
-- isolation level.
create table auth_private.session_epochs (
    -- No foreign key, as of bans.
    user_id        uuid not null,
    administrative boolean not null,
    epoch          bigint not null default 0,
    guard          bigint not null default 0,
    constraint session_epochs_pkey primary key (user_id, administrative)
) with (fillfactor = 70);

alter table auth_private.session_epochs enable row level security;
alter table auth_private.session_epochs force row level security;
create policy session_epochs_select on auth_private.session_epochs for select to auth_owner
    using (user_id = (select auth.uid()) or (select auth_private.holds_any('user:')) or (select auth_private.holds_any('session:')));
create policy session_epochs_insert on auth_private.session_epochs for insert to auth_owner
    with check ((not administrative and user_id = (select auth.uid()))
                or (administrative and auth_private.dominates_user(user_id)
                    and ((select auth.has_permission('user:ban')) or (select auth.has_permission('user:set-password')) or (select auth.has_permission('session:revoke')))));
create policy session_epochs_update on auth_private.session_epochs for update to auth_owner
    using ((not administrative and user_id = (select auth.uid()))
           or (administrative and auth_private.dominates_user(user_id)
               and ((select auth.has_permission('user:ban')) or (select auth.has_permission('user:set-password')) or (select auth.has_permission('session:revoke')))));
create policy session_epochs_door on auth_private.session_epochs to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.sessions', '');
select pg_catalog.pg_extension_config_dump('auth_private.session_keys', '');
select pg_catalog.pg_extension_config_dump('auth_private.session_epochs', '');

-- sql/tables/roles.sql
-- roles and role_permissions: application roles. "admin" and "user" are built in; what "admin" holds is not a list but a rule
-- (every permission, those that applications add included, except user:impersonate-admins), so its rows here are its description.
create table auth.roles (
    name        text collate "C" not null constraint roles_pkey primary key
                constraint roles_name_check check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    description text constraint roles_description_check check (pg_catalog.char_length(description) <= 1000),
    built_in    boolean not null default false,
    created_at  timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at  timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table auth.roles is 'Application roles. Holders of role:list read them.';

create table auth.role_permissions (
    role       text collate "C" not null constraint role_permissions_role_fkey references auth.roles on delete cascade,
    permission text collate "C" not null
               constraint role_permissions_permission_check check (permission ~ '^[a-z][a-z0-9_-]{0,62}:[a-z][a-z0-9_-]{0,62}$'),
    constraint role_permissions_pkey primary key (role, permission)
);
comment on table auth.role_permissions is 'Which application role holds which permission (resource:action).';
create index role_permissions_permission_idx on auth.role_permissions (permission);

insert into auth.roles (name, description, built_in) values
    ('admin', 'Holds every permission except user:impersonate-admins', true),
    ('user', 'Holds nothing: every new user', true);
insert into auth.role_permissions (role, permission)
select 'admin', permission
  from pg_catalog.unnest('{
    user:create,user:list,user:get,user:update,user:delete,user:set-role,user:set-password,user:set-email,user:ban,user:impersonate,
    session:list,session:revoke,role:define,role:list,
    database-role:create,database-role:list,database-role:get,database-role:reset-password,database-role:delete,database-role:protect,
    audit:read,settings:get,settings:update}'::text[]) as permission;

alter table auth.roles enable row level security;
alter table auth.roles force row level security;
create policy roles_client_select on auth.roles for select to authenticated
    using ((select auth.has_permission('role:list')));
create policy roles_owner_select on auth.roles for select to auth_owner
    using ((select auth_private.holds_any('role:')) or (select auth_private.holds_any('user:')));
create policy roles_insert on auth.roles for insert to auth_owner
    with check (not built_in and (select auth.has_permission('role:define')));
create policy roles_update on auth.roles for update to auth_owner
    using (not built_in and (select auth.has_permission('role:define')) and auth_private.dominates_roles(array[name]));
create policy roles_delete on auth.roles for delete to auth_owner
    using (not built_in and (select auth.has_permission('role:define')) and auth_private.dominates_roles(array[name]));
create policy roles_door on auth.roles to auth_door using (true);

alter table auth.role_permissions enable row level security;
alter table auth.role_permissions force row level security;
create policy role_permissions_client_select on auth.role_permissions for select to authenticated
    using ((select auth.has_permission('role:list')));
create policy role_permissions_owner_select on auth.role_permissions for select to auth_owner
    using ((select auth_private.holds_any('role:')) or (select auth_private.holds_any('user:')));
-- holds() and not has_permission(): a permission is new in the moment it is first written here.
create policy role_permissions_insert on auth.role_permissions for insert to auth_owner
    with check (role <> all ('{admin,user}') and (select auth.has_permission('role:define')) and auth_private.holds(permission));
create policy role_permissions_delete on auth.role_permissions for delete to auth_owner
    using (role <> all ('{admin,user}') and (select auth.has_permission('role:define')) and auth_private.holds(permission));
create policy role_permissions_door on auth.role_permissions for select to auth_door using (true);

-- The built-in rows come back through CREATE EXTENSION; dumping them too would make the restore stop at a duplicate key.
select pg_catalog.pg_extension_config_dump('auth.roles', 'where not built_in');
select pg_catalog.pg_extension_config_dump('auth.role_permissions', 'where role <> all (''{admin,user}'')');

-- sql/tables/user_roles.sql
-- user_roles: who holds which application role. Read live by every check, so a change needs no new session.
create table auth.user_roles (
    user_id    uuid not null constraint user_roles_user_id_fkey references auth.users on delete cascade,
    role       text collate "C" not null constraint user_roles_role_fkey references auth.roles,
    granted_by uuid constraint user_roles_granted_by_fkey references auth.users on delete set null,
    granted_at timestamptz not null default pg_catalog.clock_timestamp(),
    constraint user_roles_pkey primary key (user_id, role)
);
comment on table auth.user_roles is 'Who holds which application role. A user reads the own rows, holders of user:list or user:get all.';
create index user_roles_role_idx on auth.user_roles (role, user_id);
create index user_roles_granted_by_idx on auth.user_roles (granted_by) where granted_by is not null;

alter table auth.user_roles enable row level security;
alter table auth.user_roles force row level security;
create policy user_roles_client_select on auth.user_roles for select to authenticated
    using (user_id = (select auth.uid()) or (select auth.has_permission('user:list')) or (select auth.has_permission('user:get')));
create policy user_roles_owner_select on auth.user_roles for select to auth_owner
    using (user_id = (select auth.uid()) or (select auth_private.holds_any('user:')) or (select auth_private.holds_any('role:')));
-- Whoever may create users gives them the role "user", which holds nothing; every other grant needs user:set-role,
-- and nobody hands out what they lack or takes from somebody who outranks them.
create policy user_roles_insert on auth.user_roles for insert to auth_owner
    with check ((role = 'user' and (select auth.has_permission('user:create')))
                or ((select auth.has_permission('user:set-role')) and auth_private.dominates_user(user_id) and auth_private.dominates_roles(array[role])));
create policy user_roles_delete on auth.user_roles for delete to auth_owner
    using ((select auth.has_permission('user:set-role')) and auth_private.dominates_user(user_id));
create policy user_roles_door on auth.user_roles to auth_door using (true) with check (true);

-- admin_guard: every call that could take the last active admin away updates this one row first. Counting alone is not
-- enough: at READ COMMITTED and at REPEATABLE READ two admins who demote each other both see the other one.
create table auth_private.admin_guard (
    only_row boolean not null default true constraint admin_guard_pkey primary key constraint admin_guard_only_row_check check (only_row),
    turns    bigint not null default 0
);
insert into auth_private.admin_guard default values;
alter table auth_private.admin_guard enable row level security;
alter table auth_private.admin_guard force row level security;
create policy admin_guard_door on auth_private.admin_guard to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.user_roles', '');

-- sql/tables/bans.sql
-- bans: who may not sign in, why and until when. A user is banned while there is a row that has not expired; a new ban replaces the old.
create table auth.bans (
    -- No foreign key: a user who holds the deletion of the own row open would keep the ban waiting. See auth_private.forget_restrictions.
    user_id    uuid not null constraint bans_pkey primary key,
    reason     text not null constraint bans_reason_check check (pg_catalog.char_length(reason) between 1 and 1000),
    banned_by  uuid constraint bans_banned_by_fkey references auth.users on delete set null,
    created_at timestamptz not null default pg_catalog.clock_timestamp(),
    expires_at timestamptz
);
comment on table auth.bans is 'Bans. A user reads the own one, holders of user:list or user:get all.';
create index bans_banned_by_idx on auth.bans (banned_by) where banned_by is not null;

alter table auth.bans enable row level security;
alter table auth.bans force row level security;
create policy bans_client_select on auth.bans for select to authenticated
    using (user_id = (select auth.uid()) or (select auth.has_permission('user:list')) or (select auth.has_permission('user:get')));
create policy bans_owner_select on auth.bans for select to auth_owner
    using (user_id = (select auth.uid()) or (select auth_private.holds_any('user:')));
create policy bans_insert on auth.bans for insert to auth_owner
    with check ((select auth.has_permission('user:ban')) and auth_private.dominates_user(user_id));
create policy bans_update on auth.bans for update to auth_owner
    using ((select auth.has_permission('user:ban')) and auth_private.dominates_user(user_id));
create policy bans_delete on auth.bans for delete to auth_owner
    using ((select auth.has_permission('user:ban')) and auth_private.dominates_user(user_id));
create policy bans_door on auth.bans for select to auth_door using (true);
create policy bans_door_update on auth.bans for update to auth_door using (true); -- to lock rows
create policy bans_door_delete on auth.bans for delete to auth_door using (true);

select pg_catalog.pg_extension_config_dump('auth.bans', '');

-- sql/tables/audit_log.sql
-- audit_log: what was done, by whom, to whom; written in the transaction of the deed. No foreign keys: it outlives what it speaks of.
create table auth.audit_log (
    id              bigint generated always as identity constraint audit_log_pkey primary key,
    occurred_at     timestamptz not null default pg_catalog.clock_timestamp(),
    action          text collate "C" not null,
    actor_id        uuid,
    impersonator_id uuid,
    session_id      uuid,
    database_role   text not null,
    user_id         uuid,
    ip_address      inet,
    user_agent      text,
    details         jsonb not null default '{}'
);
comment on table auth.audit_log is 'Append-only record of every change and every sign-in. Holders of audit:read read it; nobody changes it.';
comment on column auth.audit_log.actor_id is 'The user as whom it was done; null for a database role and for anonymous callers.';
comment on column auth.audit_log.impersonator_id is 'While somebody is impersonated: the real person who did it.';
comment on column auth.audit_log.user_id is 'The user to whom it was done.';
comment on column auth.audit_log.details is 'outcome (ok or an error code), before and after without secrets.';
create index audit_log_user_id_idx on auth.audit_log (user_id, id);
create index audit_log_action_idx on auth.audit_log (action, id);
create index audit_log_occurred_at_idx on auth.audit_log (occurred_at);

alter table auth.audit_log enable row level security;
alter table auth.audit_log force row level security;
create policy audit_log_client_select on auth.audit_log for select to authenticated
    using ((select auth.has_permission('audit:read')));
create policy audit_log_owner_select on auth.audit_log for select to auth_owner
    using ((select auth.has_permission('audit:read')));
create policy audit_log_door on auth.audit_log for insert to auth_door with check (true);

-- Policies do not bind superusers, and TRUNCATE asks no policy: without this trigger a slip of a DBA, or an
-- attacker who got that far, rewrites history in silence. Disabling it is a visible, deliberate act.
create function auth_private.refuse_change_of_audit_log() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
end
$$;
comment on function auth_private.refuse_change_of_audit_log() is 'Trigger: the audit log is append-only, for superusers too.';
create trigger audit_log_append_only before update or delete or truncate on auth.audit_log
    for each statement execute function auth_private.refuse_change_of_audit_log();

select pg_catalog.pg_extension_config_dump('auth.audit_log', '');
select pg_catalog.pg_extension_config_dump('auth.audit_log_id_seq', '');

-- sql/tables/failed_attempts.sql
-- failed_attempts: wrong passwords, one row each, never updated: a transaction that an attacker leaves open locks nobody else's row.
-- "subject" is a hash of what is being guessed at or from where, so the table tells nobody which addresses were tried.
create table auth_private.failed_attempts (
    id        bigint generated always as identity constraint failed_attempts_pkey primary key,
    subject   bytea not null,
    failed_at timestamptz not null default pg_catalog.clock_timestamp()
);
create index failed_attempts_subject_idx on auth_private.failed_attempts (subject, failed_at);
create index failed_attempts_failed_at_idx on auth_private.failed_attempts (failed_at);

alter table auth_private.failed_attempts enable row level security;
alter table auth_private.failed_attempts force row level security;
create policy failed_attempts_door on auth_private.failed_attempts to auth_door using (true) with check (true);

-- sql/tables/managed_roles.sql
-- managed_roles: the database roles made here, and those protected. By oid, because a name can be given to another role; a row
-- whose role is gone is nobody's. Not dumped: an oid means nothing in another cluster, where these roles would be somebody else's.
create table auth_private.managed_roles (
    role_oid     oid not null constraint managed_roles_pkey primary key,
    -- CREATE DATABASE … TEMPLATE copies this table; the copy must not manage the roles of the original.
    database_oid oid not null,
    made_here    boolean not null,
    protected    boolean not null default false,
    created_at   timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at   timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table auth_private.managed_roles is 'Database roles that are made or protected here.';

alter table auth_private.managed_roles enable row level security;
alter table auth_private.managed_roles force row level security;
create policy managed_roles_select on auth_private.managed_roles for select to auth_role_manager
    using ((select auth_private.holds_any('database-role:')));
create policy managed_roles_insert on auth_private.managed_roles for insert to auth_role_manager
    with check ((made_here and (select auth.has_permission('database-role:create'))) or (not made_here and (select auth.has_permission('database-role:protect'))));
create policy managed_roles_update on auth_private.managed_roles for update to auth_role_manager
    using ((select auth.has_permission('database-role:reset-password')) or (select auth.has_permission('database-role:protect')));
create policy managed_roles_delete on auth_private.managed_roles for delete to auth_role_manager
    using (not exists (select from pg_catalog.pg_roles r where r.oid = role_oid)
           or database_oid <> (select b.oid from pg_catalog.pg_database b where b.datname = pg_catalog.current_database())
           or (made_here and not protected and (select auth.has_permission('database-role:delete'))) or (not made_here and (select auth.has_permission('database-role:protect'))));

-- sql/tables/signing_keys.sql
-- signing_keys: what access tokens are verified with. The newest that nobody has replaced signs.
create table auth_private.signing_keys (
    kid            text not null constraint signing_keys_pkey primary key,
    public_key     bytea not null constraint signing_keys_public_key_check check (pg_catalog.octet_length(public_key) = 32),
    created_at     timestamptz not null default pg_catalog.clock_timestamp(),
    verifies_until timestamptz
);
-- One key signs. Two rotations at once would otherwise leave one without an end.
create unique index signing_keys_signing_idx on auth_private.signing_keys ((verifies_until is null)) where verifies_until is null;
comment on table auth_private.signing_keys is 'The public halves of the keys that sign access tokens.';
comment on column auth_private.signing_keys.verifies_until is 'Null while the key signs; then until its last token has expired.';

alter table auth_private.signing_keys enable row level security;
alter table auth_private.signing_keys force row level security;
create policy signing_keys_select on auth_private.signing_keys for select to auth_owner using ((select auth.has_permission('settings:update')));
create policy signing_keys_insert on auth_private.signing_keys for insert to auth_owner with check ((select auth.has_permission('settings:update')));
create policy signing_keys_update on auth_private.signing_keys for update to auth_owner using ((select auth.has_permission('settings:update')));
create policy signing_keys_delete on auth_private.signing_keys for delete to auth_owner using ((select auth.has_permission('settings:update')));
create policy signing_keys_door on auth_private.signing_keys for select to auth_door using (true);

-- signing_secrets: the private halves. A table of its own, because whoever replaces a key need not be able to read one.
-- Neither table is dumped: a pg_dump that is lost signs nothing, and the restored database has made its own key.
create table auth_private.signing_secrets (
    kid         text not null constraint signing_secrets_pkey primary key
                constraint signing_secrets_kid_fkey references auth_private.signing_keys on delete cascade,
    private_key bytea not null
);
comment on table auth_private.signing_secrets is 'The private halves, as PKCS #8.';

alter table auth_private.signing_secrets enable row level security;
alter table auth_private.signing_secrets force row level security;
create policy signing_secrets_insert on auth_private.signing_secrets for insert to auth_owner
    with check ((select auth.has_permission('settings:update')));
create policy signing_secrets_door on auth_private.signing_secrets for select to auth_door using (true);

-- sql/tables/messages.sql
-- messages: mail that is to be sent. No foreign key to users: it would let whoever asks for somebody's mail in an open transaction
-- lock that user's row. A message to a user who is gone is dropped when it is claimed.
create table auth_private.messages (
    id           uuid not null default pg_catalog.gen_random_uuid() constraint messages_pkey primary key,
    kind         text collate "C" not null,
    user_id      uuid,
    epoch        bigint,
    recipient    text collate "C",
    token_purpose text collate "C",
    payload      jsonb not null default '{}',
    subject      bytea not null,
    created_at   timestamptz not null default pg_catalog.clock_timestamp(),
    due_at       timestamptz not null default pg_catalog.clock_timestamp(),
    attempts     integer not null default 0,
    last_error   text,
    completed_at timestamptz,
    parked_at    timestamptz,
    constraint messages_kind_check          check (kind in ('verify-email', 'change-email', 'email-changed', 'reset-password', 'password-changed')),
    constraint messages_token_purpose_check check (token_purpose in ('verify-email', 'change-email', 'reset-password')),
    constraint messages_recipient_check     check ((recipient is null) = (user_id is null)),
    constraint messages_last_error_check    check (pg_catalog.char_length(last_error) <= 1000)
);
comment on table auth_private.messages is 'The mail queue. A row without a recipient is nobody''s: it was written so that a request for an unknown address takes as long as one for a known.';
comment on column auth_private.messages.epoch is 'The user''s when it was queued: a token to change the address dies with the sessions from which one may have been stolen.';
comment on column auth_private.messages.token_purpose is 'What the token is for that claim_messages mints; null where the message carries none.';
comment on column auth_private.messages.subject is 'SHA-256 of kind and address, by which requests are counted, known address or not.';
comment on column auth_private.messages.due_at is 'Not before this moment; while a worker holds the message, the end of its lease.';
create index messages_due_at_idx on auth_private.messages (due_at) where completed_at is null and parked_at is null and user_id is not null;
create index messages_subject_idx on auth_private.messages (subject, created_at) where user_id is not null;
create index messages_user_id_idx on auth_private.messages (user_id, token_purpose, created_at) where user_id is not null;
create index messages_created_at_idx on auth_private.messages (created_at) where completed_at is not null or user_id is null;

alter table auth_private.messages enable row level security;
alter table auth_private.messages force row level security;
create policy messages_select on auth_private.messages for select to auth_owner 
    using ((select auth.has_permission('settings:get')) or (select auth.has_permission('settings:update')));
create policy messages_update on auth_private.messages for update to auth_owner using ((select auth.has_permission('settings:update')));
create policy messages_door on auth_private.messages to auth_door using (true) with check (true);

-- one_time_tokens: one live token for each user and purpose. In clear it is in the row that claim_messages returns, and in the mail.
create table auth_private.one_time_tokens (
    user_id      uuid not null constraint one_time_tokens_user_id_fkey references auth.users on delete cascade,
    purpose      text collate "C" not null,
    -- A stolen backup or replica holds no token, only this.
    token_hash   bytea not null constraint one_time_tokens_token_hash_key unique,
    -- The address that the token was sent to: with it, whoever has the token has proved to own it.
    address      text collate "C" not null,
    epoch        bigint not null,
    requested_at timestamptz not null,
    expires_at   timestamptz not null,
    constraint one_time_tokens_pkey             primary key (user_id, purpose),
    constraint one_time_tokens_token_hash_check check (pg_catalog.octet_length(token_hash) = 32)
);
comment on column auth_private.one_time_tokens.requested_at is 'When its message was queued: a message for the same purpose that was queued later has superseded it.';

create index one_time_tokens_expires_at_idx on auth_private.one_time_tokens (expires_at);

alter table auth_private.one_time_tokens enable row level security;
alter table auth_private.one_time_tokens force row level security;
create policy one_time_tokens_door on auth_private.one_time_tokens to auth_door using (true) with check (true);

-- rival_sign_ups: users who have not verified their address, and for whose address somebody has signed up again with another password.
create table auth_private.rival_sign_ups (
    id      uuid not null default pg_catalog.gen_random_uuid() constraint rival_sign_ups_pkey primary key,
    user_id uuid not null,
    address text collate "C" not null
);
comment on table auth_private.rival_sign_ups is 'When the address is verified, nobody knows whose password is the owner''s: none of them stays.';
create index rival_sign_ups_user_id_idx on auth_private.rival_sign_ups (user_id);

alter table auth_private.rival_sign_ups enable row level security;
alter table auth_private.rival_sign_ups force row level security;
create policy rival_sign_ups_door on auth_private.rival_sign_ups to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth_private.messages', '');
select pg_catalog.pg_extension_config_dump('auth_private.one_time_tokens', '');
select pg_catalog.pg_extension_config_dump('auth_private.rival_sign_ups', '');

-- sql/views.sql
-- users_rendered: users as clients see them, with their roles and the ban that holds now. For auth_door alone.
create view auth_private.users_rendered as
select u.id, u.email, u.email_verified, u.name, u.image,
       array(select r.role from auth.user_roles r where r.user_id operator(pg_catalog.=) u.id order by r.role using operator(pg_catalog.<)) as roles,
       b.user_id is not null as banned, b.reason as ban_reason, b.expires_at as ban_expires_at,
       u.attributes, u.created_at, u.updated_at, u.last_sign_in_at
  from auth.users u
  left join auth.bans b on b.user_id operator(pg_catalog.=) u.id
                       and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp());
comment on view auth_private.users_rendered is 'Users as clients see them.';

-- user_directory: what list_users reads, and the truth about who may: it is empty without user:list, whatever calls it.
-- A view of auth_door and not a policy on auth.users, because under a policy no operator that is not leakproof (and
-- neither ILIKE nor an order of text is) may use an index: a page out of a million users would read them all.
create view auth_private.user_directory as
select u.* from auth_private.users_rendered u where (select auth.has_permission('user:list'));
comment on view auth_private.user_directory is 'Every user for holders of user:list, nobody for anybody else.';

-- live_sessions: the sessions that are good now, one's own and, with session:list or session:revoke, everybody's.
-- A view of auth_door because the epoch that a session carries lies beside its key, which nobody else reads.
create view auth_private.live_sessions as
select s.*
  from auth.sessions s
  join auth_private.session_keys k on k.session_id operator(pg_catalog.=) s.id
 where (s.user_id operator(pg_catalog.=) (select auth.uid()) or (select auth_private.holds_any('session:')))
   and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()
   and k.epoch operator(pg_catalog.=) coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) s.user_id), 0);
comment on view auth_private.live_sessions is 'The sessions that are good now.';

-- sql/doors/credentials.sql
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

-- sql/doors/administration.sql
-- The doors of what is done to users, and of what is shown of them; what a door is stands in credentials.sql.

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

-- sql/doors/housekeeping.sql
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
    return purged operator(pg_catalog.+) batch;
end
$$;
comment on function auth_private.purge is 'Door: deletes what is over, so many rows of each kind; returns how many.';

-- sql/doors/mail.sql
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
    moment timestamptz := pg_catalog.clock_timestamp();
begin
    perform auth_private.clear_messages(1000, keep_seconds);
    -- Of several that wait for one purpose the newest counts. Tokens go to the address that the user has now; only for a change of
    -- address to another one. Notices go to where the user was when they were queued: a thief may have changed the address since.
    delete from auth_private.messages d
     where d.id operator(pg_catalog.=) any (array(
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
                limit 1000 for update skip locked));
    return query
        -- With its user, so that nobody who holds the own row in an open transaction makes the mailer wait, and everybody with it.
        with due as (
            select m.id from auth_private.messages m join auth.users u on u.id operator(pg_catalog.=) m.user_id
             where m.completed_at is null and m.parked_at is null and m.user_id is not null
               and m.due_at operator(pg_catalog.<=) moment
             order by m.due_at using operator(pg_catalog.<)
             limit max_messages
               for no key update skip locked),
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

-- sql/functions/guarded_writes.sql
-- PL/pgSQL, because an exception block rolls back what a refused deletion began and can name the table that refused.

-- Runs as auth_eraser, whom delete_user becomes for this one call. Deleting a user follows the foreign keys of applications, and on
-- PostgreSQL before 18 the AFTER triggers of their tables run as whoever deletes: as auth_owner they could read every hash and make
-- anybody an administrator. Take it that anybody can become auth_eraser: it can delete the one row that is being deleted, and owns
-- nothing of ours, not even this function, for who owns a function can alter it; and while it deletes, nobody is signed in and nothing can be put off to a later moment.
create function auth_private.erase_user(target uuid, out deleted boolean, out blocked_by text)
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    blocking_schema text;
    blocking_table  text;
begin
    delete from auth.users u where u.id operator(pg_catalog.=) target;
    deleted := found;
exception
    when foreign_key_violation or restrict_violation then
        get stacked diagnostics blocking_schema = schema_name, blocking_table = table_name;
        deleted := false;
        blocked_by := case when blocking_table operator(pg_catalog.<>) '' then pg_catalog.format('%I.%I', blocking_schema, blocking_table)
                           else 'a trigger' end;
    -- Something tried to outlive the deletion, or to do what nobody may.
    when insufficient_privilege then
        deleted := false;
        blocked_by := 'a trigger';
end
$$;
comment on function auth_private.erase_user is 'Deletes a user, or says which table''s foreign key forbids it.';

-- These run as their caller, auth_owner, so the policies decide.

create function auth_private.increment_epoch(target uuid, by_administrator boolean) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth_private.session_epochs as e (user_id, administrative, epoch) values (target, by_administrator, 1)
        on conflict (user_id, administrative) do update set epoch = e.epoch operator(pg_catalog.+) 1;
    return true;
-- The policies refuse whose session has just ended.
exception when insufficient_privilege then
    return false;
end
$$;
comment on function auth_private.increment_epoch is 'Ends every session of a user; false when the caller may not, or may not any more.';

create function auth_private.drop_role_row(role_name text) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    delete from auth.roles r where r.name operator(pg_catalog.=) role_name;
    return case when found then true end;
exception when foreign_key_violation or restrict_violation then
    return false;
end
$$;
comment on function auth_private.drop_role_row is 'Drops an application role; false when somebody holds it, null when there is none.';

create function auth_private.update_email_row(target uuid, address text, verified boolean) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- A new address is unverified unless said otherwise.
    update auth.users u
       set email = coalesce(address, u.email),
           email_verified = coalesce(verified, u.email_verified and (address is null or address operator(pg_catalog.=) u.email)),
           updated_at = pg_catalog.clock_timestamp()
     where u.id operator(pg_catalog.=) target;
    return case when found then true end;
exception when unique_violation then
    return false;
end
$$;
comment on function auth_private.update_email_row is 'Writes over address and verification; false when somebody else has the address, null when there is no such user.';

create function auth_private.register_provider_user(
    address text, address_verified boolean, user_name text, of_provider text, of_provider_user_id text, out account_id uuid, out user_id uuid)
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into auth.users as u (email, email_verified, name) values (address, address_verified, user_name) returning u.id into user_id;
    insert into auth.user_roles (user_id, role) values (register_provider_user.user_id, 'user');
    insert into auth.accounts as a (user_id, provider, provider_user_id)
    values (register_provider_user.user_id, of_provider, of_provider_user_id) returning a.id into account_id;
exception when unique_violation then
    account_id := null;
    user_id := null;
end
$$;
comment on function auth_private.register_provider_user is 'Creates a user with an account of a provider; all null when the address or the account is somebody''s.';

create function auth_private.update_account_row(of_user uuid, of_provider text, new_provider_user_id text) returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    update auth.accounts a set provider_user_id = new_provider_user_id, updated_at = pg_catalog.clock_timestamp()
     where a.id operator(pg_catalog.=) (select o.id from auth.accounts o
                                         where o.user_id operator(pg_catalog.=) of_user and o.provider operator(pg_catalog.=) of_provider
                                         order by o.created_at using operator(pg_catalog.<), o.id using operator(pg_catalog.<) limit 1);
    return case when found then true end;
exception when unique_violation then
    return false;
end
$$;
comment on function auth_private.update_account_row is 'Gives the oldest account of a provider another identifier; false when that is somebody''s, null when there is no such account.';

-- sql/functions/sessions.sql
-- Signing up, in and out, and a user's own sessions.

create function auth.sign_up(email text, password text, name text default '', image text default null, attributes jsonb default '{}', ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_up_wrapper';
comment on function auth.sign_up(text, text, text, text, jsonb, text, text) is 'Creates a user with a password and signs them in: {user, session, token, access_token} (Better Auth''s signUpEmail).
In the caller''s transaction, so the application''s own rows about the user are written with it or not at all. token: keep it secret, give it to use_session(); it is shown this once and stored only as a hash. attributes: a JSON object of at most 64 kB. ip_address: believed from auth_admin, otherwise recorded as claimed. With auth.require_email_verification there is no session, and an address that is taken gets an answer that looks the same; its owner gets a mail. With it or auth.send_verification_on_sign_up a mail with a token for verify_email is queued. Permission: none. Errors: SIGN_UP_DISABLED, MISSING_ARGUMENT, INVALID_EMAIL, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON (NIST SP 800-63B-4 3.1.1.2), INVALID_ARGUMENT, USER_ALREADY_EXISTS, READ_ONLY.';

create function auth.sign_in(email text, password text, remember_me boolean default true, ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_in_wrapper';
comment on function auth.sign_in(text, text, boolean, text, text) is 'Checks a password and opens a session: {user, session, token, access_token} (Better Auth''s signInEmail).
remember_me: false for a session of auth.short_session_lifetime that never slides. Answers, which are returned so that the attempt stays on record: INVALID_EMAIL_OR_PASSWORD (unknown address, no password and wrong password alike, in equal time), BANNED_USER (only after the right password; details: reason, expires_at), EMAIL_NOT_VERIFIED. A result is an error exactly when it has the key "code". Permission: none. Errors: MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT, PASSWORD_TOO_LONG, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.refresh_session(token text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'refresh_session_wrapper';
comment on function auth.refresh_session(text) is 'Moves the expiry of a session, at most once per auth.session_update_age and never past its own limit: {session, user, token, access_token}.
The token stays the same. Permission: none but the token. Errors: MISSING_ARGUMENT, INVALID_SESSION, READ_ONLY.';

create function auth.sign_out()
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_out_wrapper';
comment on function auth.sign_out() is 'Ends the session in use; true when it was live. The caller is anonymous afterwards.
Impersonations started from it end with it. Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';

create function auth.list_sessions()
    returns table (id uuid, user_id uuid, created_at timestamptz, updated_at timestamptz, expires_at timestamptz, ip_address text, user_agent text, impersonated_by uuid, current boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'list_sessions_wrapper';
comment on function auth.list_sessions() is 'The caller''s own live sessions, newest first, without impersonations (Better Auth''s listSessions; tokens are never shown).
current: the session in use. Errors: NOT_SIGNED_IN, INVALID_SESSION.';

create function auth.revoke_session(session_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_session_wrapper';
comment on function auth.revoke_session(uuid) is 'Ends one of the caller''s own sessions; false when there is no such session, somebody else''s included (Better Auth''s revokeSession, by id).
Errors: NOT_SIGNED_IN, INVALID_SESSION, MISSING_ARGUMENT, READ_ONLY.';

create function auth.revoke_sessions()
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_sessions_wrapper';
comment on function auth.revoke_sessions() is 'Ends all of the caller''s sessions, the one in use too; returns how many were live (Better Auth''s revokeSessions).
One row changes, however many they are. Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';

create function auth.revoke_other_sessions()
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_other_sessions_wrapper';
comment on function auth.revoke_other_sessions() is 'Ends all of the caller''s sessions but the one in use; returns how many were live (Better Auth''s revokeOtherSessions).
Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';

-- sql/functions/passwords.sql
-- Passwords: a user's own, and those set by administrators.

create function auth.change_password(current_password text, new_password text, revoke_other_sessions boolean default false)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'change_password_wrapper';
comment on function auth.change_password(text, text, boolean) is 'Changes the caller''s password: {user, session, token}, and an access_token with a new token (Better Auth''s changePassword).
revoke_other_sessions: every session ends, the caller''s too, and token is that of a new one; otherwise token is null and the sessions stay. Answer: INVALID_PASSWORD, returned so that the attempt stays on record. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, CREDENTIAL_ACCOUNT_NOT_FOUND, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.verify_password(password text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'verify_password_wrapper';
comment on function auth.verify_password(text) is 'Checks the caller''s password again and makes the session fresh: {}.
Answer: INVALID_PASSWORD, returned so that the attempt stays on record. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, MISSING_ARGUMENT, PASSWORD_TOO_LONG, CREDENTIAL_ACCOUNT_NOT_FOUND, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.set_password(new_password text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_password_wrapper';
comment on function auth.set_password(text) is 'Gives the caller, who has none, a password. Needs a fresh session (auth.session_fresh_age).
Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, PASSWORD_ALREADY_SET, READ_ONLY.';

create function auth.set_user_password(user_id uuid, new_password text, revoke_sessions boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_user_password_wrapper';
comment on function auth.set_user_password(uuid, text, boolean) is 'Sets a user''s password and returns the user (Better Auth''s setUserPassword, Lucia''s updateUserPassword).
new_password: null removes the password. revoke_sessions: ends all of the user''s sessions. Permission: user:set-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.request_password_reset(email text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'request_password_reset_wrapper';
comment on function auth.request_password_reset(text) is 'Queues a mail with a token for reset_password (Better Auth''s requestPasswordReset).
The same answer in equal time for any address. An earlier token dies; within auth.message_interval of the last mail nothing new is sent and the earlier token lives. Users without a password get one this way too. Permission: none. Errors: MISSING_ARGUMENT, INVALID_EMAIL, NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.reset_password(token text, new_password text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_password_wrapper';
comment on function auth.reset_password(text, text) is 'Sets the password of who got the token by mail, and returns the user (Better Auth''s resetPassword).
Every session ends and every other token of the user dies. token: good once, until auth.reset_token_lifetime after it was sent; a password that is refused does not use it up. It proves the address: where that was not verified before, it is now, and other accounts that somebody had linked meanwhile are removed. Permission: none but the token. Errors: MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, INVALID_TOKEN (unknown, used, superseded and expired alike), NOT_WHILE_IMPERSONATING, READ_ONLY.';

-- sql/functions/users.sql
-- Users: reading, creating, changing, deleting.

create function auth.get_user(user_id uuid)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_wrapper';
comment on function auth.get_user(uuid) is 'One user (Better Auth''s and Lucia''s getUser). Permission: user:get, or oneself.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND.';

create function auth.get_user_by_email(email text)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_by_email_wrapper';
comment on function auth.get_user_by_email(text) is 'One user by address, in any spelling that is canonically the same. Permission: user:get, or one''s own address.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, USER_NOT_FOUND.';

create function auth.create_user(email text, password text default null, name text default '', roles text[] default null, attributes jsonb default '{}', email_verified boolean default false)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'create_user_wrapper';
comment on function auth.create_user(text, text, text, text[], jsonb, boolean) is 'Creates a user and returns it (Better Auth''s and Neon''s createUser). Nobody is signed in and no mail is sent.
password: null for none, the user then cannot sign in with one. roles: application roles, by default user. Permission: user:create; roles needs user:set-role too. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, INVALID_ROLE, INVALID_ARGUMENT, TARGET_OUTRANKS_YOU, USER_ALREADY_EXISTS, READ_ONLY.';

create function auth.update_user(user_id uuid, patch jsonb)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_wrapper';
comment on function auth.update_user(uuid, jsonb) is 'Changes the fields that the patch names and returns the user (Better Auth''s updateUser and admin.updateUser).
An absent key is left alone, null clears: image becomes null, name empty, attributes {}. Oneself: name, image, attributes. user:update: the same of others; with user:set-email also email (which resets email_verified unless the patch sets it) and email_verified; with user:set-role also roles; with user:ban also banned, ban_reason and ban_expires_at, which do what ban_user and unban_user do. attributes is replaced whole; see update_user_attributes. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, UNKNOWN_FIELD, FIELD_NOT_ALLOWED, INVALID_ARGUMENT, INVALID_EMAIL, INVALID_ROLE, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, USER_ALREADY_EXISTS, YOU_CANNOT_BAN_YOURSELF, LAST_ADMIN, READ_ONLY.';

create function auth.update_user_attributes(user_id uuid, attributes jsonb)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_attributes_wrapper';
comment on function auth.update_user_attributes(uuid, jsonb) is 'Merges attributes into the user''s at the top level and returns the user (Lucia''s updateUserAttributes).
An absent key is kept, null is written as null. Permission: user:update, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.delete_user(user_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'delete_user_wrapper';
comment on function auth.delete_user(uuid) is 'Deletes a user with sessions, accounts and roles; false when there is no such user (Better Auth''s deleteUser and removeUser, Lucia''s deleteUser).
Oneself: with a fresh session, which verify_password makes. Others: permission user:delete. Rows of applications follow their foreign keys; one that forbids raises USER_IN_USE. Deferrable constraints of the tables that follow are checked first and stay immediate for the rest of the transaction. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, PERMISSION_DENIED, MISSING_ARGUMENT, TARGET_OUTRANKS_YOU, LAST_ADMIN, USER_IN_USE, READ_ONLY.';

create function auth.list_users(search_value text default null, search_field text default 'email', search_operator text default 'contains', filter_field text default null, filter_value text default null, filter_operator text default 'eq', sort_by text default 'created_at', sort_direction text default 'desc', page_size integer default 100, page_offset integer default 0, after_cursor text default null)
    returns table (id uuid, email text, email_verified boolean, name text, image text, roles text[], banned boolean, ban_reason text, ban_expires_at timestamptz, attributes jsonb, created_at timestamptz, updated_at timestamptz, last_sign_in_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_users_wrapper';
comment on function auth.list_users(text, text, text, text, text, text, text, text, integer, integer, text) is 'A page of users (Better Auth''s listUsers).
search_field: email, name or any. search_operator: contains, starts_with, ends_with; case-insensitive, % _ and \ are literal. filter_field: id, email, email_verified, name, role, banned, ban_expires_at, created_at, updated_at, last_sign_in_at or attributes.<key>. filter_operator: eq ne lt lte gt gte in not_in contains starts_with ends_with; on role, eq and contains mean has it, ne has it not; ne keeps nulls; for in and not_in the value is a JSON array. sort_by: a filter_field other than role and attributes; sort_direction: asc or desc; equal values are ordered by id. page_size: 1 to 1000. after_cursor: next_cursor of list_users_page with the same order. Permission: user:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

create function auth.list_users_page(search_value text default null, search_field text default 'email', search_operator text default 'contains', filter_field text default null, filter_value text default null, filter_operator text default 'eq', sort_by text default 'created_at', sort_direction text default 'desc', page_size integer default 100, page_offset integer default 0, after_cursor text default null, count text default 'exact')
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'list_users_page_wrapper';
comment on function auth.list_users_page(text, text, text, text, text, text, text, text, integer, integer, text, text) is 'A page of users with the total: {users, total, limit, offset, next_cursor}; users and total are of one moment.
count: exact, estimated (without search and filter the planner''s statistics, otherwise exact) or none (total is null). next_cursor: null on the last page. search_field: email, name or any. search_operator: contains, starts_with, ends_with; case-insensitive, % _ and \ are literal. filter_field: id, email, email_verified, name, role, banned, ban_expires_at, created_at, updated_at, last_sign_in_at or attributes.<key>. filter_operator: eq ne lt lte gt gte in not_in contains starts_with ends_with; on role, eq and contains mean has it, ne has it not; ne keeps nulls; for in and not_in the value is a JSON array. sort_by: a filter_field other than role and attributes; sort_direction: asc or desc; equal values are ordered by id. page_size: 1 to 1000. after_cursor: next_cursor of list_users_page with the same order. Permission: user:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

-- sql/functions/user_sessions.sql
-- Other users' sessions.

create function auth.list_user_sessions(user_id uuid)
    returns table (id uuid, user_id uuid, created_at timestamptz, updated_at timestamptz, expires_at timestamptz, ip_address text, user_agent text, impersonated_by uuid, current boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'list_user_sessions_wrapper';
comment on function auth.list_user_sessions(uuid) is 'A user''s live sessions, newest first, impersonations included (Better Auth''s listUserSessions).
Permission: session:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND.';

create function auth.revoke_user_session(session_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_user_session_wrapper';
comment on function auth.revoke_user_session(uuid) is 'Ends a session; false when there is none (Better Auth''s revokeUserSession, by id).
Permission: session:revoke. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.revoke_user_sessions(user_id uuid)
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_user_sessions_wrapper';
comment on function auth.revoke_user_sessions(uuid) is 'Ends all of a user''s sessions; returns how many were live (Better Auth''s revokeUserSessions).
Permission: session:revoke. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

-- sql/functions/bans.sql
-- Bans.

create function auth.ban_user(user_id uuid, ban_reason text default null, ban_expires_in interval default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'ban_user_wrapper';
comment on function auth.ban_user(uuid, text, interval) is 'Bans a user, ends all of their sessions and every impersonation they run, and returns the user (Better Auth''s banUser).
It is felt at the user''s next statement. ban_reason: at most 1,000 characters, by default auth.default_ban_reason. ban_expires_in: by default for ever; a number over JSON is seconds. A new ban replaces the old one. Permission: user:ban. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, YOU_CANNOT_BAN_YOURSELF, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, LAST_ADMIN, READ_ONLY.';

create function auth.unban_user(user_id uuid)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'unban_user_wrapper';
comment on function auth.unban_user(uuid) is 'Lifts a ban and returns the user (Better Auth''s unbanUser); ended sessions stay ended.
Permission: user:ban. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

-- sql/functions/impersonation.sql
-- Impersonation: an administrator sees what a user sees, and the record shows both.

create function auth.impersonate_user(user_id uuid, duration interval default '1 hour')
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'impersonate_user_wrapper';
comment on function auth.impersonate_user(uuid, interval) is 'Opens a session of another user, run by the caller: {user, session, token, access_token} (Better Auth''s impersonateUser).
duration: at most 1 hour, never extended. It ends with the caller''s own session and when the caller loses the right. While it is in use no password, email, ban, role, delete or impersonation call is possible. Permission: user:impersonate; for a target who holds a built-in permission user:impersonate-admins. Errors: NOT_SIGNED_IN (also for a database role: there must be a person), INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, USER_NOT_FOUND, YOU_CANNOT_IMPERSONATE_ADMINS, TARGET_OUTRANKS_YOU, BANNED_USER, READ_ONLY.';

create function auth.stop_impersonating()
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'stop_impersonating_wrapper';
comment on function auth.stop_impersonating() is 'Ends the impersonation in use and makes the real person the caller again: {user, session} of that person (Better Auth''s stopImpersonating).
Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_IMPERSONATING, READ_ONLY.';

-- sql/functions/user_roles.sql
-- Application roles and who holds them.

create function auth.set_user_roles(user_id uuid, roles text[])
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_user_roles_wrapper';
comment on function auth.set_user_roles(uuid, text[]) is 'Replaces a user''s application roles and returns the user (Better Auth''s setRole). Felt at the user''s next statement.
roles: not empty, every one must exist. Permission: user:set-role; nobody grants what they lack. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ROLE, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, LAST_ADMIN, READ_ONLY.';

create function auth.define_user_role(name text, permissions text[], description text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'define_user_role_wrapper';
comment on function auth.define_user_role(text, text[], text) is 'Creates an application role or replaces its permissions: {name, description, built_in, permissions, created_at, updated_at}.
name: [a-z][a-z0-9_-]{0,62}. permissions: built-in ones and the application''s own, resource:action of the same letters; may be empty. Permission: role:define; nobody defines a role beyond their own rights. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, PROTECTED_ROLE (admin, user), TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.drop_user_role(name text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'drop_user_role_wrapper';
comment on function auth.drop_user_role(text) is 'Drops an application role that nobody holds.
Permission: role:define. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, PROTECTED_ROLE, ROLE_NOT_FOUND, TARGET_OUTRANKS_YOU, ROLE_IN_USE, READ_ONLY.';

create function auth.list_user_roles()
    returns table (name text, description text, built_in boolean, permissions text[], created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 20
    as 'MODULE_PATHNAME', 'list_user_roles_wrapper';
comment on function auth.list_user_roles() is 'The application roles with their permissions, by name. Permission: role:list.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

-- sql/functions/audit.sql
-- The audit log.

create function auth.list_audit_log(user_id uuid default null, action text default null, since timestamptz default null, page_size integer default 100, after_cursor text default null)
    returns table (id bigint, occurred_at timestamptz, action text, actor_id uuid, impersonator_id uuid, session_id uuid, database_role text, user_id uuid, ip_address text, user_agent text, details jsonb)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_audit_log_wrapper';
comment on function auth.list_audit_log(uuid, text, timestamptz, integer, text) is 'A page of the audit log, newest first.
user_id: done to that user. action: the name of the function. since: not before. page_size: 1 to 1000. after_cursor: the id of the last line of the page before. Permission: audit:read. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

-- sql/functions/database_roles.sql
-- Database roles. These belong to auth_role_manager, the only role of ours with CREATEROLE, and nothing else does.

create function auth.create_role(role_name text, can_login boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'create_role_wrapper';
comment on function auth.create_role(text, boolean) is 'Creates a database role: {"role": {name, protected, can_login, created_at, updated_at, password}} (Neon''s createProjectBranchRole).
role_name: 1 to 63 octets, no reserved name (pg_*, auth_*, public, none, anon, authenticated). The password is made here, at least 128 random bits in unambiguous letters and digits; it is shown this once and stored as SCRAM-SHA-256. can_login: without login there is no password. ROLLBACK undoes it. Permission: database-role:create. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_ALREADY_EXISTS, READ_ONLY.';

create function auth.list_roles()
    returns table (name text, protected boolean, can_login boolean, created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'list_roles_wrapper';
comment on function auth.list_roles() is 'The database roles that are made here, and those protected, by name; never a password (Neon''s listProjectBranchRoles).
Permission: database-role:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

create function auth.get_role(role_name text)
    returns jsonb
    language c stable parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_role_wrapper';
comment on function auth.get_role(text) is 'One of these database roles: {"role": {name, protected, can_login, created_at, updated_at}} (Neon''s getProjectBranchRole).
Permission: database-role:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND.';

create function auth.reset_role_password(role_name text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_role_password_wrapper';
comment on function auth.reset_role_password(text) is 'Gives a database role a new password: {"role": {…, password}} (Neon''s resetProjectBranchRolePassword).
The old password stops working when the transaction commits; ROLLBACK undoes it. updated_at moves, created_at does not. Permission: database-role:reset-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND, PROTECTED_ROLE (also a role that was not made here), READ_ONLY.';

create function auth.set_role_verifier(role_name text, verifier text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_role_verifier_wrapper';
comment on function auth.set_role_verifier(text, text) is 'Sets the SCRAM-SHA-256 verifier of a database role, for clients that compute it themselves (psql''s \password, PQencryptPasswordConn).
verifier: SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, at least 4096 iterations (RFC 7677); anything else would be a password in the clear. Permission: database-role:reset-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND, PROTECTED_ROLE, READ_ONLY.';

create function auth.delete_role(role_name text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'delete_role_wrapper';
comment on function auth.delete_role(text) is 'Deletes a database role: {"role": …}, or null when there is none (Neon''s deleteProjectBranchRole).
Its privileges in this database are revoked. A role that owns anything, holds privileges in another database or is connected is not deleted: ROLE_OWNS_OBJECTS, whose DETAIL lists it, database by database. Permission: database-role:delete. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, PROTECTED_ROLE (also a role that was not made here), ROLE_OWNS_OBJECTS, READ_ONLY.';

create function auth.protect_role(role_name text, protected boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'protect_role_wrapper';
comment on function auth.protect_role(text, boolean) is 'Protects a database role, or takes the protection away: {"role": …}. A protected role cannot be reset or deleted here.
Roles that were not made here can be protected too, and are then listed. Permission: database-role:protect. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND, READ_ONLY.';

-- sql/functions/gateway.sql
-- Behind PostgREST: who makes a request, and the keys that access tokens are signed with.

-- SECURITY INVOKER: a function of another owner cannot change the role. What it looks up, it looks up as auth_door.
create function auth.pre_request() returns void
    language c volatile parallel unsafe security invoker set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'pre_request_wrapper';
comment on function auth.pre_request() is 'Makes the user whom a request shows the caller for its transaction, with the role authenticated: PostgREST''s db-pre-request.
In this order: an access token in Authorization (its signature, claims, session and user are all checked here once more), a session''s token in the header X-Session-Token, or in the cookie "session" (only from the server''s own origin or one of auth.trusted_origins, RFC 6454; a request that writes must name its origin). A request that shows nothing goes on as anonymous; what it shows must be good, or it is refused, and a dead cookie is cleared. Only on connections of auth.trusted_gateways, elsewhere it does nothing. Works in read-only transactions and on a standby. Errors: INVALID_SESSION; PERMISSION_DENIED: origin for a cookie from elsewhere, PERMISSION_DENIED: pre_request for a second user in one transaction.';

create function auth.jwks() returns jsonb
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'jwks_wrapper';
comment on function auth.jwks() is 'The public keys that access tokens are verified with, as a JSON Web Key Set (RFC 7517, RFC 8037).
The newest signs; one that was replaced stays until its last token has expired.';

create function auth.postgrest_config() returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'postgrest_config_wrapper';
comment on function auth.postgrest_config() is 'Tells PostgREST the keys of auth.jwks(): its db-pre-config.
So no secret is shared with it, and a new key is picked up with NOTIFY pgrst, ''reload config'', which rotate_signing_key() sends. Permission: the gateway''s login role, by GRANT EXECUTE.';

create function auth.rotate_signing_key() returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'rotate_signing_key_wrapper';
comment on function auth.rotate_signing_key() is 'Makes a new key that signs access tokens from now on: {"kid": …}.
The old one verifies until its last token has expired: auth.access_token_lifetime and a minute. PostgREST is told at commit and takes about a second to follow. Permission: settings:update. Errors: READ_ONLY, NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED.';

create function auth_private.new_signing_key() returns table (kid text, public_key bytea, private_key bytea)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp rows 1
    as 'MODULE_PATHNAME', 'new_signing_key_wrapper';
comment on function auth_private.new_signing_key() is 'A new pair of keys, for the installation, where nobody has a permission yet.';

-- sql/functions/email.sql
-- Proving an address, and changing it.

create function auth.send_verification_email(email text default null)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'send_verification_email_wrapper';
comment on function auth.send_verification_email(text) is 'Queues a mail with a token for verify_email (Better Auth''s sendVerificationEmail).
email: by default the caller''s own address. It never tells whether the address is somebody''s or is verified already: nothing is then sent, in equal time. Nor is it within auth.message_interval of the last one, whose token lives on; otherwise an earlier token dies. Permission: none. Errors: MISSING_ARGUMENT (anonymous callers), INVALID_EMAIL, INVALID_SESSION, NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.verify_email(token text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'verify_email_wrapper';
comment on function auth.verify_email(text) is 'Completes a sign-up''s verification or a change of email, and returns the user (Better Auth''s verifyEmail).
token: from the mail; good once, until auth.verification_token_lifetime after it was sent. Sets email_verified. After a change of email the old address is told, and every other token of the user dies. Where somebody else signed up for the address before it was proved, no password, account or session from before stays: request_password_reset leads in. Permission: none but the token. Errors: MISSING_ARGUMENT, INVALID_TOKEN (unknown, used, superseded and expired alike), USER_ALREADY_EXISTS (the new address has been taken meanwhile), NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.change_email(new_email text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'change_email_wrapper';
comment on function auth.change_email(text) is 'Asks for another address: a token for verify_email goes to the new one, and the old one is told (Better Auth''s changeEmail).
Nothing changes until verify_email. An address that is somebody else''s gets the same answer in equal time, and its owner a mail that says so. Needs a fresh session (auth.session_fresh_age). Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT (it is the address already), READ_ONLY.';

-- sql/functions/accounts.sql
-- Accounts: the ways a user has to sign in, and those of identity providers above all.

create function auth.sign_in_with_provider(provider text, provider_user_id text, email text default null, email_verified boolean default false, name text default '', create_user boolean default true, ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_in_with_provider_wrapper';
comment on function auth.sign_in_with_provider(text, text, text, boolean, text, boolean, text, text) is 'Opens a session for whom an identity provider vouches for: {user, session, token, access_token} (Better Auth''s and Supabase''s social sign-in, after the exchange with the provider).
provider: its name, as "github"; provider_user_id: its own, unchanging id of the user. email, name: what the provider says; email_verified: whether it says that the address is proved. An account that is linked signs in. Otherwise a user with that address is linked, but only if both the provider and we know it to be verified: else whoever registers first with somebody''s address could read along. Otherwise a user is created, unless create_user is false. Answers: BANNED_USER, EMAIL_NOT_VERIFIED. Permission: auth_admin, without a session: the back end that spoke to the provider. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT, ACCOUNT_NOT_FOUND, USER_ALREADY_EXISTS, SIGN_UP_DISABLED, READ_ONLY.';

create function auth.get_user_by_provider_id(provider text, provider_user_id text)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_by_provider_id_wrapper';
comment on function auth.get_user_by_provider_id(text, text) is 'The user of an account (Lucia''s getUserByProviderId).
Both parts are compared exactly. Permission: user:get, or one''s own account. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, ACCOUNT_NOT_FOUND.';

create function auth.update_user_provider_id(user_id uuid, provider text, provider_user_id text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_provider_id_wrapper';
comment on function auth.update_user_provider_id(uuid, text, text) is 'Gives a user''s account of a provider another identifier, or adds one, and returns the user (Lucia''s updateUserProviderId).
Of several accounts of that provider the oldest. Sessions stay. Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (empty, too long, or the provider "credential"), USER_NOT_FOUND, ACCOUNT_ALREADY_LINKED, READ_ONLY.';

create function auth.list_accounts(user_id uuid default null)
    returns table (id uuid, user_id uuid, provider text, provider_user_id text, created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 3
    as 'MODULE_PATHNAME', 'list_accounts_wrapper';
comment on function auth.list_accounts(uuid) is 'A user''s accounts, oldest first (Better Auth''s listAccounts).
user_id: by default the caller. A password is the account "credential". Permission: user:get, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT (a database role), USER_NOT_FOUND.';

create function auth.link_account(user_id uuid, provider text, provider_user_id text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'link_account_wrapper';
comment on function auth.link_account(uuid, text, text) is 'Gives a user one more way to sign in, and returns the account (Better Auth''s linkSocial, after the exchange with the provider).
Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (empty, too long, or the provider "credential"), USER_NOT_FOUND, ACCOUNT_ALREADY_LINKED, READ_ONLY.';

create function auth.unlink_account(account_id uuid)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'unlink_account_wrapper';
comment on function auth.unlink_account(uuid) is 'Takes one of the caller''s own ways to sign in away, but never the last (Better Auth''s unlinkAccount).
The account "credential" goes with the password. Needs a fresh session (auth.session_fresh_age); auth_admin without a session may do it for any user. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, ACCOUNT_NOT_FOUND (somebody else''s included), FAILED_TO_UNLINK_LAST_ACCOUNT, READ_ONLY.';

-- sql/functions/messages.sql
-- The mail queue. examples/mailer empties it.

create function auth.claim_messages(max_messages integer default 10)
    returns table (id uuid, kind text, recipient text, token text, payload jsonb, created_at timestamptz)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'claim_messages_wrapper';
comment on function auth.claim_messages(integer) is 'Takes messages that are due, oldest first, and hides them from other workers for auth.message_lease.
kind: verify-email, change-email (to the new address), email-changed (to the old one), reset-password, password-changed. token: minted at this moment, kept by us only as a hash, good once; null where the kind has none. payload: user_id, expires_at of the token, and what the kind needs. max_messages: 1 to 1000. Then complete_message or fail_message; whoever does neither sees the message again, with another token. LISTEN auth_messages tells when there is something. Permission: auth_mailer. Errors: INVALID_ARGUMENT, READ_ONLY.';

create function auth.complete_message(id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'complete_message_wrapper';
comment on function auth.complete_message(uuid) is 'Notes that a claimed message was sent; false when it waits no more.
Permission: auth_mailer. Errors: MISSING_ARGUMENT, READ_ONLY.';

create function auth.fail_message(id uuid, error text)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'fail_message_wrapper';
comment on function auth.fail_message(uuid, text) is 'Notes that a claimed message could not be sent; false when it waits no more.
It is due again after 30 s, doubling with each attempt up to an hour; after 10 attempts it is parked: see list_messages. error: why, without the token; cut at 1,000 characters. Permission: auth_mailer. Errors: MISSING_ARGUMENT, READ_ONLY.';

create function auth.list_messages(page_size integer default 100)
    returns table (id uuid, kind text, recipient text, created_at timestamptz, attempts integer, last_error text, next_attempt_at timestamptz, parked boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_messages_wrapper';
comment on function auth.list_messages(integer) is 'The mail that waits, parked messages first, then by when they are due.
next_attempt_at: null for parked ones, which wait for retry_message. page_size: 1 to 1000. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

create function auth.retry_message(id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'retry_message_wrapper';
comment on function auth.retry_message(uuid) is 'Makes a message that waits or is parked due at once, with all its attempts; false when there is none.
Permission: settings:update. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, READ_ONLY.';

-- sql/functions/imports.sql
-- Moving in.

create function auth.import_users(users jsonb)
    returns table (email text, status text, user_id uuid)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 1000
    as 'MODULE_PATHNAME', 'import_users_wrapper';
comment on function auth.import_users(jsonb) is 'Creates users who bring their password hashes along; one row for each, in the same order.
users: an array of {email, name, image, password_hash, email_verified, roles, attributes, accounts: [{provider, provider_user_id}], created_at, id}; email is required, id is for uuids that other tables refer to. password_hash: argon2 (i, d, id), bcrypt (2a, 2b, 2y), scrypt (Better Auth, Lucia, PHC), pbkdf2 (PHC, passlib, Django), $fbscrypt$ (Firebase), of bounded cost; the next sign-in hashes anew. status: created, exists (somebody has the address; nothing changes) or an error code. One bad row does not stop the others. Some thousands a call are a good number; docs/import.md has the queries. Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (no array), READ_ONLY.';

-- sql/functions/housekeeping.sql
-- Housekeeping.

create function auth.purge_expired(max_rows integer default 1000)
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'purge_expired_wrapper';
comment on function auth.purge_expired(integer) is 'Deletes what is over: expired sessions and tokens, mail that was sent, old failed attempts, what is left of users who are gone; returns how many rows.
max_rows: 1 to 100000, of each kind. Call it until it returns 0, each call in a transaction of its own; it waits for nobody. The audit log stays. Permission: settings:update. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, INVALID_ARGUMENT, READ_ONLY.';

create function auth.check_deployment()
    returns table (item text, severity text, finding text, advice text)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'check_deployment_wrapper';
comment on function auth.check_deployment() is 'What the DBA of this server should change, as this connection sees its settings; no rows where nothing was found.
item: a setting, a file or a kind of role. severity: high, medium or low. Logs that would keep passwords, pg_hba.conf without TLS (seen by superusers), no preloading, schemas that everybody can create in, gateways with too much power, publications of everything, weak settings, mail that nobody sends. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

create function auth.verify_install()
    returns table (object text, problem text)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'verify_install_wrapper';
comment on function auth.verify_install() is 'What of the installation is not as this version of pg_auth has made it; no rows where nobody has touched it.
Compares owners, grants, columns, functions and their settings, row-level security, policies, triggers, constraints, unique indexes and roles with a list that is compiled into the library. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

-- sql/grants.sql
-- Who may do what, on one page.

-- An installer's ALTER DEFAULT PRIVILEGES (hosting platforms have them) would leave every table readable by "anon", and
-- PostgreSQL itself gives EXECUTE on functions to PUBLIC. So first everything goes to auth_owner and from everybody else.
do $strip$
declare
    thing record;
begin
    for thing in
        select case when c.relkind operator(pg_catalog.=) 'S' then 'sequence' when c.relkind operator(pg_catalog.=) 'v' then 'view' else 'table' end as kind,
               pg_catalog.format('%I.%I', n.nspname, c.relname) as name, c.relacl as acl, c.relowner as owner, c.relkind::text
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
         where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}') and c.relkind operator(pg_catalog.=) any ('{r,v,S}')
        union all
        select 'function', p.oid::regprocedure::text, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), p.proowner, 'f'
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}')
        union all
        select 'schema', n.nspname, n.nspacl, n.nspowner, 'n'
          from pg_catalog.pg_namespace n where n.nspname operator(pg_catalog.=) any ('{auth,auth_private}')
         order by 5 -- tables before the sequences that follow their owner
    loop
        execute pg_catalog.format('revoke all on %s %s from public', case when thing.kind operator(pg_catalog.=) 'view' then 'table' else thing.kind end, thing.name);
        declare
            grantee record;
        begin
            for grantee in
                select distinct pg_catalog.quote_ident(r.rolname) as name
                  from pg_catalog.aclexplode(thing.acl) a join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) a.grantee
                 where a.grantee operator(pg_catalog.<>) thing.owner
            loop
                execute pg_catalog.format('revoke all on %s %s from %s cascade', case when thing.kind operator(pg_catalog.=) 'view' then 'table' else thing.kind end, thing.name, grantee.name);
            end loop;
        end;
        if thing.kind operator(pg_catalog.<>) 'sequence' then
            execute pg_catalog.format('alter %s %s owner to auth_owner', thing.kind, thing.name);
        end if;
    end loop;
end
$strip$;

-- The doors.
grant create on schema auth, auth_private to auth_door, auth_role_manager;
do $doors$
declare
    door text;
begin
    for door in
        select p.oid::regprocedure::text
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where p.prosecdef
           and ((n.nspname operator(pg_catalog.=) 'auth_private')
             or (n.nspname operator(pg_catalog.=) 'auth'
                 and p.proname operator(pg_catalog.=) any ('{uid,session_id,actor_id,current_user_roles,has_permission,has_permissions,use_session,jwks,postgrest_config}')))
    loop
        execute pg_catalog.format('alter function %s owner to auth_door', door);
        execute pg_catalog.format('grant execute on function %s to auth_owner', door);
    end loop;
end
$doors$;
do $managers$
declare
    manager text;
begin
    for manager in
        select p.oid::regprocedure::text
          from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
         where n.nspname operator(pg_catalog.=) 'auth'
           and p.proname operator(pg_catalog.=) any ('{create_role,list_roles,get_role,reset_role_password,set_role_verifier,delete_role,protect_role}')
    loop
        execute pg_catalog.format('alter function %s owner to auth_role_manager', manager);
    end loop;
end
$managers$;
alter view auth_private.users_rendered owner to auth_door;
alter view auth_private.user_directory owner to auth_door;
alter view auth_private.live_sessions owner to auth_door;
revoke create on schema auth, auth_private from auth_door, auth_role_manager;

grant usage on schema auth to anon, authenticated, auth_admin, auth_mailer, auth_door, auth_eraser, auth_role_manager;
grant usage on schema auth_private to auth_door, auth_eraser, auth_role_manager;

-- What auth_door needs and no more: it can delete no user, make no ban and read no audit log.
grant select, insert on auth.users, auth.user_roles, auth.accounts to auth_door;
grant update (last_sign_in_at, email, email_verified, updated_at) on auth.users to auth_door;
grant update (updated_at), delete on auth.accounts to auth_door;
grant select, insert, update on auth.sessions, auth_private.session_keys, auth_private.session_epochs to auth_door;
grant delete on auth.sessions, auth.bans, auth_private.session_epochs to auth_door;
grant update (created_at) on auth.bans to auth_door; -- to lock rows
grant update (address) on auth_private.rival_sign_ups to auth_door; -- to lock rows
grant update (failed_at) on auth_private.failed_attempts to auth_door; -- to lock rows
grant select, insert, update, delete on auth_private.passwords, auth_private.messages, auth_private.one_time_tokens to auth_door;
grant select, insert, delete on auth_private.rival_sign_ups to auth_door;
grant select, update on auth_private.admin_guard to auth_door;
grant select on auth.bans, auth.roles, auth.role_permissions to auth_door;
grant update (updated_at) on auth.roles to auth_door; -- to lock a row
grant select, insert, delete on auth_private.failed_attempts to auth_door;
grant insert on auth.audit_log to auth_door;
grant select on auth_private.signing_keys, auth_private.signing_secrets to auth_door;
grant select on auth_private.user_directory, auth_private.live_sessions to auth_owner;

-- What auth_eraser needs: code of strangers runs as it.
grant select (id), delete on auth.users to auth_eraser;
grant execute on function auth_private.erasing, auth_private.erase_user to auth_eraser;

-- What auth_role_manager needs: it knows its roles, who is calling, and how to say so.
grant select, insert, update, delete on auth_private.managed_roles to auth_role_manager;
grant execute on function auth_private.resolve_identity, auth_private.holds_any, auth_private.append_audit, auth.has_permission to auth_role_manager;

-- Tables, under row-level security; no column of theirs is secret, and nobody but pg_auth writes.
grant select on auth.users, auth.accounts, auth.sessions, auth.user_roles, auth.bans, auth.roles, auth.role_permissions, auth.audit_log to authenticated;
grant references (id) on auth.users to authenticated;

-- auth.postgrest_config is for a gateway's login role, which the application grants it to.

-- Functions for callers without identity…
grant execute on function
    auth.sign_up, auth.sign_in, auth.refresh_session, auth.use_session, auth.reset_session, auth.get_session,
    auth.uid, auth.session_id, auth.actor_id, auth.current_user_roles, auth.has_permission,
    auth.request_password_reset, auth.reset_password, auth.send_verification_email, auth.verify_email,
    auth.pre_request, auth.jwks
    to anon, authenticated;

-- … and for callers with one, where the function decides.
grant execute on function
    auth.has_permissions, auth.sign_out, auth.list_sessions, auth.revoke_session, auth.revoke_sessions, auth.revoke_other_sessions,
    auth.get_user, auth.get_user_by_email, auth.create_user, auth.update_user, auth.update_user_attributes, auth.delete_user,
    auth.list_users, auth.list_users_page,
    auth.change_password, auth.verify_password, auth.set_password, auth.set_user_password,
    auth.ban_user, auth.unban_user, auth.list_user_sessions, auth.revoke_user_session, auth.revoke_user_sessions,
    auth.impersonate_user, auth.stop_impersonating,
    auth.create_role, auth.list_roles, auth.get_role, auth.reset_role_password, auth.set_role_verifier, auth.delete_role, auth.protect_role,
    auth.set_user_roles, auth.define_user_role, auth.drop_user_role, auth.list_user_roles, auth.list_audit_log,
    auth.rotate_signing_key,
    auth.change_email, auth.list_accounts, auth.link_account, auth.unlink_account, auth.sign_in_with_provider,
    auth.get_user_by_provider_id, auth.update_user_provider_id, auth.import_users, auth.list_messages, auth.retry_message,
    auth.purge_expired, auth.check_deployment, auth.verify_install
    to authenticated;

-- The mailer sees tokens: it gets these three functions, and nobody else gets them.
grant execute on function auth.claim_messages, auth.complete_message, auth.fail_message to auth_mailer;

-- sql/finish.sql
-- The first key.
with pair as (select p.kid, p.public_key, p.private_key from auth_private.new_signing_key() p),
     key as (insert into auth_private.signing_keys (kid, public_key) select p.kid, p.public_key from pair p)
insert into auth_private.signing_secrets (kid, private_key) select p.kid, p.private_key from pair p;

-- A PostgREST that is running learns of the functions and of the key.
notify pgrst, 'reload schema';
notify pgrst, 'reload config';
