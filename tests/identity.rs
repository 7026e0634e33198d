//! The identity: unforgeable, and right across everything a connection can do.

use pgrx_tests::{Actor, Database, PASSWORD};
use uuid::Uuid;

fn uid(actor: &mut Actor) -> Option<Uuid> {
    actor.one("select auth.uid()")
}

#[test]
fn no_client_can_write_it() {
    let db = Database::new();
    let ann = db.user("Ann");
    let value = format!("C{}", ann.session);
    let mut mallory = db.app();
    mallory.run("select auth.uid()");
    for attempt in [
        format!("set auth.identity = '{value}'"),
        format!("set local auth.identity = '{value}'"),
        format!("select set_config('auth.identity', '{value}', false)"),
        format!("select set_config('auth.identity', '{value}', true)"),
        format!("alter role app set auth.identity = '{value}'"),
        format!("alter role current_user in database {} set auth.identity = '{value}'", db.name),
        format!("alter database {} set auth.identity = '{value}'", db.name),
        format!(
            "create function pg_temp.f() returns uuid language sql set auth.identity = '{value}' as 'select auth.uid()'; select pg_temp.f()"
        ),
        "reset auth.identity".to_owned(),
        "set auth.session_lifetime = 1".to_owned(),
        "set auth.typo = 1".to_owned(),
        format!("update pg_settings set setting = '{value}' where name = 'auth.identity'"),
        "select current_setting('auth.identity')".to_owned(),
        "show auth.identity".to_owned(),
    ] {
        let outcome = mallory.client.batch_execute(&attempt);
        assert!(outcome.is_err() || attempt.starts_with("update pg_settings"), "{attempt}");
        assert_eq!(uid(&mut mallory), None, "{attempt}");
    }
}

#[test]
fn a_placeholder_set_before_the_library_is_loaded_is_worthless() {
    let db = Database::new();
    let ann = db.user("Ann");
    for before in
        [format!("set auth.identity = 'C{}'", ann.session), format!("select set_config('auth.identity', 'T{}', false)", ann.session)]
    {
        let mut mallory = db.app();
        mallory.run(&before);
        assert_eq!(uid(&mut mallory), None);
        assert_eq!(mallory.one::<i64>("select count(*) from auth.users"), 0);
    }
    let said = with_options(&db, "app", &format!("auth.identity=C{}", ann.session), "select auth.uid()");
    assert!(said.contains("permission denied to set parameter \"auth.identity\""), "{said}");
}

/// What psql prints when it connects with a setting in its startup packet.
fn with_options(db: &Database, role: &str, setting: &str, sql: &str) -> String {
    let mut command = Database::cluster().client("psql", role, &db.name, ["-XAtc", sql]);
    let output = command.env("PGOPTIONS", format!("-c {setting}")).output().expect("psql");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Where the library is loaded late, what a client has set before displaces the configuration, and is then refused itself.
#[test]
fn no_client_puts_a_setting_back_to_its_default() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.sign_up = off", db.name));
    let sign_up = format!("select auth.sign_up('mallory@example.org', '{PASSWORD}')");
    for spelling in ["auth.sign_up", "AUTH.sign_up", "auth.SIGN_UP"] {
        let said = with_options(&db, "app", &format!("{spelling}=x"), &sign_up);
        assert!(said.contains(&format!("permission denied to set parameter \"{spelling}\"")), "{said}");
    }
    assert_eq!(db.app().refused("alter role app set auth.sign_up = 'x'").sqlstate, "42501");
    db.app().is_refused(&sign_up, "42501", "SIGN_UP_DISABLED");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 0);
    assert!(
        with_options(&db, "postgres", "auth.password_min_length=20", "select auth.uid() is null; show auth.password_min_length")
            .contains("20"),
        "superusers may"
    );
}

