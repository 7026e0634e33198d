//! argon2 (RFC 9106) in memory that somebody keeps: the crate's own way of checking a PHC string asks the system for it each time.

use crate::error::{Code, Result};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Where hashes are made.
pub trait Memory {
    /// So many blocks of 1 KiB, whatever is in them: argon2 writes each before it reads it. None where there is no memory.
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]>;
}

/// A new argon2id hash, as a PHC string, with a key of the server; an empty one is none.
pub fn hash(password: &[u8], salt: &[u8], params: &Params, key: &[u8], memory: &mut dyn Memory) -> Result<String> {
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let mut hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(params).map_err(|_| Code::MISCONFIGURED)?,
        salt: Some(Salt::new(salt).map_err(|_| Code::OUT_OF_MEMORY)?),
        hash: None,
    };
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    hash.hash = Some(derive(password, salt, (algorithm, version, params.clone()), length, key, memory)?);
    Ok(hash.to_string())
}

/// Whether the password is the one under a hash of any kind of argon2.
pub fn matches(password: &[u8], hash: &PasswordHash, key: &[u8], memory: &mut dyn Memory) -> Result<bool> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    // PHC: without one it is the first.
    let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) = (Algorithm::try_from(hash.algorithm.as_str()), version, Params::try_from(hash)) else {
        return Ok(false);
    };
    // The comparison takes the same time wherever they differ.
    Ok(derive(password, salt, (algorithm, version, params), expected.len(), key, memory)? == *expected)
}

fn derive(
    password: &[u8],
    salt: &[u8],
    (algorithm, version, params): (Algorithm, Version, Params),
    length: usize,
    key: &[u8],
    memory: &mut dyn Memory,
) -> Result<Output> {
    let blocks = memory.blocks(params.block_count()).ok_or(Code::OUT_OF_MEMORY)?;
    let argon2 = Argon2::new_with_secret(key, algorithm, version, params).map_err(|_| Code::OUT_OF_MEMORY)?;
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).ok_or(Code::OUT_OF_MEMORY)?;
    argon2.hash_password_into_with_memory(password, salt, output, blocks).map_err(|_| Code::OUT_OF_MEMORY)?;
    Output::new(output).map_err(|_| Code::OUT_OF_MEMORY.into())
}

/// Of who hashes outside a server: tests.
impl Memory for Vec<Block> {
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        self.resize(count.max(self.len()), Block::default());
        self.get_mut(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier;

    #[test]
    fn what_lies_in_the_memory_makes_no_difference_and_the_crate_agrees() {
        let params = Params::new(64, 2, 1, Some(32)).unwrap();
        let mut dirty = vec![Block::default(); 64];
        for block in &mut dirty {
            block.as_mut().fill(0x5555_5555_5555_5555);
        }
        for key in [&b""[..], b"a key of the server"] {
            let [clean, dirty] =
                [&mut Vec::new(), &mut dirty].map(|memory| hash(b"whatever", b"salt and more", &params, key, memory).unwrap());
            assert_eq!(clean, dirty);
            let parsed = PasswordHash::new(&clean).unwrap();
            let library = Argon2::new_with_secret(key, Algorithm::Argon2id, Version::V0x13, Params::default()).unwrap();
            assert_eq!(library.verify_password(b"whatever", &parsed), Ok(()));
            assert!(matches(b"whatever", &parsed, key, &mut Vec::new()).unwrap());
            assert!(!matches(b"Whatever", &parsed, key, &mut Vec::new()).unwrap());
            assert!(!matches(b"whatever", &parsed, b"another key", &mut Vec::new()).unwrap());
        }
    }
}
