//! The limits on a user's attributes.

use crate::domain::profile;
use crate::error::{Result, invalid};
use crate::store::users;
use serde_json::Value;

/// Attributes that may be stored: an object of at most 64 kB, not nested too deep.
pub fn stored(attributes: Value) -> Result<Value> {
    let attributes = profile::attributes(attributes)?;
    if users::attributes_fit(&attributes) { Ok(attributes) } else { Err(invalid("attributes")) }
}
