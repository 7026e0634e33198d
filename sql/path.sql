-- The script's own path would hold the schema of pg_trgm, where others may have put operators of the same names.
set local search_path = pg_catalog, pg_temp;
