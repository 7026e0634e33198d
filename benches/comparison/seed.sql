-- What takes part in the comparison: as many users as $users says, and $sessions sessions of theirs. One in a hundred has the role
-- "editor", one in a hundred is banned.
alter table auth.audit_log disable trigger audit_log_append_only;
select auth.define_user_role('editor', '{post:edit}');
-- As the extension makes them: in order of time.
create function public.id_of_user(n bigint) returns uuid language sql immutable as
    $f$select (lpad(to_hex(1577836800000 + n * 60000), 12, '0') || '7' || substr(md5('user' || n), 14))::uuid$f$;
insert into auth.users (id, email, name, email_verified, created_at, updated_at)
select public.id_of_user(n), 'user' || n || '@bench.example', 'User ' || n, true, moment, moment
  from generate_series(1, $users) n, lateral (select timestamptz '2020-01-01' + n * interval '1 minute' as moment) m;
insert into auth.user_roles (user_id, role) select public.id_of_user(n), case when n % 100 = 7 then 'editor' else 'user' end from generate_series(1, $users) n;
insert into auth.bans (user_id, reason) select public.id_of_user(n), 'spam' from generate_series(13, $users, 100) n;
insert into auth.sessions (id, user_id, expires_at)
select md5('session' || n)::uuid, public.id_of_user(1 + n % $users), timestamptz '2100-01-01' from generate_series(1, $sessions) n;
insert into auth_private.session_keys (token_hash, session_id, epoch, session_ctid)
select sha256(('as_bench_' || n)::bytea), s.id, 0, s.ctid from generate_series(1, $sessions) n join auth.sessions s on s.id = md5('session' || n)::uuid order by n;
-- What somebody would write by hand.
create table public.plain (id uuid primary key, user_id uuid not null, expires_at timestamptz not null);
insert into public.plain select md5('session' || n)::uuid, public.id_of_user(1 + n % $users), timestamptz '2100-01-01' from generate_series(1, $sessions) n;
grant select on public.plain to public;
alter table auth.audit_log enable trigger audit_log_append_only;
