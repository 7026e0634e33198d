//! Who is calling.

use crate::backend::identity::{self, Identity, Scope};
use crate::backend::ids;
use crate::backend::json::{Given, WholeJson};
use crate::backend::raise::{notice, run};
use crate::backend::{index, request, state};
use crate::caller::{self, Caller};
use crate::domain::permission;
use crate::domain::token::token_hash;
use crate::error::{Code, Error, Result, invalid, required};
use crate::store::{Mode, callers, sessions, users};
use pgrx::{Uuid, pg_extern};
use serde_json::Value;

/// `auth.uid()`
#[pg_extern(sql = false)]
fn uid() -> Option<Uuid> {
    caller::live_session().map(|session| session.user)
}

/// `auth.session_id()`
#[pg_extern(sql = false)]
fn session_id() -> Option<Uuid> {
    caller::live_session().map(|session| session.id)
}

/// `auth.actor_id()`
#[pg_extern(sql = false)]
fn actor_id() -> Option<Uuid> {
    caller::live_session().map(|session| session.impersonator.unwrap_or(session.user))
}

/// `auth.current_user_roles()`
#[pg_extern(sql = false)]
fn current_user_roles() -> Vec<String> {
    caller::current().person().map(|person| person.rights.0.clone()).unwrap_or_default()
}

/// `auth.has_permission()`
#[pg_extern(sql = false)]
fn has_permission(permission: Option<String>) -> bool {
    run(move || {
        let permission = required(permission, "permission")?;
        must_exist(&permission)?;
        Ok(caller::current().holds(&permission))
    })
}

/// `auth.has_permissions()`
#[pg_extern(sql = false)]
fn has_permissions(permissions: Option<Given>, user_id: Option<Uuid>, roles: Option<Vec<Option<String>>>) -> bool {
    run(move || {
        let caller = caller::current().identified()?;
        let about_another = roles.is_none() && user_id.is_some() && user_id != caller.user();
        if about_another {
            caller.must_hold("user:get")?;
        }
        let wanted = wanted(&required(permissions, "permissions")?.read()?)?;
        let held = match (roles, user_id) {
            (Some(roles), _) => {
                let roles: Vec<String> = roles.into_iter().collect::<Option<_>>().ok_or_else(|| invalid("roles"))?;
                callers::holdings_of_roles(&roles).ok_or_else(|| Error::about(Code::INVALID_ROLE, "roles"))?
            }
            (None, Some(user)) if about_another => {
                if !users::exists(user) {
                    return Err(Code::USER_NOT_FOUND.into());
                }
                callers::holdings_of_user(Mode::Read, user).1
            }
            _ => return Ok(!wanted.is_empty() && wanted.iter().all(|permission| caller.holds(permission))),
        };
        Ok(!wanted.is_empty() && wanted.iter().all(|permission| held.holds(permission)))
    })
}

/// `auth.use_session()`
#[pg_extern(sql = false)]
fn use_session(token: Option<String>, is_local: Option<bool>) -> Uuid {
    run(move || {
        let token = required(token, "token")?;
        let (is_behind_gateway, is_local) = (request::is_behind_gateway(), is_local.unwrap_or(true));
        // The gateway's next request on this connection is somebody else's.
        if is_behind_gateway && !is_local {
            return Err(invalid("is_local"));
        }
        // A token in an address ends up in logs and histories.
        if request::current().is_some_and(|request| request.is_reading()) {
            return Err(Code::READ_ONLY.into());
        }
        if state::is_strangers_code() {
            return Err(Code::INVALID_SESSION.into());
        }
        let session = caller::session_by_token(token_hash(&token)).ok_or(Code::INVALID_SESSION)?;
        let scope = if is_local { Scope::Transaction } else { Scope::Connection };
        let id = ids::pure(session.id);
        if is_behind_gateway && !identity::is_same_subject(Some(id), true) {
            return Err(Error::about(Code::PERMISSION_DENIED, "use_session"));
        }
        identity::set(Some(Identity { session: id, scope }));
        if is_local && !state::is_transaction_block() {
            // As SET LOCAL says it: the next statement would find nobody signed in, without a word about why.
            notice(
                "there is no transaction block: the session is in use until this statement ends",
                "Begin a transaction first, or pass is_local => false on a connection that is this user's alone.",
            );
        }
        Ok(session.user)
    })
}

