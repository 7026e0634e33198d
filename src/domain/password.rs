//! Passwords: which may be chosen (NIST SP 800-63B-4 3.1.1.2), and how they are kept (argon2id, RFC 9106).

use super::argon2id::{self, Memory};
use super::pepper::Peppers;
use super::stored_hash::StoredHash;
use super::token::random_bytes;
use crate::error::{Code, Error, Result};
use argon2::{KeyId, Params, ParamsBuilder, PasswordHash, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use icu_normalizer::ComposingNormalizerBorrowed as Normalizer;
use sha2::{Digest, Sha256};
use std::cmp::Ordering;

/// The 19,640 commonest passwords, one a line and sorted by octets: the list of Django's CommonPasswordValidator; see docs/third-party.md.
const COMMON: &str = include_str!("common_passwords.txt");

/// What `auth.password_max_length` is by default.
const DEFAULT_MAX_LENGTH: usize = 128;

/// What a new password must fulfil. There are no rules of composition: NIST forbids them.
pub struct Policy {
    /// Least number of code points.
    pub min_length: usize,
    /// Greatest number of code points.
    pub max_length: usize,
    /// Whether the commonest passwords are refused.
    pub blocklist: bool,
}

/// What a new hash costs.
#[derive(Clone, Copy)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
}

/// A password, of bounded length.
pub struct Password {
    /// In NFC, so that one typed on another keyboard is the same.
    normal: String,
    /// As it was typed: other systems have hashed it so, or in another form.
    typed: String,
}

impl Password {
    /// A password to be compared, or PASSWORD_TOO_LONG with the argument's name.
    pub fn presented(text: &str, argument: &'static str, policy: &Policy) -> Result<Self> {
        // Passwords outlive a policy: whoever has a longer one than may be chosen today still signs in.
        Self::bounded(text, argument, policy.max_length.max(DEFAULT_MAX_LENGTH))
    }

    fn bounded(text: &str, argument: &'static str, max_length: usize) -> Result<Self> {
        // A code point has at most 4 octets, and NFC makes at most 3 of one: past this it is too long in any spelling.
        // Hashing 500 MB takes a second in which nobody can interrupt.
        if text.len() > 12 * max_length {
            return Err(Error::about(Code::PASSWORD_TOO_LONG, argument));
        }
        let normal = Normalizer::new_nfc().normalize(text).into_owned();
        if normal.chars().count() > max_length {
            return Err(Error::about(Code::PASSWORD_TOO_LONG, argument));
        }
        Ok(Password { normal, typed: text.to_owned() })
    }

    /// A new password, or the first rule that it breaks, with the argument's name.
    pub fn chosen(text: &str, argument: &'static str, policy: &Policy) -> Result<Self> {
        let password = Self::bounded(text, argument, policy.max_length)?;
        if password.normal.chars().count() < policy.min_length {
            return Err(Error::about(Code::PASSWORD_TOO_SHORT, argument).with_hint(format!("At least {} characters", policy.min_length)));
        }
        if policy.blocklist && is_common(&password.normal.to_lowercase()) {
            return Err(Error::about(Code::PASSWORD_TOO_COMMON, argument));
        }
        Ok(password)
    }

    /// The PHC string under which the password is kept.
    pub fn hash(&self, cost: Cost, peppers: &Peppers, memory: &mut dyn Memory) -> Result<String> {
        let key = peppers.current().map_or(&[][..], |pepper| &pepper.key);
        argon2id::hash(self.normal.as_bytes(), &random_bytes::<16>(), &params(cost, peppers)?, key, memory)
    }

    /// Whether this is the password under a stored hash. Takes what the hash says.
    pub fn matches(&self, stored: &str, peppers: &Peppers, memory: &mut dyn Memory) -> Result<bool> {
        let Some(hash) = StoredHash::parse(stored) else { return Ok(false) };
        let first = match hash {
            StoredHash::Argon2(_) => self.normal.clone(),
            // Better Auth, Lucia since version 2.
            _ => Normalizer::new_nfkc().normalize(&self.typed).into_owned(),
        };
        let mut spellings = vec![first, self.typed.clone()];
        spellings.dedup();
        hash.matches(&spellings, peppers, memory)
    }

