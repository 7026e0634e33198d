//! The address and the program that a client claims to come from.

use crate::error::{Result, invalid};
use std::net::IpAddr;

/// Longest user agent that is kept; browsers' are below 300 characters, and it is free text from anybody.
const MAX_USER_AGENT: usize = 512;

/// The `ip_address` argument, or INVALID_ARGUMENT.
pub fn ip_address(text: Option<&str>) -> Result<Option<IpAddr>> {
    text.map(|text| text.parse().map_err(|_| invalid("ip_address"))).transpose()
}

/// The `user_agent` argument, cut.
pub fn user_agent(text: Option<String>) -> Option<String> {
    text.map(|text| match text.char_indices().nth(MAX_USER_AGENT) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    })
}
