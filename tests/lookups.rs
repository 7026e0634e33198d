//! What is looked up without a statement: it must be what a statement would have found.

use pgrx_tests::{Actor, Database, PASSWORD};

/// Whose session a token is, on a connection that has asked nothing yet.
fn owner(db: &Database, who: &Actor) -> Option<uuid::Uuid> {
    let row = db.app().client.query_one("select auth.use_session($1)", &[&who.token]);
    row.ok().map(|row| row.get(0))
}

#[test]
fn where_a_sessions_row_is_said_to_lie_is_believed_only_if_it_lies_there() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let mut dba = db.dba();
    let of_bob: String = dba.one(&format!("select ctid::text from auth.sessions where id = '{}'", bob.session));
    let places =
        ["null", "'(0,0)'", "'(0,200)'", "'(0,65535)'", "'(7,1)'", "'(4294967295,1)'", "'(4294967294,65535)'", &format!("'{of_bob}'")];
    for place in places {
        dba.run(&format!("update auth_private.session_keys set session_ctid = {place}"));
        assert_eq!((owner(&db, &ann), owner(&db, &bob)), (Some(ann.id), Some(bob.id)), "{place}");
    }
    // The row moves, and all of them.
    for moves in
        ["update auth.sessions set updated_at = updated_at", "vacuum full auth.sessions", "cluster auth.sessions using sessions_pkey"]
    {
        dba.run("update auth_private.session_keys k set session_ctid = s.ctid from auth.sessions s where s.id = k.session_id");
        dba.run(moves);
        assert_eq!((owner(&db, &ann), owner(&db, &bob)), (Some(ann.id), Some(bob.id)), "{moves}");
    }
}

/// A hash index has 32 bits of a hash; these four are two pairs that it cannot tell apart.
#[test]
fn a_token_that_the_index_takes_for_anothers_opens_nothing() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let mut dba = db.dba();
    for [one, other] in [["as_real20184", "as_real107666"], ["as_real44014", "as_real112529"]] {
        let alike = format!("select hash_record(row(sha256('{one}'))) = hash_record(row(sha256('{other}')))");
        assert!(dba.one::<bool>(&alike), "{one} and {other} are told apart by the index: the test shows nothing");
        for (of_ann, of_bob) in [(one, other), (other, one)] {
            let mut give = |who: &Actor, token: &str| {
                dba.run(&format!(
                    "update auth_private.session_keys set token_hash = sha256('{token}') where session_id = '{}'",
                    who.session
                ));
            };
            give(&ann, of_ann);
            give(&bob, "as_somebody_elses");
            db.app().is_refused(&format!("select auth.use_session('{of_bob}')"), "28000", "INVALID_SESSION");
            db.app().is_refused(&format!("select auth.refresh_session('{of_bob}')"), "28000", "INVALID_SESSION");
            give(&bob, of_bob);
            for (token, who) in [(of_ann, &ann), (of_bob, &bob)] {
                let mut app = db.app();
                assert_eq!(app.one::<uuid::Uuid>(&format!("select auth.use_session('{token}', false)")), who.id);
                assert_eq!(app.one::<uuid::Uuid>("select auth.uid()"), who.id);
                assert_eq!(app.json(&format!("select auth.refresh_session('{token}')"))["user"]["id"], who.id.to_string());
            }
        }
    }
}

#[test]
fn a_session_that_is_gone_is_not_found_where_it_lay_either() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let mut dba = db.dba();
    dba.run(&format!(
        "set session_replication_role = replica; delete from auth.sessions where id = '{}'; reset session_replication_role",
        ann.session
    ));
    assert_eq!(owner(&db, &ann), None);
    // Another session gets its place.
    dba.run("vacuum auth.sessions");
    let eve = db.user("Eve");
    let is_there = "select s.ctid = k.session_ctid from auth.sessions s join auth_private.session_keys k on k.session_id = '{ann}' where s.id = '{eve}'";
    let is_there = is_there.replace("{ann}", &ann.session.to_string()).replace("{eve}", &eve.session.to_string());
    assert!(dba.one::<bool>(&is_there), "the place was not given away");
    assert_eq!((owner(&db, &ann), owner(&db, &bob), owner(&db, &eve)), (None, Some(bob.id), Some(eve.id)));
}

