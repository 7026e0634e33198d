//! The mail queue: claimed once, retried, parked, and closed to everybody but the mailer.

use pgrx_tests::{Actor, Database, PASSWORD};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use uuid::Uuid;

const IDS: &str = "select id from auth.claim_messages()";

/// A queue with one message in it.
fn asked() -> (Database, Actor) {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("select auth.send_verification_email()");
    (db, ann)
}

fn make_due(db: &Database) {
    db.dba().run("update auth_private.messages set due_at = now() - interval '1 second' where completed_at is null");
}

#[test]
fn a_message_is_hidden_while_it_is_leased_and_comes_again_with_another_token() {
    let (db, _) = asked();
    let (mut one, mut two) = (db.mailer(), db.mailer());
    let claim = "select token from auth.claim_messages()";
    let first: Vec<String> = one.column(claim);
    assert_eq!(first.len(), 1);
    assert!(two.column::<String>(claim).is_empty());
    make_due(&db);
    let second: Vec<String> = two.column(claim);
    assert_ne!(first, second);
    db.app().is_refused(&format!("select auth.verify_email('{}')", first[0]), "22023", "INVALID_TOKEN");
    db.app().run(&format!("select auth.verify_email('{}')", second[0]));
}

#[test]
fn a_claim_that_is_rolled_back_never_was() {
    let (db, _) = asked();
    let mut mailer = db.mailer();
    mailer.run("begin");
    let token: String = mailer.one("select token from auth.claim_messages()");
    mailer.run("rollback");
    db.app().is_refused(&format!("select auth.verify_email('{token}')"), "22023", "INVALID_TOKEN");
    assert_eq!(db.mail().len(), 1);
}

