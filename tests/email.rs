//! Proving an address and changing it: from the request to the mail to its end.

use pgrx_tests::{Database, PASSWORD};
use serde_json::json;

/// Every request sends, however soon it follows another.
fn unhurried() -> Database {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.message_interval = 0", db.name));
    db
}

fn is_verified(db: &Database, email: &str) -> bool {
    db.dba().one(&format!("select email_verified from auth.users where email = '{email}'"))
}

#[test]
fn a_token_in_the_mail_verifies_the_address_once() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    assert!(db.mail().is_empty(), "sign_up sends nothing unless told");
    ann.run("select auth.send_verification_email()");
    let mail = db.mail();
    assert_eq!((mail.len(), mail[0].kind.as_str(), mail[0].recipient.as_str()), (1, "verify-email", "ann@example.org"));
    assert_eq!(mail[0].payload["user_id"], json!(ann.id.to_string()));
    let seconds: f64 = db
        .dba()
        .one(&format!("select extract(epoch from '{}'::timestamptz - now())::float8", mail[0].payload["expires_at"].as_str().unwrap()));
    assert!((86_000.0..86_401.0).contains(&seconds), "a day: {seconds}");
    let verify = format!("select auth.verify_email('{}')", mail[0].token);
    let mut anybody = db.app();
    anybody.run("set role anon");
    assert_eq!(anybody.json(&verify)["email_verified"], true);
    assert!(is_verified(&db, "ann@example.org"));
    anybody.is_refused(&verify, "22023", "INVALID_TOKEN");
    assert!(ann.is_signed_in(), "nothing else has changed");
    let lines: Vec<String> = db.dba().column("select action from auth.audit_log where details ->> 'outcome' = 'ok' order by id");
    assert_eq!(lines, ["sign_up", "send_verification_email", "verify_email"]);
}

#[test]
fn sign_up_sends_mail_where_it_is_wanted_and_opens_no_session_where_it_is_required() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.send_verification_on_sign_up = on", db.name));
    db.user("Ann");
    assert_eq!(db.mail().len(), 1);
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut anybody = db.app();
    let up = anybody.json(&format!("select auth.sign_up('bob@example.org', '{PASSWORD}', name => 'Bob')"));
    assert_eq!((&up["session"], &up["token"], &up["access_token"]), (&json!(null), &json!(null), &json!(null)));
    let sign_in = format!("select auth.sign_in('bob@example.org', '{PASSWORD}')");
    anybody.is_answered(&sign_in, "EMAIL_NOT_VERIFIED");
    let token = db.mailed_token("verify-email", "bob@example.org");
    let verified = anybody.json(&format!("select auth.verify_email('{token}')"));
    assert_eq!(verified["id"], up["user"]["id"]);
    anybody.json(&sign_in)["token"].as_str().expect("signed in");
}

/// Everything but the id and the moment.
fn shape(mut up: serde_json::Value) -> serde_json::Value {
    for key in ["id", "created_at", "updated_at"] {
        assert!(up["user"][key].is_string());
        up["user"][key] = json!(null);
    }
    up
}

#[test]
fn a_taken_address_looks_free_to_who_signs_up_and_its_owner_gets_a_helpful_mail() {
    let db = unhurried();
    db.user("Owner");
    db.user("Unproven");
    db.dba().run("update auth.users set email_verified = true where email like 'owner%'");
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut anybody = db.app();
    let mut up = |email: &str| {
        let up = anybody.json(&format!("select auth.sign_up('{email}', 'of somebody else', name => 'X', attributes => '{{\"a\": 1}}')"));
        let mut up = shape(up);
        up["user"]["email"] = json!(null);
        up
    };
    let (free, owned, unproven) = (up("new@example.org"), up("owner@example.org"), up("unproven@example.org"));
    assert_eq!((&free, &free), (&owned, &unproven));
    let mail = db.mail();
    let to = |address: &str| mail.iter().find(|mail| mail.recipient == address).expect("a mail to everybody");
    assert_eq!(mail.len(), 3);
    assert!(mail.iter().all(|mail| mail.kind == "verify-email"));
    assert_eq!((to("owner@example.org").token.as_str(), &to("owner@example.org").payload["reason"]), ("", &json!("already-registered")));
    assert!(!to("unproven@example.org").token.is_empty() && !to("new@example.org").token.is_empty());
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 3, "what was tried for a taken address was taken back");
    db.app().json(&format!("select auth.sign_in('owner@example.org', '{PASSWORD}')"))["token"].as_str().expect("the owner's password");
}