    /// Whether this is the password under a hash of ours: one spelling, and so one hash, whatever the outcome.
    pub fn is_under(&self, stored: &str, peppers: &Peppers, memory: &mut dyn Memory) -> Result<bool> {
        StoredHash::parse(stored).map_or(Ok(false), |hash| hash.matches(std::slice::from_ref(&self.normal), peppers, memory))
    }
}

/// Whether a password is in the list. To read all of it takes a tenth of what signing up takes besides the hash.
fn is_common(password: &str) -> bool {
    let mut rest = COMMON.as_bytes();
    while !rest.is_empty() {
        let start = rest[..rest.len() / 2].iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let length = rest[start..].iter().position(|octet| *octet == b'\n').unwrap_or(rest.len() - start);
        rest = match password.as_bytes().cmp(&rest[start..start + length]) {
            Ordering::Equal => return true,
            Ordering::Less => &rest[..start],
            Ordering::Greater => rest.get(start + length + 1..).unwrap_or_default(),
        };
    }
    false
}

/// What a new hash says about itself.
fn params(cost: Cost, peppers: &Peppers) -> Result<Params> {
    let mut params = ParamsBuilder::new();
    params.m_cost(cost.memory_kib).t_cost(cost.iterations).p_cost(1);
    if let Some(pepper) = peppers.current() {
        params.keyid(KeyId::new(pepper.id.as_bytes()).map_err(|_| Code::MISCONFIGURED)?);
    }
    params.build().map_err(|_| Code::OUT_OF_MEMORY.into())
}

/// The name of the key that a hash was made with and that the server has no more: nothing can match it.
pub fn missing_key(stored: &str, peppers: &Peppers) -> Option<String> {
    let id = StoredHash::parse(stored)?.key_id()?;
    peppers.find(&id).is_none().then(|| String::from_utf8_lossy(&id).into_owned())
}

/// True when a hash was made in another way, at another cost or with another key than a new one would be.
pub fn is_outdated(stored: &str, cost: Cost, peppers: &Peppers) -> bool {
    let key_id = peppers.current().map_or(&[][..], |pepper| pepper.id.as_bytes());
    let today = |hash: &PasswordHash| {
        hash.algorithm == argon2::ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && Params::try_from(hash).is_ok_and(|params| {
                (params.m_cost(), params.t_cost(), params.p_cost(), params.keyid()) == (cost.memory_kib, cost.iterations, 1, key_id)
            })
    };
    !PasswordHash::new(stored).is_ok_and(|hash| today(&hash))
}

