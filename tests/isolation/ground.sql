-- What the specs stand on: who takes part, what they know, what they have done, and the verdict.
create schema race;
grant usage on schema race to public;

create table race.known (name text primary key, value text not null);
create table race.done (what text not null, value text, at timestamptz not null default clock_timestamp());
grant select on race.known to public;
grant insert, select on race.done to public;

-- As if nothing had happened.
create function race.fresh() returns void language sql as $$
    delete from auth.users;
    delete from auth.bans;
    delete from auth.roles where not built_in;
    delete from auth_private.session_epochs;
    delete from auth_private.messages;
    delete from auth_private.failed_attempts;
    delete from race.known;
    delete from race.done;
    insert into race.known select 'since', coalesce(max(id), 0) from auth.audit_log;
$$;

create function race.remember(of_name text, of_value text) returns void language sql as $$
    insert into race.known values (of_name, of_value) on conflict (name) do update set value = excluded.value;
$$;

-- A user with a session; without a password, which would have to be hashed.
create function race.person(of_name text, of_roles text[] default array['user']) returns void language plpgsql as $$
declare
    opened jsonb := auth.sign_in_with_provider('race', of_name, of_name || '@example.org', true);
begin
    perform auth.set_user_roles((opened -> 'user' ->> 'id')::uuid, of_roles);
    perform race.remember(of_name, opened -> 'user' ->> 'id');
    perform race.remember(of_name || '_token', opened ->> 'token');
end
$$;

-- The same with a password.
create function race.person_with_password(of_name text) returns void language plpgsql as $$
begin
    perform race.person(of_name);
    perform auth.set_user_password(race.known(of_name)::uuid, 'a password for tests', false);
end
$$;

create function race.known(of_name text) returns text language sql as 'select value from race.known where name = of_name';

-- The token in the mail that is due.
create function race.receive(of_kind text) returns void language sql as $$
    select race.remember('mailed', m.token) from auth.claim_messages(100) m where m.kind = of_kind;
$$;

-- In each session before the race, so that nobody reads a table of ours in it.
create function race.know() returns void language sql as $$
    select set_config('race.' || k.name, k.value, false) from race.known k;
$$;
create function race.got(of_name text) returns text language sql as $$ select current_setting('race.' || of_name) $$;
create function race.id(of_name text) returns uuid language sql as $$ select current_setting('race.' || of_name)::uuid $$;

-- Is undone with the transaction in which it is said.
create function race.did(of_what text, of_value text default null) returns text language sql as $$
    insert into race.done (what, value) values (of_what, of_value) returning what;
$$;
create function race.times(of_what text) returns bigint language sql as $$ select count(*) from race.done where what = of_what $$;

create function race.usable(token text) returns boolean language plpgsql as $$
begin
    if token is null then
        return false;
    end if;
    perform auth.use_session(token);
    perform auth.reset_session();
    return true;
exception when sqlstate '28000' then
    return false;
end
$$;

-- How many of the sessions that were opened so are good.
create function race.usable_of(of_what text) returns bigint language sql as $$
    select count(*) from race.done where what = of_what and race.usable(value);
$$;

create function race.signs_in(of_name text, password text) returns boolean language sql as $$
    select auth.sign_in(of_name || '@example.org', password) ? 'token';
$$;

create function race.active_administrators() returns bigint language sql as $$
    select count(*) from auth.user_roles r where r.role = 'admin' and not exists (select from auth.bans b where b.user_id = r.user_id);
$$;

-- What is left of users who are gone, once the mailer has been there.
create function race.orphans() returns bigint language plpgsql as $$
begin
    perform from auth.claim_messages(100);
    return (select count(*)
              from (select user_id from auth.sessions union all select user_id from auth.accounts
                    union all select user_id from auth_private.passwords union all select user_id from auth_private.one_time_tokens
                    union all select user_id from auth_private.messages where user_id is not null
                    union all select user_id from auth.user_roles) as left_behind
             where not exists (select from auth.users u where u.id = left_behind.user_id));
end
$$;

-- Lines in the audit log of this race.
create function race.audited(of_action text, of_outcome text) returns bigint language sql as $$
    select count(*) from auth.audit_log where id > race.known('since')::bigint and action = of_action and details ->> 'outcome' = of_outcome;
$$;

create function race.verdict(holds boolean, otherwise text) returns text language sql as $$
    select case when holds then 'holds' else 'BROKEN: ' || otherwise end;
$$;
