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
create index bans_expires_at_idx on auth.bans (expires_at) where expires_at is not null;

alter table auth.bans enable row level security;
alter table auth.bans force row level security;
create policy bans_client_select on auth.bans for select to authenticated
    using (user_id = (select auth.uid()) or (select auth.has_permission('user:list')) or (select auth.has_permission('user:get')));
create policy bans_owner_select on auth.bans for select to auth_owner
    using ((select auth_private.holds_any('user:')) or user_id = (select auth.uid()));
create policy bans_insert on auth.bans for insert to auth_owner
    with check (auth_private.holds_over('user:ban', user_id));
create policy bans_update on auth.bans for update to auth_owner
    using (auth_private.holds_over('user:ban', user_id));
create policy bans_delete on auth.bans for delete to auth_owner
    using (auth_private.holds_over('user:ban', user_id));
create policy bans_door on auth.bans for select to auth_door using (true);
create policy bans_door_update on auth.bans for update to auth_door using (true); -- to lock rows
create policy bans_door_delete on auth.bans for delete to auth_door using (true);

select pg_catalog.pg_extension_config_dump('auth.bans', '');
