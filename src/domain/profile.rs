//! The limits on what is known about a user.

use crate::error::{Result, invalid};
use serde_json::Value;

const MAX_NAME: usize = 255;
const MAX_IMAGE: usize = 2_048;
/// Room for what they are shown in: deeper nesting than a reader of JSON accepts would make every page unreadable that shows them.
const MAX_ATTRIBUTES_DEPTH: usize = 32;
const MAX_BAN_REASON: usize = 1_000;
const MAX_PROVIDER: usize = 63;
const MAX_PROVIDER_USER_ID: usize = 255;

/// What stands for a password among accounts; no identity provider can be called so.
pub const CREDENTIAL: &str = "credential";

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

/// An identity provider's name, of 1 to 63 characters.
pub fn provider(text: String) -> Result<String> {
    at_most(text, MAX_PROVIDER, "provider")
        .and_then(|text| if text.is_empty() || text == CREDENTIAL { Err(invalid("provider")) } else { Ok(text) })
}

/// A provider's id of a user, of 1 to 255 characters.
pub fn provider_user_id(text: String) -> Result<String> {
    at_most(text, MAX_PROVIDER_USER_ID, "provider_user_id")
        .and_then(|text| if text.is_empty() { Err(invalid("provider_user_id")) } else { Ok(text) })
}

/// Attributes: an object. Its length is counted as PostgreSQL writes it, and so not here.
pub fn attributes(value: Value) -> Result<Value> {
    let fits = value.is_object() && depth(&value) <= MAX_ATTRIBUTES_DEPTH;
    // Nor does the table take it, in a key or anywhere else: an object of such a key would be read as a number.
    if fits && !value.to_string().contains("$serde_json::private::") { Ok(value) } else { Err(invalid("attributes")) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
