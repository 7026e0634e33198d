//! What our code takes for granted is not so: columns are gone, rows are corrupt. It is an error that tells no secret, and the connection
//! goes on. In a cluster of its own, where a crash would be seen.

use crate::deeds;
use pgrx_tests::PASSWORD;

struct Tampering {
    /// What a superuser does, and how it is undone.
    done: &'static str,
    undone: &'static str,
    /// Who then calls what.
    call: &'static str,
    /// The SQLSTATE; "ok" where it does not matter.
    outcome: &'static str,
}

const fn case(done: &'static str, undone: &'static str, call: &'static str, outcome: &'static str) -> Tampering {
    Tampering { done, undone, call, outcome }
}

const SIGN_IN: &str = "select auth.sign_in('ann@example.org', 'a password for tests')";
const GET: &str = "select auth.get_session()";

const CASES: &[Tampering] = &[
    case("alter table auth.users rename last_sign_in_at to x", "alter table auth.users rename x to last_sign_in_at", SIGN_IN, "42703"),
    case("alter table auth.users rename to people", "alter table auth.people rename to users", GET, "42P01"),
    case("alter table auth_private.passwords rename hash to x", "alter table auth_private.passwords rename x to hash", SIGN_IN, "42703"),
    case(
        "alter function auth_private.freshen_session rename to x",
        "alter function auth_private.x rename to freshen_session",
        "select auth.verify_password('a password for tests')",
        "42883",
    ),
    case("alter role auth_door rename to x", "alter role x rename to auth_door", "select auth.use_session('x')", "28000"),
    case(
        "alter table auth_private.session_keys alter authenticated_at drop not null; update auth_private.session_keys set authenticated_at = null",
        "update auth_private.session_keys set authenticated_at = now(); alter table auth_private.session_keys alter authenticated_at set not null",
        GET,
        "42804",
    ),
    case(
        "alter table auth_private.session_keys alter epoch drop not null; update auth_private.session_keys set epoch = null",
        "update auth_private.session_keys set epoch = 0; alter table auth_private.session_keys alter epoch set not null",
        "select auth.list_sessions()",
        "42804",
    ),
    case(
        "alter table auth.users drop constraint users_attributes_check; update auth.users set attributes = '{\"$serde_json::private::Number\": \"1\"}'",
        "update auth.users set attributes = '{}'",
        GET,
        "ok",
    ),
    case(
        "update auth.users set attributes = (repeat('[', 5000) || repeat(']', 5000))::jsonb",
        "update auth.users set attributes = '{}'",
        GET,
        "ok",
    ),
    case(
        "update auth.users set attributes = '[1]'",
        "update auth.users set attributes = '{}'",
        "select auth.update_user_attributes(auth.uid(), '{\"a\": 1}')",
        "22023",
    ),
    case(
        "update auth_private.signing_secrets set private_key = 'nonsense'",
        "delete from auth_private.signing_keys; with pair as (select * from auth_private.new_signing_key()), key as (insert into auth_private.signing_keys (kid, public_key) select kid, public_key from pair) insert into auth_private.signing_secrets select kid, private_key from pair",
        SIGN_IN,
        "ok",
    ),
    case("alter table auth_private.signing_keys rename to x", "alter table auth_private.x rename to signing_keys", SIGN_IN, "42P01"),
    case(
        "alter table auth.role_permissions drop constraint role_permissions_permission_check; insert into auth.role_permissions values ('user', 'nonsense')",
        "delete from auth.role_permissions where permission = 'nonsense'",
        "select auth.has_permission('user:list')",
        "ok",
    ),
    case("alter table auth.audit_log rename details to x", "alter table auth.audit_log rename x to details", SIGN_IN, "42703"),
    case("update auth_private.passwords set hash = '$argon2id$v=19$' || repeat('x', 1000)", "", SIGN_IN, "ok"),
];

#[test]
fn what_cannot_be_is_an_error_without_a_secret_and_the_connection_goes_on() {
    let cluster = deeds::cluster("tampering", &[("auth.max_failed_attempts", "100")]);
    let mut dba = cluster.connect("postgres", "postgres");
    let mut app = cluster.connect("app", "postgres");
    let result = app.json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"));
    let mut app = app.adopt("ann@example.org", &result);
    let hash: String = dba.one("select hash from auth_private.passwords");
    let pid: i32 = app.one("select pg_backend_pid()");
    for Tampering { done, undone, call, outcome } in CASES {
        dba.run(done);
        let got = match app.client.batch_execute(call) {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{done}: {error:?}")).clone();
                let said = format!("{error:?}");
                for secret in [PASSWORD, &app.token, &hash] {
                    assert!(!said.contains(secret), "{done}: {said}");
                }
                assert!(!said.contains("backtrace") && !said.contains("src/"), "nor where our code lies: {said}");
                error.code().code().to_owned()
            }
        };
        if !undone.is_empty() {
            dba.run(undone);
        }
        assert_eq!(got, *outcome, "{done}");
        assert_eq!(app.one::<i32>("select pg_backend_pid()"), pid);
        assert_eq!(dba.one::<i64>(&format!("select count(*) from pg_locks where pid = {pid}")), 0, "{done}");
        if !undone.is_empty() {
            let again = app.client.batch_execute(call);
            assert!(again.is_ok() || call.ends_with("use_session('x')"), "{done}: {again:?}");
            assert!(app.is_signed_in(), "{done}");
        }
    }
    assert!(!cluster.log().contains("was terminated by signal"));
}
