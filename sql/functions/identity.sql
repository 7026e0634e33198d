-- Who is calling. These belong to auth_door: they are what every policy stands on, so no policy may stand in their way.

create function auth.uid() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'uid_wrapper';
comment on function auth.uid() is 'The id of the signed-in user; null when anonymous, and as soon as the session ends.
In policies write (select auth.uid()): it is then evaluated once a statement and not once a row. While somebody is impersonated this is the impersonated user; see actor_id().';

create function auth.session_id() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'session_id_wrapper';
comment on function auth.session_id() is 'The id of the session in use; null when anonymous.
It is an identifier and not a secret: knowing it gives nobody the session.';

create function auth.actor_id() returns uuid
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'actor_id_wrapper';
comment on function auth.actor_id() is 'The real person behind the call: during an impersonation who runs it, otherwise uid().
Null when anonymous.';

create function auth.current_user_roles() returns text[]
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'current_user_roles_wrapper';
comment on function auth.current_user_roles() is 'The application roles of the signed-in user, sorted; an empty array when anonymous.
Read live: a change of roles needs no new session.';

create function auth.has_permission(permission text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'has_permission_wrapper';
comment on function auth.has_permission(text) is 'True when the caller holds the permission (resource:action); never null.
A permission is held when one of the user''s roles holds it; a member of auth_admin without a session holds all. In policies write (select auth.has_permission(''…'')). Errors: MISSING_ARGUMENT; INVALID_ARGUMENT for a name that is in no role and not built in, so that a misspelt policy is not silently closed or open.';

create function auth.has_permissions(permissions jsonb, user_id uuid default null, roles text[] default null) returns boolean
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'has_permissions_wrapper';
comment on function auth.has_permissions(jsonb, uuid, text[]) is 'True when all the permissions are held: {"user":["ban","list"]} (Better Auth''s hasPermission).
permissions: object of resource to list of actions; an empty object or list is false. user_id: about that user (needs user:get unless it is the caller). roles: about these application roles; wins over user_id. Permissions are united over the roles. Errors: NOT_SIGNED_IN, PERMISSION_DENIED, MISSING_ARGUMENT, INVALID_ARGUMENT (unknown permission), INVALID_ROLE, USER_NOT_FOUND.';

create function auth.use_session(token text, is_local boolean default true) returns uuid
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'use_session_wrapper';
comment on function auth.use_session(text, boolean) is 'Verifies a session''s token and makes its user the caller; returns the user''s id.
is_local: true for this transaction (right behind every pooler; outside of a transaction block for this statement alone, which a notice says), false for the connection (psql, one connection a user), until reset_session() or DISCARD ALL. A second call switches the user. Works in read-only transactions and on a standby. Errors: MISSING_ARGUMENT, INVALID_SESSION (unknown, expired and revoked alike).';

create function auth.reset_session() returns void
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'reset_session_wrapper';
comment on function auth.reset_session() is 'Makes the caller anonymous again. The session itself lives on: sign_out() ends it.';

create function auth.get_session() returns jsonb
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'render_session_wrapper';
comment on function auth.get_session() is '{"session": …, "user": …} of the caller, or null when anonymous or when the session has ended (Better Auth''s getSession).';

create function auth_private.find_session(token_hash bytea) returns uuid[]
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'find_session_wrapper';
comment on function auth_private.find_session(bytea) is 'Door: the ids of the live session with this token, of its user and, of an impersonation, of the real person; for refresh_session, whose caller need not be anybody yet.';

create function auth_private.erasing() returns uuid
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'erasing_wrapper';
comment on function auth_private.erasing() is 'The user whose row is being deleted at this moment. While there is one nobody is signed in: triggers of applications run.';

create function auth_private.holds(permission text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_wrapper';
comment on function auth_private.holds(text) is 'As has_permission, also for a permission that nobody has named before: holders of "admin" hold it.';

create function auth_private.holds_any(prefix text) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_any_wrapper';
comment on function auth_private.holds_any(text) is 'True when the caller holds any built-in permission that begins so.';

create function auth_private.is_back_end() returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'is_back_end_wrapper';
comment on function auth_private.is_back_end() is 'True when the caller is a member of auth_admin without a session: what no user may do, not even an administrator.';

-- Its cost keeps it from being asked of every row of a small table before it is asked whose row that is.
create function auth_private.holds_over(permission text, user_id uuid) returns boolean
    language c stable parallel safe cost 1000 security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'holds_over_wrapper';
comment on function auth_private.holds_over(text, uuid) is 'True when the caller holds the permission, and the user none that the caller lacks. Without the latter a helper who may set passwords would take an administrator''s account over.';

create function auth_private.is_administrative(user_id uuid) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'is_administrative_wrapper';
comment on function auth_private.is_administrative(uuid) is 'True when the user holds a built-in permission: an "admin" as the target of an impersonation.';

create function auth_private.dominates_roles(roles text[]) returns boolean
    language c stable parallel safe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'dominates_roles_wrapper';
comment on function auth_private.dominates_roles(text[]) is 'True when the roles hold no permission that the caller lacks. Without it whoever may grant roles would grant "admin" to themselves.';

create function auth_private.new_id() returns uuid
    language c volatile parallel safe set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'new_id_wrapper';
comment on function auth_private.new_id() is 'An id in order of time (UUIDv7, RFC 9562): what comes one after the other lies together in every index. It tells its own moment.';
