//! The limits on what is known about a user.

use crate::error::{Result, invalid};
use serde_json::Value;

const MAX_NAME: usize = 255;
const MAX_IMAGE: usize = 2_048;
/// Room for what they are shown in: deeper nesting than a reader of JSON accepts would make every page unreadable that shows them.
const MAX_ATTRIBUTES_DEPTH: usize = 32;
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

/// Attributes: an object. Its length is counted as PostgreSQL writes it, and so not here.
pub fn attributes(value: Value) -> Result<Value> {
    if !value.is_object() || depth(&value) > MAX_ATTRIBUTES_DEPTH { Err(invalid("attributes")) } else { Ok(value) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
