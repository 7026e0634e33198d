-- Housekeeping.

create function auth.purge_expired(max_rows integer default 1000)
    returns integer
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'purge_expired_wrapper';
comment on function auth.purge_expired(integer) is 'Deletes what is over: expired sessions and tokens, mail that was sent, old failed attempts, what is left of users who are gone; returns how many rows.
max_rows: 1 to 100000, of each kind. Call it until it returns 0, each call in a transaction of its own; it waits for nobody. The audit log stays. Permission: settings:update. Errors: NOT_SIGNED_IN, INVALID_SESSION, NOT_WHILE_IMPERSONATING, PERMISSION_DENIED, INVALID_ARGUMENT, READ_ONLY.';

create function auth.check_deployment()
    returns table (item text, severity text, finding text, advice text)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'check_deployment_wrapper';
comment on function auth.check_deployment() is 'What the DBA of this server should change, as this connection sees its settings; no rows where nothing was found.
item: a setting, a file or a kind of role. severity: high, medium or low. Logs that would keep passwords, pg_hba.conf without TLS (seen by superusers), no preloading, schemas that everybody can create in, gateways with too much power, publications of everything, weak settings, mail that nobody sends. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';

create function auth.verify_install()
    returns table (object text, problem text)
    language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
    rows 10
    as 'MODULE_PATHNAME', 'verify_install_wrapper';
comment on function auth.verify_install() is 'What of the installation is not as this version of pg_auth has made it; no rows where nobody has touched it.
Compares owners, grants, columns, functions and their settings, row-level security, policies, triggers, constraints, unique indexes and roles with a list that is compiled into the library. Permission: settings:get. Errors: NOT_SIGNED_IN, INVALID_SESSION, PERMISSION_DENIED.';
