//! What of the server's catalogue bears on our safety.

use super::{Mode, first};
use crate::backend::{spi, state};

fn names(sql: &'static str, arguments: &[pgrx::datum::DatumWithOid]) -> Vec<String> {
    spi::query(Mode::Read, sql, arguments, |row| row.value::<String>(1))
}

/// Those of these roles that have more power than a gateway may have.
pub fn mighty(roles: Vec<String>) -> Vec<String> {
    names(
        "select r.rolname::pg_catalog.text from pg_catalog.pg_roles r
          where r.rolname::pg_catalog.text operator(pg_catalog.=) any ($1::pg_catalog.text[])
            and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolinherit)",
        &[roles.into()],
    )
}

/// Roles that can make themselves anything where CREATEROLE is not bounded: before PostgreSQL 16.
pub fn role_makers() -> Vec<String> {
    names(
        "select r.rolname::pg_catalog.text from pg_catalog.pg_roles r
          where r.rolcreaterole and not r.rolsuper and r.rolname operator(pg_catalog.<>) 'auth_role_manager'
            and pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.<) 160000",
        &[],
    )
}

/// Members of the roles that own everything; there may be none.
pub fn members_of_owners() -> Vec<String> {
    names(
        "select m.member::pg_catalog.regrole::pg_catalog.text from pg_catalog.pg_auth_members m
           join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) m.roleid
          where r.rolname::pg_catalog.text operator(pg_catalog.=) any ('{auth_owner,auth_door,auth_eraser,auth_role_manager}')
            and not m.member operator(pg_catalog.=) 10",
        &[],
    )
}

/// Schemas in which everybody can create.
pub fn open_schemas() -> Vec<String> {
    names(
        "select n.nspname::pg_catalog.text from pg_catalog.pg_namespace n
          where pg_catalog.has_schema_privilege('public', n.oid, 'create') and not pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')",
        &[],
    )
}

/// Publications that carry a table of ours that holds secrets, whether of all tables, of our schema or of that table.
pub fn publications_of_secrets() -> Vec<String> {
    names(
        "select distinct p.pubname::pg_catalog.text
           from pg_catalog.pg_publication p
          where p.puballtables
             or exists (select from pg_catalog.pg_publication_rel r join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) r.prrelid
                          join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
                         where r.prpubid operator(pg_catalog.=) p.oid and n.nspname operator(pg_catalog.=) 'auth_private')
             or exists (select from pg_catalog.pg_publication_namespace s join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) s.pnnspid
                         where s.pnpubid operator(pg_catalog.=) p.oid and n.nspname operator(pg_catalog.=) 'auth_private')",
        &[],
    )
}

/// Foreign keys on auth.users whose column is no uuid: a cast to it, which somebody has written, runs as auth_owner at every check.
pub fn casting_foreign_keys() -> Vec<String> {
    names(
        "select distinct pg_catalog.format('%I of %s', c.conname, c.conrelid::pg_catalog.regclass)
           from pg_catalog.pg_constraint c
           join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) c.conrelid and a.attnum operator(pg_catalog.=) any (c.conkey)
          where c.contype operator(pg_catalog.=) 'f' and c.confrelid operator(pg_catalog.=) 'auth.users'::pg_catalog.regclass
            and a.atttypid operator(pg_catalog.<>) 'pg_catalog.uuid'::pg_catalog.regtype
            and not exists (select from pg_catalog.pg_type t
                             where t.oid operator(pg_catalog.=) a.atttypid and t.typbasetype operator(pg_catalog.=) 'pg_catalog.uuid'::pg_catalog.regtype)",
        &[],
    )
}

