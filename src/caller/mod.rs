//! Who is calling, from where, with which password, and what is written down about it.

mod audit;
mod credential;
mod origin;

pub use audit::Record;
pub use credential::{Attempt, charge, hash_password, is_outdated, is_same_password};
pub use origin::Origin;

use crate::backend::{identity, ids, state};
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
    /// From the door that looked the caller up to the function that asked it to. Nothing is remembered from one question to the
    /// next: what a statement sees can change with every command and every rollback to a savepoint.
    static HANDED_OVER: RefCell<Option<Caller>> = const { RefCell::new(None) };
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
        if callers::dominates_user(user) {
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
    if state::is_read_only() { Err(Code::READ_ONLY.into()) } else { Ok(()) }
}

/// The caller, for functions of auth_owner.
pub fn current() -> Caller {
    looked_up(Mode::Read)
}

/// The caller as of now, for what has been waiting.
pub fn latest() -> Caller {
    looked_up(Mode::Write)
}

fn looked_up(mode: Mode) -> Caller {
    if identity::get().is_none() {
        return without_session();
    }
    callers::resolve_through_door(mode);
    HANDED_OVER.take().unwrap_or(Caller::Ended)
}

/// Looks the caller up for [`current`]; the door's side of it.
pub fn hand_over() {
    let caller = resolve();
    HANDED_OVER.set(Some(caller));
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

/// The caller, for functions of auth_door.
pub fn resolve() -> Caller {
    if identity::get().is_none() {
        return without_session();
    }
    match live_session() {
        Some(session) => {
            let rights = Rc::new(callers::holdings_of_user(session.user));
            Caller::User(Person { session, rights })
        }
        None => Caller::Ended,
    }
}

/// The session in use, for functions of auth_door that need no rights.
pub fn live_session() -> Option<LiveSession> {
    session_by_id(ids::servers(identity::get()?.session))
}

/// The live session with this id, for functions of auth_door.
pub fn session_by_id(session: Uuid) -> Option<LiveSession> {
    callers::session_by_id(Mode::Read, session).filter(|session| impersonation_holds(Mode::Read, session))
}

/// The live session with this token, for functions of auth_door. The newest there is, where that can be had: "select
/// use_session(sign_in(…) ->> 'token')" opens the session in the same statement.
pub fn session_by_token(token_hash: [u8; 32]) -> Option<LiveSession> {
    let mode = if state::is_read_only() { Mode::Read } else { Mode::Write };
    callers::session_by_token(mode, token_hash).filter(|session| impersonation_holds(mode, session))
}

fn without_session() -> Caller {
    if state::is_trusted_role() { Caller::DatabaseRole } else { Caller::Anonymous }
}

/// An impersonation is good while the real person's own session is, and while they hold the right to it.
fn impersonation_holds(mode: Mode, session: &LiveSession) -> bool {
    let Some(impersonator) = session.impersonator else { return true };
    let Some(parent) = session.parent.and_then(|parent| callers::session_by_id(mode, parent)) else { return false };
    parent.user == impersonator && may_impersonate(&callers::holdings_of_user(impersonator).1, &callers::holdings_of_user(session.user).1)
}

/// Whether somebody who holds the one may act as somebody who holds the other.
fn may_impersonate(actor: &Holdings, target: &Holdings) -> bool {
    actor.holds("user:impersonate") && (!target.is_administrative() || actor.holds(IMPERSONATE_ADMINS)) && actor.dominates(target)
}
