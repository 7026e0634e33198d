-- The same for Better Auth, which has the indexes that its own migration makes.
insert into "user" (id, name, email, "emailVerified", "createdAt", "updatedAt", role, banned, "banReason")
select 'u' || n, 'User ' || n, 'user' || n || '@bench.example', true, moment, moment,
       case when n % 100 = 7 then 'editor' else 'user' end, n % 100 = 13, case when n % 100 = 13 then 'spam' end
  from generate_series(1, $users) n, lateral (select timestamptz '2020-01-01' + n * interval '1 minute' as moment) m;
insert into session (id, token, "userId", "expiresAt", "createdAt", "updatedAt")
select 's' || n, 'token' || n, 'u' || n, timestamptz '2100-01-01', now(), now() from generate_series(1, $users) n;
