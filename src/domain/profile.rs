//! The limits on what is known about a user.

use crate::error::{Result, invalid};
use serde_json::Value;

const MAX_NAME: usize = 255;
const MAX_IMAGE: usize = 2_048;
const MAX_ATTRIBUTES: usize = 64 * 1024;
const MAX_BAN_REASON: usize = 1_000;

fn at_most(text: String, length: usize, argument: &'static str) -> Result<String> {
    // NUL cannot be in a text of PostgreSQL, but can be escaped in JSON.
    if text.chars().count() > length || text.contains('\0') { Err(invalid(argument)) } else { Ok(text) }
}

/// A name of at most 255 characters.
pub fn name(text: String) -> Result<String> {
    at_most(text, MAX_NAME, "name")
}

/// The address of a picture, of at most 2,048 characters.
pub fn image(text: String) -> Result<String> {
    at_most(text, MAX_IMAGE, "image")
}

/// The reason of a ban, of at most 1,000 characters; an empty one is none.
pub fn ban_reason(text: String) -> Result<Option<String>> {
    at_most(text, MAX_BAN_REASON, "ban_reason").map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// Attributes: an object of at most 64 kB.
pub fn attributes(value: Value) -> Result<Value> {
    // PostgreSQL writes a space after each colon and comma; counted as it will be stored.
    let octets = value.to_string().len();
    if !value.is_object() || octets > MAX_ATTRIBUTES { Err(invalid("attributes")) } else { Ok(value) }
}