#[test]
fn not_even_a_superuser_or_a_grant_writes_it_by_hand() {
    let db = Database::new();
    let ann = db.user("Ann");
    let mut dba = db.dba();
    dba.run("select auth.uid()");
    assert_eq!(dba.refused(&format!("set auth.identity = 'C{}'", ann.session)).sqlstate, "22023");
    dba.run("grant set on parameter auth.identity to app");
    let mut app = db.app();
    app.run("select auth.uid()");
    let refusal = app.refused(&format!("set auth.identity = 'C{}'", ann.session));
    dba.run("revoke set on parameter auth.identity from app");
    assert_eq!(refusal.sqlstate, "22023");
}

#[test]
fn it_ends_with_the_transaction_unless_it_is_the_connections() {
    let db = Database::new();
    let (ann, mut app) = (db.user("Ann"), db.app());
    for end in ["commit", "rollback"] {
        app.run(&format!("begin; select auth.use_session('{}')", ann.token));
        assert_eq!(uid(&mut app), Some(ann.id));
        app.run(end);
        assert_eq!(uid(&mut app), None, "{end}");
    }
    app.run(&format!("select auth.use_session('{}')", ann.token));
    assert_eq!(uid(&mut app), None, "a statement of its own is a transaction of its own");
    for clear in ["discard all", "reset all", "select auth.reset_session()"] {
        app.run(&format!("select auth.use_session('{}', false)", ann.token));
        assert_eq!(uid(&mut app), Some(ann.id));
        app.run(clear);
        assert_eq!(uid(&mut app), None, "{clear}");
    }
    app.run(&format!("begin; select auth.use_session('{}', false); rollback", ann.token));
    assert_eq!(uid(&mut app), None, "rolled back");
}

#[test]
fn it_follows_savepoints() {
    let db = Database::new();
    let (ann, bob, mut app) = (db.user("Ann"), db.user("Bob"), db.app());
    app.run(&format!("begin; select auth.use_session('{}'); savepoint a; select auth.use_session('{}')", ann.token, bob.token));
    assert_eq!(uid(&mut app), Some(bob.id));
    app.run("savepoint b; select auth.reset_session()");
    assert_eq!(uid(&mut app), None);
    app.run("rollback to b");
    assert_eq!(uid(&mut app), Some(bob.id));
    app.run("rollback to a");
    assert_eq!(uid(&mut app), Some(ann.id));
    app.run("release a");
    assert_eq!(uid(&mut app), Some(ann.id));
    app.run("commit");
    // A revocation that is rolled back to a savepoint has not happened.
    let mut ann = db.signed_in("Ann");
    ann.run("begin; savepoint s; select auth.revoke_sessions()");
    assert_eq!(uid(&mut ann), None);
    ann.run("rollback to s");
    assert_eq!(uid(&mut ann), Some(ann.id));
    ann.run("commit");
}

#[test]
fn set_role_and_reset_role_neither_give_nor_take_it() {
    let db = Database::new();
    let (ann, mut app) = (db.user("Ann"), db.app());
    app.run(&format!("select auth.use_session('{}', false); set role authenticated", ann.token));
    assert_eq!(uid(&mut app), Some(ann.id));
    app.run("set role anon");
    assert_eq!(uid(&mut app), Some(ann.id));
    app.run("reset role");
    assert_eq!(uid(&mut app), Some(ann.id));
    assert_eq!(app.refused("set role auth_owner").sqlstate, "42501");
    assert_eq!(app.refused("set role auth_door").sqlstate, "42501");
    assert_eq!(app.refused("set role auth_admin").sqlstate, "42501");
}

#[test]
fn a_session_alone_decides_also_for_a_trusted_role() {
    let db = Database::new();
    let (ann, mut service) = (db.user("Ann"), db.service());
    assert!(service.one::<bool>("select auth.has_permission('user:ban')"));
    service.run(&format!("begin; select auth.use_session('{}')", ann.token));
    assert!(!service.one::<bool>("select auth.has_permission('user:ban')"));
    service.is_refused("select auth.list_users()", "42501", "PERMISSION_DENIED: user:list");
    service.run("rollback");
    service.run(&format!("select auth.use_session('{}', false)", ann.token));
    db.dba().run(&format!("select auth.ban_user('{}')", ann.id));
    assert!(!service.one::<bool>("select auth.has_permission('user:ban')"), "an ended session does not fall back to the role");
    service.is_refused("select auth.list_users()", "28000", "INVALID_SESSION");
    service.run("select auth.reset_session()");
    assert!(service.one::<bool>("select auth.has_permission('user:ban')"));
}

