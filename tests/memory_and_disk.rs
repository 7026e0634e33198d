//! A backend whose memory, disk or time runs out: it refuses, lives on, and leaves nothing half done. In clusters of their own: here
//! backends would take others with them.

use crate::deeds::{self, until};
use pgrx_tests::{Actor, Cluster, Database, PASSWORD, figure, rounds, succeed, unprivileged_command};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Limits what a backend may take, "as" or "fsize"; none lifts the limit. By a program that runs as the server's user does: a container's
/// root may not do it to others.
fn limit(pid: i32, resource: &str, bytes: Option<u64>) {
    let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = unprivileged_command(Path::new("/usr/bin/prlimit"));
    succeed(command.arg(format!("--pid={pid}")).arg(format!("--{resource}={bytes}:")));
}

/// A line of /proc/PID/status, in bytes.
fn status(pid: i32, line: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find(|l| l.starts_with(line)).expect("a line");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
}

fn pid(actor: &mut Actor) -> i32 {
    actor.one("select pg_backend_pid()")
}

fn with_ann(name: &str, settings: &[(&str, &str)]) -> Cluster {
    let cluster = deeds::cluster(name, settings);
    cluster.connect("service", "postgres").run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"));
    cluster
}

const SIGN_IN: &str = "select auth.sign_in('ann@example.org', 'a password for tests')";

const SLOTS: &str = "select count(*) from pg_locks where locktype = 'advisory'";

/// The SQLSTATE of a refusal and its machine code; "gone" where the connection ended with it.
fn outcome(actor: &mut Actor, sql: &str) -> String {
    match actor.client.batch_execute(sql) {
        Ok(()) => "ok".to_owned(),
        Err(error) => match error.as_db_error() {
            Some(error) if error.severity() == "ERROR" => {
                let code = error.detail().and_then(|detail| detail.split(':').next()).filter(|code| !code.contains(' '));
                [error.code().code(), code.unwrap_or_default()].join(" ").trim().to_owned()
            }
            _ => "gone".to_owned(),
        },
    }
}

