-- Proving an address, and changing it.

create function auth.send_verification_email(email text default null)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'send_verification_email_wrapper';
comment on function auth.send_verification_email(text) is 'Queues a mail with a token for verify_email (Better Auth''s sendVerificationEmail).
email: by default the caller''s own address. It never tells whether the address is somebody''s or is verified already: nothing is then sent, in equal time. Nor is it within auth.message_interval of the last one, whose token lives on; otherwise an earlier token dies. Permission: none. Errors: MISSING_ARGUMENT (anonymous callers), INVALID_EMAIL, INVALID_SESSION, NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.verify_email(token text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'verify_email_wrapper';
comment on function auth.verify_email(text) is 'Completes a sign-up''s verification or a change of email, and returns the user (Better Auth''s verifyEmail).
token: from the mail; good once, until auth.verification_token_lifetime after it was sent. Sets email_verified. After a change of email the old address is told, and every other token of the user dies. Where somebody else signed up for the address before it was proved, no password, account or session from before stays: request_password_reset leads in. Permission: none but the token. Errors: MISSING_ARGUMENT, INVALID_TOKEN (unknown, used, superseded and expired alike), USER_ALREADY_EXISTS (the new address has been taken meanwhile), NOT_WHILE_IMPERSONATING, READ_ONLY.';

create function auth.change_email(new_email text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'change_email_wrapper';
comment on function auth.change_email(text) is 'Asks for another address: a token for verify_email goes to the new one, and the old one is told (Better Auth''s changeEmail).
Nothing changes until verify_email. An address that is somebody else''s gets the same answer in equal time, and its owner a mail that says so. Needs a fresh session (auth.session_fresh_age). Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, MISSING_ARGUMENT, INVALID_EMAIL, INVALID_ARGUMENT (it is the address already), TOO_MANY_ATTEMPTS, READ_ONLY.';
