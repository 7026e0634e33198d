//! Signing up, in and out; a user's own sessions.

use pgrx_tests::{Database, PASSWORD, address};
use serde_json::Value;

#[test]
fn a_user_signs_up_in_and_out() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    assert!(ann.is_signed_in());
    assert!(ann.one::<bool>("select auth.sign_out()"));
    assert!(!ann.is_signed_in());
    ann.is_refused("select auth.sign_out()", "28000", "NOT_SIGNED_IN");
    let token = ann.token.clone();
    ann.is_refused(&format!("select auth.use_session('{token}')"), "28000", "INVALID_SESSION");
    assert!(db.signed_in("Ann").is_signed_in());
}

#[test]
fn sign_up_returns_user_session_and_token_in_the_documented_shape() {
    let db = Database::new();
    let result = db.app().json(&format!(
        "select auth.sign_up('Ann@Example.ORG', '{PASSWORD}', 'Ann', image => 'https://x.io/a.png', attributes => '{{\"plan\": \"free\"}}', user_agent => 'tests')"
    ));
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&result), ["access_token", "session", "token", "user"]);
    assert_eq!(
        keys(&result["user"]),
        [
            "attributes",
            "ban_expires_at",
            "ban_reason",
            "banned",
            "created_at",
            "email",
            "email_verified",
            "id",
            "image",
            "last_sign_in_at",
            "name",
            "roles",
            "updated_at"
        ]
    );
    assert_eq!(
        keys(&result["session"]),
        ["created_at", "current", "expires_at", "id", "impersonated_by", "ip_address", "updated_at", "user_agent", "user_id"]
    );
    assert_eq!(result["user"]["email"], "ann@example.org");
    assert_eq!(result["user"]["roles"], serde_json::json!(["user"]));
    assert_eq!(result["user"]["attributes"]["plan"], "free");
    assert_eq!(result["session"]["user_agent"], "tests");
}

#[test]
fn sign_up_and_the_applications_rows_are_one_transaction() {
    let db = Database::new();
    db.dba().run(
        "create table public.profiles (user_id uuid references auth.users, nickname text not null); grant insert on public.profiles to app",
    );
    let mut app = db.app();
    app.run("begin");
    let id: String = app.one(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}') #>> '{{user,id}}'"));
    app.refused(&format!("insert into public.profiles values ('{id}', null)"));
    app.run("rollback");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 0);
    app.run("begin");
    let id: String = app.one(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}') #>> '{{user,id}}'"));
    app.run(&format!("insert into public.profiles values ('{id}', 'a'); commit"));
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 1);
}

#[test]
fn an_address_signs_up_once_in_any_spelling() {
    let db = Database::new();
    db.user("Ann");
    for spelling in ["ann@example.org", "ANN@EXAMPLE.ORG", "Ann@Example.org"] {
        db.app().is_refused(&format!("select auth.sign_up('{spelling}', '{PASSWORD}')"), "23505", "USER_ALREADY_EXISTS");
    }
}

#[test]
fn bad_arguments_of_sign_up_are_refused_by_name() {
    let db = Database::new();
    let mut app = db.app();
    let long = "x".repeat(129);
    for (arguments, sqlstate, detail) in [
        ("null, 'a fine password'".to_owned(), "22004", "MISSING_ARGUMENT: email"),
        ("'ann@example.org', null".to_owned(), "22004", "MISSING_ARGUMENT: password"),
        ("'ann', 'a fine password'".to_owned(), "22023", "INVALID_EMAIL: email"),
        ("'ann@example.org', 'short'".to_owned(), "22023", "PASSWORD_TOO_SHORT: password"),
        (format!("'ann@example.org', '{long}'"), "22023", "PASSWORD_TOO_LONG: password"),
        ("'ann@example.org', repeat('x', 100000000)".to_owned(), "22023", "PASSWORD_TOO_LONG: password"),
        ("'ann@example.org', 'Password123'".to_owned(), "22023", "PASSWORD_TOO_COMMON: password"),
        ("'ann@example.org', 'a fine password', name => repeat('x', 256)".to_owned(), "22023", "INVALID_ARGUMENT: name"),
        ("'ann@example.org', 'a fine password', image => repeat('x', 2049)".to_owned(), "22023", "INVALID_ARGUMENT: image"),
        ("'ann@example.org', 'a fine password', attributes => '[]'".to_owned(), "22023", "INVALID_ARGUMENT: attributes"),
        ("'ann@example.org', 'a fine password', ip_address => 'here'".to_owned(), "22023", "INVALID_ARGUMENT: ip_address"),
    ] {
        app.is_refused(&format!("select auth.sign_up({arguments})"), sqlstate, detail);
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 0);
}