#[test]
fn failing_calls_leave_no_memory_no_lock_and_no_slot_behind() {
    let cluster = with_ann("failing", &[("auth.max_failed_attempts", "100"), ("log_min_messages", "fatal")]);
    let mut dba = cluster.connect("postgres", "postgres");
    let ann: uuid::Uuid = dba.one("select id from auth.users");
    dba.run("create table public.orders (user_id uuid references auth.users)");
    dba.run(&format!("insert into public.orders values ('{ann}'); select auth.create_user('root@example.org', roles => '{{admin}}')"));
    let (mut app, mut service) = (cluster.connect("app", "postgres"), cluster.connect("service", "postgres"));
    let signed_in = app.json(SIGN_IN);
    let mut app = app.adopt("ann@example.org", &signed_in);
    let by_service = [
        ("select auth.create_user('ann@example.org')".to_owned(), "23505 USER_ALREADY_EXISTS"),
        (format!("select auth.delete_user('{ann}')"), "23503 USER_IN_USE"),
        (format!("select auth.set_user_roles('{ann}', '{{nobody}}')"), "22023 INVALID_ROLE"),
        (format!("select auth.update_user('{ann}', '{{\"email\": \"root@example.org\", \"name\": \"x\"}}')"), "23505 USER_ALREADY_EXISTS"),
        (format!("select auth.link_account('{ann}', 'credential', 'x')"), "22023 INVALID_ARGUMENT"),
        ("select auth.import_users('{\"no\": \"array\"}')".to_owned(), "22023 INVALID_ARGUMENT"),
        ("select auth.create_role('pg_x')".to_owned(), "22023 INVALID_ARGUMENT"),
        ("select auth.ban_user((select id from auth.list_users('root@example.org')))".to_owned(), "55000 LAST_ADMIN"),
        ("begin read only; select auth.ban_user(gen_random_uuid()); commit".to_owned(), "25006 READ_ONLY"),
    ];
    let by_app = [
        ("select auth.use_session('nonsense')".to_owned(), "28000 INVALID_SESSION"),
        ("select auth.verify_email('nonsense')".to_owned(), "22023 INVALID_TOKEN"),
        ("select auth.ban_user(gen_random_uuid())".to_owned(), "42501 PERMISSION_DENIED"),
        (format!("select auth.update_user('{ann}', '{{\"nonsense\": 1}}')"), "22023 UNKNOWN_FIELD"),
        ("select auth.revoke_session(null)".to_owned(), "22004 MISSING_ARGUMENT"),
        ("select auth.has_permission('no:such')".to_owned(), "22023 INVALID_ARGUMENT"),
        ("select auth.stop_impersonating()".to_owned(), "55000 NOT_IMPERSONATING"),
        ("select auth.sign_up('nonsense', 'a password for tests')".to_owned(), "22023 INVALID_EMAIL"),
    ];
    let dear = [
        ("select auth.sign_up('ann@example.org', 'a password for tests')", "23505 USER_ALREADY_EXISTS"),
        ("begin; set local statement_timeout = '2ms'; select auth.sign_in('nobody@example.org', 'a password for tests'); commit", "57014"),
    ];
    let fail = |calls: u32, app: &mut Actor, service: &mut Actor| {
        for n in 0..calls {
            let n = n as usize;
            let (actor, (call, expected)) = match n % 50 {
                49 => (&mut *app, (dear[n / 50 % 2].0.to_owned(), dear[n / 50 % 2].1)),
                _ if n.is_multiple_of(2) => (&mut *app, by_app[n / 2 % by_app.len()].clone()),
                _ => (&mut *service, by_service[n / 2 % by_service.len()].clone()),
            };
            let got = outcome(actor, &call);
            actor.run("rollback");
            // The throttle may have had enough of it.
            assert!(got == expected || expected == "57014" && got.starts_with("53400"), "{call}: {got}");
        }
    };
    fail(1_000, &mut app, &mut service);
    let pids = [pid(&mut app), pid(&mut service)];
    let before = pids.map(|pid| status(pid, "RssAnon:"));
    let calls = rounds(5_000, 100_000);
    fail(calls, &mut app, &mut service);
    for (pid, before) in pids.into_iter().zip(before) {
        let growth = status(pid, "RssAnon:").saturating_sub(before);
        figure(&format!("growth of a backend's memory over {} failing calls", calls / 2), format!("{} kB", growth / 1024));
        // malloc may keep the memory of one hash.
        assert!(growth < (5 + 8) << 20, "{growth} octets");
        assert_eq!(dba.one::<i64>(&format!("select count(*) from pg_locks where pid = {pid}")), 0);
    }
    assert_eq!(dba.one::<i64>(SLOTS), 0);
    assert!(app.is_signed_in());
}

/// Texts of two megabytes for every argument that takes one, and JSON that cannot be read.
#[test]
fn what_was_given_with_a_refused_call_does_not_stay() {
    let cluster = with_ann("large", &[("auth.max_failed_attempts", "100"), ("log_min_messages", "fatal")]);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run(
        r#"create table public.large as select repeat('x', 2000000) as text, array[repeat('x', 2000000)] as texts, '{"$serde_json::private::Number": "1"}'::jsonb as json;
         grant select on public.large to public"#,
    );
    let calls: Vec<String> = dba.column(
        "select format('select %s(%s) from public.large', p.oid::regproc, string_agg(case t when 'text' then 'text' when 'text[]' then 'texts' when 'jsonb' then 'json' when 'uuid' then 'gen_random_uuid()' else 'null::' || t end, ', ' order by n))
           from pg_proc p, unnest(p.proargtypes::regtype[]::text[]) with ordinality as a (t, n)
          where p.pronamespace = 'auth'::regnamespace and p.prorettype <> 'trigger'::regtype
          group by p.oid having bool_or(t in ('text', 'text[]', 'jsonb'))",
    );
    assert!(calls.len() > 30, "{}", calls.len());
    let signed_in = cluster.connect("app", "postgres").json(SIGN_IN);
    let mut callers = [
        cluster.connect("app", "postgres"),
        cluster.connect("app", "postgres").adopt("ann@example.org", &signed_in),
        cluster.connect("service", "postgres"),
    ];
    for caller in &mut callers {
        let pid = pid(caller);
        for call in &calls {
            let mut growth = || {
                let mut sizes = (0..8).map(|_| {
                    assert_ne!(outcome(caller, call), "gone", "{call}");
                    status(pid, "RssAnon:")
                });
                let before = sizes.nth(2).expect("a size");
                sizes.last().expect("a size").saturating_sub(before)
            };
            // A heap that is laid out anew grows once, what stays grows each time: by ten megabytes.
            assert!((0..3).any(|_| growth() < 3 << 20), "{call}: five calls, three times");
        }
    }
}

