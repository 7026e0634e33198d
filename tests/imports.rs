//! Moving in: rows, their outcomes, and the first sign-in.

use crate::deeds::until;
use pgrx_tests::{Actor, Database};
use serde_json::{Value, json};
use uuid::Uuid;

const HASH: &str = "$2b$04$/GFjfIpypQcl/bAfB.EH5.pbu835IOyzKhnHU9bWuMA9z.gq0IfvS";
const PASSWORD: &str = "correct horse battery";

fn import(service: &mut Actor, users: &Value) -> Vec<(Option<String>, String, Option<Uuid>)> {
    let rows = service.client.query("select email, status, user_id from auth.import_users($1)", &[users]).expect("an import");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn statuses(service: &mut Actor, users: &Value) -> Vec<String> {
    import(service, users).into_iter().map(|(_, status, _)| status).collect()
}

#[test]
fn everything_that_a_row_brings_arrives() {
    let db = Database::new();
    db.dba().run("select auth.define_user_role('editor', '{post:edit}')");
    let id = Uuid::new_v4();
    let row = json!({
        "id": id, "email": "Ann@Example.org", "name": "Ann", "image": "https://example.org/a.png", "password_hash": HASH, "email_verified": true,
        "roles": ["user", "editor"], "attributes": {"plan": "pro"}, "created_at": "2020-01-02T03:04:05Z",
        "accounts": [{"provider": "github", "provider_user_id": "17"}],
    });
    let outcome = import(&mut db.service(), &json!([row]));
    assert_eq!(outcome, [(Some("ann@example.org".to_owned()), "created".to_owned(), Some(id))]);
    let mut anybody = db.app();
    let signed_in = anybody.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"));
    let user = &signed_in["user"];
    assert_eq!(
        (&user["name"], &user["roles"], &user["email_verified"], &user["attributes"], &user["created_at"]),
        (&json!("Ann"), &json!(["editor", "user"]), &json!(true), &json!({"plan": "pro"}), &json!("2020-01-02T03:04:05+00:00"))
    );
    let mut ann = anybody.adopt("ann@example.org", &signed_in);
    let accounts: Vec<String> = ann.column("select provider || ' ' || provider_user_id from auth.list_accounts() order by 1");
    assert_eq!(accounts, [format!("credential {id}"), "github 17".to_owned()]);
    let line: Value = db.dba().one("select details from auth.audit_log where action = 'import_users'");
    assert_eq!(line, json!({"created": 1, "exists": 0, "refused": 0, "outcome": "ok"}));
}

#[test]
fn one_bad_row_does_not_stop_the_others_and_the_order_is_kept() {
    let db = Database::new();
    let ann = db.user("Ann");
    db.service().run(&format!("select auth.link_account('{}', 'github', '1')", ann.id));
    let github = |id: &str| json!([{"provider": "github", "provider_user_id": id}]);
    let users = json!([
        {"email": "a@x.io"},
        {"email": "A@X.IO", "name": "the same"},
        {"email": "ann@example.org", "name": "somebody"},
        {"email": "no address"},
        {},
        17,
        null,
        {"email": "b@x.io", "password_hash": "plain text"},
        {"email": "b@x.io", "password_hash": "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$ZjWKWZ6yfhMOHeueei3a1XepLxsStpvkcP8tz5EclXY"},
        {"email": "b@x.io", "roles": ["nobody"]},
        {"email": "b@x.io", "nmae": "x"},
        {"email": "b@x.io", "accounts": github("1")},
        {"email": "b@x.io", "created_at": "yesterday or so"},
        {"email": "b@x.io", "created_at": "infinity"},
        {"email": "b@x.io", "attributes": {"a": "x".repeat(70_000)}},
        {"email": "b@x.io", "id": ann.id},
        {"email": "b@x.io", "accounts": github("2")},
        {"email": "c@x.io", "accounts": github("2")},
        {"email": "c@x.io"},
    ]);
    let outcomes = import(&mut db.service(), &users);
    let said: Vec<&str> = outcomes.iter().map(|(_, status, _)| status.as_str()).collect();
    let expected = [
        "created",
        "exists",
        "exists",
        "INVALID_EMAIL",
        "MISSING_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ROLE",
        "UNKNOWN_FIELD",
        "ACCOUNT_ALREADY_LINKED",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "USER_ALREADY_EXISTS",
        "created",
        "ACCOUNT_ALREADY_LINKED",
        "created",
    ];
    assert_eq!(said, expected);
    for (_, status, user) in &outcomes {
        assert_eq!(user.is_some(), ["created", "exists"].contains(&status.as_str()), "{status}");
    }
    assert_eq!((outcomes[0].2, outcomes[2].2), (outcomes[1].2, Some(ann.id)));
    assert_eq!(outcomes[3].0.as_deref(), Some("no address"), "as it was given");
    assert_eq!(db.dba().one::<String>("select name from auth.users where email = 'ann@example.org'"), "Ann", "nothing changes");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 4);
}

