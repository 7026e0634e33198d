//! Checking and making passwords: throttled, interruptible, in equal time.

use crate::backend::pepper;
use crate::backend::slots::Slot;
use crate::config;
use crate::domain::password::{self, Password};
use crate::error::{Code, Error, Result};
use crate::store::attempts::{self, Subjects};

/// Whether the password is the one under the hash; without a hash a decoy is checked, which costs the same. TOO_MANY_ATTEMPTS
/// comes before any hashing, a failure is counted, a success clears the count; MISCONFIGURED comes before everything.
pub fn check_password(subjects: &Subjects, password: &Password, hash: Option<&str>) -> Result<bool> {
    let peppers = pepper::keys()?;
    if let Some(id) = hash.and_then(|hash| password::missing_key(hash, &peppers)) {
        // The client hears no more than of a wrong password: that there is an account would be told otherwise.
        pgrx::log!("a password was hashed with the key \"{id}\", which auth.pepper_file does not have: it cannot match");
    }
    begin(subjects)?;
    let decoy = password::decoy(config::password_cost());
    let matches = in_turn(|| password.matches(hash.unwrap_or(&decoy), &peppers)).inspect_err(|error| {
        if error.code == Code::SERVER_BUSY {
            attempts::not_made(subjects)
        }
    })?;
    let right = matches && hash.is_some();
    if right {
        attempts::forgive(subjects)
    } else {
        attempts::failed(subjects)
    }
    Ok(right)
}

/// Counts something that may be done only so often, as failures are counted; TOO_MANY_ATTEMPTS past that.
pub fn charge(subjects: &Subjects) -> Result<()> {
    begin(subjects)?;
    attempts::failed(subjects);
    Ok(())
}

fn begin(subjects: &Subjects) -> Result<()> {
    attempts::begin(subjects, config::throttle()).map_err(|wait| Error::about(Code::TOO_MANY_ATTEMPTS, wait.to_string()))
}

/// A new hash of the password.
pub fn hash_password(password: &Password) -> Result<String> {
    let peppers = pepper::keys()?;
    in_turn(|| password.hash(config::password_cost(), &peppers))
}

/// Whether the password is the one under a hash of ours, made at today's cost; in the time that a new hash takes.
pub fn is_same_password(password: &Password, hash: &str) -> Result<bool> {
    let peppers = pepper::keys()?;
    in_turn(|| password.is_under(hash, &peppers))
}

/// Whether a hash was made in another way than a new one would be today.
pub fn is_outdated(hash: &str) -> Result<bool> {
    Ok(password::is_outdated(hash, config::password_cost(), &*pepper::keys()?))
}

/// Hashes when it is our turn; SERVER_BUSY when that does not come in time.
fn in_turn<T>(hashing: impl FnOnce() -> Result<T>) -> Result<T> {
    let slot = Slot::take(config::hash_slots(), config::hash_wait()).ok_or(Code::SERVER_BUSY)?;
    // A hash cannot be interrupted; a cancelled statement must not begin one, nor go on after it.
    pgrx::check_for_interrupts!();
    let outcome = hashing();
    drop(slot);
    pgrx::check_for_interrupts!();
    outcome
}
