//! Names of database roles, and their generated passwords and verifiers.

use super::token::random_bytes;
use crate::error::{Result, invalid};
use base64::{Engine, engine::general_purpose::STANDARD};

/// NAMEDATALEN - 1, in octets: PostgreSQL cuts a longer name, and somebody else's role could be what remains.
const MAX_OCTETS: usize = 63;

/// Letters and digits that nobody takes for another one: no 0 O o, no 1 l I i.
const ALPHABET: &[u8; 55] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 55 to the 24th: 138 bits.
const PASSWORD_LENGTH: usize = 24;

/// RFC 7677: no fewer iterations than these.
const MIN_ITERATIONS: u32 = 4096;

/// A name that a role can have, or INVALID_ARGUMENT.
pub fn existing(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_OCTETS { Err(invalid("role_name")) } else { Ok(()) }
}

/// A name that a new role may have, or INVALID_ARGUMENT. "auth_" is ours.
pub fn new(name: &str) -> Result<()> {
    existing(name)?;
    let reserved =
        ["pg_", "auth_"].iter().any(|prefix| name.starts_with(prefix)) || ["public", "none", "anon", "authenticated"].contains(&name);
    if reserved { Err(invalid("role_name")) } else { Ok(()) }
}

/// A new password.
pub fn password() -> String {
    let mut password = String::with_capacity(PASSWORD_LENGTH);
    while password.len() < PASSWORD_LENGTH {
        // The largest multiple of 55 below 256: what lies above would make some letters likelier than others.
        let fair = random_bytes::<32>().into_iter().filter(|byte| *byte < 220);
        password.extend(fair.take(PASSWORD_LENGTH - password.len()).map(|byte| char::from(ALPHABET[usize::from(byte % 55)])));
    }
    password
}

/// A verifier `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` (RFC 5803 as PostgreSQL writes it), or INVALID_ARGUMENT.
/// Anything else PostgreSQL would take for a password in the clear.
pub fn verifier(text: &str) -> Result<()> {
    let well_formed = || {
        let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let octets = |encoded: &str| STANDARD.decode(encoded).map(|decoded| decoded.len()).ok();
        let digits = iterations.bytes().all(|b| b.is_ascii_digit()) && !iterations.starts_with('0');
        let enough = iterations.parse::<i32>().is_ok_and(|n| n >= MIN_ITERATIONS as i32);
        Some(digits && enough && (8..=64).contains(&octets(salt)?) && octets(stored_key)? == 32 && octets(server_key)? == 32)
    };
    if well_formed() == Some(true) { Ok(()) } else { Err(invalid("verifier")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_measured_in_octets() {
        assert!(new(&"ä".repeat(31)).is_ok() && new(&"ä".repeat(32)).is_err());
        assert!(new(&"x".repeat(63)).is_ok() && new(&"x".repeat(64)).is_err());
        for name in ["", "pg_x", "public", "none", "auth_x", "anon"] {
            assert!(new(name).is_err(), "{name}");
        }
        assert!(new("a \"b\" ; drop role x").is_ok(), "PostgreSQL allows it, quoted");
    }

    #[test]
    fn passwords_are_long_unambiguous_and_different() {
        let (a, b) = (password(), password());
        assert!(a != b && a.len() == PASSWORD_LENGTH && a.bytes().all(|c| ALPHABET.contains(&c)));
        assert!((ALPHABET.len() as f64).log2() * PASSWORD_LENGTH as f64 >= 128.0);
        let mut letters = ALPHABET.to_vec();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), 55);
    }

    #[test]
    fn only_well_formed_verifiers_pass() {
        let key = STANDARD.encode([7; 32]);
        let good = format!("SCRAM-SHA-256$4096:{}${key}:{key}", STANDARD.encode([1; 16]));
        assert!(verifier(&good).is_ok());
        for bad in [
            "",
            "a password",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            &good[..good.len() - 4],
            &format!("{good} "),
            &good.replace("4096", "4095"),
            &good.replace("4096", "04096"),
            &good.replace("4096", "+4096"),
            &good.replace("4096", "99999999999"),
            &good.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        ] {
            assert!(verifier(bad).is_err());
        }
    }
}
