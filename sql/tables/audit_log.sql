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
comment on table auth.audit_log is 'Append-only record of every change and every sign-in. A user reads what was done to them, holders of audit:read all; nobody changes it.';
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
    using (user_id = (select auth.uid()) or (select auth.has_permission('audit:read')));
create policy audit_log_owner_select on auth.audit_log for select to auth_owner
    using ((select auth.has_permission('audit:read')));
create policy audit_log_door on auth.audit_log for insert to auth_door with check (true);

-- Policies do not bind superusers, and TRUNCATE asks no policy: without this trigger a slip of a DBA, or an
-- attacker who got that far, rewrites history in silence. Disabling it is a visible, deliberate act.
create function auth_private.refuse_change_of_audit_log() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only',
        hint = 'To archive lines, a superuser disables the trigger audit_log_append_only in the transaction that deletes them.';
end
$$;
comment on function auth_private.refuse_change_of_audit_log() is 'Trigger: the audit log is append-only, for superusers too.';
create trigger audit_log_append_only before update or delete or truncate on auth.audit_log
    for each statement execute function auth_private.refuse_change_of_audit_log();

select pg_catalog.pg_extension_config_dump('auth.audit_log', '');
select pg_catalog.pg_extension_config_dump('auth.audit_log_id_seq', '');