/// Sixteen octets of a jsonb may be a number of 131,072 digits.
#[test]
fn what_is_short_and_long_as_text_is_not_written_out() {
    let db = Database::new();
    let mut app = db.app();
    let pid = pid(&mut app);
    app.run("select auth.uid()");
    let before = status(pid, "VmHWM");
    let many = "jsonb_build_object('a', (select jsonb_agg(1e131071) from generate_series(1, 8000)))";
    for call in [
        format!("auth.sign_up('new@example.org', 'a fine password', attributes => {many})"),
        format!("auth.update_user(gen_random_uuid(), {many})"),
    ] {
        let refusal = app.refused(&format!("select {call}"));
        assert!(["INVALID_ARGUMENT", "NOT_SIGNED_IN"].contains(&refusal.code()), "{refusal:?}");
    }
    let took = status(pid, "VmHWM") - before;
    assert!(took < 50_000_000, "{took} octets");
}

/// Of a process, in octets.
fn lazily_free(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix("LazyFree:")).expect("a line");
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
}

/// Pages that it has touched for the first time so far.
fn faults(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields = text.rsplit(')').next().expect("fields");
    fields.split_whitespace().nth(7).and_then(|faults| faults.parse().ok()).expect("a number")
}

#[test]
fn the_memory_of_a_hash_is_there_for_the_next_one_and_for_the_system() {
    const OCTETS: u64 = 32 << 20;
    let cluster = with_ann("kept", &[("auth.argon2_memory", "32768")]);
    let mut app = cluster.connect("app", "postgres");
    let pid = pid(&mut app);
    let before = status(pid, "VmSize:");
    for _ in 0..3 {
        app.run(SIGN_IN);
    }
    let huge_pages = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|setting| !setting.contains("[never]"));
    if !huge_pages {
        return assert!(status(pid, "VmSize:") < before + OCTETS, "kept");
    }
    assert!(lazily_free(pid) >= OCTETS, "the system cannot have it");
    let touched = faults(pid);
    for _ in 0..10 {
        app.run(SIGN_IN);
    }
    let touched = faults(pid) - touched;
    figure("pages touched for the first time in a sign-in", (touched / 10).to_string());
    assert!(touched < OCTETS / 4096, "{touched} in ten sign-ins");
}

#[test]
fn want_of_memory_is_a_refusal_or_the_end_of_that_connection() {
    let cluster = with_ann("memory", &[("auth.max_failed_attempts", "100"), ("auth.hash_slots", "1"), ("restart_after_crash", "off")]);
    let mut dba = cluster.connect("postgres", "postgres");
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    // What a password's hash needs, and what a client's own argument needs of us; from hardly any of it to all of it. Not to the last
    // octet of small pieces: there pgrx may not be able to copy the server's own error, and the cluster restarts; see memory.rs.
    dba.run(
        "create table public.large as select repeat('x', 40000000) as text, (select jsonb_agg(n) from generate_series(1, 1000000) n) as list,
            (select jsonb_agg(jsonb_build_object('email', n, 'attributes', (select jsonb_agg(m) from generate_series(1, 60000) m))) from generate_series(1, 12) n) as users;
         grant select on public.large to app, service",
    );
    let large = "select auth.sign_in('ann@example.org', text) from public.large";
    let json = "select auth.sign_up('new@example.org', 'a password for tests', attributes => list) from public.large";
    let import = "select auth.import_users(users) from public.large";
    let sweeps = [(SIGN_IN, "app", 24 << 20), (large, "app", 120 << 20), (json, "app", 16 << 20), (import, "service", 60 << 20)];
    for (call, role, most) in sweeps {
        let steps = rounds(20, 400);
        for step in 0..steps {
            let mut app = cluster.connect(role, "postgres");
            // A hash whose memory is there already asks for none. But the libraries are there: that one cannot be loaded is 58P01.
            app.run(if call == SIGN_IN { "select auth.uid(), similarity('a', 'b'); do 'begin end'" } else { SIGN_IN });
            app.run("select from public.large");
            let pid = pid(&mut app);
            limit(pid, "as", Some(status(pid, "VmSize:") + (6 << 20) + u64::from(step) * most / u64::from(steps)));
            let got = outcome(&mut app, call);
            *seen.entry(got.clone()).or_default() += 1;
            assert!(
                ["ok", "53200", "53200 OUT_OF_MEMORY", "22023 PASSWORD_TOO_LONG", "22023 INVALID_ARGUMENT", "gone"].contains(&&*got),
                "{call}: {got}"
            );
            if got != "gone" {
                limit(pid, "as", None);
                assert_eq!(outcome(&mut app, SIGN_IN), "ok", "after {got}");
            }
        }
    }
    let log = cluster.log();
    assert!(!log.contains("was terminated by signal"), "{seen:?}");
    assert!(seen.contains_key("53200 OUT_OF_MEMORY") && seen.contains_key("ok"), "{seen:?}");
    assert!(seen.contains_key("gone") && log.contains("FATAL:  out of memory"), "{seen:?}");
    assert_eq!(dba.one::<i64>(SLOTS), 0);
    assert_eq!(dba.one::<i64>("select count(*) from auth.users where email = 'new@example.org'"), 0);
    figure("sign-ins with too little memory for them, by outcome", format!("{seen:?}"));
}

