//! Passwords: a user's own, and those set by administrators.

use crate::backend::json::{Json, WholeJson};
use crate::backend::raise::{answer, run};
use crate::caller::{self, Attempt, Caller, Origin, Person, Record, hash_password};
use crate::config;
use crate::deeds::{self, mail};
use crate::domain::password::Password;
use crate::error::{Code, Result, required};
use crate::store::attempts::Subjects;
use crate::store::sessions::{self, Proof};
use crate::store::{Mode, callers, passwords, tokens, users};
use pgrx::{Uuid, pg_extern};
use serde_json::{Value, json};

/// `auth.change_password()`
#[pg_extern(sql = false)]
fn change_password(current_password: Option<String>, new_password: Option<String>, revoke_other_sessions: Option<bool>) -> WholeJson {
    run(move || {
        let person = caller::oneself()?;
        let policy = config::password_policy();
        let (current, new) = (required(current_password, "current_password")?, required(new_password, "new_password")?);
        let (current, new) =
            (Password::presented(&current, "current_password", &policy)?, Password::chosen(&new, "new_password", &policy)?);
        let user = person.session.user;
        let Some(known) = prove(&person, &current)? else { return Ok(wrong_password(&person, "change_password")) };
        let hash = hash_password(&new)?;
        tokens::revoke_all(user)?;
        if !passwords::change(user, &known.hash, &hash) {
            // Meanwhile the session has ended, or the password was changed.
            caller::latest().identified()?;
            return Ok(wrong_password(&person, "change_password"));
        }
        let (session, limited) = (person.session.id, person.session.limited);
        let revoke = revoke_other_sessions.unwrap_or(false);
        let record = Record::of(&Caller::User(person), "change_password").to(Some(user)).with("sessions_revoked", revoke);
        mail::password_changed(known.email.as_deref(), user);
        let changed = if revoke {
            sessions::end_all(user, false)?;
            let origin = Origin::of_connection();
            let opened = deeds::sessions::open(user, callers::epoch(Mode::Latest, user), Proof::Password(&hash), !limited, &origin);
            record.ok_ending()?;
            opened.ok_or(Code::INVALID_SESSION)?.render_renewed(!limited)
        } else {
            sessions::freshen(session);
            record.ok()?;
            deeds::sessions::renewed(session, None, Some(session))
        };
        Ok(changed)
    })
}

/// `auth.verify_password()`
#[pg_extern(sql = false)]
fn verify_password(password: Option<String>) -> WholeJson {
    run(move || {
        let person = caller::oneself()?;
        let password = Password::presented(&required(password, "password")?, "password", &config::password_policy())?;
        if prove(&person, &password)?.is_none() {
            return Ok(wrong_password(&person, "verify_password"));
        }
        sessions::freshen(person.session.id);
        let user = person.session.user;
        Record::of(&Caller::User(person), "verify_password").to(Some(user)).ok()?;
        Ok(WholeJson::of(&json!({})))
    })
}

/// `auth.set_password()`
#[pg_extern(sql = false)]
fn set_password(new_password: Option<String>) {
    run(move || {
        let person = caller::oneself()?;
        person.must_be_fresh()?;
        let password = Password::chosen(&required(new_password, "new_password")?, "new_password", &config::password_policy())?;
        let user = person.session.user;
        let (hash, email) = passwords::of_user(user).ok_or(Code::INVALID_SESSION)?;
        if hash.is_some() {
            return Err(Code::PASSWORD_ALREADY_SET.into());
        }
        let hash = hash_password(&password)?;
        tokens::revoke_all(user)?;
        if !passwords::insert(user, &hash) {
            return Err(Code::PASSWORD_ALREADY_SET.into());
        }
        mail::password_changed(email.as_deref(), user);
        Record::of(&Caller::User(person), "set_password").to(Some(user)).ok()?;
        Ok(())
    });
}

/// `auth.set_user_password()`
#[pg_extern(sql = false)]
fn set_user_password(user_id: Option<Uuid>, new_password: Option<String>, revoke_sessions: Option<bool>) -> Json {
    run(move || {
        let caller = caller::administrator("user:set-password")?;
        let user = required(user_id, "user_id")?;
        let policy = config::password_policy();
        let password = new_password.map(|text| Password::chosen(&text, "new_password", &policy)).transpose()?;
        caller.must_dominate(user)?;
        let removes = password.is_none();
        let record = Record::of(&caller, "set_user_password").needing("user:set-password").to(Some(user));
        let hash = password.map(|password| hash_password(&password)).transpose()?;
        tokens::revoke_all(user)?;
        let changes = match hash {
            Some(hash) => {
                passwords::put(user, &hash);
                true
            }
            None => passwords::remove(user),
        };
        if revoke_sessions.unwrap_or(true) {
            // Of oneself, the row that users write: holding the other one would keep a ban waiting.
            sessions::end_all(user, caller.user() != Some(user))?;
        }
        let changed = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        if changes {
            mail::password_changed(changed["email"].as_str(), user);
        }
        let record = record.with("removed", removes && changes).with("sessions_revoked", revoke_sessions.unwrap_or(true));
        // Whoever sets their own ends the session that they do it with.
        let ends = caller.user() == Some(user) && revoke_sessions.unwrap_or(true);
        if ends {
            record.ok_ending()?
        } else {
            record.ok()?
        }
        Ok(Json(changed))
    })
}

struct Known {
    hash: String,
    email: Option<String>,
}

/// Checks the caller's own password; none when it is wrong.
fn prove(person: &Person, password: &Password) -> Result<Option<Known>> {
    let user = person.session.user;
    let (hash, email) = passwords::of_user(user).ok_or(Code::INVALID_SESSION)?;
    let hash = hash.ok_or(Code::CREDENTIAL_ACCOUNT_NOT_FOUND)?;
    let origin = Origin::of_connection();
    // The count of sign_in: a stolen session must not be a second place to guess at.
    let subjects = Subjects::of_user(user, email.as_deref(), origin.address);
    Ok(Attempt::begin(subjects)?.check(password, Some(&hash))?.then_some(Known { hash, email }))
}

/// The answer to a wrong password, which is on record.
fn wrong_password(person: &Person, action: &'static str) -> WholeJson {
    let record = Record::of(&Caller::User(person.clone()), action).to(Some(person.session.user));
    record.failed(Code::INVALID_PASSWORD, &Origin::of_connection());
    answer(&Code::INVALID_PASSWORD.into(), None, Value::Null)
}