#[test]
fn what_is_no_array_is_refused() {
    let db = Database::new();
    let mut service = db.service();
    for users in ["'{}'", "'{\"a\": []}'", "'1'", "'\"[]\"'", "'null'"] {
        service.is_refused(&format!("select * from auth.import_users({users})"), "22023", "INVALID_ARGUMENT: users");
    }
    service.is_refused("select * from auth.import_users(null)", "22004", "MISSING_ARGUMENT: users");
    assert!(statuses(&mut service, &json!([])).is_empty());
    service.run("begin read only");
    service.is_refused("select * from auth.import_users('[]')", "25006", "READ_ONLY");
}

#[test]
fn the_first_sign_in_checks_the_old_hash_and_leaves_argon2id() {
    let db = Database::new();
    let two_part = "abcdefghijklmnop:4f31f3c51b3b4071a1a19362c5bc5ad368cfcc9a7fd7071e039ef9277062d718e6e6ab27eb8a108497b6813b1c5d7f470b9cad58b3c0b2f359b3dbf831999e56";
    let hashes = [
        ("bcrypt", HASH, PASSWORD),
        ("django", "pbkdf2_sha256$1000$saltsaltsalt1234567890$BJFSNKTHaEM9hX1YE4iKPDCMi3ldgG29PLH4zVwddVE=", PASSWORD),
        ("argon2i", "$argon2i$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0$fZX0aksJGRta8Us5okjdo8XUolZy+wLqCkRNXQiPH18", PASSWORD),
        ("lucia", &format!("s2:{two_part}"), "123456"),
        ("better-auth", two_part, "123456"),
    ];
    let users: Vec<Value> =
        hashes.iter().map(|(name, hash, _)| json!({"email": format!("{name}@example.org"), "password_hash": hash})).collect();
    assert_eq!(statuses(&mut db.service(), &Value::from(users)), ["created"; 5]);
    let old: i64 = db.dba().one("select count(*) from auth_private.passwords where hash like '$argon2id$%'");
    assert_eq!(old, 0);
    for round in 0..2 {
        for (name, _, password) in &hashes {
            let sign_in = |password: &str| format!("select auth.sign_in('{name}@example.org', '{password}')");
            db.app().is_answered(&sign_in("not the password"), "INVALID_EMAIL_OR_PASSWORD");
            db.app().json(&sign_in(password))["token"].as_str().unwrap_or_else(|| panic!("{name}, {round}"));
        }
        let new: i64 = db.dba().one("select count(*) from auth_private.passwords where hash like '$argon2id$v=19$m=8192,t=1,p=1$%'");
        assert_eq!(new, 5);
    }
}

