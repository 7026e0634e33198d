//! The clients that people really use: psql, psycopg, tokio-postgres.

use pgrx_tests::{Database, PASSWORD, development_directory, succeed};
use std::process::Command;

#[test]
fn psql_signs_in_with_gset_and_holds_a_session_on_its_connection() {
    let db = Database::new();
    db.admin("Root");
    let script = format!(
        "select auth.sign_in('root@example.org', '{PASSWORD}') ->> 'token' as token \\gset
         select auth.use_session(:'token', is_local => false) is not null;
         select auth.create_user('new@example.org') ->> 'email';
         select email from auth.users where email like 'new%';
         \\df+ auth.ban_user
         discard all;
         select auth.uid() is null;"
    );
    let output =
        succeed(Database::cluster().client("psql", "app", &db.name, ["-XAt", "-v", "ON_ERROR_STOP=1", "-f", "/dev/stdin"]).stdin({
            let file = Database::cluster().socket().join(format!("{}.sql", db.name));
            std::fs::write(&file, script).expect("a script");
            std::fs::File::open(file).expect("the script")
        }));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[..3], ["t", "new@example.org", "new@example.org"], "{said}");
    assert!(said.contains("Bans a user, ends all of their sessions"), "the manual: {said}");
    assert_eq!(lines[lines.len() - 2..], ["DISCARD ALL", "t"], "{said}");
}

const PSYCOPG: &str = r#"
import json, sys, psycopg
host, port, dbname, password = sys.argv[1:]
with psycopg.connect(host=host, port=port, dbname=dbname, user="app", autocommit=True, prepare_threshold=1) as db:
    token = db.execute("select auth.sign_in(%s, %s) ->> 'token'", ["root@example.org", password]).fetchone()[0]
    with db.transaction():
        user = db.execute("select auth.use_session(%s)", [token]).fetchone()[0]
        for n in range(20):  # prepared from the second on
            made = db.execute("select auth.create_user(%s, name => %s)", [f"u{n}@example.org", f"U {n}"]).fetchone()[0]
            assert made["email"] == f"u{n}@example.org", made
        assert db.execute("select count(*) from auth.list_users(page_size => 1000)").fetchone()[0] == 21
    assert db.execute("select auth.uid()").fetchone()[0] is None
    try:
        db.execute("select * from auth.list_users()")
        raise SystemExit("was not refused")
    except psycopg.errors.InvalidAuthorizationSpecification as error:
        assert error.diag.message_detail == "NOT_SIGNED_IN", error.diag.message_detail
    # A pipeline: the identity and what needs it travel together.
    with db.pipeline(), db.transaction():
        db.execute("select auth.use_session(%s)", [token])
        listed = db.execute("select count(*) from auth.list_users('u1')")
        patched = db.execute("select auth.update_user(%s, %s)", [user, json.dumps({"name": "Root", "image": None})])
    assert listed.fetchone()[0] == 11 and patched.fetchone()[0]["name"] == "Root"
    with db.cursor(binary=True) as cursor, db.transaction():
        cursor.execute("select auth.use_session(%s)", [token])
        row = cursor.execute("select id, roles, created_at, attributes from auth.list_users('root')").fetchone()
        assert row[0] == user and row[1] == ["admin"] and row[2].tzinfo and row[3] == {}, row
print("ok")
"#;

#[test]
fn psycopg_uses_prepared_statements_pipelines_and_the_binary_format() {
    let db = Database::new();
    db.admin("Root");
    let cluster = Database::cluster();
    let arguments = [cluster.socket().to_str().unwrap(), &cluster.port.to_string(), &db.name, PASSWORD].map(str::to_owned);
    let output = succeed(Command::new(development_directory().join("python/bin/python")).args(["-c", PSYCOPG]).args(arguments));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}

#[test]
fn tokio_postgres_pipelines_on_one_connection() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let cluster = Database::cluster();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(cluster.socket()).port(cluster.port).user("app").dbname(&db.name);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let switch = client.prepare("select auth.use_session($1, false)").await.unwrap();
        let who = client.prepare("select auth.uid(), count(*) from auth.users").await.unwrap();
        let reset = client.prepare("select auth.reset_session()").await.unwrap();
        let tokens: [[&(dyn tokio_postgres::types::ToSql + Sync); 1]; 2] = [[&ann.token], [&bob.token]];
        // All six are sent before the first answer comes.
        let answers = tokio::try_join!(
            client.query_one(&switch, &tokens[0]),
            client.query_one(&who, &[]),
            client.query_one(&switch, &tokens[1]),
            client.query_one(&who, &[]),
            client.execute(&reset, &[]),
            client.query_one(&who, &[]),
        )
        .unwrap();
        assert_eq!(answers.1.get::<_, Option<uuid::Uuid>>(0), Some(ann.id));
        assert_eq!(answers.3.get::<_, Option<uuid::Uuid>>(0), Some(bob.id));
        assert_eq!((answers.5.get::<_, Option<uuid::Uuid>>(0), answers.5.get::<_, i64>(1)), (None, 0));
        drop(client);
        connection.await.unwrap().unwrap();
    });
}
