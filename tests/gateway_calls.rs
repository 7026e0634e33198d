//! Every function that a client may call, through the real PostgREST: once with success, once refused.

use pgrx_tests::{Actor, Database, PostgRest};
use serde_json::json;
use std::collections::BTreeSet;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Nobody,
    /// A user, who is also the target.
    Self_,
    /// Another user.
    Other,
    /// Whose token is dead.
    Dead,
    Admin,
}
use Who::*;

/// `{t}` is the target's id, `{s}` the id of their session, `{k}` its token, `{m}` their address, `{n}` a number of the row's own.
pub struct Row {
    pub function: &'static str,
    pub allowed: (Who, &'static str),
    /// What is true in the database afterwards, and not before.
    effect: &'static str,
    pub refused: (Who, &'static str, u16, &'static str),
}

const fn row(
    function: &'static str,
    allowed: (Who, &'static str),
    effect: &'static str,
    refused: (Who, &'static str, u16, &'static str),
) -> Row {
    Row { function, allowed, effect, refused }
}

const DEAD: (Who, &str, u16, &str) = (Dead, "{}", 401, "INVALID_SESSION");
const T: &str = r#"{"user_id": "{t}"}"#;
const R: &str = r#"{"role_name": "http_{n}"}"#;

const fn denied(arguments: &'static str) -> (Who, &'static str, u16, &'static str) {
    (Other, arguments, 403, "PERMISSION_DENIED")
}

pub const ROWS: &[Row] = &[
    row(
        "sign_up",
        (Nobody, r#"{"email": "new{n}@example.org", "password": "a fine password", "attributes": {"plan": "free"}}"#),
        "exists (select from auth.users where email = 'new{n}@example.org' and attributes ->> 'plan' = 'free')",
        (Nobody, r#"{"email": "{m}", "password": "a fine password"}"#, 409, "USER_ALREADY_EXISTS"),
    ),
    row(
        "sign_in",
        (Nobody, r#"{"email": "{m}", "password": "a password for tests"}"#),
        "(select count(*) = 2 from auth.sessions where user_id = '{t}')",
        (Nobody, r#"{"email": "{m}", "password": "not the password"}"#, 401, "INVALID_EMAIL_OR_PASSWORD"),
    ),
    row("refresh_session", (Nobody, r#"{"token": "{k}"}"#), "", (Nobody, r#"{"token": "as_x"}"#, 401, "INVALID_SESSION")),
    row("use_session", (Nobody, r#"{"token": "{k}"}"#), "", (Nobody, r#"{"token": "as_x"}"#, 401, "INVALID_SESSION")),
    row("reset_session", (Self_, "{}"), "", DEAD),
    row("uid", (Self_, "{}"), "", DEAD),
    row("session_id", (Self_, "{}"), "", DEAD),
    row("actor_id", (Self_, "{}"), "", DEAD),
    row("current_user_roles", (Self_, "{}"), "", DEAD),
    row("get_session", (Self_, "{}"), "", DEAD),
    row("jwks", (Nobody, "{}"), "", DEAD),
    row("pre_request", (Self_, "{}"), "", DEAD),
    row(
        "has_permission",
        (Admin, r#"{"permission": "user:ban"}"#),
        "",
        (Nobody, r#"{"permission": "user:bann"}"#, 400, "INVALID_ARGUMENT"),
    ),
    row(
        "has_permissions",
        (Admin, r#"{"permissions": {"user": ["ban"]}, "user_id": "{t}"}"#),
        "",
        denied(r#"{"permissions": {"user": ["ban"]}, "user_id": "{t}"}"#),
    ),
    row("sign_out", (Self_, "{}"), "not exists (select from auth.sessions where user_id = '{t}')", DEAD),
    row("list_sessions", (Self_, "{}"), "", DEAD),
    row(
        "revoke_session",
        (Self_, r#"{"session_id": "{s}"}"#),
        "not exists (select from auth.sessions where user_id = '{t}')",
        (Self_, r#"{"session_id": null}"#, 400, "MISSING_ARGUMENT"),
    ),
    row("revoke_sessions", (Self_, "{}"), "(select sum(epoch) = 1 from auth_private.session_epochs where user_id = '{t}')", DEAD),
    row("revoke_other_sessions", (Self_, "{}"), "(select sum(epoch) = 1 from auth_private.session_epochs where user_id = '{t}')", DEAD),
    row("get_user", (Self_, T), "", denied(T)),
    row("get_user_by_email", (Self_, r#"{"email": "{m}"}"#), "", denied(r#"{"email": "{m}"}"#)),
    row(
        "create_user",
        (Admin, r#"{"email": "made{n}@example.org", "roles": ["user"], "email_verified": true}"#),
        "exists (select from auth.users where email = 'made{n}@example.org' and email_verified)",
        denied(r#"{"email": "made{n}@example.org"}"#),
    ),
    row(
        "update_user",
        (Self_, r#"{"user_id": "{t}", "patch": {"name": "Anna", "image": null}}"#),
        "exists (select from auth.users where id = '{t}' and name = 'Anna')",
        denied(r#"{"user_id": "{t}", "patch": {"name": "Anna"}}"#),
    ),
    row(
        "update_user_attributes",
        (Self_, r#"{"user_id": "{t}", "attributes": {"a": null}}"#),
        "exists (select from auth.users where id = '{t}' and attributes = '{\"a\": null}')",
        denied(r#"{"user_id": "{t}", "attributes": {"a": null}}"#),
    ),
    row("delete_user", (Admin, T), "not exists (select from auth.users where id = '{t}')", denied(T)),
    row("list_users", (Admin, "{}"), "", denied("{}")),
    row("list_users_page", (Admin, r#"{"page_size": 2}"#), "", denied("{}")),
    row(
        "change_password",
        (Self_, r#"{"current_password": "a password for tests", "new_password": "another password"}"#),
        "exists (select from auth.audit_log where user_id = '{t}' and action = 'change_password' and details ->> 'outcome' = 'ok')",
        (Self_, r#"{"current_password": "wrong", "new_password": "another password"}"#, 401, "INVALID_PASSWORD"),
    ),
    row(
        "verify_password",
        (Self_, r#"{"password": "a password for tests"}"#),
        "",
        (Self_, r#"{"password": "wrong"}"#, 401, "INVALID_PASSWORD"),
    ),
    row(
        "set_user_password",
        (Admin, r#"{"user_id": "{t}", "new_password": null}"#),
        "not exists (select from auth_private.passwords where user_id = '{t}')",
        denied(r#"{"user_id": "{t}", "new_password": null}"#),
    ),
    row(
        "ban_user",
        (Admin, r#"{"user_id": "{t}", "ban_reason": "spam", "ban_expires_in": 3600}"#),
        "exists (select from auth.bans where user_id = '{t}' and expires_at - created_at between '59 min' and '61 min')",
        denied(T),
    ),
    row("unban_user", (Admin, T), "not exists (select from auth.bans where user_id = '{t}')", denied(T)),
    row("list_user_sessions", (Admin, T), "", denied(T)),
    row(
        "revoke_user_session",
        (Admin, r#"{"session_id": "{s}"}"#),
        "not exists (select from auth.sessions where user_id = '{t}')",
        denied(r#"{"session_id": "{s}"}"#),
    ),
    row("revoke_user_sessions", (Admin, T), "(select sum(epoch) = 1 from auth_private.session_epochs where user_id = '{t}')", denied(T)),
    row(
        "impersonate_user",
        (Admin, T),
        "exists (select from auth.sessions where user_id = '{t}' and impersonated_by is not null)",
        denied(T),
    ),
    row(
        "set_user_roles",
        (Admin, r#"{"user_id": "{t}", "roles": ["admin"]}"#),
        "exists (select from auth.user_roles where user_id = '{t}' and role = 'admin')",
        denied(r#"{"user_id": "{t}", "roles": ["admin"]}"#),
    ),
    row(
        "define_user_role",
        (Admin, r#"{"name": "made{n}", "permissions": ["post:edit"]}"#),
        "exists (select from auth.role_permissions where role = 'made{n}' and permission = 'post:edit')",
        denied(r#"{"name": "made{n}", "permissions": []}"#),
    ),
    row(
        "drop_user_role",
        (Admin, r#"{"name": "spare{n}"}"#),
        "not exists (select from auth.roles where name = 'spare{n}')",
        (Admin, r#"{"name": "nowhere"}"#, 404, "ROLE_NOT_FOUND"),
    ),
    row(
        "send_verification_email",
        (Nobody, r#"{"email": "{m}"}"#),
        "exists (select from auth_private.messages where user_id = '{t}' and kind = 'verify-email')",
        (Nobody, "{}", 400, "MISSING_ARGUMENT"),
    ),
    row(
        "verify_email",
        (Nobody, r#"{"token": "{verify-email}"}"#),
        "(select email_verified from auth.users where id = '{t}')",
        (Nobody, r#"{"token": "ot_x"}"#, 400, "INVALID_TOKEN"),
    ),
    row(
        "change_email",
        (Self_, r#"{"new_email": "changed{n}@example.org"}"#),
        "exists (select from auth_private.messages where user_id = '{t}' and kind = 'change-email')",
        (Self_, r#"{"new_email": "no address"}"#, 400, "INVALID_EMAIL"),
    ),
    row(
        "request_password_reset",
        (Nobody, r#"{"email": "{m}"}"#),
        "exists (select from auth_private.messages where user_id = '{t}' and kind = 'reset-password')",
        (Nobody, r#"{"email": null}"#, 400, "MISSING_ARGUMENT"),
    ),
    row(
        "reset_password",
        (Nobody, r#"{"token": "{reset-password}", "new_password": "another password"}"#),
        "exists (select from auth_private.messages where user_id = '{t}' and kind = 'password-changed')",
        (Nobody, r#"{"token": "ot_x", "new_password": "another password"}"#, 400, "INVALID_TOKEN"),
    ),
    row("list_accounts", (Self_, "{}"), "", denied(T)),
    row(
        "get_user_by_provider_id",
        (Self_, r#"{"provider": "credential", "provider_user_id": "{t}"}"#),
        "",
        denied(r#"{"provider": "credential", "provider_user_id": "{t}"}"#),
    ),
    row(
        "unlink_account",
        (Self_, r#"{"account_id": "{a}"}"#),
        "(select count(*) = 1 from auth.accounts where user_id = '{t}')",
        (Other, r#"{"account_id": "{a}"}"#, 404, "ACCOUNT_NOT_FOUND"),
    ),
    row("check_deployment", (Admin, "{}"), "", denied("{}")),
    row("verify_install", (Admin, "{}"), "", denied("{}")),
    row("purge_expired", (Admin, "{}"), "", denied("{}")),
    row("list_messages", (Admin, "{}"), "", denied("{}")),
    row("retry_message", (Admin, r#"{"id": "{t}"}"#), "", denied(r#"{"id": "{t}"}"#)),
    row("list_user_roles", (Admin, "{}"), "", denied("{}")),
    row("list_audit_log", (Admin, r#"{"page_size": 2}"#), "", denied("{}")),
    row("rotate_signing_key", (Admin, "{}"), "(select count(*) = 2 from auth_private.signing_keys)", denied("{}")),
    row("create_role", (Admin, R), "exists (select from pg_roles where rolname = 'http_{n}' and rolcanlogin)", denied(R)),
    row("list_roles", (Admin, "{}"), "", denied("{}")),
    row("get_role", (Admin, r#"{"role_name": "http_spare"}"#), "", (Admin, r#"{"role_name": "http_nowhere"}"#, 404, "ROLE_NOT_FOUND")),
    row(
        "reset_role_password",
        (Admin, r#"{"role_name": "http_spare"}"#),
        "",
        (Admin, r#"{"role_name": "postgres"}"#, 403, "PROTECTED_ROLE"),
    ),
    row(
        "set_role_verifier",
        (
            Admin,
            r#"{"role_name": "http_spare", "verifier": "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$uiGk5bXc/kwtTXNzFLqRk+/SXfeGkpMOWHPkfHbVvgk=:hVRZAkHsK4jVqOlnwHqSAyoHaXi0gxFqGRBNiS9ET+k="}"#,
        ),
        "",
        (Admin, r#"{"role_name": "http_spare", "verifier": "no verifier"}"#, 400, "INVALID_ARGUMENT"),
    ),
    row("protect_role", (Admin, r#"{"role_name": "http_spare", "protected": false}"#), "", denied(r#"{"role_name": "http_spare"}"#)),
    row(
        "delete_role",
        (Admin, r#"{"role_name": "http_spare"}"#),
        "not exists (select from pg_roles where rolname = 'http_spare')",
        denied(r#"{"role_name": "http_spare"}"#),
    ),
];

/// A database behind PostgREST, and an administrator.
pub struct Stage {
    pub db: Database,
    pub server: PostgRest,
    pub root: Actor,
    dead: String,
}

impl Stage {
    pub fn new() -> Self {
        let db = Database::new();
        let root = db.admin("Root");
        let mut gone = db.user("Gone");
        gone.run("select auth.sign_out()");
        let server = db.postgrest(&[]);
        Stage { server, root, dead: gone.token, db }
    }

    /// Calls as somebody; users sign in with a token of their own.
    fn call(&self, function: &str, who: Who, target: &Actor, arguments: &str) -> pgrx_tests::Reply {
        let token = match who {
            Nobody => None,
            Self_ => Some(target.token.clone()),
            Other => Some(self.db.signed_in("Other").token),
            Dead => Some(self.dead.clone()),
            Admin => Some(self.root.token.clone()),
        };
        let headers: Vec<(&str, &str)> = token.as_deref().map(|token| ("x-session-token", token)).into_iter().collect();
        self.server.send("POST", &format!("/rpc/{function}"), &headers, Some(arguments))
    }
}

#[test]
fn every_function_succeeds_and_is_refused_with_its_status_code_and_effect() {
    let stage = Stage::new();
    let mut dba = stage.db.dba();
    stage.db.user("Other");
    dba.run("select auth.create_role('http_spare')");
    for (number, row) in ROWS.iter().enumerate() {
        let target = stage.db.user(&format!("t{number}"));
        dba.run(&format!("select auth.define_user_role('spare{number}', '{{}}')"));
        if row.function == "unban_user" {
            dba.run(&format!("select auth.ban_user('{}')", target.id));
        }
        // What an arrangement is needed for, where it is asked for.
        let mut prepared = Vec::new();
        for (kind, ask) in [("verify-email", "send_verification_email"), ("reset-password", "request_password_reset")] {
            if row.allowed.1.contains(&format!("{{{kind}}}")) {
                dba.run(&format!("select auth.{ask}('{}')", target.email));
                prepared.push((format!("{{{kind}}}"), stage.db.mailed_token(kind, &target.email)));
            }
        }
        if row.allowed.1.contains("{a}") {
            let account = dba.one(&format!("select auth.link_account('{}', 'github', '{number}') ->> 'id'", target.id));
            prepared.push(("{a}".to_owned(), account));
        }
        let fill = |text: &str| {
            let text = prepared.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
            text.replace("{t}", &target.id.to_string())
                .replace("{s}", &target.session.to_string())
                .replace("{k}", &target.token)
                .replace("{m}", &target.email)
                .replace("{n}", &number.to_string())
        };
        let effect = format!("select {}", fill(if row.effect.is_empty() { "false" } else { row.effect }));
        let mut happened = || dba.one::<Option<bool>>(&effect).unwrap_or(false);
        assert!(!happened(), "{}: before", row.function);
        let (who, arguments, status, code) = row.refused;
        let reply = stage.call(row.function, who, &target, &fill(arguments));
        assert_eq!((reply.status, reply.code()), (status, code), "{}: {reply:?}", row.function);
        let members: BTreeSet<&str> = reply.body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["code", "details", "hint", "message"]), "{}", row.function);
        assert!(!happened(), "{}: refused, and yet", row.function);
        let (who, arguments) = row.allowed;
        let reply = stage.call(row.function, who, &target, &fill(arguments));
        assert!([200, 204].contains(&reply.status) && reply.code().is_empty(), "{}: {reply:?}", row.function);
        assert_eq!(happened(), !row.effect.is_empty(), "{}: {reply:?}", row.function);
    }
    dba.run("select auth.delete_role(name) from auth.list_roles() where name like 'http%'");
    // These two need an arrangement of their own.
    let target = stage.db.user("Last");
    let impersonation = stage.call("impersonate_user", Admin, &target, &format!("{{\"user_id\": \"{}\"}}", target.id));
    let bearer = format!("Bearer {}", impersonation.body["access_token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(stage.server.rpc("actor_id", &headers, &json!({})).body, json!(stage.root.id));
    let back = stage.server.rpc("stop_impersonating", &headers, &json!({}));
    assert_eq!((back.status, &back.body["user"]["id"]), (200, &json!(stage.root.id)));
    assert_eq!(stage.server.rpc("uid", &headers, &json!({})).status, 401, "the impersonation has ended");
    assert_eq!(stage.call("stop_impersonating", Self_, &target, "{}").code(), "NOT_IMPERSONATING");
    assert_eq!(stage.call("set_password", Self_, &target, r#"{"new_password": "another password"}"#).code(), "PASSWORD_ALREADY_SET");
    dba.run(&format!("select auth.set_user_password('{}', null, false)", target.id));
    assert_eq!(stage.call("set_password", Self_, &target, r#"{"new_password": "another password"}"#).status, 204);

    // These are a back end's own: no request has the right, not even an administrator's.
    let back_end = [
        ("sign_in_with_provider", r#"{"provider": "github", "provider_user_id": "1"}"#.to_owned()),
        ("link_account", format!(r#"{{"user_id": "{}", "provider": "github", "provider_user_id": "1"}}"#, target.id)),
        ("update_user_provider_id", format!(r#"{{"user_id": "{}", "provider": "github", "provider_user_id": "1"}}"#, target.id)),
        ("import_users", r#"{"users": []}"#.to_owned()),
    ];
    for (function, arguments) in &back_end {
        let reply = stage.call(function, Admin, &target, arguments);
        assert_eq!((reply.status, reply.body["details"].as_str()), (403, Some("PERMISSION_DENIED: auth_admin")), "{function}");
        assert_eq!(stage.call(function, Nobody, &target, arguments).status, 401, "{function}");
    }

    let arranged = ["stop_impersonating", "set_password"].into_iter().chain(back_end.iter().map(|(function, _)| *function));
    let tried: BTreeSet<String> = ROWS.iter().map(|row| row.function).chain(arranged).map(str::to_owned).collect();
    let there: Vec<String> = dba.column(
        "select p.proname::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and has_function_privilege('authenticated', p.oid, 'execute')",
    );
    assert_eq!(tried, there.into_iter().collect(), "every function is here");
}

#[test]
fn bodies_that_are_not_what_they_should_be_change_nothing() {
    let stage = Stage::new();
    let ann = stage.db.user("Ann");
    let before: String = stage.db.dba().one("select md5(string_agg(u::text, '' order by id)) from auth.users u");
    let huge = format!(r#"{{"user_id": "{}", "patch": {{"attributes": {{"a": "{}"}}}}}}"#, ann.id, "x".repeat(2_000_000));
    let deep = format!(r#"{{"user_id": "{}", "patch": {{"attributes": {{"a": {}{}}}}}}}"#, ann.id, "[".repeat(900), "]".repeat(900));
    let nul = format!(r#"{{"user_id": "{}", "patch": {{"name": "a\u0000b"}}}}"#, ann.id);
    let patch = |patch: &str| format!(r#"{{"user_id": "{}", "patch": {patch}}}"#, ann.id);
    for (function, body, status, code) in [
        ("update_user", r#"{"user_id": null, "patch": {}}"#.to_owned(), 403, "PERMISSION_DENIED"),
        ("set_password", r#"{"new_password": null}"#.to_owned(), 400, "MISSING_ARGUMENT"),
        ("update_user", patch("null"), 400, "MISSING_ARGUMENT"),
        ("update_user", patch("[]"), 400, "INVALID_ARGUMENT"),
        ("update_user", patch("\"{}\""), 400, "INVALID_ARGUMENT"),
        ("update_user", patch("{\"nmae\": \"x\"}"), 400, "UNKNOWN_FIELD"),
        ("update_user", patch("{\"id\": \"x\"}"), 400, "FIELD_NOT_ALLOWED"),
        ("update_user", patch("{\"name\": 7}"), 400, "INVALID_ARGUMENT"),
        ("update_user", patch("{\"roles\": [\"admin\"]}"), 403, "PERMISSION_DENIED"),
        ("update_user", huge, 400, "INVALID_ARGUMENT"),
        ("update_user", deep, 400, "INVALID_ARGUMENT"),
        ("update_user", nul, 400, ""),
        ("update_user", "{}".to_owned(), 404, "PGRST202"),
        ("update_user", String::new(), 404, "PGRST202"),
        ("update_user", r#"{"user_id": "x", "patch": {}}"#.to_owned(), 400, "22P02"),
        ("update_user", r#"{"user_id": "x", "patch": {}, "role": "admin"}"#.to_owned(), 404, "PGRST202"),
        ("update_user", "{\"user_id\":".to_owned(), 400, "PGRST102"),
        ("update_user", "null".to_owned(), 404, "PGRST202"),
        ("update_user", "7".to_owned(), 404, "PGRST202"),
        ("revoke_session", r#"{"session_id": 7}"#.to_owned(), 400, "22P02"),
        ("list_sessions", r#"{"limit": 7}"#.to_owned(), 404, "PGRST202"),
    ] {
        let reply = stage.call(function, Self_, &ann, &body);
        assert!(
            reply.status == status && (code.is_empty() || reply.code() == code),
            "{function} {}: {reply:?}",
            &body[..body.len().min(200)]
        );
    }
    let listed =
        stage.call("list_users", Admin, &ann, r#"{"page_size": null, "search_value": null, "sort_by": null, "page_offset": null}"#);
    assert_eq!(listed.body.as_array().map(Vec::len), Some(3), "null is the default: {listed:?}");
    for (body, code) in [(r#"{"page_size": 100000}"#, "INVALID_ARGUMENT"), (r#"{"page_size": "many"}"#, "22P02")] {
        assert_eq!(stage.call("list_users", Admin, &ann, body).code(), code);
    }
    let after: String = stage.db.dba().one("select md5(string_agg(u::text, '' order by id)) from auth.users u");
    assert_eq!(before, after);
    // What PostgREST itself can do with tables: read, and no more.
    let own = [("x-session-token", ann.token.as_str())];
    for (method, path, body) in [
        ("POST", "/users", Some(r#"{"email": "x@example.org"}"#)),
        ("PATCH", "/users?email=eq.ann@example.org", Some(r#"{"name": "x"}"#)),
        ("DELETE", "/users?email=eq.ann@example.org", None),
        ("POST", "/user_roles", Some(r#"{"role": "admin"}"#)),
        ("GET", "/session_keys", None),
        ("GET", "/users?select=email,passwords(hash)", None),
    ] {
        let reply = stage.server.send(method, path, &own, body);
        assert!([400, 401, 403, 404].contains(&reply.status), "{method} {path}: {reply:?}");
    }
}
