-- users: one row a person. What they may do is in user_roles, whether they are banned in bans, how they prove who they are in accounts.
create table auth.users (
    id              uuid not null default auth_private.new_id() constraint users_pkey primary key,
    -- Canonical (NFC, ASCII lower case, domain as A-label), so equality is equality of octets: no collation of any
    -- operating system or locale can make two addresses one, or one two.
    email           text collate "C",
    email_verified  boolean not null default false,
    name            text not null default '',
    image           text,
    attributes      jsonb not null default '{}',
    created_at      timestamptz not null default pg_catalog.clock_timestamp(),
    updated_at      timestamptz not null default pg_catalog.clock_timestamp(),
    last_sign_in_at timestamptz,
    constraint users_email_check      check (pg_catalog.octet_length(email) between 3 and 254),
    constraint users_name_check       check (pg_catalog.char_length(name) <= 255),
    constraint users_image_check      check (pg_catalog.char_length(image) <= 2048),
    -- The last: what our reader of JSON would take for something else; see src/backend/json.rs.
    constraint users_attributes_check check (pg_catalog.jsonb_typeof(attributes) operator(pg_catalog.=) 'object' and pg_catalog.octet_length(attributes::text) <= 65536 and attributes::text not like '%$serde\_json::private::%')
);
comment on table auth.users is 'The users. A user reads the own row, holders of user:list or user:get read all; only the functions of schema auth write. Applications may reference auth.users(id).';
comment on column auth.users.email is 'Canonical: NFC, ASCII letters lower-cased, the domain as IDNA A-label. Mail always goes to this address.';
comment on column auth.users.attributes is 'The application''s own data about the user: a JSON object of at most 64 kB.';

-- An index with a condition is no key: a change of address then locks the row no more than one of the name does. Otherwise the
-- checks of foreign keys would wait for it, and with them whatever an administrator does to a user who holds such a change open.
create unique index users_email_key on auth.users (email) where email is not null;

-- One index for each order that list_users offers; the id makes every order total, so cursors neither skip nor repeat.
create index users_email_order_idx     on auth.users ((coalesce(email, ''::text)), id);
create index users_created_at_idx      on auth.users (created_at, id);
create index users_updated_at_idx      on auth.users (updated_at, id);
create index users_last_sign_in_at_idx on auth.users ((coalesce(last_sign_in_at, '-infinity'::timestamptz)), id);
create index users_name_idx            on auth.users (name, id);

do $trigram$
-- The operator class is looked up by oid: "gin_trgm_ops" by name alone could be somebody else's.
declare
    extension_schema pg_catalog.text;
begin
    select n.nspname into strict extension_schema
      from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) e.extnamespace
     where e.extname operator(pg_catalog.=) 'pg_trgm';
    execute pg_catalog.format('create index users_email_trgm_idx on auth.users using gin (email %I.gin_trgm_ops)', extension_schema);
    execute pg_catalog.format('create index users_name_trgm_idx on auth.users using gin (name %I.gin_trgm_ops)', extension_schema);
end
$trigram$;

alter table auth.users enable row level security;
alter table auth.users force row level security;
create policy users_client_select on auth.users for select to authenticated
    using (id = (select auth.uid()) or (select auth.has_permission('user:list')) or (select auth.has_permission('user:get')));
-- Our own functions must find the row that they act on: whoever holds any user:… permission is let this far, and each
-- act has a policy of its own. list_users does not come through here but through auth_private.user_directory.
create policy users_owner_select on auth.users for select to auth_owner
    using (id = (select auth.uid()) or (select auth_private.holds_any('user:')) or (select auth_private.holds_any('session:')));
create policy users_insert on auth.users for insert to auth_owner
    with check ((select auth.has_permission('user:create')));
create policy users_update on auth.users for update to auth_owner
    using (id = (select auth.uid()) or auth_private.holds_over('user:update', id));
-- Nobody else deletes, not even auth_owner; see auth_private.erase_user.
create policy users_eraser on auth.users to auth_eraser using (id = (select auth_private.erasing()));
create policy users_door on auth.users to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth.users', '');