#[test]
fn trust_is_judged_by_the_role_in_effect_outside_any_function() {
    let db = Database::new();
    let mut service = db.service();
    service.run("set role authenticated");
    service.is_refused("select auth.list_users()", "28000", "NOT_SIGNED_IN");
    service.run("reset role");
    service.run("select auth.list_users()");
    // A superuser's SECURITY DEFINER function lends nobody its owner's trust.
    db.dba().run(
        "create function public.lend() returns bigint language sql security definer set search_path = pg_catalog, pg_temp as 'select count(*) from auth.list_users()';
         grant execute on function public.lend() to app",
    );
    db.app().is_refused("select public.lend()", "28000", "NOT_SIGNED_IN");
}

#[test]
fn a_statement_prepared_as_one_user_runs_as_the_next() {
    let db = Database::new();
    let (ann, bob, root, mut app) = (db.user("Ann"), db.user("Bob"), db.admin("Root"), db.app());
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        app.run(&format!("set plan_cache_mode = {mode}; begin; select auth.use_session('{}')", ann.token));
        let seen = app.client.prepare("select count(*), min(id::text) from auth.users").unwrap();
        let count =
            |app: &mut Actor| app.client.query_one(&seen, &[]).map(|row| (row.get::<_, i64>(0), row.get::<_, Option<String>>(1))).unwrap();
        assert_eq!(count(&mut app), (1, Some(ann.id.to_string())));
        app.run(&format!("select auth.use_session('{}')", bob.token));
        assert_eq!(count(&mut app), (1, Some(bob.id.to_string())));
        app.run(&format!("select auth.use_session('{}')", root.token));
        assert_eq!(count(&mut app).0, 3);
        app.run("select auth.reset_session()");
        assert_eq!(count(&mut app), (0, None));
        app.run("commit");
    }
}

#[test]
fn parallel_plans_know_it() {
    let db = Database::new();
    db.dba().run(
        "create table public.rows as select auth.create_user('u' || n || '@many.example') ->> 'id' as owner, n from generate_series(1, 3) n;
         create table public.big (owner uuid, n int);
         alter table public.big enable row level security;
         create policy own on public.big to authenticated using (owner = auth.uid());
         grant select on public.big to authenticated",
    );
    let (ann, mut app) = (db.user("Ann"), db.app());
    db.dba().run(&format!(
        "insert into public.big select case when n % 2 = 0 then '{}'::uuid end, n from generate_series(1, 20000) n; analyze public.big",
        ann.id
    ));
    app.run("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; set max_parallel_workers_per_gather = 2");
    app.run(&format!("begin; select auth.use_session('{}')", ann.token));
    let plan = app.column::<String>("explain (analyze, costs off, timing off) select count(*) from public.big").join("\n");
    assert!(plan.contains("Workers Launched: 2") || plan.contains("Workers Launched: 1"), "{plan}");
    assert_eq!(app.one::<i64>("select count(*) from public.big"), 10_000);
    app.run("commit");
    assert_eq!(app.one::<i64>("select count(*) from public.big"), 0);
}

