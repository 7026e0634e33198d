//! Access tokens and the keys that sign them, through the real PostgREST.

use crate::deeds::until;
use crate::domain::access_token::{self, Claims};
use crate::gateway::{bearer, call, claims_of, is_refused, sign_in, text};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pgrx_tests::{Actor, Database, PostgRest};
use serde_json::{Value, json};
use std::time::Duration;

/// The key that signs.
fn signing_key(dba: &mut Actor) -> (String, Vec<u8>) {
    let row = dba.client.query_one("select kid, private_key from auth_private.signing_secrets join auth_private.signing_keys using (kid) where verifies_until is null order by created_at desc limit 1", &[]).unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn forged_and_odd_tokens_are_refused() {
    let db = Database::new();
    let ann = db.user("Ann");
    let server = db.postgrest(&[]);
    let mut dba = db.dba();
    let (kid, private) = signing_key(&mut dba);
    let public: Vec<u8> = dba.one("select public_key from auth_private.signing_keys");
    let good = claims_of(&ann);
    let sign = |claims: &Claims| access_token::sign(claims, kid.clone(), &private).unwrap();
    assert_eq!(call(&server, "uid", &bearer(&sign(&good)), json!({})).body, json!(ann.id), "the test signs as we do");
    let stranger = access_token::new_pair();
    let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
    let odd = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut claims = json!(good).as_object().unwrap().clone();
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&private)).unwrap()
    };
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(json!(good).to_string()));
    let public_text = URL_SAFE_NO_PAD.encode(&public);
    let hs = |secret: &[u8]| jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &EncodingKey::from_secret(secret)).unwrap();
    // Twice there: the first is past, the second is not.
    let twice = {
        let body = json!(good).to_string().replacen('{', r#"{"exp":1,"#, 1);
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(json!(header).to_string()), URL_SAFE_NO_PAD.encode(body));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_ed_der(&private), Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    };
    let bob = db.user("Bob");
    let mut tokens = vec![
        ("none", none),
        ("the public key as a secret", hs(&public)),
        ("its text as a secret", hs(public_text.as_bytes())),
        ("a stranger's key", access_token::sign(&good, stranger.kid, &stranger.private).unwrap()),
        ("a stranger's key under our name", access_token::sign(&good, kid.clone(), &stranger.private).unwrap()),
        ("no name of a key", jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &good, &EncodingKey::from_ed_der(&private)).unwrap()),
        ("a claim twice", twice),
        ("expired", sign(&Claims { exp: good.iat - 1, ..good.clone() })),
        ("not yet valid", sign(&Claims { nbf: Some(good.iat + 300), ..good.clone() })),
        ("from the future", sign(&Claims { iat: good.iat + 300, ..good.clone() })),
        ("another issuer", sign(&Claims { iss: "https://elsewhere.example".into(), ..good.clone() })),
        ("another audience", sign(&Claims { aud: "elsewhere".into(), ..good.clone() })),
        ("several audiences", odd(&|claims| drop(claims.insert("aud".into(), json!(["authenticated"]))))),
        ("another user's session", sign(&Claims { sid: bob.session, ..good.clone() })),
        ("no such session", sign(&Claims { sid: uuid::Uuid::new_v4(), ..good.clone() })),
        ("a time that is a text", odd(&|claims| drop(claims.insert("exp".into(), json!("2999999999"))))),
        ("a time that is a fraction", odd(&|claims| drop(claims.insert("iat".into(), json!(1.5))))),
        ("a subject that is a list", odd(&|claims| drop(claims.insert("sub".into(), json!([ann.id]))))),
        ("a superuser's role", sign(&Claims { role: "postgres".into(), ..good.clone() })),
        ("the administrators' role", sign(&Claims { role: "auth_admin".into(), ..good.clone() })),
        ("anon's role", sign(&Claims { role: "anon".into(), ..good.clone() })),
        ("only a role", odd(&|claims| claims.retain(|claim, _| claim == "role"))),
        ("nothing", odd(&|claims| claims.clear())),
    ];
    for claim in ["iss", "aud", "sub", "role", "sid", "iat", "exp", "jti"] {
        tokens.push((claim, odd(&|claims| drop(claims.remove(claim)))));
    }
    for (what, token) in &tokens {
        for function in ["uid", "list_sessions"] {
            let reply = call(&server, function, &bearer(token), json!({}));
            assert!([400, 401, 403].contains(&reply.status) && reply.body["code"].is_string(), "{what}: {reply:?}");
        }
        // The role of that name, were it the gateway's to take, would not help either.
        if what.ends_with(" role") {
            dba.run("grant auth_admin to authenticator");
            let reply = call(&server, "uid", &bearer(token), json!({}));
            dba.run("revoke auth_admin from authenticator");
            assert!([400, 401, 403].contains(&reply.status), "{what}: {reply:?}");
        }
    }
}

