-- failed_attempts: wrong passwords, one row each, never updated: a transaction that an attacker leaves open locks nobody else's row.
-- "subject" is a hash of what is being guessed at or from where, so the table tells nobody which addresses were tried.
create table auth_private.failed_attempts (
    id        bigint generated always as identity constraint failed_attempts_pkey primary key,
    subject   bytea not null,
    failed_at timestamptz not null default pg_catalog.clock_timestamp()
);
create index failed_attempts_subject_idx on auth_private.failed_attempts (subject, failed_at);
create index failed_attempts_failed_at_idx on auth_private.failed_attempts (failed_at);

alter table auth_private.failed_attempts enable row level security;
alter table auth_private.failed_attempts force row level security;
create policy failed_attempts_door on auth_private.failed_attempts to auth_door using (true) with check (true);
