//! The throttle, where the library is preloaded: what is counted before a password is checked nothing takes back. In a cluster of its own.

use pgrx_tests::{Actor, Cluster, PASSWORD};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

/// auth.max_failed_attempts by default.
const MOST: usize = 10;

struct Stage(Cluster);

impl Stage {
    fn new() -> Self {
        let settings = [
            ("fsync", "off"),
            ("shared_preload_libraries", "'pg_auth'"),
            ("auth.argon2_memory", "'8MB'"),
            ("auth.argon2_iterations", "1"),
            ("max_prepared_transactions", "5"),
            ("max_connections", "120"),
        ];
        let cluster = Cluster::start("throttle", &settings);
        let mut dba = cluster.connect("postgres", "postgres");
        dba.run("create role app login; create role service login; create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service");
        Stage(cluster)
    }

    fn app(&self) -> Actor {
        self.0.connect("app", "postgres")
    }

    fn user(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        self.0.connect("service", "postgres").run(&format!("select auth.create_user('{email}', '{PASSWORD}')"));
        email
    }

    /// Even the right password must wait now.
    fn is_closed(&self, email: &str) {
        let refusal = self.app().refused(&format!("select auth.sign_in('{email}', '{PASSWORD}')"));
        assert_eq!((refusal.sqlstate.as_str(), refusal.code()), ("53400", "TOO_MANY_ATTEMPTS"), "{email}");
    }
}

fn wrong(email: &str) -> String {
    format!("select auth.sign_in('{email}', 'not the password')")
}

/// A message of the frontend/backend protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

/// Parse, Bind, Execute, Flush: the verdict is read, and the connection is gone before any Sync could end the transaction.
fn flush_and_hang_up(cluster: &Cluster, statement: &str) {
    let mut socket = UnixStream::connect(cluster.socket().join(format!(".s.PGSQL.{}", cluster.port))).expect("the server");
    let parameters = b"\0\x03\0\0user\0app\0database\0postgres\0\0";
    socket
        .write_all(&[&u32::try_from(parameters.len() + 4).expect("short").to_be_bytes(), parameters.as_slice()].concat())
        .expect("a startup");
    let read_until = |kind: u8, socket: &mut UnixStream| loop {
        let mut head = [0; 5];
        socket.read_exact(&mut head).expect("an answer");
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        socket.read_exact(&mut body).expect("an answer");
        if head[0] == kind || head[0] == b'E' {
            return head[0];
        }
    };
    assert_eq!(read_until(b'Z', &mut socket), b'Z');
    let parse = message(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
    let rest = [message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'H', b"")].concat();
    socket.write_all(&[parse, rest].concat()).expect("a statement");
    read_until(b'D', &mut socket);
}

#[test]
fn no_way_to_ask_takes_an_attempt_back() {
    let stage = Stage::new();

    let email = stage.user("rollback");
    let mut app = stage.app();
    for _ in 0..MOST {
        app.run("begin");
        app.is_answered(&wrong(&email), "INVALID_EMAIL_OR_PASSWORD");
        app.run("rollback");
    }
    stage.is_closed(&email);

    let email = stage.user("savepoints");
    app.run("begin");
    for _ in 0..MOST {
        app.run("savepoint s");
        app.is_answered(&wrong(&email), "INVALID_EMAIL_OR_PASSWORD");
        app.run("rollback to s");
    }
    app.run("rollback");
    stage.is_closed(&email);

    let email = stage.user("words");
    let words = format!("select count(auth.sign_in('{email}', 'word number ' || n)) from generate_series(1, 1000) n");
    assert_eq!(app.refused(&words).code(), "TOO_MANY_ATTEMPTS");
    stage.is_closed(&email);

    let email = stage.user("flush");
    for _ in 0..MOST {
        flush_and_hang_up(&stage.0, &wrong(&email));
    }
    stage.is_closed(&email);

    let email = stage.user("exceptions");
    app.run(&format!(
        "do $$ begin for n in 1..{MOST} loop begin perform auth.sign_in('{email}', 'word number ' || n); raise exception 'x';
                exception when raise_exception then null; end; end loop; end $$"
    ));
    stage.is_closed(&email);

    let email = stage.user("prepared");
    for n in 0..MOST {
        app.run("begin");
        app.is_answered(&wrong(&email), "INVALID_EMAIL_OR_PASSWORD");
        app.run(&format!("prepare transaction 'p{n}'"));
        app.run(&format!("rollback prepared 'p{n}'"));
    }
    stage.is_closed(&email);

    let email = stage.user("cancelled");
    let mut verdicts = 0;
    for pause in 0..200 {
        // Under the one before, which may strike this already.
        while app.client.batch_execute(&format!("set statement_timeout = '{}ms'", 1 + pause % 12)).is_err() {}
        match app.client.simple_query(&wrong(&email)) {
            Ok(_) => verdicts += 1,
            Err(error) if error.code().is_some_and(|code| code.code() == "57014") => {}
            Err(error) => {
                assert_eq!(error.code().expect("a code").code(), "53400");
                break;
            }
        }
    }
    app.run("set statement_timeout = 0");
    assert!(verdicts <= MOST, "{verdicts}");
    stage.is_closed(&email);

    // The other places to guess at count with it.
    let email = stage.user("session");
    let result = app.json(&format!("select auth.sign_in('{email}', '{PASSWORD}')"));
    let mut session = stage.app().adopt(&email, &result);
    for _ in 0..MOST {
        session.run("begin");
        session.is_answered("select auth.verify_password('not the password')", "INVALID_PASSWORD");
        session.run("rollback");
    }
    stage.is_closed(&email);

    // And in an address that is nobody's, or the pause would tell.
    for _ in 0..MOST {
        app.is_answered(&wrong("nobody@example.org"), "INVALID_EMAIL_OR_PASSWORD");
    }
    stage.is_closed("nobody@example.org");

    // A right password clears the count, and what must wait does not add to it.
    let email = stage.user("owner");
    for _ in 0..3 {
        for _ in 1..MOST {
            app.run(&format!("begin; {}; rollback", wrong(&email)));
        }
        app.json(&format!("select auth.sign_in('{email}', '{PASSWORD}')"))["token"].as_str().expect("signed in");
    }
}

