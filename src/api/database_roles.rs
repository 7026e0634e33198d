//! Database roles. These functions belong to auth_role_manager.

use crate::backend::json::Json;
use crate::backend::raise::{could_not_serialize, run};
use crate::backend::{roles, state};
use crate::caller::{self, Caller, Record};
use crate::config;
use crate::domain::role_name;
use crate::error::{Code, Error, Result, required};
use crate::store::database_roles::{self, DatabaseRole};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::Oid;
use pgrx::{name, pg_extern};
use serde_json::{Value, json};

/// `auth.create_role()`
#[pg_extern(sql = false)]
fn create_role(role_name: Option<String>, can_login: Option<bool>) -> Json {
    run(move || {
        let caller = caller::administrator("database-role:create")?;
        let name = required(role_name, "role_name")?;
        role_name::new(&name)?;
        // Whoever logs in as a gateway is believed; making one is not for whoever may make roles.
        if config::is_trusted_gateway(&name) {
            return Err(Error::about(Code::INVALID_ARGUMENT, "role_name"));
        }
        roles::lock_creation();
        if roles::find(&name).is_some() {
            return Err(Code::ROLE_ALREADY_EXISTS.into());
        }
        database_roles::reconcile();
        let password = can_login.unwrap_or(true).then(role_name::password);
        let verifier = password.as_deref().map(|password| roles::scram_verifier(&name, password));
        let oid = roles::create(&name, verifier.as_deref());
        database_roles::insert(oid, true, false);
        record(&caller, "create_role", &name).needing("database-role:create").with("can_login", password.is_some()).ok()?;
        Ok(Json(render(&found(oid)?, password)))
    })
}

/// `auth.list_roles()`
#[pg_extern(sql = false)]
fn list_roles() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(protected, bool),
        name!(can_login, bool),
        name!(created_at, TimestampWithTimeZone),
        name!(updated_at, TimestampWithTimeZone),
    ),
> {
    run(move || {
        caller::with_permission("database-role:list")?;
        let rows = database_roles::list().into_iter().filter_map(|role| {
            let managed = role.managed?;
            Some((role.name, managed.protected, role.can_login, managed.created_at, managed.updated_at))
        });
        Ok(TableIterator::new(rows))
    })
}

/// `auth.get_role()`
#[pg_extern(sql = false)]
fn get_role(role_name: Option<String>) -> Json {
    run(move || {
        caller::with_permission("database-role:get")?;
        let name = required(role_name, "role_name")?;
        role_name::existing(&name)?;
        let role = found(roles::find(&name).ok_or(Code::ROLE_NOT_FOUND)?)?;
        if role.managed.is_none() {
            return Err(Code::ROLE_NOT_FOUND.into());
        }
        Ok(Json(render(&role, None)))
    })
}

/// `auth.reset_role_password()`
#[pg_extern(sql = false)]
fn reset_role_password(role_name: Option<String>) -> Json {
    run(move || {
        let caller = caller::administrator("database-role:reset-password")?;
        let name = required(role_name, "role_name")?;
        role_name::existing(&name)?;
        let password = role_name::password();
        let role = change_verifier(&name, || roles::scram_verifier(&name, &password))?;
        record(&caller, "reset_role_password", &name).needing("database-role:reset-password").ok()?;
        Ok(Json(render(&role, Some(password))))
    })
}

/// `auth.set_role_verifier()`
#[pg_extern(sql = false)]
fn set_role_verifier(role_name: Option<String>, verifier: Option<String>) -> Json {
    run(move || {
        let caller = caller::administrator("database-role:reset-password")?;
        let (name, verifier) = (required(role_name, "role_name")?, required(verifier, "verifier")?);
        role_name::existing(&name)?;
        role_name::verifier(&verifier)?;
        let role = change_verifier(&name, || verifier)?;
        record(&caller, "set_role_verifier", &name).needing("database-role:reset-password").ok()?;
        Ok(Json(render(&role, None)))
    })
}

/// `auth.delete_role()`
#[pg_extern(sql = false)]
fn delete_role(role_name: Option<String>) -> Option<Json> {
    run(move || {
        let caller = caller::administrator("database-role:delete")?;
        let name = required(role_name, "role_name")?;
        role_name::existing(&name)?;
        let Some(oid) = locked(&name, roles::lock_dependencies) else { return Ok(None) };
        let role = manageable(oid)?;
        refuse_obstacles(oid, false)?;
        if !database_roles::forget(oid) {
            could_not_serialize();
        }
        roles::revoke_privileges(oid);
        refuse_obstacles(oid, true)?;
        roles::drop(&name);
        record(&caller, "delete_role", &name).needing("database-role:delete").ok()?;
        Ok(Some(Json(render(&role, None))))
    })
}

