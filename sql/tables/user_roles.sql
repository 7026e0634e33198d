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
                or (auth_private.holds_over('user:set-role', user_id) and auth_private.dominates_roles(array[role])));
create policy user_roles_delete on auth.user_roles for delete to auth_owner
    using (auth_private.holds_over('user:set-role', user_id));
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
