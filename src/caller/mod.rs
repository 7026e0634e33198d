//! Who is calling, from where, with which password, and what is written down about it.

mod audit;
mod credential;
mod origin;

pub use audit::Record;
pub use credential::{Attempt, charge, hash_counted, hash_password, is_outdated, is_same_password, may};
pub use origin::Origin;

use crate::backend::snapshot::Sight;
use crate::backend::{identity, ids, index, state};
use crate::domain::permission::{Holdings, IMPERSONATE_ADMINS};
use crate::error::{Code, Error, Result};
use crate::store::Mode;
use crate::store::callers::{self, LiveSession};
use crate::store::users;
use pgrx::Uuid;
use std::cell::RefCell;
use std::rc::Rc;

/// Who is calling. A session, once used, alone decides; without one a database role may be trusted.
#[derive(Clone)]
pub enum Caller {
    /// Nobody.
    Anonymous,
    /// A session was used, and has ended since.
    Ended,
    /// A user with a good session.
    User(Person),
    /// A member of auth_admin.
    DatabaseRole,
}

/// A user with a good session.
#[derive(Clone)]
pub struct Person {
    /// The session.
    pub session: LiveSession,
    /// Their roles and what these hold together.
    pub rights: Rc<(Vec<String>, Holdings)>,
}

