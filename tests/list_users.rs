//! Pages of users.

use pgrx_tests::{Actor, Database};
use serde_json::Value;

fn names(actor: &mut Actor, arguments: &str) -> Vec<String> {
    actor.column(&format!("select name from auth.list_users({arguments})"))
}

fn arranged() -> (Database, Actor) {
    let db = Database::new();
    let root = db.admin("Root");
    db.dba().run(
        r#"select auth.define_user_role('editor', '{}'), auth.define_user_role('editor-in-chief', '{}');
           select auth.create_user('anna@example.org', name => 'Anna', attributes => '{"plan": "pro"}', email_verified => true);
           select auth.create_user('hannah@example.com', name => 'Hannah 50%', roles => '{editor}', attributes => '{"plan": "free"}');
           select auth.create_user('bob_1@example.org', name => 'Bob', roles => '{user,editor-in-chief}');
           select auth.create_user('bobx1@example.org', name => 'Bobby');
           select auth.ban_user((select id from auth.users where name = 'Bobby'), 'spam', '1 day')"#,
    );
    (db, root)
}

#[test]
fn search_is_case_insensitive_and_literal() {
    let (_db, mut root) = arranged();
    for (arguments, expected) in [
        ("'ANNA'", vec!["Anna", "Hannah 50%"]),
        ("'anna', search_operator => 'starts_with'", vec!["Anna"]),
        ("'.COM', search_operator => 'ends_with'", vec!["Hannah 50%"]),
        ("'bob_1'", vec!["Bob"]),
        ("'%'", vec![]),
        ("'%', 'name'", vec!["Hannah 50%"]),
        ("'bob', 'name'", vec!["Bob", "Bobby"]),
        ("'bobby', 'any'", vec!["Bobby"]),
        ("'hannah@', 'any'", vec!["Hannah 50%"]),
        ("''", vec!["Anna", "Bob", "Bobby", "Hannah 50%", "Root"]),
        ("null", vec!["Anna", "Bob", "Bobby", "Hannah 50%", "Root"]),
        ("'a'", vec!["Anna", "Bob", "Bobby", "Hannah 50%", "Root"]),
    ] {
        let ordered = format!("{arguments}, sort_by => 'name', sort_direction => 'asc'");
        assert_eq!(names(&mut root, &ordered), expected, "{arguments}");
    }
}

#[test]
fn filters_compare_every_field_in_its_own_type() {
    let (db, mut root) = arranged();
    let anna: String = db.dba().one("select id::text from auth.users where name = 'Anna'");
    let all = ["Anna", "Bob", "Bobby", "Hannah 50%", "Root"];
    let but = |gone: &[&str]| all.iter().copied().filter(|name| !gone.contains(name)).collect::<Vec<_>>();
    for (field, operator, value, expected) in [
        ("id", "eq", anna.as_str(), vec!["Anna"]),
        ("id", "ne", &anna, but(&["Anna"])),
        ("id", "in", &format!("[\"{anna}\"]"), vec!["Anna"]),
        ("id", "not_in", &format!("[\"{anna}\"]"), but(&["Anna"])),
        ("id", "starts_with", &anna[..13], vec!["Anna"]),
        ("email", "eq", "anna@example.org", vec!["Anna"]),
        ("email", "contains", "ANNA@", vec!["Anna"]),
        ("email_verified", "eq", "true", vec!["Anna"]),
        ("email_verified", "ne", "true", but(&["Anna"])),
        ("name", "gte", "Hannah", vec!["Hannah 50%", "Root"]),
        ("name", "lt", "Bob", vec!["Anna"]),
        ("name", "lte", "Bob", vec!["Anna", "Bob"]),
        ("name", "gt", "Hannah 50%", vec!["Root"]),
        ("name", "in", "[\"Anna\", \"Bob\"]", vec!["Anna", "Bob"]),
        ("name", "in", "[]", vec![]),
        ("name", "not_in", "[]", all.to_vec()),
        ("role", "eq", "admin", vec!["Root"]),
        ("role", "eq", "editor", vec!["Hannah 50%"]),
        ("role", "contains", "editor", vec!["Hannah 50%"]),
        ("role", "ne", "user", vec!["Hannah 50%", "Root"]),
        ("role", "in", "[\"editor\", \"admin\"]", vec!["Hannah 50%", "Root"]),
        ("role", "not_in", "[\"editor\", \"admin\"]", vec!["Anna", "Bob", "Bobby"]),
        ("role", "starts_with", "edit", vec!["Bob", "Hannah 50%"]),
        ("banned", "eq", "true", vec!["Bobby"]),
        ("banned", "eq", "false", but(&["Bobby"])),
        ("banned", "ne", "true", but(&["Bobby"])),
        ("ban_expires_at", "gt", "2020-01-01", vec!["Bobby"]),
        ("ban_expires_at", "ne", "2020-01-01", all.to_vec()),
        ("created_at", "gt", "2020-01-01T00:00:00Z", all.to_vec()),
        ("created_at", "lt", "2020-01-01T00:00:00+02:00", vec![]),
        ("last_sign_in_at", "gt", "2020-01-01", vec!["Root"]),
        ("attributes.plan", "eq", "pro", vec!["Anna"]),
        ("attributes.plan", "ne", "pro", but(&["Anna"])),
        ("attributes.plan", "in", "[\"pro\", \"free\"]", vec!["Anna", "Hannah 50%"]),
        ("attributes.it's", "eq", "x", vec![]),
    ] {
        let arguments = format!(
            "filter_field => $${field}$$, filter_operator => '{operator}', filter_value => '{value}', sort_by => 'name', sort_direction => 'asc'"
        );
        assert_eq!(names(&mut root, &arguments), expected, "{field} {operator} {value}");
        let total = root.json(&format!("select auth.list_users_page({arguments})"))["total"].as_u64();
        assert_eq!(total, Some(expected.len() as u64), "{field} {operator} {value}");
    }
}