#[test]
fn sign_up_can_be_switched_off() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.sign_up = off", db.name));
    db.app().is_refused(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"), "42501", "SIGN_UP_DISABLED");
}

#[test]
fn wrong_password_and_unknown_address_get_one_answer_and_are_on_record() {
    let db = Database::new();
    let ann = db.user("Ann");
    db.dba().run("select auth.create_user('nopassword@example.org')");
    let mut app = db.app();
    let answers: Vec<Value> = ["ann@example.org", "nobody@example.org", "nopassword@example.org"]
        .iter()
        .map(|email| app.json(&format!("select auth.sign_in('{email}', 'not the password')")))
        .collect();
    assert_eq!(answers[0]["code"], "INVALID_EMAIL_OR_PASSWORD");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let recorded: i64 = db
        .dba()
        .one("select count(*) from auth.audit_log where action = 'sign_in' and details ->> 'outcome' = 'INVALID_EMAIL_OR_PASSWORD'");
    assert_eq!(recorded, 3);
    let of_ann: i64 = db.dba().one(&format!("select count(*) from auth.audit_log where action = 'sign_in' and user_id = '{}'", ann.id));
    assert_eq!(of_ann, 1);
}

#[test]
fn a_password_matches_in_every_normal_form() {
    let db = Database::new();
    let mut app = db.app();
    app.run("select auth.sign_up('ann@example.org', U&'caf\\00e9 society')");
    assert!(app.json("select auth.sign_in('ann@example.org', U&'cafe\\0301 society')")["token"].is_string());
    app.is_answered("select auth.sign_in('ann@example.org', 'cafe society')", "INVALID_EMAIL_OR_PASSWORD");
}

#[test]
fn too_many_failures_pause_the_account_and_a_right_password_clears_the_count() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 3", db.name));
    db.user("Ann");
    let mut app = db.app();
    let wrong = "select auth.sign_in('ann@example.org', 'not the password')";
    let right = format!("select auth.sign_in('ann@example.org', '{PASSWORD}')");
    for _ in 0..2 {
        app.is_answered(wrong, "INVALID_EMAIL_OR_PASSWORD");
    }
    assert!(app.json(&right)["token"].is_string());
    for _ in 0..3 {
        app.is_answered(wrong, "INVALID_EMAIL_OR_PASSWORD");
    }
    let refusal = app.refused(&right);
    assert_eq!((refusal.sqlstate.as_str(), refusal.code()), ("53400", "TOO_MANY_ATTEMPTS"));
    let seconds: i32 = refusal.detail.split(": ").nth(1).unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert!(app.json(&format!("select auth.sign_up('bob@example.org', '{PASSWORD}')"))["token"].is_string(), "others go on");
}

#[test]
fn a_hash_of_other_parameters_is_renewed_at_sign_in() {
    let db = Database::new();
    db.user("Ann");
    db.dba().run(&format!("alter database {} set auth.argon2_iterations = 2", db.name));
    let before: String = db.dba().one("select hash from auth_private.passwords");
    assert!(before.contains(",t=1,"));
    assert!(db.signed_in("Ann").is_signed_in());
    let after: String = db.dba().one("select hash from auth_private.passwords");
    assert!(after.starts_with("$argon2id$v=19$m=8192,t=2,p=1$"));
    db.signed_in("Ann");
    assert_eq!(db.dba().one::<String>("select hash from auth_private.passwords"), after, "once");
}