#[test]
fn fifty_connections_at_once_get_no_more_verdicts_than_one() {
    let cluster = Cluster::start(
        "throttle-many",
        &[
            ("fsync", "off"),
            ("shared_preload_libraries", "'pg_auth'"),
            ("auth.argon2_memory", "'8MB'"),
            ("auth.argon2_iterations", "1"),
            ("auth.hash_wait", "60s"),
        ],
    );
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create role app login; create extension pg_auth cascade; grant anon, authenticated to app");
    dba.run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"));
    let actors: Vec<Actor> = (0..50).map(|_| cluster.connect("app", "postgres")).collect();
    let verdicts: usize = thread::scope(|scope| {
        let guesses = actors.into_iter().map(|mut app| {
            scope.spawn(move || match app.client.simple_query(&format!("begin; {}; rollback", wrong("ann@example.org"))) {
                Ok(_) => 1,
                Err(error) => {
                    assert_eq!(error.code().expect("a code").code(), "53400");
                    0
                }
            })
        });
        guesses.collect::<Vec<_>>().into_iter().map(|guess| guess.join().expect("an answer")).sum()
    });
    assert_eq!(verdicts, MOST);
    // A restart begins anew, but for what was committed.
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.failed_attempts"), 0);
}

#[test]
fn an_address_is_one_in_every_spelling_and_a_customers_network_is_one_address() {
    let db = pgrx_tests::Database::new();
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 3", db.name));
    let mut service = db.service();
    let guess = |n: usize, from: &str| format!("select auth.sign_in('nobody{n}@example.org', 'not the password', ip_address => '{from}')");
    for (n, from) in
        ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "198.51.100.7", "::ffff:198.51.100.7", "198.51.100.7"].into_iter().enumerate()
    {
        service.is_answered(&guess(n, from), "INVALID_EMAIL_OR_PASSWORD");
    }
    for from in ["2001:db8::4:4", "::ffff:198.51.100.7"] {
        assert_eq!(service.refused(&guess(99, from)).code(), "TOO_MANY_ATTEMPTS", "{from}");
    }
    for (n, from) in ["2001:db8:0:1::1", "198.51.100.8"].into_iter().enumerate() {
        service.is_answered(&guess(200 + n, from), "INVALID_EMAIL_OR_PASSWORD");
    }
    // Everybody on the machine of a gateway that speaks both protocols.
    for n in 0..5 {
        service.is_answered(&guess(300 + n, "::ffff:127.0.0.1"), "INVALID_EMAIL_OR_PASSWORD");
    }
}

/// An attempt that was not made pays for nothing and drives nobody's count out.
#[test]
fn who_gives_up_before_their_turn_is_not_counted() {
    let settings = [("fsync", "off"), ("shared_preload_libraries", "'pg_auth'"), ("auth.hash_slots", "1"), ("auth.hash_wait", "'2min'")];
    let cluster = Cluster::start("waiting", &settings);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create role app login; create extension pg_auth cascade; grant anon, authenticated to app");
    dba.run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"));
    let mut holder = cluster.connect("postgres", "postgres");
    holder.run("set auth.argon2_memory = '256MB'; set auth.argon2_iterations = 10");
    thread::scope(|scope| {
        scope.spawn(|| holder.run(&format!("select auth.sign_up('slow@example.org', '{PASSWORD}')")));
        while !dba
            .one::<bool>("select exists (select from pg_locks where locktype = 'advisory' and objsubid = 28769 and granted and objid = 0)")
        {
            thread::sleep(std::time::Duration::from_millis(2));
        }
        let mut app = cluster.connect("app", "postgres");
        app.run("set statement_timeout = '20ms'");
        for _ in 0..2 * MOST {
            assert_eq!(app.refused(&wrong("ann@example.org")).sqlstate, "57014");
        }
    });
    let mut app = cluster.connect("app", "postgres");
    assert!(app.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["token"].is_string());
}
