-- What an attacker with CREATE on schema public puts there: things with the names of those that our statements use. Whatever of it is
-- run says so in the server's log, which no rollback takes back, and in a table. {names} are the words of our sources.

set search_path = pg_catalog;

create table public.canary (what text, ran_as name, session name);
grant insert on public.canary to public;

create function public.bark(what text) returns boolean language plpgsql set search_path = pg_catalog as $$
begin
    raise log 'CANARY of %: % ran as % for %', current_database(), what, current_user, session_user;
    begin
        insert into public.canary values (what, current_user, session_user);
    exception when others then
        null; -- in a read-only transaction, or in a parallel worker
    end;
    return true;
end
$$;

create type public.evil as enum ('x');

-- Operators of the same types, exactly.
do $$
declare
    o record;
begin
    for o in
        select q.oid, q.oprname, q.oprkind, l.typname as l, r.typname as r, t.typname as t
          from pg_operator q
          left join pg_type l on l.oid = q.oprleft join pg_type r on r.oid = q.oprright join pg_type t on t.oid = q.oprresult
         where q.oprnamespace = 'pg_catalog'::regnamespace
           and coalesce(l.typname, 'text') = any (array['text', 'uuid', 'jsonb', 'timestamptz', 'interval', 'bytea', '_text', 'int4', 'int8', 'bool', 'name', 'inet', 'oid', 'float8', 'numeric', 'char', 'anyarray'])
           and r.typname = any (array['text', 'uuid', 'jsonb', 'timestamptz', 'interval', 'bytea', '_text', 'int4', 'int8', 'bool', 'name', 'inet', 'oid', 'float8', 'numeric', 'char', 'anyarray'])
    loop
        execute format('create function public.trap_%s(%s) returns pg_catalog.%I language plpgsql as %L', o.oid,
                       concat_ws(', ', 'pg_catalog.' || quote_ident(o.l), 'pg_catalog.' || quote_ident(o.r)), o.t,
                       format('begin perform public.bark(%L); return null; end', concat_ws(' ', 'operator', o.oprname, o.l, o.r)));
        execute format('create operator public.%s (%s rightarg = pg_catalog.%I, function = public.trap_%s)', o.oprname,
                       'leftarg = pg_catalog.' || quote_ident(o.l) || ',', o.r, o.oid);
        if o.l = 'anyarray' and o.r = 'anyarray' then
            execute format('create function public.texts_%s(text[], text[]) returns pg_catalog.%I language plpgsql as %L', o.oid, o.t,
                           format('begin perform public.bark(%L); return null; end', concat_ws(' ', 'operator', o.oprname, 'of text[]')));
            execute format('create operator public.%s (leftarg = text[], rightarg = text[], function = public.texts_%s)', o.oprname, o.oid);
        end if;
    end loop;
end
$$;

-- Functions and aggregates: as they are, and for whatever else they might be called with.
do $$
declare
    f    record;
    body text;
    form text;
begin
    for f in
        select p.oid, p.proname, p.prokind, p.proretset, p.proallargtypes, p.prorettype, pg_get_function_arguments(p.oid) as arguments,
               pg_get_function_identity_arguments(p.oid) as identity, pg_get_function_result(p.oid) as result
          from pg_proc p
         where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any ('{{names}}'::name[]) and p.prokind in ('f', 'a')
    loop
        body := format('begin perform public.bark(%L); return %s; end', 'function ' || f.proname,
                       case when f.proretset or f.prorettype = 'void'::regtype or f.proallargtypes is not null then '' else 'null' end);
        foreach form in array case when f.prokind = 'f' then array[
            format('create function public.%I(%s) returns %s language plpgsql as %L', f.proname, f.arguments, f.result, body),
            format('create function public.%I(anyelement) returns anyelement language plpgsql as %L', f.proname, body),
            format('create function public.%I(anyelement, anyelement) returns anyelement language plpgsql as %L', f.proname, body),
            format('create function public.%I(variadic text[]) returns text language plpgsql as %L', f.proname, body),
            format('create function public.%I(text, variadic text[]) returns text language plpgsql as %L', f.proname, body)]
        else array[
            format('create function public.trap_%s(integer%s) returns integer language plpgsql as %L', f.oid,
                   case when f.identity = '' then '' else ', ' || replace(f.identity, '"any"', 'anyelement') end,
                   format('begin perform public.bark(%L); return 1; end', 'aggregate ' || f.proname)),
            format('create aggregate public.%I(%s) (sfunc = public.trap_%s, stype = integer, initcond = 0)', f.proname,
                   case when f.identity = '' then '*' else replace(f.identity, '"any"', 'anyelement') end, f.oid)]
        end
        loop
            begin
                execute form;
            exception when duplicate_function or undefined_function or invalid_function_definition or feature_not_supported or datatype_mismatch or syntax_error or undefined_object then
                null; -- there already, or of a type that only C knows
            end;
        end loop;
    end loop;
end
$$;

-- Types that check what they are given, and casts of a type of the attacker's own to every type of ours.
do $$
declare
    t text;
begin
    foreach t in array array['text', 'uuid', 'jsonb', 'timestamptz', 'interval', 'bytea', '_text', 'int4', 'int8', 'bool', 'inet']
    loop
        execute format('create function public.from_evil_%s(public.evil) returns pg_catalog.%I language plpgsql as %L', t, t,
                       format('begin perform public.bark(%L); return null; end', 'cast to ' || t));
        execute format('create cast (public.evil as pg_catalog.%I) with function public.from_evil_%s(public.evil) as implicit', t, t);
    end loop;
    foreach t in array array['text', 'uuid', 'jsonb', 'timestamptz', 'interval', 'bytea', 'int4', 'int8', 'bool', 'inet', 'name', 'oid', 'numeric', 'float8', 'regclass', 'regrole', 'regprocedure', 'regnamespace']
    loop
        execute format('create domain public.%I as pg_catalog.%I check (public.bark(%L))', t, t, 'domain ' || t);
    end loop;
end
$$;
create collation public."C" from pg_catalog."POSIX";
