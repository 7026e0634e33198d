//! Who was thrown out, banned or demoted while a statement or a snapshot of theirs was open does nothing with what it still shows.

use crate::authority::{VERBS, arranged, fill};
use pgrx_tests::{Actor, Database, PASSWORD};

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
        if level == "read committed" {
            continue; // one statement, one snapshot
        }
        let mut bob = db.user(&format!("Bob{n}"));
        let id = bob.id;
        keeper.run("select pg_advisory_lock(8)");
        std::thread::scope(|scope| {
            let still = scope.spawn(move || {
                bob.run(&format!("begin isolation level {level}"));
                let row = bob.client.query_one("select auth.uid() is not null, pg_advisory_xact_lock(8), auth.uid() is not null", &[]);
                let row = row.expect("three answers");
                (row.get::<_, bool>(0), row.get::<_, bool>(2))
            });
            db.until_it_waits("pg_advisory_xact_lock");
            std::thread::sleep(std::time::Duration::from_millis(2)); // longer than an answer holds
            keeper.run(&format!("select auth.ban_user('{id}')"));
            keeper.run("select pg_advisory_unlock(8)");
            assert_eq!(still.join().expect("answers"), (true, false), "{level}");
        });
    }
}

/// What becomes of what `waiter` asks for, which `held` in an open transaction of `holder` keeps waiting while `end` is done.
fn parked(db: &Database, waiter: &mut Actor, deed: &str, holder: &mut Actor, held: &str, end: impl FnOnce()) -> (Vec<String>, bool) {
    holder.run(&format!("begin; {held}"));
    let verb = deed.split_once('(').expect("a call").0.rsplit_once('.').expect("of ours").1;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.print(deed));
        db.until_it_waits(verb);
        end();
        holder.run("rollback");
        waiting.join().expect("an outcome")
    })
}

/// The SQLSTATE of what must have been refused.
fn sqlstate((said, is_refused): &(Vec<String>, bool)) -> &str {
    assert!(is_refused, "was not refused: {said:?}");
    said[0].strip_prefix("ERROR ").and_then(|error| error.get(..5)).expect("an error")
}

/// A stranger's open transaction makes a statement wait, for as long as they like. What comes after the wait is done by who may do it then.
#[test]
fn what_has_waited_is_not_done_for_who_was_thrown_out_or_demoted_meanwhile() {
    let db = Database::new();
    let victim = db.user("Victim");
    db.dba().run("create table public.notes (about uuid references auth.users); grant insert on public.notes to app");
    let taking = format!("select auth.sign_up('taken@example.org', '{PASSWORD}')");
    let referring = format!("insert into public.notes values ('{}')", victim.id);
    let id = victim.id;
    let deeds = [
        (&taking, format!("select auth.update_user('{id}', '{{\"email\": \"taken@example.org\"}}')")),
        (&taking, "select auth.create_user('taken@example.org')".to_owned()),
        (&taking, "select auth.create_user('taken@example.org', roles => '{admin}')".to_owned()),
        (&referring, format!("select auth.delete_user('{id}')")),
    ];
    let ends: [fn(uuid::Uuid) -> String; 3] = [
        |root| format!("select auth.ban_user('{root}')"),
        |root| format!("select auth.set_user_roles('{root}', '{{user}}')"),
        |root| format!("select auth.revoke_user_sessions('{root}')"),
    ];
    let state = "select string_agg(email, ' ' order by email) from auth.users where email not like 'root%'";
    db.admin("Other");
    let before: String = db.dba().one(state);
    for (n, (stranger, deed)) in deeds.iter().enumerate() {
        for (m, end) in ends.iter().enumerate() {
            let mut root = db.admin(&format!("Root{n}{m}"));
            let end = end(root.id);
            let outcome = parked(&db, &mut root, deed, &mut db.app(), stranger, || db.service().run(&end));
            assert!(["28000", "42501", "40001"].contains(&sqlstate(&outcome)), "{deed}: {outcome:?}");
            assert_eq!(db.dba().one::<String>(state), before, "{deed}");
        }
    }
    // And of oneself: whoever has stolen a session deletes nobody with it after it was ended.
    let (mut thief, deed) = (victim, format!("select auth.delete_user('{id}')"));
    let end = || db.signed_in("Victim").run("select auth.revoke_sessions()");
    let outcome = parked(&db, &mut thief, &deed, &mut db.app(), &referring, end);
    assert!(["28000", "42501"].contains(&sqlstate(&outcome)), "{outcome:?}");
    assert_eq!(db.dba().one::<String>(state), before);
    // Where nobody was thrown out it is done.
    db.admin("Root").run(&format!("select auth.delete_user('{id}')"));
}

