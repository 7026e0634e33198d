//! How many passwords are hashed at once, and what becomes of those whose turn does not come. In a cluster of its own: the slots are the
//! cluster's, and one test kills its processes.

use pgrx_tests::{Actor, Cluster, PASSWORD};
use std::thread;
use std::time::{Duration, Instant};

const SIGN_IN: &str = "select auth.sign_in('ann@example.org', 'a password for tests')";
/// The locks that are slots; see src/backend/slots.rs.
const HELD: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and database = 0 and objsubid = 28769 and granted and objid < 4294967295";

fn started() -> Cluster {
    let settings = [
        ("fsync", "off"),
        ("auth.hash_slots", "1"),
        // A busy machine takes its time.
        ("auth.hash_wait", "'2min'"),
        ("auth.argon2_memory", "'8MB'"),
        ("auth.argon2_iterations", "1"),
        ("restart_after_crash", "on"),
    ];
    let cluster = Cluster::start("slots", &settings);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create role app login; create extension pg_auth cascade; grant anon, authenticated to app");
    dba.run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"));
    cluster
}

/// Somebody who takes seconds to sign up, and so holds the one slot.
fn slow(cluster: &Cluster) -> (Actor, i32) {
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("set auth.argon2_memory = '256MB'; set auth.argon2_iterations = 10");
    let pid = dba.one("select pg_backend_pid()");
    (dba, pid)
}

fn until(dba: &mut Actor, condition: &str) {
    let began = Instant::now();
    while !dba.one::<bool>(&format!("select {condition}")) {
        assert!(began.elapsed() < Duration::from_secs(30), "{condition}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_turn_that_does_not_come_is_an_error_and_slots_come_back() {
    let cluster = started();
    let mut dba = cluster.connect("postgres", "postgres");
    let busy = format!("({HELD}) = 1");
    let slow_sign_up = |n: u32| format!("select auth.sign_up('slow{n}@example.org', '{PASSWORD}')");

    // Whose turn does not come in time is told so, and leaves nothing behind.
    let (mut holder, _) = slow(&cluster);
    thread::scope(|scope| {
        scope.spawn(|| holder.run(&slow_sign_up(1)));
        until(&mut dba, &busy);
        let mut app = cluster.connect("app", "postgres");
        dba.run("alter role app set auth.hash_wait = '50ms'");
        let mut hurried = cluster.connect("app", "postgres");
        hurried.is_refused(SIGN_IN, "53300", "SERVER_BUSY");
        // Who waits can be cancelled, and who has waited long enough gets a turn.
        app.run("set statement_timeout = '50ms'");
        assert_eq!(app.refused(SIGN_IN).sqlstate, "57014");
        app.run("set statement_timeout = 0");
        assert!(app.json(SIGN_IN)["token"].is_string());
    });
    dba.run("alter role app reset auth.hash_wait");
    assert_eq!(dba.one::<i64>(HELD), 0);

    // Whoever is ended while hashing lets go.
    let (mut holder, pid) = slow(&cluster);
    thread::scope(|scope| {
        scope.spawn(|| holder.client.batch_execute(&slow_sign_up(2)).expect_err("ended"));
        until(&mut dba, &busy);
        assert!(dba.one::<bool>(&format!("select pg_terminate_backend({pid})")));
        assert!(cluster.connect("app", "postgres").json(SIGN_IN)["token"].is_string());
    });
    assert_eq!(dba.one::<i64>("select count(*) from auth.users where email like 'slow%'"), 1, "the one that was not ended");

    // Never more at once than there are slots, however many come.
    thread::scope(|scope| {
        let done: Vec<_> = (0..24).map(|_| scope.spawn(|| cluster.connect("app", "postgres").json(SIGN_IN)["token"].is_string())).collect();
        let mut most = 0;
        while done.iter().any(|one| !one.is_finished()) {
            most = most.max(dba.one::<i64>(HELD));
        }
        assert_eq!(most, 1);
        assert!(done.into_iter().all(|one| one.join().expect("an answer")));
        assert!(!cluster.log().contains("WARNING"), "{}", cluster.log());
    });

    // Also after a process was killed, which restarts the cluster.
    let (mut holder, pid) = slow(&cluster);
    thread::scope(|scope| {
        scope.spawn(|| holder.client.batch_execute(&slow_sign_up(3)).expect_err("killed"));
        until(&mut dba, &busy);
        // SAFETY: a backend of a cluster of our own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    });
    let mut again = cluster.recovered("postgres", "postgres");
    assert_eq!(again.one::<i64>(HELD), 0);
    assert!(cluster.connect("app", "postgres").json(SIGN_IN)["token"].is_string());
    assert_eq!(again.one::<i64>("select count(*) from auth.users where email = 'slow3@example.org'"), 0);
}

#[test]
fn nobody_takes_a_slot_from_outside() {
    let cluster = pgrx_tests::Database::new();
    let mut app = cluster.app();
    app.run("select pg_advisory_lock(n), pg_advisory_lock(0, n) from generate_series(0, 100) n");
    app.run("set statement_timeout = '20s'");
    app.json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"))["token"].as_str().expect("signed up");
}
