//! Who is calling, from where, with which password, and what is written down about it.

mod audit;
mod credential;
mod origin;

pub use audit::Record;
pub use credential::{check_password, hash_password};
pub use origin::Origin;

use crate::backend::identity::{self, Identity};
use crate::backend::state::{self, Moment};
use crate::domain::permission::{Holdings, IMPERSONATE_ADMINS};
use crate::error::{Code, Error, Result};
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

struct Remembered {
    moment: Option<Moment>,
    identity: Identity,
    session: Option<LiveSession>,
    rights: Option<Rc<(Vec<String>, Holdings)>>,
}

thread_local! {
    /// The last answer, good for as long as a statement would see the same rows. A policy without "(select …)" asks once a row.
    static REMEMBERED: RefCell<Option<Remembered>> = const { RefCell::new(None) };
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
        if !users::guard(user) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        if callers::dominates_user(user) { Ok(()) } else { Err(Code::TARGET_OUTRANKS_YOU.into()) }
    }
}

impl Person {
    /// As [`Caller::must_be_oneself`].
    pub fn must_be_oneself(&self) -> Result<()> {
        if self.session.impersonator.is_some() { Err(Code::NOT_WHILE_IMPERSONATING.into()) } else { Ok(()) }
    }

    /// SESSION_NOT_FRESH when the last proof of the password is too long ago.
    pub fn must_be_fresh(&self) -> Result<()> {
        let age = (state::clock() - self.session.authenticated_at) / 1_000_000;
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
    let Some(identity) = identity::get() else { return without_session() };
    if let Some(caller) = remembered(identity, Moment::now()) {
        return caller;
    }
    callers::resolve_through_door();
    REMEMBERED.with_borrow(|remembered| remembered.as_ref().filter(|r| r.identity == identity).map_or(Caller::Ended, to_caller))
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
    let Some(identity) = identity::get() else { return without_session() };
    let moment = Moment::now();
    if let Some(caller) = remembered(identity, moment) {
        return caller;
    }
    let session = session_here(identity, moment);
    let rights = session.as_ref().map(|session| Rc::new(callers::holdings_of_user(session.user)));
    remember(Remembered { moment, identity, session, rights })
}

/// The session in use, for functions of auth_door that need no rights.
pub fn live_session() -> Option<LiveSession> {
    let identity = identity::get()?;
    session_here(identity, Moment::now())
}

/// The live session with this token, for functions of auth_door.
pub fn session_by_token(token_hash: [u8; 32]) -> Option<LiveSession> {
    callers::session_by_token(token_hash).filter(impersonation_holds)
}

fn without_session() -> Caller {
    if state::is_trusted_role() { Caller::DatabaseRole } else { Caller::Anonymous }
}

fn session_here(identity: Identity, moment: Option<Moment>) -> Option<LiveSession> {
    let known = REMEMBERED.with_borrow(|remembered| {
        remembered.as_ref().filter(|r| is_fresh(r, identity, moment)).map(|r| r.session.clone())
    });
    known.unwrap_or_else(|| {
        let session = callers::session_by_id(Uuid::from_bytes(*identity.session.as_bytes())).filter(impersonation_holds);
        remember(Remembered { moment, identity, session: session.clone(), rights: None });
        session
    })
}

/// An impersonation is good while the real person's own session is, and while they hold the right to it.
fn impersonation_holds(session: &LiveSession) -> bool {
    let Some(impersonator) = session.impersonator else { return true };
    let Some(parent) = session.parent.and_then(callers::session_by_id) else { return false };
    parent.user == impersonator && may_impersonate(&callers::holdings_of_user(impersonator).1, &callers::holdings_of_user(session.user).1)
}

/// Whether somebody who holds the one may act as somebody who holds the other.
pub fn may_impersonate(actor: &Holdings, target: &Holdings) -> bool {
    actor.holds("user:impersonate") && (!target.is_administrative() || actor.holds(IMPERSONATE_ADMINS)) && actor.dominates(target)
}

fn is_fresh(remembered: &Remembered, identity: Identity, moment: Option<Moment>) -> bool {
    moment.is_some()
        && remembered.moment == moment
        && remembered.identity == identity
        && remembered.session.as_ref().is_none_or(|session| session.expires_at > state::clock())
}

fn remembered(identity: Identity, moment: Option<Moment>) -> Option<Caller> {
    REMEMBERED.with_borrow(|remembered| {
        let remembered = remembered.as_ref().filter(|r| is_fresh(r, identity, moment))?;
        (remembered.session.is_none() || remembered.rights.is_some()).then(|| to_caller(remembered))
    })
}

fn remember(new: Remembered) -> Caller {
    let caller = to_caller(&new);
    REMEMBERED.set(Some(new));
    caller
}

fn to_caller(remembered: &Remembered) -> Caller {
    match (&remembered.session, &remembered.rights) {
        (Some(session), Some(rights)) => Caller::User(Person { session: session.clone(), rights: Rc::clone(rights) }),
        _ => Caller::Ended,
    }
}
