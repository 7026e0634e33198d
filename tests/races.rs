//! Rules that hold when two do it at once, at READ COMMITTED and at REPEATABLE READ.

use pgrx_tests::{Actor, Database, PASSWORD};
use std::sync::{Arc, Barrier};
use std::thread;

pub const LEVELS: [&str; 2] = ["read committed", "repeatable read"];

/// Both calls in transactions that overlap in every order: whoever comes second finds the first one's row locked.
/// Returns how each ended: "ok", or the machine code, or the SQLSTATE.
pub fn together(level: &str, mut first: Actor, first_call: &str, mut second: Actor, second_call: &str) -> [String; 2] {
    let barrier = Arc::new(Barrier::new(2));
    let call = |actor: &mut Actor, call: &str, barrier: &Barrier| -> String {
        actor.run(&format!("set default_transaction_isolation = '{level}'; begin; select count(*) from auth.users"));
        barrier.wait();
        let outcome = match actor.client.query_one(&format!("select {call}::text"), &[]) {
            Ok(row) => match row.get::<_, Option<String>>(0) {
                Some(text) if text.contains("\"code\"") => text,
                _ => "ok".to_owned(),
            },
            Err(error) => {
                let error = error.as_db_error().expect("an error of the server");
                error.detail().filter(|_| error.code().code() != "40001").unwrap_or(error.code().code()).to_owned()
            }
        };
        thread::sleep(std::time::Duration::from_millis(5)); // the other one meets our locks; the outcome does not depend on it
        match actor.client.batch_execute("commit") {
            Ok(()) => outcome,
            Err(error) => error.code().expect("a code").code().to_owned(),
        }
    };
    thread::scope(|scope| {
        let one = scope.spawn(|| call(&mut first, first_call, &barrier));
        let two = call(&mut second, second_call, &barrier);
        [one.join().expect("the first"), two]
    })
}

pub fn winners(outcomes: &[String; 2]) -> usize {
    outcomes.iter().filter(|outcome| *outcome == "ok").count()
}

/// Every way to take an administrator away, against every other.
#[test]
fn one_active_administrator_always_stays() {
    let ways: [fn(&str) -> String; 5] = [
        |id| format!("auth.set_user_roles('{id}', '{{user}}')"),
        |id| format!("auth.ban_user('{id}')"),
        |id| format!("auth.delete_user('{id}')"),
        |id| format!("auth.update_user('{id}', '{{\"roles\": [\"user\"]}}')"),
        |id| format!("auth.update_user('{id}', '{{\"banned\": true}}')"),
    ];
    for level in LEVELS {
        for one in ways {
            for two in ways {
                let db = Database::new();
                let (ann, bob) = (db.admin("Ann"), db.admin("Bob"));
                let (call_one, call_two) = (one(&bob.id.to_string()), two(&ann.id.to_string()));
                let outcomes = together(level, ann, &call_one, bob, &call_two);
                let left: i64 = db.dba().one(
                    "select count(*) from auth.user_roles r where role = 'admin' and not exists (select from auth.bans b where b.user_id = r.user_id)",
                );
                assert_eq!((left, winners(&outcomes)), (1, 1), "{level}: {call_one} with {call_two}: {outcomes:?}");
                let loser = outcomes.iter().find(|outcome| *outcome != "ok").unwrap();
                let known = ["LAST_ADMIN", "40001", "40P01", "INVALID_SESSION", "PERMISSION_DENIED", "TARGET_OUTRANKS_YOU"];
                assert!(known.iter().any(|code| loser.starts_with(code)), "{level}: {outcomes:?}");
            }
        }
    }
}

#[test]
fn administrators_who_demote_themselves_at_once_leave_one() {
    for level in LEVELS {
        for _ in 0..5 {
            let db = Database::new();
            let (ann, bob) = (db.admin("Ann"), db.admin("Bob"));
            let (one, two) =
                (format!("auth.set_user_roles('{}', '{{user}}')", ann.id), format!("auth.set_user_roles('{}', '{{user}}')", bob.id));
            let outcomes = together(level, ann, &one, bob, &two);
            assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
        }
    }
}

