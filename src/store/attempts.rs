//! Attempts at passwords.

use super::{call, run};
use crate::backend::{attempt_counters, state};
use crate::domain::attempt_counts::Key;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// What is being guessed at, and from where.
pub struct Subjects {
    account: Vec<u8>,
    address: Option<Vec<u8>>,
}

impl Subjects {
    /// Of a canonical address, whether there is such a user or not, and of where the attempt comes from.
    pub fn new(account: &str, address: Option<IpAddr>) -> Self {
        let digest = |kind: &str, text: &str| Sha256::digest(format!("{kind}:{text}")).to_vec();
        Subjects {
            account: digest("account", account),
            // Everybody on one machine shares loopback: counting it would let one of them lock all the others out.
            address: address.filter(|ip| !ip.is_loopback()).map(|ip| digest("address", &ip.to_string())),
        }
    }

    fn all(&self) -> Vec<Vec<u8>> {
        [Some(self.account.clone()), self.address.clone()].into_iter().flatten().collect()
    }
}

/// Under which a subject is counted in shared memory, which all databases have in common.
fn key(subject: &[u8]) -> Key {
    let digest = Sha256::new().chain_update(state::database().to_le_bytes()).chain_update(subject).finalize();
    std::array::from_fn(|n| digest[n])
}

/// Counts an attempt before it is made, where that can be done so that nothing takes it back; seconds to wait instead, where it must not be made.
pub fn begin(subjects: &Subjects, (most, window): (i32, i32)) -> Result<(), i64> {
    // What failed before a restart or on another server.
    let wait: Option<i32> = call("select auth_private.blocked_for($1, $2, $3)", &[subjects.all().into(), most.into(), window.into()]);
    if let Some(wait @ 1..) = wait {
        return Err(wait.into());
    }
    attempt_counters::charge(&subjects.all().iter().map(|subject| key(subject)).collect::<Vec<_>>(), most, window)
}

/// Notes a failure in the table, which outlives a restart if the transaction ends well.
pub fn failed(subjects: &Subjects) {
    run("select auth_private.charge_failure($1)", &[subjects.all().into()]);
}

/// Takes back what [`begin`] has counted: the attempt was not made.
pub fn not_made(subjects: &Subjects) {
    subjects.all().iter().for_each(|subject| attempt_counters::give_back(&key(subject)));
}

/// Clears the account's count. Of the address's one attempt: an attacker who has an account of their own would clear it at will.
pub fn forgive(subjects: &Subjects) {
    attempt_counters::forgive(&key(&subjects.account));
    subjects.address.iter().for_each(|address| attempt_counters::give_back(&key(address)));
    run("select auth_private.forgive_failures($1)", &[subjects.account.clone().into()]);
}
