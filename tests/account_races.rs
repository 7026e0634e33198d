//! Two at once with one token, one account or one address, at READ COMMITTED and at REPEATABLE READ.

use crate::races::{LEVELS, together, winners};
use pgrx_tests::{Database, PASSWORD};

fn unhurried() -> Database {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.message_interval = 0", db.name));
    db
}

#[test]
fn a_token_is_consumed_once() {
    for level in LEVELS {
        for (ask, kind, consume) in [
            ("request_password_reset('ann@example.org')", "reset-password", "reset_password('{}', 'another password')"),
            ("send_verification_email('ann@example.org')", "verify-email", "verify_email('{}')"),
        ] {
            let db = unhurried();
            db.user("Ann");
            db.app().run(&format!("select auth.{ask}"));
            let call = format!("auth.{}", consume.replace("{}", &db.mailed_token(kind, "ann@example.org")));
            let outcomes = together(level, db.app(), &call, db.app(), &call);
            assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
            assert!(outcomes.iter().any(|outcome| outcome == "INVALID_TOKEN" || outcome == "40001"), "{level}: {outcomes:?}");
        }
    }
}

#[test]
fn who_waits_for_a_winner_that_rolls_back_gets_the_token() {
    let db = Database::new();
    db.user("Ann");
    db.app().run("select auth.request_password_reset('ann@example.org')");
    let token = db.mailed_token("reset-password", "ann@example.org");
    let mut winner = db.app();
    winner.run(&format!("begin; select auth.reset_password('{token}', 'of the winner')"));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| db.app().run(&format!("select auth.reset_password('{token}', 'of the waiter')")));
        db.until_it_waits("reset_password");
        winner.run("rollback");
        waiter.join().expect("the waiter");
    });
    db.app().json("select auth.sign_in('ann@example.org', 'of the waiter')")["token"].as_str().expect("signed in");
}

/// Whatever the order, what was asked for later wins, or the earlier token was used before it.
#[test]
fn a_token_that_is_used_while_the_next_one_is_sent_leaves_one_good_token_at_most() {
    for _ in 0..5 {
        let db = unhurried();
        db.user("Ann");
        let mut anybody = db.app();
        anybody.run("select auth.request_password_reset('ann@example.org')");
        let first = db.mailed_token("reset-password", "ann@example.org");
        anybody.run("select auth.request_password_reset('ann@example.org')");
        let outcomes = together(
            "read committed",
            db.app(),
            &format!("auth.reset_password('{first}', 'another password')"),
            db.dba(),
            "(select count(*) from auth.claim_messages())",
        );
        assert_eq!(outcomes, ["INVALID_TOKEN", "ok"], "superseded when the next one was asked for");
        assert_eq!(db.dba().one::<i64>("select count(*) from auth_private.one_time_tokens"), 1);
    }
}

#[test]
fn one_way_to_sign_in_always_stays() {
    for level in LEVELS {
        for _ in 0..3 {
            let db = Database::new();
            let mut ann = db.user("Ann");
            db.service().run(&format!("select auth.link_account('{}', 'github', '1')", ann.id));
            let accounts: Vec<uuid::Uuid> = ann.column("select id from auth.list_accounts()");
            let call = |n: usize| format!("auth.unlink_account('{}')", accounts[n]);
            let outcomes = together(level, ann, &call(0), db.signed_in("Ann"), &call(1));
            assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
            assert!(outcomes.iter().any(|outcome| outcome == "FAILED_TO_UNLINK_LAST_ACCOUNT" || outcome == "40001"), "{outcomes:?}");
            assert_eq!(db.dba().one::<i64>("select count(*) from auth.accounts"), 1);
        }
    }
}

#[test]
fn a_person_who_comes_twice_at_once_from_a_provider_is_one_user() {
    for email in ["null", "'ann@example.org'"] {
        for _ in 0..3 {
            let db = Database::new();
            let call = format!("auth.sign_in_with_provider('github', '1', {email}, true)");
            let outcomes = together("read committed", db.service(), &call, db.service(), &call);
            assert_eq!(outcomes, ["ok", "ok"]);
            let counts: Vec<i64> = db.dba().column("select count(*) from auth.users union all select count(*) from auth.accounts");
            assert_eq!(counts, [1, 1], "{email}");
        }
    }
}

#[test]
fn one_account_is_linked_to_one_user() {
    for level in LEVELS {
        let db = Database::new();
        let (ann, bob) = (db.user("Ann"), db.user("Bob"));
        let call = |id| format!("auth.link_account('{id}', 'github', '1')");
        let outcomes = together(level, db.service(), &call(ann.id), db.service(), &call(bob.id));
        assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
    }
}

#[test]
fn an_address_that_is_proved_and_signed_up_for_at_once_is_one_users() {
    for level in LEVELS {
        let db = unhurried();
        let mut ann = db.user("Ann");
        ann.run("select auth.change_email('new@example.org')");
        let token = db.mailed_token("change-email", "new@example.org");
        let outcomes = together(
            level,
            db.app(),
            &format!("auth.verify_email('{token}')"),
            db.app(),
            &format!("auth.sign_up('new@example.org', '{PASSWORD}')"),
        );
        assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
        assert_eq!(db.dba().one::<i64>("select count(*) from auth.users where email = 'new@example.org'"), 1);
    }
}

/// Every two deeds on one user's credentials: one waits for the other, and neither for ever.
#[test]
fn nothing_that_changes_credentials_deadlocks() {
    let deeds: [(&str, &str); 7] = [
        ("app", "auth.reset_password('{reset}', 'another password')"),
        ("app", "auth.verify_email('{verify}')"),
        ("app", "auth.sign_in('ann@example.org', 'a password for tests')"),
        ("ann", "auth.change_password('a password for tests', 'another password', true)"),
        ("service", "auth.set_user_password('{id}', 'another password')"),
        ("service", "auth.delete_user('{id}')"),
        ("service", "auth.update_user('{id}', '{\"email\": \"changed@example.org\"}')"),
    ];
    for (n, (one, first)) in deeds.iter().enumerate() {
        for (two, second) in &deeds[n..] {
            let db = unhurried();
            let ann = db.user("Ann");
            db.app().run("select auth.request_password_reset('ann@example.org'); select auth.send_verification_email('ann@example.org')");
            let mail = db.mail();
            let token = |kind: &str| mail.iter().find(|mail| mail.kind == kind).expect(kind).token.clone();
            let fill = |call: &str| {
                let call = call.replace("{reset}", &token("reset-password")).replace("{verify}", &token("verify-email"));
                call.replace("{id}", &ann.id.to_string())
            };
            let actor = |who: &str| match who {
                "ann" => db.signed_in("Ann"),
                "service" => db.service(),
                _ => db.app(),
            };
            let outcomes = together("read committed", actor(one), &fill(first), actor(two), &fill(second));
            assert!(outcomes.iter().all(|outcome| outcome != "40P01"), "{first} with {second}: {outcomes:?}");
            assert!(winners(&outcomes) >= 1, "{first} with {second}: {outcomes:?}");
        }
    }
}
