-- Moving in.

create function auth.import_users(users jsonb)
    returns table (email text, status text, user_id uuid)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 1000
    as 'MODULE_PATHNAME', 'import_users_wrapper';
comment on function auth.import_users(jsonb) is 'Creates users who bring their password hashes along; one row for each, in the same order.
users: an array of {email, name, image, password_hash, email_verified, roles, attributes, accounts: [{provider, provider_user_id}], created_at, id}; email is required, id is for uuids that other tables refer to. password_hash: argon2 (i, d, id), bcrypt (2a, 2b, 2y), scrypt (Better Auth, Lucia, PHC), pbkdf2 (PHC, passlib, Django), $fbscrypt$ (Firebase), of bounded cost; the next sign-in hashes anew. status: created, exists (somebody has the address; nothing changes) or an error code. One bad row does not stop the others. Some thousands a call are a good number; docs/import.md has the queries. Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (no array), READ_ONLY.';
