//! Operators, functions, types, views and casts of the names that we use, where a careless search finds them: under six hostile
//! profiles of settings none of them runs, whoever calls whatever, and the settings change no result.

use crate::calls::{Signature, call, calls, signatures};
use pgrx_tests::{Actor, Database, figure, rounds};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The words of our sources: among them the name of every function and every view that they use.
fn words() -> String {
    fn read(path: &Path, into: &mut String) {
        if path.is_dir() {
            fs::read_dir(path).expect("a folder").for_each(|entry| read(&entry.expect("an entry").path(), into));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "sql") {
            into.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
    }
    let mut text = String::new();
    for folder in ["sql", "src/store", "src/domain", "src/backend", "src/caller"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut text);
    }
    let word = Regex::new("[a-z_][a-z0-9_]{2,}").expect("a pattern");
    word.find_iter(&text).map(|found| found.as_str()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

fn views(schema: &str) -> String {
    include_str!("hostile_views.sql").replace("{names}", &words()).replace("{schema}", schema)
}

/// What stands for {…} in the calls.
type Arrangement = Vec<(&'static str, String)>;

/// A user, an administrator, mail with tokens, and what the attacker has made; to be copied.
fn arranged() -> (Database, Arrangement) {
    let db = Database::new();
    pgrx_tests::allow_gateway(&mut db.dba().client);
    let mut dba = db.dba();
    let (ann, other, bare, mut root) = (db.user("Ann"), db.user("Other"), db.user("Bare"), db.admin("Root"));
    let impersonation = root.one::<String>(&format!("select auth.impersonate_user('{}') ->> 'token'", other.id));
    dba.run(&format!("select auth.set_user_password('{}', null, false)", bare.id));
    dba.run(&format!(
        "select auth.send_verification_email('{0}'), auth.request_password_reset('{0}'), auth.define_user_role('spare7', '{{}}')",
        ann.email
    ));
    let mail = db.mail();
    let token = |kind: &str| mail.iter().find(|mail| mail.kind == kind).expect("a mail").token.clone();
    dba.run("select auth.request_password_reset('root@example.org')");
    let filled = vec![
        ("{t}", ann.id.to_string()),
        ("{s}", ann.session.to_string()),
        ("{k}", ann.token.clone()),
        ("{m}", ann.email.clone()),
        ("{verify-email}", token("verify-email")),
        ("{reset-password}", token("reset-password")),
        ("{a}", dba.one(&format!("select auth.link_account('{}', 'github', '7') ->> 'id'", ann.id))),
        ("{cursor}", dba.one("select auth.list_users_page(page_size => 1, sort_direction => 'asc') ->> 'next_cursor'")),
        ("{n}", "7".to_owned()),
        ("{root}", root.token.clone()),
        ("{bare}", bare.token.clone()),
        ("{other}", impersonation),
    ];
    dba.run("grant create on schema public to app; set role app");
    dba.run(&include_str!("hostile_objects.sql").replace("{names}", &words()));
    dba.run(&views("public"));
    (db, filled)
}

/// Settings that any client may choose, or that the owner of a database chooses for everybody.
const PROFILES: [&[(&str, &str)]; 6] = [
    &[("search_path", "public, pg_catalog"), ("row_security", "off"), ("extra_float_digits", "-15"), ("statement_timeout", "0")],
    &[
        ("search_path", "pg_temp, public, pg_catalog, auth, auth_private"),
        ("DateStyle", "German, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("TimeZone", "Pacific/Chatham"),
        ("standard_conforming_strings", "off"),
        ("bytea_output", "escape"),
        ("backslash_quote", "on"),
    ],
    &[
        ("search_path", "public, pg_temp, pg_catalog"),
        ("plan_cache_mode", "force_generic_plan"),
        ("default_transaction_isolation", "serializable"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_nestloop", "off"),
        ("quote_all_identifiers", "on"),
        ("xmlbinary", "hex"),
        ("jit", "off"),
    ],
    &[
        ("search_path", "pg_temp, public, pg_catalog"),
        ("parallel", "on"),
        ("parallel_setup_cost", "0"),
        ("parallel_tuple_cost", "0"),
        ("min_parallel_table_scan_size", "0"),
        ("plan_cache_mode", "force_custom_plan"),
        ("client_min_messages", "debug5"),
        ("debug_print_plan", "on"),
    ],
    &[
        ("search_path", "public, auth_private, auth, pg_catalog"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("check_function_bodies", "off"),
        ("lc_numeric", "C"),
        ("lc_time", "C"),
        ("enable_indexscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_sort", "off"),
        ("jit", "off"),
    ],
    &[
        ("search_path", "pg_temp, pg_catalog, public"),
        ("default_transaction_isolation", "repeatable read"),
        ("row_security", "off"),
        ("DateStyle", "SQL, YMD"),
        ("IntervalStyle", "iso_8601"),
        ("TimeZone", "America/St_Johns"),
        ("work_mem", "64kB"),
        ("constraint_exclusion", "on"),
        ("from_collapse_limit", "1"),
        ("geqo_threshold", "2"),
    ],
];

fn setting(name: &str, major: u32) -> &str {
    match name {
        "parallel" if major < 16 => "force_parallel_mode",
        "parallel" => "debug_parallel_query",
        other => other,
    }
}

/// Everybody who can call, as who and after what: each statement is run first in the transaction of a call.
const CALLERS: [(&str, &str, &str); 10] = [
    ("anonymous", "app", "set local role anon"),
    ("nobody", "app", ""),
    ("user", "app", "select auth.use_session($q${k}$q$)"),
    ("user without a password", "app", "select auth.use_session($q${bare}$q$)"),
    ("administrator", "app", "select auth.use_session($q${root}$q$)"),
    ("impersonator", "app", "select auth.use_session($q${other}$q$)"),
    ("back end", "service", ""),
    ("mailer", "mailer", ""),
    ("gateway", "authenticator", ""),
    (
        "request",
        "authenticator",
        r#"select pg_catalog.set_config('request.method', 'POST', true), pg_catalog.set_config('request.headers', '{"x-session-token": "{root}"}', true); set local role anon; select auth.pre_request()"#,
    ),
];

fn fill(text: &str, arrangement: &Arrangement, db: &Database) -> String {
    let text = arrangement.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    text.replace("http_", &format!("http_{}_", db.name))
}

/// What differs from one run to the next.
fn masked(lines: &[String], db: &Database, masks: &[(Regex, &str)]) -> String {
    let text = lines.join("\n").replace(&db.name, "<database>");
    masks.iter().fold(text, |text, (pattern, mask)| pattern.replace_all(&text, *mask).into_owned())
}

fn masks() -> Vec<(Regex, &'static str)> {
    [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)*)", "<time>"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<access token>"),
        (r"(as|ot)_[\w-]{43}", "<token>"),
        (r#""(password|x|kid|next_cursor)": "[^"]*""#, "<random>"),
        (r#""exp": \d+"#, "<exp>"),
    ]
    .into_iter()
    .map(|(pattern, mask)| (Regex::new(pattern).expect("a pattern"), mask))
    .collect()
}

/// Somebody under a profile, with the attacker's temporary objects in their session too.
fn caller(db: &Database, role: &str, profile: &[(&str, &str)], major: u32) -> Actor {
    let mut actor = db.connect(role);
    if !profile.is_empty() {
        actor.run(&format!("set search_path = pg_catalog; {}", views("pg_temp")));
        actor.run("create domain pg_temp.uuid as pg_catalog.uuid check (public.bark('pg_temp.uuid')); create domain pg_temp.timestamptz as pg_catalog.timestamptz check (public.bark('pg_temp.timestamptz'))");
        actor.run("create function pg_temp.lower(text) returns text language plpgsql as $$ begin perform public.bark('pg_temp.lower'); return $1; end $$");
    }
    for (name, value) in profile {
        // Written as a list where it is one.
        actor.run(&format!(
            "set {} = {}",
            setting(name, major),
            if name.ends_with("_path") { (*value).to_owned() } else { format!("'{value}'") }
        ));
    }
    actor
}

/// The superuser, who does not stumble over what the attacker has made.
fn unaffected(db: &Database) -> Actor {
    let mut dba = db.dba();
    dba.run("set search_path = pg_catalog");
    dba
}

fn major(dba: &mut Actor) -> u32 {
    dba.one::<String>("show server_version_num").parse::<u32>().expect("a number") / 10_000
}

type Results = BTreeMap<(String, &'static str), String>;

/// Every function as everybody, each in a transaction that is rolled back: so each finds what the one before it found.
fn run(db: &Database, arrangement: &Arrangement, profile: &[(&str, &str)], functions: &BTreeMap<String, Signature>) -> Results {
    let mut dba = unaffected(db);
    let major = major(&mut dba);
    dba.run(&format!("select auth.create_role('http_{}_spare')", db.name));
    let masks = masks();
    let mut results = Results::new();
    // In `make test`: everything by two of them, and from the others what succeeds; starting parallel workers takes its time.
    let is_thorough = profile.is_empty() || rounds(0, 1) == 1;
    let is_slow = profile.contains(&("parallel", "on"));
    for (who, role, first) in CALLERS {
        let is_foremost = ["user", "administrator"].contains(&who);
        if is_slow && !is_foremost && !is_thorough {
            continue;
        }
        let mut actor = caller(db, role, profile, major);
        let first = fill(first, arrangement, db);
        let mut answer = |name: String, statement: &str| {
            let (lines, refused) = actor.print(&format!("begin; {first}; {statement}"));
            actor.run("rollback");
            let last = lines.last().cloned().unwrap_or_default();
            let result = masked(if refused { &lines } else { std::slice::from_ref(&last) }, db, &masks);
            results.insert((name, who), result);
        };
        for (number, (function, arguments)) in calls().enumerate() {
            let signature = &functions[function];
            let nulls: Map<String, Value> = signature.arguments.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
            let given = arguments.map(|text| serde_json::from_str(&fill(text, arrangement, db)).expect("JSON"));
            for (kind, arguments) in ["good", "bad", "null"].iter().zip(given.iter().chain([&Value::Object(nulls)])) {
                if *kind != "good" && !is_foremost && !is_thorough {
                    continue;
                }
                answer(format!("{number} {function} {kind}"), &call(function, signature, arguments));
            }
        }
        for table in ["users", "accounts", "sessions", "user_roles", "bans", "roles", "role_permissions", "audit_log"] {
            answer(format!("table {table}"), &format!("select pg_catalog.to_jsonb(r) from auth.{table} r"));
        }
    }
    dba.run(&format!("select auth.delete_role('http_{}_spare')", db.name));
    results
}

/// What the server has logged of the attacker's code in this database.
fn canaries(db: &Database) -> Vec<String> {
    let mark = format!("CANARY of {}: ", db.name);
    Database::cluster().log().lines().filter_map(|line| line.split_once(&mark)).map(|(_, rest)| rest.to_owned()).collect()
}

#[test]
fn none_is_run_by_anybody_and_no_setting_changes_a_result() {
    let (db, arrangement) = arranged();
    let functions = signatures(&mut db.dba());
    let tried: BTreeSet<&str> = calls().map(|(function, _)| function).collect();
    assert_eq!(tried, functions.keys().map(String::as_str).collect(), "every function is called");

    let expected = run(&db.copy(), &arrangement, &[], &functions);
    let succeeded: BTreeSet<&str> =
        expected.iter().filter(|(_, result)| !result.starts_with("ERROR")).filter_map(|((name, _), _)| name.split(' ').nth(1)).collect();
    assert!(tried.is_subset(&succeeded), "each succeeds for somebody: {:?}", tried.difference(&succeeded));

    let calls_made = AtomicUsize::new(0);
    let (jobs, differences) = (Mutex::new(PROFILES.iter().enumerate().collect::<Vec<_>>()), Mutex::new(Vec::new()));
    // One after the other, so that there is nobody at the original while it is copied.
    let copies: Vec<Database> = PROFILES.iter().map(|_| db.copy()).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let next = || jobs.lock().expect("jobs").pop();
                while let Some((number, profile)) = next() {
                    let copy = &copies[number];
                    if number % 2 == 1 {
                        unaffected(copy).run(&format!("alter database {} owner to app", copy.name));
                    }
                    let found = run(copy, &arrangement, profile, &functions);
                    calls_made.fetch_add(found.len(), Ordering::Relaxed);
                    let without_row_security = profile.contains(&("row_security", "off"));
                    for (name, result) in &found {
                        // The server itself refuses a client's own SELECT then.
                        let is_the_servers = without_row_security && name.0.starts_with("table ") && result.contains("row-level security");
                        // How much there is to purge depends on the moment.
                        let is_a_count = name.0.contains("purge_expired") && result.parse::<i32>().is_ok();
                        if result != &expected[name] && !is_the_servers && !is_a_count {
                            differences
                                .lock()
                                .expect("differences")
                                .push(format!("profile {number} {name:?}:\n  {}\n  {result}", expected[name]));
                        }
                    }
                    let ran = canaries(copy);
                    assert!(ran.is_empty(), "profile {number}: {} ran: {ran:#?}", ran.len());
                    assert_eq!(unaffected(copy).one::<i64>("select count(*) from public.canary"), 0);
                }
            });
        }
    });
    let differences = differences.into_inner().expect("differences");
    assert!(differences.is_empty(), "{} results changed:\n{}", differences.len(), differences.join("\n"));
    figure("calls among hostile objects (functions × callers × settings)", calls_made.into_inner());
}

/// The same objects where they do harm: what runs in the caller's path as somebody else. Without this the others prove nothing.
#[test]
fn a_careless_function_is_caught() {
    let (db, _) = arranged();
    let mut dba = unaffected(&db);
    dba.run(
        "create schema careless; grant usage on schema careless to public; set check_function_bodies = off;
         create function careless.is_admin(who text) returns boolean language plpgsql security definer as
             'begin return lower(who) = ''root''::text or exists (select from users); end'",
    );
    let major = major(&mut dba);
    for (number, profile) in PROFILES.iter().enumerate() {
        let before = canaries(&db).len();
        caller(&db, "app", profile, major).print("select careless.is_admin('ann')");
        let ran = canaries(&db).split_off(before);
        assert!(ran.iter().any(|line| line.ends_with("ran as postgres for app")), "profile {number}: {ran:#?}");
    }
    assert!(dba.one::<i64>("select count(*) from public.canary where ran_as = 'postgres'") > 0);
}

/// The server casts before it calls, as whoever calls.
#[test]
fn casts_of_the_attackers_types_run_as_the_attacker() {
    let (db, _) = arranged();
    let functions = signatures(&mut unaffected(&db));
    let mut app = db.app();
    let takers: Vec<_> = functions.iter().filter(|(_, signature)| !signature.arguments.is_empty()).collect();
    for (function, signature) in &takers {
        let passed: Vec<String> = signature.arguments.iter().map(|(name, _)| format!("{name} => $q$x$q$::public.evil")).collect();
        app.print(&format!("begin; select * from auth.{function}({})", passed.join(", ")));
        app.run("rollback");
    }
    let ran = canaries(&db);
    assert!(ran.len() > takers.len() / 2, "{ran:#?}");
    assert!(ran.iter().all(|line| line.ends_with("ran as app for app")), "{ran:#?}");
}

#[test]
fn nothing_can_be_put_on_what_is_ours_not_even_by_the_databases_owner() {
    let (db, _) = arranged();
    let mut dba = unaffected(&db);
    dba.run(&format!("alter database {} owner to app", db.name));
    dba.run("set role app; create table public.mine (id uuid)");
    dba.run(
        "create function public.on_change() returns trigger language plpgsql as 'begin perform public.bark(''trigger''); return new; end'",
    );
    dba.run("create function public.on_ddl() returns event_trigger language plpgsql as 'begin perform public.bark(''event''); end'");
    let mut app = db.app();
    app.run("set search_path = pg_catalog");
    let statements = include_str!("hostile_statements.sql").replace("{database}", &db.name);
    for statement in statements.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let sqlstate = app.refused(statement).sqlstate;
        assert_eq!(sqlstate, "42501", "{statement}");
    }
    assert_eq!(canaries(&db), Vec::<String>::new());
}
