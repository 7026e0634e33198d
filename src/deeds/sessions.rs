//! Sessions that have just been opened.

use crate::backend::request;
use crate::config;
use crate::domain::address;
use crate::domain::token::{is_token, token_hash};
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

/// Hands the token to a browser, where that is wanted. `max_age` in seconds; none for a
/// session that is to end with the browser.
pub fn set_cookie(token: &str, max_age: Option<i32>) {
    // Another site's form would otherwise sign a visitor in to an account of its choice.
    let Some(request) = request::current().filter(|_| config::set_session_cookie() && is_own_page()) else { return };
    let lifetime = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{}={token}; Path=/{lifetime}; HttpOnly; Secure; SameSite=Lax", request::COOKIE);
    request.respond_with_header("Set-Cookie", &cookie);
}

/// Whether the cookie that a request shows is the token of this live session.
pub fn is_in_cookie(session: Uuid) -> bool {
    let cookie = request::current().and_then(|_| request::cookie(request::COOKIE)).filter(|token| is_token(token));
    cookie.and_then(|token| sessions::find_by_token(token_hash(&token))).is_some_and(|(of_cookie, _)| of_cookie == session)
}

/// Makes a browser forget the token that it has shown.
pub fn forget_cookie() {
    if let Some(request) = request::current() {
        request.respond_with_header("Set-Cookie", request::FORGET_COOKIE);
    }
}

/// Whether the page that made a browser send the cookie is the application's. Browsers say so in Origin, with every method that
/// changes something, or at least in Sec-Fetch-Site; what says neither must only read.
pub fn is_own_page() -> bool {
    match (request::header("origin"), request::header("sec-fetch-site")) {
        (Some(origin), _) => address::is_own_origin(&origin, request::header("host").as_deref(), &config::trusted_origins()),
        (None, Some(site)) => matches!(site.as_str(), "same-origin" | "none"),
        (None, None) => request::current().is_some_and(|request| request.is_reading()),
    }
}
