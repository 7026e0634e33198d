//! A hot standby: whoever only reads is served there, whoever would write or show a password is turned away before any work, and what is
//! revoked on the primary is dead there as soon as it is replayed. In clusters of their own.

use crate::deeds::{self, DEEDS, until};
use pgrx_tests::{Actor, Cluster, PASSWORD, figure, rounds};
use std::time::{Duration, Instant};

struct Stage {
    primary: Cluster,
    standby: Cluster,
}

impl Stage {
    fn new(name: &str) -> Self {
        let primary = deeds::cluster(&format!("{name}-primary"), &[("wal_keep_size", "'64MB'"), ("auth.session_update_age", "1")]);
        let standby = primary.standby(
            &format!("{name}-standby"),
            &[
                ("hot_standby_feedback", "on"),
                ("wal_retrieve_retry_interval", "'100ms'"),
                ("auth.argon2_memory", "'128MB'"),
                ("auth.argon2_iterations", "3"),
            ],
        );
        Stage { primary, standby }
    }

    fn dba(&self) -> Actor {
        self.primary.connect("postgres", "postgres")
    }

    /// Waits until the standby has everything that is committed now.
    fn catch_up(&self) {
        let now: String = self.dba().one("select pg_current_wal_lsn()::text");
        let mut standby = self.standby.connect("postgres", "postgres");
        until("replay", || standby.one::<bool>(&format!("select pg_last_wal_replay_lsn() >= '{now}'")));
    }

    fn user(&self, name: &str) -> Actor {
        let (email, mut app) = (format!("{name}@example.org"), self.primary.connect("app", "postgres"));
        let result = app.json(&format!("select auth.sign_up('{email}', '{PASSWORD}')"));
        app.adopt(&email, &result)
    }

    fn there(&self, token: &str) -> Actor {
        let mut app = self.standby.connect("app", "postgres");
        app.run(&format!("select auth.use_session('{token}', false)"));
        app
    }
}

