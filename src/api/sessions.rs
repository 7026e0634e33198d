//! Signing up, in and out, and a user's own sessions.

use crate::backend::identity;
use crate::backend::json::Json;
use crate::backend::raise::{answer, run};
use crate::caller::{self, Caller, Origin, Record, check_password, hash_password};
use crate::config;
use crate::deeds::{self, attributes};
use crate::domain::email::Email;
use crate::domain::password::{self, Password};
use crate::domain::{profile, token};
use crate::error::{Code, Result, required};
use crate::store::attempts::Subjects;
use crate::store::passwords::{self, Credentials};
use crate::store::sessions::{self, ListedSession, NewSession};
use crate::store::users;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};
use serde_json::{Value, json};

/// `auth.sign_up()`
#[pg_extern(sql = false)]
fn sign_up(
    email: Option<String>,
    password: Option<String>,
    name: Option<String>,
    image: Option<String>,
    attributes: Option<Json>,
    ip_address: Option<String>,
    user_agent: Option<String>,
) -> Json {
    run(|| {
        caller::writable()?;
        if !config::sign_up() {
            return Err(Code::SIGN_UP_DISABLED.into());
        }
        let (email, password) = (required(email, "email")?, required(password, "password")?);
        let email = Email::parse(&email)?;
        let password = Password::chosen(&password, &config::password_policy())?;
        let name = profile::name(name.unwrap_or_default())?;
        let image = image.map(profile::image).transpose()?;
        let attributes = attributes::stored(attributes.map_or_else(|| json!({}), |json| json.0))?;
        let origin = Origin::new(ip_address.as_deref(), user_agent)?;
        // Before it is known whether the address is taken, so that the time does not tell.
        let hash = hash_password(&password)?;
        let record = Record::of(&Caller::Anonymous, "sign_up");
        let registered = users::register(email.as_str(), &name, image.as_deref(), attributes.clone(), &hash);
        if config::require_email_verification() {
            let user = match registered {
                Some((user, _)) => {
                    record.by(user, None).ok_from(&origin);
                    users::json(user).unwrap_or(Value::Null)
                }
                None => {
                    record.failed(Code::USER_ALREADY_EXISTS, &origin);
                    users::look_alike(email.as_str(), &name, image.as_deref(), attributes)
                }
            };
            return Ok(Json(json!({"user": user, "session": null, "token": null, "access_token": null})));
        }
        let (user, epoch) = registered.ok_or(Code::USER_ALREADY_EXISTS)?;
        let opened = open(user, epoch, &hash, true, &origin).ok_or(Code::USER_NOT_FOUND)?;
        record.by(user, Some(opened.session)).ok_from(&origin);
        Ok(Json(opened.render(user, true)))
    })
}

/// `auth.sign_in()`
#[pg_extern(sql = false)]
fn sign_in(
    email: Option<String>,
    password: Option<String>,
    remember_me: Option<bool>,
    ip_address: Option<String>,
    user_agent: Option<String>,
) -> Json {
    run(|| {
        caller::writable()?;
        let (email, password) = (required(email, "email")?, required(password, "password")?);
        let email = Email::parse(&email)?;
        let password = Password::presented(&password, &config::password_policy())?;
        let remember_me = remember_me.unwrap_or(true);
        let origin = Origin::new(ip_address.as_deref(), user_agent)?;
        let record = Record::of(&Caller::Anonymous, "sign_in");
        let found = passwords::find_credentials(email.as_str());
        let record = record.to(found.as_ref().map(|found| found.user));
        let hash = found.as_ref().and_then(|found| found.hash.as_deref());
        let right = check_password(&Subjects::new(email.as_str(), origin.address), &password, hash)?;
        let Some((found, hash)) = found.as_ref().zip(hash).filter(|_| right) else {
            return Ok(Json(refuse(record, Code::INVALID_EMAIL_OR_PASSWORD, &origin)));
        };
        if let Some((reason, expires_at)) = &found.ban {
            record.failed(Code::BANNED_USER, &origin);
            let details = json!({"reason": reason, "expires_at": expires_at});
            return Ok(Json(answer(&Code::BANNED_USER.into(), Some(config::banned_user_message()), details)));
        }
        if config::require_email_verification() && !found.email_verified {
            return Ok(Json(refuse(record, Code::EMAIL_NOT_VERIFIED, &origin)));
        }
        let renewed = renew(found, hash, &password)?;
        let hash = renewed.as_deref().unwrap_or(hash);
        let Some(opened) = open(found.user, found.epoch, hash, remember_me, &origin) else {
            return Ok(Json(refuse(record, Code::INVALID_EMAIL_OR_PASSWORD, &origin)));
        };
        record.by(found.user, Some(opened.session)).ok_from(&origin);
        Ok(Json(opened.render(found.user, remember_me)))
    })
}

