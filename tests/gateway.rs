//! Who makes a request, through the real PostgREST.

use crate::domain::access_token::Claims;
use pgrx_tests::{Actor, Database, PASSWORD, PostgRest, Reply, address};
use serde_json::{Value, json};

/// The headers of somebody with this access token.
pub fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {token}"))]
}

pub fn call(server: &PostgRest, function: &str, headers: &[(&str, String)], arguments: Value) -> Reply {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.rpc(function, &headers, &arguments)
}

pub fn sign_in(server: &PostgRest, name: &str) -> Value {
    let reply = call(server, "sign_in", &[], json!({"email": address(name), "password": PASSWORD}));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn is_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

pub fn claims_of(ann: &Actor) -> Claims {
    let now = now();
    Claims {
        iss: "pg_auth".into(),
        aud: "authenticated".into(),
        sub: ann.id,
        role: "authenticated".into(),
        sid: ann.session,
        iat: now,
        exp: now + 900,
        jti: uuid::Uuid::new_v4(),
        nbf: None,
    }
}

#[test]
fn each_of_the_three_credentials_identifies_its_user() {
    let db = Database::new();
    db.user("Ann");
    let server = db.postgrest(&[]);
    let signed_in = sign_in(&server, "Ann");
    let (token, access) = (text(&signed_in["token"]), text(&signed_in["access_token"]));
    let cookie = ("cookie", format!("other=1; session={token}"));
    let own = ("origin", format!("http://127.0.0.1:{}", server.port));
    for headers in [bearer(&access).to_vec(), vec![("x-session-token", token.clone())], vec![cookie, own]] {
        let reply = call(&server, "uid", &headers, json!({}));
        assert_eq!((reply.status, &reply.body), (200, &signed_in["user"]["id"]), "{headers:?}");
        // With the table privileges of somebody signed in, under the policies.
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let rows = server.send("GET", "/users?select=email", &headers, None);
        assert_eq!(rows.body, json!([{"email": "ann@example.org"}]));
        assert_eq!(server.send("GET", "/rpc/get_session", &headers, None).body["user"]["email"], "ann@example.org");
    }
    let nobody = call(&server, "uid", &[], json!({}));
    assert_eq!((nobody.status, nobody.body), (200, Value::Null));
    assert_eq!(server.send("GET", "/users?select=email", &[], None).status, 401);
    // What is shown must be good, and the first of the three decides.
    for headers in [
        vec![("x-session-token", "as_unknown".to_owned())],
        vec![("x-session-token", String::new())],
        vec![("x-session-token", "as_unknown".to_owned()), ("cookie", format!("session={token}"))],
        [bearer("a.b.c").to_vec(), vec![("x-session-token", token.clone())]].concat(),
    ] {
        let reply = call(&server, "uid", &headers, json!({}));
        assert_eq!(reply.status, 401, "{headers:?}: {reply:?}");
    }
    let private = call(&server, "uid", &[("x-session-token", token)], json!({}));
    assert_eq!(private.header("cache-control"), Some("no-store"));
}

#[test]
fn what_ends_a_session_is_felt_at_the_next_request_with_the_same_token() {
    let db = Database::new();
    let root = db.admin("Root");
    let server = db.postgrest(&[]);
    let root = [("x-session-token", root.token.clone())];
    let endings: [(&str, &dyn Fn(&Value, &[(&str, String)]) -> Reply); 7] = [
        ("ban", &|who, _| call(&server, "ban_user", &root, json!({"user_id": who["user"]["id"], "ban_expires_in": 3600}))),
        ("sign-out", &|_, own| call(&server, "sign_out", own, json!({}))),
        ("revocation", &|who, own| call(&server, "revoke_session", own, json!({"session_id": who["session"]["id"]}))),
        ("revocation by an administrator", &|who, _| call(&server, "revoke_user_sessions", &root, json!({"user_id": who["user"]["id"]}))),
        ("a new password", &|_, own| {
            let arguments = json!({"current_password": PASSWORD, "new_password": "another password", "revoke_other_sessions": true});
            let reply = call(&server, "change_password", own, arguments);
            assert_eq!(reply.body["access_token"], Value::Null, "refresh_session gives one");
            let renewed = server.rpc("refresh_session", &[], &json!({"token": reply.body["token"]}));
            let access = text(&renewed.body["access_token"]);
            assert_eq!(call(&server, "uid", &bearer(&access), json!({})).body, reply.body["user"]["id"], "the new token is good");
            reply
        }),
        ("a password set by an administrator", &|who, _| {
            call(&server, "set_user_password", &root, json!({"user_id": who["user"]["id"], "new_password": "another password"}))
        }),
        ("deletion", &|_, own| {
            let user = call(&server, "uid", own, json!({})).body;
            call(&server, "delete_user", own, json!({"user_id": user}))
        }),
    ];
    for (number, (what, end)) in endings.iter().enumerate() {
        let name = format!("user{number}");
        db.user(&name);
        let signed_in = sign_in(&server, &name);
        let own = bearer(&text(&signed_in["access_token"]));
        assert_eq!(call(&server, "uid", &own, json!({})).body, signed_in["user"]["id"]);
        let reply = end(&signed_in, &own);
        assert_eq!(reply.status, 200, "{what}: {reply:?}");
        is_refused(&call(&server, "uid", &own, json!({})), 401, "INVALID_SESSION");
        is_refused(&call(&server, "uid", &[("x-session-token", text(&signed_in["token"]))], json!({})), 401, "INVALID_SESSION");
    }
}

#[test]
fn the_cookie_is_accepted_from_our_own_pages_only() {
    let db = Database::new();
    let ann = db.user("Ann");
    let server = db.postgrest(&[]);
    let cookie = |more: &[(&'static str, &str)]| {
        let mut headers = vec![("cookie", format!("session={}", ann.token))];
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        headers
    };
    let own = format!("http://127.0.0.1:{}", server.port);
    for headers in [cookie(&[("origin", &own)]), cookie(&[("sec-fetch-site", "same-origin")]), cookie(&[("sec-fetch-site", "none")])] {
        assert_eq!(call(&server, "uid", &headers, json!({})).body, json!(ann.id), "{headers:?}");
    }
    for more in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[],
    ] {
        let headers = cookie(more);
        for function in ["uid", "sign_out"] {
            let reply = call(&server, function, &headers, json!({}));
            is_refused(&reply, 403, "PERMISSION_DENIED");
            assert_eq!(reply.header("set-cookie"), None, "nobody else's page signs Ann out");
        }
    }
    // A page's form, as a browser sends it from elsewhere.
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("cookie", headers_cookie(&ann)), ("origin", "https://evil.example")];
    is_refused(&server.send("POST", "/rpc/revoke_sessions", &form, Some("")), 403, "PERMISSION_DENIED");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.sessions"), 1);
    // To read without saying from where is what typing the address does.
    let reading = server.send("GET", "/rpc/uid", &[("cookie", headers_cookie(&ann))], None);
    assert_eq!(reading.body, json!(ann.id));
    db.dba().run(&format!("alter database {} set auth.trusted_origins = 'https://app.example, https://other.example'", db.name));
    let server = db.postgrest(&[]);
    assert_eq!(call(&server, "uid", &cookie(&[("origin", "https://app.example")]), json!({})).body, json!(ann.id));
    // A dead one is cleared; an empty one is none.
    db.dba().run("delete from auth.sessions");
    let dead = server.send("GET", "/rpc/uid", &[("cookie", headers_cookie(&ann))], None);
    is_refused(&dead, 401, "INVALID_SESSION");
    assert!(dead.header("set-cookie").is_some_and(|cookie| cookie.starts_with("session=; Path=/; Max-Age=0;")), "{dead:?}");
    for foreign in ["session=", "session=eyJhIjoxfQ.of.another.program"] {
        let reply = server.send("GET", "/rpc/uid", &[("cookie", foreign)], None);
        assert_eq!((reply.status, reply.header("set-cookie")), (200, None), "{foreign}");
    }
}

