//! Whatever is killed, and whenever: what was done is done whole or not at all, and what a client was told stays true. Processes are
//! killed, not machines: fsync is off, and what a process has written the operating system still has.

use crate::deeds::{self, By, Crew, DEEDS, Deed, Subject};
use pgrx_tests::{Actor, Cluster, Database, PASSWORD, figure, rounds};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How far somebody came before the connection broke off.
struct Attempt {
    subject: Subject,
    deed: &'static Deed,
    is_prepared: bool,
    is_begun: bool,
    is_acknowledged: bool,
}

/// Works until the connection breaks off.
fn work(cluster: &Cluster, first: usize, names: &AtomicU32, attempts: &Mutex<Vec<Attempt>>, begun: &AtomicU32) {
    let Some(mut crew) = Crew::of(|role| cluster.try_connect(role, "postgres").ok()) else { return };
    for deed in DEEDS.iter().cycle().skip(first) {
        let name = format!("n{:05x}", names.fetch_add(1, Ordering::Relaxed));
        let Some(subject) = crew.sign_up(&name) else { return };
        let mut attempt = Attempt { subject, deed, is_prepared: false, is_begun: false, is_acknowledged: false };
        attempt.is_prepared = crew.prepare(deed, &mut attempt.subject).is_some();
        if attempt.is_prepared {
            attempt.is_begun = true;
            begun.fetch_add(1, Ordering::Relaxed);
            match crew.carry_out(deed, &attempt.subject) {
                Ok(()) => attempt.is_acknowledged = true,
                // A refusal would be an error of the test: nothing here is refused.
                Err(error) => {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert!(code.as_deref().is_none_or(|code| code.starts_with("57P")), "{}: {error:?}", deed.action);
                }
            }
        }
        let goes_on = attempt.is_acknowledged;
        attempts.lock().expect("the list").push(attempt);
        if !goes_on {
            return;
        }
    }
}

const INVARIANTS: &str = "select array_remove(array[
    case when exists (select from auth.users u where email like 'n_____@%' and not (
        exists (select from auth_private.passwords p where p.user_id = u.id) and exists (select from auth.accounts a where a.user_id = u.id)
        and exists (select from auth.user_roles r where r.user_id = u.id) and exists (select from auth.audit_log l where l.user_id = u.id and l.action = 'sign_up')))
        then 'half a user' end,
    case when (select count(*) from auth.sessions) <> (select count(*) from auth.sessions s join auth_private.session_keys k on k.session_id = s.id)
        then 'a session without a key' end,
    case when (select count(*) from auth_private.signing_keys k join auth_private.signing_secrets using (kid) where verifies_until is null) <> 1
        then 'not one signing key' end,
    case when exists (select from auth_private.managed_roles m where not exists (select from pg_roles r where r.oid = m.role_oid))
        then 'a managed role that does not exist' end,
    case when exists (select from auth.bans b where not exists (select from auth.users u where u.id = b.user_id)) then 'a ban of nobody' end,
    case when (select count(*) from auth.audit_log where action = 'sign_up') <> (select count(*) from auth.users where email like 'n_____@%' or email like 'new-n%')
        + (select count(*) from auth.audit_log where action = 'delete_user') then 'the audit log does not add up' end,
    case when (select count(*) from auth.audit_log where action = 'import_users') <> (select count(*) from auth.users where email like 'one-n%')
        then 'imports do not add up' end,
    case when exists (select from pg_locks where locktype = 'advisory') then 'a slot that is held' end], null)";

/// What must be true after the server has come back.
fn examine(cluster: &Cluster, dba: &mut Actor, attempts: &[Attempt]) -> (u32, u32) {
    let (mut done, mut undone) = (0, 0);
    let mut app = cluster.connect("app", "postgres");
    for Attempt { subject, deed, is_prepared, is_begun, is_acknowledged } in attempts {
        if !is_prepared {
            continue;
        }
        let is_done = subject.is_done(dba, deed);
        assert!(is_done || !is_acknowledged, "{} of {} was acknowledged and is lost", deed.action, subject.name);
        assert!(!is_done || *is_begun);
        if !is_acknowledged {
            *(if is_done { &mut done } else { &mut undone }) += 1;
        }
        if deed.action != "unban_user" {
            let is_good = app.client.batch_execute(&format!("select auth.use_session('{}')", subject.token)).is_ok();
            assert_eq!(is_good, !(is_done && deed.ends_session), "the session of {} after {}", subject.name, deed.action);
        }
    }
    assert_eq!(dba.one::<Vec<String>>(INVARIANTS), Vec::<String>::new());
    (done, undone)
}

