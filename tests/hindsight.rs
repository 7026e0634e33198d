//! Who was thrown out, banned or demoted while a statement or a snapshot of theirs was open does nothing with what it still shows.

use crate::authority::{VERBS, arranged, fill};
use pgrx_tests::{Database, PASSWORD};

/// A statement that has begun before sees its session as it was; what it does is done now.
#[test]
fn nobody_acts_with_a_statement_that_was_open_when_they_were_thrown_out() {
    let (db, target) = arranged();
    let mut root = db.admin("Root");
    let own = [
        "auth.change_email('thief@example.org')".to_owned(),
        format!("auth.change_password('{PASSWORD}', 'another password')"),
        "auth.set_password('another password')".to_owned(),
        format!("auth.verify_password('{PASSWORD}')"),
        format!("auth.update_user('{}', '{{\"name\": \"x\"}}')", root.id),
        format!("auth.update_user_attributes('{}', '{{\"a\": 1}}')", root.id),
        "auth.revoke_sessions()".to_owned(),
        "auth.revoke_other_sessions()".to_owned(),
        format!("auth.delete_user('{}')", root.id),
    ];
    let acts = VERBS.iter().filter(|verb| !verb.client.is_empty()).map(|verb| fill(verb.call, &target));
    for call in acts.chain(own) {
        root.run(&format!("begin; declare late cursor for select * from {call}"));
        db.service().run(&format!("select auth.revoke_user_sessions('{}')", root.id));
        let traces = "select count(*)::text || (select count(*) from auth_private.messages)::text from auth.audit_log";
        let before: String = db.dba().one(traces);
        let (_, is_refused) = root.print("fetch late");
        root.run(if is_refused { "rollback" } else { "commit" });
        assert_eq!(db.dba().one::<String>(traces), before, "{call}");
        root = db.signed_in("Root");
    }
}

/// Whoever exports a snapshot, pg_dump included, keeps it for everybody.
#[test]
fn no_older_snapshot_gives_rights_back() {
    let (db, target) = arranged();
    let (mut banned, mut demoted, mut stays) = (db.admin("Banned"), db.admin("Demoted"), db.admin("Stays"));
    let mut keeper = db.app();
    keeper.run("begin isolation level repeatable read");
    let snapshot: String = keeper.one("select pg_export_snapshot()");
    db.service().run(&format!("select auth.ban_user('{}'); select auth.set_user_roles('{}', '{{user}}')", banned.id, demoted.id));
    let begin = format!("rollback; begin isolation level repeatable read; set transaction snapshot '{snapshot}'");
    let mut anybody = db.app();
    for token in [&banned.token, &target.token] {
        anybody.run(&begin);
        let use_session = format!("select auth.use_session('{token}')");
        if *token == target.token { anybody.run(&use_session) } else { anybody.is_refused(&use_session, "28000", "INVALID_SESSION") }
    }
    for (admin, sqlstate, detail) in [(&mut banned, "28000", "INVALID_SESSION"), (&mut demoted, "42501", "PERMISSION_DENIED: user:create")]
    {
        for _ in 0..2 {
            admin.run(&begin);
            admin.is_refused("select auth.create_user('new@example.org', roles => '{admin}')", sqlstate, detail);
        }
        admin.run(&begin);
        assert_eq!(admin.one::<i64>("select count(*) from auth.users"), if sqlstate == "28000" { 0 } else { 1 });
    }
    stays.run(&begin);
    stays.run("select auth.create_user('new@example.org')");
    keeper.run("commit");
}

#[test]
fn who_is_banned_is_nobody_at_the_next_statement_at_every_isolation_level() {
    let db = Database::new();
    db.admin("Other");
    for (n, level) in ["read committed", "repeatable read", "serializable"].into_iter().enumerate() {
        let mut ann = db.user(&format!("Ann{n}"));
        ann.run(&format!("begin isolation level {level}"));
        assert!(ann.is_signed_in());
        db.service().run(&format!("select auth.ban_user('{}')", ann.id));
        assert!(!ann.is_signed_in(), "{level}");
        ann.run("rollback");
        // And what was known at the beginning of a statement does not hold for what it goes on to do.
        let (mut root, mut keeper) = (db.admin(&format!("Root{n}")), db.service());
        let id = root.id;
        keeper.run("select pg_advisory_lock(7)");
        std::thread::scope(|scope| {
            let late = scope.spawn(move || {
                root.run(&format!("begin isolation level {level}"));
                root.refused("select auth.uid(), pg_advisory_xact_lock(7), auth.define_user_role('late', '{}')")
            });
            db.until_it_waits("pg_advisory_xact_lock");
            keeper.run(&format!("select auth.ban_user('{id}')"));
            keeper.run("select pg_advisory_unlock(7)");
            let sqlstate = late.join().expect("a refusal").sqlstate;
            assert!(["28000", "42501"].contains(&sqlstate.as_str()), "{level}: {sqlstate}");
        });
    }
}