#[test]
fn of_rival_sign_ups_nobodys_password_outlives_the_proof() {
    let db = unhurried();
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut attacker = db.app();
    attacker.json("select auth.sign_up('victim@example.org', 'planted by me')");
    let planted = db.mailed_token("verify-email", "victim@example.org");
    db.app().json("select auth.sign_up('victim@example.org', 'my own password')");
    let own = db.mailed_token("verify-email", "victim@example.org");
    attacker.is_refused(&format!("select auth.verify_email('{planted}')"), "22023", "INVALID_TOKEN");
    db.app().json(&format!("select auth.verify_email('{own}')"));
    for password in ["planted by me", "my own password"] {
        attacker.is_answered(&format!("select auth.sign_in('victim@example.org', '{password}')"), "INVALID_EMAIL_OR_PASSWORD");
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.accounts"), 0);
    db.app().run("select auth.request_password_reset('victim@example.org')");
    let token = db.mailed_token("reset-password", "victim@example.org");
    db.app().run(&format!("select auth.reset_password('{token}', 'my own password')"));
    db.app().json("select auth.sign_in('victim@example.org', 'my own password')")["token"].as_str().expect("signed in");
}

#[test]
fn who_signs_up_twice_with_the_same_password_is_one_person() {
    let db = unhurried();
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    for _ in 0..2 {
        db.app().json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"));
    }
    let token = db.mailed_token("verify-email", "ann@example.org");
    db.app().json(&format!("select auth.verify_email('{token}')"));
    db.app().json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["token"].as_str().expect("signed in");
}

/// Whether it was the same password shows in the statistics of a transaction that is taken back.
#[test]
fn nobody_guesses_a_password_by_signing_up() {
    let db = unhurried();
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    for (address, is_known) in [("ann@example.org", true), ("nobody@example.org", false)] {
        let first = if is_known { format!("select auth.sign_up('{address}', '{PASSWORD}')") } else { "select 1".to_owned() };
        db.app().run(&first);
        let mut guesser = db.app();
        for n in i64::from(is_known)..10 {
            guesser.run(&format!("begin; select auth.sign_up('{address}', 'a guess of mine {n}'); commit"));
        }
        let refusal = guesser.refused(&format!("select auth.sign_up('{address}', 'one more guess')"));
        assert_eq!((refusal.sqlstate.as_str(), refusal.code()), ("53400", "TOO_MANY_ATTEMPTS"), "{address}");
    }
    db.app().json(&format!("select auth.sign_up('else@example.org', '{PASSWORD}')"));
}

#[test]
fn asking_never_tells_and_nobody_else_is_written_to() {
    let db = unhurried();
    let mut ann = db.user("Ann");
    db.user("Proved");
    db.dba().run("update auth.users set email_verified = true where email like 'proved%'");
    let mut anybody = db.app();
    anybody.run("set role anon");
    for email in ["ann@example.org", "proved@example.org", "nobody@example.org"] {
        assert_eq!(anybody.one::<String>(&format!("select auth.send_verification_email('{email}')::text")), "", "void");
    }
    ann.run("select auth.send_verification_email('nobody@example.org')");
    let mail = db.mail();
    assert_eq!(mail.iter().map(|mail| mail.recipient.as_str()).collect::<Vec<_>>(), ["ann@example.org"]);
    anybody.is_refused("select auth.send_verification_email()", "22004", "MISSING_ARGUMENT: email");
    anybody.is_refused("select auth.send_verification_email('no address')", "22023", "INVALID_EMAIL: email");
    db.service().is_refused("select auth.send_verification_email()", "22004", "MISSING_ARGUMENT: email");
    ann.run("select auth.sign_out()");
    let rows: i64 = db.dba().one("select count(*) from auth_private.messages where recipient is not null");
    assert_eq!(rows, 1, "nobody's address is kept that is nobody's here");
}

#[test]
fn a_change_of_email_happens_when_the_new_address_is_proved() {
    let db = unhurried();
    let mut ann = db.user("Ann");
    ann.run("select auth.send_verification_email()");
    let for_old = db.mailed_token("verify-email", "ann@example.org");
    ann.run("select auth.change_email('Anna@Example.org')");
    let mail = db.mail();
    let kinds: Vec<(&str, &str)> = mail.iter().map(|mail| (mail.kind.as_str(), mail.recipient.as_str())).collect();
    assert_eq!(kinds, [("change-email", "anna@example.org"), ("email-changed", "ann@example.org")]);
    assert_eq!((&mail[1].payload["completed"], &mail[1].payload["new_email"]), (&json!(false), &json!("anna@example.org")));
    assert_eq!(ann.one::<String>("select email from auth.users"), "ann@example.org", "nothing has changed");
    let changed = db.app().json(&format!("select auth.verify_email('{}')", mail[0].token));
    assert_eq!((&changed["email"], &changed["email_verified"]), (&json!("anna@example.org"), &json!(true)));
    let told = db.mail();
    assert_eq!((told[0].recipient.as_str(), told[0].token.as_str(), &told[0].payload["completed"]), ("ann@example.org", "", &json!(true)));
    db.app().is_refused(&format!("select auth.verify_email('{for_old}')"), "22023", "INVALID_TOKEN");
    db.app().json(&format!("select auth.sign_in('anna@example.org', '{PASSWORD}')"))["token"].as_str().expect("signed in");
    assert!(ann.is_signed_in());
}

#[test]
fn change_email_never_tells_that_an_address_is_taken() {
    let db = unhurried();
    let (mut ann, _) = (db.user("Ann"), db.user("Bob"));
    ann.run("select auth.change_email('bob@example.org')");
    let mail = db.mail();
    assert_eq!((mail[0].kind.as_str(), mail[0].recipient.as_str(), mail[0].token.as_str()), ("change-email", "bob@example.org", ""));
    assert_eq!(mail[0].payload["reason"], "address-taken");
    assert_eq!((mail[1].kind.as_str(), mail[1].recipient.as_str()), ("email-changed", "ann@example.org"), "as for a free one");
    ann.is_refused("select auth.change_email('ANN@example.org')", "22023", "INVALID_ARGUMENT: new_email");
    ann.is_refused("select auth.change_email('ann')", "22023", "INVALID_EMAIL: new_email");
    ann.is_refused("select auth.change_email(null)", "22004", "MISSING_ARGUMENT: new_email");
    db.app().is_refused("select auth.change_email('x@example.org')", "28000", "NOT_SIGNED_IN");
    db.dba().run("update auth_private.session_keys set authenticated_at = now() - interval '2 days'");
    ann.is_refused("select auth.change_email('x@example.org')", "28000", "SESSION_NOT_FRESH");
}

#[test]
fn an_address_that_was_taken_meanwhile_is_refused_and_the_token_lives() {
    let db = unhurried();
    let mut ann = db.user("Ann");
    ann.run("select auth.change_email('wanted@example.org')");
    let token = db.mailed_token("change-email", "wanted@example.org");
    let other = db.user("Wanted");
    db.app().is_refused(&format!("select auth.verify_email('{token}')"), "23505", "USER_ALREADY_EXISTS");
    db.service().run(&format!("select auth.delete_user('{}')", other.id));
    assert_eq!(db.app().json(&format!("select auth.verify_email('{token}')"))["email"], "wanted@example.org");
}

#[test]
fn tokens_die_late_superseded_swapped_and_with_what_they_were_for() {
    let db = unhurried();
    let mut ann = db.user("Ann");
    let invalid = |token: &str, why: &str| {
        let refusal = db.app().refused(&format!("select auth.verify_email('{token}')"));
        assert_eq!((refusal.sqlstate.as_str(), refusal.detail.as_str()), ("22023", "INVALID_TOKEN"), "{why}");
    };
    let mut asked = |statement: &str, kind: &str, recipient: &str| {
        ann.run(statement);
        db.mailed_token(kind, recipient)
    };
    let (ask, verify) = ("select auth.send_verification_email()", "verify-email");
    let first = asked(ask, verify, "ann@example.org");
    let second = asked(ask, verify, "ann@example.org");
    invalid(&first, "superseded");
    db.app().run("select auth.send_verification_email('ann@example.org')");
    invalid(&second, "superseded as soon as the next one is asked for, also before it is sent");
    let third = db.mailed_token(verify, "ann@example.org");
    db.dba().run("update auth_private.one_time_tokens set expires_at = now() - interval '1 second'");
    invalid(&third, "late");
    let reset = {
        db.app().run("select auth.request_password_reset('ann@example.org')");
        db.mailed_token("reset-password", "ann@example.org")
    };
    invalid(&reset, "for something else");
    let mut swapped = db.app();
    let fourth = asked(ask, verify, "ann@example.org");
    swapped.is_refused(&format!("select auth.reset_password('{fourth}', 'another password')"), "22023", "INVALID_TOKEN");
    for nonsense in ["", "ot_", "x", &ann.token] {
        invalid(nonsense, "nonsense");
    }
    swapped.is_refused("select auth.verify_email(null)", "22004", "MISSING_ARGUMENT: token");
    ann.run(&format!("select auth.change_password('{PASSWORD}', 'another password')"));
    invalid(&fourth, "from before another password");
    swapped.is_refused(&format!("select auth.reset_password('{reset}', 'another password')"), "22023", "INVALID_TOKEN");
    ann.run(ask);
    let fifth = db.mailed_token(verify, "ann@example.org");
    db.service().run(&format!("select auth.update_user('{}', '{{\"email\": \"anna@example.org\"}}')", ann.id));
    invalid(&fifth, "for another address");
    let told = db.mail();
    assert!(told.iter().any(|mail| mail.kind == "email-changed" && mail.recipient == "ann@example.org"), "{told:?}");
    ann.run(ask);
    let sixth = db.mailed_token(verify, "anna@example.org");
    db.service().run(&format!("select auth.delete_user('{}')", ann.id));
    invalid(&sixth, "of a user who is gone");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth_private.messages where user_id is not null"), 0, "nor their mail");
}

#[test]
fn within_the_interval_nothing_new_is_sent_and_the_earlier_token_lives() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    for _ in 0..3 {
        ann.run("select auth.send_verification_email()");
    }
    let token = db.mailed_token("verify-email", "ann@example.org");
    ann.run("select auth.send_verification_email()");
    assert!(db.mail().is_empty());
    db.app().run(&format!("select auth.verify_email('{token}')"));
    db.dba().run(
        "update auth.users set email_verified = false; update auth_private.messages set created_at = created_at - interval '1 minute'",
    );
    ann.run("select auth.send_verification_email()");
    assert_eq!(db.mail().len(), 1);
}

