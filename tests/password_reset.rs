//! Forgotten passwords: from the request to the mail to its end.

use pgrx_tests::{Database, PASSWORD};

const NEW: &str = "another password";

fn asked(db: &Database, email: &str) -> String {
    let mut anybody = db.app();
    anybody.run("set role anon");
    anybody.run(&format!("select auth.request_password_reset('{email}')"));
    db.mailed_token("reset-password", email)
}

#[test]
fn who_reads_the_mail_gets_in_and_everybody_else_is_out() {
    let db = Database::new();
    let (mut ann, mut bob) = (db.user("Ann"), db.user("Bob"));
    let token = asked(&db, "ann@example.org");
    let mut anybody = db.app();
    anybody.run("set role anon");
    for (arguments, sqlstate, detail) in [
        (format!("'{token}', 'short'"), "22023", "PASSWORD_TOO_SHORT: new_password"),
        (format!("'{token}', 'password1'"), "22023", "PASSWORD_TOO_COMMON: new_password"),
        (format!("'{token}', repeat('x', 129)"), "22023", "PASSWORD_TOO_LONG: new_password"),
        (format!("'{token}', null"), "22004", "MISSING_ARGUMENT: new_password"),
        (format!("null, '{NEW}'"), "22004", "MISSING_ARGUMENT: token"),
        (format!("'ot_x', '{NEW}'"), "22023", "INVALID_TOKEN"),
    ] {
        anybody.is_refused(&format!("select auth.reset_password({arguments})"), sqlstate, detail);
    }
    let user = anybody.json(&format!("select auth.reset_password('{token}', '{NEW}')"));
    assert_eq!((user["id"].as_str().unwrap(), &user["email_verified"]), (ann.id.to_string().as_str(), &serde_json::json!(true)));
    anybody.is_refused(&format!("select auth.reset_password('{token}', '{NEW}')"), "22023", "INVALID_TOKEN");
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    anybody.is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    anybody.json(&format!("select auth.sign_in('ann@example.org', '{NEW}')"))["token"].as_str().expect("signed in");
    let told = db.mail();
    assert_eq!(
        told.iter().map(|mail| (mail.kind.as_str(), mail.recipient.as_str())).collect::<Vec<_>>(),
        [("password-changed", "ann@example.org")]
    );
    let line: String =
        db.dba().one("select details ->> 'outcome' from auth.audit_log where action = 'reset_password' and actor_id is not null");
    assert_eq!(line, "ok");
}

#[test]
fn asking_never_tells() {
    let db = Database::new();
    db.user("Ann");
    let mut anybody = db.app();
    anybody.run("set role anon");
    for email in ["ann@example.org", "nobody@example.org", "Ann@Example.org"] {
        assert_eq!(anybody.one::<String>(&format!("select auth.request_password_reset('{email}')::text")), "");
    }
    anybody.is_refused("select auth.request_password_reset('x')", "22023", "INVALID_EMAIL: email");
    anybody.is_refused("select auth.request_password_reset(null)", "22004", "MISSING_ARGUMENT: email");
    let rows: Vec<Option<String>> = db.dba().column("select recipient from auth_private.messages order by created_at");
    assert_eq!(rows, [Some("ann@example.org".to_owned()), None, None], "as many rows, of whatever address");
    let lines: i64 = db.dba().one("select count(*) from auth.audit_log where action = 'request_password_reset'");
    assert_eq!(lines, 3);
}

#[test]
fn a_proved_address_keeps_its_accounts_and_an_unproved_one_loses_what_was_planted() {
    let db = Database::new();
    for (name, verified, left) in [("Proved", true, 2), ("Planted", false, 1)] {
        let mut user = db.user(name);
        db.service().run(&format!("select auth.link_account('{}', 'github', '{name}')", user.id));
        db.dba().run(&format!("update auth.users set email_verified = {verified} where id = '{}'", user.id));
        let token = asked(&db, &user.email);
        db.app().run(&format!("select auth.reset_password('{token}', '{NEW}')"));
        assert!(!user.is_signed_in());
        let accounts: i64 = db.dba().one(&format!("select count(*) from auth.accounts where user_id = '{}'", user.id));
        assert_eq!(accounts, left, "{name}");
    }
}

#[test]
fn who_never_had_a_password_gets_one() {
    let db = Database::new();
    db.service().run("select auth.sign_in_with_provider('github', '1', 'ann@example.org', true)");
    let token = asked(&db, "ann@example.org");
    db.app().run(&format!("select auth.reset_password('{token}', '{NEW}')"));
    db.app().json(&format!("select auth.sign_in('ann@example.org', '{NEW}')"))["token"].as_str().expect("signed in");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.accounts"), 2);
}

#[test]
fn it_clears_the_count_of_failures_and_leaves_a_ban() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 2", db.name));
    let ann = db.user("Ann");
    let mut anybody = db.app();
    for _ in 0..2 {
        anybody.is_answered("select auth.sign_in('ann@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    }
    assert_eq!(anybody.refused(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')")).code(), "TOO_MANY_ATTEMPTS");
    let token = asked(&db, "ann@example.org");
    anybody.run(&format!("select auth.reset_password('{token}', '{NEW}')"));
    anybody.json(&format!("select auth.sign_in('ann@example.org', '{NEW}')"))["token"].as_str().expect("signed in");
    db.service().run(&format!("select auth.ban_user('{}')", ann.id));
    db.dba().run("update auth_private.messages set created_at = created_at - interval '2 minutes'");
    let token = asked(&db, "ann@example.org");
    anybody.run(&format!("select auth.reset_password('{token}', '{PASSWORD}')"));
    anybody.is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "BANNED_USER");
}

#[test]
fn a_token_is_nowhere_in_the_database() {
    let db = Database::new();
    db.user("Ann");
    let token = asked(&db, "ann@example.org");
    let mut dba = db.dba();
    let tables: Vec<String> = dba.column(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('auth', 'auth_private') and c.relkind = 'r'",
    );
    assert!(tables.len() > 15);
    for table in tables {
        let found: i64 = dba.one(&format!("select count(*) from {table} t where t::text like '%{}%'", &token[3..]));
        assert_eq!(found, 0, "{table}");
    }
}
