-- Signing up, in and out, and a user's own sessions.

create function auth.sign_up(email text, password text, name text default '', image text default null, attributes jsonb default '{}', ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_up_wrapper';
comment on function auth.sign_up(text, text, text, text, jsonb, text, text) is 'Creates a user with a password and signs them in: {user, session, token, access_token} (Better Auth''s signUpEmail).
In the caller''s transaction, so the application''s own rows about the user are written with it or not at all. token: keep it secret, give it to use_session(); it is shown this once and stored only as a hash. attributes: a JSON object of at most 64 kB. ip_address: believed from auth_admin, otherwise recorded as claimed. With auth.require_email_verification there is no session, and an address that is taken gets an answer that looks the same; its owner gets a mail. With it or auth.send_verification_on_sign_up a mail with a token for verify_email is queued. Permission: none. Errors: SIGN_UP_DISABLED, MISSING_ARGUMENT, INVALID_EMAIL, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON (NIST SP 800-63B-4 3.1.1.2), INVALID_ARGUMENT, USER_ALREADY_EXISTS, TOO_MANY_ATTEMPTS (for one address, with auth.require_email_verification), READ_ONLY.';

create function auth.sign_in(email text, password text, remember_me boolean default true, ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_in_wrapper';
comment on function auth.sign_in(text, text, boolean, text, text) is 'Checks a password and opens a session: {user, session, token, access_token} (Better Auth''s signInEmail).
remember_me: false for a session of auth.short_session_lifetime that never slides. Answers, which are returned so that the attempt stays on record: INVALID_EMAIL_OR_PASSWORD (unknown address, no password and wrong password alike, in equal time), BANNED_USER (only after the right password; details: reason, expires_at), EMAIL_NOT_VERIFIED. A result is an error exactly when it has the key "code". Permission: none. Errors: MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT, PASSWORD_TOO_LONG, TOO_MANY_ATTEMPTS, READ_ONLY.';

create function auth.refresh_session(token text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'refresh_session_wrapper';
comment on function auth.refresh_session(text) is 'Moves the expiry of a session, at most once per auth.session_update_age and never past its own limit: {session, user, token, access_token}.
The token stays the same. Permission: none but the token. Errors: MISSING_ARGUMENT, INVALID_SESSION, READ_ONLY.';

create function auth.sign_out()
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_out_wrapper';
comment on function auth.sign_out() is 'Ends the session in use; true when it was live. The caller is anonymous afterwards.
Impersonations started from it end with it. Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';

create function auth.list_sessions()
    returns table (id uuid, user_id uuid, created_at timestamptz, updated_at timestamptz, expires_at timestamptz, ip_address text, user_agent text, impersonated_by uuid, current boolean)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'list_sessions_wrapper';
comment on function auth.list_sessions() is 'The caller''s own live sessions, newest first, without impersonations (Better Auth''s listSessions; tokens are never shown).
current: the session in use. Errors: NOT_SIGNED_IN, INVALID_SESSION.';

create function auth.revoke_session(session_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_session_wrapper';
comment on function auth.revoke_session(uuid) is 'Ends one of the caller''s own sessions; false when there is no such session, somebody else''s included (Better Auth''s revokeSession, by id).
Errors: NOT_SIGNED_IN, INVALID_SESSION, MISSING_ARGUMENT, READ_ONLY.';

create function auth.revoke_sessions()
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_sessions_wrapper';
comment on function auth.revoke_sessions() is 'Ends all of the caller''s sessions, the one in use too; returns how many were live (Better Auth''s revokeSessions).
One row changes, however many they are. Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';

create function auth.revoke_other_sessions()
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'revoke_other_sessions_wrapper';
comment on function auth.revoke_other_sessions() is 'Ends all of the caller''s sessions but the one in use; returns how many were live (Better Auth''s revokeOtherSessions).
Errors: NOT_SIGNED_IN, INVALID_SESSION, READ_ONLY.';
