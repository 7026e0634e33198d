//! What is measured.

use crate::domain::argon2id;
use crate::sample::{in_turns, median};
use crate::{BetterAuth, FEW, Stage, cores, hash_memory};
use pgrx_tests::Actor;
use postgres::types::ToSql;
use postgres::{Client, Statement};
use std::fmt::Write;

/// A line of the table.
pub struct Row {
    pub what: &'static str,
    pub against: &'static str,
    /// In microseconds.
    pub ours: f64,
    pub theirs: f64,
    /// Of a speedup the least, otherwise the most.
    pub must: f64,
    pub goal: Goal,
    /// What we would like, and do not promise.
    pub is_aim: bool,
}

/// What a ratio must be.
#[derive(PartialEq)]
pub enum Goal {
    /// Theirs by ours.
    Faster,
    /// Ours by theirs.
    AtMost,
    /// Ours less theirs, in microseconds.
    Beyond,
}

impl Row {
    fn new(goal: Goal, what: &'static str, against: &'static str, ours: f64, theirs: f64, must: f64) -> Self {
        Row { what, against, ours, theirs, must, goal, is_aim: false }
    }

    fn aim(self) -> Self {
        Row { is_aim: true, ..self }
    }

    pub fn is_speedup(&self) -> bool {
        self.goal == Goal::Faster
    }

    pub fn ratio(&self) -> f64 {
        match self.goal {
            Goal::Faster => self.theirs / self.ours,
            Goal::AtMost => self.ours / self.theirs,
            Goal::Beyond => self.ours - self.theirs,
        }
    }

    fn is_reached(&self) -> bool {
        if self.is_speedup() { self.ratio() >= self.must } else { self.ratio() <= self.must }
    }
}