#[test]
fn a_standby_reads_and_refuses_everything_else_before_any_work() {
    let stage = Stage::new("reading");
    let ann = stage.user("ann");
    let mut root = stage.user("root");
    let mut dba = stage.dba();
    dba.run(&format!("select auth.set_user_roles('{}', '{{admin}}')", root.id));
    dba.run("create table public.notes (owner uuid, text text); alter table public.notes enable row level security; grant select on public.notes to app;
             create policy own on public.notes using (owner = (select auth.uid()))");
    dba.run(&format!("insert into public.notes values ('{}', 'hers'), ('{}', 'his')", ann.id, root.id));
    let access_token = root.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["access_token"].clone();
    // A hash that takes long enough to be noticed.
    dba.run(&format!(
        "set auth.argon2_memory = '128MB'; set auth.argon2_iterations = 3; select auth.set_user_password('{}', '{PASSWORD}', false)",
        ann.id
    ));
    stage.catch_up();

    let mut there = stage.there(&ann.token);
    assert_eq!(there.column::<String>("select text from public.notes"), ["hers"]);
    assert_eq!(there.json("select auth.get_session()")["user"]["email"], "ann@example.org");
    assert_eq!(there.one::<i64>("select count(*) from auth.list_sessions()"), 2);
    assert_eq!(there.one::<i64>("select count(*) from auth.list_accounts()"), 1);
    assert!(!there.one::<bool>("select auth.has_permission('user:list')"));
    assert!(access_token.is_string() && there.json("select auth.jwks()")["keys"].as_array().is_some_and(|keys| keys.len() == 1));
    let mut there = stage.there(&root.token);
    assert!(there.one::<bool>("select auth.has_permissions('{\"user\": [\"ban\", \"list\"]}')"));
    for call in [
        "auth.list_users()",
        "auth.list_users('ann', sort_by => 'email')",
        "auth.list_users_page()",
        "auth.list_audit_log()",
        "auth.list_user_roles()",
        "auth.list_roles()",
        "auth.list_messages()",
        "auth.get_user_by_email('ann@example.org')",
        "auth.current_user_roles()",
        "auth.check_deployment()",
        "auth.verify_install()",
    ] {
        there.client.batch_execute(&format!("select * from {call}")).unwrap_or_else(|error| panic!("{call}: {error:?}"));
    }
    assert_eq!(there.one::<i64>("select count(*) from auth.users"), 2);

    refused_unseen(&stage, &ann);
    let mut service = stage.standby.connect("service", "postgres");
    let mut mailer = stage.standby.connect("mailer", "postgres");
    mailer.is_refused("select * from auth.claim_messages()", "25006", "READ_ONLY");
    for call in DEEDS.iter().map(|deed| deed.call.replace("{id}", &ann.id.to_string()).replace("{name}", "editor")).chain(
        [
            "auth.rotate_signing_key()",
            "auth.purge_expired()",
            "auth.impersonate_user(gen_random_uuid())",
            "auth.create_user('x@example.org')",
        ]
        .map(str::to_owned),
    ) {
        service.is_refused(&format!("select {call}"), "25006", "READ_ONLY");
    }
}

/// Right and wrong passwords, known and unknown addresses: one answer, and in no time.
fn refused_unseen(stage: &Stage, ann: &Actor) {
    let mut there = stage.there(&ann.token);
    for call in [
        format!("auth.sign_in('ann@example.org', '{PASSWORD}')"),
        "auth.sign_in('ann@example.org', 'not the password')".to_owned(),
        "auth.sign_in('nobody@example.org', 'not the password')".to_owned(),
        "auth.sign_in('no address', '')".to_owned(),
        format!("auth.verify_password('{PASSWORD}')"),
        "auth.verify_password('not the password')".to_owned(),
        format!("auth.change_password('{PASSWORD}', 'another password')"),
        "auth.change_password('not the password', 'another password')".to_owned(),
        format!("auth.sign_up('ann@example.org', '{PASSWORD}')"),
        format!("auth.sign_up('new@example.org', '{PASSWORD}')"),
        format!("auth.reset_password('ot_nonsense', '{PASSWORD}')"),
        "auth.request_password_reset('ann@example.org')".to_owned(),
        "auth.verify_email('ot_nonsense')".to_owned(),
        format!("auth.refresh_session('{}')", ann.token),
        "auth.refresh_session('nonsense')".to_owned(),
    ] {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            there.is_refused(&format!("select {call}"), "25006", "READ_ONLY");
            fastest = fastest.min(began.elapsed());
        }
        assert!(fastest < Duration::from_millis(40), "{call}: {fastest:?}, and a hash takes some hundreds");
    }
}

fn median(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{:.1} ms", times[times.len() / 2].as_secs_f64() * 1000.0)
}

/// How long after its acknowledgement a ban is seen on the standby.
fn delays(stage: &Stage, level: &str) -> Vec<Duration> {
    let mut service = stage.primary.connect("service", "postgres");
    service.run(&format!("set synchronous_commit = {level}"));
    (0..rounds(8, 200))
        .map(|n| {
            let user = stage.user(&format!("{}{n}", level.replace('_', "")));
            stage.catch_up();
            let mut there = stage.there(&user.token);
            assert!(there.is_signed_in());
            service.run(&format!("select auth.ban_user('{}')", user.id));
            let began = Instant::now();
            while there.is_signed_in() {
                assert!(began.elapsed() < Duration::from_secs(10), "the ban does not come");
            }
            began.elapsed()
        })
        .collect()
}

