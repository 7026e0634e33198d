//! Forgotten passwords.

use crate::backend::json::Json;
use crate::backend::raise::run;
use crate::backend::state;
use crate::caller::{self, Caller, Origin, Record, hash_password};
use crate::config;
use crate::deeds::mail;
use crate::domain::message::Kind;
use crate::domain::{email::Email, password::Password, token};
use crate::error::{Code, required};
use crate::store::attempts::{self, Subjects};
use crate::store::{messages, tokens, users};
use pgrx::pg_extern;

/// `auth.request_password_reset()`
#[pg_extern(sql = false)]
fn request_password_reset(email: Option<String>) {
    run(move || {
        let caller = caller::not_impersonating()?;
        let email = Email::parse(&required(email, "email")?, "email")?;
        state::to_the_millisecond(|| {
            let user = messages::find_user(email.as_str()).map(|(user, _)| user);
            mail::with_token(Kind::ResetPassword, email.as_str(), user);
            Record::of(&caller, "request_password_reset").to(user).ok_at_last();
        });
        Ok(())
    });
}

/// `auth.reset_password()`
#[pg_extern(sql = false)]
fn reset_password(token: Option<String>, new_password: Option<String>) -> Json {
    run(move || {
        caller::not_impersonating()?;
        let (token, password) = (required(token, "token")?, required(new_password, "new_password")?);
        let password = Password::chosen(&password, "new_password", &config::password_policy())?;
        let token = token::token_hash(&token);
        // Without a good token nobody makes us hash.
        if !tokens::is_live(token, Kind::ResetPassword) {
            return Err(Code::INVALID_TOKEN.into());
        }
        let hash = hash_password(&password)?;
        let user = tokens::reset_password(token, &hash).ok_or(Code::INVALID_TOKEN)?;
        let changed = users::json(user).ok_or(Code::INVALID_TOKEN)?;
        attempts::forgive(&Subjects::of_user(user, changed["email"].as_str(), None), true);
        mail::password_changed(changed["email"].as_str(), user);
        Record::of(&Caller::Anonymous, "reset_password").by(user, None).ok_from(&Origin::of_connection());
        Ok(Json(changed))
    })
}
