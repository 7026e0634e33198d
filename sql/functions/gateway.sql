-- Behind PostgREST: who makes a request, and the keys that access tokens are signed with.

-- SECURITY INVOKER: a function of another owner cannot change the role. What it looks up, it looks up as auth_door.
create function auth.pre_request() returns void
    language c volatile parallel unsafe security invoker set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'pre_request_wrapper';
comment on function auth.pre_request() is 'Makes the user whom a request shows the caller for its transaction, with the role authenticated: PostgREST''s db-pre-request.
In this order: an access token in Authorization (its signature, claims, session and user are all checked here once more), a session''s token in the header X-Session-Token, or in the cookie "session" (only from the server''s own origin or one of auth.trusted_origins, RFC 6454; a request that writes must name its origin). A request that shows nothing goes on as anonymous; what it shows must be good, or it is refused, and a dead cookie is cleared. Only on connections of auth.trusted_gateways, elsewhere it does nothing. Works in read-only transactions and on a standby. Errors: INVALID_SESSION; PERMISSION_DENIED: origin for a cookie from elsewhere, PERMISSION_DENIED: pre_request for a second user in one transaction.';

create function auth.jwks() returns jsonb
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'jwks_wrapper';
comment on function auth.jwks() is 'The public keys that access tokens are verified with, as a JSON Web Key Set (RFC 7517, RFC 8037).
The newest signs; one that was replaced stays until its last token has expired.';

create function auth.postgrest_config() returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'postgrest_config_wrapper';
comment on function auth.postgrest_config() is 'Tells PostgREST the keys of auth.jwks(): its db-pre-config.
So no secret is shared with it, and a new key is picked up with NOTIFY pgrst, ''reload config'', which rotate_signing_key() sends. Permission: the gateway''s login role, by GRANT EXECUTE.';

create function auth.rotate_signing_key() returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'rotate_signing_key_wrapper';
comment on function auth.rotate_signing_key() is 'Makes a new key that signs access tokens from now on: {"kid": …}.
The old one verifies until its last token has expired: auth.access_token_lifetime and a minute. PostgREST is told at commit and takes about a second to follow. Permission: settings:update. Errors: READ_ONLY, NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED.';

create function auth_private.new_signing_key() returns table (kid text, public_key bytea, private_key bytea)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp rows 1
    as 'MODULE_PATHNAME', 'new_signing_key_wrapper';
comment on function auth_private.new_signing_key() is 'A new pair of keys, for the installation, where nobody has a permission yet.';
