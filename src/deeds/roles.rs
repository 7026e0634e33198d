//! Giving users application roles.

use crate::backend::raise::could_not_serialize;
use crate::caller::{self, Caller};
use crate::domain::permission;
use crate::error::{Code, Error, Result, invalid};
use crate::store::{callers, user_roles};
use pgrx::Uuid;

/// The argument `roles`, sorted: not empty, every one exists, and none holds what the caller lacks. Nothing is locked yet: the user to whom
/// they are given comes first.
pub fn grantable(roles: Vec<Option<String>>) -> Result<Vec<String>> {
    let mut roles = roles.into_iter().collect::<Option<Vec<String>>>().ok_or_else(|| invalid("roles"))?;
    if roles.is_empty() {
        return Err(invalid("roles"));
    }
    roles.sort_unstable();
    roles.dedup();
    must_be_grantable(&roles)?;
    Ok(roles)
}

/// Keeps these roles as they are until we are done, if they are still grantable.
pub fn hold(roles: &[String]) -> Result<()> {
    if !callers::hold_roles(roles) {
        return Err(Error::about(Code::INVALID_ROLE, "roles"));
    }
    must_be_grantable(roles)
}

fn must_be_grantable(roles: &[String]) -> Result<()> {
    match callers::dominates_roles(roles) {
        None => Err(Error::about(Code::INVALID_ROLE, "roles")),
        Some(false) => Err(Code::TARGET_OUTRANKS_YOU.into()),
        Some(true) => Ok(()),
    }
}

/// Makes these the roles of a user, but never takes the last active administrator away.
pub fn replace(caller: &Caller, user: Uuid, roles: &[String]) -> Result<()> {
    hold(roles)?;
    if !roles.iter().any(|role| role == permission::ADMIN) && user_roles::is_last_admin(user) {
        return Err(Code::LAST_ADMIN.into());
    }
    if !user_roles::set(user, roles, caller.user()) {
        // Our own session has ended amid it, and the policies let nothing more be deleted; or the user changes their own roles.
        caller::latest().identified()?;
        could_not_serialize();
    }
    Ok(())
}