#[test]
fn an_address_has_one_owner() {
    for level in LEVELS {
        let db = Database::new();
        let pairs = [
            (format!("auth.sign_up('new@example.org', '{PASSWORD}')"), format!("auth.sign_up('NEW@Example.org', '{PASSWORD}')")),
            (format!("auth.sign_up('other@example.org', '{PASSWORD}')"), "auth.create_user('Other@example.org')".to_owned()),
            ("auth.create_user('third@example.org')".to_owned(), "auth.create_user('THIRD@example.org')".to_owned()),
        ];
        for (one, two) in pairs {
            let outcomes = together(level, db.service(), &one, db.service(), &two);
            assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
            let loser = outcomes.iter().find(|outcome| *outcome != "ok").unwrap();
            assert!(loser == "USER_ALREADY_EXISTS" || loser == "40001", "{level}: {outcomes:?}");
        }
        let ann = db.user(&format!("Ann{}", level.len()));
        let patch = format!("auth.update_user('{}', '{{\"email\": \"wanted@example.org\"}}')", ann.id);
        let outcomes = together(level, db.service(), &patch, db.service(), &format!("auth.sign_up('wanted@example.org', '{PASSWORD}')"));
        assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
        let loser = outcomes.iter().find(|outcome| *outcome != "ok").unwrap();
        assert!(loser.starts_with("USER_ALREADY_EXISTS") || loser == "40001", "{level}: {outcomes:?}");
        assert_eq!(db.dba().one::<i64>("select count(*) from (select email from auth.users group by 1 having count(*) > 1) twice"), 0);
    }
}

/// While the password is being checked the user is banned, deleted, or given another password: no good session may come of it.
#[test]
fn no_session_is_born_of_a_password_that_is_no_longer_good() {
    let ends: [fn(&Actor) -> String; 4] = [
        |ann| format!("auth.ban_user('{}')", ann.id),
        |ann| format!("auth.set_user_password('{}', 'another password')", ann.id),
        |ann| format!("auth.set_user_password('{}', 'another password', false)", ann.id),
        |ann| format!("auth.delete_user('{}')", ann.id),
    ];
    for level in LEVELS {
        for (number, end) in ends.iter().enumerate() {
            for round in 0..4 {
                let db = Database::new();
                let ann = db.user("Ann");
                let (mut signing, mut ending) = (db.app(), db.service());
                signing.run(&format!("set default_transaction_isolation = '{level}'"));
                let barrier = Barrier::new(2);
                let token = thread::scope(|scope| {
                    let signing_in = scope.spawn(|| {
                        signing.run("begin; select 1");
                        barrier.wait();
                        let answer =
                            signing.client.query_one(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}') ->> 'token'"), &[]);
                        // The end commits before we do: where it could not wait for us, our session must be dead.
                        let token = answer.ok().and_then(|row| row.get::<_, Option<String>>(0));
                        signing.client.batch_execute("commit").ok().and(token)
                    });
                    barrier.wait();
                    thread::sleep(std::time::Duration::from_micros(800 * round)); // before, amid and after the hash
                    ending.run(&format!("select {}", end(&ann)));
                    signing_in.join().expect("the sign-in")
                });
                let Some(token) = token else { continue };
                let good = db.app().client.batch_execute(&format!("select auth.use_session('{token}')")).is_ok();
                let revokes = number != 2;
                let before: i64 = db.dba().one(
                    "select coalesce((select id from auth.audit_log where action = 'sign_in' and details ->> 'outcome' = 'ok' order by id desc limit 1), 0)
                          - coalesce((select id from auth.audit_log where action <> 'sign_in' and actor_id is null order by id desc limit 1), 0)",
                );
                assert!(!good || (!revokes && before < 0), "{level}: {} in round {round}", end(&ann));
            }
        }
    }
}

#[test]
fn two_deletions_have_one_winner_and_no_error() {
    for level in LEVELS {
        let db = Database::new();
        let ann = db.user("Ann");
        let call = format!("auth.delete_user('{}')", ann.id);
        let outcomes = together(level, db.service(), &call, db.service(), &call);
        assert!(outcomes.iter().all(|outcome| outcome == "ok" || (outcome == "40001" && level == LEVELS[1])), "{level}: {outcomes:?}");
        assert_eq!(db.dba().one::<i64>("select count(*) from auth.audit_log where action = 'delete_user'"), 1);
    }
}

#[test]
fn two_changes_of_a_password_have_one_winner() {
    for level in LEVELS {
        let db = Database::new();
        let (ann, phone) = (db.user("Ann"), db.signed_in("Ann"));
        let (one, two) = ("the first new one", "the second new one");
        let outcomes = together(
            level,
            ann,
            &format!("auth.change_password('{PASSWORD}', '{one}')"),
            phone,
            &format!("auth.change_password('{PASSWORD}', '{two}')"),
        );
        assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
        let works = |password: &str| db.app().json(&format!("select auth.sign_in('ann@example.org', '{password}')"))["token"].is_string();
        assert_eq!((works(one), works(two)), (outcomes[0] == "ok", outcomes[1] == "ok"));
    }
}