#[test]
fn whoever_writes_a_session_says_where() {
    let db = Database::new();
    let (mut root, ann) = (db.admin("Root"), db.user("Ann"));
    root.run(&format!("select auth.impersonate_user('{}')", ann.id));
    let mut dba = db.dba();
    dba.run("update auth.sessions set updated_at = updated_at - interval '2 days', expires_at = expires_at - interval '1 day'");
    let lost = "select count(*) from auth_private.session_keys k join auth.sessions s on s.id = k.session_id where s.ctid is distinct from k.session_ctid";
    assert_eq!(dba.one::<i64>(lost), 3);
    db.app().run(&format!("select auth.refresh_session('{}')", ann.token));
    db.app().run(&format!("select auth.refresh_session('{}')", root.token));
    assert_eq!(dba.one::<i64>(lost), 1, "of the impersonation, which is not refreshed");
    db.user("Bob");
    root.run(&format!("select auth.impersonate_user('{}')", ann.id));
    assert_eq!(dba.one::<i64>(lost), 1);
}

#[test]
fn a_refresh_does_not_wait_for_whoever_has_just_proved_the_password() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '2 days', expires_at = expires_at - interval '1 day'");
    ann.run(&format!("begin; select auth.verify_password('{PASSWORD}')"));
    let mut app = db.app();
    app.run("set lock_timeout = '5s'");
    app.json(&format!("select auth.refresh_session('{}')", ann.token));
    // They would wait for each other: the one has the key, the other had the session.
    ann.run("select auth.sign_out(); commit");
    assert!(!ann.is_signed_in());
}

#[test]
fn a_connection_follows_what_becomes_of_the_tables() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let mut dba = db.dba();
    assert!(ann.is_signed_in());
    for change in [
        "reindex index auth.sessions_pkey",
        "reindex index concurrently auth.users_pkey",
        "reindex table concurrently auth_private.session_keys",
        "reindex index concurrently auth_private.session_keys_token_hash_idx",
        "vacuum full auth.users",
        "analyze auth.sessions",
        "alter index auth.users_pkey rename to other; alter index auth.other rename to users_pkey",
        "alter schema auth_private rename to other; alter schema other rename to auth_private",
    ] {
        dba.run(change);
        assert!(ann.is_signed_in(), "{change}");
        assert_eq!(ann.one::<uuid::Uuid>(&format!("select auth.use_session('{}')", ann.token)), ann.id, "{change}");
    }
    // A table of the same name in the place of another is another table, also for who has used the first.
    dba.run("alter table auth_private.session_epochs rename to other; create table auth_private.session_epochs (like auth_private.other including all)");
    dba.run("alter index auth_private.session_epochs_pkey rename to another; alter index auth_private.session_epochs_pkey1 rename to session_epochs_pkey");
    dba.run(&format!("insert into auth_private.session_epochs values ('{}', true, 1)", ann.id));
    assert!(!ann.is_signed_in());
    dba.run("drop table auth_private.session_epochs");
    let refusal = ann.refused("select auth.uid()");
    assert_eq!(refusal.sqlstate, "42P01", "{refusal:?}");
}

#[test]
fn an_index_that_is_not_ours_is_not_read() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let mut dba = db.dba();
    dba.run("alter index auth.users_email_order_idx rename to other; alter index auth.users_pkey rename to users_email_order_idx; create index users_pkey on auth.users using brin (id)");
    assert_eq!(ann.refused("select auth.uid()").sqlstate, "42804");
    dba.run("drop index auth.users_pkey; create index users_pkey on auth.users using hash (id)");
    assert!(ann.is_signed_in(), "any that finds the row will do");
    dba.run("drop index auth.users_pkey; create index users_pkey on auth.users (email)");
    assert_eq!(ann.refused("select auth.uid()").sqlstate, "42804");
    dba.run("drop index auth.users_pkey; create index users_pkey on auth.sessions (id)");
    assert_eq!(ann.refused("select auth.uid()").sqlstate, "42804");
}