#[test]
fn a_new_hash_does_not_undo_another_password() {
    let db = Database::new();
    import(&mut db.service(), &json!([{"email": "ann@example.org", "password_hash": HASH}]));
    let id: Uuid = db.dba().one("select id from auth.users");
    let mut service = db.service();
    service.run(&format!("begin; select auth.set_user_password('{id}', 'set meanwhile')"));
    let outcome = std::thread::scope(|scope| {
        // It has read the old hash and waits for the row.
        let signing_in = scope.spawn(|| db.app().json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')")));
        db.until_it_waits("sign_in");
        service.run("commit");
        signing_in.join().expect("an answer")
    });
    assert_eq!(outcome["code"], "INVALID_EMAIL_OR_PASSWORD");
    db.app().json("select auth.sign_in('ann@example.org', 'set meanwhile')")["token"].as_str().expect("signed in");
}

#[test]
fn whoever_takes_an_address_at_the_same_moment_keeps_it_and_stops_nobody_else() {
    let db = Database::new();
    let rows = json!([{"email": "bob@example.org"}, {"email": "ann@example.org"},
                      {"email": "carl@example.org", "accounts": [{"provider": "github", "provider_user_id": "7"}]}]);
    for isolation in ["read committed", "repeatable read"] {
        db.dba().run("delete from auth.users");
        let (mut first, mut second) = (db.service(), db.service());
        first.run("begin; select auth.create_user('ann@example.org', null, 'Ann'); select auth.sign_in_with_provider('github', '7', name => 'Dan')");
        second.run(&format!("begin isolation level {isolation}; select count(*) from auth.users"));
        let outcome = std::thread::scope(|scope| {
            let importing = scope.spawn(|| {
                let outcome = second.print(&format!("select status from auth.import_users('{rows}')"));
                second.run(if outcome.1 { "rollback" } else { "commit" });
                outcome
            });
            db.until_it_waits("import_users");
            first.run("commit");
            importing.join().expect("an outcome")
        });
        let names = || db.dba().column::<String>("select coalesce(nullif(name, ''), email) from auth.users order by 1");
        if isolation == "read committed" {
            assert_eq!(outcome.0, ["created", "exists", "ACCOUNT_ALREADY_LINKED"]);
            assert_eq!(names(), ["Ann", "Dan", "bob@example.org"]);
        } else {
            // What has come since is in no older snapshot: again, as one does after 40001.
            assert!(outcome.1 && outcome.0.concat().contains("40001"), "{outcome:?}");
            assert_eq!(names(), ["Ann", "Dan"]);
            assert_eq!(statuses(&mut second, &rows), ["created", "exists", "ACCOUNT_ALREADY_LINKED"]);
        }
    }
}

#[test]
fn two_imports_of_the_same_rows_in_other_orders_do_not_stop_each_other() {
    let db = Database::new();
    let addresses = |names: [&str; 3]| json!(names.map(|name| json!({"email": format!("{name}@example.org")})));
    let accounts = |ids: [(&str, &str); 3]| {
        json!(ids.map(
            |(name, id)| json!({"email": format!("{name}@example.org"), "accounts": [{"provider": "github", "provider_user_id": id}]})
        ))
    };
    for (held, one, other, taken) in [
        ("auth.create_user(name || '@example.org')", addresses(["x", "m", "y"]), addresses(["y", "n", "x"]), "exists"),
        (
            "auth.sign_in_with_provider('github', name)",
            accounts([("a1", "x"), ("a2", "m"), ("a3", "y")]),
            accounts([("b1", "y"), ("b2", "n"), ("b3", "x")]),
            "ACCOUNT_ALREADY_LINKED",
        ),
    ] {
        let (mut holder, mut first, mut second) = (db.service(), db.service(), db.service());
        // Each comes as far as its second row, and then to what the other has begun with, were that the order.
        holder.run(&format!("begin; select {held} from unnest('{{m,n}}'::text[]) as name"));
        let outcomes = std::thread::scope(|scope| {
            let first = scope.spawn(|| first.print(&format!("select status from auth.import_users('{one}')")));
            let second = scope.spawn(|| second.print(&format!("select status from auth.import_users('{other}')")));
            db.until_so_many_wait(2, "import_users");
            holder.run("rollback");
            [first.join().expect("an outcome").0, second.join().expect("an outcome").0]
        });
        let late = [taken, "created", taken].map(str::to_owned).to_vec();
        assert!(outcomes.contains(&vec!["created".to_owned(); 3]) && outcomes.contains(&late), "{outcomes:?}");
    }
}

#[test]
fn what_somebody_has_given_up_since_and_somebody_has_got_here_is_taken() {
    let db = Database::new();
    let (mut importer, mut other) = (db.service(), db.service());
    let ann = import(&mut other, &json!([{"email": "ann@example.org"}]))[0].2.expect("an id");
    importer.run(&format!("begin isolation level repeatable read; select auth.get_user('{ann}')"));
    other.run(&format!("select auth.update_user('{ann}', '{{\"email\": \"new@example.org\"}}')"));
    importer.run("select auth.create_user('ann@example.org')");
    assert_eq!(statuses(&mut importer, &json!([{"email": "ann@example.org"}])), ["exists"]);
    importer.run("commit");
}

#[test]
fn a_unique_key_of_the_applications_own_is_reported_as_it_stands() {
    let db = Database::new();
    db.dba().run(
        "create table public.profiles (nickname text constraint users_email_key unique);
         insert into public.profiles values ('bob');
         create function public.greet() returns trigger language plpgsql as 'begin insert into public.profiles values (new.name); return null; end';
         create trigger greet after insert on auth.users for each row execute function public.greet();
         grant insert on public.profiles to auth_door, auth_owner",
    );
    let mut service = db.service();
    let refusal = service.refused(
        r#"select * from auth.import_users('[{"email": "ann@example.org", "name": "ann"}, {"email": "bob@example.org", "name": "bob"}]')"#,
    );
    assert_eq!(refusal.sqlstate, "23505", "{refusal:?}");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 0);
    assert_eq!(statuses(&mut service, &json!([{"email": "ann@example.org", "name": "ann"}])), ["created"]);
    assert_eq!(db.dba().column::<String>("select nickname from public.profiles order by 1"), ["ann", "bob"]);
}

