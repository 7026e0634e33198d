//! Application roles and who holds them.

use pgrx_tests::Database;
use serde_json::json;

#[test]
fn roles_are_defined_listed_redefined_and_dropped() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let role = root.json("select auth.define_user_role('editor', '{post:edit,user:list}', 'Edits')");
    assert_eq!(
        (&role["name"], &role["permissions"], &role["description"], &role["built_in"]),
        (&json!("editor"), &json!(["post:edit", "user:list"]), &json!("Edits"), &json!(false))
    );
    let again = root.json("select auth.define_user_role('editor', '{post:edit,post:delete}')");
    assert_eq!((&again["permissions"], &again["created_at"]), (&json!(["post:delete", "post:edit"]), &role["created_at"]));
    assert_eq!(root.column::<String>("select name from auth.list_user_roles()"), ["admin", "editor", "user"]);
    let admin: Vec<String> = root.one("select permissions from auth.list_user_roles() where name = 'admin'");
    assert!(admin.contains(&"post:edit".to_owned()) && !admin.contains(&"user:impersonate-admins".to_owned()) && admin.len() == 25);
    assert!(root.one::<bool>("select auth.has_permission('post:edit')"), "an administrator holds what applications add");
    root.run("select auth.drop_user_role('editor')");
    root.is_refused("select auth.drop_user_role('editor')", "42704", "ROLE_NOT_FOUND");
    root.is_refused("select auth.has_permission('post:edit')", "22023", "INVALID_ARGUMENT: permission");
}

#[test]
fn bad_definitions_are_refused() {
    let db = Database::new();
    let mut root = db.admin("Root");
    for (arguments, sqlstate, detail) in [
        ("null, '{}'", "22004", "MISSING_ARGUMENT: name"),
        ("'x', null", "22004", "MISSING_ARGUMENT: permissions"),
        ("'X', '{}'", "22023", "INVALID_ARGUMENT: name"),
        ("'', '{}'", "22023", "INVALID_ARGUMENT: name"),
        ("repeat('x', 64), '{}'", "22023", "INVALID_ARGUMENT: name"),
        ("'x', '{post}'", "22023", "INVALID_ARGUMENT: permissions"),
        ("'x', '{null}'", "22023", "INVALID_ARGUMENT: permissions"),
        ("'x', '{post:edit:all}'", "22023", "INVALID_ARGUMENT: permissions"),
        ("'x', '{}', repeat('x', 1001)", "22023", "INVALID_ARGUMENT: description"),
        ("'admin', '{}'", "42501", "PROTECTED_ROLE: admin"),
        ("'user', '{user:list}'", "42501", "PROTECTED_ROLE: user"),
    ] {
        root.is_refused(&format!("select auth.define_user_role({arguments})"), sqlstate, detail);
    }
    root.is_refused("select auth.drop_user_role('admin')", "42501", "PROTECTED_ROLE: admin");
    root.is_refused("select auth.drop_user_role(null)", "22004", "MISSING_ARGUMENT: name");
}

#[test]
fn set_user_roles_replaces_and_a_held_role_cannot_be_dropped() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let id = ann.id;
    root.run("select auth.define_user_role('editor', '{}')");
    assert_eq!(root.json(&format!("select auth.set_user_roles('{id}', '{{editor,user}}')"))["roles"], json!(["editor", "user"]));
    assert_eq!(root.json(&format!("select auth.set_user_roles('{id}', '{{editor}}')"))["roles"], json!(["editor"]));
    assert_eq!(root.one::<uuid::Uuid>(&format!("select granted_by from auth.user_roles where user_id = '{id}'")), root.id);
    root.is_refused("select auth.drop_user_role('editor')", "55006", "ROLE_IN_USE");
    for (arguments, sqlstate, detail) in [
        ("'{}'", "22023", "INVALID_ARGUMENT: roles"),
        ("'{nobody}'", "22023", "INVALID_ROLE: roles"),
        ("'{user,null}'", "22023", "INVALID_ARGUMENT: roles"),
        ("null", "22004", "MISSING_ARGUMENT: roles"),
    ] {
        root.is_refused(&format!("select auth.set_user_roles('{id}', {arguments})"), sqlstate, detail);
    }
    root.is_refused(&format!("select auth.set_user_roles('{}', '{{user}}')", uuid::Uuid::nil()), "42704", "USER_NOT_FOUND");
}

#[test]
fn an_administrator_can_demote_themselves_while_another_stays() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let own = root.id;
    root.is_refused(&format!("select auth.set_user_roles('{own}', '{{user}}')"), "55000", "LAST_ADMIN");
    db.admin("Second");
    assert_eq!(root.json(&format!("select auth.set_user_roles('{own}', '{{user}}')"))["roles"], json!(["user"]));
    assert!(root.is_signed_in(), "a change of roles ends no session");
}

#[test]
fn two_who_define_the_same_new_role_at_once_both_may_and_the_second_counts() {
    let db = Database::new();
    let (mut first, mut second, mut lesser) = (db.admin("Root"), db.admin("Other"), db.holder("definer", &["role:define", "a:b"]));
    for (name, second) in [("one", &mut second), ("two", &mut lesser)] {
        first.run(&format!("begin; select auth.define_user_role('{name}', '{{x:y}}')"));
        let outcome = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| second.print(&format!("select auth.define_user_role('{name}', '{{a:b}}') -> 'permissions'")));
            db.until_it_waits("define_user_role");
            first.run("commit");
            waiting.join().expect("an outcome")
        });
        if name == "one" {
            assert_eq!(outcome, (vec!["[\"a:b\"]".to_owned()], false));
        } else {
            assert!(outcome.0[0].contains("TARGET_OUTRANKS_YOU"), "what it has become meanwhile holds what they lack: {outcome:?}");
        }
    }
    // And of a role that was there.
    first.run("select auth.define_user_role('three', '{a:b}')");
    first.run("begin; select auth.define_user_role('three', '{a:b,x:y}')");
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lesser.print("select auth.define_user_role('three', '{}')"));
        db.until_it_waits("define_user_role");
        first.run("commit");
        waiting.join().expect("an outcome")
    });
    assert!(outcome.0[0].contains("TARGET_OUTRANKS_YOU"), "{outcome:?}");
    assert_eq!(first.one::<Vec<String>>("select permissions from auth.list_user_roles() where name = 'three'"), ["a:b", "x:y"]);
}

#[test]
fn to_grant_a_role_and_to_define_it_wait_for_each_other_in_one_order() {
    let db = Database::new();
    let (mut first, mut second, ann) = (db.admin("Root"), db.admin("Other"), db.user("Ann"));
    first.run("select auth.define_user_role('mod', '{a:b}')");
    first.run(&format!("begin; select auth.ban_user('{}')", ann.id));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second.print(&format!("select auth.set_user_roles('{}', '{{mod}}') is not null", ann.id)));
        db.until_it_waits("set_user_roles");
        first.run("select auth.define_user_role('mod', '{a:c}'); commit");
        assert!(!waiting.join().expect("an outcome").1);
    });
}
