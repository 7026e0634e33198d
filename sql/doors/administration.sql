-- The doors of what is done to users, and of what is shown of them; what a door is stands in credentials.sql.

-- Crosses: users, accounts. Because: what only locks needs a policy for updates. Callers: unlink_account.
-- Every account of the user: another call that would take the other one away must then wait, and counts anew or fails.
create function auth_private.hold_accounts(of_user uuid) returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.users u where u.id operator(pg_catalog.=) of_user for no key update;
    return (select pg_catalog.count(*)
              from (select from auth.accounts a where a.user_id operator(pg_catalog.=) of_user
                     order by a.id using operator(pg_catalog.<) for update) as held);
end
$$;
comment on function auth_private.hold_accounts is 'Door: how many accounts a user has; they stay as they are until the transaction ends.';

-- Crosses: users. Because: what deletes belongs to auth_eraser, under whom nobody is signed in. Callers: delete_user, before it erases.
-- This is the truth of which delete_user's checks are the good messages.
create function auth_private.may_erase(target uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- The wait for whoever refers to the user in an open transaction comes before the question.
    perform from auth.users u where u.id operator(pg_catalog.=) target for update;
    return coalesce(target operator(pg_catalog.=) auth.uid(), false)
        or auth_private.holds_over('user:delete', target);
end
$$;
comment on function auth_private.may_erase is 'Door: true when the caller may delete the user.';

-- Crosses: bans, session_epochs. Because: they follow no foreign key. Callers: delete_user, of administrators.
-- Not when users delete themselves: what they hold deleted in an open transaction a ban would wait for. All that they can leave
-- behind is a ban that has expired, and counters.
create function auth_private.forget_restrictions(of_user uuid) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from auth.bans b where b.user_id operator(pg_catalog.=) of_user;
    delete from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) of_user;
end
$$;
comment on function auth_private.forget_restrictions is 'Door: what administrators have noted about a user who is being deleted.';

-- Crosses: roles. Because: who grants a role need not be allowed to define it. Callers: everything that grants roles.
create function auth_private.hold_roles(wanted text[]) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    held bigint;
begin
    select pg_catalog.count(*) into held
      from (select from auth.roles r where r.name operator(pg_catalog.=) any (wanted)
             -- "share": a role that is being granted in an open transaction gets no other permissions, since who defines it could not see to whom.
             order by r.name using operator(pg_catalog.<) for share) as roles;
    return held operator(pg_catalog.=) pg_catalog.cardinality(wanted);
end
$$;
comment on function auth_private.hold_roles is 'Door: keeps roles as they are until the transaction ends; false when one does not exist.';

-- Crosses: admin_guard, user_roles, bans. Because: the rule holds whatever the caller may read. Callers: set_user_roles, ban_user, delete_user.
create function auth_private.is_last_admin(target uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from auth.user_roles r where r.user_id operator(pg_catalog.=) target and r.role operator(pg_catalog.=) 'admin';
    if not found then
        return false;
    end if;
    update auth_private.admin_guard g set turns = g.turns operator(pg_catalog.+) 1;
    return exists (
               select from auth.bans b where b.user_id operator(pg_catalog.=) target
                  and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())) is false
       and not exists (
               select from auth.user_roles r
                where r.role operator(pg_catalog.=) 'admin' and r.user_id operator(pg_catalog.<>) target
                  and not exists (select from auth.bans b where b.user_id operator(pg_catalog.=) r.user_id
                                     and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())));
end
$$;
comment on function auth_private.is_last_admin is 'Door: true when no other user with the role "admin" is free of a ban.';
