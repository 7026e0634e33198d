//! Database roles that are made or protected here. These run as auth_role_manager.

use super::{first, run};
use crate::backend::spi::{self, Mode, Row};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::Oid;

/// A database role as it is now, and what we know about it.
pub struct DatabaseRole {
    pub name: String,
    pub can_login: bool,
    /// Superuser, replication, BYPASSRLS, CREATEROLE, one of PostgreSQL's or of ours, a gateway or a caller; or a member of one.
    pub powerful: bool,
    /// From PostgreSQL 16 on, CREATEROLE reaches only the roles that were made or given with it. pg_upgrade gives none.
    pub out_of_reach: bool,
    /// None for a role that is neither made nor protected here.
    pub managed: Option<Managed>,
}

/// What we know about a role.
pub struct Managed {
    pub made_here: bool,
    pub protected: bool,
    pub created_at: TimestampWithTimeZone,
    pub updated_at: TimestampWithTimeZone,
}

fn role(row: &Row) -> DatabaseRole {
    let managed =
        row.get(5).map(|made_here| Managed { made_here, protected: row.value(6), created_at: row.value(7), updated_at: row.value(8) });
    DatabaseRole { name: row.value(1), can_login: row.value(2), powerful: row.value(3), out_of_reach: row.value(4), managed }
}

/// The role, whatever the transaction's snapshot is. `untouchable`: gateways and callers.
pub fn get(role_oid: Oid, untouchable: &[String]) -> Option<DatabaseRole> {
    first(
        Mode::Latest,
        "select r.rolname::pg_catalog.text, r.rolcanlogin,
                exists (select from pg_catalog.pg_roles d
                         where pg_catalog.pg_has_role(r.oid, d.oid, 'MEMBER')
                           and (d.rolsuper or d.rolreplication or d.rolbypassrls or d.rolcreaterole
                                or d.rolname operator(pg_catalog.~) '^(pg|auth)_'
                                or d.rolname operator(pg_catalog.=) any ('{anon,authenticated}'::pg_catalog.name[])
                                or d.rolname operator(pg_catalog.=) any ($2::pg_catalog.text[]))),
                pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.>=) 160000
                    and not pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'),
                m.made_here, m.protected, m.created_at, m.updated_at
           from pg_catalog.pg_roles r
           left join auth_private.managed_roles m on m.role_oid operator(pg_catalog.=) r.oid
                and m.database_oid operator(pg_catalog.=) (select b.oid from pg_catalog.pg_database b where b.datname operator(pg_catalog.=) pg_catalog.current_database())
          where r.oid operator(pg_catalog.=) $1",
        &[role_oid.into(), untouchable.to_vec().into()],
        role,
    )
}

/// All of them, by name.
pub fn list() -> Vec<DatabaseRole> {
    spi::query(
        Mode::Read,
        "select r.rolname::pg_catalog.text, r.rolcanlogin, false, false, m.made_here, m.protected, m.created_at, m.updated_at
           from auth_private.managed_roles m
           join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) m.role_oid
          where m.database_oid operator(pg_catalog.=) (select b.oid from pg_catalog.pg_database b where b.datname operator(pg_catalog.=) pg_catalog.current_database())
          order by r.rolname using operator(pg_catalog.<)",
        &[],
        role,
    )
}

/// Notes a role that was made here, or one that is only to be protected. What is left of a role that had the oid before goes.
pub fn insert(role_oid: Oid, made_here: bool, protected: bool) {
    run(
        "insert into auth_private.managed_roles (role_oid, database_oid, made_here, protected)
         select $1, b.oid, $2, $3 from pg_catalog.pg_database b where b.datname operator(pg_catalog.=) pg_catalog.current_database()",
        &[role_oid.into(), made_here.into(), protected.into()],
    );
}