#[test]
fn credentials_are_not_checked_where_nothing_can_be_written() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("begin read only");
    for call in [
        format!("auth.sign_in('ann@example.org', '{PASSWORD}')"),
        "auth.sign_in('ann@example.org', 'not the password')".to_owned(),
        format!("auth.sign_up('bob@example.org', '{PASSWORD}')"),
        format!("auth.verify_password('{PASSWORD}')"),
        format!("auth.change_password('{PASSWORD}', 'another password')"),
        "auth.sign_out()".to_owned(),
        format!("auth.refresh_session('{}')", ann.token),
        format!("auth.ban_user('{}')", ann.id),
    ] {
        ann.run("savepoint s");
        ann.is_refused(&format!("select {call}"), "25006", "READ_ONLY");
        ann.run("rollback to s");
    }
    let token = ann.token.clone();
    ann.run(&format!("select auth.use_session('{token}'); select auth.get_session(); select auth.list_sessions(); rollback"));
}

#[test]
fn unverified_addresses_get_no_session_where_verification_is_required() {
    let db = Database::new();
    db.user("Ann");
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut app = db.app();
    app.is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "EMAIL_NOT_VERIFIED");
    app.is_answered("select auth.sign_in('ann@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    let new = app.json(&format!("select auth.sign_up('new@example.org', '{PASSWORD}', 'N')"));
    let taken = app.json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}', 'N')"));
    let shape = |result: &Value| result["user"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.is_null())).collect::<Vec<_>>();
    assert_eq!(shape(&new), shape(&taken));
    assert!([&new, &taken].iter().all(|result| result["token"].is_null() && result["session"].is_null()));
    assert!(
        [&new, &taken]
            .iter()
            .all(|r| r["user"]["created_at"] == r["user"]["updated_at"] && r["user"]["created_at"].as_str().unwrap().ends_with("+00:00"))
    );
    let known: i64 = db.dba().one(&format!("select count(*) from auth.users where id = '{}'", taken["user"]["id"].as_str().unwrap()));
    assert_eq!(known, 0);
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 2);
}

#[test]
fn a_session_slides_at_most_once_per_update_age_and_never_past_its_limit() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let token = ann.token.clone();
    let refresh = format!("select auth.refresh_session('{token}')");
    let expiry = |result: &Value| result["session"]["expires_at"].as_str().unwrap().to_owned();
    let first = expiry(&ann.json(&refresh));
    assert_eq!(first, expiry(&ann.json(&refresh)), "too soon to slide");
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '2 days', expires_at = expires_at - interval '2 days'");
    let slid = ann.json(&refresh);
    assert!(expiry(&slid) > first);
    assert_eq!(slid["token"], token.as_str(), "the token stays");

    let short = ann.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}', remember_me => false)"));
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '23 hours', created_at = created_at - interval '23 hours'");
    db.dba().run(&format!("alter database {} set auth.session_update_age = 1", db.name));
    let again = db.app().json(&format!("select auth.refresh_session('{}')", short["token"].as_str().unwrap()));
    assert_eq!(expiry(&short), expiry(&again));
}

#[test]
fn an_expired_session_is_dead_by_the_clock_also_in_an_open_transaction() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("begin");
    assert!(ann.is_signed_in());
    db.dba().run(&format!("update auth.sessions set expires_at = clock_timestamp() + interval '1 second' where id = '{}'", ann.session));
    ann.run("select pg_sleep(1.1)");
    assert!(!ann.is_signed_in());
    ann.is_refused("select auth.list_sessions()", "28000", "INVALID_SESSION");
    ann.run("rollback");
    let token = ann.token.clone();
    ann.is_refused(&format!("select auth.refresh_session('{token}')"), "28000", "INVALID_SESSION");
}

