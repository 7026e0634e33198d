//! A PostgreSQL cluster of our own: embedded default settings, its own directory, no system service, no port 5432.

use crate::actor::{Actor, connect, try_connect};
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running cluster. It is stopped when dropped.
pub struct Cluster {
    directory: PathBuf,
    /// Where its server's programs lie.
    programs: PathBuf,
    /// The port, on 127.0.0.1 and as the socket's number.
    pub port: u16,
}

/// The roles that we make ourselves come in through the socket, to which the directory gives nobody else a way; every other one, and
/// every connection over TCP, needs its password.
const ACCESS: &str = "local replication postgres trust
local all postgres,app,service,plain,authenticator,mailer trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
";

/// The user and group as whom the server runs; none where we are unprivileged already.
fn unprivileged() -> Option<(u32, u32)> {
    // SAFETY: reads our own uid.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = |name: &str| passwd.lines().find(|line| line.starts_with(&format!("{name}:")));
    let fields: Vec<&str> = line("postgres").or_else(|| line("nobody")).expect("a user postgres or nobody").split(':').collect();
    Some((fields[2].parse().expect("a uid"), fields[3].parse().expect("a gid")))
}

/// Where the private server and its clusters lie; `make` says so.
pub fn development_directory() -> PathBuf {
    PathBuf::from(std::env::var_os("PG_AUTH_DEV").expect("PG_AUTH_DEV: run this through make"))
}

/// A program of the private server.
pub fn program(name: &str) -> PathBuf {
    programs("PG_CONFIG").join(name)
}

fn programs(variable: &str) -> PathBuf {
    let config = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable}: run this through make"));
    Path::new(&config).parent().expect("pg_config lies in a directory").to_owned()
}

