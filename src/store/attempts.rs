//! Attempts at passwords.

use super::{Mode, call, run};
use crate::backend::attempt_counters;
use crate::backend::index::{self, Index, Key};
use pgrx::Uuid;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv6Addr};

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
            address: address
                .map(|ip| ip.to_canonical())
                .filter(|ip| !ip.is_loopback())
                .map(|ip| digest("address", &network(ip).to_string())),
        }
    }

    /// Of a user, who need not have an address.
    pub fn of_user(user: Uuid, email: Option<&str>, address: Option<IpAddr>) -> Self {
        email.map_or_else(|| Self::new(&user.to_string(), address), |email| Self::new(email, address))
    }

    /// By what the account is known here, whether there is one or not.
    pub fn account(&self) -> &[u8] {
        &self.account
    }

    fn all(&self) -> Vec<Vec<u8>> {
        [Some(self.account.clone()), self.address.clone()].into_iter().flatten().collect()
    }
}

/// What one customer of a provider has: a whole /64 of IPv6, out of which every attempt could come from another address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Whether an attempt may be made, or for how many seconds not.
/// Returns whether the table has anything to [`forgive`]; mostly it has not. What is noted there between now and then stays, as if it came after.
pub fn may(subjects: &Subjects, (most, window): (i32, i32)) -> Result<bool, i64> {
    // What failed before a restart or on another server.
    let have_failed = index::as_seen_by(Mode::Write, || subjects.all().iter().any(|subject| index::has(&FAILURES, &Key::Octets(subject))));
    if have_failed {
        let wait: Option<i32> = call("select auth_private.blocked_for($1, $2, $3)", &[subjects.all().into(), most.into(), window.into()]);
        if let Some(wait @ 1..) = wait {
            return Err(wait.into());
        }
    }
    attempt_counters::may(&subjects.all(), most, window)?;
    Ok(have_failed)
}

/// Counts an attempt at the last moment before it is made, where that can be done so that nothing takes it back: whoever is counted has then
/// paid for it, and cannot drive the counts of others out of memory for nothing. Seconds to wait instead, where it must not be made.
pub fn charge(subjects: &Subjects, (most, window): (i32, i32)) -> Result<(), i64> {
    attempt_counters::charge(&subjects.all(), most, window)
}

static FAILURES: Index = Index::new(c"auth_private", c"failed_attempts", c"failed_attempts_subject_idx");

/// Notes a failure in the table, which outlives a restart if the transaction ends well.
pub fn failed(subjects: &Subjects) {
    run("select auth_private.charge_failure($1)", &[subjects.all().into()]);
}

/// Clears the account's count, in the table where that may have one. Of the address's one attempt: an attacker who has an account of their own
/// would clear it at will.
pub fn forgive(subjects: &Subjects, have_failed: bool) {
    attempt_counters::forgive(&subjects.account);
    attempt_counters::give_back(subjects.address.as_slice());
    if have_failed {
        run("select auth_private.forgive_failures($1)", &[subjects.account.clone().into()]);
    }
}