/// What a target holds, and what a role to be granted holds, is that of now.
#[test]
fn nobody_outranks_by_an_older_snapshot_nor_by_a_grant_that_is_left_open() {
    let db = Database::new();
    let (mut root, staff) = (db.admin("Root"), db.user("Staff"));
    let mut helper = db.holder("helper", &["user:set-role", "user:set-password", "user:list"]);
    root.run("select auth.define_user_role('growing', '{}'), auth.define_user_role('staff', '{}')");
    root.run(&format!("select auth.set_user_roles('{}', '{{staff}}')", staff.id));
    let grant = format!("select auth.set_user_roles('{}', '{{helper,growing}}')", helper.id);
    for level in ["repeatable read", "serializable"] {
        let mut looker = db.signed_in("Root");
        for actor in [&mut helper, &mut looker] {
            actor.run(&format!("begin isolation level {level}; select count(*) from auth.users"));
        }
        root.run("select auth.define_user_role('growing', '{audit:read}'), auth.define_user_role('staff', '{audit:read}')");
        looker.is_refused(&format!("select auth.impersonate_user('{}')", staff.id), "42501", "YOU_CANNOT_IMPERSONATE_ADMINS");
        looker.run("rollback");
        for call in [&grant, &format!("select auth.set_user_password('{}', 'owned by the helper')", staff.id)] {
            helper.run("savepoint s");
            let refusal = helper.refused(call);
            assert!(refusal.sqlstate == "40001" || refusal.code() == "TARGET_OUTRANKS_YOU", "{level}: {refusal:?}");
            helper.run("rollback to s");
        }
        helper.run("rollback");
        root.run("select auth.define_user_role('growing', '{}'), auth.define_user_role('staff', '{}')");
    }
    helper.run(&format!("begin; {grant}"));
    root.run("set lock_timeout = '300ms'");
    assert_eq!(root.refused("select auth.define_user_role('growing', '{audit:read}')").sqlstate, "55P03", "to whom cannot be seen yet");
    helper.run("commit");
    root.run("select auth.define_user_role('growing', '{audit:read}')");
}

#[test]
fn an_older_snapshot_does_not_bring_a_change_of_address_back() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    ann.run("select auth.change_email('thief@example.org')");
    let verify = format!("select auth.verify_email('{}')", db.mailed_token("change-email", "thief@example.org"));
    let mut thief = db.app();
    thief.run("begin isolation level repeatable read; select count(*) from pg_class");
    ann.run("select auth.revoke_sessions()");
    thief.is_refused(&verify, "22023", "INVALID_TOKEN");
    thief.run("rollback");
    thief.is_refused(&verify, "22023", "INVALID_TOKEN");
    assert_eq!(db.dba().one::<String>("select email from auth.users"), "ann@example.org");
}

