//! What `make api` shows: the private cluster with PostgREST in front of it, and curl lines that were run before they are printed.

use pgrx_tests::{Cluster, PostgRest, Reply, allow_gateway, program};
use postgres::{Config, NoTls};
use serde_json::json;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("==> starting a private cluster (a socket in its own directory, no port)");
    let cluster = Cluster::start("run", &[("shared_preload_libraries", "'pg_auth'")]);
    let connect = |database: &str| {
        let mut config = Config::new();
        config.host_path(cluster.socket()).port(cluster.port).user("postgres").dbname(database).connect(NoTls).expect("a connection")
    };
    connect("postgres").batch_execute("create database app").expect("the database");
    let mut dba = connect("app");
    let root = "select auth.create_user(email => 'root@example.org', password => 'correct horse battery', roles => '{admin}')";
    dba.batch_execute(&format!("create extension pg_auth cascade; {root}")).expect("CREATE EXTENSION");
    allow_gateway(&mut dba);
    println!("==> starting PostgREST on 127.0.0.1");
    let server = PostgRest::start_for_good(&cluster, "app", &[("PGRST_OPENAPI_MODE", "follow-privileges")]);
    println!("\nEach of these was just run, with the answer that it got:\n");
    let email_and_password = json!({"email": "ann@example.org", "password": "a fine password"});
    let mut failed = false;
    let mut show = |headers: &[(&str, &str)], function: &str, arguments: serde_json::Value, status: u16| -> Reply {
        let shown: String = headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'")).collect();
        println!("curl {}{shown} --json '{arguments}'", server.url(&format!("/rpc/{function}")));
        let reply = server.rpc(function, headers, &arguments);
        println!("    {} {}\n", reply.status, abridged(&reply));
        failed |= reply.status != status;
        reply
    };
    show(&[], "sign_up", email_and_password.clone(), 200);
    let ann = show(&[], "sign_in", email_and_password, 200);
    show(&[], "sign_in", json!({"email": "ann@example.org", "password": "not the password"}), 401);
    let bearer = |reply: &Reply| format!("Bearer {}", reply.body["access_token"].as_str().unwrap_or_default());
    let of_ann = bearer(&ann);
    show(&[("Authorization", &of_ann)], "get_session", json!({}), 200);
    show(&[("Authorization", &of_ann)], "list_users", json!({}), 403);
    println!("An administrator; after the ban Ann's token is worth nothing:\n");
    let root = show(&[], "sign_in", json!({"email": "root@example.org", "password": "correct horse battery"}), 200);
    let token = root.body["token"].as_str().unwrap_or_default().to_owned();
    let of_root = [("X-Session-Token", token.as_str())];
    show(&of_root, "list_users", json!({"search_value": "ann"}), 200);
    show(&of_root, "ban_user", json!({"user_id": ann.body["user"]["id"], "ban_reason": "spam", "ban_expires_in": 3600}), 200);
    show(&[("Authorization", &of_ann)], "get_session", json!({}), 401);
    show(&of_root, "unban_user", json!({"user_id": ann.body["user"]["id"]}), 200);
    if failed {
        println!("something did not answer as it should");
        return ExitCode::FAILURE;
    }
    println!("The functions with their comments, for OpenAPI viewers: {}", server.url("/"));
    println!("PostgREST and the cluster go on running; `make stop` stops them. The cluster's superuser:");
    let (port, socket) = (cluster.port, cluster.detach());
    println!("    {} -h {} -p {port} -U postgres app", program("psql").display(), socket.display());
    server.detach();
    ExitCode::SUCCESS
}

/// The beginning of a body. The tokens are those of a cluster that is thrown away.
fn abridged(reply: &Reply) -> String {
    let text = reply.body.to_string();
    if text.chars().count() > 240 { format!("{} …", text.chars().take(240).collect::<String>()) } else { text }
}
