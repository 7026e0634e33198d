//! Rules that hold when two do it at once, where what matters happens within one call: amid the hash, or in both calls at the same time.
//! What can be said step by step is in tests/isolation.

use pgrx_tests::{Actor, Database, PASSWORD};
use std::sync::{Arc, Barrier};
use std::thread;

const LEVELS: [&str; 2] = ["read committed", "repeatable read"];

/// Both calls in transactions that overlap in every order: whoever comes second finds the first one's row locked.
/// Returns how each ended: "ok", or the machine code, or the SQLSTATE.
fn together(level: &str, mut first: Actor, first_call: &str, mut second: Actor, second_call: &str) -> [String; 2] {
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

fn winners(outcomes: &[String; 2]) -> usize {
    outcomes.iter().filter(|outcome| *outcome == "ok").count()
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

/// The user's own "sign out everywhere else" waits for an administrator's act to commit, and must not undo it.
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
fn nor_the_loss_of_their_roles() {
    let db = Database::new();
    let mut ann = db.admin("Ann");
    db.admin("Root");
    ann.run("begin; select auth.update_user(auth.uid(), '{\"name\": \"x\"}'); select auth.revoke_other_sessions()");
    db.service().run(&format!("set lock_timeout = '2s'; select auth.set_user_roles('{}', '{{user}}')", ann.id));
    ann.run("rollback");

    // Who gives themselves roles in it makes that call wait, but no ban, not even behind that call.
    db.service().run(&format!("select auth.set_user_roles('{}', '{{admin}}')", ann.id));
    ann.run("begin; select auth.set_user_roles(auth.uid(), '{admin}')");
    let take = format!("select auth.set_user_roles('{}', '{{user}}')", ann.id);
    thread::scope(|scope| {
        let taking = scope.spawn(|| db.service().run(&take));
        db.until_it_waits("{user}");
        db.service().run(&format!("set lock_timeout = '2s'; select auth.ban_user('{}')", ann.id));
        ann.run("commit");
        taking.join().expect("taken");
    });
    assert_eq!(db.dba().column::<String>(&format!("select role from auth.user_roles where user_id = '{}'", ann.id)), ["user"]);
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

/// Also who catches the refusal finds nothing of the ban.
#[test]
fn an_administrator_whose_session_ends_amid_a_ban_has_banned_nobody() {
    let db = Database::new();
    let (mut root, bob) = (db.admin("Root"), db.user("Bob"));
    let (mut dba, mut turn) = (db.dba(), db.dba());
    dba.run(
        "create function public.wait() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(7); return null; end';
         create trigger wait after insert on auth.bans for each row execute function public.wait();
         create function public.try(call text) returns text language plpgsql as
             'begin execute call; return null; exception when sqlstate ''28000'' then return sqlerrm; end'",
    );
    let ban = format!("select auth.ban_user('{}')", bob.id);
    let calls = [ban.clone(), format!("begin; savepoint s; {ban}"), format!("select public.try($${ban}$$)")];
    for call in calls {
        turn.run("select pg_advisory_lock(7)");
        let refusal = thread::scope(|scope| {
            let banning = scope.spawn(|| root.client.batch_execute(&call).err().map(|error| error.as_db_error().cloned()));
            db.until_it_waits("ban_user");
            dba.run(&format!("select auth.revoke_user_sessions('{}')", root.id));
            turn.run("select pg_advisory_unlock(7)");
            banning.join().expect("who bans")
        });
        let detail = refusal.map(|error| error.expect("an error of the server").detail().map(str::to_owned));
        assert_eq!(detail, (!call.contains("try")).then(|| Some("INVALID_SESSION".to_owned())), "{call}");
        root.run(if call.starts_with("begin") { "rollback to savepoint s; select auth.uid(); commit" } else { "select auth.uid()" });
        let left = format!(
            "select (select count(*) from auth.bans) + (select count(*) from auth_private.session_epochs where user_id = '{}' and epoch > 0)",
            bob.id
        );
        assert_eq!(dba.one::<i64>(&left), 0, "{call}");
        root = db.signed_in("Root");
    }
}

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
            let db = Database::new();
            db.dba().run(&format!("alter database {} set auth.message_interval = 0", db.name));
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
