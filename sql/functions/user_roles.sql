-- Application roles and who holds them.

create function auth.set_user_roles(user_id uuid, roles text[])
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_user_roles_wrapper';
comment on function auth.set_user_roles(uuid, text[]) is 'Replaces a user''s application roles and returns the user (Better Auth''s setRole). Felt at the user''s next statement.
roles: not empty, every one must exist. Permission: user:set-role; nobody grants what they lack. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ROLE, USER_NOT_FOUND, TARGET_OUTRANKS_YOU, LAST_ADMIN, READ_ONLY.';

create function auth.define_user_role(name text, permissions text[], description text default null)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'define_user_role_wrapper';
comment on function auth.define_user_role(text, text[], text) is 'Creates an application role or replaces its permissions: {name, description, built_in, permissions, created_at, updated_at}.
name: [a-z][a-z0-9_-]{0,62}. permissions: built-in ones and the application''s own, resource:action of the same letters; may be empty. Permission: role:define; nobody defines a role beyond their own rights. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, PROTECTED_ROLE (admin, user), TARGET_OUTRANKS_YOU, READ_ONLY.';

create function auth.drop_user_role(name text)
    returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'drop_user_role_wrapper';
comment on function auth.drop_user_role(text) is 'Drops an application role that nobody holds.
Permission: role:define. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, PROTECTED_ROLE, ROLE_NOT_FOUND, TARGET_OUTRANKS_YOU, ROLE_IN_USE, READ_ONLY.';

create function auth.list_user_roles()
    returns table (name text, description text, built_in boolean, permissions text[], created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 20
    as 'MODULE_PATHNAME', 'list_user_roles_wrapper';
comment on function auth.list_user_roles() is 'The application roles with their permissions, by name. Permission: role:list.
Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';