#[test]
fn the_end_of_a_session_is_felt_at_the_next_statement() {
    let db = Database::new();
    let mut root = db.admin("Root");
    db.admin("Second");
    let ends: &[(&str, fn(&Actor) -> String)] = &[
        ("ban", |ann| format!("select auth.ban_user('{}')", ann.id)),
        ("revocation of the session", |ann| format!("select auth.revoke_user_session('{}')", ann.session)),
        ("revocation of all", |ann| format!("select auth.revoke_user_sessions('{}')", ann.id)),
        ("password", |ann| format!("select auth.set_user_password('{}', 'another password')", ann.id)),
        ("deletion", |ann| format!("select auth.delete_user('{}')", ann.id)),
    ];
    for (number, (what, end)) in ends.iter().enumerate() {
        let mut ann = db.user(&format!("Ann{number}"));
        let mut open = db.app();
        open.run(&format!("begin; select auth.use_session('{}')", ann.token));
        assert!(ann.is_signed_in() && open.is_signed_in());
        root.run(&end(&ann));
        assert!(!ann.is_signed_in(), "{what}");
        assert!(!open.is_signed_in(), "{what}, in an open transaction");
        assert_eq!(ann.one::<i64>("select count(*) from auth.users"), 0, "{what}");
        ann.is_refused("select * from auth.list_sessions()", "28000", "INVALID_SESSION");
        let token = ann.token.clone();
        ann.is_refused(&format!("select auth.use_session('{token}')"), "28000", "INVALID_SESSION");
    }
}

#[test]
fn a_change_of_roles_is_felt_at_the_next_statement() {
    let db = Database::new();
    let (mut root, mut ann) = (db.admin("Root"), db.user("Ann"));
    assert!(!ann.one::<bool>("select auth.has_permission('user:list')"));
    root.run(&format!("select auth.set_user_roles('{}', '{{admin}}')", ann.id));
    assert_eq!(ann.column::<Vec<String>>("select auth.current_user_roles()"), [["admin"]]);
    assert_eq!(ann.one::<i64>("select count(*) from auth.list_users()"), 2);
    root.run(&format!("select auth.set_user_roles('{}', '{{user}}')", ann.id));
    ann.is_refused("select auth.list_users()", "42501", "PERMISSION_DENIED: user:list");
    root.run("select auth.define_user_role('lister', '{user:list}')");
    root.run(&format!("select auth.set_user_roles('{}', '{{lister}}')", ann.id));
    ann.run("select auth.list_users()");
    root.run("select auth.define_user_role('lister', '{}')");
    ann.is_refused("select auth.list_users()", "42501", "PERMISSION_DENIED: user:list");
}

#[test]
fn within_one_function_each_statement_asks_again() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let ann = db.user("Ann");
    root.run(&format!(
        "do $$
         declare before uuid; after uuid; many bigint;
         begin
             perform auth.use_session('{}');
             before := auth.uid();
             perform auth.revoke_sessions();
             after := auth.uid();
             select count(*) into many from auth.users;
             if before is null or after is not null or many <> 0 then raise exception 'before %, after %, rows %', before, after, many; end if;
         end $$",
        ann.token
    ));
}

#[test]
fn signing_in_and_using_the_session_are_possible_in_one_statement() {
    let db = Database::new();
    let (ann, mut app) = (db.user("Ann"), db.app());
    app.run("begin");
    assert_eq!(app.one::<Uuid>(&format!("select auth.use_session(auth.sign_in('ann@example.org', '{PASSWORD}') ->> 'token')")), ann.id);
    assert_eq!(uid(&mut app), Some(ann.id));
    app.run("commit");
}

#[test]
fn bad_tokens_are_one_refusal() {
    let db = Database::new();
    let mut app = db.app();
    for token in ["", "as_", "as_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "'", "\u{1F600}"] {
        app.is_refused(&format!("select auth.use_session($${token}$$)"), "28000", "INVALID_SESSION");
    }
    app.is_refused("select auth.use_session(null)", "22004", "MISSING_ARGUMENT: token");
    app.is_refused("select auth.use_session(repeat('x', 10000000))", "28000", "INVALID_SESSION");
}

#[test]
fn anonymous_is_null_and_false() {
    let db = Database::new();
    let mut app = db.app();
    for function in ["uid", "session_id", "actor_id"] {
        assert_eq!(app.one::<Option<Uuid>>(&format!("select auth.{function}()")), None);
    }
    assert!(app.one::<Vec<String>>("select auth.current_user_roles()").is_empty());
    assert_eq!(app.one::<Option<serde_json::Value>>("select auth.get_session()"), None);
}