/// `auth.refresh_session()`
#[pg_extern(sql = false)]
fn refresh_session(token: Option<String>) -> Json {
    run(|| {
        caller::writable()?;
        let token = required(token, "token")?;
        let (session, user) = sessions::find_by_token(token::token_hash(&token)).ok_or(Code::INVALID_SESSION)?;
        if sessions::slide(session, config::session_lifetime(true), config::session_update_age()) {
            Record::of(&Caller::Anonymous, "refresh_session").by(user, Some(session)).ok();
        }
        let current = caller::current().person().map(|person| person.session.id);
        Ok(Json(deeds::sessions::opened(user, session, token, current)))
    })
}

/// `auth.sign_out()`
#[pg_extern(sql = false)]
fn sign_out() -> bool {
    run(|| {
        caller::writable()?;
        let caller = Caller::User(caller::signed_in()?);
        let record = Record::of(&caller, "sign_out").to(caller.user());
        let is_in_cookie = caller.person().is_some_and(|person| deeds::sessions::is_in_cookie(person.session.id));
        let ended = caller.person().is_some_and(|person| sessions::end(person.session.id, person.session.user));
        identity::leave();
        if is_in_cookie {
            deeds::sessions::forget_cookie();
        }
        record.ok();
        Ok(ended)
    })
}

/// `auth.list_sessions()`
#[pg_extern(sql = false)]
fn list_sessions() -> TableIterator<
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
    run(|| {
        let session = caller::signed_in()?.session;
        let rows = sessions::list(session.user, false).into_iter().map(move |s: ListedSession| s.row(Some(session.id)));
        Ok(TableIterator::new(rows))
    })
}

/// `auth.revoke_session()`
#[pg_extern(sql = false)]
fn revoke_session(session_id: Option<Uuid>) -> bool {
    run(|| {
        caller::writable()?;
        let caller = Caller::User(caller::signed_in()?);
        let session = required(session_id, "session_id")?;
        let record = Record::of(&caller, "revoke_session").to(caller.user()).with("session_id", session.to_string());
        let ended = caller.user().is_some_and(|user| sessions::end(session, user));
        if ended {
            record.ok();
        }
        Ok(ended)
    })
}

/// `auth.revoke_sessions()`
#[pg_extern(sql = false)]
fn revoke_sessions() -> i32 {
    run(|| revoke_own("revoke_sessions", false))
}

/// `auth.revoke_other_sessions()`
#[pg_extern(sql = false)]
fn revoke_other_sessions() -> i32 {
    run(|| revoke_own("revoke_other_sessions", true))
}

fn revoke_own(action: &'static str, keep_current: bool) -> Result<i32> {
    caller::writable()?;
    let person = caller::signed_in()?;
    let (session, user) = (person.session.id, person.session.user);
    let caller = Caller::User(person);
    let record = Record::of(&caller, action).to(Some(user));
    let kept = keep_current.then_some(session);
    let ended = sessions::count_live(user, kept);
    sessions::end_all(user, false);
    if kept.is_some_and(|session| !sessions::keep(session)) {
        return Err(Code::INVALID_SESSION.into());
    }
    record.with("sessions", ended).ok();
    Ok(ended)
}

struct Opened {
    session: Uuid,
    token: String,
}

impl Opened {
    fn render(self, user: Uuid, remember_me: bool) -> Value {
        deeds::sessions::set_cookie(&self.token, remember_me.then(|| config::session_lifetime(true)));
        deeds::sessions::opened(user, self.session, self.token, None)
    }
}

fn open(user: Uuid, epoch: i64, checked_hash: &str, remember_me: bool, origin: &Origin) -> Option<Opened> {
    let token = token::new_token();
    let session = sessions::open(&NewSession {
        user,
        epoch,
        checked_hash,
        token_hash: token::token_hash(&token),
        lifetime: config::session_lifetime(remember_me),
        fixed: !remember_me,
        address: origin.address,
        agent: origin.agent.as_deref(),
    })?;
    Some(Opened { session, token })
}

fn refuse(record: Record, code: Code, origin: &Origin) -> Value {
    record.failed(code, origin);
    answer(&code.into(), None, Value::Null)
}

/// Hashes the password anew where its hash was made with other parameters than today's.
fn renew(found: &Credentials, hash: &str, password: &Password) -> Result<Option<String>> {
    if !password::is_outdated(hash, config::password_cost()) {
        return Ok(None);
    }
    let new_hash = hash_password(password)?;
    Ok(passwords::replace_hash(found.user, hash, &new_hash).then_some(new_hash))
}
