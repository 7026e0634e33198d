-- Users: reading, creating, changing, deleting.

create function auth.get_user(user_id uuid)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_wrapper';
comment on function auth.get_user(uuid) is 'One user (Better Auth''s and Lucia''s getUser). Permission: user:get, or oneself.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, USER_NOT_FOUND.';

create function auth.get_user_by_email(email text)
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_user_by_email_wrapper';
comment on function auth.get_user_by_email(text) is 'One user by address, in any spelling that is canonically the same. Permission: user:get, or one''s own address.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, USER_NOT_FOUND.';

create function auth.create_user(email text, password text default null, name text default '', roles text[] default null, attributes jsonb default '{}', email_verified boolean default false)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'create_user_wrapper';
comment on function auth.create_user(text, text, text, text[], jsonb, boolean) is 'Creates a user and returns it (Better Auth''s and Neon''s createUser). Nobody is signed in and no mail is sent.
password: null for none, the user then cannot sign in with one. roles: application roles, by default user. Permission: user:create; roles needs user:set-role too. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_EMAIL, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_TOO_COMMON, INVALID_ROLE, INVALID_ARGUMENT, TARGET_OUTRANKS_YOU, USER_ALREADY_EXISTS, READ_ONLY.';

create function auth.update_user(user_id uuid, patch jsonb)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_wrapper';
comment on function auth.update_user(uuid, jsonb) is 'Changes the fields that the patch names and returns the user (Better Auth''s updateUser and admin.updateUser).
An absent key is left alone, null clears: image becomes null, name empty, attributes {}. Oneself: name, image, attributes. user:update: the same of others; with user:set-email also email (which resets email_verified unless the patch sets it) and email_verified; with user:set-role also roles; with user:ban also banned, ban_reason and ban_expires_at, which do what ban_user and unban_user do. attributes is replaced whole; see update_user_attributes. Permission: user:update and what else the fields need, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, UNKNOWN_FIELD, FIELD_NOT_ALLOWED, INVALID_ARGUMENT, INVALID_EMAIL, INVALID_ROLE, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, USER_ALREADY_EXISTS, YOU_CANNOT_BAN_YOURSELF, LAST_ADMIN, READ_ONLY.';

create function auth.update_user_attributes(user_id uuid, attributes jsonb)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'update_user_attributes_wrapper';
comment on function auth.update_user_attributes(uuid, jsonb) is 'Merges attributes into the user''s at the top level and returns the user (Lucia''s updateUserAttributes).
An absent key is kept, null is written as null. Permission: user:update, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.delete_user(user_id uuid)
    returns boolean
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'delete_user_wrapper';
comment on function auth.delete_user(uuid) is 'Deletes a user with sessions, accounts and roles; false when there is no such user (Better Auth''s deleteUser and removeUser, Lucia''s deleteUser).
Oneself: with a fresh session, which verify_password makes. Rows of applications follow their foreign keys; one that forbids raises USER_IN_USE. Deferrable constraints of the tables that follow are checked first and stay immediate for the rest of the transaction. Permission: user:delete, or oneself. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, SESSION_NOT_FRESH, PERMISSION_DENIED, MISSING_ARGUMENT, TARGET_OUTRANKS_YOU, LAST_ADMIN, USER_IN_USE, READ_ONLY.';

create function auth.list_users(search_value text default null, search_field text default 'email', search_operator text default 'contains', filter_field text default null, filter_value text default null, filter_operator text default 'eq', sort_by text default 'created_at', sort_direction text default 'desc', page_size integer default 100, page_offset integer default 0, after_cursor text default null)
    returns table (id uuid, email text, email_verified boolean, name text, image text, roles text[], banned boolean, ban_reason text, ban_expires_at timestamptz, attributes jsonb, created_at timestamptz, updated_at timestamptz, last_sign_in_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_users_wrapper';
comment on function auth.list_users(text, text, text, text, text, text, text, text, integer, integer, text) is 'A page of users (Better Auth''s listUsers).
search_field: email, name or any. search_operator: contains, starts_with, ends_with; case-insensitive, % _ and \ are literal. filter_field: id, email, email_verified, name, role, banned, ban_expires_at, created_at, updated_at, last_sign_in_at or attributes.<key>. filter_operator: eq ne lt lte gt gte in not_in contains starts_with ends_with; on role, eq and contains mean has it, ne has it not; ne keeps nulls; for in and not_in the value is a JSON array. sort_by: a filter_field other than role and attributes; sort_direction: asc or desc; equal values are ordered by id. page_size: 1 to 1000. after_cursor: next_cursor of list_users_page with the same order. Permission: user:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';

create function auth.list_users_page(search_value text default null, search_field text default 'email', search_operator text default 'contains', filter_field text default null, filter_value text default null, filter_operator text default 'eq', sort_by text default 'created_at', sort_direction text default 'desc', page_size integer default 100, page_offset integer default 0, after_cursor text default null, count text default 'exact')
    returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'list_users_page_wrapper';
comment on function auth.list_users_page(text, text, text, text, text, text, text, text, integer, integer, text, text) is 'A page of users with the total: {users, total, limit, offset, next_cursor}; users and total are of one moment.
count: exact, estimated (without search and filter the planner''s statistics, otherwise exact) or none (total is null). next_cursor: null on the last page. search_field: email, name or any. search_operator: contains, starts_with, ends_with; case-insensitive, % _ and \ are literal. filter_field: id, email, email_verified, name, role, banned, ban_expires_at, created_at, updated_at, last_sign_in_at or attributes.<key>. filter_operator: eq ne lt lte gt gte in not_in contains starts_with ends_with; on role, eq and contains mean has it, ne has it not; ne keeps nulls; for in and not_in the value is a JSON array. sort_by: a filter_field other than role and attributes; sort_direction: asc or desc; equal values are ordered by id. page_size: 1 to 1000. after_cursor: next_cursor of list_users_page with the same order. Permission: user:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';