/// Notes a new password; false when the caller may not.
pub fn touch(role_oid: Oid) -> bool {
    first(
        Mode::Write,
        "update auth_private.managed_roles m set updated_at = pg_catalog.clock_timestamp()
          where m.role_oid operator(pg_catalog.=) $1 and m.made_here and not m.protected returning true",
        &[role_oid.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Protects a role or takes the protection away; false when the caller may not.
pub fn protect(role_oid: Oid, protected: bool) -> bool {
    first(
        Mode::Write,
        "update auth_private.managed_roles m set protected = $2, updated_at = pg_catalog.clock_timestamp()
          where m.role_oid operator(pg_catalog.=) $1 returning true",
        &[role_oid.into(), protected.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Forgets a role; false when the caller may not.
pub fn forget(role_oid: Oid) -> bool {
    first(
        Mode::Write,
        "delete from auth_private.managed_roles m where m.role_oid operator(pg_catalog.=) $1 returning true",
        &[role_oid.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Forgets the roles that were dropped behind our back, and those of the database that this one is a copy of.
pub fn reconcile() {
    run(
        "delete from auth_private.managed_roles m
          where not exists (select from pg_catalog.pg_roles r where r.oid operator(pg_catalog.=) m.role_oid)
             or m.database_oid operator(pg_catalog.<>) (select b.oid from pg_catalog.pg_database b where b.datname operator(pg_catalog.=) pg_catalog.current_database())",
        &[],
    );
}

/// What keeps a role from being deleted, database by database. `and_privileges`: those in this database too. A membership is its grantor's from
/// PostgreSQL 16 on, and would go with it.
pub fn obstacles(role_oid: Oid, and_privileges: bool) -> Vec<String> {
    // What a transaction has once seen of pg_stat_activity it sees until its end.
    run("select pg_catalog.pg_stat_clear_snapshot()", &[]);
    spi::query(
        Mode::Latest,
        "select pg_catalog.format('database %I: %s', pg_catalog.current_database(),
                    case when d.deptype operator(pg_catalog.=) 'o' then 'owner of ' else 'privileges on ' end
                    operator(pg_catalog.||) pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid))
           from pg_catalog.pg_shdepend d join pg_catalog.pg_database b on b.oid operator(pg_catalog.=) d.dbid
          where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid operator(pg_catalog.=) $1
            and b.datname operator(pg_catalog.=) pg_catalog.current_database()
            and (d.deptype operator(pg_catalog.=) 'o' or $2)
         union all
         select case when d.deptype operator(pg_catalog.=) 'o' then 'owner of ' else 'privileges on ' end
                operator(pg_catalog.||) pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
           from pg_catalog.pg_shdepend d
          where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid operator(pg_catalog.=) $1
            and d.dbid operator(pg_catalog.=) 0::pg_catalog.oid
            and (d.deptype operator(pg_catalog.=) 'o' or $2
                 or (d.classid operator(pg_catalog.=) 'pg_catalog.pg_database'::pg_catalog.regclass
                     and d.objid operator(pg_catalog.<>) (select b.oid from pg_catalog.pg_database b where b.datname operator(pg_catalog.=) pg_catalog.current_database())))
         union all
         select distinct pg_catalog.format('gave membership in %I', r.rolname)
           from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) m.roleid
          where m.grantor operator(pg_catalog.=) $1 and m.member operator(pg_catalog.<>) $1
            and pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.>=) 160000
         union all
         select distinct 'gave privileges on ' operator(pg_catalog.||) pg_catalog.pg_describe_object(g.class, g.object, 0)
           from (select 'pg_catalog.pg_class'::pg_catalog.regclass as class, c.oid as object, c.relacl as acl from pg_catalog.pg_class c
                 union all select 'pg_catalog.pg_class'::pg_catalog.regclass, t.attrelid, t.attacl from pg_catalog.pg_attribute t
                 union all select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proacl from pg_catalog.pg_proc p
                 union all select 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, n.nspacl from pg_catalog.pg_namespace n
                 union all select 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, y.typacl from pg_catalog.pg_type y
                 union all select 'pg_catalog.pg_database'::pg_catalog.regclass, b.oid, b.datacl from pg_catalog.pg_database b) g,
                pg_catalog.aclexplode(g.acl) x
          where x.grantor operator(pg_catalog.=) $1 and x.grantee operator(pg_catalog.<>) $1
         union all
         select pg_catalog.format('database %I: owner of %s objects, privileges on %s', b.datname,
                    pg_catalog.count(*) filter (where d.deptype operator(pg_catalog.=) 'o'), pg_catalog.count(*) filter (where d.deptype operator(pg_catalog.<>) 'o'))
           from pg_catalog.pg_shdepend d join pg_catalog.pg_database b on b.oid operator(pg_catalog.=) d.dbid
          where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid operator(pg_catalog.=) $1
            and b.datname operator(pg_catalog.<>) pg_catalog.current_database()
          group by b.datname
         union all
         select pg_catalog.format('%s live connections', pg_catalog.count(*))
           from pg_catalog.pg_stat_activity a where a.usesysid operator(pg_catalog.=) $1
         having pg_catalog.count(*) operator(pg_catalog.>) 0
         limit 100",
        &[role_oid.into(), and_privileges.into()],
        |row| row.value(1),
    )
}
