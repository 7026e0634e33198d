-- What makes a page of the directory cheap: counts that are kept instead of counted, and an order in which those with a role or a ban
-- stand by age. Both only repeat what users, user_roles and bans say; sql/doors/directory.sql keeps them. UNLOGGED: after a crash, and
-- on a standby, they are empty, and list_users counts for itself; and no publication carries them to a subscriber, which has its own.

-- directory_counts: rows are only ever added, so that nobody waits for anybody; what a snapshot sees of them sums up to what it sees
-- of the tables.
create unlogged table auth_private.directory_counts (
    -- 'users', 'banned', 'role:' and a role; null says that something changed that nobody has counted.
    facet      text collate "C",
    change     bigint not null,
    -- Of a row that says how many there were at that moment.
    counted_at timestamptz
);
comment on table auth_private.directory_counts is 'How many users there are, how many are banned and how many hold each role, as sums.';

-- directory_facets: who is banned and who holds a role, but for "user", which nearly everybody holds. A row here proves nothing: who
-- reads it asks the table that it repeats.
create unlogged table auth_private.directory_facets (
    user_id    uuid not null,
    facet      text collate "C" not null,
    -- The user's.
    created_at timestamptz not null,
    constraint directory_facets_pkey primary key (user_id, facet)
);
comment on table auth_private.directory_facets is 'Who is banned and who holds which role, by age.';
create index directory_facets_order_idx on auth_private.directory_facets (facet, created_at, user_id);

alter table auth_private.directory_counts enable row level security;
alter table auth_private.directory_counts force row level security;
create policy directory_counts_select on auth_private.directory_counts for select to auth_owner using ((select auth.has_permission('user:list')));
create policy directory_counts_door on auth_private.directory_counts to auth_door using (true) with check (true);
alter table auth_private.directory_facets enable row level security;
alter table auth_private.directory_facets force row level security;
create policy directory_facets_select on auth_private.directory_facets for select to auth_owner using ((select auth.has_permission('user:list')));
create policy directory_facets_door on auth_private.directory_facets to auth_door using (true) with check (true);
