//! The server's own keys under its password hashes (RFC 9106's secret value; NIST SP 800-63B-4 3.1.1.2 asks for such a keyed hash).
//! They lie in a file outside the database: a stolen backup without it cannot be guessed from.

use base64::{Engine, engine::general_purpose};

/// What argon2 leaves for a key's name in a PHC string.
const MAX_ID: usize = argon2::Params::MAX_KEYID_LEN;
/// NIST SP 800-63B-4 3.1.1.2 refers to SP 800-131A: at least 112 bits. `openssl rand -base64 32` makes 256.
const MIN_KEY: usize = 32;

/// A key and its name, which a hash carries.
pub struct Pepper {
    /// At most eight characters.
    pub id: String,
    /// At least 32 octets.
    pub key: Vec<u8>,
}

/// The keys, the one for new hashes first; none where the server has no file.
#[derive(Default)]
pub struct Peppers(Vec<Pepper>);

impl Peppers {
    /// Reads lines of "id key", the key in base64; those after the first are for hashes that were made with them. Says what is
    /// wrong, and never what is in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut peppers: Vec<Pepper> = Vec::new();
        for (number, line) in lines {
            let pepper = pepper(line).ok_or(format!(
                "line {}: a name of at most {MAX_ID} of a-z, 0-9, _ and -, a space, and at least {MIN_KEY} octets in base64 are expected",
                number + 1
            ))?;
            if peppers.iter().any(|other| other.id == pepper.id) {
                return Err(format!("line {}: a second key of the same name", number + 1));
            }
            peppers.push(pepper);
        }
        if peppers.is_empty() { Err("there is no key in it".to_owned()) } else { Ok(Peppers(peppers)) }
    }

    /// The key for new hashes.
    pub fn current(&self) -> Option<&Pepper> {
        self.0.first()
    }

    /// The key of that name.
    pub fn find(&self, id: &[u8]) -> Option<&Pepper> {
        self.0.iter().find(|pepper| pepper.id.as_bytes() == id)
    }
}

fn pepper(line: &str) -> Option<Pepper> {
    let (id, key) = line.split_once(char::is_whitespace)?;
    let key = general_purpose::STANDARD.decode(key.trim_start()).ok()?;
    let is_name =
        (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-".contains(&c));
    (is_name && key.len() >= MIN_KEY).then(|| Pepper { id: id.to_owned(), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_first_key_is_for_new_hashes_and_all_are_for_old_ones() {
        let peppers = Peppers::parse(&format!("# of this year\n\n new {KEY}\nold\t{KEY}\n")).unwrap();
        assert_eq!(peppers.current().unwrap().id, "new");
        assert_eq!(peppers.find(b"old").unwrap().key, (0..32).collect::<Vec<u8>>());
        assert!(peppers.find(b"older").is_none());
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_whole() {
        let short = "AAECAwQFBgcICQoLDA0ODw==";
        for text in
            ["", "# nothing\n", KEY, &format!("a {short}"), &format!("ninechars {KEY}"), &format!("A {KEY}"), &format!("a {KEY}\nb"), "a ?"]
        {
            let problem = Peppers::parse(text).err().unwrap_or_else(|| panic!("was read: {text}"));
            assert!(!problem.contains(&KEY[..8]), "{problem}");
        }
        assert!(Peppers::parse(&format!("a {KEY}\na {KEY}")).is_err_and(|problem| problem.starts_with("line 2")));
    }
}
