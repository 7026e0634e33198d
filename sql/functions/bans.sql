-- Bans.

create function auth.ban_user(user_id uuid, ban_reason text default null, ban_expires_in interval default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'ban_user_wrapper';
comment on function auth.ban_user(uuid, text, interval) is 'Bans a user, ends all of their sessions and every impersonation they run, and returns the user (Better Auth''s banUser).
It is felt at the user''s next statement. ban_reason: at most 1,000 characters, by default auth.default_ban_reason. ban_expires_in: by default for ever; a number over JSON is seconds. A new ban replaces the old one. Permission: user:ban. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, YOU_CANNOT_BAN_YOURSELF, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, LAST_ADMIN, READ_ONLY.';

create function auth.unban_user(user_id uuid)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'unban_user_wrapper';
comment on function auth.unban_user(uuid) is 'Lifts a ban and returns the user (Better Auth''s unbanUser); ended sessions stay ended.
Permission: user:ban. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';
