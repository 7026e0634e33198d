//! Sessions that have just been opened.

use crate::backend::request;
use crate::config;
use crate::store::{sessions, users};
use pgrx::Uuid;
use serde_json::{Value, json};

/// What opens a session returns: the only place where its token is shown.
pub fn opened(user: Uuid, session: Uuid, token: String, current: Option<Uuid>) -> Value {
    json!({
        "user": users::json(user),
        "session": sessions::json(session, current),
        "token": token,
        "access_token": sessions::access_token(session),
    })
}

/// Hands the token to a browser, out of reach of the page's scripts, where that is wanted. `max_age` in seconds; none for a
/// session that is to end with the browser.
pub fn set_cookie(token: &str, max_age: Option<i32>) {
    let Some(request) = request::current().filter(|_| config::set_session_cookie()) else { return };
    let lifetime = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{}={token}; Path=/{lifetime}; HttpOnly; Secure; SameSite=Lax", request::COOKIE);
    request.respond_with_header("Set-Cookie", &cookie);
}

/// Makes a browser forget the token that it has shown.
pub fn forget_cookie() {
    if let Some(request) = request::current().filter(|_| request::cookie(request::COOKIE).is_some()) {
        request.respond_with_header("Set-Cookie", request::FORGET_COOKIE);
    }
}
