//! Impersonation: an administrator sees what a user sees, and the record shows both.

use crate::backend::identity::{self, Identity};
use crate::backend::ids;
use crate::backend::json::{Json, WholeJson};
use crate::backend::raise::run;
use crate::caller::{self, Caller, Origin, Record};
use crate::deeds::sessions::Shown;
use crate::domain::permission::IMPERSONATE_ADMINS;
use crate::domain::token;
use crate::error::{Code, invalid, required};
use crate::store::{Mode, bans, callers, sessions, users};
use pgrx::datum::Interval;
use pgrx::{Uuid, pg_extern};
use serde_json::json;

const LONGEST_MICROS: i64 = 60 * 60 * 1_000_000;

/// `auth.impersonate_user()`
#[pg_extern(sql = false)]
fn impersonate_user(user_id: Option<Uuid>, duration: Option<Interval>) -> WholeJson {
    run(move || {
        caller::writable()?;
        // A person, not a database role: every line of the audit log is to name who looked.
        let person = caller::signed_in()?;
        person.must_be_oneself()?;
        let actor = person.session.clone();
        let caller = Caller::User(person);
        caller.must_hold("user:impersonate")?;
        let user = required(user_id, "user_id")?;
        let duration = duration.unwrap_or_else(|| Interval::from_hours(1));
        // Months and days are as long as the calendar says: no part of an hour.
        if duration.months() != 0 || duration.days() != 0 || !(1..=LONGEST_MICROS).contains(&duration.micros()) {
            return Err(invalid("duration"));
        }
        if !users::guard(user, false) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        if callers::holdings_of_user(Mode::Latest, user).1.is_administrative() && !caller.holds(IMPERSONATE_ADMINS) {
            return Err(Code::YOU_CANNOT_IMPERSONATE_ADMINS.into());
        }
        caller.must_dominate(user)?;
        if bans::current(user).is_some() {
            return Err(Code::BANNED_USER.into());
        }
        let token = token::new_token();
        let lifetime = duration.micros() as f64 / 1_000_000.0;
        let address = Origin::of_connection().address;
        let session =
            sessions::open_impersonation(user, &actor, token::token_hash(&token), lifetime, address).ok_or(Code::USER_NOT_FOUND)?;
        let opened = Shown::of(session, token, Some(actor.id));
        let record =
            Record::of(&caller, "impersonate_user").needing("user:impersonate").to(Some(user)).with("session_id", session.to_string());
        record.with("expires_at", opened.expires_at()).ok()?;
        Ok(WholeJson::of(&opened))
    })
}

/// `auth.stop_impersonating()`
#[pg_extern(sql = false)]
fn stop_impersonating() -> Json {
    run(move || {
        caller::writable()?;
        let person = caller::signed_in()?;
        let session = person.session.clone();
        let (Some(actor), Some(parent)) = (session.impersonator, session.parent) else { return Err(Code::NOT_IMPERSONATING.into()) };
        let record = Record::of(&Caller::User(person), "stop_impersonating").to(Some(session.user));
        sessions::end(session.id, session.user);
        // For as long as the impersonation would have lasted: the transaction or the connection.
        let back = identity::get().map(|used| Identity { session: ids::pure(parent), ..used });
        identity::set(back);
        record.ok_at_last();
        Ok(Json(json!({"user": users::json(actor), "session": sessions::json(parent, Some(parent))})))
    })
}
