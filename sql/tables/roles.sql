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
