//! Application roles and who holds them.

use crate::backend::json::{Json, WholeJson};
use crate::backend::raise::run;
use crate::backend::turns;
use crate::caller::{self, Caller, Record};
use crate::deeds::roles;
use crate::domain::permission::{is_name, is_permission};
use crate::error::{Code, Error, Result, invalid, required};
use crate::store::user_roles::{self, UserRole};
use crate::store::users;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};
use serde_json::json;

const MAX_DESCRIPTION: usize = 1_000;

/// `auth.set_user_roles()`
#[pg_extern(sql = false)]
fn set_user_roles(user_id: Option<Uuid>, roles: Option<Vec<Option<String>>>) -> WholeJson {
    run(move || {
        let caller = caller::administrator("user:set-role")?;
        let user = required(user_id, "user_id")?;
        let roles = roles::grantable(required(roles, "roles")?)?;
        turns::at_roles_of(user);
        caller.must_dominate(user)?;
        let before = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        let record = Record::of(&caller, "set_user_roles").to(Some(user));
        // Whoever gives themselves other roles may hold less afterwards.
        let record = if caller.user() == Some(user) { record } else { record.needing("user:set-role") };
        roles::replace(&caller, user, &roles)?;
        record.with("before", json!({"roles": before["roles"]})).with("after", json!({"roles": roles})).ok()?;
        users::rendered(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

/// `auth.define_user_role()`
#[pg_extern(sql = false)]
fn define_user_role(name: Option<String>, permissions: Option<Vec<Option<String>>>, description: Option<String>) -> Json {
    run(move || {
        let caller = caller::administrator("role:define")?;
        let name = required(name, "name")?;
        let permissions =
            required(permissions, "permissions")?.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| invalid("permissions"))?;
        if !is_name(&name) {
            return Err(invalid("name"));
        }
        if !permissions.iter().all(|permission| is_permission(permission)) {
            return Err(invalid("permissions"));
        }
        if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
            return Err(invalid("description"));
        }
        let definable = |before: Option<&UserRole>| {
            must_be_definable(before)?;
            let lacking = |permission: &String| !caller.holds(permission);
            let outranks = permissions.iter().chain(before.into_iter().flat_map(|role| &role.permissions)).any(lacking);
            if outranks { Err(Error::from(Code::TARGET_OUTRANKS_YOU)) } else { Ok(()) }
        };
        let mut before = user_roles::get(&name);
        definable(before.as_ref())?;
        if before.is_some() || !user_roles::create_empty(&name, description.as_deref()) {
            // It stays from here on; somebody else may have given it permissions meanwhile that the caller lacks.
            let is_there = user_roles::describe(&name, description.as_deref());
            before = user_roles::get(&name);
            definable(before.as_ref())?;
            if !is_there {
                return Err(Code::ROLE_NOT_FOUND.into());
            }
        }
        user_roles::set_permissions(&name, &permissions);
        let role = user_roles::get(&name).ok_or(Code::ROLE_NOT_FOUND)?;
        let record = record(&caller, "define_user_role", &name);
        let record = record.with("before", before.map_or(json!(null), |role| json!({"permissions": role.permissions})));
        record.with("after", json!({"permissions": role.permissions})).ok()?;
        Ok(Json(json!({
            "name": role.name,
            "description": role.description,
            "built_in": role.built_in,
            "permissions": role.permissions,
            "created_at": role.created_at,
            "updated_at": role.updated_at,
        })))
    })
}

/// `auth.drop_user_role()`
#[pg_extern(sql = false)]
fn drop_user_role(name: Option<String>) {
    run(move || {
        let caller = caller::administrator("role:define")?;
        let name = required(name, "name")?;
        let role = user_roles::get(&name).ok_or(Code::ROLE_NOT_FOUND)?;
        must_be_definable(Some(&role))?;
        if !role.permissions.iter().all(|permission| caller.holds(permission)) {
            return Err(Code::TARGET_OUTRANKS_YOU.into());
        }
        match user_roles::drop(&name) {
            Some(true) => {}
            Some(false) => return Err(Code::ROLE_IN_USE.into()),
            None => return Err(Code::ROLE_NOT_FOUND.into()),
        }
        record(&caller, "drop_user_role", &name).with("before", json!({"permissions": role.permissions})).ok()?;
        Ok(())
    });
}

/// `auth.list_user_roles()`
#[pg_extern(sql = false)]
fn list_user_roles() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(description, Option<String>),
        name!(built_in, bool),
        name!(permissions, Vec<String>),
        name!(created_at, TimestampWithTimeZone),
        name!(updated_at, TimestampWithTimeZone),
    ),
> {
    run(move || {
        caller::with_permission("role:list")?;
        let row = |role: UserRole| (role.name, role.description, role.built_in, role.permissions, role.created_at, role.updated_at);
        Ok(TableIterator::new(user_roles::list().into_iter().map(row)))
    })
}

fn must_be_definable(role: Option<&UserRole>) -> Result<()> {
    match role {
        Some(role) if role.built_in => Err(Error::about(Code::PROTECTED_ROLE, role.name.clone())),
        _ => Ok(()),
    }
}

fn record(caller: &Caller, action: &'static str, role: &str) -> Record {
    Record::of(caller, action).with("role", role)
}
