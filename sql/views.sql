-- user_directory: what list_users reads, and the truth about who may: it is empty without user:list, whatever calls it.
-- A view of auth_door and not a policy on auth.users, because under a policy no operator that is not leakproof (and
-- neither ILIKE nor an order of text is) may use an index: a page out of a million users would read them all.
create view auth_private.user_directory as
select u.id, u.email, u.email_verified, u.name, u.image,
       array(select r.role from auth.user_roles r where r.user_id operator(pg_catalog.=) u.id order by r.role using operator(pg_catalog.<)) as roles,
       b.user_id is not null as banned, b.reason as ban_reason, b.expires_at as ban_expires_at,
       u.attributes, u.created_at, u.updated_at, u.last_sign_in_at
  from auth.users u
  left join auth.bans b on b.user_id operator(pg_catalog.=) u.id
                       and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())
 where (select auth.has_permission('user:list'));
comment on view auth_private.user_directory is 'Every user for holders of user:list, nobody for anybody else.';

-- live_sessions: the sessions that are good now, one's own and, with session:list or session:revoke, everybody's.
-- A view of auth_door because the epoch that a session carries lies beside its key, which nobody else reads.
create view auth_private.live_sessions as
select s.*
  from auth.sessions s
  join auth_private.session_keys k on k.session_id operator(pg_catalog.=) s.id
 where (s.user_id operator(pg_catalog.=) (select auth.uid()) or (select auth_private.holds_any('session:')))
   and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()
   and k.epoch operator(pg_catalog.=) coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) s.user_id), 0);
comment on view auth_private.live_sessions is 'The sessions that are good now.';