#[test]
fn an_import_that_fails_amid_its_rows_leaves_no_transaction_open() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run(
        "create function public.refuse() returns trigger language plpgsql as $$begin raise 'no' using errcode = '22000'; end$$;
         create trigger refuse after insert on auth.users for each row when (new.name = 'bob') execute function public.refuse();
         create function public.wait() returns trigger language plpgsql as 'begin perform pg_sleep(60); return null; end';
         create trigger wait after insert on auth.users for each row when (new.name = 'cleo') execute function public.wait()",
    );
    let mut service = db.service();
    let pid: i32 = service.one("select pg_backend_pid()");
    let import = |name: &str| format!(r#"select * from auth.import_users('[{{"email": "{name}@example.org", "name": "{name}"}}]')"#);
    for (name, sqlstate) in [("bob", "22000"), ("cleo", "57014")] {
        let mut fails = |service: &mut Actor| {
            std::thread::scope(|scope| {
                let importing = scope.spawn(|| service.refused(&import(name)).sqlstate);
                if name == "cleo" {
                    until("the trigger", || {
                        dba.one(&format!("select wait_event is not distinct from 'PgSleep' from pg_stat_activity where pid = {pid}"))
                    });
                    dba.run(&format!("select pg_cancel_backend({pid})"));
                }
                assert_eq!(importing.join().expect("an import"), sqlstate);
            });
        };
        fails(&mut service);
        assert_eq!(service.one::<i64>("select count(*) from auth.list_users()"), 0, "{name}");
        service.run("begin; savepoint before");
        fails(&mut service);
        service.run("rollback to savepoint before");
        assert_eq!(service.one::<i64>("select count(*) from auth.list_users()"), 0, "{name}");
        service.run("commit");
    }
    assert_eq!(statuses(&mut service, &json!([{"email": "ann@example.org"}])), ["created"]);
}

#[test]
fn many_are_imported_in_bounded_memory_and_all_or_none() {
    let db = Database::new();
    let mut service = db.service();
    let batch = |n: u32| {
        format!(
            "select count(*) from auth.import_users((select jsonb_agg(jsonb_build_object('email', 'u' || i || '@many.example', 'name', 'User ' || i, 'password_hash', '{HASH}')) from generate_series({}, {}) i)) where status = 'created'",
            n * 5_000,
            n * 5_000 + 4_999
        )
    };
    let pid: i32 = service.one("select pg_backend_pid()");
    // Anonymous memory: pages of shared buffers count as they are touched.
    let resident = || -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the backend");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
        line.split_whitespace().nth(1).expect("kB").parse().expect("a number")
    };
    assert_eq!(service.one::<i64>(&batch(0)), 5_000);
    let before = resident();
    for n in 1..6 {
        assert_eq!(service.one::<i64>(&batch(n)), 5_000);
    }
    assert!(resident() < before + 16 * 1024, "{before} kB, then {}", resident());
    service.run(&format!("begin; {}; rollback", batch(6)));
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 30_000);
}