fn headers_cookie(actor: &Actor) -> &'static str {
    Box::leak(format!("session={}", actor.token).into_boxed_str())
}

#[test]
fn the_cookie_is_set_where_that_is_wanted_and_cleared_at_sign_out() {
    let db = Database::new();
    db.user("Ann");
    let server = db.postgrest(&[]);
    let credentials = json!({"email": "ann@example.org", "password": PASSWORD});
    assert_eq!(call(&server, "sign_in", &[], credentials.clone()).header("set-cookie"), None);
    db.dba().run(&format!("alter database {} set auth.set_session_cookie = on", db.name));
    let server = db.postgrest(&[]);
    let page = [("sec-fetch-site", "same-origin".to_owned())];
    for elsewhere in [vec![("origin", "https://evil.example".to_owned())], vec![("sec-fetch-site", "cross-site".to_owned())], vec![]] {
        let reply = call(&server, "sign_in", &elsewhere, credentials.clone());
        assert_eq!((reply.status, reply.header("set-cookie")), (200, None), "another site signs nobody in");
    }
    let reply = call(&server, "sign_in", &page, credentials);
    let set = reply.header("set-cookie").expect("a cookie").to_owned();
    assert_eq!(set, format!("session={}; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Lax", text(&reply.body["token"])));
    let not_remembered = json!({"email": "ann@example.org", "password": PASSWORD, "remember_me": false});
    assert!(!call(&server, "sign_in", &page, not_remembered).header("set-cookie").unwrap().contains("Max-Age"));
    let wrong = call(&server, "sign_in", &page, json!({"email": "ann@example.org", "password": "not the password"}));
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let browser = [("cookie", set.split(';').next().unwrap().to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
    let arguments = json!({"current_password": PASSWORD, "new_password": PASSWORD, "revoke_other_sessions": true});
    let changed = call(&server, "change_password", &browser, arguments);
    let renewed = changed.header("set-cookie").expect("a cookie for the new session").to_owned();
    let other = sign_in(&server, "Ann");
    let renewed = ("cookie", renewed.split(';').next().unwrap().to_owned());
    let out = call(&server, "sign_out", &[("x-session-token", text(&other["token"])), renewed.clone()], json!({}));
    assert_eq!((out.status, out.header("set-cookie")), (200, None), "the cookie is of another session");
    let out = call(&server, "sign_out", &[renewed, page[0].clone()], json!({}));
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.starts_with("session=; Path=/; Max-Age=0;")), "{out:?}");
}

