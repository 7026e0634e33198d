//! Hashes of passwords as they are stored: our own, and those that came with people from somewhere else.
//!
//! Whatever can be written so is a PHC string. Of the rest, bcrypt keeps its own form, and Firebase's is the one that Supabase made up.

use super::argon2id::{self, Memory};
use super::pepper::Peppers;
use crate::error::{Code, Result};
use aes::cipher::{KeyIvInit, StreamCipher};
use argon2::{Params, PasswordHash, PasswordVerifier, Version, password_hash};
use base64::{Engine, engine::general_purpose};
use pbkdf2::Pbkdf2;
use scrypt::scrypt;

/// What checking a stored hash may cost at most. It is data: without a bound, a row that asks for 4 TiB is a denial of service.
const MAX_MEMORY: u64 = 256 << 20;
/// Passes of argon2.
const MAX_PASSES: u32 = 10;
/// Lanes of argon2; Django's default is 8. Without threads they cost nothing more.
const MAX_LANES: u32 = 16;
/// KiB of argon2's memory, times passes: a GiB-pass is about two seconds.
const MAX_ARGON2_WORK: u64 = 1 << 20;
/// N·r·p of scrypt: OWASP's strongest row, about a second.
const MAX_SCRYPT_WORK: u64 = 1 << 20;
/// Of PBKDF2. Django's default grew to 1,200,000 in version 6.
const MAX_ROUNDS: u32 = 3_000_000;
/// Of bcrypt: 2^14 is about a second.
const MAX_BCRYPT_COST: u32 = 14;

/// Lucia 0.1 and everything after it write "salt:hash" alike and mean r = 8 and r = 16.
const AMBIGUOUS_SCRYPT: &str = "scrypt-lucia";

/// A stored hash that we can check at a bearable cost.
pub enum StoredHash {
    /// argon2i, argon2d, argon2id.
    Argon2(PasswordHash),
    /// RFC 7914.
    Scrypt(Scrypt),
    /// RFC 8018 with HMAC-SHA-256 or -512.
    Pbkdf2(PasswordHash),
    /// OpenBSD's, of which only the first 72 octets of a password count.
    Bcrypt(String),
    /// Firebase's scrypt.
    Firebase(Firebase),
}

/// scrypt as more than one project writes it.
pub struct Scrypt {
    log_n: u8,
    /// One, or several where the form does not say which; the greatest first.
    r: Vec<u32>,
    p: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// The key that scrypt derives encrypts the project's "signer key", and that is the hash.
pub struct Firebase {
    scrypt: Scrypt,
    signer_key: Vec<u8>,
}

impl StoredHash {
    /// Reads what [`imported`] or a hash of ours has written; none when it is of no known kind or asks for too much.
    pub fn parse(stored: &str) -> Option<Self> {
        match stored.split('$').nth(1)? {
            "2a" | "2b" | "2y" => {
                let parts: bcrypt::HashParts = stored.parse().ok()?;
                (4..=MAX_BCRYPT_COST).contains(&parts.get_cost()).then(|| StoredHash::Bcrypt(stored.to_owned()))
            }
            "fbscrypt" => firebase(stored).map(StoredHash::Firebase),
            _ => phc(PasswordHash::new(stored).ok()?),
        }
    }

    /// The name of the server's key that the hash was made with.
    pub fn key_id(&self) -> Option<Vec<u8>> {
        let StoredHash::Argon2(hash) = self else { return None };
        Params::try_from(hash).ok().map(|params| params.keyid().to_vec()).filter(|id| !id.is_empty())
    }

