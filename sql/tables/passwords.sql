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
                or auth_private.holds_over('user:set-password', user_id));
create policy passwords_update on auth_private.passwords for update to auth_owner
    using (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id));
create policy passwords_delete on auth_private.passwords for delete to auth_owner
    using (user_id = (select auth.uid()) or auth_private.holds_over('user:set-password', user_id));
create policy passwords_door on auth_private.passwords to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth_private.passwords', '');