#[test]
fn a_revocation_is_there_when_it_is_replayed_and_a_promoted_standby_goes_on() {
    let stage = Stage::new("following");
    let figure_of = |level: &str, times: Vec<Duration>| {
        figure(&format!("from a ban's commit to its refusal on a standby, synchronous_commit = {level}, median"), median(times))
    };
    figure_of("on, without a synchronous standby", delays(&stage, "on"));
    stage.dba().run("alter system set synchronous_standby_names = '*'");
    stage.dba().run("select pg_reload_conf()");
    let mut dba = stage.dba();
    until("a synchronous standby", || dba.one::<bool>("select exists (select from pg_stat_replication where sync_state = 'sync')"));
    let applied = delays(&stage, "remote_apply");
    // Acknowledged is applied: the first question is answered with it.
    figure_of("remote_apply", applied);
    assert_seen_at_once(&stage);

    // While nothing is replayed the standby cannot know: the bound is the replay, and nothing else.
    stage.dba().run("alter system set synchronous_standby_names = ''");
    stage.dba().run("select pg_reload_conf()");
    let (ann, bob) = (stage.user("ann"), stage.user("bob"));
    stage.catch_up();
    let mut paused = stage.standby.connect("postgres", "postgres");
    paused.run("select pg_wal_replay_pause()");
    until("the pause", || paused.one::<bool>("select pg_get_wal_replay_pause_state() = 'paused'"));
    stage.primary.connect("service", "postgres").run(&format!("select auth.ban_user('{}')", ann.id));
    let mut there = stage.there(&ann.token);
    assert!(there.is_signed_in(), "nobody has told it");
    paused.run("select pg_wal_replay_resume()");
    until("the ban", || !there.is_signed_in());

    // The primary dies; the standby takes its place.
    let mut app = stage.primary.connect("app", "postgres");
    (0..10).for_each(|_| app.is_answered("select auth.sign_in('guessed@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD"));
    (0..10).for_each(|_| app.run("begin; select auth.sign_in('rolled@example.org', 'not the password'); rollback"));
    let signed_in = app.json(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"));
    stage.catch_up();
    stage.primary.crash();
    stage.standby.control("promote");
    let mut there = stage.there(&bob.token);
    assert!(there.is_signed_in());
    there.run("select auth.update_user(auth.uid(), '{\"name\": \"Bob\"}')");
    let mut app = stage.standby.connect("app", "postgres");
    assert!(app.json(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"))["access_token"].is_string());
    assert_eq!(app.refused(&format!("select auth.use_session('{}')", ann.token)).code(), "INVALID_SESSION", "the ban came along");
    // What was committed counts on; what stood in the memory of the dead is gone with it, and is counted anew.
    let guess = |address: &str| format!("select auth.sign_in('{address}@example.org', 'not the password')");
    assert_eq!(app.refused(&guess("guessed")).code(), "TOO_MANY_ATTEMPTS");
    (0..10).for_each(|_| app.is_answered(&guess("rolled"), "INVALID_EMAIL_OR_PASSWORD"));
    assert_eq!(app.refused(&guess("rolled")).code(), "TOO_MANY_ATTEMPTS");
    verifies(&stage.standby, signed_in["access_token"].as_str().expect("an access token"), &bob.id.to_string());
}

/// With remote_apply who is told that it is done can rely on it.
fn assert_seen_at_once(stage: &Stage) {
    let mut service = stage.primary.connect("service", "postgres");
    service.run("set synchronous_commit = remote_apply");
    for n in 0..5 {
        let user = stage.user(&format!("atonce{n}"));
        stage.catch_up();
        let mut there = stage.there(&user.token);
        service.run(&format!("select auth.ban_user('{}')", user.id));
        assert!(!there.is_signed_in());
    }
}

/// An access token is believed behind a gateway.
fn verifies(cluster: &Cluster, access_token: &str, user: &str) {
    let mut dba = cluster.connect("postgres", "postgres");
    pgrx_tests::allow_gateway(&mut dba.client);
    let mut gateway = cluster.connect("authenticator", "postgres");
    gateway.run("begin");
    let headers = serde_json::json!({"authorization": format!("Bearer {access_token}")}).to_string();
    gateway
        .client
        .execute(
            "select set_config('request.headers', $1, true), set_config('request.method', 'POST', true), set_config('role', 'anon', true)",
            &[&headers],
        )
        .expect("a request");
    gateway.run("select auth.pre_request()");
    assert_eq!(gateway.one::<uuid::Uuid>("select auth.uid()").to_string(), user);
    gateway.run("commit");
}
