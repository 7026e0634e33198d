-- messages: mail that is to be sent. No foreign key to users: it would let whoever asks for somebody's mail in an open transaction
-- lock that user's row. A message to a user who is gone is dropped when it is claimed.
create table auth_private.messages (
    id           uuid not null default pg_catalog.gen_random_uuid() constraint messages_pkey primary key,
    kind         text collate "C" not null,
    user_id      uuid,
    epoch        bigint,
    recipient    text collate "C",
    token_purpose text collate "C",
    payload      jsonb not null default '{}',
    subject      bytea not null,
    created_at   timestamptz not null default pg_catalog.clock_timestamp(),
    due_at       timestamptz not null default pg_catalog.clock_timestamp(),
    attempts     integer not null default 0,
    last_error   text,
    completed_at timestamptz,
    parked_at    timestamptz,
    constraint messages_kind_check          check (kind in ('verify-email', 'change-email', 'email-changed', 'reset-password', 'password-changed')),
    constraint messages_token_purpose_check check (token_purpose in ('verify-email', 'change-email', 'reset-password')),
    constraint messages_recipient_check     check ((recipient is null) = (user_id is null)),
    constraint messages_last_error_check    check (pg_catalog.char_length(last_error) <= 1000)
);
comment on table auth_private.messages is 'The mail queue. A row without a recipient is nobody''s: it was written so that a request for an unknown address takes as long as one for a known.';
comment on column auth_private.messages.epoch is 'The user''s when it was queued: a token to change the address dies with the sessions from which one may have been stolen.';
comment on column auth_private.messages.token_purpose is 'What the token is for that claim_messages mints; null where the message carries none.';
comment on column auth_private.messages.subject is 'SHA-256 of kind and address, by which requests are counted, known address or not.';
comment on column auth_private.messages.due_at is 'Not before this moment; while a worker holds the message, the end of its lease.';
create index messages_due_at_idx on auth_private.messages (due_at) where completed_at is null and parked_at is null and user_id is not null;
create index messages_subject_idx on auth_private.messages (subject, created_at) where user_id is not null;
create index messages_user_id_idx on auth_private.messages (user_id, token_purpose, created_at) where user_id is not null;
create index messages_created_at_idx on auth_private.messages (created_at) where completed_at is not null or user_id is null;

alter table auth_private.messages enable row level security;
alter table auth_private.messages force row level security;
create policy messages_select on auth_private.messages for select to auth_owner 
    using ((select auth.has_permission('settings:get')) or (select auth.has_permission('settings:update')));
create policy messages_update on auth_private.messages for update to auth_owner using ((select auth.has_permission('settings:update')));
create policy messages_door on auth_private.messages to auth_door using (true) with check (true);

-- one_time_tokens: one live token for each user and purpose. In clear it is in the row that claim_messages returns, and in the mail.
create table auth_private.one_time_tokens (
    user_id      uuid not null constraint one_time_tokens_user_id_fkey references auth.users on delete cascade,
    purpose      text collate "C" not null,
    -- A stolen backup or replica holds no token, only this.
    token_hash   bytea not null constraint one_time_tokens_token_hash_key unique,
    -- The address that the token was sent to: with it, whoever has the token has proved to own it.
    address      text collate "C" not null,
    epoch        bigint not null,
    requested_at timestamptz not null,
    expires_at   timestamptz not null,
    constraint one_time_tokens_pkey             primary key (user_id, purpose),
    constraint one_time_tokens_token_hash_check check (pg_catalog.octet_length(token_hash) = 32)
);
comment on column auth_private.one_time_tokens.requested_at is 'When its message was queued: a message for the same purpose that was queued later has superseded it.';

create index one_time_tokens_expires_at_idx on auth_private.one_time_tokens (expires_at);

alter table auth_private.one_time_tokens enable row level security;
alter table auth_private.one_time_tokens force row level security;
create policy one_time_tokens_door on auth_private.one_time_tokens to auth_door using (true) with check (true);

-- rival_sign_ups: users who have not verified their address, and for whose address somebody has signed up again with another password.
create table auth_private.rival_sign_ups (
    id      uuid not null default pg_catalog.gen_random_uuid() constraint rival_sign_ups_pkey primary key,
    user_id uuid not null,
    address text collate "C" not null
);
comment on table auth_private.rival_sign_ups is 'When the address is verified, nobody knows whose password is the owner''s: none of them stays.';
create index rival_sign_ups_user_id_idx on auth_private.rival_sign_ups (user_id);

alter table auth_private.rival_sign_ups enable row level security;
alter table auth_private.rival_sign_ups force row level security;
create policy rival_sign_ups_door on auth_private.rival_sign_ups to auth_door using (true) with check (true);

select pg_catalog.pg_extension_config_dump('auth_private.messages', '');
select pg_catalog.pg_extension_config_dump('auth_private.one_time_tokens', '');
select pg_catalog.pg_extension_config_dump('auth_private.rival_sign_ups', '');
