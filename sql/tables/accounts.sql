-- accounts: the ways a user has to sign in. A password is the account "credential" whose provider_user_id is the user's id,
-- so a change of email never touches it; the hash itself lies in auth_private.passwords.
create table auth.accounts (
    id               uuid not null default auth_private.new_id() constraint accounts_pkey primary key,
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
                      or auth_private.holds_over('user:set-password', user_id)))
                or (select auth_private.is_back_end()));
create policy accounts_update on auth.accounts for update to auth_owner
    using ((provider = 'credential'
            and (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id)))
           or (select auth_private.is_back_end()));
create policy accounts_delete on auth.accounts for delete to auth_owner
    using (user_id = (select auth.uid())
           or (provider = 'credential' and auth_private.holds_over('user:set-password', user_id))
           or (select auth_private.is_back_end()));
create policy accounts_door on auth.accounts to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.accounts', '');