/// As after DROP INDEX CONCURRENTLY that somebody has interrupted: it lacks what was written since, and nobody would be throttled.
#[test]
fn an_index_that_is_not_complete_or_sorts_otherwise_is_not_read() {
    let db = Database::new();
    db.user("Ann");
    let (mut dba, sign_in) = (db.dba(), format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"));
    for flag in ["indisvalid", "indisready"] {
        let set = |to: bool| {
            format!(
                "begin; set local allow_system_table_mods = on; update pg_index set {flag} = {to} where indexrelid = 'auth_private.failed_attempts_subject_idx'::regclass; commit"
            )
        };
        dba.run(&set(false));
        assert_eq!(db.app().refused(&sign_in).sqlstate, "42804", "{flag}");
        dba.run(&set(true));
        db.app().json(&sign_in);
    }
    dba.run("drop index auth.users_email_key; create unique index users_email_key on auth.users (email collate \"POSIX\") where email is not null");
    assert_eq!(db.app().refused(&sign_in).sqlstate, "42804");
}

/// A jsonb is made of its pieces without the server's reader: keys that are out of order, or a number of another form, would be there and not be found.
#[test]
fn what_is_made_of_pieces_is_what_its_text_would_be() {
    let db = Database::new();
    let (mut ann, mut root, mut dba) = (db.user("Ann"), db.admin("Root"), db.dba());
    let nested = format!(r#"{{"a": {}{}}}"#, "[".repeat(400), "]".repeat(400));
    let large = format!(r#"{{"text": "{}", "aa": 1, "b": 2}}"#, "x".repeat(60_000));
    let kinds = r#"{"": null, "b": [true, -0.10, 1e400, 12345678901234567890, {}, [], "\u00e9\t\"", {"bb": 1, "a": {"ccc": [[]], "dd": ""}}], "aa": false}"#;
    dba.run("alter table auth.users drop constraint users_attributes_check");
    for attributes in ["{}", kinds, &nested, &large, "[1]", "[]", "[[]]", r#""text""#, "7", "null"] {
        dba.client.execute("update auth.users set attributes = $1::text::jsonb where id = $2", &[&attributes, &ann.id]).expect("written");
        for (call, path) in [
            ("auth.get_session()", "{user,attributes}"),
            ("auth.list_users_page(search_value => 'ann@')", "{users,0,attributes}"),
            (&*format!("auth.sign_in('ann@example.org', '{PASSWORD}')"), "{user,attributes}"),
            (&*format!("auth.get_user('{}')", ann.id), "{attributes}"),
            (&*format!("auth.unban_user('{}')", ann.id), "{attributes}"),
        ] {
            let caller = if call.starts_with("auth.get_session") { &mut ann } else { &mut root };
            let sql = format!(
                "select a = a::text::jsonb and hashtext(encode(jsonb_send(a), 'hex')) = hashtext(encode(jsonb_send(a::text::jsonb), 'hex'))
                    and pg_column_size(a) = pg_column_size(a::text::jsonb) and a #> '{path}' = $1::text::jsonb
                   from (select {call} offset 0) as made (a)"
            );
            let is_same: Option<bool> = caller.client.query_one(&sql, &[&attributes]).expect(call).get(0);
            assert_eq!(is_same, Some(true), "{call} {:.80}", attributes);
        }
    }
}

#[test]
fn what_looks_like_a_number_to_our_reader_is_text_where_it_is_text() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    for text in ["$serde_json::private::Number", "a \"$serde_json::private::Number\": \"1\"", "\\\"$serde_json::private::RawValue\":1"] {
        let session: serde_json::Value = db
            .app()
            .client
            .query_one("select auth.sign_in('ann@example.org', $1, user_agent => $2)", &[&PASSWORD, &text])
            .expect("a session")
            .get(0);
        assert_eq!(session["session"]["user_agent"], text);
        let patch = serde_json::json!({"name": text});
        let user: serde_json::Value = ann.client.query_one("select auth.update_user(auth.uid(), $1)", &[&patch]).expect("a user").get(0);
        assert_eq!(user["name"], text);
        assert_eq!(ann.json("select auth.get_session()")["user"]["name"], text);
    }
    // Attributes are not to mention it at all, and that is said before the table says it.
    let (mut service, attributes) = (db.service(), r#"{"a": ["an $serde_json::private::Number"]}"#);
    let calls = [
        format!("auth.sign_up('new@example.org', '{PASSWORD}', attributes => '{attributes}')"),
        format!("auth.create_user('new@example.org', attributes => '{attributes}')"),
        format!("auth.update_user('{}', '{{\"attributes\": {attributes}}}')", ann.id),
        format!("auth.update_user_attributes('{}', '{attributes}')", ann.id),
    ];
    for call in calls {
        service.is_refused(&format!("select {call}"), "22023", "INVALID_ARGUMENT: attributes");
    }
    let rows = format!(r#"[{{"email": "one@example.org", "attributes": {attributes}}}, {{"email": "two@example.org"}}]"#);
    let statuses: Vec<String> = service.column(&format!("select status from auth.import_users('{rows}') order by email"));
    assert_eq!(statuses, ["INVALID_ARGUMENT", "created"]);
}

#[test]
fn a_user_is_gone_at_once_whatever_the_visibility_map_says() {
    let db = Database::new();
    let (mut ann, mut bob) = (db.user("Ann"), db.user("Bob"));
    let mut dba = db.dba();
    dba.run("vacuum (freeze) auth.users");
    assert!(ann.is_signed_in() && bob.is_signed_in());
    let mut earlier = db.app();
    earlier.run(&format!("begin isolation level repeatable read; select auth.use_session('{}')", ann.token));
    dba.run(&format!(
        "set session_replication_role = replica; delete from auth.users where id = '{}'; reset session_replication_role",
        ann.id
    ));
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    // Also for a snapshot from before.
    assert!(!earlier.is_signed_in());
    earlier.run("commit");
    dba.run("vacuum auth.users");
    assert!(!ann.is_signed_in() && bob.is_signed_in());
}

#[test]
fn where_there_is_no_snapshot_one_is_taken() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    db.dba().run("grant temp on database current to public".replace("current", &db.name).as_str());
    ann.run("create domain pg_temp.d as int check (auth.uid() is not null)");
    ann.run("do $$ declare v pg_temp.d; begin commit; v := 5; v := v + 1; end $$");
    assert!(ann.is_signed_in());
}

#[test]
fn no_session_outlives_its_user_also_where_no_foreign_key_is_followed() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    db.dba().run(&format!(
        "set session_replication_role = replica; delete from auth.users where id = '{}'; reset session_replication_role",
        ann.id
    ));
    assert!(!ann.is_signed_in());
    let token = ann.token.clone();
    ann.is_refused(&format!("select auth.use_session('{token}')"), "28000", "INVALID_SESSION");
}

/// By number in src/store/.
#[test]
fn columns_that_are_read_without_a_statement_are_where_they_are_looked_for() {
    let columns: Vec<String> = Database::new().dba().column(
        "select format('%s %s', c.relname, string_agg(a.attname, ' ' order by a.attnum)) from pg_attribute a join pg_class c on c.oid = a.attrelid
          where c.oid::regclass::text = any ('{auth.sessions,auth_private.session_keys,auth_private.session_epochs,auth.users,auth.bans,auth.user_roles,auth.role_permissions,auth_private.passwords,auth_private.signing_keys,auth_private.signing_secrets}')
            and a.attnum > 0
          group by c.relname order by c.relname",
    );
    assert_eq!(
        columns,
        [
            "bans user_id reason banned_by created_at expires_at",
            "passwords user_id hash created_at updated_at",
            "role_permissions role permission",
            "session_epochs user_id administrative epoch guard",
            "session_keys token_hash session_id epoch authenticated_at slides_until parent_session_id session_ctid",
            "sessions id user_id created_at updated_at expires_at ip_address user_agent impersonated_by",
            "signing_keys kid public_key created_at verifies_until",
            "signing_secrets kid private_key",
            "user_roles user_id role granted_by granted_at",
            "users id email email_verified name image attributes created_at updated_at last_sign_in_at",
        ]
    );
}
