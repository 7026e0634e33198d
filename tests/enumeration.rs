//! Nobody learns from the time of an answer who has an account: eight states of an account, interleaved, and a classifier on time. Timing, and so
//! for `make soak` alone; that the answers are the same is tested where each of them is.

use pgrx_tests::{Actor, Database, figure, rounds};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::time::Instant;

/// The bound; 0.5 is a coin.
const MOST: f64 = 0.60;
/// Addresses in each state. What argon2 takes depends on password and salt by half a percent: of few accounts one state would be told from
/// another by that. And no account comes near auth.max_failed_attempts.
const EACH: u32 = 500;

/// How well "it took longer than the other" tells the one from the other (the area under the ROC curve).
fn auc(one: &[f64], other: &[f64]) -> f64 {
    let mut sorted = other.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below: usize =
        one.iter().map(|time| sorted.partition_point(|other| other < time) + sorted.partition_point(|other| other <= time)).sum();
    let share = below as f64 / (2 * one.len() * other.len()) as f64;
    share.max(1.0 - share)
}

/// A state, and the call on its nth address.
type State<'a> = (&'a str, Box<dyn Fn(u32) -> String>);

/// Asks each in turn, in another order every time, and says how far each is from the first.
fn compare(caller: &mut Actor, call: &str, states: &[State], times: u32) {
    let mut random = StdRng::seed_from_u64(u64::from(times));
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); states.len()];
    let mut order: Vec<usize> = (0..states.len()).collect();
    for n in 0..times {
        order.shuffle(&mut random);
        for state in &order {
            let statement = (states[*state].1)(n % EACH);
            let began = Instant::now();
            let _ = caller.client.simple_query(&statement);
            took[*state].push(began.elapsed().as_secs_f64());
        }
    }
    for (state, (name, _)) in states.iter().enumerate().skip(1) {
        let told = auc(&took[state], &took[0]);
        figure(&format!("{call}: {name} told from {} by time (AUC)", states[0].0), format!("{told:.2}"));
        assert!(told < MOST, "{call}: {name}: {told:.2}");
    }
}

fn sign_in(kind: &'static str, password: &'static str) -> Box<dyn Fn(u32) -> String> {
    Box::new(move |n| format!("select auth.sign_in('{kind}{n}@example.org', '{password}')"))
}

fn ask(function: &'static str, kind: &'static str) -> Box<dyn Fn(u32) -> String> {
    Box::new(move |n| format!("select auth.{function}('{kind}{n}@example.org')"))
}

/// Addresses of every kind; "unknown" ones are nobody's.
fn accounts(db: &Database) {
    let mut service = db.service();
    for n in 0..EACH {
        for kind in ["known", "banned", "paused"] {
            service.run(&format!("select auth.create_user('{kind}{n}@example.org', 'a password of theirs', email_verified => true)"));
        }
        service.run(&format!(
            "select auth.create_user('unverified{n}@example.org', 'a password of theirs');
             select auth.create_user('nopassword{n}@example.org', email_verified => true);
             select auth.ban_user(id) from auth.users where email = 'banned{n}@example.org'"
        ));
    }
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 100", db.name));
    db.dba().run("vacuum analyze");
}

#[test]
#[ignore = "make soak"]
fn the_time_of_an_answer_does_not_tell_who_has_an_account() {
    let db = Database::new();
    accounts(&db);
    let times = rounds(400, 2_000);
    let mut caller = db.app();
    let wrong = "not their password";
    let states: [State; 5] = [
        ("unknown", sign_in("unknown", wrong)),
        ("known", sign_in("known", wrong)),
        ("without a password", sign_in("nopassword", wrong)),
        ("banned", sign_in("banned", wrong)),
        ("unverified", sign_in("unverified", wrong)),
    ];
    compare(&mut caller, "sign_in", &states, times);
    let long: &'static str = Box::leak("x".repeat(4_000).into_boxed_str());
    for (case, password) in [("no password typed", ""), ("4,000 characters", long)] {
        let states: [State; 2] = [("unknown", sign_in("unknown", password)), ("known", sign_in("known", password))];
        compare(&mut caller, &format!("sign_in, {case}"), &states, times);
    }
    for function in ["request_password_reset", "send_verification_email"] {
        let kinds = ["unknown", "known", "nopassword", "banned", "unverified"];
        let states = kinds.map(|kind| (kind, ask(function, kind)));
        compare(&mut db.app(), function, &states, times);
    }
    // One failure is one too many now, for the half minute that this takes.
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 1", db.name));
    let states: [State; 2] = [("unknown", sign_in("stranger", wrong)), ("known", sign_in("paused", wrong))];
    let mut caller = db.app();
    for (_, call) in &states {
        (0..EACH).for_each(|n| caller.run(&call(n)));
    }
    compare(&mut caller, "sign_in, to be tried again later", &states, times);
}

#[test]
#[ignore = "make soak"]
fn nor_does_the_time_of_a_sign_up_where_addresses_are_verified() {
    let db = Database::new();
    accounts(&db);
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let sign_up = |kind: &'static str| -> Box<dyn Fn(u32) -> String> {
        let salt = StdRng::seed_from_u64(7).next_u32();
        Box::new(move |n| format!("select auth.sign_up('{kind}{n}@example.org', 'a password {salt} of a stranger')"))
    };
    // What is new is so once; what is taken stays so.
    let fresh: State =
        ("new", Box::new(|_| format!("select auth.sign_up('{}@example.org', 'a password of a stranger')", uuid::Uuid::new_v4().simple())));
    let states: [State; 5] = [
        fresh,
        ("taken", sign_up("known")),
        ("taken, without a password", sign_up("nopassword")),
        ("taken, banned", sign_up("banned")),
        ("taken, unverified", sign_up("unverified")),
    ];
    compare(&mut db.app(), "sign_up", &states, rounds(400, 1_000));
}
