-- Accounts: the ways a user has to sign in, and those of identity providers above all.

create function auth.sign_in_with_provider(provider text, provider_user_id text, email text default null, email_verified boolean default false, name text default '', create_user boolean default true, ip_address text default null, user_agent text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'sign_in_with_provider_wrapper';
comment on function auth.sign_in_with_provider(text, text, text, boolean, text, boolean, text, text) is 'Opens a session for whom an identity provider vouches for: {user, session, token, access_token} (Better Auth''s and Supabase''s social sign-in, after the exchange with the provider).
provider: its name, as "github"; provider_user_id: its own, unchanging id of the user. email, name: what the provider says; email_verified: whether it says that the address is proved. An account that is linked signs in. Otherwise a user with that address is linked, but only if both the provider and we know it to be verified: else whoever registers first with somebody''s address could read along. Otherwise a user is created, unless create_user is false. Answers: BANNED_USER, EMAIL_NOT_VERIFIED. Permission: auth_admin, without a session: the back end that spoke to the provider. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT, ACCOUNT_NOT_FOUND, USER_ALREADY_EXISTS, SIGN_UP_DISABLED, READ_ONLY.';

create function auth.get_user_by_provider_id(provider text, provider_user_id text)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_by_provider_id_wrapper';
comment on function auth.get_user_by_provider_id(text, text) is 'The user of an account (Lucia''s getUserByProviderId).
Both parts are compared exactly. Permission: user:get, or one''s own account. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, ACCOUNT_NOT_FOUND.';

create function auth.update_user_provider_id(user_id uuid, provider text, provider_user_id text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_provider_id_wrapper';
comment on function auth.update_user_provider_id(uuid, text, text) is 'Gives a user''s account of a provider another identifier, or adds one, and returns the user (Lucia''s updateUserProviderId).
Of several accounts of that provider the oldest. Sessions stay. Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (empty, too long, or the provider "credential"), USER_NOT_FOUND, ACCOUNT_ALREADY_LINKED, READ_ONLY.';

create function auth.list_accounts(user_id uuid default null)
    returns table (id uuid, user_id uuid, provider text, provider_user_id text, created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 3
    as 'MODULE_PATHNAME', 'list_accounts_wrapper';
comment on function auth.list_accounts(uuid) is 'A user''s accounts, oldest first (Better Auth''s listAccounts).
user_id: by default the caller. A password is the account "credential". Permission: user:get, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT (a database role), USER_NOT_FOUND.';

create function auth.link_account(user_id uuid, provider text, provider_user_id text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'link_account_wrapper';
comment on function auth.link_account(uuid, text, text) is 'Gives a user one more way to sign in, and returns the account (Better Auth''s linkSocial, after the exchange with the provider).
Permission: auth_admin, without a session. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (empty, too long, or the provider "credential"), USER_NOT_FOUND, ACCOUNT_ALREADY_LINKED, READ_ONLY.';

create function auth.unlink_account(account_id uuid)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'unlink_account_wrapper';
comment on function auth.unlink_account(uuid) is 'Takes one of the caller''s own ways to sign in away, but never the last (Better Auth''s unlinkAccount).
The account "credential" goes with the password. Needs a fresh session (auth.session_fresh_age); auth_admin without a session may do it for any user. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, ACCOUNT_NOT_FOUND (somebody else''s included), FAILED_TO_UNLINK_LAST_ACCOUNT, READ_ONLY.';