#[test]
fn what_fails_comes_again_later_and_later_and_is_parked_at_last() {
    let (db, _) = asked();
    let mut mailer = db.mailer();
    let mut pauses = Vec::new();
    for attempt in 1..=10 {
        let id: Uuid = mailer.one(IDS);
        assert!(mailer.one::<bool>(&format!("select auth.fail_message('{id}', 'connection refused {attempt}')")));
        assert!(mailer.column::<Uuid>(IDS).is_empty(), "not at once");
        let pause: f64 = db.dba().one("select extract(epoch from due_at - clock_timestamp())::float8 from auth_private.messages");
        pauses.push(pause.round() as i64);
        make_due(&db);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    assert!(mailer.column::<Uuid>(IDS).is_empty(), "parked");
    let mut root = db.admin("Root");
    let listed: Vec<String> = root.column("select format('%s %s %s %s', kind, attempts, parked, last_error) from auth.list_messages()");
    assert_eq!(listed, ["verify-email 10 t connection refused 10"]);
    assert!(root.one::<bool>("select auth.retry_message(id) from auth.list_messages()"));
    assert_eq!(mailer.column::<Uuid>(IDS).len(), 1);
}

#[test]
fn a_message_that_ends_every_worker_is_parked() {
    let (db, _) = asked();
    for _ in 0..10 {
        assert_eq!(db.mailer().column::<Uuid>(IDS).len(), 1, "claimed, and never heard of again");
        make_due(&db);
    }
    assert!(db.mailer().column::<Uuid>(IDS).is_empty());
    assert!(db.service().one::<bool>("select parked from auth.list_messages()"));
}

#[test]
fn settling_twice_or_what_was_never_claimed_is_false() {
    let (db, _) = asked();
    let mut mailer = db.mailer();
    let unclaimed: Uuid = db.dba().one("select id from auth_private.messages");
    for id in [unclaimed, Uuid::new_v4()] {
        assert!(!mailer.one::<bool>(&format!("select auth.complete_message('{id}')")));
        assert!(!mailer.one::<bool>(&format!("select auth.fail_message('{id}', 'x')")));
    }
    let id: Uuid = mailer.one(IDS);
    assert!(mailer.one::<bool>(&format!("select auth.complete_message('{id}')")));
    assert!(!mailer.one::<bool>(&format!("select auth.complete_message('{id}')")));
    assert!(!mailer.one::<bool>(&format!("select auth.fail_message('{id}', 'x')")));
    for (call, sqlstate, detail) in [
        ("complete_message(null)", "22004", "MISSING_ARGUMENT: id"),
        ("fail_message(null, 'x')", "22004", "MISSING_ARGUMENT: id"),
        ("fail_message(gen_random_uuid(), null)", "22004", "MISSING_ARGUMENT: error"),
        ("claim_messages(0)", "22023", "INVALID_ARGUMENT: max_messages"),
        ("claim_messages(1001)", "22023", "INVALID_ARGUMENT: max_messages"),
    ] {
        mailer.is_refused(&format!("select auth.{call}"), sqlstate, detail);
    }
    mailer.run("begin read only");
    mailer.is_refused("select auth.claim_messages()", "25006", "READ_ONLY");
}

#[test]
fn workers_share_the_queue_and_no_message_is_claimed_twice() {
    let db = Database::new();
    db.many_users(200);
    let mut anybody = db.app();
    anybody.run("select auth.send_verification_email('user' || n || '@many.example') from generate_series(1, 200) n");
    let barrier = Barrier::new(4);
    let claimed: Vec<Uuid> = thread::scope(|scope| {
        let worker = || {
            let mut mailer = db.mailer();
            barrier.wait();
            let mut ids = Vec::new();
            loop {
                let more: Vec<Uuid> = mailer.column("select id from auth.claim_messages(7)");
                if more.is_empty() {
                    return ids;
                }
                ids.extend(more);
            }
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    assert_eq!((claimed.len(), claimed.iter().collect::<BTreeSet<_>>().len()), (200, 200));
}

#[test]
fn of_several_requests_at_once_one_is_sent() {
    let db = Database::new();
    db.user("Ann");
    let mut open: Vec<Actor> = (0..5).map(|_| db.app()).collect();
    for anybody in &mut open {
        anybody.run("begin; select auth.request_password_reset('ann@example.org')");
    }
    for anybody in &mut open {
        anybody.run("commit");
    }
    assert_eq!(db.mail().len(), 1);
    assert_eq!(db.dba().one::<i64>("select count(*) from auth_private.messages where user_id is not null"), 1);
}

/// An open transaction of an attacker, who has asked for the victim's mail in it.
#[test]
fn asking_in_an_open_transaction_keeps_nobody_waiting() {
    let db = Database::new();
    let ann = db.user("Ann");
    let mut attacker = db.app();
    attacker.run("begin; select auth.request_password_reset('ann@example.org'); select auth.send_verification_email('ann@example.org')");
    db.app().run("set lock_timeout = '2s'; select auth.request_password_reset('ann@example.org')");
    let token = db.mailed_token("reset-password", "ann@example.org");
    db.app().run(&format!("set lock_timeout = '2s'; select auth.reset_password('{token}', 'another password')"));
    db.service().run(&format!("set lock_timeout = '2s'; select auth.ban_user('{0}'); select auth.delete_user('{0}')", ann.id));
    attacker.run("commit");
    assert!(db.mail().is_empty(), "nobody is there any more");
}

/// Nor may a user who holds what can be held with a token of their own keep a ban waiting.
#[test]
fn a_ban_waits_for_no_open_transaction_of_the_banned() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("select auth.send_verification_email(); select auth.request_password_reset('ann@example.org')");
    let mail = db.mail();
    let token = |kind: &str| mail.iter().find(|mail| mail.kind == kind).expect(kind).token.clone();
    for (number, hold) in [
        format!("select auth.reset_password('{}', 'another password')", token("reset-password")),
        format!("select auth.verify_email('{}')", token("verify-email")),
        "select auth.change_email('x@example.org')".to_owned(),
        "select auth.verify_email('{change}')".to_owned(),
        format!("select auth.delete_user('{}')", ann.id),
        format!("select auth.change_password('{PASSWORD}', 'another password', true)"),
        "select auth.update_user(auth.uid(), '{\"name\": \"x\"}')".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("new{number}@example.org");
        ann.run(&format!("select auth.change_email('{address}')"));
        let hold = hold.replace("{change}", &db.mailed_token("change-email", &address));
        let mut phone = db.signed_in("Ann");
        ann.run(&format!("begin; {hold}"));
        let mut dba = db.service();
        dba.run(&format!("set lock_timeout = '2s'; select auth.ban_user('{}')", ann.id));
        assert!(!phone.is_signed_in(), "{hold}");
        dba.run(&format!("select auth.unban_user('{0}'); select auth.revoke_user_sessions('{0}')", ann.id));
        ann.run("rollback");
        ann = db.signed_in("Ann");
    }
}

/// Nor may anybody keep everybody's mail back by holding what their own needs.
#[test]
fn the_queue_waits_for_no_open_transaction_of_a_user() {
    let db = Database::new();
    let (mut ann, _) = (db.user("Ann"), db.user("Bob"));
    ann.run("select auth.request_password_reset('ann@example.org')");
    db.mail();
    ann.run(&format!("begin; select auth.change_password('{PASSWORD}', 'another password')"));
    let mut anybody = db.app();
    anybody.run("select auth.send_verification_email('ann@example.org'); select auth.request_password_reset('bob@example.org')");
    let mut mailer = db.mailer();
    mailer.run("set lock_timeout = '2s'");
    assert_eq!(mailer.column::<String>("select recipient from auth.claim_messages()"), ["bob@example.org"]);
    ann.run("commit");
    let kinds: Vec<String> = mailer.column("select kind from auth.claim_messages() order by 1");
    assert_eq!(kinds, ["password-changed", "verify-email"]);
}

/// Or a user who is at something and the mailer could wait for each other.
#[test]
fn nor_does_a_user_wait_for_a_mailer_that_has_passed_them_over() {
    let (db, mut ann) = asked();
    let mut mailer = db.mailer();
    ann.run("set lock_timeout = '2s'; begin; select auth.update_user(auth.uid(), '{\"name\": \"x\"}')");
    mailer.run("begin");
    assert!(mailer.column::<Uuid>(IDS).is_empty(), "her row is held");
    ann.run(&format!("select auth.change_password('{PASSWORD}', 'another password'); commit"));
    mailer.run("commit");
    assert!(mailer.column::<Uuid>(IDS).len() == 1, "the notice alone");
}

/// The earlier message waits for its next attempt while the later one is sent and cleared away.
#[test]
fn a_message_that_comes_late_does_not_supersede_a_later_one() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.message_interval = 0", db.name));
    let mut ann = db.user("Ann");
    let mut mailer = db.mailer();
    ann.run("select auth.send_verification_email()");
    let first: Uuid = mailer.one(IDS);
    mailer.run(&format!("select auth.fail_message('{first}', 'later')"));
    ann.run("select auth.send_verification_email()");
    let token = db.mailed_token("verify-email", "ann@example.org");
    assert!(db.mail().is_empty(), "and the later one is cleared away");
    make_due(&db);
    assert!(db.mail().is_empty(), "nothing of the first");
    db.app().run(&format!("select auth.verify_email('{token}')"));
}

#[test]
fn the_mailer_claims_and_does_nothing_else_and_nobody_else_claims() {
    let (db, mut ann) = asked();
    let mut root = db.admin("Root");
    for call in ["claim_messages()", "complete_message(gen_random_uuid())", "fail_message(gen_random_uuid(), 'x')"] {
        for actor in [&mut ann, &mut root, &mut db.app(), &mut db.service()] {
            assert_eq!(actor.refused(&format!("select auth.{call}")).sqlstate, "42501", "{call}");
        }
    }
    let mut mailer = db.mailer();
    for statement in [
        "select * from auth.users",
        "select * from auth_private.messages",
        "select * from auth_private.one_time_tokens",
        "select auth.uid()",
        "select auth.list_messages()",
        "select auth.sign_up('x@example.org', 'another password')",
    ] {
        assert_eq!(mailer.refused(statement).sqlstate, "42501", "{statement}");
    }
    for secret in ["messages", "one_time_tokens", "rival_sign_ups"] {
        assert_eq!(root.refused(&format!("select * from auth_private.{secret}")).sqlstate, "42501");
    }
}

#[test]
fn the_worker_is_woken_after_the_commit() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let mut mailer = db.mailer();
    mailer.run("listen auth_messages");
    let mut woken = |within: u64| {
        let mut notifications = mailer.client.notifications();
        let mut waiting = notifications.timeout_iter(Duration::from_millis(within));
        postgres::fallible_iterator::FallibleIterator::next(&mut waiting).expect("a connection").map(|n| n.payload().to_owned())
    };
    ann.run("begin; select auth.send_verification_email()");
    assert_eq!(woken(200), None);
    ann.run("commit");
    let began = Instant::now();
    assert_eq!(woken(10_000).as_deref(), Some(""));
    assert!(began.elapsed() < Duration::from_secs(10));
    ann.run("begin; select auth.request_password_reset('ann@example.org'); rollback");
    assert_eq!(woken(200), None);
}

#[test]
fn what_was_sent_and_what_was_nobodys_is_cleared_away() {
    let (db, _) = asked();
    db.app().run("select auth.request_password_reset('nobody@example.org')");
    assert_eq!(db.mail().len(), 1);
    let rows = "select count(*) from auth_private.messages";
    assert_eq!(db.dba().one::<i64>(rows), 2, "counted for as long as the interval");
    db.dba().run("update auth_private.messages set created_at = created_at - interval '2 minutes'");
    assert!(db.mail().is_empty());
    assert_eq!(db.dba().one::<i64>(rows), 0);
}
