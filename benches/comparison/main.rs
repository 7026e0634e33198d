//! What it takes at a million users and sessions (PG_AUTH_BENCH_USERS and PG_AUTH_BENCH_SESSIONS say other numbers), against what one would pick
//! instead: medians of one run on one server, into docs/benchmarks.md. Ours is called as an application calls it, over the wire and prepared;
//! Better Auth through its own API.

// What the extension hashes with.
#[path = "../../src/domain/mod.rs"]
#[allow(dead_code, unused_imports)]
mod domain;
#[path = "../../src/error.rs"]
#[allow(dead_code)]
mod error;
#[path = "../../src/backend/hash_memory.rs"]
mod hash_memory;
mod huge_pages;
mod plot;
mod rows;
mod sample;

use huge_pages::HugePages;
use pgrx_tests::{Actor, Cluster, development_directory, succeed};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The databases: ours, a small one of ours, and Better Auth's.
pub struct Stage {
    pub cluster: Cluster,
    pub users: u32,
    pub sessions: u32,
    /// Whether the server's memory is in huge pages.
    pub in_huge_pages: bool,
}

/// Users of the small database.
pub const FEW: u32 = 100_000;

const SETTINGS: [(&str, &str); 8] = [
    // None in the midst of it, and files to write to that are there already, as on a server that has run for a while.
    ("checkpoint_timeout", "'1h'"),
    ("min_wal_size", "'4GB'"),
    ("shared_preload_libraries", "'pg_auth'"),
    ("max_wal_size", "'8GB'"),
    ("max_connections", "50"),
    ("auth.purge_interval", "0"),
    // Tables that were just filled are not vacuumed in the midst of it.
    ("autovacuum", "off"),
    ("synchronous_commit", "on"),
];

impl Stage {
    fn new() -> Self {
        let number = |name: &str, default: u32| match std::env::var(name) {
            Ok(text) if !text.is_empty() => text.parse().expect("a number"),
            _ => default,
        };
        let users = number("PG_AUTH_BENCH_USERS", 1_000_000);
        let sessions = number("PG_AUTH_BENCH_SESSIONS", users).max(users);
        let buffers = memory() * 3 / 8;
        let pages = HugePages::reserve(buffers);
        let in_huge_pages = pages.is_some();
        let memory = [("shared_buffers", &*format!("'{buffers}MB'")), ("huge_pages", if in_huge_pages { "on" } else { "off" })];
        let stage = Stage { cluster: Cluster::start("bench", &[&SETTINGS[..], &memory].concat()), users, sessions, in_huge_pages };
        drop(pages);
        let mut dba = stage.cluster.connect("postgres", "postgres");
        dba.run("create role app login; create role service login");
        for (database, users, sessions) in [("ours", users, sessions), ("few", FEW.min(users), FEW.min(users))] {
            println!("==> filling the database \"{database}\" with {users} users and {sessions} sessions");
            dba.run(&format!("create database {database}"));
            let mut dba = stage.cluster.connect("postgres", database);
            dba.run("create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service");
            dba.run(&include_str!("seed.sql").replace("$users", &users.to_string()).replace("$sessions", &sessions.to_string()));
            dba.run("vacuum analyze");
            dba.run("select auth.purge_expired()");
            dba.run("vacuum analyze auth_private.directory_counts");
        }
        println!("==> filling Better Auth's with as many");
        dba.run("create database better");
        stage.better_auth("migrate");
        let mut dba = stage.cluster.connect("postgres", "better");
        dba.run(&include_str!("seed_peer.sql").replace("$users", &users.to_string()));
        dba.run("vacuum analyze");
        // What is still to be written would be written in the midst of it.
        dba.run("checkpoint");
        succeed(&mut Command::new("sync"));
        for database in ["ours", "few", "better"] {
            warm(&mut stage.cluster.connect("postgres", database));
        }
        stage
    }

    /// Somebody in our database.
    pub fn connect(&self, role: &str, database: &str) -> Actor {
        self.cluster.connect(role, database)
    }

    /// A connection that holds the session of an administrator.
    pub fn admin(&self) -> Actor {
        let mut dba = self.connect("postgres", "ours");
        dba.run("select auth.create_user('admin' || gen_random_uuid() || '@bench.example', 'correct horse battery', 'Admin', '{admin}')");
        let email: String = dba.one("select email from auth.users where email like 'admin%' order by created_at desc limit 1");
        let mut app = self.connect("app", "ours");
        let result = app.json(&format!("select auth.sign_in('{email}', 'correct horse battery')"));
        app.adopt(&email, &result)
    }

    /// Runs Better Auth; what it prints.
    fn better_auth(&self, argument: &str) -> String {
        if argument == "migrate" {
            fs::write(better_auth_script(), include_str!("better_auth.mjs")).expect("a script");
        }
        String::from_utf8(succeed(&mut self.better_auth_command(argument)).stdout).expect("text")
    }

