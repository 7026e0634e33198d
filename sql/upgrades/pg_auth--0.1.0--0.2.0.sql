\echo Use "ALTER EXTENSION pg_auth UPDATE" to load this file. \quit
-- What is new lies in the library. A change of sql/ stands here too: tests/upgrade.rs compares what comes of this with a fresh installation.
set local search_path = pg_catalog, pg_temp;

-- A PostgREST that is running learns of what has changed.
notify pgrst, 'reload schema';
