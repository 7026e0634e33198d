-- Passwords: a user's own, and those set by administrators.

create function auth.change_password(current_password text, new_password text, revoke_other_sessions boolean default false)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'change_password_wrapper';
comment on function auth.change_password(text, text, boolean) is 'Changes the caller''s password: {user, session, token} (Better Auth''s changePassword).
revoke_other_sessions: every session ends, the caller''s too, and token is that of a new one, for which refresh_session gives an access token; otherwise token is null and the sessions stay. Answer: INVALID_PASSWORD, returned so that the attempt stays on record. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, CREDENTIAL_ACCOUNT_NOT_FOUND, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.verify_password(password text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'verify_password_wrapper';
comment on function auth.verify_password(text) is 'Checks the caller''s password again and makes the session fresh: {}.
Answer: INVALID_PASSWORD, returned so that the attempt stays on record. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, MISSING_ARGUMENT, PASSWORD_TOO_LONG, CREDENTIAL_ACCOUNT_NOT_FOUND, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.set_password(new_password text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_password_wrapper';
comment on function auth.set_password(text) is 'Gives the caller, who has none, a password. Needs a fresh session (auth.session_fresh_age).
Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, PASSWORD_ALREADY_SET, READ_ONLY.';

create function auth.set_user_password(user_id uuid, new_password text, revoke_sessions boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_user_password_wrapper';
comment on function auth.set_user_password(uuid, text, boolean) is 'Sets a user''s password and returns the user (Better Auth''s setUserPassword, Lucia''s updateUserPassword).
new_password: null removes the password. revoke_sessions: ends all of the user''s sessions. Permission: user:set-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.request_password_reset(email text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'request_password_reset_wrapper';
comment on function auth.request_password_reset(text) is 'Queues a mail with a token for reset_password (Better Auth''s requestPasswordReset).
The same answer in equal time for any address. An earlier token dies; within auth.message_interval of the last mail nothing new is sent and the earlier token lives. Users without a password get one this way too. Permission: none. Errors: MISSING_ARGUMENT, INVALID_EMAIL, NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.reset_password(token text, new_password text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_password_wrapper';
comment on function auth.reset_password(text, text) is 'Sets the password of who got the token by mail, and returns the user (Better Auth''s resetPassword).
Every session ends and every other token of the user dies. token: good once, until auth.reset_token_lifetime after it was sent; a password that is refused does not use it up. It proves the address: where that was not verified before, it is now, and other accounts that somebody had linked meanwhile are removed. Permission: none but the token. Errors: MISSING_ARGUMENT, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, INVALID_TOKEN (unknown, used, superseded and expired alike), NOT_WHILE_IMPERSONATING, READ_ONLY.';
