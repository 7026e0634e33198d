//! The file of the server's keys for password hashes.

use super::settings::setting;
use crate::config;
use crate::domain::pepper::Peppers;
use crate::error::{Code, Result};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

/// More than any number of keys that somebody would keep.
const MAX_FILE: u64 = 64 << 10;

/// By what a file is known to be the one that was read: device, inode, seconds, nanoseconds, octets.
type Stamp = (u64, u64, i64, i64, u64);

thread_local! {
    static READ: RefCell<Option<(Stamp, Rc<Peppers>)>> = const { RefCell::new(None) };
}

/// The keys as the file has them now; none where `auth.pepper_file` names none. Where it cannot be read nothing is hashed and nothing
/// checked: an attacker who could take the file away would otherwise have every new hash made without a key.
pub fn keys() -> Result<Rc<Peppers>> {
    let Some(path) = config::pepper_file() else { return Ok(Rc::default()) };
    problem_or_keys(&path).map_err(|problem| {
        pgrx::log!("auth.pepper_file \"{path}\" cannot be used: {problem}");
        Code::MISCONFIGURED.into()
    })
}

/// What is wrong with the file, where something is.
pub fn problem() -> Option<String> {
    problem_or_keys(&config::pepper_file()?).err()
}

fn problem_or_keys(path: &str) -> Result<Rc<Peppers>, String> {
    let read = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(read)?;
    let about = file.metadata().map_err(read)?;
    let stamp = (about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.len());
    let known = READ.with_borrow(|known| known.as_ref().filter(|(of, _)| *of == stamp).map(|(_, keys)| Rc::clone(keys)));
    if let Some(keys) = known {
        return Ok(keys);
    }
    // Every user of the machine could read the key.
    if about.mode() & 0o007 != 0 {
        return Err("others than its owner and group have access; chmod 600".to_owned());
    }
    // A base backup would carry the key together with the hashes.
    let data = setting(c"data_directory").and_then(|data| fs::canonicalize(data).ok());
    if data.is_some_and(|data| fs::canonicalize(path).is_ok_and(|path| path.starts_with(data))) {
        return Err("it lies in the data directory, and so in every base backup".to_owned());
    }
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(format!("a file of at most {MAX_FILE} octets is expected"));
    }
    let mut text = String::new();
    file.by_ref().take(MAX_FILE).read_to_string(&mut text).map_err(read)?;
    let keys = Rc::new(Peppers::parse(&text)?);
    READ.set(Some((stamp, Rc::clone(&keys))));
    Ok(keys)
}