/// `auth.reset_session()`
#[pg_extern(sql = false)]
fn reset_session() {
    // Code that runs behind the caller's back must not take the caller's identity away either: without one, the trust in a
    // database role would decide.
    if !state::is_strangers_code() {
        identity::set(None);
    }
}

/// `auth.get_session()`
#[pg_extern(sql = false)]
fn render_session() -> Option<WholeJson> {
    sessions::rendered_with_user(&caller::live_session()?)
}

/// `auth_private.find_session()`
#[pg_extern(sql = false)]
fn find_session(token_hash: Option<Vec<u8>>) -> Option<Vec<Uuid>> {
    let session = caller::session_by_token(token_hash?.try_into().ok()?)?;
    Some([Some(session.id), Some(session.user), session.impersonator].into_iter().flatten().collect())
}

/// `auth_private.erasing()`
#[pg_extern(sql = false)]
fn erasing() -> Option<Uuid> {
    state::erasing()
}

/// `auth_private.holds()`
#[pg_extern(sql = false)]
fn holds(permission: Option<String>) -> bool {
    permission.is_some_and(|permission| caller::current().holds(&permission))
}

/// `auth_private.is_back_end()`
#[pg_extern(sql = false)]
fn is_back_end() -> bool {
    matches!(caller::current(), Caller::DatabaseRole)
}

/// `auth_private.holds_any()`
#[pg_extern(sql = false)]
fn holds_any(prefix: Option<String>) -> bool {
    let Some(prefix) = prefix else { return false };
    match caller::current() {
        Caller::User(person) => person.rights.1.holds_any(&prefix),
        Caller::DatabaseRole => true,
        Caller::Anonymous | Caller::Ended => false,
    }
}

/// `auth_private.holds_over()`
#[pg_extern(sql = false)]
fn holds_over(permission: Option<String>, user_id: Option<Uuid>) -> bool {
    let caller = caller::current();
    permission.is_some_and(|permission| caller.holds(&permission)) && user_id.is_some_and(|user| caller.dominates(user))
}

/// `auth_private.is_administrative()`
#[pg_extern(sql = false)]
fn is_administrative(user_id: Option<Uuid>) -> bool {
    user_id.is_some_and(|user| index::as_of_now(|| callers::holdings_of_user(Mode::Read, user)).1.is_administrative())
}

/// `auth_private.dominates_roles()`
#[pg_extern(sql = false)]
fn dominates_roles(roles: Option<Vec<Option<String>>>) -> Option<bool> {
    let roles: Vec<String> = roles?.into_iter().collect::<Option<_>>()?;
    let asked = callers::holdings_of_roles(&roles)?;
    Some(match caller::current() {
        Caller::User(person) => person.rights.1.dominates(&asked),
        Caller::DatabaseRole => true,
        Caller::Anonymous | Caller::Ended => false,
    })
}

/// A name that is in no role and not built in is an error: a misspelt policy would otherwise be closed, or open, in silence.
fn must_exist(permission: &str) -> Result<()> {
    if permission::is_built_in(permission) || callers::is_listed(permission) {
        Ok(())
    } else {
        Err(invalid("permission").with_hint("It is not built in, and no application role names it"))
    }
}

/// `{"user": ["ban", "list"]}` as `user:ban`, `user:list`; an empty object or list asks for nothing, which nobody is granted.
fn wanted(permissions: &Value) -> Result<Vec<String>> {
    let wrong = || invalid("permissions");
    let mut wanted = Vec::new();
    let mut asks_for_nothing = false;
    for (resource, actions) in permissions.as_object().ok_or_else(wrong)? {
        let actions = actions.as_array().ok_or_else(wrong)?;
        asks_for_nothing |= actions.is_empty();
        for action in actions {
            let permission = format!("{resource}:{}", action.as_str().ok_or_else(wrong)?);
            must_exist(&permission).map_err(|_| wrong())?;
            wanted.push(permission);
        }
    }
    Ok(if asks_for_nothing { Vec::new() } else { wanted })
}

/// `auth_private.new_id()`
#[pg_extern(sql = false)]
fn new_id() -> Uuid {
    ids::new()
}