#[test]
fn answers_have_a_status_and_what_they_record_is_committed() {
    let db = Database::new();
    let ann = db.user("Ann");
    db.dba().run(&format!("alter database {} set auth.client_address_header = 'X-Forwarded-For'", db.name));
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 3", db.name));
    let server = db.postgrest(&[]);
    let client = [("x-forwarded-for", "198.51.100.1, 203.0.113.7".to_owned()), ("user-agent", "a browser".to_owned())];
    let wrong = json!({"email": "ann@example.org", "password": "not the password", "ip_address": "192.0.2.66"});
    for failures in 1..=3 {
        let reply = call(&server, "sign_in", &client, wrong.clone());
        is_refused(&reply, 401, "INVALID_EMAIL_OR_PASSWORD");
        let recorded =
            "select count(*) from auth.audit_log where action = 'sign_in' and ip_address = '203.0.113.7' and user_agent = 'a browser'
                           and details ->> 'outcome' = 'INVALID_EMAIL_OR_PASSWORD' and details ->> 'claimed_ip_address' = '192.0.2.66'";
        assert_eq!(db.dba().one::<i64>(recorded), failures);
    }
    let blocked = call(&server, "sign_in", &client, wrong);
    is_refused(&blocked, 429, "TOO_MANY_ATTEMPTS");
    let seconds: u32 = blocked.header("retry-after").unwrap().parse().unwrap();
    assert!((25..=30).contains(&seconds), "{blocked:?}");
    assert_eq!(blocked.body["details"], format!("TOO_MANY_ATTEMPTS: {seconds}"), "browsers are not shown the header");
    // Others from elsewhere are not held up, nor is the session that is there.
    db.user("Bob");
    sign_in(&server, "Bob");
    let own = [("x-session-token", ann.token.clone())];
    is_refused(&call(&server, "verify_password", &own, json!({"password": "not the password"})), 429, "TOO_MANY_ATTEMPTS");
    db.dba().run("select auth.ban_user(id, 'spam') from auth.users where email = 'bob@example.org'");
    let banned = call(&server, "sign_in", &[], json!({"email": "bob@example.org", "password": PASSWORD}));
    is_refused(&banned, 403, "BANNED_USER");
    assert_eq!(banned.body["details"]["reason"], "spam");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.audit_log where details ->> 'outcome' = 'BANNED_USER'"), 1);
}