    /// Whether one of these spellings of a password is the one under the hash. Takes what the hash says, also where its key is missing.
    pub fn matches(&self, spellings: &[String], peppers: &Peppers, memory: &mut dyn Memory) -> Result<bool> {
        let key = self.key_id().and_then(|id| peppers.find(&id)).map_or(&[][..], |pepper| &pepper.key);
        for spelling in spellings {
            let password = spelling.as_bytes();
            let same = match self {
                StoredHash::Argon2(hash) => argon2id::matches(password, hash, key, memory)?,
                StoredHash::Pbkdf2(hash) => verified(Pbkdf2::default().verify_password(password, hash))?,
                StoredHash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
                StoredHash::Scrypt(scrypt) => scrypt.matches(password)?,
                StoredHash::Firebase(firebase) => firebase.matches(password)?,
            };
            if same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What to store of a hash that another system made; none when it is of no known kind or asks for too much.
pub fn imported(text: &str) -> Option<String> {
    let stored = translated(text)?;
    // One that was made with some server's key would never match here.
    StoredHash::parse(&stored).filter(|hash| hash.key_id().is_none()).map(|_| stored)
}

fn translated(text: &str) -> Option<String> {
    // Long before the longest hash there is: what follows copies it.
    if text.len() > 1_024 {
        return None;
    }
    // Django puts the hasher's name in front.
    if let Some(phc) = text.strip_prefix("argon2$").filter(|rest| rest.starts_with("argon2")) {
        return Some(format!("${phc}"));
    }
    if let Some(bcrypt) = text.strip_prefix("bcrypt$") {
        return Some(bcrypt.to_owned());
    }
    if let Some(rest) = text.strip_prefix("pbkdf2_sha256$") {
        let [rounds, salt, hash] = fields(rest, '$')?;
        return phc_of_pbkdf2("pbkdf2-sha256", rounds, salt.as_bytes(), &decode(hash)?);
    }
    // passlib: no name for the rounds, and "." for "+".
    for name in ["pbkdf2-sha256", "pbkdf2-sha512"] {
        if let Some(rest) = text.strip_prefix(&format!("${name}$")).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            let [rounds, salt, hash] = fields(rest, '$')?;
            return phc_of_pbkdf2(name, rounds, &decode(&salt.replace('.', "+"))?, &decode(&hash.replace('.', "+"))?);
        }
        // The length may be left out; the crate then takes it for 32.
        if let Some(rest) = text.strip_prefix(&format!("${name}$i=")).filter(|rest| !rest.contains(",l=")) {
            let [rounds, salt, hash] = fields(rest, '$')?;
            return phc_of_pbkdf2(name, rounds, &decode(salt)?, &decode(hash)?);
        }
    }
    if let Some(rest) = text.strip_prefix("s2:") {
        let [salt, hash] = fields(rest, ':')?;
        return phc_of_scrypt("scrypt", salt, hash);
    }
    if !text.starts_with('$') {
        let [salt, hash] = fields(text, ':')?;
        return phc_of_scrypt(AMBIGUOUS_SCRYPT, salt, hash);
    }
    Some(text.to_owned())
}

/// Exactly so many fields.
fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    text.split(separator).collect::<Vec<_>>().try_into().ok()
}

fn phc_of_pbkdf2(name: &str, rounds: &str, salt: &[u8], hash: &[u8]) -> Option<String> {
    let rounds: u32 = rounds.parse().ok()?;
    Some(format!("${name}$i={rounds},l={}${}${}", hash.len(), encode(salt), encode(hash)))
}

/// Lucia and Better Auth: N = 16384, r = 16, p = 1, and the salt is the text as it stands.
fn phc_of_scrypt(name: &str, salt: &str, hash: &str) -> Option<String> {
    let hash = (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()).collect::<Option<Vec<_>>>()?;
    (hash.len() == 64).then(|| format!("${name}$ln=14,r=16,p=1${}${}", encode(salt.as_bytes()), encode(&hash)))
}

fn phc(hash: PasswordHash) -> Option<StoredHash> {
    hash.salt.as_ref().zip(hash.hash.as_ref())?;
    match hash.algorithm.as_str() {
        "argon2i" | "argon2d" | "argon2id" => {
            let params = Params::try_from(&hash).ok()?;
            let (memory, passes) = (u64::from(params.m_cost()), u64::from(params.t_cost()));
            let bearable = memory <= MAX_MEMORY >> 10
                && params.t_cost() <= MAX_PASSES
                && params.p_cost() <= MAX_LANES
                && memory * passes <= MAX_ARGON2_WORK;
            let known = hash.version.is_none_or(|version| Version::try_from(version).is_ok());
            (bearable && known).then_some(StoredHash::Argon2(hash))
        }
        "pbkdf2-sha256" | "pbkdf2-sha512" => {
            let params = pbkdf2::Params::try_from(&hash).ok()?;
            (hash.version.is_none() && params.rounds() <= MAX_ROUNDS).then_some(StoredHash::Pbkdf2(hash))
        }
        name @ ("scrypt" | AMBIGUOUS_SCRYPT) => {
            let number = |name| hash.params.get_decimal(name);
            let scrypt = Scrypt {
                log_n: number("ln")?.try_into().ok()?,
                r: if name == AMBIGUOUS_SCRYPT { vec![16, 8] } else { vec![number("r")?] },
                p: number("p")?,
                salt: hash.salt?.as_ref().to_vec(),
                hash: hash.hash?.as_ref().to_vec(),
            };
            (hash.version.is_none() && scrypt.is_bearable()).then_some(StoredHash::Scrypt(scrypt))
        }
        _ => None,
    }
}

/// `$fbscrypt$v=1,n=14,r=8,p=1,ss=…,sk=…$salt$hash`: n is the logarithm ("mem_cost"), r the "rounds", ss the salt's separator, sk the
/// signer key; <https://github.com/supabase/auth> writes it so.
fn firebase(text: &str) -> Option<Firebase> {
    let [_, _, params, salt, hash] = fields(text, '$')?;
    let mut params = params.split(',');
    let mut param = |name: &str| params.next()?.strip_prefix(name)?.strip_prefix('=');
    let (version, log_n, r, p) = (param("v")?, param("n")?.parse().ok()?, param("r")?.parse().ok()?, param("p")?.parse().ok()?);
    let (separator, signer_key) = (decode(param("ss")?)?, decode(param("sk")?)?);
    let scrypt = Scrypt { log_n, r: vec![r], p, salt: [decode(salt)?, separator].concat(), hash: decode(hash)? };
    let well_formed = version == "1" && params.next().is_none() && scrypt.is_bearable();
    (well_formed && signer_key.len() >= 16 && signer_key.len() == scrypt.hash.len()).then_some(Firebase { scrypt, signer_key })
}

impl Scrypt {
    fn is_bearable(&self) -> bool {
        let (log_n, r, p) = (u32::from(self.log_n), u64::from(self.r[0]), u64::from(self.p));
        // Each of them alone is bounded first, so that the products cannot overflow.
        (1..=24).contains(&log_n)
            && (1..=1 << 16).contains(&r)
            && (1..=1 << 16).contains(&p)
            && (r << log_n) * 128 <= MAX_MEMORY
            && (r << log_n) * p <= MAX_SCRYPT_WORK
    }

