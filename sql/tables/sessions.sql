-- sessions: what a user may see of a session. Whether it is good is decided by its key, the user's epoch and the clock together.
create table auth.sessions (
    id              uuid not null default auth_private.new_id() constraint sessions_pkey primary key,
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
    using (user_id = (select auth.uid()) or auth_private.holds_over('session:revoke', user_id));
create policy sessions_door on auth.sessions to auth_door using (true) with check (true);

-- session_keys: the SHA-256 of each token, and what makes its session good.
create table auth_private.session_keys (
    -- A stolen backup or replica holds no token, only this: 256 random bits cannot be found from their hash.
    token_hash        bytea not null,
    session_id        uuid not null constraint session_keys_session_id_key primary key
                      constraint session_keys_session_id_fkey references auth.sessions on delete cascade,
    epoch             bigint not null,
    authenticated_at  timestamptz not null default pg_catalog.clock_timestamp(),
    slides_until      timestamptz,
    parent_session_id uuid constraint session_keys_parent_session_id_fkey references auth.sessions on delete cascade,
    session_ctid      tid,
    constraint session_keys_token_hash_check check (pg_catalog.octet_length(token_hash) = 32)
);
comment on column auth_private.session_keys.epoch is 'The user''s epoch read before the password was checked; the session is good only while they are equal.';
comment on column auth_private.session_keys.slides_until is 'refresh_session never moves the expiry past this moment; null where there is no limit.';
comment on column auth_private.session_keys.parent_session_id is 'Of an impersonation: the session of the person who runs it. It ends with that session.';
comment on column auth_private.session_keys.session_ctid is 'Where the session''s row lay when it was written. A hint: what lies there is believed only if it is that session; else the index is asked.';
-- Finds a token sooner than a B-tree, and is a third of its size. It has 32 bits of the hash: whoever reads through it compares the rest.
create index session_keys_token_hash_idx on auth_private.session_keys using hash (token_hash);
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
    using ((select auth_private.holds_any('user:')) or (select auth_private.holds_any('session:')) or user_id = (select auth.uid()));
create policy session_epochs_insert on auth_private.session_epochs for insert to auth_owner
    with check ((not administrative and user_id = (select auth.uid()))
                or (administrative and (auth_private.holds_over('user:ban', user_id) or auth_private.holds_over('user:set-password', user_id)
                                        or auth_private.holds_over('session:revoke', user_id))));
create policy session_epochs_update on auth_private.session_epochs for update to auth_owner
    using ((not administrative and user_id = (select auth.uid()))
           or (administrative and (auth_private.holds_over('user:ban', user_id) or auth_private.holds_over('user:set-password', user_id)
                                   or auth_private.holds_over('session:revoke', user_id))));
create policy session_epochs_door on auth_private.session_epochs to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.sessions', '');
select pg_catalog.pg_extension_config_dump('auth_private.session_keys', '');
select pg_catalog.pg_extension_config_dump('auth_private.session_epochs', '');
