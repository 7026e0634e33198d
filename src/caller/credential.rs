//! Checking and making passwords: throttled, interruptible, in equal time.

use crate::backend::raise::log_once;
use crate::backend::slots::Slot;
use crate::backend::{hash_memory, pepper};
use crate::config;
use crate::domain::argon2id::Memory;
use crate::domain::password::{self, Password};
use crate::domain::pepper::Peppers;
use crate::error::{Code, Error, Result};
use crate::store::attempts::{self, Subjects};
use std::rc::Rc;

/// An attempt at a password, which is counted.
pub struct Attempt {
    subjects: Subjects,
    have_failed: bool,
    peppers: Rc<Peppers>,
}

impl Attempt {
    /// TOO_MANY_ATTEMPTS, or MISCONFIGURED. Before the account is looked up: the time of the refusal would tell whether there is one.
    pub fn begin(subjects: Subjects) -> Result<Self> {
        let peppers = pepper::keys()?;
        let have_failed = begin(&subjects)?;
        Ok(Attempt { subjects, have_failed, peppers })
    }

    /// Whether the password is the one under the hash; without a hash a decoy is checked, which costs the same. A failure is counted, a
    /// success clears the count.
    pub fn check(self, password: &Password, hash: Option<&str>) -> Result<bool> {
        if let Some(id) = hash.and_then(|hash| password::missing_key(hash, &self.peppers)) {
            // The client hears no more than of a wrong password: that there is an account would be told otherwise.
            log_once(&format!("a password was hashed with the key \"{id}\", which auth.pepper_file does not have: it cannot match"));
        }
        let decoy = password::decoy(config::password_cost(), self.subjects.account());
        let matches = in_turn(|memory| password.matches(hash.unwrap_or(&decoy), &self.peppers, memory)).inspect_err(|error| {
            if error.code == Code::SERVER_BUSY {
                attempts::not_made(&self.subjects)
            }
        })?;
        let right = matches && hash.is_some();
        if right {
            attempts::forgive(&self.subjects, self.have_failed)
        } else {
            attempts::failed(&self.subjects)
        }
        Ok(right)
    }
}

/// Counts something that may be done only so often, as failures are counted; TOO_MANY_ATTEMPTS past that.
pub fn charge(subjects: &Subjects) -> Result<()> {
    begin(subjects)?;
    attempts::failed(subjects);
    Ok(())
}

fn begin(subjects: &Subjects) -> Result<bool> {
    attempts::begin(subjects, config::throttle()).map_err(|wait| Error::about(Code::TOO_MANY_ATTEMPTS, wait.to_string()))
}

/// A new hash of the password.
pub fn hash_password(password: &Password) -> Result<String> {
    let peppers = pepper::keys()?;
    in_turn(|memory| password.hash(config::password_cost(), &peppers, memory))
}

/// Whether the password is the one under a hash of ours, made at today's cost; in the time that a new hash takes.
pub fn is_same_password(password: &Password, hash: &str) -> Result<bool> {
    let peppers = pepper::keys()?;
    in_turn(|memory| password.is_under(hash, &peppers, memory))
}

/// Whether a hash was made in another way than a new one would be today.
pub fn is_outdated(hash: &str) -> Result<bool> {
    Ok(password::is_outdated(hash, config::password_cost(), &*pepper::keys()?))
}

/// Hashes when it is our turn; SERVER_BUSY when that does not come in time.
fn in_turn<T>(hashing: impl FnOnce(&mut dyn Memory) -> Result<T>) -> Result<T> {
    let slot = Slot::take(config::hash_slots(), config::hash_wait()).ok_or(Code::SERVER_BUSY)?;
    // A hash cannot be interrupted; a cancelled statement must not begin one, nor go on after it.
    pgrx::check_for_interrupts!();
    let outcome = hash_memory::with(hashing);
    drop(slot);
    pgrx::check_for_interrupts!();
    outcome
}