#[test]
fn no_change_of_address_is_completed_after_the_sessions_were_ended() {
    let db = Database::new();
    db.admin("Other");
    for (n, end) in ["revoke_user_sessions", "ban_user"].into_iter().enumerate() {
        let mut ann = db.user(&format!("Ann{n}"));
        ann.run(&format!("select auth.change_email('thief{n}@example.org')"));
        let verify = format!("select auth.verify_email('{}')", db.mailed_token("change-email", &format!("thief{n}@example.org")));
        let taking = format!("select auth.sign_up('thief{n}@example.org', '{PASSWORD}')");
        let end = format!("select auth.{end}('{}')", ann.id);
        let (said, is_refused) = parked(&db, &mut db.app(), &verify, &mut db.app(), &taking, || db.dba().run(&end));
        assert!(is_refused && said[0].contains("INVALID_TOKEN"), "{said:?}");
        assert_eq!(db.dba().one::<i64>(&format!("select count(*) from auth.users where email = 'thief{n}@example.org'")), 0);
    }
}

/// A thief holds a row of the user whose session they have stolen, and so makes another statement of theirs wait.
#[test]
fn nobody_sets_their_own_password_after_they_were_thrown_out() {
    let db = Database::new();
    db.admin("Other");
    let change = |revoke| format!("select auth.change_password('{PASSWORD}', 'another fine password', {revoke})");
    let set = |root: &Actor, revoke| format!("select auth.set_user_password('{}', 'another fine password', {revoke})", root.id);
    let ends: [fn(uuid::Uuid) -> String; 3] = [
        |id| format!("select auth.revoke_user_sessions('{id}')"),
        |id| format!("select auth.ban_user('{id}')"),
        |id| format!("select auth.set_user_roles('{id}', '{{user}}')"),
    ];
    for (n, end) in ends.iter().enumerate() {
        for (m, held) in
            ["select auth.revoke_other_sessions()".to_owned(), format!("select auth.verify_password('{PASSWORD}')")].iter().enumerate()
        {
            let mut root = db.admin(&format!("Root{n}{m}"));
            let mut same = db.app();
            same.run(&format!("select auth.use_session('{}', false)", root.token));
            let deeds = if m == 0 { vec![set(&root, true), change(true)] } else { vec![change(false)] };
            for deed in deeds {
                // Whoever only loses rights may still change their own password.
                if n == 2 && deed.contains("change_password") {
                    continue;
                }
                let id = root.id;
                let (said, is_refused) = parked(&db, &mut root, &deed, &mut same, held, || db.dba().run(&end(id)));
                assert!(is_refused, "{deed} {}: {said:?}", end(id));
                db.dba().run(&format!("select auth.unban_user('{id}'), auth.set_user_roles('{id}', '{{admin}}')"));
                root = db.signed_in(&format!("Root{n}{m}"));
                same = db.app();
                same.run(&format!("select auth.use_session('{}', false)", root.token));
            }
        }
    }
}

/// The same session, used twice, ends all others while it is also ending itself.
#[test]
fn a_session_that_was_kept_meanwhile_still_ends_by_what_it_does() {
    let db = Database::new();
    db.admin("Other");
    db.dba().run("create table public.notes (about uuid references auth.users); grant insert on public.notes to app");
    for n in 0..3 {
        let mut root = db.admin(&format!("Root{n}"));
        let (id, token) = (root.id, root.token.clone());
        let same = || {
            let mut same = db.app();
            same.run(&format!("select auth.use_session('{token}', false)"));
            same
        };
        let own_row = format!("select auth.update_user('{id}', '{{\"name\": \"x\"}}')");
        let (held, deed) = [
            (own_row.clone(), format!("select auth.change_password('{PASSWORD}', 'another fine password', true)")),
            (own_row, format!("select auth.set_user_password('{id}', 'another fine password')")),
            (format!("insert into public.notes values ('{id}')"), format!("select auth.delete_user('{id}')")),
        ][n]
            .clone();
        let (said, is_refused) = parked(&db, &mut root, &deed, &mut same(), &held, || same().run("select auth.revoke_other_sessions()"));
        assert!(!is_refused, "{deed}: {said:?}");
        assert!(!root.is_signed_in(), "{deed}");
        if n == 0 {
            let new: serde_json::Value = serde_json::from_str(&said[0]).expect("an answer");
            db.app().run(&format!("select auth.use_session('{}')", new["token"].as_str().expect("a token")));
        }
    }
}