/// `auth.protect_role()`
#[pg_extern(sql = false)]
fn protect_role(role_name: Option<String>, protected: Option<bool>) -> Json {
    run(move || {
        let caller = caller::administrator("database-role:protect")?;
        let name = required(role_name, "role_name")?;
        role_name::existing(&name)?;
        let protected = protected.unwrap_or(true);
        let oid = locked(&name, roles::lock_change).ok_or(Code::ROLE_NOT_FOUND)?;
        database_roles::reconcile();
        let mut role = found(oid)?;
        match &role.managed {
            None if protected => database_roles::insert(oid, false, true),
            None => return Err(Code::ROLE_NOT_FOUND.into()),
            Some(_) if !database_roles::protect(oid, protected) => could_not_serialize(),
            Some(_) => {}
        }
        record(&caller, "protect_role", &name).needing("database-role:protect").with("protected", protected).ok()?;
        role = found(oid)?;
        let rendered = render(&role, None);
        if !protected && role.managed.is_some_and(|managed| !managed.made_here) {
            database_roles::forget(oid);
        }
        Ok(Json(rendered))
    })
}

/// Sets another verifier, after the row that says who may: where the policy or an older snapshot does not show it, nothing happens.
fn change_verifier(name: &str, verifier: impl FnOnce() -> String) -> Result<DatabaseRole> {
    let oid = locked(name, roles::lock_change).ok_or(Code::ROLE_NOT_FOUND)?;
    let role = manageable(oid)?;
    if !role.can_login {
        return Err(Error::about(Code::INVALID_ARGUMENT, "role_name"));
    }
    if !database_roles::touch(oid) {
        could_not_serialize();
    }
    roles::set_verifier(name, &verifier());
    found(oid)
}

/// The role of that name, locked; none when there is none, or none any more.
fn locked(name: &str, lock: fn(Oid)) -> Option<Oid> {
    let oid = roles::find(name)?;
    lock(oid);
    roles::find(name).filter(|now| *now == oid)
}

fn found(oid: Oid) -> Result<DatabaseRole> {
    let untouchable = [config::trusted_gateways(), vec![state::session_user(), state::outer_user()]].concat();
    database_roles::get(oid, &untouchable).ok_or_else(|| Code::ROLE_NOT_FOUND.into())
}

/// A role that was made here, is not protected, and has no power: on PostgreSQL 15 CREATEROLE alone would let us reset the password of
/// anybody but a superuser, and on every version a role made here can have been given more since.
fn manageable(oid: Oid) -> Result<DatabaseRole> {
    let role = found(oid)?;
    match &role.managed {
        Some(managed) if managed.made_here && !managed.protected && !role.powerful && !role.out_of_reach => Ok(role),
        Some(managed) if managed.made_here && role.out_of_reach => {
            let hint = "grant … to auth_role_manager with admin true, inherit false, set false: pg_upgrade has not done so";
            Err(Error::about(Code::PROTECTED_ROLE, role.name).with_hint(hint))
        }
        _ => Err(Error::about(Code::PROTECTED_ROLE, role.name)),
    }
}

fn refuse_obstacles(oid: Oid, and_privileges: bool) -> Result<()> {
    let obstacles = database_roles::obstacles(oid, and_privileges);
    if obstacles.is_empty() { Ok(()) } else { Err(Error::about(Code::ROLE_OWNS_OBJECTS, obstacles.join("; "))) }
}

fn render(role: &DatabaseRole, password: Option<String>) -> Value {
    let managed = role.managed.as_ref();
    let mut rendered = json!({
        "name": role.name,
        "protected": managed.is_some_and(|managed| managed.protected),
        "can_login": role.can_login,
        "created_at": managed.map(|managed| managed.created_at),
        "updated_at": managed.map(|managed| managed.updated_at),
    });
    if let Some(password) = password {
        rendered["password"] = json!(password);
    }
    json!({"role": rendered})
}

fn record(caller: &Caller, action: &'static str, role: &str) -> Record {
    Record::of(caller, action).with("role", role)
}