    fn better_auth_command(&self, argument: &str) -> Command {
        let mut command = Command::new(development_directory().join("python/bin/node"));
        command
            .arg(better_auth_script())
            .arg(argument)
            .env("PGHOST", self.cluster.socket())
            .env("PGPORT", self.cluster.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "better")
            .env("BETTER_AUTH_TELEMETRY", "0");
        command
    }
}

fn better_auth_script() -> PathBuf {
    development_directory().join("peers/comparison.mjs")
}

/// Better Auth in a process of its own, which is asked in turns with ours: this machine's speed changes within a minute.
pub struct BetterAuth {
    process: Child,
    answers: Lines<BufReader<ChildStdout>>,
    took: BTreeMap<&'static str, Vec<f64>>,
}

impl BetterAuth {
    pub fn start(stage: &Stage) -> Self {
        let mut process =
            stage.better_auth_command("turns").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node with Better Auth");
        let answers = BufReader::new(process.stdout.take().expect("its output")).lines();
        BetterAuth { process, answers, took: BTreeMap::new() }
    }

    /// At the first of those that are done on end in a turn of [`sample::in_turns`], calls each of these so many times, and keeps what that took,
    /// unless the turn warms up. As of ours, the first call of each brings its process back into the cores' caches.
    pub fn take_turn(&mut self, n: usize, (turns, on_end): (usize, usize), calls: &[(&'static str, usize)]) {
        if !n.is_multiple_of(on_end) {
            return;
        }
        for (what, times) in calls {
            writeln!(self.process.stdin.as_mut().expect("its input"), "{what} {}", times + 1).expect("a line");
            let answer = self.answers.next().expect("an answer").expect("a line");
            let took: Vec<f64> = serde_json::from_str(&answer).expect("times");
            if n / on_end >= sample::warming_up(turns) {
                self.took.entry(what).or_default().extend(&took[1..]);
            }
        }
    }

    /// In microseconds.
    pub fn median(&self, what: &str) -> f64 {
        sample::median(&self.took[what])
    }
}

impl Drop for BetterAuth {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Stage {
    /// Client and server on these cores. On one core neither falls asleep while the other works: otherwise one would measure what it takes to
    /// wake a core up, which is five times a look-up, and comes and goes.
    pub fn on_cores(&self, list: &str) {
        let mut pids: Vec<i32> = self.connect("postgres", "postgres").column("select pid from pg_stat_activity");
        let postmaster: String = self.connect("postgres", "postgres").one("select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)");
        pids.extend([postmaster.parse::<i32>().expect("a pid"), std::process::id() as i32]);
        for pid in pids {
            // Some have gone meanwhile.
            let _ = Command::new("taskset").args(["-acp", list, &pid.to_string()]).output();
        }
    }

    /// What a session costs Better Auth, in microseconds, when as many processes as there are cores are busy with nothing else: Node.js runs on
    /// one core.
    pub fn better_auth_busy(&self) -> f64 {
        let each: Vec<f64> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..cores()).map(|_| scope.spawn(|| self.better_auth("busy"))).collect();
            runs.into_iter().map(|run| run.join().expect("a run").trim().parse().expect("a time")).collect()
        });
        each.iter().sum::<f64>() / (each.len() * each.len()) as f64
    }
}

/// Brings a database into the server's memory, as one is that is in use.
fn warm(dba: &mut Actor) {
    dba.run("create extension if not exists pg_prewarm; select sum(pg_prewarm(oid::regclass)) from pg_class where relkind = any ('{r,i}') and oid >= 16384");
}

/// What the machine has, in MB.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.split_ascii_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok());
    total.map_or(4096, |kilobytes| kilobytes / 1024)
}

/// How many the machine has.
pub fn cores() -> usize {
    // Also those that we are not on.
    // SAFETY: a question that cannot fail in a way that matters.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1)
}

/// libargon2, in a process of its own that hashes once for each line.
pub struct Argon2(Child);

impl Argon2 {
    /// At the cost that ours has by default.
    pub fn start() -> Self {
        let script = "import sys, argon2.low_level as a\nfor line in sys.stdin:\n    a.hash_secret_raw(b'correct horse battery', b'0123456789abcdef', 2, 19456, 1, 32, a.Type.ID)\n    print(flush=True)";
        let child = Command::new(development_directory().join("python/bin/python"))
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Argon2(child.expect("python with argon2-cffi"))
    }

    /// Once.
    pub fn hash(&mut self) {
        self.0.stdin.as_mut().expect("its input").write_all(b"\n").expect("a line");
        self.0.stdout.as_mut().expect("its output").read_exact(&mut [0]).expect("a line");
    }
}

impl Drop for Argon2 {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    // "cargo bench" passes it.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let stage = Stage::new();
    let (rows, there_and_back) = rows::measure(&stage);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let table = rows::table(&rows, there_and_back, &stage);
    println!("\n{table}");
    fs::write(docs.join("benchmarks.md"), table).expect("docs/benchmarks.md");
    fs::write(docs.join("benchmarks.svg"), plot::svg(&rows)).expect("docs/benchmarks.svg");
}