/// A command that runs as the unprivileged user, without what would change the server's behaviour.
pub fn unprivileged_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("PG") || variable.starts_with("RUST_")) {
        command.env_remove(variable);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Runs to the end; panics with what it printed when it fails.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

impl Cluster {
    /// Makes a cluster anew under the development directory and starts it. What an earlier one of that name left is removed.
    pub fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let cluster = Self::in_new_directory(name, programs("PG_CONFIG")).initialized(settings);
        cluster.control("start");
        cluster
    }

    /// The same of the earlier major version that `make test` has tested before.
    pub fn start_older(name: &str, settings: &[(&str, &str)]) -> Self {
        let cluster = Self::in_new_directory(name, programs("PG_AUTH_OLDER_CONFIG")).initialized(settings);
        cluster.control("start");
        cluster
    }

    /// This cluster, stopped and carried by `pg_upgrade` into one of today's server.
    pub fn upgraded(self, name: &str, settings: &[(&str, &str)]) -> Self {
        self.control("stop");
        let cluster = Self::in_new_directory(name, programs("PG_CONFIG")).initialized(settings);
        let [old, new] = [&self, &cluster];
        let mut upgrade = cluster.command("pg_upgrade");
        upgrade.args(["--username=postgres", "--no-sync", "--old-bindir"]).arg(&old.programs).arg("--new-bindir").arg(&new.programs);
        upgrade.arg("--old-datadir").arg(old.data()).arg("--new-datadir").arg(new.data()).arg("--socketdir").arg(&new.directory);
        succeed(upgrade.current_dir(&new.directory));
        cluster.control("start");
        cluster
    }

    fn initialized(self, settings: &[(&str, &str)]) -> Self {
        let mut initdb = self.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        // From version 18 on they are the default, and pg_upgrade wants both alike.
        let upgraded_to = self.programs == programs("PG_CONFIG") && std::env::var_os("PG_AUTH_OLDER_CONFIG").is_some();
        if upgraded_to && std::env::var("PG_MAJOR").is_ok_and(|major| major == "18") {
            initdb.arg("--no-data-checksums");
        }
        succeed(initdb.arg("-D").arg(self.data()));
        self.configure(settings);
        fs::write(self.data().join("pg_hba.conf"), ACCESS).expect("pg_hba.conf");
        self
    }

    /// A program of its server, to be run as the unprivileged user.
    fn command(&self, name: &str) -> Command {
        unprivileged_command(&self.programs.join(name))
    }

    /// A hot standby of this cluster: a copy of it as it is now, which follows it. With its settings but for these.
    pub fn standby(&self, name: &str, settings: &[(&str, &str)]) -> Self {
        let standby = Self::in_new_directory(name, self.programs.clone());
        succeed(
            self.command("pg_basebackup")
                .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username=postgres", "-h"])
                .arg(self.socket())
                .args(["-p", &self.port.to_string(), "-D"])
                .arg(standby.data()),
        );
        standby.configure(settings);
        standby.control("start");
        standby
    }

    fn in_new_directory(name: &str, programs: PathBuf) -> Self {
        let directory = development_directory().join("clusters").join(name);
        let cluster = Cluster { port: free_port(), directory, programs };
        cluster.remove();
        fs::create_dir_all(&cluster.directory).expect("a directory for the cluster");
        if let Some((uid, gid)) = unprivileged() {
            chown(&cluster.directory, Some(uid), Some(gid)).expect("the directory's owner");
        }
        fs::set_permissions(&cluster.directory, fs::Permissions::from_mode(0o700)).expect("the directory's mode");
        cluster
    }

    /// Appends to postgresql.conf: of two lines about one setting the last counts.
    fn configure(&self, settings: &[(&str, &str)]) {
        let defaults = [
            ("port", self.port.to_string()),
            ("unix_socket_directories", format!("'{}'", self.directory.display())),
            ("listen_addresses", "''".to_owned()),
            ("logging_collector", "off".to_owned()),
        ];
        let lines = defaults.into_iter().chain(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let text: String = lines.map(|(name, value)| format!("{name} = {value}\n")).collect();
        let path = self.data().join("postgresql.conf");
        let mut conf = fs::read_to_string(&path).expect("postgresql.conf");
        conf.push_str(&text);
        fs::write(path, conf).expect("postgresql.conf");
    }

    /// The process id of the postmaster.
    pub fn postmaster(&self) -> i32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("postmaster.pid");
        file.lines().next().and_then(|line| line.parse().ok()).expect("a process id")
    }

    /// `pg_ctl stop -m immediate`: no checkpoint, every process at once.
    pub fn crash(&self) {
        succeed(self.command("pg_ctl").args(["-w", "-s", "-m", "immediate", "stop", "-D"]).arg(self.data()));
    }

    /// Comes back with a connection as soon as the server is there and stays: after a crash it ends everybody who still gets in.
    pub fn recovered(&self, role: &str, database: &str) -> Actor {
        let began = Instant::now();
        loop {
            if let Ok(mut actor) = self.try_connect(role, database)
                && actor.client.simple_query("select pg_sleep(0.1)").is_ok()
            {
                return actor;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a server whose postmaster was killed, as soon as the last of its processes has gone.
    pub fn start_again(&self) {
        let began = Instant::now();
        while !self.pg_ctl("start").output().is_ok_and(|output| output.status.success()) {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not start again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Somebody on a connection of their own, as this login role.
    pub fn connect(&self, role: &str, database: &str) -> Actor {
        Actor::anonymous(connect(self, role, database))
    }

    /// The same, where the server may not be there.
    pub fn try_connect(&self, role: &str, database: &str) -> Result<Actor, postgres::Error> {
        try_connect(self, role, database).map(Actor::anonymous)
    }

    /// The directory of the socket, for `-h`.
    pub fn socket(&self) -> &Path {
        &self.directory
    }

    /// The directory of the data.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// `pg_ctl` with an action, such as "restart".
    pub fn control(&self, action: &str) {
        succeed(&mut self.pg_ctl(action));
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.args(["-w", "-s", "-m", "fast", "-l"]).arg(self.directory.join("log"));
        command.arg("-D").arg(self.data()).arg(action).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A client program of the server, as a role in a database.
    pub fn client(
        &self,
        program_name: &str,
        role: &str,
        database: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new(program(program_name));
        command
            .arg("-h")
            .arg(self.socket())
            .arg("-p")
            .arg(self.port.to_string())
            .arg("-U")
            .arg(role)
            .arg("-d")
            .arg(database)
            .args(arguments);
        command.env("PGPASSWORD", "").env_remove("PGOPTIONS");
        command
    }

    /// Leaves it running when the process ends.
    pub fn detach(self) -> PathBuf {
        let directory = self.directory.clone();
        std::mem::forget(self);
        directory
    }

    /// Stops the cluster of that name, if one runs; true when it did.
    pub fn stop_named(name: &str) -> bool {
        let directory = development_directory().join("clusters").join(name);
        let running = directory.join("data/postmaster.pid").exists();
        Cluster { directory, port: 0, programs: programs("PG_CONFIG") }.stop();
        running
    }

    fn stop(&self) {
        crate::PostgRest::stop_detached(&self.directory);
        if self.data().join("postmaster.pid").exists() {
            let _ = self.command("pg_ctl").args(["-w", "-s", "-m", "immediate", "stop", "-D"]).arg(self.data()).output();
        }
    }

    fn remove(&self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
