//! Bearer tokens: 256 random bits, shown once, stored as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};

/// So that scanners for leaked secrets can tell one of ours, and nobody takes the one kind for the other.
const PREFIX: &str = "as_";
const ONE_TIME_PREFIX: &str = "ot_";
const MAX_OCTETS: usize = 256;

/// Random bytes from the operating system. There is no generator of our own to be copied by a fork of the postmaster.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system's random number generator");
    bytes
}

/// A new session token.
pub fn new_token() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
}

/// A new one-time token, as it goes by mail.
pub fn new_one_time_token() -> String {
    format!("{ONE_TIME_PREFIX}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
}

/// Whether it looks like a session's.
pub fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// What is stored of a token, and by what it is found: a look-up by the hash needs no comparison in constant time,
/// since an attacker who learns how far a hash agreed learns nothing about a token that has it.
/// Of what is longer than any token the hash is that of none: a gigabyte takes seconds that nobody can interrupt.
pub fn token_hash(token: &str) -> [u8; 32] {
    let token = if token.len() > MAX_OCTETS { "" } else { token };
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_carry_256_bits() {
        let (a, b) = (new_token(), new_token());
        assert_ne!(a, b);
        assert_eq!(URL_SAFE_NO_PAD.decode(&a[PREFIX.len()..]).unwrap().len(), 32);
        assert_eq!(token_hash(&a), token_hash(&a));
        assert_ne!(token_hash(&a), token_hash(&b));
    }
}
