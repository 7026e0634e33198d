//! What is over goes, and nothing else.

use pgrx_tests::{Actor, Cluster, Database};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn what_is_over_goes_and_what_is_not_stays() {
    let db = Database::new();
    let (mut ann, bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    let mut dba = db.dba();
    ann.run("select auth.send_verification_email()");
    db.mail();
    db.app().is_answered("select auth.sign_in('ann@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(root.one::<i32>("select auth.purge_expired()"), 0, "nothing is over yet");
    db.signed_in("Ann");
    db.app().run("select auth.request_password_reset('nobody@example.org')");
    dba.run(&format!(
        "update auth.sessions set expires_at = now() - interval '1 second' where user_id = '{}' and id <> '{}';
         update auth_private.one_time_tokens set expires_at = now() - interval '1 second';
         update auth_private.messages set created_at = created_at - interval '2 minutes';
         insert into auth_private.failed_attempts (subject, failed_at) values ('x', now() - interval '16 minutes'), ('y', now());
         insert into auth_private.rival_sign_ups (user_id, address) values (gen_random_uuid(), 'x'), ('{}', 'bob@example.org');
         insert into auth.bans (user_id, reason) values (gen_random_uuid(), 'gone');
         insert into auth_private.session_epochs values (gen_random_uuid(), true), ('{}', false)",
        ann.id, ann.session, bob.id, bob.id
    ));
    // Ann's other session, her token, a message sent and one that was nobody's, an old attempt, and three rows of nobody.
    assert_eq!(root.one::<i32>("select auth.purge_expired()"), 8);
    assert_eq!(root.one::<i32>("select auth.purge_expired()"), 0);
    assert!(ann.is_signed_in() && root.is_signed_in());
    for (table, left) in [
        ("auth.sessions", 3),
        ("auth_private.session_keys", 3),
        ("auth_private.one_time_tokens", 0),
        ("auth_private.messages", 0),
        ("auth_private.failed_attempts", 1),
        ("auth_private.rival_sign_ups", 1),
        ("auth.bans", 0),
        ("auth_private.session_epochs", 1),
    ] {
        assert_eq!(dba.one::<i64>(&format!("select count(*) from {table}")), left, "{table}");
    }
}

#[test]
fn it_goes_in_small_steps_and_past_what_somebody_holds() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run(
        "insert into auth_private.failed_attempts (subject, failed_at) select 'x', now() - interval '1 hour' from generate_series(1, 25)",
    );
    let mut holder = db.dba();
    holder.run("begin; select from auth_private.failed_attempts order by id limit 5 for update");
    let mut service = db.service();
    service.run("set lock_timeout = '2s'");
    let steps: Vec<i32> = (0..4).map(|_| service.one("select auth.purge_expired(8)")).collect();
    assert_eq!(steps, [8, 8, 4, 0]);
    holder.run("rollback");
    assert_eq!(service.one::<i32>("select auth.purge_expired(8)"), 5);
    for (argument, detail) in [("0", "INVALID_ARGUMENT: max_rows"), ("100001", "INVALID_ARGUMENT: max_rows")] {
        service.is_refused(&format!("select auth.purge_expired({argument})"), "22023", detail);
    }
}

/// A cluster whose worker comes every second, and its superuser.
fn preloaded(name: &str) -> (Cluster, Actor) {
    let settings = [("fsync", "off"), ("shared_preload_libraries", "'pg_auth'"), ("auth.purge_interval", "1s")];
    let cluster = Cluster::start(name, &settings);
    let dba = cluster.connect("postgres", "postgres");
    (cluster, dba)
}

#[test]
fn where_the_library_is_preloaded_a_worker_does_it_in_every_database() {
    let (cluster, mut dba) = preloaded("housekeeping");
    dba.run("create database one");
    dba.run("create database two");
    let mut ones = cluster.connect("postgres", "one");
    for db in [&mut dba, &mut ones] {
        db.run("create extension pg_auth cascade");
        db.run("insert into auth_private.failed_attempts (subject, failed_at) select 'x', now() - interval '1 hour' from generate_series(1, 2500)");
    }
    let began = Instant::now();
    for db in [&mut dba, &mut ones] {
        while db.one::<i64>("select count(*) from auth_private.failed_attempts") > 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", cluster.log());
            sleep(Duration::from_millis(50));
        }
    }
    // Who ends it has it back after a minute: the server brings back whoever does not end with 0.
    assert_eq!(
        dba.one::<i64>("select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'pg_auth housekeeping'"),
        1
    );
    while !cluster.log().contains("background worker \"pg_auth housekeeping\"") {
        sleep(Duration::from_millis(20));
    }
    assert!(cluster.log().lines().any(|line| line.contains("\"pg_auth housekeeping\"") && line.ends_with("exited with exit code 1")));
    // It can be told to do nothing.
    dba.run("alter system set auth.purge_interval = 0");
    dba.run("select pg_reload_conf()");
    assert!(!cluster.log().contains("ERROR"), "{}", cluster.log());
}

/// `pg_ctl -m fast stop` gives up after a minute.
#[test]
fn a_shutdown_does_not_wait_for_it() {
    let (cluster, mut dba) = preloaded("housekeeping_stopped");
    dba.run("create extension pg_auth cascade");
    dba.run("begin; lock auth_private.failed_attempts");
    let at_it =
        "select count(*) from pg_stat_activity where backend_type = 'pg_auth housekeeping of a database' and wait_event_type = 'Lock'";
    while cluster.connect("postgres", "postgres").one::<i64>(at_it) == 0 {
        sleep(Duration::from_millis(20));
    }
    cluster.control("stop");
}

/// An administrator, DROP DATABASE … WITH (FORCE), or a shutdown.
#[test]
fn whoever_ends_it_amid_its_work_ends_nothing_else() {
    let (cluster, mut dba) = preloaded("housekeeping_ended");
    dba.run("create database origin");
    cluster.connect("postgres", "origin").run("create extension pg_auth cascade");
    (0..8).for_each(|n| dba.run(&format!("create database copy{n} template origin")));
    let mut ended = 0;
    while ended < 100 {
        ended += dba.one::<i64>(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'pg_auth housekeeping of a database'",
        );
        sleep(Duration::from_millis(ended as u64 % 20));
    }
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log());
}
