//! Signing up, in and out, and a user's own sessions.

use crate::backend::identity;
use crate::backend::json::{Given, WholeJson};
use crate::backend::raise::{answer, could_not_serialize, run};
use crate::caller::{self, Attempt, Caller, Origin, Record, hash_counted, hash_password, is_outdated, is_same_password};
use crate::config;
use crate::deeds::sessions::Shown;
use crate::deeds::{self, attributes, mail};
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::{profile, token};
use crate::error::{Code, Result, required};
use crate::store::attempts::{self, Subjects};
use crate::store::sessions::{self, ListedSession, Proof};
use crate::store::users::{self, Applicant, Standing};
use crate::store::{Mode, callers, messages, passwords};
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
    attributes: Option<Given>,
    ip_address: Option<String>,
    user_agent: Option<String>,
) -> WholeJson {
    run(move || {
        caller::writable()?;
        if !config::sign_up() {
            return Err(Code::SIGN_UP_DISABLED.into());
        }
        let (email, password) = (required(email, "email")?, required(password, "password")?);
        let email = Email::parse(&email, "email")?;
        let password = Password::chosen(&password, "password", &config::password_policy())?;
        let name = profile::name(name.unwrap_or_default())?;
        let image = image.map(profile::image).transpose()?;
        let attributes = attributes::stored(attributes.map_or_else(|| Ok(json!({})), Given::read)?)?;
        let origin = Origin::new(ip_address.as_deref(), user_agent)?;
        let applicant = Applicant { email: email.as_str(), name: &name, image: image.as_deref(), attributes };
        let record = Record::of(&Caller::Anonymous, "sign_up");
        if config::require_email_verification() {
            return apply(&applicant, &password, record, &origin);
        }
        // Before it is known whether the address is taken, so that the time does not tell.
        let hash = hash_password(&password)?;
        let registered = users::register(&applicant, &hash).filter(|registered| !registered.is_taken).ok_or(Code::USER_ALREADY_EXISTS)?;
        let user = registered.user;
        let opened = deeds::sessions::open(user, 0, Proof::Password(&hash), true, &origin).ok_or(Code::USER_NOT_FOUND)?;
        if config::send_verification_on_sign_up() {
            mail::verification(applicant.email, Some(user));
        }
        record.by(user, Some(opened.session)).with("after", json!({"email": applicant.email})).ok_from(&origin);
        Ok(opened.render(true))
    })
}

/// A sign-up where the address must be verified first: the same answer, work and mail whether it is taken or not.
fn apply(applicant: &Applicant, password: &Password, record: Record, origin: &Origin) -> Result<WholeJson> {
    // Here passwords are compared, and direct SQL can see by the statistics of its transaction what came of it: uncounted, that of a user who
    // has not proved their address yet could be guessed at as fast as we hash.
    let counted = Subjects::new(&format!("sign_up {}", applicant.email), None);
    caller::may(&counted)?;
    let holder = passwords::find_credentials(applicant.email);
    let unproven = holder.as_ref().filter(|holder| !holder.standing.email_verified);
    // Who signs up again with the same password is the same person; with another one, nobody can say whose address it is. Either
    // takes one hash.
    let own = unproven.and_then(|holder| holder.hash.as_deref());
    let (hash, is_same_person) = match own {
        Some(hash) if !is_outdated(hash)? => (hash.to_owned(), is_same_password(password, hash, &counted)?),
        _ => (hash_counted(password, Some(&counted))?, false),
    };
    attempts::failed(&counted);
    let registered = users::register(applicant, &hash).ok_or(Code::USER_ALREADY_EXISTS)?;
    if !registered.is_taken && own.is_some_and(|own| own == hash) && !is_same_person {
        // Whose hash that is has gone while we compared: their password must not open this account.
        could_not_serialize();
    }
    // As of now: somebody else may have signed up while we hashed.
    let holder = messages::find_user(applicant.email);
    match holder {
        Some((user, false)) => {
            messages::contest(Some(user).filter(|_| registered.is_taken && !is_same_person), applicant.email);
            mail::verification(applicant.email, Some(user));
        }
        Some((user, true)) => {
            messages::contest(None, applicant.email);
            mail::already_registered(applicant.email, user);
        }
        // Taken, but our snapshot is too old to see by whom.
        None => could_not_serialize(),
    }
    if registered.is_taken {
        record.to(holder.map(|(user, _)| user)).failed(Code::USER_ALREADY_EXISTS, origin);
    } else {
        record.by(registered.user, None).with("after", json!({"email": applicant.email})).ok_from(origin);
    }
    Ok(deeds::sessions::none_yet(Some(users::look_alike(applicant, &registered))))
}