/// What was found out about a session is kept for as long as a statement sees the same: each of these changes what it sees, or takes that back.
#[test]
fn what_is_remembered_does_not_outlive_what_it_was_read_from() {
    let db = Database::new();
    let ann = db.user("Ann");
    for level in ["read committed", "repeatable read", "serializable"] {
        let mut dba = db.dba();
        dba.run(&format!("begin isolation level {level}; select auth.use_session('{}')", ann.token));
        let mut is_signed_in = |sql: &str| {
            dba.run(sql);
            dba.one::<bool>("select auth.uid() is not null")
        };
        let ends = format!("update auth.sessions set expires_at = expires_at - interval '100 years' where id = '{}'", ann.session);
        assert!(is_signed_in("select 1"), "{level}");
        assert!(!is_signed_in(&format!("savepoint a; {ends}")), "{level}: our own change");
        assert!(is_signed_in("rollback to a"), "{level}: taken back");
        assert!(!is_signed_in(&ends), "{level}: and made again");
        assert!(is_signed_in("rollback to a; release a"), "{level}: taken back again");
        assert!(is_signed_in("savepoint b; savepoint c; rollback to b"), "{level}");
        dba.run("rollback");
    }
    // Somebody else's change, between two statements of one transaction.
    let mut reader = db.dba();
    reader.run(&format!("begin; select auth.use_session('{}')", ann.token));
    assert!(reader.is_signed_in());
    db.service().run(&format!("select auth.revoke_user_session('{}')", ann.session));
    assert!(!reader.is_signed_in());
}

#[test]
fn a_session_ends_in_the_midst_of_a_statement() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let soon = format!("update auth.sessions set expires_at = clock_timestamp() + interval '300 ms' where id = '{}'", ann.session);
    db.dba().run(&soon);
    let calls = "select auth.uid() is not null from generate_series(1, 40), lateral (select pg_sleep(0.02) where generate_series > 0) s";
    let good: Vec<bool> = ann.column(calls);
    assert!(good[0] && !good[39], "{good:?}");
}

#[test]
fn get_session_says_what_the_statements_say() {
    let db = Database::new();
    let mut dba = db.dba();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    dba.run(&format!(
        r#"update auth.users set image = 'https://example.org/a "b".png', attributes = '{{"a": [1.50, null, {{"b": "\u00e4"}}]}}', last_sign_in_at = null where id = '{0}';
           update auth.sessions set ip_address = '2001:db8::1', user_agent = 'an agent' where user_id = '{0}';
           insert into auth.bans (user_id, reason, expires_at) values ('{0}', 'over', now() - interval '1 second'), ('{1}', 'forgotten', now() + interval '1 day');
           select auth.define_user_role('a-role', '{{}}'); insert into auth.user_roles (user_id, role) values ('{0}', 'a-role')"#,
        ann.id, root.id
    ));
    for who in [&mut ann, &mut root] {
        let right = dba.json(&format!(
            "select jsonb_build_object('user', to_jsonb(d), 'session', to_jsonb(s) || jsonb_build_object('ip_address', host(s.ip_address), 'current', true))
               from auth_private.user_directory d, auth.sessions s where d.id = '{}' and s.id = '{}'",
            who.id, who.session
        ));
        assert_eq!(who.json("select auth.get_session()"), right);
    }
    assert_eq!(root.json("select auth.get_session()")["user"]["ban_reason"], "forgotten");
}

#[test]
fn a_session_that_is_in_use_for_one_statement_only_is_said_to_be() {
    let db = Database::new();
    let ann = db.user("Ann");
    let notices = |sql: &str| {
        let output = Database::cluster().client("psql", "app", &db.name, ["-XAtq", "-c", sql]).output().expect("psql");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let uses = format!("select auth.use_session('{}'", ann.token);
    assert!(notices(&format!("{uses})")).contains("NOTICE:  there is no transaction block"));
    for quiet in [format!("begin; {uses}); commit"), format!("{uses}, is_local => false)")] {
        assert_eq!(notices(&quiet), "", "{quiet}");
    }
}
