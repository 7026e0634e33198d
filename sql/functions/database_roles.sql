-- Database roles. These belong to auth_role_manager, the only role of ours with CREATEROLE, and nothing else does.

create function auth.create_role(role_name text, can_login boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'create_role_wrapper';
comment on function auth.create_role(text, boolean) is 'Creates a database role: {"role": {name, protected, can_login, created_at, updated_at, password}} (Neon''s createProjectBranchRole).
role_name: 1 to 63 octets, no reserved name (pg_*, auth_*, public, none, anon, authenticated). The password is made here, at least 128 random bits in unambiguous letters and digits; it is shown this once and stored as SCRAM-SHA-256. can_login: without login there is no password. ROLLBACK undoes it. Permission: database-role:create. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_ALREADY_EXISTS, READ_ONLY.';

create function auth.list_roles()
    returns table (name text, protected boolean, can_login boolean, created_at timestamptz, updated_at timestamptz)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'list_roles_wrapper';
comment on function auth.list_roles() is 'The database roles that are made here, and those protected, by name; never a password (Neon''s listProjectBranchRoles).
Permission: database-role:list. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

create function auth.get_role(role_name text)
    returns jsonb
    language c stable parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'get_role_wrapper';
comment on function auth.get_role(text) is 'One of these database roles: {"role": {name, protected, can_login, created_at, updated_at}} (Neon''s getProjectBranchRole).
Permission: database-role:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND.';

create function auth.reset_role_password(role_name text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_role_password_wrapper';
comment on function auth.reset_role_password(text) is 'Gives a database role a new password: {"role": {…, password}} (Neon''s resetProjectBranchRolePassword).
The old password stops working when the transaction commits; ROLLBACK undoes it. updated_at moves, created_at does not. Permission: database-role:reset-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (a role without login), ROLE_NOT_FOUND, PROTECTED_ROLE (also a role that was not made here), READ_ONLY.';

create function auth.set_role_verifier(role_name text, verifier text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'set_role_verifier_wrapper';
comment on function auth.set_role_verifier(text, text) is 'Sets the SCRAM-SHA-256 verifier of a database role, for clients that compute it themselves (psql''s \password, PQencryptPasswordConn).
verifier: SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, at least 4096 iterations (RFC 7677); anything else would be a password in the clear. Permission: database-role:reset-password. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND, PROTECTED_ROLE, READ_ONLY.';

create function auth.delete_role(role_name text)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'delete_role_wrapper';
comment on function auth.delete_role(text) is 'Deletes a database role: {"role": …}, or null when there is none (Neon''s deleteProjectBranchRole).
Its privileges in this database are revoked. A role that owns anything, holds privileges in another database or is connected is not deleted: ROLE_OWNS_OBJECTS, whose DETAIL lists it, database by database. Permission: database-role:delete. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, PROTECTED_ROLE (also a role that was not made here), ROLE_OWNS_OBJECTS, READ_ONLY.';

create function auth.protect_role(role_name text, protected boolean default true)
    returns jsonb
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'protect_role_wrapper';
comment on function auth.protect_role(text, boolean) is 'Protects a database role, or takes the protection away: {"role": …}. A protected role cannot be reset or deleted here.
Roles that were not made here can be protected too, and are then listed. Permission: database-role:protect. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT, ROLE_NOT_FOUND, READ_ONLY.';