/// Kills a process that is at work, or everything.
fn strike(cluster: &Cluster, round: u32) {
    let kill = |pid: i32| {
        // SAFETY: a process of a cluster of our own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    };
    match round % 5 {
        3 => {
            kill(cluster.postmaster());
            cluster.start_again();
        }
        4 => {
            cluster.crash();
            cluster.control("start");
        }
        _ => {
            let mut dba = cluster.connect("postgres", "postgres");
            let at_work =
                "select pid from pg_stat_activity where state = 'active' and usename in ('app', 'service') order by random() limit 1";
            deeds::until("somebody at work", || dba.column::<i32>(at_work).into_iter().map(kill).next().is_some());
        }
    }
}

#[test]
fn whatever_is_killed_everything_is_done_whole_or_not_at_all() {
    let cluster = deeds::cluster("faults", &[]);
    let mut dba = cluster.connect("postgres", "postgres");
    // The last administrator must stay; this one does.
    dba.run("select auth.create_user('root@example.org', roles => '{admin}')");
    dba.run("select auth.create_user('guessed@example.org', 'a password for tests')");
    let wrong = "select auth.sign_in('guessed@example.org', 'not the password')";
    let mut app = cluster.connect("app", "postgres");
    (0..10).for_each(|_| app.is_answered(wrong, "INVALID_EMAIL_OR_PASSWORD"));
    let (names, mut done, mut undone, mut acknowledged) = (AtomicU32::new(0), 0, 0, 0);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds(10, 200) {
        let (attempts, begun) = (Mutex::new(Vec::new()), AtomicU32::new(0));
        thread::scope(|scope| {
            for worker in 0..4 {
                let (cluster, names, attempts, begun) = (&cluster, &names, &attempts, &begun);
                scope.spawn(move || work(cluster, round as usize * 7 + worker * 6, names, attempts, begun));
            }
            // Amid the work, each time elsewhere.
            deeds::until("some work", || begun.load(Ordering::Relaxed) > 8 + round % 7);
            let pause = uuid::Uuid::new_v4().as_u128() % 20_000;
            thread::sleep(Duration::from_micros(u64::try_from(pause).expect("small")));
            strike(&cluster, round);
        });
        let began = Instant::now();
        let mut dba = cluster.recovered("postgres", "postgres");
        slowest = slowest.max(began.elapsed());
        let attempts = attempts.into_inner().expect("the list");
        acknowledged += attempts.iter().filter(|attempt| attempt.is_acknowledged).count();
        let (more_done, more_undone) = examine(&cluster, &mut dba, &attempts);
        (done, undone) = (done + more_done, undone + more_undone);
        if round == 0 {
            // What was counted in shared memory is gone; what was committed still counts.
            assert_eq!(cluster.connect("app", "postgres").refused(wrong).code(), "TOO_MANY_ATTEMPTS");
        }
    }
    // And the throttle counts as ever.
    let (mut app, wrong) = (cluster.connect("app", "postgres"), "select auth.sign_in('other@example.org', 'not the password')");
    (0..10).for_each(|_| app.run(&format!("begin; {wrong}; rollback")));
    assert_eq!(app.refused(wrong).code(), "TOO_MANY_ATTEMPTS");
    assert!(acknowledged > 50, "{acknowledged}");
    figure("kills of a backend, the postmaster or everything at once (SIGKILL, pg_ctl -m immediate)", rounds(10, 200));
    figure("… deeds acknowledged before, all of them there afterwards", acknowledged);
    figure("… deeds in flight: whole afterwards / not there at all", format!("{done} / {undone}"));
}

/// The templates of the deeds are true: nothing of it before, all of it after. And where the audit log cannot be written, nothing.
#[test]
fn what_cannot_be_recorded_is_not_done() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run(&format!(
        "select auth.create_user('root@example.org', roles => '{{admin}}'); alter database {} set auth.message_interval = 0",
        db.name
    ));
    dba.run(
        "create function public.full() returns trigger language plpgsql as $$ begin raise exception using errcode = 'disk_full', message = 'no space'; end $$;
         create trigger full_disk before insert on auth.audit_log for each row execute function public.full(); alter table auth.audit_log disable trigger full_disk",
    );
    let mut crew = Crew::of(|role| Some(db.connect(role))).expect("connections");
    for (number, deed) in DEEDS.iter().enumerate() {
        let mut subject = crew.sign_up(&format!("n{number:05}")).expect("a user");
        crew.prepare(deed, &mut subject).unwrap_or_else(|| panic!("{} can be prepared", deed.action));
        assert!(!subject.is_done(&mut dba, deed), "{}", deed.action);
        dba.run("alter table auth.audit_log enable trigger full_disk");
        let error = crew.carry_out(deed, &subject).expect_err(deed.action);
        assert_eq!(error.code().expect("a code").code(), "53100", "{}: {error:?}", deed.action);
        dba.run("alter table auth.audit_log disable trigger full_disk");
        assert!(!subject.is_done(&mut dba, deed), "{}", deed.action);
        if deed.by == By::User {
            crew.app.run(&format!("select auth.use_session('{}', false)", subject.token));
        }
        crew.carry_out(deed, &subject).unwrap_or_else(|error| panic!("{}: {error:?}", deed.action));
        assert!(subject.is_done(&mut dba, deed), "{}", deed.action);
        let is_good =
            deed.action == "unban_user" || db.app().client.batch_execute(&format!("select auth.use_session('{}')", subject.token)).is_ok();
        assert_eq!(is_good, deed.action == "unban_user" || !deed.ends_session, "{}", deed.action);
    }
    // Nor is anybody let in.
    dba.run("alter table auth.audit_log enable trigger full_disk");
    let sessions = dba.one::<i64>("select count(*) from auth.sessions");
    let mut app = db.app();
    for call in [format!("auth.sign_up('late@example.org', '{PASSWORD}')"), format!("auth.sign_in('n00004@example.org', '{PASSWORD}')")] {
        assert_eq!(app.refused(&format!("select {call}")).sqlstate, "53100");
    }
    assert_eq!(dba.one::<i64>("select count(*) from auth.sessions"), sessions);
}
