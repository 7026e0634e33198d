//! Other users' sessions.

use crate::backend::raise::run;
use crate::caller::{self, Record};
use crate::error::{Code, required};
use crate::store::sessions;
use crate::store::users;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};

/// `auth.list_user_sessions()`
#[pg_extern(sql = false)]
fn list_user_sessions(
    user_id: Option<Uuid>,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(user_id, Uuid),
        name!(created_at, TimestampWithTimeZone),
        name!(updated_at, TimestampWithTimeZone),
        name!(expires_at, TimestampWithTimeZone),
        name!(ip_address, Option<String>),
        name!(user_agent, Option<String>),
        name!(impersonated_by, Option<Uuid>),
        name!(current, bool),
    ),
> {
    run(move || {
        let caller = caller::with_permission("session:list")?;
        let user = required(user_id, "user_id")?;
        if !users::exists(user) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        let current = caller.person().map(|person| person.session.id);
        Ok(TableIterator::new(sessions::list(user, true).into_iter().map(move |session| session.row(current))))
    })
}

/// `auth.revoke_user_session()`
#[pg_extern(sql = false)]
fn revoke_user_session(session_id: Option<Uuid>) -> bool {
    run(move || {
        caller::writable()?;
        let caller = caller::with_permission("session:revoke")?;
        let session = required(session_id, "session_id")?;
        let Some(user) = sessions::owner(session) else { return Ok(false) };
        caller.must_dominate_at_once(user)?;
        let record = Record::of(&caller, "revoke_user_session").to(Some(user)).with("session_id", session.to_string());
        let ended = sessions::end(session, user);
        if ended {
            let is_own = caller.person().is_some_and(|person| person.session.id == session);
            if is_own { record.ok_at_last() } else { record.needing("session:revoke").ok()? }
        }
        Ok(ended)
    })
}

/// `auth.revoke_user_sessions()`
#[pg_extern(sql = false)]
fn revoke_user_sessions(user_id: Option<Uuid>) -> i32 {
    run(move || {
        caller::writable()?;
        let caller = caller::with_permission("session:revoke")?;
        let user = required(user_id, "user_id")?;
        caller.must_dominate_at_once(user)?;
        let record = Record::of(&caller, "revoke_user_sessions").to(Some(user));
        let ended = sessions::count_live(user, None);
        sessions::end_all(user, caller.user() != Some(user))?;
        let record = record.with("sessions", ended);
        if caller.user() == Some(user) {
            record.ok_at_last()
        } else {
            record.needing("session:revoke").ok()?
        }
        Ok(ended)
    })
}
