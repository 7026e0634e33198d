//! Proving an address, and changing it.

use crate::backend::json::Json;
use crate::backend::raise::run;
use crate::backend::state;
use crate::caller::{self, Caller, Origin, Record};
use crate::deeds::mail;
use crate::domain::message::Kind;
use crate::domain::{email::Email, token};
use crate::error::{Code, Error, invalid, required};
use crate::store::attempts::Subjects;
use crate::store::{Mode, callers, messages, tokens, users};
use pgrx::pg_extern;
use serde_json::json;

/// `auth.send_verification_email()`
#[pg_extern(sql = false)]
fn send_verification_email(email: Option<String>) {
    run(move || {
        let caller = caller::not_impersonating()?;
        let own = || caller.user().and_then(users::json).and_then(|user| user["email"].as_str().map(str::to_owned));
        if email.is_none() && matches!(caller, Caller::Ended) {
            return Err(Code::INVALID_SESSION.into());
        }
        let email = Email::parse(&required(email.or_else(own), "email")?, "email")?;
        state::to_the_millisecond(|| {
            let user = messages::find_user(email.as_str()).filter(|(_, verified)| !verified).map(|(user, _)| user);
            mail::verification(email.as_str(), user);
            Record::of(&caller, "send_verification_email").to(user).ok_at_last();
        });
        Ok(())
    });
}

/// `auth.verify_email()`
#[pg_extern(sql = false)]
fn verify_email(token: Option<String>) -> Json {
    run(move || {
        caller::not_impersonating()?;
        let token = required(token, "token")?;
        let verified = tokens::verify_address(token::token_hash(&token)).ok_or(Code::INVALID_TOKEN)?;
        if verified.is_taken {
            return Err(Code::USER_ALREADY_EXISTS.into());
        }
        // A change of address dies with the sessions, which may have been ended since we looked: while we waited for whoever else wants the address,
        // or before, where the snapshot is older.
        if verified.is_change && callers::epoch(Mode::Latest, verified.user) != callers::epoch(Mode::Read, verified.user) {
            return Err(Code::INVALID_TOKEN.into());
        }
        let user = users::json(verified.user).ok_or(Code::INVALID_TOKEN)?;
        let record = Record::of(&Caller::Anonymous, "verify_email").by(verified.user, None);
        let record = record.with("email", user["email"].clone()).with("unproven_removed", verified.unproven_removed);
        if let (Some(former), Some(new)) = (&verified.former_address, user["email"].as_str()) {
            mail::email_changed(Some(former), verified.user, new, true);
        }
        let record = record.with("before", verified.former_address.map(|former| json!({"email": former})));
        record.ok_from(&Origin::of_connection());
        Ok(Json(user))
    })
}

/// `auth.change_email()`
#[pg_extern(sql = false)]
fn change_email(new_email: Option<String>) {
    run(move || {
        let person = caller::oneself()?;
        person.must_be_fresh()?;
        let new = Email::parse(&required(new_email, "new_email")?, "new_email")?;
        let user = person.session.user;
        // Each request sends mail to an address of the caller's choice.
        caller::charge(&Subjects::new(&format!("change_email {user}"), None))?;
        let before = users::json(user).ok_or_else(|| Error::from(Code::INVALID_SESSION))?;
        let former = before["email"].as_str();
        if former == Some(new.as_str()) {
            return Err(invalid("new_email").with_hint("It is the address already"));
        }
        // However it goes on: by an earlier token that dies in only one of the two cases, the caller could tell them apart.
        tokens::revoke(user, &[Kind::ChangeEmail])?;
        match messages::find_user(new.as_str()) {
            Some((owner, _)) => mail::address_taken(new.as_str(), owner),
            None => mail::with_token(Kind::ChangeEmail, new.as_str(), Some(user)),
        }
        mail::email_changed(former, user, new.as_str(), false);
        // The token dies with the sessions of the moment when it was queued. No policy has asked since this statement began, which may be long
        // ago: whoever was thrown out meanwhile would have one of the sessions that came after, but for the question that ok() asks.
        Record::of(&Caller::User(person), "change_email").to(Some(user)).with("new_email", new.as_str()).ok()?;
        Ok(())
    });
}
