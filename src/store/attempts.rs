//! Failed attempts at passwords.

use super::{call, run};
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

/// For how many seconds the next attempt must wait.
pub fn blocked_for(subjects: &Subjects, (max_attempts, window): (i32, i32)) -> i32 {
    call("select auth_private.blocked_for($1, $2, $3)", &[subjects.all().into(), max_attempts.into(), window.into()]).unwrap_or(0)
}

/// Counts a failure.
pub fn charge(subjects: &Subjects) {
    run("select auth_private.charge_failure($1)", &[subjects.all().into()]);
}

/// Clears the account's count. Not the address's: an attacker who has one account of their own would clear it at will.
pub fn forgive(subjects: &Subjects) {
    run("select auth_private.forgive_failures($1)", &[subjects.account.clone().into()]);
}
