//! The file of the server's keys for password hashes.

use super::raise::log_once;
use super::settings::setting;
use crate::config;
use crate::domain::pepper::Peppers;
use crate::error::{Code, Result};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::rc::Rc;

/// Of open(2), on Linux and most others.
const O_NONBLOCK: i32 = 0o4000;
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
        log_once(&format!("auth.pepper_file \"{path}\" cannot be used: {problem}"));
        Code::MISCONFIGURED.into()
    })
}

/// What is wrong with the file, where something is.
pub fn problem() -> Option<String> {
    problem_or_keys(&config::pepper_file()?).err()
}

/// Those of these names, in base64, that the server has no key for.
pub fn missing(names: Vec<String>) -> Vec<String> {
    let keys = config::pepper_file().and_then(|path| problem_or_keys(&path).ok()).unwrap_or_default();
    let plain = |name: &String| STANDARD_NO_PAD.decode(name).ok();
    let unknown = names.iter().filter_map(plain).filter(|name| keys.find(name).is_none());
    unknown.map(|name| String::from_utf8_lossy(&name).into_owned()).collect()
}

fn problem_or_keys(path: &str) -> Result<Rc<Peppers>, String> {
    let read = |error: std::io::Error| error.to_string();
    // A pipe would keep whoever opens it for ever.
    let mut file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(read)?;
    let about = file.metadata().map_err(read)?;
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(format!("a file of at most {MAX_FILE} octets is expected"));
    }
    // Every user of the machine could read the key.
    if about.mode() & 0o007 != 0 {
        return Err("others than its owner and group have access; chmod 600".to_owned());
    }
    let stamp = (about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.len());
    let known = READ.with_borrow(|known| known.as_ref().filter(|(of, _)| *of == stamp).map(|(_, keys)| Rc::clone(keys)));
    if let Some(keys) = known {
        return Ok(keys);
    }
    // A base backup would carry the key together with the hashes.
    let data = setting(c"data_directory").and_then(|data| fs::canonicalize(data).ok());
    if data.is_some_and(|data| fs::canonicalize(path).is_ok_and(|path| path.starts_with(data))) {
        return Err("it lies in the data directory, and so in every base backup".to_owned());
    }
    let mut text = String::new();
    file.by_ref().take(MAX_FILE).read_to_string(&mut text).map_err(read)?;
    let keys = Rc::new(Peppers::parse(&text)?);
    READ.set(Some((stamp, Rc::clone(&keys))));
    Ok(keys)
}
