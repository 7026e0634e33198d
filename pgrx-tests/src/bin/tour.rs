//! What `make run` shows: a private cluster, the extension in it, and the main job on 100,000 users through public functions only.
//! `tour stop` stops the cluster.

use pgrx_tests::{Actor, Cluster, program};
use postgres::{Client, Config, NoTls};
use std::process::ExitCode;
use std::time::Instant;

const NAME: &str = "run";
const USERS: u32 = 100_000;
const BATCH: u32 = 20_000;
const WITH_PASSWORDS: u32 = 50;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("stop") {
        println!("{}", if Cluster::stop_named(NAME) { "stopped" } else { "nothing was running" });
        return ExitCode::SUCCESS;
    }
    println!("==> starting a private cluster (a socket in its own directory, no port)");
    let cluster = Cluster::start(NAME, &[("max_wal_size", "'4GB'"), ("shared_preload_libraries", "'pg_auth'")]);
    let mut dba = connect(&cluster, "postgres", "postgres");
    for statement in ["create database app", "create role app login"] {
        dba.batch_execute(statement).expect("the database");
    }
    let mut dba = Actor::anonymous(connect(&cluster, "postgres", "app"));
    let app = || Actor::anonymous(connect(&cluster, "app", "app"));

    println!("==> installing, as the DBA");
    show(&mut dba, "create extension pg_auth cascade");
    show(&mut dba, "grant anon, authenticated to app");
    show(
        &mut dba,
        "select auth.create_user(email => 'root@example.org', password => 'correct horse battery', name => 'Root', roles => '{admin}') -> 'roles'",
    );

    println!("\n==> {USERS} users without passwords, and {WITH_PASSWORDS} people who sign up and in with one");
    for first in (1..=USERS).step_by(BATCH as usize) {
        show(
            &mut dba,
            &format!(
                "select count(auth.create_user('user' || n || '@example.com', name => 'User ' || n)) from generate_series({first}, {}) n",
                first + BATCH - 1
            ),
        );
    }
    dba.run("vacuum (analyze) auth.users, auth.user_roles");
    let mut anybody = app();
    let started = Instant::now();
    for n in 1..=WITH_PASSWORDS {
        anybody.run(&format!("select auth.sign_up('person{n}@example.net', 'the password of person {n}', name => 'Person {n}')"));
        anybody.run(&format!("select auth.sign_in('person{n}@example.net', 'the password of person {n}')"));
    }
    println!(
        "app=> select auth.sign_up('person1@example.net', …); select auth.sign_in('person1@example.net', …); … {WITH_PASSWORDS} times"
    );
    println!(
        "      {:.1} ms each, two argon2id hashes of 19 MiB included\n",
        started.elapsed().as_secs_f64() * 1000.0 / f64::from(WITH_PASSWORDS)
    );

    println!("==> the administrator, signed in on a connection of the application");
    let mut root = app();
    let signed_in = root.json("select auth.sign_in('root@example.org', 'correct horse battery')");
    let mut root = root.adopt("root@example.org", &signed_in);
    let target = "(select id from auth.users where email = 'person1@example.net')";
    let mut person = app();
    let session = person.json("select auth.sign_in('person1@example.net', 'the password of person 1')");
    let mut person = person.adopt("person1@example.net", &session);
    for statement in [
        "select email, name, created_at from auth.list_users(page_size => 3)",
        "select auth.list_users_page(page_size => 1) - 'users' as page",
        "select email, name from auth.list_users(search_value => 'R99999@', page_size => 3)",
        "select email, name from auth.list_users(search_value => 'person 4', search_field => 'name', sort_by => 'name', sort_direction => 'asc', page_size => 3)",
        "select email, roles from auth.list_users(filter_field => 'role', filter_value => 'admin')",
        &format!("select auth.ban_user({target}, 'spam', '7 days') -> 'ban_reason' as banned"),
    ] {
        show(&mut root, statement);
    }
    println!("==> … and the banned person's open connection");
    show(&mut person, "select auth.uid()");
    show(&mut person, "select * from auth.list_sessions()");
    show(&mut person, "select auth.sign_in('person1@example.net', 'the password of person 1')");
    println!("==> the administrator goes on");
    for statement in [
        "select email, banned, ban_reason from auth.list_users(filter_field => 'banned', filter_value => 'true')",
        &format!("select auth.unban_user({target}) -> 'banned' as banned"),
        "select auth.define_user_role('support', '{user:list,user:ban,ticket:answer}') -> 'permissions' as support",
        &format!("select auth.set_user_roles({target}, '{{user,support}}') -> 'roles' as roles"),
    ] {
        show(&mut root, statement);
    }
    let token = root.json("select auth.impersonate_user((select id from auth.users where email = 'person2@example.net'))")["token"].clone();
    println!(
        "app=> select auth.impersonate_user((select id from auth.users where email = 'person2@example.net'));\napp=> select auth.use_session('…', is_local => false);\n"
    );
    root.run(&format!("select auth.use_session('{}', false)", token.as_str().expect("a token")));
    for statement in [
        "select u.email as i_see, auth.uid() = u.id as i_am, auth.actor_id() <> u.id as but_really_not from auth.users u",
        "select auth.set_password('a new password')",
        "select auth.stop_impersonating() #>> '{user,email}' as back_again",
        "select action, actor_id, impersonator_id, user_id, details ->> 'outcome' as outcome from auth.list_audit_log(page_size => 6)",
    ] {
        show(&mut root, statement);
    }

    println!("==> a plain user is refused each of these");
    let mut plain = app();
    let session = plain.json("select auth.sign_in('person3@example.net', 'the password of person 3')");
    let mut plain = plain.adopt("person3@example.net", &session);
    let root_id = root.id;
    for statement in [
        "select email from auth.users",
        "select * from auth.list_users()",
        "select * from auth.list_users(search_value => 'person1')",
        "select auth.list_users_page(filter_field => 'role', filter_value => 'admin')",
        &format!("select auth.ban_user('{root_id}')"),
        &format!("select auth.set_user_roles('{root_id}', '{{user}}')"),
        &format!("select auth.impersonate_user('{root_id}')"),
        "select * from auth.list_audit_log()",
        "update auth.users set name = 'x'",
        "insert into auth.user_roles values (auth.uid(), 'admin')",
    ] {
        show(&mut plain, statement);
    }
    println!("==> the administrator manages roles of the database itself");
    let role = root.json("select auth.create_role('reporting')");
    println!("app=> select auth.create_role('reporting');\n      {}\n", hidden(&role));
    log_in(&cluster, "its password", &role);
    let reset = root.json("select auth.reset_role_password('reporting')");
    println!("app=> select auth.reset_role_password('reporting');\n      {}\n", hidden(&reset));
    log_in(&cluster, "the old password", &role);
    log_in(&cluster, "the new password", &reset);
    show(&mut dba, "create table public.reports (); alter table public.reports owner to reporting");
    show(&mut root, "select auth.delete_role('reporting')");
    show(&mut dba, "drop table public.reports");
    show(&mut root, "select auth.delete_role('reporting')");
    show(&mut root, "select auth.reset_role_password('postgres')");

    let port = cluster.port;
    let socket = cluster.detach();
    println!("The cluster goes on running; `make stop` stops it. Its superuser, and the application's role:");
    for role in ["postgres", "app"] {
        println!("    {} -h {} -p {port} -U {role} app", program("psql").display(), socket.display());
    }
    ExitCode::SUCCESS
}

