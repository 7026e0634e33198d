-- Other users' sessions.

create function auth.list_user_sessions(user_id uuid)
    returns table (id uuid, user_id uuid, created_at timestamptz, updated_at timestamptz, expires_at timestamptz, ip_address text, user_agent text, impersonated_by uuid, current boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'list_user_sessions_wrapper';
comment on function auth.list_user_sessions(uuid) is 'A user''s live sessions, newest first, impersonations included (Better Auth''s listUserSessions).
Permission: session:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND.';

create function auth.revoke_user_session(session_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_user_session_wrapper';
comment on function auth.revoke_user_session(uuid) is 'Ends a session; false when there is none (Better Auth''s revokeUserSession, by id).
Permission: session:revoke. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.revoke_user_sessions(user_id uuid)
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_user_sessions_wrapper';
comment on function auth.revoke_user_sessions(uuid) is 'Ends all of a user''s sessions; returns how many were live (Better Auth''s revokeUserSessions).
Permission: session:revoke. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';
