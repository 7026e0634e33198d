//! The counts and the order that list_users_page keeps instead of counting and sorting: they are what counting and sorting would say.

use crate::deeds;
use pgrx_tests::{Actor, Database};
use serde_json::Value;

/// Everybody, everybody with a role, and the banned: how list_users_page asks for them, and how anybody would.
const QUESTIONS: [(&str, &str); 4] = [
    ("", "select id from auth.users"),
    ("filter_field => 'role', filter_value => 'editor',", "select user_id from auth.user_roles where role = 'editor'"),
    ("filter_field => 'role', filter_value => 'user',", "select user_id from auth.user_roles where role = 'user'"),
    (
        "filter_field => 'banned', filter_value => 'true',",
        "select user_id from auth.bans where expires_at is null or expires_at > clock_timestamp()",
    ),
];

/// Compares every total, and every list put together of pages in either direction, with the tables.
fn compare(asker: &mut Actor, dba: &mut Actor, when: &str) {
    for (asked, truth) in QUESTIONS {
        for (direction, sort) in [("desc", "created_at desc, id desc"), ("asc", "created_at, id")] {
            let right: Vec<String> = dba.column(&format!("select id::text from auth.users where id in ({truth}) order by {sort}"));
            let (mut got, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let after = cursor.as_str().map(|cursor| format!("after_cursor => '{cursor}',")).unwrap_or_default();
                let page =
                    asker.json(&format!("select auth.list_users_page({asked} {after} sort_direction => '{direction}', page_size => 2)"));
                assert_eq!(page["total"], right.len(), "{when}: {asked} {direction}");
                got.extend(page["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
                cursor = page["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            assert_eq!(got, right, "{when}: {asked} {direction}");
        }
    }
}

/// Whether totals come from what is kept: one that is wrong on purpose is believed.
fn is_kept(asker: &mut Actor, dba: &mut Actor) -> bool {
    let total = |asker: &mut Actor| asker.json("select auth.list_users_page(page_size => 1)")["total"].as_i64().unwrap();
    let before = total(asker);
    dba.run("insert into auth_private.directory_counts (facet, change) values ('users', 1000)");
    let after = total(asker);
    dba.run("delete from auth_private.directory_counts where change = 1000");
    after == before + 1000
}

fn seeded() -> Database {
    let db = Database::new();
    db.dba().run(
        "select auth.define_user_role('editor', '{post:edit}');
         select auth.create_user('u' || n || '@example.org', 'correct horse ' || n, 'U', case when n % 2 = 0 then '{editor,user}'::text[] else '{user}' end) from generate_series(1, 5) n;
         select auth.ban_user(id) from auth.users where email like 'u%' order by email limit 3",
    );
    db
}

#[test]
fn totals_and_pages_are_right_before_and_after_they_are_kept_and_whatever_anybody_changes() {
    let db = seeded();
    let (mut root, mut dba) = (db.admin("Root"), db.dba());
    compare(&mut root, &mut dba, "never counted");
    assert!(!is_kept(&mut root, &mut dba));
    dba.run("select auth.purge_expired()");
    assert!(is_kept(&mut root, &mut dba));
    for change in [
        "select 1",
        "select auth.create_user('new@example.org', 'correct horse battery', 'New', '{editor}')",
        "select auth.delete_user(id) from auth.users where email = 'u2@example.org'",
        "select auth.set_user_roles(id, '{user,editor}') from auth.users where email = 'u3@example.org'",
        "select auth.set_user_roles(id, '{user}') from auth.users where email = 'u4@example.org'",
        "select auth.unban_user(id) from auth.users where email = 'u1@example.org'",
        "select auth.ban_user(id, 'x', interval '1 hour') from auth.users where email = 'u5@example.org'",
        "update auth.bans set expires_at = now() - interval '1 second' where expires_at is not null",
        "select auth.import_users('[{\"email\": \"i1@example.org\"}, {\"email\": \"i2@example.org\", \"roles\": [\"editor\"]}, {\"email\": \"i1@example.org\"}]')",
        "begin; insert into auth.users (email) values ('gone@example.org'); savepoint s; insert into auth.users (email) values ('gone2@example.org'); rollback to s; rollback",
        "insert into auth.users (email) select 'raw' || n || '@example.org' from generate_series(1, 3) n",
        "insert into auth.user_roles (user_id, role) select id, 'editor' from auth.users where email like 'raw%'",
        "delete from auth.user_roles where role = 'editor' and user_id in (select id from auth.users where email like 'raw1%')",
        "insert into auth.bans (user_id, reason) select id, 'x' from auth.users where email like 'raw%'",
        "insert into auth.bans (user_id, reason) select id, 'x' from auth.users where false",
        "delete from auth.bans where user_id in (select id from auth.users where email like 'raw%')",
        "delete from auth.bans where false",
        "delete from auth.users where email like 'raw2%'",
    ] {
        dba.run(change);
        compare(&mut root, &mut dba, change);
        assert!(is_kept(&mut root, &mut dba), "{change}");
    }
    // More rows than are left lying about.
    dba.run("do $$ begin for n in 1..1100 loop insert into auth_private.directory_counts (facet, change) values ('users', (-1) ^ n); end loop; end $$");
    dba.run("select auth.purge_expired()");
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.directory_counts where counted_at is null and facet = 'users'"), 1);
    compare(&mut root, &mut dba, "after summing up");
}

#[test]
fn what_the_triggers_cannot_follow_is_counted_again() {
    let db = seeded();
    let (mut root, mut dba) = (db.admin("Root"), db.dba());
    for change in [
        "update auth.users set created_at = created_at - interval '1 day' where email = 'u2@example.org'",
        "update auth.user_roles set role = 'editor' where user_id = (select id from auth.users where email = 'u1@example.org')",
        "truncate auth.bans",
        "set session_replication_role = replica; insert into auth.users (email) values ('replicated@example.org'); reset session_replication_role",
        "set session_replication_role = replica; delete from auth.users where email = 'replicated@example.org'; reset session_replication_role",
        "set session_replication_role = replica; insert into auth.user_roles (user_id, role) select id, 'editor' from auth.users where email = 'u5@example.org'; reset session_replication_role",
        "set session_replication_role = replica; insert into auth.bans (user_id, reason) select id, 'x' from auth.users where email = 'u5@example.org'; reset session_replication_role",
    ] {
        dba.run("select auth.purge_expired()");
        assert!(is_kept(&mut root, &mut dba), "before {change}");
        dba.run(change);
        compare(&mut root, &mut dba, change);
        assert!(!is_kept(&mut root, &mut dba), "{change}");
    }
    dba.run("select auth.purge_expired()");
    compare(&mut root, &mut dba, "counted again");
    // Whoever switches the triggers off has wrong counts for a day at most, and no list of those who are not in it.
    dba.run(
        "insert into auth_private.directory_facets select id, 'role:editor', created_at from auth.users where email = 'u3@example.org'",
    );
    assert_eq!(
        root.json("select auth.list_users_page(filter_field => 'role', filter_value => 'editor', search_value => 'u3', count => 'none')")["users"],
        serde_json::json!([])
    );
    dba.run("alter table auth.users disable trigger user; insert into auth.users (email) values ('unseen@example.org'); alter table auth.users enable trigger user; alter table auth.users enable always trigger users_distrust_truncate, enable always trigger users_distrust_update, enable replica trigger users_distrust_replicated");
    dba.run("update auth_private.directory_counts set counted_at = counted_at - interval '1 day'; select auth.purge_expired()");
    compare(&mut root, &mut dba, "a day later");
}

#[test]
fn counting_waits_for_nobody_and_loses_nobody_who_is_on_the_way() {
    let db = seeded();
    let (mut root, mut dba) = (db.admin("Root"), db.dba());
    let (mut coming, mut going, mut counting) = (db.dba(), db.dba(), db.dba());
    coming.run("begin; insert into auth.users (email) values ('coming@example.org'); insert into auth.user_roles (user_id, role) select id, 'editor' from auth.users where email = 'coming@example.org'");
    going.run("begin; delete from auth.users where email = 'u4@example.org'; delete from auth.bans");
    dba.run("set lock_timeout = '2s'; select auth.purge_expired()");
    // Of two at a time one counts.
    counting.run("begin; lock auth_private.directory_counts in share update exclusive mode");
    dba.run("select auth.purge_expired()");
    counting.run("rollback");
    compare(&mut root, &mut dba, "before they commit");
    coming.run("commit");
    going.run("commit");
    compare(&mut root, &mut dba, "after");
    assert!(is_kept(&mut root, &mut dba));
}

#[test]
fn a_crash_and_a_standby_have_no_counts_and_count() {
    let primary = deeds::cluster("directory-primary", &[("auth.purge_interval", "0")]);
    let mut dba = primary.connect("postgres", "postgres");
    dba.run("select auth.create_user(name || '@example.org', 'correct horse battery') from unnest('{ann,cid}'::text[]) name");
    dba.run("select auth.purge_expired()");
    let mut service = primary.connect("service", "postgres");
    let total = |asker: &mut Actor| asker.json("select auth.list_users_page()")["total"].as_i64();
    let right = total(&mut service);
    assert!(right > Some(0) && is_kept(&mut service, &mut dba));
    let standby = primary.standby("directory-standby", &[]);
    assert_eq!(total(&mut standby.connect("service", "postgres")), right);
    drop((service, dba));
    primary.crash();
    primary.start_again();
    let (mut service, mut dba) = (primary.connect("service", "postgres"), primary.connect("postgres", "postgres"));
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.directory_counts"), 0);
    dba.run("select auth.create_user('bob@example.org', 'correct horse battery')");
    assert_eq!(total(&mut service), right.map(|count| count + 1));
}
