//! The HTTP request that a gateway has noted in settings, and the response that it reads from there (PostgREST's convention).
//!
//! Anybody can SET these, so nothing here looks at them unless the login role is a gateway: that no client can choose.

use super::settings::{self, setting};
use super::state;
use crate::config;
use pgrx::pg_sys;
use serde_json::{Map, Value, json};
use std::ffi::{CStr, CString};

/// A session's token.
pub const COOKIE: &str = "session";

/// Makes a browser forget the cookie.
pub const FORGET_COOKIE: &str = "session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax";

/// True on a gateway's connection.
pub fn is_behind_gateway() -> bool {
    config::is_trusted_gateway(&state::session_user())
}

/// The request that is being answered.
pub struct Request {
    /// GET, POST, …
    pub method: String,
}

/// The request; none on any other connection than a gateway's, and outside a request.
pub fn current() -> Option<Request> {
    let method = setting(c"request.method").filter(|_| is_behind_gateway())?;
    Some(Request { method })
}

impl Request {
    /// True where the method promises that nothing happens; its arguments are in the address, and so in logs and histories.
    pub fn is_reading(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The status of the response. An error has its own.
    pub fn respond_with_status(&self, status: u16) {
        write(c"response.status", &status.to_string());
    }

    /// A header of the response, besides those that are there. An error discards them.
    pub fn respond_with_header(&self, name: &str, value: &str) {
        let headers = setting(c"response.headers").and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let mut headers = headers.and_then(|headers| headers.as_array().cloned()).unwrap_or_default();
        headers.push(json!({name: value}));
        write(c"response.headers", &Value::from(headers).to_string());
    }
}

/// Takes back what was noted for the response.
pub fn clear_response() {
    for name in [c"response.headers", c"response.status"] {
        if setting(name).is_some() {
            write(name, "");
        }
    }
}

/// A header that the gateway has noted; the name in lower case.
pub fn header(name: &str) -> Option<String> {
    member(c"request.headers", name)
}

/// A cookie that the gateway has noted.
pub fn cookie(name: &str) -> Option<String> {
    member(c"request.cookies", name)
}

/// The claims of a token that the gateway has verified, as JSON; with the role alone where there was none.
pub fn claims() -> Option<String> {
    setting(c"request.jwt.claims")
}

/// Writes a setting until the transaction ends, as SET LOCAL does: for whoever reads it, or the role. The server asks whether the login
/// role may.
pub fn write(name: &CStr, value: &str) {
    let value = CString::new(value.replace('\0', "")).unwrap_or_default();
    settings::set(name, &value, pg_sys::GucAction::GUC_ACTION_LOCAL);
}

fn member(setting_name: &CStr, name: &str) -> Option<String> {
    let text = setting(setting_name)?;
    // A map, of which no key makes anything else.
    let mut object: Map<String, Value> = serde_json::from_str(&text).ok()?;
    match object.remove(name)? {
        // What has a NUL is of no use: no text of the server's can hold one.
        Value::String(value) if !value.contains('\0') => Some(value),
        _ => None,
    }
}