/// The table as Markdown.
pub fn table(rows: &[Row], there_and_back: f64, stage: &Stage) -> String {
    let machine = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = machine
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("a processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = cores();
    let version: String = stage.connect("postgres", "postgres").one("select split_part(version(), ' on ', 1)");
    let mut text = format!(
        "# Benchmarks\n\nWritten by `make bench`: {} users, {} sessions, {cores} cores of {model}, {version}, client on the same machine through a\nsocket. \
         Medians, of sign_in that of how much longer it took than the hash and commit after it, of {CONNECTIONS} connections; of `(select auth.uid())` that of as many\nratios; what stands in one line was measured in turns or one after the other in one run, sessions, policies, administration and hashing with client and server on one core; the databases are in the server's memory, {} pages. An empty statement takes {} there and back: nothing that is asked on its own can take less.\n\n\
         ![How many times sooner](benchmarks.svg)\n\n\
         | what | ours | against | theirs | ratio | must be | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        stage.users,
        stage.sessions,
        if stage.in_huge_pages { "in huge" } else { "in ordinary" },
        time(there_and_back)
    );
    for row in rows {
        let (ratio, must) = match row.goal {
            Goal::Faster => (format!("{} × faster", rounded(row.ratio())), format!("≥ {} ×", row.must)),
            Goal::AtMost => (format!("{:.2} ×", row.ratio()), format!("≤ {} ×", row.must)),
            Goal::Beyond => (format!("{} more", time(row.ratio())), format!("≤ {} more", time(row.must))),
        };
        let reached = match (row.is_reached(), row.is_aim) {
            (true, _) => "reached",
            (false, true) => "an aim, not reached",
            (false, false) => "**not reached**",
        };
        writeln!(text, "| {} | {} | {} | {} | {ratio} | {must} | {reached} |", row.what, time(row.ours), row.against, time(row.theirs))
            .expect("text");
    }
    text
}

fn rounded(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

fn time(microseconds: f64) -> String {
    match microseconds {
        us if us >= 1e6 => format!("{:.1} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} µs"),
    }
}

fn run(client: &mut Client, statement: &Statement, arguments: &[&(dyn ToSql + Sync)]) {
    assert!(!client.query(statement, arguments).expect("an answer").is_empty());
}

/// A number that comes only once in a while.
fn scattered(n: usize, of: u32) -> u32 {
    1 + (n as u64 * 2_654_435_761 % u64::from(of)) as u32
}

/// All lines, and what an empty statement takes, in microseconds.
pub fn measure(stage: &Stage) -> (Vec<Row>, f64) {
    stage.on_cores("0");
    let mut better = BetterAuth::start(stage);
    let (mut rows, there_and_back) = sessions(stage, &mut better);
    rows.extend(policies(stage));
    rows.extend(administration(stage, &mut better));
    drop(better);
    rows.extend(hashing(stage));
    stage.on_cores(&format!("0-{}", cores() - 1));
    rows.extend(busy(stage));
    rows.extend(bulk(stage));
    (rows, there_and_back)
}

/// Over how many connections something is measured that depends on where a process's memory lies.
const CONNECTIONS: usize = 15;

fn sessions(stage: &Stage, better: &mut BetterAuth) -> (Vec<Row>, f64) {
    println!("==> measuring sessions");
    let mut app = stage.connect("app", "ours").client;
    let mut few = stage.connect("app", "few").client;
    let empty = app.prepare("select 1").expect("prepared");
    let plain = app.prepare("select user_id, expires_at from public.plain where id = md5($1)::uuid").expect("prepared");
    let [use_session, get_session, in_few] = [
        app.prepare("select auth.use_session($1)").expect("prepared"),
        app.prepare("select auth.get_session()").expect("prepared"),
        few.prepare("select auth.use_session($1)").expect("prepared"),
    ];
    let both = std::cell::RefCell::new((&mut app, &mut few));
    let in_transaction = |of_few: bool, statement: &Statement, argument: &str| {
        let mut both = both.borrow_mut();
        run(if of_few { both.1 } else { both.0 }, statement, &[&argument]);
    };
    // In a transaction, as use_session needs it to be of any use.
    both.borrow_mut().0.batch_execute("begin").expect("begin");
    both.borrow_mut().1.batch_execute("begin").expect("begin");
    let all = stage.sessions;
    let read_plain = |n: usize| in_transaction(false, &plain, &format!("session{}", scattered(n, all)));
    let use_one = |n: usize| in_transaction(false, &use_session, &format!("as_bench_{}", scattered(n, all)));
    let use_one_of_few = |n: usize| in_transaction(true, &in_few, &format!("as_bench_{}", scattered(n, FEW.min(all))));
    // Connections that have been in use for a while: the first that one has to do with a page of the server's memory is a fault of its own.
    for n in 1_000_000..1_100_000 {
        read_plain(n);
        use_one(n);
        use_one_of_few(n);
    }
    let [nothing, select, ours, smaller] = in_turns(
        200,
        50,
        [&mut |_| run(both.borrow_mut().0, &empty, &[]), &mut |n| read_plain(n), &mut |n| use_one(n), &mut |n| use_one_of_few(n)],
    );
    app.batch_execute("commit; select auth.use_session('as_bench_4711', false)").expect("signed in");
    let (turns, on_end) = (20, 500);
    let [read, _] = in_turns(
        turns,
        on_end,
        [&mut |_| run(&mut app, &get_session, &[]), &mut |n| better.take_turn(n, (turns, on_end), &[("get_session", 20)])],
    );
    let rows = vec![
        Row::new(Goal::AtMost, "use_session", "a prepared SELECT by primary key", median(&ours), median(&select), 1.5),
        Row::new(Goal::AtMost, "use_session, all sessions", "the same among 100,000", median(&ours), median(&smaller), 1.2),
        Row::new(Goal::Faster, "get_session, one at a time", "Better Auth getSession", median(&read), better.median("get_session"), 20.0),
    ];
    (rows, median(&nothing))
}

/// Sign-in against its hash, and that against libargon2 through argon2-cffi.
fn hashing(stage: &Stage) -> Vec<Row> {
    println!("==> measuring hashing");
    let mut dba = stage.connect("postgres", "ours");
    dba.run("select auth.create_user('hasher@bench.example', 'correct horse battery')");
    // A password that is checked and nothing else: of a user who is asked again.
    let mut own = stage.connect("app", "ours");
    let result = own.json("select auth.sign_in('hasher@bench.example', 'correct horse battery')");
    let mut own = own.adopt("hasher@bench.example", &result).client;
    let verify = own.prepare("select auth.verify_password($1)").expect("prepared");
    let mut theirs = crate::Argon2::start();
    // What the extension hashes with, and nothing around it.
    let cost = argon2::Params::new(19_456, 2, 1, Some(32)).expect("a cost");
    let own_hash = || {
        hash_memory::with(|memory| argon2id::hash(b"correct horse battery", b"0123456789abcdef", &cost, &[], memory)).expect("a hash");
    };
    // And a row, whose commit waits for the disk as that of a session does.
    dba.run("create table public.commits (id bigint generated always as identity); grant insert, select on public.commits to app");
    // One by one: how much longer the one takes than the other a moment before is less than how much faster the machine is at times.
    let pair = || {
        let [mut app, mut writer] = [stage.connect("app", "ours").client, stage.connect("app", "ours").client];
        let sign_in = app.prepare("select auth.sign_in($1, $2)").expect("prepared");
        let write = writer.prepare("insert into public.commits default values returning id").expect("prepared");
        let [sign_in, hash] = in_turns(
            40,
            1,
            [&mut |_| run(&mut app, &sign_in, &[&"hasher@bench.example", &"correct horse battery"]), &mut |_| {
                own_hash();
                run(&mut writer, &write, &[]);
            }],
        );
        let beyond: Vec<f64> = sign_in.iter().zip(&hash).map(|(sign_in, hash)| sign_in - hash).collect();
        (median(&hash), median(&beyond))
    };
    // Where the memory of a hash lies makes a difference of a millisecond, this way or that: each pair has memory of its own, the server's with a
    // connection and ours with a thread.
    let pairs = (0..CONNECTIONS).map(|_| std::thread::scope(|scope| scope.spawn(pair).join().expect("a pair")));
    let (hashes, beyonds): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let (hash, beyond) = (median(&hashes), median(&beyonds));
    let [verify, library] =
        in_turns(50, 4, [&mut |_| run(&mut own, &verify, &[&"correct horse battery"]), &mut |_| theirs.hash()]).map(|took| median(&took));
    vec![
        Row::new(Goal::Beyond, "sign_in", "its own hash and a commit", hash + beyond, hash, 1_000.0),
        Row::new(Goal::AtMost, "argon2id in verify_password", "libargon2 at equal cost", verify, library, 1.1),
    ]
}

/// A policy that asks who is calling, against one that is a constant.
fn policies(stage: &Stage) -> Vec<Row> {
    println!("==> measuring policies");
    let mut dba = stage.connect("postgres", "ours");
    dba.run(
        "create table public.notes as select n as id, public.id_of_user(1 + n % 7) as user_id from generate_series(1, 500000) n;
         alter table public.notes enable row level security",
    );
    dba.run("vacuum analyze public.notes");
    // Each a role of its own, with a policy of its own on the same rows.
    let conditions = ["user_id = public.id_of_user(1)", "user_id = (select auth.uid())", "user_id = auth.uid()"];
    for (role, condition) in ["constant", "once", "each"].iter().zip(conditions) {
        dba.run(&format!(
            "create role {role}; grant authenticated to {role}; grant {role} to app; grant select on public.notes to {role};
             create policy {role} on public.notes for select to {role} using ({condition})"
        ));
    }
    let reader = || {
        let mut reader = stage.connect("app", "ours");
        reader.run("set max_parallel_workers_per_gather = 0; select auth.use_session('as_bench_1', false)");
        std::cell::RefCell::new(reader)
    };
    let count = |reader: &std::cell::RefCell<Actor>, role: &str| {
        reader.borrow_mut().run(&format!("set role {role}; select count(*) from public.notes"))
    };
    // Both in one process, of which there are some: where its memory lies makes a difference of one in twenty, this way or that.
    let (mut ratios, mut constants) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let reader = reader();
        let [constant, once] =
            in_turns(10, 2, [&mut |_| count(&reader, "constant"), &mut |_| count(&reader, "once")]).map(|took| median(&took));
        ratios.push(once / constant);
        constants.push(constant);
    }
    let constant = median(&constants);
    let reader = reader();
    let [each] = in_turns(9, 1, [&mut |_| count(&reader, "each")]).map(|took| median(&took));
    vec![
        Row::new(Goal::AtMost, "500,000 rows under (select auth.uid())", "a constant", constant * median(&ratios), constant, 1.05),
        Row::new(Goal::AtMost, "500,000 rows under auth.uid()", "a constant", each, constant, 2.0).aim(),
    ]
}

fn administration(stage: &Stage, better: &mut BetterAuth) -> Vec<Row> {
    println!("==> measuring administration");
    let users = stage.users;
    let mut admin = stage.admin().client;
    let page = |arguments: &str| format!("select auth.list_users_page({arguments})");
    let [first, search, role, banned, after] = [
        page("page_size => 100"),
        page("page_size => 10, search_value => $1::text"),
        page("page_size => 10, filter_field => 'role', filter_value => 'editor'"),
        page("page_size => 10, filter_field => 'banned', filter_value => 'true'"),
        page("page_size => 100, count => 'none', after_cursor => $1::text"),
    ]
    .map(|sql| admin.prepare(&sql).expect("prepared"));
    let without_count = admin.prepare(&page("page_size => 100, count => 'none'")).expect("prepared");
    // The cursor before the middle: found by walking is the client's way, but takes long.
    let deep: serde_json::Value =
        admin.query_one(&page(&format!("page_size => 1, page_offset => {}, count => 'none'", users / 2)), &[]).expect("a page").get(0);
    let cursor = deep["next_cursor"].as_str().expect("a cursor").to_owned();
    let target: uuid::Uuid = admin.query_one("select public.id_of_user(77)", &[]).expect("an id").get(0);
    let [ban, unban] = ["select auth.ban_user($1)", "select auth.unban_user($1)"].map(|sql| admin.prepare(sql).expect("prepared"));
    let many = stage.connect("postgres", "ours").one::<uuid::Uuid>(
        "with sessions as (insert into auth.sessions (user_id, expires_at) select public.id_of_user(99), '2100-01-01' from generate_series(1, 100000) returning id),
              keys as (insert into auth_private.session_keys (token_hash, session_id, epoch) select sha256(id::text::bytea), id, 0 from sessions)
         select public.id_of_user(99)",
    );
    let admin = std::cell::RefCell::new(admin);
    let call = |statement: &Statement, arguments: &[&(dyn ToSql + Sync)]| run(&mut admin.borrow_mut(), statement, arguments);
    let (turns, on_end) = (10, 11);
    let theirs = [("first_page", 2), ("search", 2), ("by_role", 2), ("by_banned", 2), ("ban_unban", 6)];
    let [first, search, role, banned, deep, shallow, ban_unban, ban_many, ban_one, _] = in_turns(
        turns,
        on_end,
        [
            &mut |_| call(&first, &[]),
            &mut |n| call(&search, &[&format!("r{}@", scattered(n, 100_000))]),
            &mut |_| call(&role, &[]),
            &mut |_| call(&banned, &[]),
            &mut |_| call(&after, &[&cursor]),
            &mut |_| call(&without_count, &[]),
            // Ours takes as long however many sessions there are, as the last of these lines shows; so none is opened anew.
            &mut |_| {
                call(&ban, &[&target]);
                call(&unban, &[&target]);
            },
            &mut |_| call(&ban, &[&many]),
            &mut |_| call(&ban, &[&target]),
            &mut |n| better.take_turn(n, (turns, on_end), &theirs),
        ],
    );
    let against = |what: &'static str, name: &str, took: &[f64], must: f64, call: &'static str| {
        Row::new(Goal::Faster, what, call, median(took), better.median(name), must)
    };
    vec![
        against("list_users_page, 100 of all, exact total", "first_page", &first, 50.0, "Better Auth listUsers"),
        against("contains-search on email, 10 of what is found, exact total", "search", &search, 50.0, "Better Auth listUsers"),
        against("filter by role, 10 of 1 %, exact total", "by_role", &role, 50.0, "Better Auth listUsers"),
        against("filter by banned, 10 of 1 %, exact total", "by_banned", &banned, 50.0, "Better Auth listUsers"),
        Row::new(Goal::AtMost, "page in the middle by cursor", "the first page", median(&deep), median(&shallow), 1.3),
        against("ban_user and unban_user, of somebody signed in", "ban_unban", &ban_unban, 5.0, "Better Auth banUser, unbanUser"),
        Row::new(Goal::AtMost, "ban of a user with 100,000 sessions", "of one with 1", median(&ban_many), median(&ban_one), 1.5),
    ]
}

/// Eight connections, all busy: what a call takes of the machine.
fn busy(stage: &Stage) -> Vec<Row> {
    println!("==> measuring sessions, all cores busy");
    let calls = 5_000;
    let ask = |n: usize| {
        let mut app = stage.connect("app", "ours").client;
        app.batch_execute(&format!("select auth.use_session('as_bench_{}', false)", 4711 + n)).expect("signed in");
        let get_session = app.prepare("select auth.get_session()").expect("prepared");
        for _ in 0..calls {
            run(&mut app, &get_session, &[]);
        }
    };
    let ours = at_once(1..=8, ask) / f64::from(8 * calls);
    vec![Row::new(Goal::Faster, "get_session, all cores busy", "Better Auth getSession", ours, stage.better_auth_busy(), 20.0).aim()]
}

/// Many at once.
fn bulk(stage: &Stage) -> Vec<Row> {
    println!("==> measuring imports and sign-ups");
    let cores = cores();
    let users = |importer: usize| {
        std::array::from_fn(|round| {
            let rows: Vec<serde_json::Value> = (0..BATCH)
                .map(|n| {
                    serde_json::json!({"email": format!("import{importer}-{round}-{n}@bench.example"), "name": "Imported", "email_verified": true,
                                            "password_hash": "$2b$10$abcdefghijklmnopqrstuu5Lt0g67CMDyf2EK8vJxo2CtnMNvUZnW"})
                })
                .collect();
            serde_json::Value::from(rows)
        })
    };
    let batches: Vec<[serde_json::Value; 8]> = (0..=cores).map(users).collect();
    let took = std::sync::Mutex::new(Vec::new());
    let import = |importer: usize| {
        let mut service = stage.connect("service", "ours").client;
        for batch in &batches[importer] {
            let began = std::time::Instant::now();
            let created: i64 = service
                .query_one("select count(*) from auth.import_users($1) where status = 'created'", &[batch])
                .expect("imported")
                .get(0);
            assert_eq!(created, i64::from(BATCH));
            took.lock().expect("times").push(began.elapsed().as_secs_f64() * 1e6);
        }
    };
    import(0);
    took.lock().expect("times").clear();
    at_once(1..=cores, import);
    let importing = median(&took.lock().expect("times")) / (cores as f64 * f64::from(BATCH));
    // Hashes that cost next to nothing: beyond hashing.
    let mut dba = stage.connect("postgres", "ours");
    for setting in ["alter system set auth.argon2_memory = '8MB'", "alter system set auth.argon2_iterations = 1", "select pg_reload_conf()"]
    {
        dba.run(setting);
    }
    let sign_up = |client: usize| {
        let mut app = stage.connect("app", "ours").client;
        let sign_up = app.prepare("select auth.sign_up($1, 'correct horse battery')").expect("prepared");
        for n in 0..250 {
            run(&mut app, &sign_up, &[&format!("signup{client}-{n}@bench.example")]);
        }
    };
    sign_up(0);
    let alone = at_once(1..=1, sign_up) / 250.0;
    let together = at_once(2..=9, sign_up) / (8.0 * 250.0);
    vec![
        Row::new(Goal::AtMost, "import_users, a connection a core, a user", "20,000 a second", importing, 50.0, 1.0),
        Row::new(Goal::Faster, "sign_up beyond hashing, 8 connections", "one connection", together, alone, 0.75 * cores as f64),
    ]
}

/// Users of one call of import_users.
const BATCH: i32 = 5_000;

/// How long it takes to do something this many times at once, in microseconds.
fn at_once(these: std::ops::RangeInclusive<usize>, thing: impl Fn(usize) + Sync) -> f64 {
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for n in these {
            let thing = &thing;
            scope.spawn(move || thing(n));
        }
    });
    began.elapsed().as_secs_f64() * 1e6
}