#[test]
fn banned_users_may_prove_their_address_and_stay_banned() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("select auth.send_verification_email()");
    db.service().run(&format!("select auth.ban_user('{}')", ann.id));
    let token = db.mailed_token("verify-email", "ann@example.org");
    assert_eq!(db.app().json(&format!("select auth.verify_email('{token}')"))["banned"], true);
    db.app().is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "BANNED_USER");
}

#[test]
fn nobody_does_any_of_it_through_somebody_elses_eyes_or_where_nothing_can_be_written() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let token = root.json(&format!("select auth.impersonate_user('{}')", ann.id))["token"].clone();
    root.run(&format!("select auth.use_session('{}', false)", token.as_str().unwrap()));
    for call in [
        "send_verification_email()",
        "verify_email('x')",
        "change_email('x@example.org')",
        "request_password_reset('ann@example.org')",
        "reset_password('x', 'another password')",
        "unlink_account(gen_random_uuid())",
    ] {
        root.is_refused(&format!("select auth.{call}"), "42501", "NOT_WHILE_IMPERSONATING");
        let mut anybody = db.app();
        anybody.run("begin read only");
        anybody.is_refused(&format!("select auth.{call}"), "25006", "READ_ONLY");
    }
}

#[test]
fn of_rival_sign_ups_at_once_nobodys_password_outlives_the_proof_either() {
    let db = unhurried();
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut attacker = db.app();
    attacker.run("begin; select auth.sign_up('victim@example.org', 'planted by me')");
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| db.app().json("select auth.sign_up('victim@example.org', 'my own password')"));
        db.until_it_waits("sign_up");
        attacker.run("commit");
        victim.join().expect("an answer");
    });
    let token = db.mailed_token("verify-email", "victim@example.org");
    db.app().json(&format!("select auth.verify_email('{token}')"));
    for password in ["planted by me", "my own password"] {
        db.app().is_answered(&format!("select auth.sign_in('victim@example.org', '{password}')"), "INVALID_EMAIL_OR_PASSWORD");
    }
}

