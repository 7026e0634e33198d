-- The doors that keep directory_counts and directory_facets; what a door is stands in credentials.sql. Triggers, so that a DBA's own
-- statements count too; "row_security", which pg_restore switches off, is on in them. Callers: every change of users, user_roles and bans.

-- Crosses: directory_counts. Because: nobody but these doors writes to it.
create function auth_private.count_users() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    insert into auth_private.directory_counts (facet, change)
    select 'users', case tg_op when 'INSERT' then w.n else operator(pg_catalog.-) w.n end
      from (select pg_catalog.count(*) as n from changed) as w where w.n operator(pg_catalog.>) 0;
    return null;
end
$$;
comment on function auth_private.count_users is 'Door: trigger; counts users who come and go.';
create trigger users_count_insert after insert on auth.users referencing new table as changed for each statement execute function auth_private.count_users();
create trigger users_count_delete after delete on auth.users referencing old table as changed for each statement execute function auth_private.count_users();

-- Crosses: directory_counts, directory_facets, users. Because: as above.
create function auth_private.list_role_holders() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    insert into auth_private.directory_counts (facet, change)
    select 'role:' operator(pg_catalog.||) c.role, case tg_op when 'INSERT' then pg_catalog.count(*) else operator(pg_catalog.-) pg_catalog.count(*) end
      from changed c group by c.role;
    if not exists (select from changed c where c.role operator(pg_catalog.<>) 'user') then
        return null;
    end if;
    if tg_op operator(pg_catalog.=) 'INSERT' then
        insert into auth_private.directory_facets (user_id, facet, created_at)
        select u.id, 'role:' operator(pg_catalog.||) c.role, u.created_at
          from changed c join auth.users u on u.id operator(pg_catalog.=) c.user_id where c.role operator(pg_catalog.<>) 'user'
            on conflict (user_id, facet) do update set created_at = excluded.created_at;
    else
        -- An array, as the planner takes "changed" for a thousand rows, and would read the whole table for one.
        delete from auth_private.directory_facets f
         where f.user_id operator(pg_catalog.=) any (array(select c.user_id from changed c where c.role operator(pg_catalog.<>) 'user'))
           and exists (select from changed c where c.user_id operator(pg_catalog.=) f.user_id and ('role:' operator(pg_catalog.||) c.role) operator(pg_catalog.=) f.facet);
    end if;
    return null;
end
$$;
comment on function auth_private.list_role_holders is 'Door: trigger; counts and lists who gets a role or loses it.';
create trigger user_roles_list_insert after insert on auth.user_roles referencing new table as changed for each statement execute function auth_private.list_role_holders();
create trigger user_roles_list_delete after delete on auth.user_roles referencing old table as changed for each statement execute function auth_private.list_role_holders();

-- Crosses: directory_counts, directory_facets, users. Because: as above.
create function auth_private.list_banned() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    if tg_op operator(pg_catalog.=) 'INSERT' then
        with counted as (insert into auth_private.directory_counts (facet, change)
                         select 'banned', pg_catalog.count(*) from changed having pg_catalog.count(*) operator(pg_catalog.>) 0)
        insert into auth_private.directory_facets (user_id, facet, created_at)
        select u.id, 'banned', u.created_at from auth.users u where u.id operator(pg_catalog.=) any (array(select c.user_id from changed c))
            on conflict (user_id, facet) do update set created_at = excluded.created_at;
    else
        with counted as (insert into auth_private.directory_counts (facet, change)
                         select 'banned', operator(pg_catalog.-) pg_catalog.count(*) from changed having pg_catalog.count(*) operator(pg_catalog.>) 0)
        delete from auth_private.directory_facets f
         where f.user_id operator(pg_catalog.=) any (array(select c.user_id from changed c)) and f.facet operator(pg_catalog.=) 'banned';
    end if;
    return null;
end
$$;
comment on function auth_private.list_banned is 'Door: trigger; counts and lists who is banned.';
create trigger bans_list_insert after insert on auth.bans referencing new table as changed for each statement execute function auth_private.list_banned();
create trigger bans_list_delete after delete on auth.bans referencing old table as changed for each statement execute function auth_private.list_banned();

-- Crosses: directory_counts. Because: as above. Where rows change in a way that the triggers above do not see or cannot follow
-- (TRUNCATE, another date of creation, another role in a row, replicated rows), the counts say nothing until they are counted again.
create function auth_private.distrust_directory() returns trigger
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = on
as $$
begin
    -- Those that are replicated; of an ordinary change the triggers above have written down what it was.
    if tg_op operator(pg_catalog.=) any ('{INSERT,DELETE}') and pg_catalog.current_setting('session_replication_role') operator(pg_catalog.<>) 'replica' then
        return null;
    end if;
    -- One row of this transaction: another's may be taken away by who counts and does not see what we have changed.
    if not exists (select from auth_private.directory_counts d
                    where d.facet is null and d.xmin operator(pg_catalog.=) (pg_catalog.pg_current_xact_id()::xid)) then
        insert into auth_private.directory_counts (change) values (0);
    end if;
    return null;
