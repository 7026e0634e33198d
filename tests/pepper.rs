//! auth.pepper_file: the server's own keys under the hashes, their rotation, and what happens without them. In a cluster of its own.

use pgrx_tests::{Actor, Cluster, PASSWORD, development_directory, succeed};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TWO: &str = "////AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

struct Stage {
    cluster: Cluster,
    file: PathBuf,
}

impl Stage {
    fn new(name: &str) -> Self {
        let file = development_directory().join(format!("clusters/{name}.key"));
        let _ = fs::remove_file(&file);
        let settings = [
            ("fsync", "off"),
            ("shared_preload_libraries", "'pg_auth'"),
            ("auth.argon2_memory", "'8MB'"),
            ("auth.argon2_iterations", "1"),
            ("auth.pepper_file", &format!("'{}'", file.display())),
        ];
        let cluster = Cluster::start(name, &settings);
        let mut dba = cluster.connect("postgres", "postgres");
        dba.run("create role app login; create role service login; create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service");
        Stage { cluster, file }
    }

    /// What the file says from now on, with this mode.
    fn file_says(&self, text: &str, mode: u32) {
        self.write(&self.file, text, mode);
    }

    fn write(&self, file: &Path, text: &str, mode: u32) {
        let _ = fs::remove_file(file);
        fs::write(file, text).expect("the file");
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("its mode");
        let owner = fs::metadata(self.cluster.data()).expect("the data directory");
        use std::os::unix::fs::MetadataExt;
        chown(file, Some(owner.uid()), Some(owner.gid())).expect("its owner");
    }

    fn app(&self) -> Actor {
        self.cluster.connect("app", "postgres")
    }

    fn sign_up(&self, name: &str) -> Value {
        self.app().json(&format!("select auth.sign_up('{name}@example.org', '{PASSWORD}')"))
    }

    fn sign_in(&self, name: &str) -> Value {
        self.app().json(&format!("select auth.sign_in('{name}@example.org', '{PASSWORD}')"))
    }

    /// The name of the key under a user's hash.
    fn key(&self, name: &str) -> Option<String> {
        let hash: String = self.cluster.connect("postgres", "postgres").one(&format!(
            "select hash from auth_private.passwords p join auth.users u on u.id = p.user_id where email = '{name}@example.org'"
        ));
        let id = hash.split_once("keyid=")?.1.split(['$', ',']).next()?;
        Some(match id {
            "b25l" => "one".to_owned(),
            "dHdv" => "two".to_owned(),
            other => panic!("key {other}"),
        })
    }
}

#[test]
fn the_key_goes_into_every_hash_and_is_rotated_by_signing_in() {
    let stage = Stage::new("pepper_rotated");
    stage.file_says(&format!("one {ONE}\n"), 0o600);
    stage.sign_up("ann");
    stage.sign_up("bob");
    assert_eq!(stage.key("ann").as_deref(), Some("one"));
    assert!(stage.sign_in("ann")["token"].is_string());

    // The connection that has read the old file goes on.
    let mut connected = stage.app();
    connected.run("select auth.sign_in('nobody@example.org', 'whatever')");
    stage.file_says(&format!("# since today\ntwo {TWO}\none {ONE}\n"), 0o640);
    assert!(connected.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["token"].is_string());
    assert_eq!((stage.key("ann").as_deref(), stage.key("bob").as_deref()), (Some("two"), Some("one")));

    stage.file_says(&format!("two {TWO}\n"), 0o600);
    assert!(stage.sign_in("ann")["token"].is_string());
    assert_eq!(stage.sign_in("bob"), stage.sign_in("nobody"), "no more than of a wrong password");
    assert!(stage.cluster.log().contains("a password was hashed with the key \"one\""));
    // No client is told, whatever it asks for.
    let asked = format!("set client_min_messages = debug1; select auth.sign_in('bob@example.org', '{PASSWORD}')");
    let said = succeed(&mut stage.cluster.client("psql", "app", "postgres", ["-XAtc", &asked]));
    assert!(!String::from_utf8_lossy(&said.stderr).contains("key"), "{said:?}");

    let mut dba = stage.cluster.connect("postgres", "postgres");
    assert_eq!(dba.column::<String>("select finding from auth.check_deployment() where item = 'keys of passwords'"), ["one"]);

    // Another key of the same name is none.
    stage.file_says(&format!("one {TWO}\n"), 0o600);
    assert_eq!(stage.sign_in("bob")["code"], "INVALID_EMAIL_OR_PASSWORD");
    stage.file_says(&format!("one {ONE}\ntwo {TWO}\n"), 0o600);
    assert!(stage.sign_in("bob")["token"].is_string());
}