/// A PHC string that no password has, and that costs what a real one does to check: without it, the time of an answer would
/// tell which addresses have an account. For one account always the same, as a real one is: what argon2 reads depends on password and
/// salt, and so does its time, by half a percent.
pub fn decoy(cost: Cost, account: &[u8]) -> String {
    let hash = Sha256::digest(account);
    let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    format!("$argon2id$v=19$m={},t={},p=1${}${}", cost.memory_kib, cost.iterations, encode(&hash[..16]), encode(&hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    const POLICY: Policy = Policy { min_length: 8, max_length: 128, blocklist: true };
    const CHEAP: Cost = Cost { memory_kib: 64, iterations: 1 };

    /// Of a server that has no file of keys.
    static NONE: LazyLock<Peppers> = LazyLock::new(Peppers::default);

    fn refusal(text: &str) -> Option<Code> {
        Password::chosen(text, "password", &POLICY).err().map(|error| error.code)
    }

    #[test]
    fn length_counts_code_points_after_nfc() {
        assert_eq!(refusal("😀😀😀😀😀😀😀"), Some(Code::PASSWORD_TOO_SHORT));
        assert_eq!(refusal("😀😀😀😀😀😀😀😀"), None);
        assert_eq!(refusal("e\u{301}e\u{301}e\u{301}e\u{301}"), Some(Code::PASSWORD_TOO_SHORT), "four letters");
        assert_eq!(refusal(&"ü".repeat(128)), None);
        assert_eq!(refusal(&"u\u{308}".repeat(128)), None, "128 letters in any spelling");
        assert_eq!(refusal(&"x".repeat(129)), Some(Code::PASSWORD_TOO_LONG));
        assert_eq!(refusal(&"x".repeat(100_000_000)), Some(Code::PASSWORD_TOO_LONG));
    }

    #[test]
    fn the_commonest_passwords_are_refused_in_any_case() {
        assert!(COMMON.lines().count() >= 10_000 && COMMON.lines().is_sorted());
        assert!(COMMON.lines().all(is_common), "each of them is found");
        for other in ["", "\n", "0", "~", "123456\n", "password1\npassword2", "correct horse battery", "\u{10FFFF}"] {
            assert_eq!(is_common(other), COMMON.lines().any(|common| common == other), "{other:?}");
        }
        for common in COMMON.lines().filter(|common| common.chars().count() >= 8).step_by(97) {
            assert_eq!(refusal(common), Some(Code::PASSWORD_TOO_COMMON), "a common one");
        }
        assert_eq!(refusal("PassWord1"), Some(Code::PASSWORD_TOO_COMMON));
        assert!(Password::chosen("password1", "password", &Policy { blocklist: false, ..POLICY }).is_ok());
    }

    #[test]
    fn a_hash_matches_its_password_in_every_normal_form_and_no_other() {
        let hash = Password::chosen("Ångström-1868", "password", &POLICY).unwrap().hash(CHEAP, &NONE, &mut Vec::new()).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        let presented =
            |text: &str| Password::presented(text, "password", &POLICY).unwrap().matches(&hash, &NONE, &mut Vec::new()).unwrap();
        assert!(presented("A\u{30A}ngstro\u{308}m-1868"));
        assert!(!presented("Angstrom-1868") && !presented(""));
        assert!(!is_outdated(&hash, CHEAP, &NONE));
        assert!(is_outdated(&hash, Cost { iterations: 2, ..CHEAP }, &NONE) && is_outdated("$2b$10$abc", CHEAP, &NONE));
    }

    #[test]
    fn who_has_a_longer_password_than_may_be_chosen_today_still_signs_in() {
        let today = Policy { max_length: 20, ..POLICY };
        let text = "a password of thirty characters";
        assert_eq!(Password::chosen(text, "password", &today).err().map(|error| error.code), Some(Code::PASSWORD_TOO_LONG));
        assert!(Password::presented(text, "password", &today).is_ok());
    }

    #[test]
    fn a_decoy_is_well_formed_of_equal_cost_and_matches_nothing() {
        let decoy = decoy(CHEAP, b"somebody");
        assert!(!is_outdated(&decoy, CHEAP, &NONE));
        assert!(!Password::presented("", "password", &POLICY).unwrap().matches(&decoy, &NONE, &mut Vec::new()).unwrap());
    }

    #[test]
    fn a_hash_that_asks_for_too_much_is_never_computed() {
        let password = Password::presented("whatever", "password", &POLICY).unwrap();
        for params in ["m=4294967295,t=1,p=1", "m=64,t=4294967295,p=1", "m=1024,t=1,p=100"] {
            let hostile = format!("$argon2id$v=19${params}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
            assert!(!password.matches(&hostile, &NONE, &mut Vec::new()).unwrap());
        }
    }

    #[test]
    fn a_hash_needs_the_key_that_it_names() {
        let [one, two] = ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "////AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];
        let keys = |text: &str| Peppers::parse(text).unwrap();
        let (first, both, other) = (keys(&format!("a {one}")), keys(&format!("b {two}\na {one}")), keys(&format!("a {two}")));
        let password = Password::chosen("a peppered one", "password", &POLICY).unwrap();
        let hash = password.hash(CHEAP, &first, &mut Vec::new()).unwrap();
        let matches = |hash: &str, keys: &Peppers| password.matches(hash, keys, &mut Vec::new()).unwrap();
        assert!(matches(&hash, &first) && matches(&hash, &both) && password.is_under(&hash, &both, &mut Vec::new()).unwrap());
        assert!(!matches(&hash, &NONE) && !matches(&hash, &other), "without the key, with another");
        assert!(!is_outdated(&hash, CHEAP, &first) && is_outdated(&hash, CHEAP, &both) && is_outdated(&hash, CHEAP, &NONE));
        assert_eq!((missing_key(&hash, &both), missing_key(&hash, &NONE)), (None, Some("a".to_owned())));
        let unpeppered = password.hash(CHEAP, &NONE, &mut Vec::new()).unwrap();
        assert!(matches(&unpeppered, &both) && is_outdated(&unpeppered, CHEAP, &both));
        assert!(crate::domain::stored_hash::imported(&hash).is_none(), "another server's key");
    }
}
