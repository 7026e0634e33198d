//! The server's clock jumps. The times that are stored are moved instead: a clock a day ahead is times a day behind. The counters in
//! memory, whose times nobody can move, have the same cases in src/domain/attempt_counts.rs.

use pgrx_tests::{Database, PASSWORD};

const TIMES: [(&str, &[&str]); 6] = [
    ("auth.sessions", &["created_at", "updated_at", "expires_at"]),
    ("auth_private.session_keys", &["authenticated_at", "slides_until"]),
    ("auth_private.one_time_tokens", &["requested_at", "expires_at"]),
    ("auth_private.messages", &["created_at", "due_at"]),
    ("auth_private.failed_attempts", &["failed_at"]),
    ("auth.bans", &["created_at", "expires_at"]),
];

/// The clock jumps by an interval: everything else moves the other way.
fn jump(db: &Database, by: &str) {
    for (table, columns) in TIMES {
        let moved = columns.iter().map(|column| format!("{column} = {column} - '{by}'::interval")).collect::<Vec<_>>().join(", ");
        db.dba().run(&format!("update {table} set {moved}"));
    }
}

fn seconds_to_wait(db: &Database, email: &str) -> Option<u32> {
    match db.app().client.batch_execute(&format!("select auth.sign_in('{email}', '{PASSWORD}')")) {
        Ok(()) => None,
        Err(error) => {
            let detail = error.as_db_error().and_then(|error| error.detail()).expect("a detail").to_owned();
            Some(detail.strip_prefix("TOO_MANY_ATTEMPTS: ").expect("a throttle").parse().expect("seconds"))
        }
    }
}

#[test]
fn a_clock_that_jumps_ahead_ends_what_has_a_time_and_no_more() {
    let db = Database::new();
    let (mut ann, short) = (db.user("Ann"), db.app().json(&format!("select auth.sign_up('bob@example.org', '{PASSWORD}')")));
    db.app().run("select auth.request_password_reset('ann@example.org')");
    let token = db.mailed_token("reset-password", "ann@example.org");
    db.service().run("select auth.ban_user((select id from auth.list_users('bob@example.org')), 'a while', '1 hour')");
    jump(&db, "1 day");
    assert!(ann.is_signed_in(), "a session lasts a week");
    ann.is_refused("select auth.delete_user(auth.uid())", "28000", "SESSION_NOT_FRESH");
    db.app().is_refused(&format!("select auth.reset_password('{token}', 'another password')"), "22023", "INVALID_TOKEN");
    db.app().json(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"))["token"].as_str().expect("the ban is over");
    let token = short["token"].as_str().expect("a token");
    db.app().is_refused(&format!("select auth.use_session('{token}')"), "28000", "INVALID_SESSION");
    jump(&db, "6 days");
    assert!(!ann.is_signed_in());
    db.app().is_refused(&format!("select auth.refresh_session('{}')", ann.token), "28000", "INVALID_SESSION");
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out_and_makes_nothing_last() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let mut app = db.app();
    let wrong = "select auth.sign_in('ann@example.org', 'not the password')";
    (0..10).for_each(|_| app.is_answered(wrong, "INVALID_EMAIL_OR_PASSWORD"));
    assert!(seconds_to_wait(&db, "ann@example.org").is_some_and(|seconds| seconds <= 30));
    // By less than the window: the pause is what it was. By more: what was counted lies in a time that is none.
    jump(&db, "-10 minutes");
    assert!(seconds_to_wait(&db, "ann@example.org").is_some_and(|seconds| seconds <= 30), "{:?}", seconds_to_wait(&db, "ann@example.org"));
    jump(&db, "-1 day");
    assert_eq!(seconds_to_wait(&db, "ann@example.org"), None);
    // A proof of the password from tomorrow is none, and a refresh moves the end to what it would be today.
    ann.is_refused("select auth.delete_user(auth.uid())", "28000", "SESSION_NOT_FRESH");
    let token = ann.token.clone();
    ann.json(&format!("select auth.refresh_session('{token}')"));
    let beyond = "select coalesce(max(expires_at) > now() + '8 days 1 hour', false) from auth.sessions";
    assert!(!db.dba().one::<bool>(beyond), "no longer than the clock was set back");
    jump(&db, "8 days 1 hour");
    assert!(!ann.is_signed_in(), "and not for ever");
}
