-- Impersonation: an administrator sees what a user sees, and the record shows both.

create function auth.impersonate_user(user_id uuid, duration interval default '1 hour')
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'impersonate_user_wrapper';
comment on function auth.impersonate_user(uuid, interval) is 'Opens a session of another user, run by the caller: {user, session, token, access_token} (Better Auth''s impersonateUser).
duration: at most 1 hour, never extended. It ends with the caller''s own session and when the caller loses the right. While it is in use no password, email, ban, role, delete or impersonation call is possible. Permission: user:impersonate; for a target who holds a built-in permission user:impersonate-admins. Errors: NOT_SIGNED_IN (also for a database role: there must be a person), INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, USER_NOT_FOUND, YOU_CANNOT_IMPERSONATE_ADMINS, TARGET_OUTRANKS_YOU, BANNED_USER, READ_ONLY.';

create function auth.stop_impersonating()
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'stop_impersonating_wrapper';
comment on function auth.stop_impersonating() is 'Ends the impersonation in use and makes the real person the caller again: {user, session} of that person (Better Auth''s stopImpersonating).
Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_IMPERSONATING, READ_ONLY.';
