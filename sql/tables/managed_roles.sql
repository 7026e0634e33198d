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
