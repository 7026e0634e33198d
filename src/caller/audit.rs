//! What is written down about a deed.

use super::{Caller, Origin, Person};
use crate::backend::index::{self, Moment};
use crate::backend::state;
use crate::error::{Code, Error, Result};
use crate::store::audit::{self, Line};
use crate::store::{Mode, callers};
use pgrx::Uuid;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// A line of the audit log in the making. The action is the function's name.
#[derive(Clone)]
pub struct Record {
    action: &'static str,
    actor: Option<Uuid>,
    impersonator: Option<Uuid>,
    session: Option<Uuid>,
    caller: Caller,
    since: Moment,
    needs: Vec<&'static str>,
    target: Option<Uuid>,
    details: Map<String, Value>,
}

impl Record {
    /// A deed of the caller. Taken before the deed: afterwards the caller may be nobody any more.
    pub fn of(caller: &Caller, action: &'static str) -> Self {
        let session = caller.person().map(|person| &person.session);
        Record {
            action,
            actor: session.map(|session| session.user),
            impersonator: session.and_then(|session| session.impersonator),
            session: session.map(|session| session.id),
            caller: caller.clone(),
            since: Moment::now(),
            needs: Vec::new(),
            target: None,
            details: Map::new(),
        }
    }

    /// To whom it was done.
    pub fn to(mut self, user: Option<Uuid>) -> Self {
        self.target = user;
        self
    }

    /// Who has become somebody by it.
    pub fn by(mut self, user: Uuid, session: Option<Uuid>) -> Self {
        (self.actor, self.session, self.target) = (Some(user), session, Some(user));
        self
    }

    /// As whom somebody else is acting.
    pub fn through(mut self, impersonator: Option<Uuid>) -> Self {
        self.impersonator = impersonator;
        self
    }

    /// A detail. Never a secret.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// What the caller must hold for it.
    pub fn needing(mut self, permission: &'static str) -> Self {
        self.needs.push(permission);
        self
    }

    /// Writes the line: it went well, and whoever did it may still do it, or the error that says why not. A deed may have waited for a lock,
    /// which a stranger can hold for as long as they like, and no policy has asked since.
    pub fn ok(self) -> Result<()> {
        match &self.caller {
            Caller::User(person) => {
                let now = super::latest().identified()?;
                now.person().filter(|now| now.session.id == person.session.id).ok_or(Code::INVALID_SESSION)?;
                self.needs.iter().try_for_each(|permission| now.must_hold(permission))?;
                let other = self.target.filter(|target| *target != person.session.user && !self.needs.is_empty());
                if other.is_some_and(|target| !index::as_seen_by(Mode::Write, || now.dominates(target))) {
                    return Err(Code::TARGET_OUTRANKS_YOU.into());
                }
            }
            Caller::DatabaseRole if !matches!(super::latest(), Caller::DatabaseRole) => {
                return Err(Error::about(Code::PERMISSION_DENIED, "auth_admin"));
            }
            _ => {}
        }
        self.ok_at_last();
        Ok(())
    }

    /// The same of a deed that ends the session it was done with: whether that had been good until then.
    pub fn ok_ending(self) -> Result<()> {
        if let Caller::User(person) = &self.caller {
            let until_then = index::as_without_us(self.since, || {
                let session = callers::session_by_id(Mode::Read, person.session.id)?;
                let rights = Rc::new(callers::holdings_of_user(Mode::Read, session.user));
                Some(Caller::User(Person { session, rights }))
            });
            let until_then = until_then.ok_or(Code::INVALID_SESSION)?;
            self.needs.iter().try_for_each(|permission| until_then.must_hold(permission))?;
        }
        self.ok_at_last();
        Ok(())
    }

    /// Writes the line of a deed for which nothing is needed, or that takes something away from the caller: it went well.
    pub fn ok_at_last(self) {
        self.write("ok", &Origin::of_connection());
    }

    /// Writes the line: it went well, from there.
    pub fn ok_from(self, origin: &Origin) {
        self.write("ok", origin);
    }

    /// Writes the line: a credential did not match.
    pub fn failed(self, code: Code, origin: &Origin) {
        self.write(code.entry().code, origin);
    }

    fn write(mut self, outcome: &str, origin: &Origin) {
        self.details.insert("outcome".to_owned(), json!(outcome));
        if let Some(claimed) = origin.claimed {
            self.details.insert("claimed_ip_address".to_owned(), json!(claimed.to_string()));
        }
        audit::append(Line {
            action: self.action,
            actor: self.actor,
            impersonator: self.impersonator,
            session: self.session,
            database_role: state::outer_user(),
            target: self.target,
            address: origin.address,
            agent: origin.agent.as_deref(),
            details: Value::Object(self.details),
        });
    }
}