#[test]
fn users_see_and_end_their_own_sessions_only() {
    let db = Database::new();
    let (mut ann, mut phone, mut tablet) = (db.user("Ann"), db.signed_in("Ann"), db.signed_in("Ann"));
    let mut bob = db.user("Bob");
    assert_eq!(ann.one::<i64>("select count(*) from auth.list_sessions()"), 3);
    assert_eq!(ann.column::<uuid::Uuid>("select id from auth.list_sessions() where current"), [ann.session]);
    let theirs = format!("select auth.revoke_session('{}')", phone.session);
    assert!(!bob.one::<bool>(&theirs));
    assert!(phone.is_signed_in());
    assert!(ann.one::<bool>(&theirs));
    assert!(!phone.is_signed_in());
    assert!(!ann.one::<bool>(&theirs));
    let tablets = format!("select auth.revoke_session('{}')", tablet.session);
    assert_eq!(ann.one::<i32>("select auth.revoke_other_sessions()"), 1);
    assert!(!ann.one::<bool>(&tablets), "it had ended already");
    assert!(!tablet.is_signed_in() && ann.is_signed_in());
    db.signed_in("Ann");
    assert_eq!(ann.one::<i32>("select auth.revoke_sessions()"), 2);
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    ann.is_refused("select auth.revoke_sessions()", "28000", "INVALID_SESSION");
    phone.is_refused("select auth.revoke_session(null)", "28000", "INVALID_SESSION");
    bob.is_refused("select auth.revoke_session(null)", "22004", "MISSING_ARGUMENT: session_id");
}

#[test]
fn the_address_is_believed_from_a_trusted_back_end_only() {
    let db = Database::new();
    db.user("Ann");
    let sign_in =
        format!("select auth.sign_in('{}', '{PASSWORD}', ip_address => '203.0.113.7', user_agent => repeat('x', 600))", address("Ann"));
    let trusted = db.service().json(&sign_in);
    assert_eq!(trusted["session"]["ip_address"], "203.0.113.7");
    assert_eq!(trusted["session"]["user_agent"].as_str().unwrap().len(), 512);
    assert_eq!(db.app().json(&sign_in)["session"]["ip_address"], Value::Null);
    let claimed: String = db.dba().one("select details ->> 'claimed_ip_address' from auth.audit_log order by id desc limit 1");
    assert_eq!(claimed, "203.0.113.7");
}

#[test]
fn an_error_behind_a_door_leaves_nobody_its_role() {
    let db = Database::new();
    db.user("Ann");
    let sign_in = format!("auth.sign_in('{}', '{PASSWORD}')", address("Ann"));
    let mut dba = db.dba();
    dba.run("create function public.fail() returns trigger language plpgsql as $$ begin raise exception '% of the applications own', current_user; end $$");
    for table in ["auth.sessions", "auth.audit_log"] {
        dba.run(&format!("create trigger fails before insert on {table} for each row execute function public.fail()"));
        let mut app = db.app();
        app.run("begin; savepoint before");
        app.is_refused(&format!("select {sign_in}"), "P0001", "auth_door of the applications own");
        app.run("rollback to before");
        assert_eq!(app.one::<String>("select current_user::text"), "app", "{table}");
        app.is_refused("select count(*) from auth_private.passwords", "42501", "permission denied for schema auth_private");
        app.run("rollback");
        app.run(&format!(
            "do $$ begin perform {sign_in}; exception when raise_exception then perform set_config('public.role', current_user, false); end $$"
        ));
        assert_eq!(app.one::<String>("select current_setting('public.role')"), "app", "{table}");
        dba.run(&format!("drop trigger fails on {table}"));
    }
    assert!(db.signed_in("Ann").is_signed_in());
}