/// `auth.sign_in()`
#[pg_extern(sql = false)]
fn sign_in(
    email: Option<String>,
    password: Option<String>,
    remember_me: Option<bool>,
    ip_address: Option<String>,
    user_agent: Option<String>,
) -> WholeJson {
    run(move || {
        caller::writable()?;
        let (email, password) = (required(email, "email")?, required(password, "password")?);
        let email = Email::parse(&email, "email")?;
        let password = Password::presented(&password, "password", &config::password_policy())?;
        let remember_me = remember_me.unwrap_or(true);
        let origin = Origin::new(ip_address.as_deref(), user_agent)?;
        let record = Record::of(&Caller::Anonymous, "sign_in");
        let attempt = Attempt::begin(Subjects::new(email.as_str(), origin.address))?;
        let found = passwords::find_credentials(email.as_str());
        let record = record.to(found.as_ref().map(|found| found.standing.user));
        let hash = found.as_ref().and_then(|found| found.hash.as_deref());
        let right = attempt.check(&password, hash)?;
        let Some((found, hash)) = found.as_ref().zip(hash).filter(|_| right) else {
            return Ok(refuse(record, &origin));
        };
        let renewed = renew(&found.standing, hash, &password)?;
        let hash = renewed.as_deref().unwrap_or(hash);
        let again = record.clone();
        let admitted = deeds::sessions::admit(&found.standing, Proof::Password(hash), remember_me, record, &origin);
        Ok(admitted.unwrap_or_else(|| refuse(again, &origin)))
    })
}

/// `auth.refresh_session()`
#[pg_extern(sql = false)]
fn refresh_session(token: Option<String>) -> WholeJson {
    run(move || {
        caller::writable()?;
        let token = required(token, "token")?;
        let (session, user, impersonator) = sessions::find_by_token(token::token_hash(&token)).ok_or(Code::INVALID_SESSION)?;
        if sessions::slide(session, config::session_lifetime(true), config::session_update_age()) {
            Record::of(&Caller::Anonymous, "refresh_session").by(user, Some(session)).through(impersonator).ok_at_last();
        }
        // The same holds for whoever was thrown out while it waited.
        callers::session_by_id(Mode::Latest, session).ok_or(Code::INVALID_SESSION)?;
        let current = caller::current().person().map(|person| person.session.id);
        let shown = Shown::of(session, token, current);
        // Signed out at this moment.
        shown.expires_at().ok_or(Code::INVALID_SESSION)?;
        Ok(WholeJson::of(&shown))
    })
}

/// `auth.sign_out()`
#[pg_extern(sql = false)]
fn sign_out() -> bool {
    run(move || {
        caller::writable()?;
        let caller = Caller::User(caller::signed_in()?);
        let record = Record::of(&caller, "sign_out").to(caller.user());
        let is_in_cookie = caller.person().is_some_and(|person| deeds::sessions::is_in_cookie(person.session.id));
        let ended = caller.person().is_some_and(|person| sessions::end(person.session.id, person.session.user));
        identity::leave();
        if is_in_cookie {
            deeds::sessions::forget_cookie();
        }
        record.ok_at_last();
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
    run(move || {
        let session = caller::signed_in()?.session;
        let rows = sessions::list(session.user, false).into_iter().map(move |s: ListedSession| s.row(Some(session.id)));
        Ok(TableIterator::new(rows))
    })
}

/// `auth.revoke_session()`
#[pg_extern(sql = false)]
fn revoke_session(session_id: Option<Uuid>) -> bool {
    run(move || {
        caller::writable()?;
        let caller = Caller::User(caller::signed_in()?);
        let session = required(session_id, "session_id")?;
        let record = Record::of(&caller, "revoke_session").to(caller.user()).with("session_id", session.to_string());
        let ended = caller.user().is_some_and(|user| sessions::end(session, user));
        if ended {
            record.ok_at_last();
        }
        Ok(ended)
    })
}

/// `auth.revoke_sessions()`
#[pg_extern(sql = false)]
fn revoke_sessions() -> i32 {
    run(move || revoke_own("revoke_sessions", false))
}

/// `auth.revoke_other_sessions()`
#[pg_extern(sql = false)]
fn revoke_other_sessions() -> i32 {
    run(move || revoke_own("revoke_other_sessions", true))
}

fn revoke_own(action: &'static str, keep_current: bool) -> Result<i32> {
    caller::writable()?;
    let person = caller::signed_in()?;
    let (session, user) = (person.session.id, person.session.user);
    let caller = Caller::User(person);
    let record = Record::of(&caller, action).to(Some(user));
    let kept = keep_current.then_some(session);
    let ended = sessions::count_live(user, kept);
    sessions::end_all(user, false)?;
    if kept.is_some_and(|session| !sessions::keep(session)) {
        return Err(Code::INVALID_SESSION.into());
    }
    record.with("sessions", ended).ok_at_last();
    Ok(ended)
}

fn refuse(record: Record, origin: &Origin) -> WholeJson {
    record.failed(Code::INVALID_EMAIL_OR_PASSWORD, origin);
    answer(&Code::INVALID_EMAIL_OR_PASSWORD.into(), None, Value::Null)
}

/// Hashes the password anew where its hash was made with other parameters than today's.
fn renew(standing: &Standing, hash: &str, password: &Password) -> Result<Option<String>> {
    if standing.ban.is_some() || !is_outdated(hash)? {
        return Ok(None);
    }
    let new_hash = hash_password(password)?;
    Ok(passwords::replace_hash(standing.user, hash, &new_hash).then_some(new_hash))
}