#[test]
fn secrets_are_not_taken_from_an_address() {
    let db = Database::new();
    let ann = db.user("Ann");
    let server = db.postgrest(&[]);
    for path in [
        format!("/rpc/sign_in?email=ann@example.org&password={}", PASSWORD.replace(' ', "%20")),
        "/rpc/sign_up?email=new@example.org&password=a%20fine%20password".to_owned(),
        format!("/rpc/use_session?token={}", ann.token),
        format!("/rpc/refresh_session?token={}", ann.token),
    ] {
        let reply = server.send("GET", &path, &[], None);
        is_refused(&reply, 405, "READ_ONLY");
    }
    let own = [("x-session-token", ann.token.as_str())];
    for function in ["sign_out", "revoke_sessions", "verify_password?password=x", "set_password?new_password=x", "rotate_signing_key"] {
        is_refused(&server.send("GET", &format!("/rpc/{function}"), &own, None), 405, "READ_ONLY");
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.sessions"), 1);
    for reader in [
        "uid",
        "session_id",
        "actor_id",
        "current_user_roles",
        "get_session",
        "list_sessions",
        "jwks",
        "has_permission?permission=user:ban",
    ] {
        assert_eq!(server.send("GET", &format!("/rpc/{reader}"), &own, None).status, 200, "{reader}");
        assert_eq!(server.send("HEAD", &format!("/rpc/{reader}"), &own, None).status, 200, "{reader}");
    }
    assert_eq!(server.send("GET", &format!("/rpc/get_user?user_id={}", ann.id), &own, None).body["email"], "ann@example.org");
}

/// A gateway's connection with these claims noted, in a transaction.
fn noted(actor: &mut Actor, claims: &Value) {
    actor.run(&format!("begin; set local request.jwt.claims = '{claims}'"));
}

/// No client can send one; a gateway's SQL could.
#[test]
fn a_header_with_a_nul_is_none() {
    let db = Database::new();
    db.user("Ann");
    let mut gateway = db.gateway();
    gateway
        .run(r#"begin; set local request.method = 'POST'; set local request.headers = '{"user-agent": "a\u0000b"}'; set local role anon"#);
    let session = gateway.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}') -> 'session'"));
    assert_eq!(session["user_agent"], Value::Null);
    gateway.run("commit");
}

#[test]
fn claims_are_believed_from_gateways_only() {
    let db = Database::new();
    let ann = db.user("Ann");
    let claims = json!(claims_of(&ann));
    let mut gateway = db.gateway();
    noted(&mut gateway, &claims);
    gateway.run("set local role authenticated; select auth.pre_request()");
    assert_eq!(gateway.one::<Option<uuid::Uuid>>("select auth.uid()"), Some(ann.id));
    gateway.run("rollback");
    for role in ["app", "service", "postgres"] {
        let mut other = db.connect(role);
        noted(&mut other, &claims);
        other.run(&format!("set local request.method = 'POST'; set local request.headers = '{}'", json!({"x-session-token": ann.token})));
        assert_eq!(other.one::<Option<uuid::Uuid>>("select auth.uid()"), None, "{role}: claims alone are nothing");
        other.run("select auth.pre_request()");
        assert_eq!(other.one::<Option<uuid::Uuid>>("select auth.uid()"), None, "{role}");
        assert_eq!(other.one::<String>("select current_user::text"), role);
        other.run("rollback");
    }
    // Nor does SET ROLE or SET SESSION AUTHORIZATION make one: what counts is who has logged in.
    let mut app = db.app();
    app.run("begin");
    app.is_refused("set session authorization authenticator", "42501", "permission denied to set session authorization \"authenticator\"");
    // And the claims without pre_request are nothing for the gateway too.
    noted(&mut gateway, &claims);
    gateway.run("set local role authenticated");
    assert_eq!(gateway.one::<Option<uuid::Uuid>>("select auth.uid()"), None);
}

#[test]
fn a_request_speaks_for_one_subject() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let (of_ann, of_bob) = (json!(claims_of(&ann)), json!(claims_of(&bob)));
    let mut gateway = db.gateway();
    let refused = |gateway: &mut Actor, statement: &str, detail: &str| {
        gateway.run("savepoint s");
        gateway.is_refused(statement, "42501", detail);
        gateway.run("rollback to s");
    };
    for (first, undo) in [(&of_ann, ""), (&of_ann, "; select auth.reset_session()"), (&json!({"role": "anon"}), "")] {
        noted(&mut gateway, first);
        gateway.run(&format!("set local role authenticated; select auth.pre_request(); select auth.pre_request(){undo}"));
        gateway.run(&format!("set local request.jwt.claims = '{of_bob}'"));
        refused(&mut gateway, "select auth.pre_request()", "PERMISSION_DENIED: pre_request");
        if first == &of_ann {
            refused(&mut gateway, &format!("select auth.use_session('{}')", bob.token), "PERMISSION_DENIED: use_session");
        }
        assert_ne!(gateway.one::<Option<uuid::Uuid>>("select auth.uid()"), Some(bob.id));
        gateway.run("rollback");
    }
    // A rollback to before it does not forget it; the end of the transaction does.
    noted(&mut gateway, &of_ann);
    gateway.run("set local role authenticated; savepoint before; select auth.pre_request(); rollback to before");
    gateway.run(&format!("set local request.jwt.claims = '{of_bob}'"));
    refused(&mut gateway, "select auth.pre_request()", "PERMISSION_DENIED: pre_request");
    gateway.run("commit");
    noted(&mut gateway, &of_bob);
    gateway.run("set local role anon; select auth.pre_request()");
    assert_eq!(gateway.one::<String>("select current_user::text"), "authenticated", "the role comes with the identity");
    assert_eq!(gateway.one::<Option<uuid::Uuid>>("select auth.uid()"), Some(bob.id));
    gateway.run("commit");
    assert_eq!(gateway.one::<String>("select current_user::text"), "authenticator");
    // Nothing is left on the connection for the next request.
    gateway.run("set role authenticated");
    gateway.is_refused(&format!("select auth.use_session('{}', is_local => false)", ann.token), "22023", "INVALID_ARGUMENT: is_local");
}
