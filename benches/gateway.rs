//! What auth.pre_request costs: requests a second through PostgREST with it and without, in turns, in one run.

use pgrx_tests::{Database, PostgRest};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(1);

fn main() {
    let db = Database::new();
    db.many_users(10_000);
    let ann = db.user("Ann");
    db.dba().run("analyze auth.users, auth.sessions, auth_private.session_keys");
    let (with, without) = (db.postgrest(&[]), db.postgrest(&[("PGRST_DB_PRE_REQUEST", "")]));
    let access = with.rpc("refresh_session", &[], &serde_json::json!({"token": ann.token})).body["access_token"].clone();
    let bearer = [("authorization", format!("Bearer {}", access.as_str().expect("an access token")))];
    let token = [("x-session-token", ann.token.clone())];
    type Case<'a> = (&'a str, &'a PostgRest, &'a [(&'static str, String)]);
    let cases: [Case; 5] = [
        ("without pre_request, anonymous", &without, &[]),
        ("with pre_request, anonymous", &with, &[]),
        ("without pre_request, access token", &without, &bearer),
        ("with pre_request, access token", &with, &bearer),
        ("with pre_request, X-Session-Token", &with, &token),
    ];
    let mut rates = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, rates) in cases.iter().zip(&mut rates) {
            let rate = requests_a_second(case.1, case.2);
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    println!(
        "| GET /rpc/uid, {CLIENTS} clients, medians of {ROUNDS} rounds | requests a second | against without, access token |\n|---|---|---|"
    );
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for (case, rate) in cases.iter().zip(&medians) {
        println!("| {} | {rate:.0} | {:.2} |", case.0, rate / medians[2]);
    }
}

fn requests_a_second(server: &PostgRest, headers: &[(&'static str, String)]) -> f64 {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(server.send("GET", "/rpc/uid", &headers, None).status, 200);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
