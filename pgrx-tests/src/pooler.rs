//! A real pgbouncer in front of a database, with one connection for everybody.

use crate::actor::{Actor, connect_to};
use crate::cluster::{Cluster, development_directory, free_port, succeed, unprivileged_command};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running pgbouncer, on a socket beside the cluster's and nowhere else. It is stopped when dropped.
pub struct Pooler {
    child: Child,
    socket: PathBuf,
    port: u16,
    database: String,
}

fn command() -> Command {
    let directory = development_directory().join("pooler");
    let mut command = unprivileged_command(&directory.join("usr/sbin/pgbouncer"));
    command.env("LD_LIBRARY_PATH", directory);
    command
}

/// Whether it follows prepared statements through the connections of its pool: 1.21 does.
fn follows_prepared_statements() -> bool {
    let said = String::from_utf8(succeed(command().arg("--version")).stdout).expect("a version");
    let mut version = said.lines().next().and_then(|line| line.split(' ').next_back()).expect("a version").split('.');
    let mut number = || version.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or_else(|| panic!("a version: {said}"));
    (number(), number()) >= (1, 21)
}

impl Pooler {
    /// Starts one in transaction mode, whose one connection to the server all clients of a role share, with these settings besides, and
    /// waits until it answers. It ends with this process.
    pub fn start(cluster: &Cluster, database: &str, settings: &[(&str, &str)]) -> Self {
        let (socket, port) = (cluster.socket().to_owned(), free_port());
        let users = socket.join(format!("pooler-{port}.users"));
        fs::write(&users, "\"app\" \"\"\n").expect("the file of users");
        let mut lines = vec![
            "[databases]".to_owned(),
            format!("* = host={} port={}", socket.display(), cluster.port),
            "[pgbouncer]".to_owned(),
            format!("unix_socket_dir = {}", socket.display()),
            format!("listen_port = {port}"),
            "auth_type = trust".to_owned(),
            format!("auth_file = {}", users.display()),
            "pool_mode = transaction".to_owned(),
            "default_pool_size = 1".to_owned(),
        ];
        if follows_prepared_statements() {
            lines.push("max_prepared_statements = 100".to_owned());
        }
        lines.extend(settings.iter().map(|(name, value)| format!("{name} = {value}")));
        let file = socket.join(format!("pooler-{port}.ini"));
        fs::write(&file, lines.join("\n") + "\n").expect("the configuration");
        let mut pooler = Pooler { child: launch(&file), socket, port, database: database.to_owned() };
        let started = Instant::now();
        while pooler.try_app().is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "pgbouncer does not answer");
            assert!(pooler.child.try_wait().expect("a child").is_none(), "pgbouncer has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    fn try_app(&self) -> Result<Actor, postgres::Error> {
        connect_to(&self.socket, self.port, "app", &self.database).map(Actor::anonymous)
    }

    /// An application's login role, with no identity yet.
    pub fn app(&self) -> Actor {
        self.try_app().unwrap_or_else(|error| panic!("app cannot connect through the pooler: {error:?}"))
    }
}

fn launch(file: &Path) -> Child {
    let mut command = command();
    command.arg("--quiet").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: safe between fork and exec. It ends with us, however we end.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