    fn derive(&self, password: &[u8], r: u32, key: &mut [u8]) -> Result<()> {
        // The crate's own allocation would end the backend, and with it the cluster, where there is no memory.
        let octets = 128 * (r as usize) * ((1 << self.log_n) + self.p as usize + 1);
        Vec::<u8>::new().try_reserve_exact(octets).map_err(|_| Code::OUT_OF_MEMORY)?;
        let params = scrypt::Params::new(self.log_n, r, self.p).map_err(|_| Code::OUT_OF_MEMORY)?;
        scrypt(password, &self.salt, &params, key).map_err(|_| Code::OUT_OF_MEMORY.into())
    }

    fn matches(&self, password: &[u8]) -> Result<bool> {
        for r in &self.r {
            let mut key = vec![0; self.hash.len()];
            self.derive(password, *r, &mut key)?;
            // How far a guess's hash agrees tells nothing about the password.
            if key == self.hash {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Firebase {
    fn matches(&self, password: &[u8]) -> Result<bool> {
        let mut key = [0; 32];
        self.scrypt.derive(password, self.scrypt.r[0], &mut key)?;
        let mut encrypted = self.signer_key.clone();
        ctr::Ctr128BE::<aes::Aes256>::new(&key.into(), &[0; 16].into()).apply_keystream(&mut encrypted);
        Ok(encrypted == self.scrypt.hash)
    }
}

fn verified(outcome: Result<(), password_hash::Error>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(Code::OUT_OF_MEMORY.into()),
    }
}

fn encode(octets: &[u8]) -> String {
    general_purpose::STANDARD_NO_PAD.encode(octets)
}

/// Base64 of either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    general_purpose::STANDARD_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::password::{Password, Policy};

    const POLICY: Policy = Policy { min_length: 1, max_length: 128, blocklist: false };
    const BATTERY: &str = "correct horse battery";

    fn matches(hash: &str, password: &str) -> bool {
        let stored = imported(hash).unwrap_or_else(|| panic!("not read: {hash}"));
        assert!(stored.starts_with('$'));
        Password::presented(password, "password", &POLICY).unwrap().matches(&stored, &Peppers::default(), &mut Vec::new()).unwrap()
    }

    /// Made by the projects' own libraries: Django 5.2, passlib 1.7, argon2-cffi 25.1, bcrypt 5.0 for Python; Lucia's by its version 2.7;
    /// Firebase's is the example of its own scrypt repository.
    #[test]
    fn hashes_of_other_systems_match_their_password_and_no_other() {
        let two_part = "abcdefghijklmnop:4f31f3c51b3b4071a1a19362c5bc5ad368cfcc9a7fd7071e039ef9277062d718e6e6ab27eb8a108497b6813b1c5d7f470b9cad58b3c0b2f359b3dbf831999e56";
        for (hash, password) in [
            ("pbkdf2_sha256$1000$saltsaltsalt1234567890$BJFSNKTHaEM9hX1YE4iKPDCMi3ldgG29PLH4zVwddVE=", BATTERY),
            ("pbkdf2_sha256$1000$saltsaltsalt1234567890$UvSCXHLh+SGuG3NnukqPBHdYHicGZX2w9zcKx6nJM8M=", "\u{c5}ngstr\u{f6}m-1868"),
            ("argon2$argon2id$v=19$m=8192,t=1,p=8$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY", BATTERY),
            ("bcrypt$$2b$04$......................yqKybrYN1gfi6yNZruor7MV8yF80Yo.", BATTERY),
            ("$pbkdf2-sha256$1000$AcDYWyvlXEsJgXCu1RqD8A$pZ3pljbaqutj.pGZUfSE9v2AB2pFuSPxjn4rYWPI3.k", BATTERY),
            (
                "$pbkdf2-sha512$1000$jtF6r5UyJgQgRIjRWstZaw$bL3vL4bVxtPE.oqat9PjaMdG6wJhq.cgiaGXO490Vy6qutNbcxrT2MBQ3R.mh/K5RTKz30RE.a99dq32n/yooA",
                BATTERY,
            ),
            // Without a length, and without a version: libargon2 and PHC take that for the first.
            (
                "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0$N/KIXnXzj/cNelUPFBl3qyb9OMzt+wseJWyiR7KpfVqe62fM2nrDg5bWYslNk0lF6TT63F8VEsxdLhYfVxBtew",
                BATTERY,
            ),
            ("$argon2id$m=8192,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$QQvgMnc0Rs1Up+oVLR/1TmcSDh34KO3MEM4Lf0Tdw8Q", "importpass word"),
            ("$argon2i$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0$fZX0aksJGRta8Us5okjdo8XUolZy+wLqCkRNXQiPH18", BATTERY),
            ("$argon2d$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0$fBQzbLGUeHQ+Klzh2BvMIbQXfZLZlTyVD/d5trF/b+E", BATTERY),
            ("$argon2id$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0$AGlIk0RlRez0Sbn6ojmNC0xQvjkOlmmEa4UhCvba7ig", BATTERY),
            ("$2a$04$7.krHb4cIu/y9szH7RoZ2.lMGNUUF2I/0DkQz5dnf6QSCB/YKpSCO", BATTERY),
            ("$2b$04$/GFjfIpypQcl/bAfB.EH5.pbu835IOyzKhnHU9bWuMA9z.gq0IfvS", BATTERY),
            (two_part, "123456"),
            (&format!("s2:{two_part}"), "123456"),
            (
                "abcdefghijklmnop:d7aec1e3661b60e668612959419c7ef09b5cc944a8e255186fc0f1e20f76fe8c193a53e0b6e6d0dad91aea708c5ce1faba6ee7cb1472abf3a5b2da26a31e44ca",
                "123456",
            ),
            (
                "s2:abcdefghijklmnop:6cee8efd921f960d274bc2bbcfb91cb727ea5dee0a4cb66cfd9cb8cad3c370edbcf32b6049b8fe779f8320d1023190fff31248d0f6fa6bd4a327b36de49521af",
                "\u{212b}ngstro\u{308}m\u{ff11}",
            ),
            ("$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", "password"),
            (
                "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
                "user1password",
            ),
        ] {
            assert!(matches(hash, password), "{hash}");
            assert!(!matches(hash, "correct horse batterz") && !matches(hash, ""), "{hash}");
        }
    }

    #[test]
    fn bcrypt_knows_the_first_72_octets_only() {
        let hash = "$2b$04$nx8noQPlb/QDQ3lqbB4BPuzN9A2P3j1fi0a2vvffwkgW7gia/zm9q";
        let long = "0123456789".repeat(8);
        assert!(matches(hash, &long) && matches(hash, &long[..72]));
        assert!(!matches(hash, &long[..71]));
    }

    #[test]
    fn what_asks_for_too_much_or_is_nothing_is_refused() {
        for hash in [
            "",
            "$",
            "$$",
            "plain text",
            "pbkdf2_sha256$3000001$saltsaltsalt$BJFSNKTHaEM9hX1YE4iKPDCMi3ldgG29PLH4zVwddVE=",
            "pbkdf2_sha256$0$saltsaltsalt$BJFSNKTHaEM9hX1YE4iKPDCMi3ldgG29PLH4zVwddVE=",
            "pbkdf2_sha256$-1$saltsaltsalt$BJFSNKTHaEM9hX1YE4iKPDCMi3ldgG29PLH4zVwddVE=",
            "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$argon2id$v=19$m=8192,t=11,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$argon2id$v=19$m=262144,t=8,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$argon2id$v=99$m=8192,t=1,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$argon2id$v=19$m=8192,t=1,p=1",
            "$argon2id$v=19$m=8192,t=1,p=1$c2FsdHNhbHRzYWx0",
            "$scrypt$ln=63,r=8,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$scrypt$ln=255,r=8,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$scrypt$ln=14,r=4294967295,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$scrypt$ln=14,r=8,p=4294967295$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$scrypt$ln=17,r=8,p=4$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY",
            "$2b$15$......................21jzCB1r6pN6rp5O2Ev0ejjTAboskKm",
            "$2x$04$......................21jzCB1r6pN6rp5O2Ev0ejjTAboskKm",
            "$2b$04$short",
            "$fbscrypt$v=1,n=40,r=8,p=1,ss=Bw==,sk=jxsp$42xEC+ixf3L2lw==$lSrf",
            "$fbscrypt$v=2,n=14,r=8,p=1,ss=Bw==,sk=jxsp$42xEC+ixf3L2lw==$lSrf",
            "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=$42xEC+ixf3L2lw==$",
            "$fbscrypt$v=1,n=1,r=1,p=1,ss=,sk=AA==$AA==$AA==",
            "s2:salt:zz",
            "salt:1234",
            "md5b1b3773a05c0ed0176787a4f1574ff00",
            "$1$abcdefgh$G//4keteveJp0qb8z2DxG/",
        ] {
            assert!(imported(hash).is_none(), "{hash}");
        }
        assert!(imported(&"$".repeat(100_000_000)).is_none());
    }
}