#[test]
fn bad_questions_are_refused_by_name() {
    let (_db, mut root) = arranged();
    for (arguments, argument) in [
        ("search_value => 'x', search_field => 'id'", "search_field"),
        ("search_value => 'x', search_operator => 'like'", "search_operator"),
        ("filter_field => 'hash', filter_value => 'x'", "filter_field"),
        ("filter_field => 'name', filter_value => 'x', filter_operator => 'like'", "filter_operator"),
        ("filter_field => 'name'", "filter_value"),
        ("filter_field => 'id', filter_value => 'x'", "filter_value"),
        ("filter_field => 'banned', filter_value => 'maybe'", "filter_value"),
        ("filter_field => 'created_at', filter_value => 'soon'", "filter_value"),
        ("filter_field => 'created_at', filter_value => '[\"soon\"]', filter_operator => 'in'", "filter_value"),
        ("filter_field => 'name', filter_value => 'x', filter_operator => 'in'", "filter_value"),
        ("sort_by => 'password'", "sort_by"),
        ("sort_by => 'email; drop table auth.users'", "sort_by"),
        ("sort_direction => 'up'", "sort_direction"),
        ("page_size => 0", "page_size"),
        ("page_size => 1001", "page_size"),
        ("page_size => -1", "page_size"),
        ("page_offset => -1", "page_offset"),
        ("after_cursor => 'x'", "after_cursor"),
    ] {
        for function in ["list_users", "list_users_page"] {
            root.is_refused(&format!("select auth.{function}({arguments})"), "22023", &format!("INVALID_ARGUMENT: {argument}"));
        }
    }
    let garbage = root.one::<String>(
        r#"select translate(encode('["created_at",true,"garbage","00000000-0000-0000-0000-000000000000"]', 'base64'), E'+/=\n', '-_')"#,
    );
    root.is_refused(&format!("select auth.list_users(after_cursor => '{garbage}')"), "22023", "INVALID_ARGUMENT: after_cursor");
    root.is_refused("select auth.list_users_page(count => 'some')", "22023", "INVALID_ARGUMENT: count");
}

