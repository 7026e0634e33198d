//! Behind PostgREST: who makes a request, and the keys that access tokens are signed with.

use crate::backend::identity::{self, Identity, Scope};
use crate::backend::json::Json;
use crate::backend::raise::{could_not_serialize, run};
use crate::backend::{ids, request, state};
use crate::caller::{self, Record};
use crate::config;
use crate::deeds;
use crate::domain::access_token::{self, Claims};
use crate::domain::token::{is_token, token_hash};
use crate::error::{Code, Error, Result};
use crate::store::callers::LiveSession;
use crate::store::signing_keys;
use pgrx::iter::TableIterator;
use pgrx::{name, pg_extern};
use serde_json::{Value, json};

/// How much longer than its last token a key verifies: gateways allow for clocks that differ.
const OVERLAP_SECONDS: i32 = 60;

/// `auth.pre_request()`
#[pg_extern(sql = false)]
fn pre_request() {
    run(move || {
        // Nothing that any other login role notes about a request is believed, or every one of them could say who it is.
        if !request::is_behind_gateway() || state::is_strangers_code() {
            return Ok(());
        }
        // What an earlier request of this connection may have left behind is nobody's answer.
        request::clear_response();
        let session = identified_by_request()?;
        let session_id = session.as_ref().map(|session| ids::pure(session.id));
        if !identity::is_same_subject(session_id, false) {
            return Err(Error::about(Code::PERMISSION_DENIED, "pre_request"));
        }
        if let Some(session) = session_id {
            identity::set(Some(Identity { session, scope: Scope::Transaction }));
            request::write(c"role", access_token::ROLE);
        }
        Ok(())
    });
}

/// `auth.jwks()`
#[pg_extern(sql = false)]
fn jwks() -> Json {
    Json(key_set())
}

/// `auth.postgrest_config()`
#[pg_extern(sql = false)]
fn postgrest_config() {
    request::write(c"pgrst.jwt_secret", &key_set().to_string());
}

/// `auth.rotate_signing_key()`
#[pg_extern(sql = false)]
fn rotate_signing_key() -> Json {
    run(move || {
        let caller = caller::administrator("settings:update")?;
        let pair = access_token::new_pair();
        let overlap = config::access_token_lifetime().saturating_add(OVERLAP_SECONDS);
        // Somebody else's rotation that we have waited for is followed by ours.
        if !(0..3).any(|_| signing_keys::replace(&pair, overlap)) {
            could_not_serialize();
        }
        signing_keys::announce();
        Record::of(&caller, "rotate_signing_key").needing("settings:update").with("kid", pair.kid.as_str()).ok()?;
        Ok(Json(json!({"kid": pair.kid})))
    })
}

/// `auth_private.new_signing_key()`
#[pg_extern(sql = false)]
fn new_signing_key() -> TableIterator<'static, (name!(kid, String), name!(public_key, Vec<u8>), name!(private_key, Vec<u8>))> {
    let pair = access_token::new_pair();
    TableIterator::once((pair.kid, pair.public, pair.private))
}

/// The session that a request shows: by an access token, the header X-Session-Token or the cookie, in this order. None where it
/// shows nothing; what it shows must be good.
fn identified_by_request() -> Result<Option<LiveSession>> {
    let dead = || Error::from(Code::INVALID_SESSION);
    let authorization = request::header("authorization");
    let claims = request::claims().filter(|claims| names_somebody(claims));
    if claims.is_some() || authorization.as_deref().is_some_and(is_bearer) {
        return by_access_token(authorization, claims).ok_or_else(dead).map(Some);
    }
    if let Some(token) = request::header("x-session-token") {
        keep_from_caches();
        return by_session_token(&token).ok_or_else(dead).map(Some);
    }
    let Some(token) = request::cookie(request::COOKIE).filter(|token| is_token(token)) else { return Ok(None) };
    // A browser sends the cookie along with what any page makes it send.
    if !deeds::sessions::is_own_page() {
        return Err(Error::about(Code::PERMISSION_DENIED, "origin"));
    }
    keep_from_caches();
    by_session_token(&token).ok_or_else(|| Error { forgets_cookie: true, ..dead() }).map(Some)
}

/// The signature is verified here again: the gateway may know keys that are not ours, or still those that we have retired, and
/// whoever signs with one of those would choose the claims. Claims alone are believed where the gateway has noted no header
/// Authorization of any kind, which PostgREST always does.
fn by_access_token(authorization: Option<String>, claims: Option<String>) -> Option<LiveSession> {
    state::as_door(|| {
        let claims: Claims = match authorization {
            Some(header) => {
                let token = header.split_ascii_whitespace().nth(1).filter(|_| is_bearer(&header))?;
                access_token::verify(token, &signing_keys::public(&access_token::key_id(token)?)?)?
            }
            None => serde_json::from_str(&claims?).ok()?,
        };
        if !claims.hold(state::unix_time(state::clock()), &config::issuer(), &config::audience()) {
            return None;
        }
        caller::session_by_id(ids::servers(claims.sid)).filter(|session| ids::pure(session.user) == claims.sub)
    })
}

fn by_session_token(token: &str) -> Option<LiveSession> {
    state::as_door(|| caller::session_by_token(token_hash(token)))
}

fn is_bearer(authorization: &str) -> bool {
    authorization.split_ascii_whitespace().next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// Claims of a token; of a request without one there is the role alone.
fn names_somebody(claims: &str) -> bool {
    match serde_json::from_str(claims) {
        Ok(Value::Object(claims)) => claims.keys().any(|claim| claim != "role"),
        _ => true,
    }
}

/// Caches know that an answer to Authorization is for one client only; of other headers they do not.
fn keep_from_caches() {
    if let Some(request) = request::current() {
        request.respond_with_header("Cache-Control", "no-store");
    }
}

fn key_set() -> Value {
    let keys: Vec<Value> = signing_keys::all_public().iter().map(|(kid, public)| access_token::public_jwk(kid, public)).collect();
    json!({"keys": keys})
}
