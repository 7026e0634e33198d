-- Housekeeping.

create function auth.purge_expired(max_rows integer default 1000)
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'purge_expired_wrapper';
comment on function auth.purge_expired(integer) is 'Deletes what is over: expired sessions and tokens, mail that was sent, old failed attempts, what is left of users who are gone; returns how many rows.
max_rows: 1 to 100000, of each kind. Call it until it returns 0, each call in a transaction of its own; it waits for nobody. The audit log stays. Permission: settings:update. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, INVALID_ARGUMENT, READ_ONLY.';