thread_local! {
    /// The answer to the last question about the session in use. It holds for who sees the same and until the session ends.
    static LAST: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// For how many microseconds an answer holds within a statement whose snapshot is older than the statement.
const HOLDS: i64 = 1_000;

/// What was found out about a session.
struct Answer {
    seen: Sight,
    about: uuid::Uuid,
    /// In microseconds since 2000-01-01.
    asked_at: i64,
    /// None for one that is not good.
    session: Option<LiveSession>,
    rights: Option<Rc<(Vec<String>, Holdings)>>,
}

impl Caller {
    /// The caller, who must be somebody.
    pub fn identified(self) -> Result<Self> {
        match self {
            Caller::Anonymous => Err(Code::NOT_SIGNED_IN.into()),
            Caller::Ended => Err(Code::INVALID_SESSION.into()),
            caller => Ok(caller),
        }
    }

    /// Whether the permission is held.
    pub fn holds(&self, permission: &str) -> bool {
        match self {
            Caller::User(person) => person.rights.1.holds(permission),
            Caller::DatabaseRole => true,
            Caller::Anonymous | Caller::Ended => false,
        }
    }

    /// The user's id.
    pub fn user(&self) -> Option<Uuid> {
        self.person().map(|person| person.session.user)
    }

    /// The user with the session.
    pub fn person(&self) -> Option<&Person> {
        if let Caller::User(person) = self { Some(person) } else { None }
    }

    /// PERMISSION_DENIED unless the permission is held.
    pub fn must_hold(&self, permission: &'static str) -> Result<()> {
        if self.holds(permission) { Ok(()) } else { Err(Error::about(Code::PERMISSION_DENIED, permission)) }
    }

    /// NOT_WHILE_IMPERSONATING during an impersonation: whoever looks through a user's eyes must not be able to lock them out,
    /// or to reach with that user's rights for more.
    pub fn must_be_oneself(&self) -> Result<()> {
        self.person().map_or(Ok(()), Person::must_be_oneself)
    }

    /// Whether the user holds nothing that the caller lacks.
    pub fn dominates(&self, user: Uuid) -> bool {
        match self {
            Caller::User(person) => {
                // As of now, as of the caller: by an older snapshot an administrator is nobody yet.
                person.session.user == user
                    || person.rights.1.dominates(&index::as_of_now(|| callers::holdings_of_user(Mode::Read, user)).1)
            }
            Caller::DatabaseRole => true,
            Caller::Anonymous | Caller::Ended => false,
        }
    }

    /// Takes a user as the target of a verb: makes verbs on them take turns, and refuses who outranks the caller.
    pub fn must_dominate(&self, user: Uuid) -> Result<()> {
        self.take_as_target(user, false)
    }

    /// The same for bans and revocations, which must bite whatever transaction the user holds open, the deletion of themselves included.
    pub fn must_dominate_at_once(&self, user: Uuid) -> Result<()> {
        self.take_as_target(user, true)
    }

    fn take_as_target(&self, user: Uuid, at_once: bool) -> Result<()> {
        if self.user() == Some(user) {
            return Ok(());
        }
        if !users::guard(user, at_once) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        // As of now: while we waited for our turn roles may have changed.
        if index::as_seen_by(Mode::Write, || current().dominates(user)) {
            return Ok(());
        }
        // While we waited for our turn we may have been banned ourselves.
        latest().identified().and(Err(Code::TARGET_OUTRANKS_YOU.into()))
    }
}

impl Person {
    /// As [`Caller::must_be_oneself`].
    pub fn must_be_oneself(&self) -> Result<()> {
        if self.session.impersonator.is_some() { Err(Code::NOT_WHILE_IMPERSONATING.into()) } else { Ok(()) }
    }

    /// SESSION_NOT_FRESH when the last proof of the password is too long ago.
    pub fn must_be_fresh(&self) -> Result<()> {
        // What lies far in the future is from before the clock was set back.
        let age = (state::clock() - self.session.authenticated_at).abs() / 1_000_000;
        if age < crate::config::session_fresh_age().into() { Ok(()) } else { Err(Code::SESSION_NOT_FRESH.into()) }
    }
}

/// READ_ONLY where nothing can be written. Asked before everything else: a function that checks a password and then fails
/// to record it would tell a guesser, by which of the two it does, whether the password was right.
pub fn writable() -> Result<()> {
    if state::is_read_only() {
        return Err(Code::READ_ONLY.into());
    }
    // What was asked earlier in this statement was asked then, and a snapshot that is kept looks the same since.
    if state::keeps_snapshot() {
        LAST.set(None);
    }
    Ok(())
}

/// The caller.
pub fn current() -> Caller {
    if identity::get().is_none() {
        return without_session();
    }
    if let Some(known) = known_caller() {
        return known;
    }
    match live_session() {
        Some(session) => {
            let rights = Rc::new(index::as_of_now(|| callers::holdings_of_user(Mode::Read, session.user)));
            LAST.with_borrow_mut(|last| {
                if let Some(last) = last.as_mut().filter(|last| last.session.as_ref().is_some_and(|known| known.id == session.id)) {
                    last.rights = Some(Rc::clone(&rights));
                }
            });
            Caller::User(Person { session, rights })
        }
        None => Caller::Ended,
    }
}

/// The caller as of now, for what has been waiting.
pub fn latest() -> Caller {
    if state::keeps_snapshot() {
        LAST.set(None);
    }
    index::as_seen_by(Mode::Write, current)
}

/// The caller, who must be somebody.
pub fn identified() -> Result<Caller> {
    current().identified()
}

/// The caller, who must hold the permission.
pub fn with_permission(permission: &'static str) -> Result<Caller> {
    let caller = identified()?;
    caller.must_hold(permission)?;
    Ok(caller)
}

/// The caller, who must hold the permission, as themselves, where something can be written: the start of most verbs.
pub fn administrator(permission: &'static str) -> Result<Caller> {
    writable()?;
    let caller = identified()?;
    caller.must_be_oneself()?;
    caller.must_hold(permission)?;
    Ok(caller)
}

/// A back end: a trusted database role without a session, where something can be written. What it vouches for no user can, not even
/// an administrator, whose session may have been stolen.
pub fn back_end() -> Result<Caller> {
    writable()?;
    match identified()? {
        caller @ Caller::DatabaseRole => Ok(caller),
        _ => Err(Error::about(Code::PERMISSION_DENIED, "auth_admin")),
    }
}

/// Anybody, where something can be written, but nobody who looks through another's eyes.
pub fn not_impersonating() -> Result<Caller> {
    writable()?;
    let caller = current();
    caller.must_be_oneself()?;
    Ok(caller)
}

/// The user who calls; a database role has no session, no password and no account.
pub fn signed_in() -> Result<Person> {
    match identified()? {
        Caller::User(person) => Ok(person),
        _ => Err(Code::NOT_SIGNED_IN.into()),
    }
}

/// The user who calls, as themselves, where something can be written: the start of what concerns credentials.
pub fn oneself() -> Result<Person> {
    writable()?;
    let person = signed_in()?;
    person.must_be_oneself()?;
    Ok(person)
}

/// The session in use, for what needs no rights.
pub fn live_session() -> Option<LiveSession> {
    let about = identity::get()?.session;
    if let Some(known) = known(about, |answer| answer.session.clone()) {
        return known;
    }
    let seen = Sight::now();
    let session = session_by_id(ids::servers(about));
    LAST.set(seen.map(|seen| Answer { seen, about, asked_at: state::clock(), session: session.clone(), rights: None }));
    session
}

/// What of the last answer holds now.
fn known<T>(about: uuid::Uuid, part: impl FnOnce(&Answer) -> T) -> Option<T> {
    LAST.with_borrow(|last| {
        let answer = last.as_ref().filter(|last| last.about == about && last.seen.is_still())?;
        // Time passes within a statement; where the snapshot is kept nothing but the time says that something else may have changed too.
        let now = state::clock();
        let is_over = answer.session.as_ref().is_some_and(|session| session.expires_at <= now)
            || state::keeps_snapshot() && (now - answer.asked_at).abs() > HOLDS;
        (!is_over).then(|| part(answer))
    })
}

fn known_caller() -> Option<Caller> {
    let about = identity::get()?.session;
    known(about, |answer| match (&answer.session, &answer.rights) {
        (None, _) => Some(Caller::Ended),
        (Some(session), Some(rights)) => Some(Caller::User(Person { session: session.clone(), rights: Rc::clone(rights) })),
        (Some(_), None) => None,
    })
    .flatten()
}

/// The live session with this id.
pub fn session_by_id(session: Uuid) -> Option<LiveSession> {
    index::as_of_now(|| bounded(Mode::Read, callers::session_by_id(Mode::Read, session)))
}

/// The live session with this token. The newest there is, where that can be had: "select
/// use_session(sign_in(…) ->> 'token')" opens the session in the same statement.
pub fn session_by_token(token_hash: [u8; 32]) -> Option<LiveSession> {
    let mode = if state::keeps_snapshot() {
        Mode::Latest
    } else if state::is_read_only() {
        Mode::Read
    } else {
        Mode::Write
    };
    bounded(mode, callers::session_by_token(mode, token_hash))
}

fn without_session() -> Caller {
    if state::is_trusted_role() { Caller::DatabaseRole } else { Caller::Anonymous }
}

/// An impersonation is good while the real person's own session is, with which it ends, and while they hold the right to it.
fn bounded(mode: Mode, session: Option<LiveSession>) -> Option<LiveSession> {
    let session = session?;
    let Some(impersonator) = session.impersonator else { return Some(session) };
    let parent = callers::session_by_id(mode, session.parent?)?;
    let holds = parent.user == impersonator
        && may_impersonate(&callers::holdings_of_user(mode, impersonator).1, &callers::holdings_of_user(mode, session.user).1);
    let expires_at = session.expires_at.min(parent.expires_at);
    holds.then_some(LiveSession { expires_at, ..session })
}

/// Whether somebody who holds the one may act as somebody who holds the other.
fn may_impersonate(actor: &Holdings, target: &Holdings) -> bool {
    actor.holds("user:impersonate") && (!target.is_administrative() || actor.holds(IMPERSONATE_ADMINS)) && actor.dominates(target)
}
