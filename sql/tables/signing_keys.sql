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

-- signing_secrets: the private halves. A table of its own, because whoever replaces a key need not be able to read one: there is no policy
-- that lets any role do so.
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
