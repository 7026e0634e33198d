-- No "if not exists": a schema that somebody else made, and could add functions to, must stop the installation.
create schema auth;
comment on schema auth is 'pg_auth: users, sessions and their administration. Everything here is meant to be reached, and decides for itself who may.';

create schema auth_private;
comment on schema auth_private is 'pg_auth: secrets, key material and internal functions. Nobody but pg_auth has USAGE.';