#[test]
fn who_rises_meanwhile_is_out_of_reach() {
    for level in LEVELS {
        let db = Database::new();
        let (ann, helper) = (db.user("Ann"), db.holder("helper", &["user:ban"]));
        let (raise, ban) = (format!("auth.set_user_roles('{}', '{{admin}}')", ann.id), format!("auth.ban_user('{}')", ann.id));
        let outcomes = together(level, db.service(), &raise, helper, &ban);
        // Either the ban came first, or it was refused; an administrator was never banned by the helper.
        let order: Vec<String> =
            db.dba().column("select action from auth.audit_log where action in ('set_user_roles', 'ban_user') order by id desc limit 2");
        assert!(outcomes[1] != "ok" || order == ["set_user_roles", "ban_user"], "{level}: {outcomes:?} {order:?}");
    }
}

/// The user's own "sign out everywhere else" waits for an administrator's act to commit, and must not undo it.
#[test]
fn keeping_one_session_does_not_survive_a_ban_or_another_password() {
    for call in ["auth.revoke_other_sessions()", "auth.revoke_session(gen_random_uuid())"] {
        for end in ["auth.ban_user('{}')", "auth.set_user_password('{}', 'another password')", "auth.revoke_user_sessions('{}')"] {
            for level in LEVELS {
                let db = Database::new();
                let mut ann = db.user("Ann");
                let mut admin = db.service();
                admin.run(&format!("begin; select {}", end.replace("{}", &ann.id.to_string())));
                ann.run(&format!("set default_transaction_isolation = '{level}'"));
                let id = ann.id;
                thread::scope(|scope| {
                    let keeping = scope.spawn(|| ann.client.batch_execute(&format!("select {call}")));
                    thread::sleep(std::time::Duration::from_millis(30));
                    admin.run("commit");
                    let _ = keeping.join().expect("the call");
                });
                assert!(!ann.is_signed_in(), "{call}, {end}, {level}");
                assert_eq!(
                    db.dba().one::<i64>(&format!("select count(*) from auth.audit_log where action like 'update%' and user_id = '{id}'")),
                    0
                );
            }
        }
    }
}

#[test]
fn a_user_cannot_put_off_a_ban_with_an_open_transaction() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run(&format!("begin; select auth.update_user(auth.uid(), '{{\"name\": \"x\"}}'); select auth.verify_password('{PASSWORD}'); select auth.revoke_other_sessions()"));
    let mut admin = db.service();
    admin.run(&format!("set lock_timeout = '2s'; select auth.ban_user('{}'); select auth.revoke_user_sessions('{}')", ann.id, ann.id));
    assert!(!ann.is_signed_in());
    ann.run("commit");
    assert!(!ann.is_signed_in());
}

#[test]
fn two_patches_to_one_address_have_one_winner() {
    for level in LEVELS {
        let db = Database::new();
        let (ann, bob) = (db.user("Ann"), db.user("Bob"));
        let patch = |user: &Actor| format!("auth.update_user('{}', '{{\"email\": \"same@example.org\"}}')", user.id);
        let outcomes = together(level, db.service(), &patch(&ann), db.service(), &patch(&bob));
        assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
        assert!(outcomes.iter().any(|outcome| outcome == "USER_ALREADY_EXISTS" || outcome == "40001"), "{level}: {outcomes:?}");
    }
}

#[test]
fn a_role_is_granted_or_dropped_and_never_both() {
    for level in LEVELS {
        for _ in 0..4 {
            let db = Database::new();
            db.service().run("select auth.define_user_role('editor', '{}')");
            let ann = db.user("Ann");
            let grant = format!("auth.set_user_roles('{}', '{{editor}}')", ann.id);
            let outcomes = together(level, db.service(), &grant, db.service(), "auth.drop_user_role('editor')");
            assert_eq!(winners(&outcomes), 1, "{level}: {outcomes:?}");
            let loser = outcomes.iter().find(|outcome| *outcome != "ok").unwrap();
            assert!(["INVALID_ROLE", "ROLE_IN_USE", "40001"].iter().any(|code| loser.starts_with(code)), "{level}: {outcomes:?}");
            let outcomes = together(level, db.service(), "auth.drop_user_role('editor')", db.service(), "auth.drop_user_role('editor')");
            assert!(winners(&outcomes) <= 1, "{level}: {outcomes:?}");
        }
    }
}

#[test]
fn an_open_transaction_of_a_guesser_holds_nobody_up() {
    let db = Database::new();
    db.user("Ann");
    let mut attacker = db.app();
    attacker.run("begin");
    attacker.is_answered("select auth.sign_in('ann@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    let mut app = db.app();
    app.run("set lock_timeout = '2s'");
    assert!(app.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["token"].is_string());
    attacker.run("rollback");
}
