-- The audit log.

create function auth.list_audit_log(user_id uuid default null, action text default null, since timestamptz default null, page_size integer default 100, after_cursor text default null)
    returns table (id bigint, occurred_at timestamptz, action text, actor_id uuid, impersonator_id uuid, session_id uuid, database_role text, user_id uuid, ip_address text, user_agent text, details jsonb)
    language c stable parallel restricted security definer set search_path = pg_catalog, pg_temp
    rows 100
    as 'MODULE_PATHNAME', 'list_audit_log_wrapper';
comment on function auth.list_audit_log(uuid, text, timestamptz, integer, text) is 'A page of the audit log, newest first.
user_id: done to that user. action: the name of the function. since: not before. page_size: 1 to 1000. after_cursor: the id of the last line of the page before, as text. Permission: audit:read. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED, INVALID_ARGUMENT.';