#[test]
fn another_key_of_the_gateway_signs_nobody_in() {
    let db = Database::new();
    let ann = db.user("Ann");
    let secret = "a secret that the gateway shares with somebody";
    let server = db.postgrest(&[("PGRST_JWT_SECRET", secret), ("PGRST_DB_PRE_CONFIG", "")]);
    let token =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims_of(&ann), &EncodingKey::from_secret(secret.as_bytes())).unwrap();
    for (separator, more) in [(" ", vec![]), ("\t", vec![]), ("  ", vec![]), (" ", vec![("authorization", "Basic eA==")])] {
        let bearer = format!("Bearer{separator}{token}");
        let headers = [vec![("authorization", bearer.as_str())], more].concat();
        let reply = server.rpc("uid", &headers, &json!({}));
        assert_eq!(reply.status, 401, "{separator:?}: {reply:?}");
    }
    for nothing in ["Bearer", "Bearer ", "bearer x"] {
        assert_eq!(server.rpc("uid", &[("authorization", nothing)], &json!({})).status, 401, "{nothing}");
    }
}

#[test]
fn two_rotations_at_once_leave_one_key_that_signs() {
    let db = Database::new();
    let (mut one, mut other) = (db.dba(), db.dba());
    one.run("begin; select auth.rotate_signing_key()");
    let waiting = std::thread::spawn(move || other.run("select auth.rotate_signing_key()"));
    while db.dba().one::<i64>("select count(*) from pg_locks where not granted") == 0 {}
    one.run("commit");
    waiting.join().unwrap();
    let count = "select format('%s of %s', count(*) filter (where verifies_until is null), count(*)) from auth_private.signing_keys";
    assert_eq!(db.dba().one::<String>(count), "1 of 3");
}

#[test]
fn a_key_that_was_replaced_verifies_for_as_long_as_its_last_token() {
    let db = Database::new();
    let root = db.admin("Root");
    let ann = db.user("Ann");
    let server = db.postgrest(&[]);
    let mut dba = db.dba();
    // It calls itself ready before it listens, and listens only when that statement is over.
    until("LISTEN", || {
        dba.one(
            "select exists (select from pg_stat_activity where datname = current_database() and query ilike 'listen %' and state = 'idle')",
        )
    });
    let (old_kid, old_private) = signing_key(&mut dba);
    let old = access_token::sign(&claims_of(&ann), old_kid.clone(), &old_private).unwrap();
    let root = [("x-session-token", root.token.clone())];
    is_refused(&call(&server, "rotate_signing_key", &bearer(&old), json!({})), 403, "PERMISSION_DENIED");
    let rotated = call(&server, "rotate_signing_key", &root, json!({}));
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(dba.one::<i64>("select count(*) from auth.audit_log where action = 'rotate_signing_key'"), 1);
    let new = text(&sign_in(&server, "Ann")["access_token"]);
    assert_eq!(access_token::key_id(&new), rotated.body["kid"].as_str().map(str::to_owned));
    // PostgREST hears of it at commit.
    until("the new key", || call(&server, "uid", &bearer(&new), json!({})).status == 200);
    assert_eq!(call(&server, "uid", &bearer(&old), json!({})).body, json!(ann.id));
    let keys = |server: &PostgRest| -> Vec<Value> {
        server.send("GET", "/rpc/jwks", &[], None).body["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    };
    assert_eq!(keys(&server), [rotated.body["kid"].clone(), json!(old_kid)]);
    // Once its time is over we refuse it, also while PostgREST still knows it.
    dba.run("update auth_private.signing_keys set verifies_until = clock_timestamp() where verifies_until is not null");
    let late = access_token::sign(&claims_of(&ann), old_kid, &old_private).unwrap();
    is_refused(&call(&server, "uid", &bearer(&late), json!({})), 401, "INVALID_SESSION");
    assert_eq!(keys(&server).len(), 1);
    call(&server, "rotate_signing_key", &root, json!({}));
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.signing_secrets"), 2, "the key whose time is over is forgotten");
}

#[test]
fn an_access_token_ends_with_its_time_and_with_its_session() {
    let db = Database::new();
    db.user("Ann");
    db.dba().run(&format!("alter database {} set auth.access_token_lifetime = 2", db.name));
    let server = db.postgrest(&[]);
    let signed_in = sign_in(&server, "Ann");
    let own = bearer(&text(&signed_in["access_token"]));
    assert_eq!(call(&server, "uid", &own, json!({})).status, 200);
    std::thread::sleep(Duration::from_millis(2_100));
    // PostgREST allows clocks half a minute; we do not: it is one clock.
    is_refused(&call(&server, "uid", &own, json!({})), 401, "INVALID_SESSION");
    let refreshed = call(&server, "refresh_session", &[], json!({"token": signed_in["token"]}));
    assert_eq!(call(&server, "uid", &bearer(&text(&refreshed.body["access_token"])), json!({})).body, signed_in["user"]["id"]);
    db.dba().run("update auth.sessions set expires_at = clock_timestamp() + '1 s'");
    let short = call(&server, "refresh_session", &[], json!({"token": signed_in["token"]}));
    std::thread::sleep(Duration::from_millis(1_100));
    is_refused(&call(&server, "uid", &bearer(&text(&short.body["access_token"])), json!({})), 401, "INVALID_SESSION");
}