#[test]
fn a_hostile_stored_hash_is_refused_in_bounded_time() {
    let cluster = with_ann("hostile", &[("auth.max_failed_attempts", "100")]);
    let mut dba = cluster.connect("postgres", "postgres");
    let mut app = cluster.connect("app", "postgres");
    let (salt, hash) = ("c2FsdHNhbHRzYWx0", "ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY");
    for planted in [
        format!("$argon2id$v=19$m=4294967295,t=1,p=1${salt}${hash}"),
        format!("$argon2id$v=19$m=8192,t=2147483648,p=1${salt}${hash}"),
        format!("$argon2id$v=19$m=8192,t=1,p=16777216${salt}${hash}"),
        format!("$argon2id$v=19$m=8192,t=1,p=1$${hash}"),
        format!("$argon2id$v=19$m=8192,t=1,p=1${salt}$"),
        format!("$argon2id$v=19$m=8192,m=8192,t=1,p=1${salt}${hash}"),
        format!("$argon2id$v=19$m=-1,t=1,p=1${salt}${hash}"),
        "$2b$31$......................21jzCB1r6pN6rp5O2Ev0ejjTAboskKm".to_owned(),
        format!("$scrypt$ln=63,r=4294967295,p=4294967295${salt}${hash}"),
        format!("$pbkdf2-sha256$4294967295${salt}${hash}"),
        "$fbscrypt$v=1,n=40,r=8,p=1,ss=Bw==,sk=jxsp$42xEC+ixf3L2lw==$lSrf".to_owned(),
        "$".repeat(1_000_000),
        format!("${}", "a".repeat(50_000_000)),
        "$\u{1F600}$$$".to_owned(),
    ] {
        dba.client.execute("update auth_private.passwords set hash = $1", &[&planted]).expect("a superuser may");
        let began = Instant::now();
        app.is_answered(SIGN_IN, "INVALID_EMAIL_OR_PASSWORD");
        let short: String = planted.chars().take(60).collect();
        assert!(began.elapsed() < Duration::from_secs(2), "{short}: {:?}", began.elapsed());
    }
    assert!(!cluster.log().contains("was terminated by signal"));
}

/// Somebody signs in with a hash of a second; when it has begun, something happens to them. What they are told, and how long it took.
fn interrupted(cluster: &Cluster, interrupt: &str, timeout: u32) -> (String, Duration) {
    let mut dba = cluster.connect("postgres", "postgres");
    let mut app = cluster.connect("app", "postgres");
    app.run(&format!("set statement_timeout = {timeout}"));
    let pid = pid(&mut app);
    let (got, began) = thread::scope(|scope| {
        let signing_in = scope.spawn(move || outcome(&mut app, "select auth.sign_in('nobody@example.org', 'a password for tests')"));
        until("a slot", || dba.one::<i64>(SLOTS) == 1);
        let began = Instant::now();
        if !interrupt.is_empty() {
            assert!(dba.one::<bool>(&format!("select {interrupt}({pid})")));
        }
        (signing_in.join().expect("an answer"), began)
    });
    let took = began.elapsed();
    until("the slot comes back", || dba.one::<i64>(SLOTS) == 0);
    (got, took)
}

