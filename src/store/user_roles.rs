//! Application roles and who holds them.

use super::{call, callers, first, run};
use crate::backend::spi::{self, Mode, Row};
use crate::domain::permission;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// An application role with its permissions.
pub struct UserRole {
    pub name: String,
    pub description: Option<String>,
    pub built_in: bool,
    pub permissions: Vec<String>,
    pub created_at: TimestampWithTimeZone,
    pub updated_at: TimestampWithTimeZone,
}

fn user_role(row: &Row) -> UserRole {
    UserRole {
        name: row.value(1),
        description: row.get(2),
        built_in: row.value(3),
        permissions: row.value(4),
        created_at: row.value(5),
        updated_at: row.value(6),
    }
}

/// Every application role, by name. Of "admin", what applications have added too.
pub fn list() -> Vec<UserRole> {
    spi::query(
        Mode::Read,
        "select r.name, r.description, r.built_in,
                array(select distinct p.permission from auth.role_permissions p
                       where p.role operator(pg_catalog.=) r.name
                          or (r.name operator(pg_catalog.=) 'admin' and p.permission operator(pg_catalog.<>) 'user:impersonate-admins')
                       order by p.permission using operator(pg_catalog.<)),
                r.created_at, r.updated_at
           from auth.roles r order by r.name using operator(pg_catalog.<)",
        &[],
        user_role,
    )
}

/// One application role.
pub fn get(name: &str) -> Option<UserRole> {
    first(
        Mode::Write,
        "select r.name, r.description, r.built_in,
                array(select p.permission from auth.role_permissions p
                       where p.role operator(pg_catalog.=) r.name order by p.permission using operator(pg_catalog.<)),
                r.created_at, r.updated_at
           from auth.roles r where r.name operator(pg_catalog.=) $1",
        &[name.into()],
        user_role,
    )
}

/// Creates a role that holds nothing; false when there is one, also if it was made a moment ago.
pub fn create_empty(name: &str, description: Option<&str>) -> bool {
    let sql = "insert into auth.roles (name, description) values ($1, $2) on conflict do nothing returning true";
    first(Mode::Write, sql, &[name.into(), description.into()], |_| ()).is_some()
}

/// Writes over the description of a role, which stays until we are done; false when there is none.
pub fn describe(name: &str, description: Option<&str>) -> bool {
    let sql = "update auth.roles r set description = $2, updated_at = pg_catalog.clock_timestamp() where r.name operator(pg_catalog.=) $1 returning true";
    first(Mode::Write, sql, &[name.into(), description.into()], |_| ()).is_some()
}

/// Makes these the permissions of a role.
pub fn set_permissions(name: &str, permissions: &[String]) {
    run(
        "delete from auth.role_permissions p
          where p.role operator(pg_catalog.=) $1 and p.permission operator(pg_catalog.<>) all ($2::pg_catalog.text[])",
        &[name.into(), permissions.to_vec().into()],
    );
    run(
        "insert into auth.role_permissions (role, permission)
         select $1, wanted from pg_catalog.unnest($2::pg_catalog.text[]) as wanted
             on conflict do nothing",
        &[name.into(), permissions.to_vec().into()],
    );
}

/// Drops a role: false when somebody holds it, none when the caller may not.
pub fn drop(name: &str) -> Option<bool> {
    call("select auth_private.drop_role_row($1)", &[name.into()])
}

/// Makes these the roles of a user; false when they are others all the same. First the new ones: an administrator who demotes themselves
/// may still write them.
pub fn set(user: Uuid, roles: &[String], by: Option<Uuid>) -> bool {
    run(
        "insert into auth.user_roles (user_id, role, granted_by)
         select $1, wanted, $3 from pg_catalog.unnest($2::pg_catalog.text[]) as wanted
          where not exists (select from auth.user_roles r where r.user_id operator(pg_catalog.=) $1 and r.role operator(pg_catalog.=) wanted)",
        &[user.into(), roles.to_vec().into(), by.into()],
    );
    run(
        "delete from auth.user_roles r where r.user_id operator(pg_catalog.=) $1 and r.role operator(pg_catalog.<>) all ($2::pg_catalog.text[])",
        &[user.into(), roles.to_vec().into()],
    );
    // As of now, whatever our snapshot is: another call may have committed since it was taken.
    let held: Vec<String> = spi::query(
        Mode::Latest,
        "select r.role from auth.user_roles r where r.user_id operator(pg_catalog.=) $1 order by r.role using operator(pg_catalog.<)",
        &[user.into()],
        |row| row.value(1),
    );
    held == roles
}

/// Gives a user who was just created their roles.
pub fn create(user: Uuid, roles: &[String], by: Option<Uuid>) {
    run(
        "insert into auth.user_roles (user_id, role, granted_by) select $1, wanted, $3 from pg_catalog.unnest($2::pg_catalog.text[]) as wanted",
        &[user.into(), roles.to_vec().into(), by.into()],
    );
}

/// True when no other user with the role "admin" is free of a ban.
pub fn is_last_admin(user: Uuid) -> bool {
    callers::holdings_of_user(Mode::Write, user).0.iter().any(|role| role == permission::ADMIN)
        && call("select auth_private.is_last_admin($1)", &[user.into()]).unwrap_or(true)
}