#[test]
fn what_has_waited_is_not_done_to_who_outranks_by_now_nor_by_a_role_that_is_trusted_no_more() {
    let db = Database::new();
    let (mut root, target) = (db.admin("Root"), db.user("Target"));
    let mut helper = db.holder("helper", &["user:update", "user:set-email"]);
    root.run("select auth.define_user_role('growing', '{}')");
    root.run(&format!("select auth.set_user_roles('{}', '{{growing}}')", target.id));
    let taking = format!("select auth.sign_up('taken@example.org', '{PASSWORD}')");
    let update = |id| format!("select auth.update_user('{id}', '{{\"email\": \"taken@example.org\", \"email_verified\": true}}')");
    let promotion = || db.dba().run("select auth.define_user_role('growing', '{user:ban}')");
    let (said, is_refused) = parked(&db, &mut helper, &update(target.id), &mut db.app(), &taking, promotion);
    assert!(is_refused && said[0].contains("TARGET_OUTRANKS_YOU"), "{said:?}");
    // One's own, by a permission that is gone.
    let demotion = format!("select auth.set_user_roles('{}', '{{user}}')", helper.id);
    let own = update(helper.id);
    let (said, is_refused) = parked(&db, &mut helper, &own, &mut db.app(), &taking, || db.dba().run(&demotion));
    assert!(is_refused && said[0].contains("PERMISSION_DENIED: user:"), "{said:?}");
    // A database role.
    db.dba().run("create role retiring login; grant auth_admin to retiring");
    let mut retiring = db.dba();
    retiring.run("set session authorization retiring");
    let (said, is_refused) =
        parked(&db, &mut retiring, &update(target.id), &mut db.app(), &taking, || db.dba().run("revoke auth_admin from retiring"));
    assert!(is_refused, "{said:?}");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users where email = 'taken@example.org'"), 0);
    db.dba().run("drop role retiring");
}

#[test]
fn no_access_token_is_signed_after_a_ban() {
    let db = Database::new();
    db.admin("Other");
    let mut ann = db.user("Ann");
    let (id, own) = (ann.id, format!("select auth.update_user('{}', '{{\"name\": \"x\"}}')", ann.id));
    let (said, is_refused) =
        parked(&db, &mut db.app(), &format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), &mut ann, &own, || {
            db.dba().run(&format!("select auth.ban_user('{id}')"))
        });
    assert!(is_refused || said[0].contains("INVALID_EMAIL_OR_PASSWORD"), "{said:?}");
    db.dba().run(&format!("select auth.unban_user('{id}')"));
    let (mut ann, mut anybody) = (db.signed_in("Ann"), db.app());
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '2 days', created_at = created_at - interval '2 days'");
    let ending = format!("select auth.revoke_session('{}')", ann.session);
    let refresh = format!("select auth.refresh_session('{}')", ann.token);
    let (said, is_refused) =
        parked(&db, &mut anybody, &refresh, &mut ann, &ending, || db.dba().run(&format!("select auth.ban_user('{id}')")));
    assert!(is_refused && said[0].contains("INVALID_SESSION"), "{said:?}");
}

#[test]
fn whoever_gives_up_a_permission_in_a_statement_does_the_rest_of_it_with_what_is_left() {
    let db = Database::new();
    let (mut root, other) = (db.admin("Root"), db.user("Other"));
    db.admin("Stays");
    root.run("select auth.define_user_role('mod', '{user:ban}')");
    root.run(&format!("select auth.set_user_roles('{}', '{{mod}}'), auth.ban_user('{}')", root.id, other.id));
}