#[test]
fn whoever_is_interrupted_while_hashing_is_gone_after_one_hash_and_has_paid() {
    let cluster = with_ann("interrupted", &[("auth.max_failed_attempts", "4"), ("auth.hash_slots", "1")]);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("alter role app set auth.argon2_memory = '256MB'; alter role app set auth.argon2_iterations = 4");
    let (_, hash) = interrupted(&cluster, "", 0);
    figure("a hash of 256 MB and 4 passes", format!("{} ms", hash.as_millis()));
    assert!(hash > Duration::from_millis(300), "long enough to be interrupted: {hash:?}");
    for (interrupt, timeout, expected) in [("", 100, "57014"), ("pg_cancel_backend", 0, "57014"), ("pg_terminate_backend", 0, "gone")] {
        let (got, took) = interrupted(&cluster, interrupt, timeout);
        assert_eq!(got, expected, "{interrupt}");
        assert!(took < hash * 2 + Duration::from_millis(200), "{interrupt}: {took:?}, and a hash takes {hash:?}");
        figure(
            &format!("… interrupted by {}", if timeout > 0 { "statement_timeout" } else { interrupt }),
            format!("{} ms later it ends", took.as_millis()),
        );
    }
    // Four attempts, of which three were never answered.
    let mut app = cluster.connect("app", "postgres");
    assert_eq!(outcome(&mut app, "select auth.sign_in('nobody@example.org', 'a password for tests')"), "53400 TOO_MANY_ATTEMPTS");
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.failed_attempts"), 1);
}

#[test]
fn where_the_disk_is_full_nobody_is_let_in_and_nothing_is_half_done() {
    let cluster = with_ann("disk", &[]);
    let mut dba = cluster.connect("postgres", "postgres");
    // Larger than a segment of the log that is written ahead, so that the limit meets this file alone.
    dba.run("insert into auth.audit_log (action, database_role, user_agent) select 'filler', 'postgres', repeat('x', 400) from generate_series(1, 45000); checkpoint");
    let file = cluster.data().join(dba.one::<String>("select pg_relation_filepath('auth.audit_log')"));
    let size = fs::metadata(file).expect("the file").len();
    assert!(size > 17 << 20, "{size}");
    let mut service = cluster.connect("service", "postgres");
    let service_pid = pid(&mut service);
    limit(service_pid, "fsize", Some(size));
    let agent = "x".repeat(500);
    let sign_up = |n: u32| format!("select auth.sign_up('n{n}@example.org', '{PASSWORD}', user_agent => '{agent}')");
    let full = (0..100).find(|n| outcome(&mut service, &sign_up(*n)) != "ok").expect("full at some time");
    let told = service.refused(&sign_up(full));
    assert!(told.detail.contains("could not extend file"), "{told:?}");
    let ann: uuid::Uuid = dba.one("select id from auth.users where email = 'ann@example.org'");
    for call in [
        format!("auth.sign_in('ann@example.org', '{PASSWORD}', user_agent => '{agent}')"),
        format!("auth.ban_user('{ann}', repeat('x', 900))"),
        format!(
            "auth.create_user('other@example.org', '{PASSWORD}', repeat('x', 250), attributes => jsonb_build_object('x', repeat('x', 900)))"
        ),
    ] {
        outcome(&mut service, &format!("select {call}"));
    }
    assert_eq!(dba.one::<i64>(&format!("select count(*) from auth.users where email = 'n{full}@example.org'")), 0);
    assert_eq!(dba.one::<i64>("select count(*) from auth.users where email like 'n%'"), i64::from(full), "and who was told so is there");
    assert_eq!(
        dba.one::<i64>("select count(*) from auth.sessions"),
        dba.one::<i64>("select count(*) from auth.audit_log where action in ('sign_up', 'sign_in')")
    );
    assert_eq!(
        dba.one::<i64>("select count(*) from auth.bans"),
        dba.one::<i64>("select count(*) from auth.audit_log where action = 'ban_user'")
    );
    limit(service_pid, "fsize", None);
    assert_eq!(outcome(&mut service, &sign_up(full)), "ok", "the same connection, with space");
    // Nor where nothing can be written ahead: the server then ends all connections, and recovers.
    limit(service_pid, "fsize", Some(8192));
    assert_eq!(outcome(&mut service, &sign_up(full + 1)), "gone");
    let mut dba = cluster.recovered("postgres", "postgres");
    assert_eq!(dba.one::<i64>("select count(*) from auth.users where email like 'n%'"), i64::from(full) + 1);
    assert_eq!(cluster.connect("app", "postgres").json(SIGN_IN)["user"]["email"], "ann@example.org");
}
