//! Sessions that have just been opened.

use crate::backend::json::WholeJson;
use crate::backend::jsonb::object_of;
use crate::backend::raise::answer;
use crate::backend::{ids, request, state};
use crate::caller::{Origin, Record};
use crate::config;
use crate::domain::access_token::{self, Claims};
use crate::domain::address;
use crate::domain::token::{is_token, new_token, random_bytes, token_hash};
use crate::error::Code;
use crate::store::sessions::{self, Fresh, NewSession, Proof, RenderedSession};
use crate::store::users::{RenderedUser, Standing};
use crate::store::{Mode, callers};
use pgrx::Uuid;
use serde_json::{Value, json};

/// A session that has just been opened, and its token.
pub struct Opened {
    /// The session's id.
    pub session: Uuid,
    token: String,
}

/// Opens a session; none when the proof or the user has changed since it was checked. One not to be remembered is short and never slides.
pub fn open(user: Uuid, epoch: i64, proof: Proof, remember_me: bool, origin: &Origin) -> Option<Opened> {
    let token = new_token();
    let session = sessions::open(&NewSession {
        user,
        epoch,
        proof,
        token_hash: token_hash(&token),
        lifetime: config::session_lifetime(remember_me),
        fixed: !remember_me,
        address: origin.address,
        agent: origin.agent.as_deref(),
    })?;
    // Whoever was banned while this waited for a lock of theirs gets no access token: others than us may believe it for as long as it says.
    (callers::epoch(Mode::Latest, user) == epoch).then_some(Opened { session, token })
}

impl Opened {
    /// What the client gets, and the cookie where it is wanted.
    pub fn render(self, remember_me: bool) -> WholeJson {
        set_cookie(&self.token, remember_me.then(|| config::session_lifetime(true)));
        WholeJson::of(&Shown::of(self.session, self.token, None))
    }

    /// The same of a session that takes the place of another, as [`renewed`].
    pub fn render_renewed(self, remember_me: bool) -> WholeJson {
        set_cookie(&self.token, remember_me.then(|| config::session_lifetime(true)));
        renewed(self.session, Some(self.token), None)
    }
}

/// Opens a session for who has proved who they are, writes it down and renders it, unless they are banned or have not proved their
/// address; that is then the answer.
pub fn admit(standing: &Standing, proof: Proof, remember_me: bool, record: Record, origin: &Origin) -> Option<WholeJson> {
    if let Some((reason, expires_at)) = &standing.ban {
        record.failed(Code::BANNED_USER, origin);
        let details = json!({"reason": reason, "expires_at": expires_at});
        return Some(answer(&Code::BANNED_USER.into(), Some(config::banned_user_message()), details));
    }
    if config::require_email_verification() && !standing.email_verified {
        record.failed(Code::EMAIL_NOT_VERIFIED, origin);
        return Some(answer(&Code::EMAIL_NOT_VERIFIED.into(), None, Value::Null));
    }
    let opened = open(standing.user, standing.epoch, proof, remember_me, origin)?;
    record.by(standing.user, Some(opened.session)).ok_from(origin);
    Some(opened.render(remember_me))
}

/// What is returned where the address must be verified before there is a session.
pub fn none_yet(user: Option<Value>) -> WholeJson {
    WholeJson::of(&json!({"user": user, "session": null, "token": null, "access_token": null}))
}

/// What opens a session returns: the only place where its token is shown.
pub struct Shown {
    user: Option<RenderedUser>,
    session: Option<RenderedSession>,
    token: String,
    access_token: Option<String>,
}

object_of!(Shown: user, token, session, access_token);

struct Renewed {
    user: Option<RenderedUser>,
    session: Option<RenderedSession>,
    token: Option<String>,
}

object_of!(Renewed: user, token, session);

/// What change_password returns, without an access token: refresh_session gives one. `current` is the session in use.
pub fn renewed(session: Uuid, token: Option<String>, current: Option<Uuid>) -> WholeJson {
    let fresh = sessions::fresh(session, current);
    let (user, session) = fresh.map_or((None, None), |fresh| (fresh.user, Some(fresh.session)));
    WholeJson::of(&Renewed { user, session, token })
}

impl Shown {
    /// A session and its token; `current` is the one in use.
    pub fn of(session: Uuid, token: String, current: Option<Uuid>) -> Self {
        let Some(fresh) = sessions::fresh(session, current) else { return Shown { user: None, session: None, token, access_token: None } };
        let access_token = access_token(session, &fresh);
        Shown { user: fresh.user, session: Some(fresh.session), token, access_token }
    }

    /// When the session ends, as clients see it.
    pub fn expires_at(&self) -> Option<&str> {
        self.session.as_ref().map(|session| session.expires_at.as_str())
    }
}

/// An access token of a session that has just been opened or proved; none where there is no key.
pub fn access_token(session: Uuid, fresh: &Fresh) -> Option<String> {
    let key = fresh.key.as_ref()?;
    let now = state::unix_time(state::clock());
    let claims = Claims {
        iss: config::issuer(),
        aud: config::audience(),
        sub: ids::pure(fresh.user_id),
        role: access_token::ROLE.to_owned(),
        sid: ids::pure(session),
        iat: now,
        exp: state::unix_time(fresh.expires_at).min(now + i64::from(config::access_token_lifetime())),
        jti: uuid::Uuid::from_bytes(random_bytes()),
        nbf: None,
    };
    access_token::sign(&claims, key.kid.clone(), &key.private)
}

/// Hands the token to a browser, where that is wanted. `max_age` in seconds; none for a session that is to end with the browser.
fn set_cookie(token: &str, max_age: Option<i32>) {
    // Another site's form would otherwise sign a visitor in to an account of its choice.
    let Some(request) = request::current().filter(|_| config::set_session_cookie() && is_own_page()) else { return };
    let lifetime = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{}={token}; Path=/{lifetime}; HttpOnly; Secure; SameSite=Lax", request::COOKIE);
    request.respond_with_header("Set-Cookie", &cookie);
}

/// Whether the cookie that a request shows is the token of this live session.
pub fn is_in_cookie(session: Uuid) -> bool {
    let cookie = request::current().and_then(|_| request::cookie(request::COOKIE)).filter(|token| is_token(token));
    cookie.and_then(|token| sessions::find_by_token(token_hash(&token))).is_some_and(|(of_cookie, ..)| of_cookie == session)
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