/// Foreign keys of others on our tables, but for auth.users, that follow what happens there. Code of whoever owns the following table then runs as
/// auth_owner or auth_door; only the deletion of a user sees to that.
pub fn following_foreign_keys() -> Vec<String> {
    names(
        "select pg_catalog.format('%I of %s', c.conname, c.conrelid::pg_catalog.regclass)
           from pg_catalog.pg_constraint c
           join pg_catalog.pg_class r on r.oid operator(pg_catalog.=) c.confrelid
           join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) r.relnamespace
           join pg_catalog.pg_class f on f.oid operator(pg_catalog.=) c.conrelid
           join pg_catalog.pg_namespace o on o.oid operator(pg_catalog.=) f.relnamespace
          where c.contype operator(pg_catalog.=) 'f' and r.relname operator(pg_catalog.<>) 'users'
            and n.nspname::pg_catalog.text operator(pg_catalog.=) any ('{auth,auth_private}')
            and o.nspname::pg_catalog.text operator(pg_catalog.<>) all ('{auth,auth_private}')
            and (c.confdeltype operator(pg_catalog.=) any ('{c,n,d}') or c.confupdtype operator(pg_catalog.=) any ('{c,n,d}'))",
        &[],
    )
}

/// Who may drop the extension that ours needs, or the schema that it is in, and ours with it: all users and the audit log. The owner of the
/// database, where that is no superuser, owns what pg_database_owner owns.
pub fn owners_of_what_we_need() -> Vec<String> {
    names(
        "select distinct r.rolname::pg_catalog.text
           from pg_catalog.pg_extension e
           join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) e.extnamespace
           join pg_catalog.pg_database b on b.datname operator(pg_catalog.=) pg_catalog.current_database()
           join pg_catalog.pg_roles o on o.oid operator(pg_catalog.=) any (array[e.extowner, n.nspowner])
           join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) case when o.rolname operator(pg_catalog.=) 'pg_database_owner' then b.datdba else o.oid end
          where e.extname operator(pg_catalog.=) 'pg_trgm' and not r.rolsuper",
        &[],
    )
}

/// Who is no superuser and may make anybody a member of auth_admin or auth_mailer, as whoever made these roles before us may.
pub fn grantors_of_admin() -> Vec<String> {
    names(
        "select distinct g.rolname::pg_catalog.text from pg_catalog.pg_auth_members m
           join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) m.roleid
           join pg_catalog.pg_roles g on g.oid operator(pg_catalog.=) m.member
          where r.rolname::pg_catalog.text operator(pg_catalog.=) any ('{auth_admin,auth_mailer}') and m.admin_option and not g.rolsuper",
        &[],
    )
}

/// The names of the keys that hashes say they were made with, of those that the caller may see; in base64, as they stand.
pub fn key_names() -> Vec<String> {
    names(
        "select distinct pg_catalog.\"substring\"(p.hash, 'keyid=([A-Za-z0-9+/]+)') from auth_private.passwords p
          where p.hash operator(pg_catalog.~~) '$argon2%keyid=%'",
        &[],
    )
}

/// How many mails have waited for a quarter of an hour.
pub fn late_messages() -> i64 {
    first(
        Mode::Read,
        "select pg_catalog.count(*) from auth_private.messages m
          where m.completed_at is null and m.user_id is not null
            and m.created_at operator(pg_catalog.<) (pg_catalog.clock_timestamp() operator(pg_catalog.-) '15 minutes'::pg_catalog.interval)",
        &[],
        |row| row.value(1),
    )
    .unwrap_or(0)
}

/// Lines of pg_hba.conf that let somebody in without encryption from elsewhere, or without a proof; none where the caller may not look.
pub fn open_doors_of_the_server() -> Option<Vec<String>> {
    state::is_superuser().then(|| {
        state::as_outer_user(|| {
            names(
                "select pg_catalog.format('line %s: %s %s', h.line_number, h.type, h.auth_method)
                   from pg_catalog.pg_hba_file_rules h
                  where h.error is null and h.auth_method operator(pg_catalog.<>) 'reject'
                    and ((h.type operator(pg_catalog.=) any ('{host,hostnossl,hostnogssenc}')
                          and coalesce(h.address, '') operator(pg_catalog.<>) all ('{127.0.0.1,::1,localhost}'))
                         or (h.type operator(pg_catalog.<>) 'local' and h.auth_method operator(pg_catalog.=) any ('{trust,password}')))",
                &[],
            )
        })
    })
}