fn connect(cluster: &Cluster, role: &str, database: &str) -> Client {
    Config::new().host_path(cluster.socket()).port(cluster.port).user(role).dbname(database).connect(NoTls).expect("a connection")
}

/// A result without its password.
fn hidden(result: &serde_json::Value) -> String {
    let mut shown = result.clone();
    shown["role"]["password"] = "…".into();
    shown.to_string()
}

/// Logs in as the role with the password that a result carries, and says how that went.
fn log_in(cluster: &Cluster, which: &str, result: &serde_json::Value) {
    let password = result["role"]["password"].as_str().expect("a password");
    let mut config = Config::new();
    config.host_path(cluster.socket()).port(cluster.port).user("reporting").password(password).dbname("app");
    match config.connect(NoTls) {
        Ok(client) => {
            let _ = client.close();
            // The server says goodbye in its own time; a role that is connected is not deleted.
            std::thread::sleep(std::time::Duration::from_millis(100));
            println!("      psql -U reporting with {which}: connected\n");
        }
        Err(error) => println!(
            "      psql -U reporting with {which}: {}\n",
            error.as_db_error().map_or(error.to_string(), |e| e.message().to_owned())
        ),
    }
}

/// Prints a statement, its result or refusal, and its time.
fn show(actor: &mut Actor, statement: &str) {
    println!("{}=> {statement};", if actor.one::<bool>("select current_user = 'postgres'") { "dba" } else { "app" });
    let started = Instant::now();
    let (lines, refused) = actor.print(statement);
    let elapsed = started.elapsed().as_secs_f64() * 1000.0;
    for line in lines {
        println!("      {line}");
    }
    println!("      {}{elapsed:.1} ms\n", if refused { "refused, " } else { "" });
}
