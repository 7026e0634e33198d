//! What is written down about a deed.

use super::{Caller, Origin, Person};
use crate::backend::raise::could_not_serialize;
use crate::backend::state;
use crate::error::{Code, Result};
use crate::store::audit::{self, Line};
use pgrx::Uuid;
use serde_json::{Map, Value, json};

/// A line of the audit log in the making. The action is the function's name.
#[derive(Clone)]
pub struct Record {
    action: &'static str,
    actor: Option<Uuid>,
    impersonator: Option<Uuid>,
    session: Option<Uuid>,
    person: Option<Person>,
    target: Option<Uuid>,
    details: Map<String, Value>,
    changes_rights: bool,
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
            person: caller.person().cloned(),
            target: None,
            details: Map::new(),
            changes_rights: false,
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

    /// Writes the line: it went well, and whoever did it may still do it. INVALID_SESSION otherwise: a deed may have waited for a lock, which a
    /// stranger can hold for as long as they like, and no policy has asked since.
    pub fn ok(self) -> Result<()> {
        if let Some(person) = &self.person {
            let now = super::latest().identified()?;
            let now = now.person().filter(|now| now.session.id == person.session.id).ok_or(Code::INVALID_SESSION)?;
            // Whoever acts on themselves may have changed what they hold. The others ask again, and are told what they lack.
            if self.target != Some(person.session.user) && !self.changes_rights && !now.rights.1.dominates(&person.rights.1) {
                could_not_serialize();
            }
        }
        self.ok_at_last();
        Ok(())
    }

    /// Writes the line of a deed that asks for no rights, or that ends what its caller was: it went well.
    pub fn ok_at_last(self) {
        self.write("ok", &Origin::of_connection());
    }

    /// A deed after which its caller may hold something else.
    pub fn changing_rights(mut self) -> Self {
        self.changes_rights = true;
        self
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