#[test]
fn who_was_thrown_out_does_not_come_back_with_another_address() {
    let db = unhurried();
    let mut ann = db.user("Ann");
    let thrown_out = [
        format!("select auth.ban_user('{}')", ann.id),
        format!("select auth.revoke_user_sessions('{}')", ann.id),
        format!("select auth.set_user_password('{}', null)", ann.id),
    ];
    for statement in thrown_out {
        ann.run("select auth.change_email('thief@example.org')");
        let token = db.mailed_token("change-email", "thief@example.org");
        db.service().run(&statement);
        db.app().is_refused(&format!("select auth.verify_email('{token}')"), "22023", "INVALID_TOKEN");
        db.service().run(&format!("select auth.unban_user('{0}'); select auth.set_user_password('{0}', '{PASSWORD}')", ann.id));
        ann = db.signed_in("Ann");
    }
    ann.run("select auth.change_email('thief@example.org')");
    let token = db.mailed_token("change-email", "thief@example.org");
    ann.run("select auth.revoke_sessions()");
    db.app().is_refused(&format!("select auth.verify_email('{token}')"), "22023", "INVALID_TOKEN");
}

/// Two questions in one transaction that is taken back.
#[test]
fn an_earlier_token_tells_nothing_about_another_address() {
    let db = unhurried();
    let (mut ann, _) = (db.user("Ann"), db.user("Bob"));
    ann.run("select auth.change_email('own@example.org')");
    let token = db.mailed_token("change-email", "own@example.org");
    for address in ["bob@example.org", "free@example.org"] {
        ann.run(&format!("begin; select auth.change_email('{address}')"));
        ann.is_refused(&format!("select auth.verify_email('{token}')"), "22023", "INVALID_TOKEN");
        ann.run("rollback");
    }
}

#[test]
fn each_request_is_told_to_the_owner_and_strangers_get_no_more_than_so_many_tokens() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    for n in 0..10 {
        ann.run(&format!("select auth.change_email('stranger{n}@example.org')"));
    }
    let refusal = ann.refused("select auth.change_email('stranger10@example.org')");
    assert_eq!((refusal.sqlstate.as_str(), refusal.code()), ("53400", "TOO_MANY_ATTEMPTS"));
    // A decoy that is named first silences no notice.
    let to_ann: Vec<String> = db
        .dba()
        .column("select payload ->> 'new_email' from auth_private.messages where recipient = 'ann@example.org' order by created_at");
    assert_eq!(to_ann, (0..10).map(|n| format!("stranger{n}@example.org")).collect::<Vec<_>>());
}
