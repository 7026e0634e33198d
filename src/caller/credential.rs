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
        let have_failed = may(&subjects)?;
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
        let matches = in_turn(Some(&self.subjects), |memory| password.matches(hash.unwrap_or(&decoy), &self.peppers, memory))?;
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
    may(subjects)?;
    count(subjects)?;
    attempts::failed(subjects);
    Ok(())
}

/// TOO_MANY_ATTEMPTS, where the next attempt would be one too many.
pub fn may(subjects: &Subjects) -> Result<bool> {
    attempts::may(subjects, config::throttle()).map_err(too_many)
}

fn count(subjects: &Subjects) -> Result<()> {
    attempts::charge(subjects, config::throttle()).map_err(too_many)
}

fn too_many(wait: i64) -> Error {
    Error::about(Code::TOO_MANY_ATTEMPTS, wait.to_string())
}

/// A new hash of the password.
pub fn hash_password(password: &Password) -> Result<String> {
    hash_counted(password, None)
}

/// The same, counted if told so.
pub fn hash_counted(password: &Password, counted: Option<&Subjects>) -> Result<String> {
    let peppers = pepper::keys()?;
    in_turn(counted, |memory| password.hash(config::password_cost(), &peppers, memory))
}

/// Whether the password is the one under a hash of ours, made at today's cost; in the time that a new hash takes. It is counted.
pub fn is_same_password(password: &Password, hash: &str, counted: &Subjects) -> Result<bool> {
    let peppers = pepper::keys()?;
    in_turn(Some(counted), |memory| password.is_under(hash, &peppers, memory))
}

/// Whether a hash was made in another way than a new one would be today.
pub fn is_outdated(hash: &str) -> Result<bool> {
    Ok(password::is_outdated(hash, config::password_cost(), &*pepper::keys()?))
}

/// Hashes when it is our turn; SERVER_BUSY when that does not come in time. What is counted is counted then: nothing comes between it and the hash.
fn in_turn<T>(counted: Option<&Subjects>, hashing: impl FnOnce(&mut dyn Memory) -> Result<T>) -> Result<T> {
    let slot = Slot::take(config::hash_slots(), config::hash_wait()).ok_or(Code::SERVER_BUSY)?;
    // A hash cannot be interrupted; a cancelled statement must not begin one, nor go on after it.
    pgrx::check_for_interrupts!();
    counted.map_or(Ok(()), count)?;
    let outcome = hash_memory::with(hashing);
    drop(slot);
    pgrx::check_for_interrupts!();
    outcome
}