end
$$;
comment on function auth_private.distrust_directory is 'Door: trigger; says that the counts are not right any more.';
create trigger users_distrust_truncate after truncate on auth.users for each statement execute function auth_private.distrust_directory();
create trigger users_distrust_update after update on auth.users for each row when (old.id operator(pg_catalog.<>) new.id or old.created_at operator(pg_catalog.<>) new.created_at) execute function auth_private.distrust_directory();
create trigger users_distrust_replicated after insert or delete on auth.users for each row execute function auth_private.distrust_directory();
create trigger user_roles_distrust_truncate after truncate on auth.user_roles for each statement execute function auth_private.distrust_directory();
create trigger user_roles_distrust_update after update on auth.user_roles for each row when (old.user_id operator(pg_catalog.<>) new.user_id or old.role operator(pg_catalog.<>) new.role) execute function auth_private.distrust_directory();
create trigger user_roles_distrust_replicated after insert or delete on auth.user_roles for each row execute function auth_private.distrust_directory();
create trigger bans_distrust_truncate after truncate on auth.bans for each statement execute function auth_private.distrust_directory();
create trigger bans_distrust_update after update on auth.bans for each row when (old.user_id operator(pg_catalog.<>) new.user_id) execute function auth_private.distrust_directory();
create trigger bans_distrust_replicated after insert or delete on auth.bans for each row execute function auth_private.distrust_directory();
alter table auth.users enable always trigger users_distrust_truncate, enable always trigger users_distrust_update, enable replica trigger users_distrust_replicated;
alter table auth.user_roles enable always trigger user_roles_distrust_truncate, enable always trigger user_roles_distrust_update, enable replica trigger user_roles_distrust_replicated;
alter table auth.bans enable always trigger bans_distrust_truncate, enable always trigger bans_distrust_update, enable replica trigger bans_distrust_replicated;

-- Crosses: directory_counts, directory_facets, users, user_roles, bans. Because: as above. Callers: purge_expired.
-- One statement counts and takes away what was counted until then: a change that its snapshot does not see leaves its row, which is
-- summed up with the new count. Once a day even if nothing is amiss, in case that somebody has switched the triggers off.
create function auth_private.keep_directory() returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    moment   timestamptz := pg_catalog.clock_timestamp();
    is_right boolean;
    entries  bigint;
begin
    -- With an older snapshot one would count what somebody else has counted since.
    if pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.<>) 'read committed' then
        return;
    end if;
    -- One at a time: of two, both would take away the same rows and both count.
    lock table auth_private.directory_counts in share update exclusive mode nowait;
    select coalesce(pg_catalog.bool_or(d.counted_at operator(pg_catalog.>) (moment operator(pg_catalog.-) interval '1 day')
                                       and d.counted_at operator(pg_catalog.<=) moment), false)
           and not coalesce(pg_catalog.bool_or(d.facet is null), false), pg_catalog.count(*)
      into is_right, entries
      from auth_private.directory_counts d;
    if is_right then
        if entries operator(pg_catalog.>) 1000 then
            with summed as (delete from auth_private.directory_counts d where d.counted_at is null returning d.facet, d.change)
            insert into auth_private.directory_counts (facet, change)
            select s.facet, pg_catalog.sum(s.change) from summed s group by s.facet;
        end if;
        return;
    end if;
    with gone as (delete from auth_private.directory_counts)
    insert into auth_private.directory_counts (facet, change, counted_at)
    select w.facet, w.n, moment
      from (select 'users' as facet, pg_catalog.count(*) as n from auth.users
             union all select 'banned', pg_catalog.count(*) from auth.bans
             union all select 'role:' operator(pg_catalog.||) r.role, pg_catalog.count(*) from auth.user_roles r group by r.role) as w;
    insert into auth_private.directory_facets as f (user_id, facet, created_at)
    select u.id, w.facet, u.created_at
      from (select r.user_id, 'role:' operator(pg_catalog.||) r.role as facet from auth.user_roles r where r.role operator(pg_catalog.<>) 'user'
             union all select b.user_id, 'banned' from auth.bans b) as w
      join auth.users u on u.id operator(pg_catalog.=) w.user_id
     where not exists (select from auth_private.directory_facets f
                        where f.user_id operator(pg_catalog.=) w.user_id and f.facet operator(pg_catalog.=) w.facet
                          and f.created_at operator(pg_catalog.=) u.created_at)
        on conflict (user_id, facet) do update set created_at = excluded.created_at;
-- Somebody else is at it.
exception when lock_not_available or serialization_failure then
    null;
end
$$;
comment on function auth_private.keep_directory is 'Door: makes the counts and the order of the directory right again, and the rows that say so few.';
