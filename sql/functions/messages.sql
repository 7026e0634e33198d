-- The mail queue. examples/mailer empties it.

create function auth.claim_messages(max_messages integer default 10)
    returns table (id uuid, kind text, recipient text, token text, payload jsonb, created_at timestamptz)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'claim_messages_wrapper';
comment on function auth.claim_messages(integer) is 'Takes messages that are due, oldest first, and hides them from other workers for auth.message_lease.
kind: verify-email, change-email (to the new address), email-changed (to the old one), reset-password, password-changed. token: minted at this moment, kept by us only as a hash, good once; null where the kind has none. payload: user_id, expires_at of the token, and what the kind needs. max_messages: 1 to 1000. Then complete_message or fail_message; whoever does neither sees the message again, with another token. LISTEN auth_messages tells when there is something. Permission: auth_mailer. Errors: INVALID_ARGUMENT, READ_ONLY.';

create function auth.complete_message(id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'complete_message_wrapper';
comment on function auth.complete_message(uuid) is 'Notes that a claimed message was sent; false when it waits no more.
Permission: auth_mailer. Errors: MISSING_ARGUMENT, READ_ONLY.';

create function auth.fail_message(id uuid, error text)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'fail_message_wrapper';
comment on function auth.fail_message(uuid, text) is 'Notes that a claimed message could not be sent; false when it waits no more.
It is due again after 30 s, doubling with each attempt up to an hour; after 10 attempts it is parked: see list_messages. error: why, without the token; cut at 1,000 characters. Permission: auth_mailer. Errors: MISSING_ARGUMENT, READ_ONLY.';

create function auth.list_messages(page_size integer default 100)
    returns table (id uuid, kind text, recipient text, created_at timestamptz, attempts integer, last_error text, next_attempt_at timestamptz, parked boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_messages_wrapper';
comment on function auth.list_messages(integer) is 'The mail that waits, parked messages first, then by when they are due.
next_attempt_at: null for parked ones, which wait for retry_message. page_size: 1 to 1000. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

create function auth.retry_message(id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'retry_message_wrapper';
comment on function auth.retry_message(uuid) is 'Makes a message that waits or is parked due at once, with all its attempts; false when there is none.
Permission: settings:update. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, READ_ONLY.';
