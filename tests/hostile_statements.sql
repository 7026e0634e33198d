-- What would put code or data of others on what is ours, or take it from us. To the owner of the database each is refused.
create trigger t before insert on auth.users for each row execute function public.on_change()
create constraint trigger t after update on auth.sessions for each row execute function public.on_change()
create or replace trigger audit_log_append_only before update on auth.audit_log for each statement execute function public.on_change()
alter table auth.audit_log disable trigger all
create event trigger e on ddl_command_end execute function public.on_ddl()
create rule r as on insert to auth.users do also select public.bark('rule')
create policy p on auth.users using (public.bark('policy'))
alter policy users_client_select on auth.users using (true)
create index on auth.users ((public.bark(name)))
create statistics s on name, email from auth.users
alter table auth.users add check (public.bark('check'))
alter table auth.users add column c boolean default public.bark('default')
alter table auth.users alter name set default 'x'
alter table public.mine inherit auth.users
create table public.child () inherits (auth.users)
create table public.child (like auth.users, foreign key (id) references auth.users)
alter table public.mine add foreign key (id) references auth.users
alter table auth.users no force row level security
alter table auth.users owner to app
alter table auth.users replica identity full
create view auth.v as select 1
create function auth.lower(text) returns text language sql as 'select null'
create or replace function auth.uid() returns uuid language sql as 'select null::uuid'
create operator auth.= (leftarg = text, rightarg = text, function = public.trap_98)
create type auth.t as enum ()
alter function auth.uid() reset all
alter function auth.uid() security invoker
alter function auth.has_permission(text) leakproof
alter schema auth owner to app
alter schema auth_private rename to mine
alter default privileges for role auth_owner grant all on tables to app
alter extension pg_auth set schema public
alter extension pg_auth drop function auth.uid()
alter extension pg_auth add table public.mine
drop extension pg_auth cascade
drop schema auth cascade
drop owned by auth_owner
reassign owned by auth_owner to app
truncate auth.users cascade
do 'begin lock table auth.users in share mode; end'
create publication p for table auth.users
create operator class public.c default for type text using btree as operator 1 <, function 1 bttextcmp(text, text)
alter operator pg_catalog.= (uuid, uuid) set (restrict = none)
alter type pg_catalog.uuid set (storage = plain)
create transform for pg_catalog.uuid language sql (from sql with function public.trap_98(text, text))
set role auth_door
set session authorization auth_owner
alter role auth_owner set search_path = public
alter role all set search_path = public
alter role auth_owner in database {database} set search_path = public
alter database {database} set session_replication_role = replica
alter database {database} set session_preload_libraries = 'x'
alter database {database} set auth.trusted_gateways = 'app'
alter database {database} set auth.identity = 'x'
comment on function auth.uid() is 'mine'