#[test]
fn a_cursor_walks_every_order_without_gap_or_repeat() {
    let db = Database::new();
    let mut root = db.admin("Root");
    db.many_users(47);
    db.dba().run(
        "update auth.users set name = 'same' where email like '%1@%'; update auth.users set created_at = '2026-01-01' where email like '%2@%';
         update auth.users set email = null where email like '%30@%'; select auth.ban_user(id, ban_expires_in => '1 day') from auth.users where email like '%4@%'",
    );
    for sort in ["id", "email", "email_verified", "name", "banned", "ban_expires_at", "created_at", "updated_at", "last_sign_in_at"] {
        for direction in ["asc", "desc"] {
            let order = format!("sort_by => '{sort}', sort_direction => '{direction}'");
            let whole: Vec<String> = root.column(&format!("select id::text from auth.list_users({order}, page_size => 1000)"));
            let (mut walked, mut cursor) = (Vec::new(), None::<String>);
            // A session's settings must not change what a cursor means.
            root.run("set timezone = 'Pacific/Apia'; set datestyle = 'German'");
            loop {
                let after = cursor.map_or("null".to_owned(), |cursor| format!("'{cursor}'"));
                let page = root.json(&format!("select auth.list_users_page({order}, page_size => 7, after_cursor => {after})"));
                walked.extend(page["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
                assert_eq!(page["total"], 48, "{order}");
                cursor = page["next_cursor"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
            root.run("reset timezone; reset datestyle");
            assert_eq!(walked, whole, "{order}");
        }
    }
}

#[test]
fn the_page_says_what_it_is() {
    let db = Database::new();
    let mut root = db.admin("Root");
    db.many_users(9);
    let page = root.json("select auth.list_users_page(page_size => 4, page_offset => 8)");
    assert_eq!(
        (&page["total"], &page["limit"], &page["offset"], &page["next_cursor"]),
        (&Value::from(10), &Value::from(4), &Value::from(8), &Value::Null)
    );
    assert_eq!(page["users"].as_array().unwrap().len(), 2);
    assert_eq!(root.json("select auth.list_users_page(count => 'none')")["total"], Value::Null);
    db.dba().run("analyze auth.users");
    assert_eq!(root.json("select auth.list_users_page(count => 'estimated')")["total"], 10);
    assert_eq!(root.json("select auth.list_users_page('user1', count => 'estimated')")["total"], 1);
    let listed = root.json("select to_jsonb(u) from auth.list_users('user3') u");
    let single = root.json("select auth.get_user_by_email('user3@many.example')");
    assert_eq!(listed, single, "one shape everywhere");
    assert_eq!(root.json("select auth.list_users_page('user3') #> '{users,0}'"), single);
}

#[test]
fn page_and_total_are_of_one_moment() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let mut writer = db.dba();
    let writing = std::thread::spawn(move || {
        for n in 0..150 {
            writer.run(&format!("select auth.create_user('w{n}@many.example')"));
        }
    });
    while !writing.is_finished() {
        let page = root.json("select auth.list_users_page(page_size => 1000)");
        assert_eq!(page["total"].as_u64().unwrap(), page["users"].as_array().unwrap().len() as u64);
    }
    writing.join().unwrap();
}

#[test]
fn search_and_order_use_their_indexes() {
    let db = Database::new();
    let mut root = db.admin("Root");
    db.many_users(3000);
    db.dba().run("vacuum analyze auth.users");
    let mut owner = db.dba();
    owner.run(&format!("select auth.use_session('{}', false); set role auth_owner; set enable_seqscan = off", root.token));
    let mut plan = |query: &str| owner.column::<String>(&format!("explain (costs off) {query}")).join("\n");
    let search = plan("select * from auth_private.user_directory d where d.email operator(pg_catalog.~~*) '%user777%'::text");
    assert!(search.contains("users_email_trgm_idx") && search.contains("One-Time Filter"), "{search}");
    for (order, index) in [
        ("d.created_at", "users_created_at_idx"),
        ("coalesce(d.email, ''::pg_catalog.text)", "users_email_order_idx"),
        ("d.name", "users_name_idx"),
        ("d.updated_at", "users_updated_at_idx"),
        ("coalesce(d.last_sign_in_at, '-infinity'::pg_catalog.timestamptz)", "users_last_sign_in_at_idx"),
    ] {
        let page = plan(&format!("select d.id from auth_private.user_directory d order by {order} desc, d.id desc limit 10"));
        assert!(page.contains(index) && !page.contains("Sort"), "{page}");
    }
    assert_eq!(root.one::<i64>("select count(*) from auth.list_users('user777')"), 1);
}