#[test]
fn without_its_keys_the_server_checks_and_makes_no_password() {
    let stage = Stage::new("pepper_missing");
    stage.file_says(&format!("one {ONE}\n"), 0o600);
    let ann = stage.sign_up("ann");
    let mut session = stage.app();
    session.run(&format!("select auth.use_session('{}', false)", ann["token"].as_str().expect("a token")));
    let problem = |said: &str| {
        let calls = [
            format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"),
            "select auth.sign_in('ann@example.org', 'not the password')".to_owned(),
            "select auth.sign_in('nobody@example.org', 'not the password')".to_owned(),
            format!("select auth.sign_up('new@example.org', '{PASSWORD}')"),
        ];
        for call in calls {
            stage.app().is_refused(&call, "F0000", "MISCONFIGURED");
        }
        assert!(stage.cluster.log().contains(said), "the log says: {said}");
        let mut dba = stage.cluster.connect("postgres", "postgres");
        assert_eq!(dba.one::<String>("select severity from auth.check_deployment() where item = 'auth.pepper_file'"), "high", "{said}");
    };
    fs::remove_file(&stage.file).expect("the file");
    problem("No such file or directory");
    stage.file_says(&format!("one {ONE}\n"), 0o604);
    problem("others than its owner and group have access");
    stage.file_says(&format!("one {}\n", &ONE[..20]), 0o600);
    problem("line 1: ");
    stage.file_says("", 0o600);
    problem("there is no key in it");
    fs::remove_file(&stage.file).expect("the file");
    succeed(std::process::Command::new("mkfifo").arg(&stage.file));
    problem("a file of at most");

    assert!(session.is_signed_in(), "sessions need no password");
    session.is_refused(&format!("select auth.change_password('{PASSWORD}', 'another password')"), "F0000", "MISCONFIGURED");
    let mut service = stage.cluster.connect("service", "postgres");
    service.is_refused(
        &format!("select auth.set_user_password('{}', 'another password')", session.one::<uuid::Uuid>("select auth.uid()")),
        "F0000",
        "MISCONFIGURED",
    );
    stage.file_says(&format!("one {ONE}\n"), 0o600);
    assert!(stage.sign_in("ann")["token"].is_string(), "nothing was counted");
    assert!(!stage.cluster.log().contains(&ONE[..20]), "a key in the log");
}

#[test]
fn nobody_points_the_server_at_another_file() {
    let stage = Stage::new("pepper_elsewhere");
    stage.file_says(&format!("one {ONE}\n"), 0o600);
    let mut app = stage.app();
    assert_eq!(app.refused("show auth.pepper_file").sqlstate, "42501");
    let mut dba = stage.cluster.connect("postgres", "postgres");
    for statement in ["set auth.pepper_file = '/dev/null'", "alter database postgres set auth.pepper_file = '/dev/null'"] {
        assert_eq!(dba.refused(statement).sqlstate, "55P02", "{statement}");
    }
    // Where a base backup would carry it with it.
    let inside = stage.cluster.data().join("pepper");
    stage.write(&inside, &format!("one {ONE}\n"), 0o600);
    dba.run(&format!("alter system set auth.pepper_file = '{}'", inside.display()));
    stage.cluster.control("restart");
    stage.app().is_refused(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"), "F0000", "MISCONFIGURED");
    assert!(stage.cluster.log().contains("it lies in the data directory"));
}

#[test]
fn a_key_can_be_brought_in_and_the_library_need_not_be_preloaded_for_it() {
    let stage = Stage::new("pepper_new");
    let mut dba = stage.cluster.connect("postgres", "postgres");
    dba.run("alter system set auth.pepper_file = ''");
    dba.run("alter system set shared_preload_libraries = 'plpgsql'");
    stage.cluster.control("restart");
    stage.sign_up("ann");
    assert_eq!(stage.key("ann"), None);
    let mut dba = stage.cluster.connect("postgres", "postgres");
    assert_eq!(dba.one::<String>("select severity from auth.check_deployment() where item = 'auth.pepper_file'"), "low");
    stage.file_says(&format!("two {TWO}\n"), 0o600);
    let mut dba = stage.cluster.connect("postgres", "postgres");
    dba.run("alter system reset auth.pepper_file");
    stage.cluster.control("reload");
    assert!(stage.sign_in("ann")["token"].is_string());
    assert_eq!(stage.key("ann").as_deref(), Some("two"));
}
