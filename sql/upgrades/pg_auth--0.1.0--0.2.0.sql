\echo Use "ALTER EXTENSION pg_auth UPDATE" to load this file. \quit
-- A change of sql/ stands here too: tests/upgrade.rs compares what comes of this with a fresh installation.
set local search_path = pg_catalog, pg_temp;

-- A foreign key that somebody made with a type and a cast of their own ran that cast as auth_owner. Keys that are there already go on
-- working; auth.check_deployment() lists those whose column is no uuid.
revoke references (id) on auth.users from authenticated;

-- No pause outlasts itself when the clock is set back.
drop function auth_private.blocked_for(bytea[], integer, integer);
create function auth_private.blocked_for(subjects bytea[], max_attempts integer, window_seconds integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment  timestamptz := pg_catalog.clock_timestamp();
    seconds numeric;
begin
    -- After max_attempts failures in the window: 30 s, doubling with each further one, never longer than the window.
    select pg_catalog.max(
               least(30 operator(pg_catalog.*) pg_catalog.power(2::numeric, least(f.failures operator(pg_catalog.-) max_attempts, 30)::numeric), window_seconds::numeric)
               operator(pg_catalog.-) greatest(0, extract(epoch from moment operator(pg_catalog.-) f.latest)))
      into seconds
      from (select pg_catalog.count(*) as failures, pg_catalog.max(a.failed_at) as latest
              from auth_private.failed_attempts a
             where a.subject operator(pg_catalog.=) any (subjects)
               and a.failed_at operator(pg_catalog.>) (moment operator(pg_catalog.-) pg_catalog.make_interval(secs => window_seconds))
               -- What lies further in the future is from before the clock was set back.
               and a.failed_at operator(pg_catalog.<) (moment operator(pg_catalog.+) pg_catalog.make_interval(secs => window_seconds))
             group by a.subject) f
     where f.failures operator(pg_catalog.>=) max_attempts;
    return greatest(0, pg_catalog.ceil(seconds))::integer;
end
$$;
comment on function auth_private.blocked_for is 'Door: for how many seconds the next attempt must wait; 0 where it need not.';
alter function auth_private.blocked_for(bytea[], integer, integer) owner to auth_door;
do $strip$
declare
    grantee record;
begin
    revoke all on function auth_private.blocked_for(bytea[], integer, integer) from public;
    -- What default privileges have given.
    for grantee in
        select distinct pg_catalog.quote_ident(r.rolname) as name
          from pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) a.grantee
         where p.oid operator(pg_catalog.=) 'auth_private.blocked_for(bytea[], integer, integer)'::pg_catalog.regprocedure and a.grantee operator(pg_catalog.<>) p.proowner
    loop
        execute pg_catalog.format('revoke all on function auth_private.blocked_for(bytea[], integer, integer) from %s', grantee.name);
    end loop;
end
$strip$;
grant execute on function auth_private.blocked_for(bytea[], integer, integer) to auth_owner;

-- Reading a table that is small stops where somebody is found, and is sooner done than where nobody is.
alter function auth_private.find_credentials(text) set enable_seqscan = off;
alter function auth_private.find_user(text) set enable_seqscan = off;

-- A PostgREST that is running learns of what has changed.
notify pgrst, 'reload schema';
