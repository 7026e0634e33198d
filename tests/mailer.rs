//! The example mailer, against a real SMTP server on loopback.

use pgrx_tests::{Database, PASSWORD, development_directory, free_port};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn python() -> PathBuf {
    development_directory().join("python/bin/python")
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Post {
    db: Database,
    port: u16,
    mailbox: PathBuf,
}

impl Post {
    fn new() -> Self {
        let db = Database::new();
        let mailbox = development_directory().join("clusters").join(format!("mailbox-{}", db.name));
        let _ = fs::remove_dir_all(&mailbox);
        Post { db, port: free_port(), mailbox }
    }

    /// aiosmtpd, which writes what it gets into a Maildir.
    fn smtp_server(&self) -> Running {
        let address = format!("127.0.0.1:{}", self.port);
        let server = Command::new(python())
            .args(["-m", "aiosmtpd", "-n", "-l", &address, "-c", "aiosmtpd.handlers.Mailbox"])
            .arg(&self.mailbox)
            .spawn()
            .expect("aiosmtpd");
        let server = Running(server);
        let began = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "aiosmtpd does not answer");
            sleep(Duration::from_millis(50));
        }
        server
    }

    fn mailer(&self, arguments: &[&str]) -> Command {
        let cluster = Database::cluster();
        let mut command = Command::new(python());
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mailer/mailer.py"))
            .args(arguments)
            .env("DATABASE_URL", "")
            .env("PGHOST", cluster.socket())
            .env("PGPORT", cluster.port.to_string())
            .env("PGUSER", "mailer")
            .env("PGDATABASE", &self.db.name)
            .env("SMTP_HOST", "127.0.0.1")
            .env("SMTP_PORT", self.port.to_string())
            .env("SMTP_TLS", "none")
            .env("MAIL_FROM", "Example <no-reply@example.org>")
            .env("APP_NAME", "Example")
            .env("VERIFY_URL", "https://app.example.org/verify")
            .env("RESET_URL", "https://app.example.org/reset");
        command
    }

    fn deliver(&self) -> Output {
        self.mailer(&["--once"]).output().expect("the mailer")
    }

    /// The mails that have arrived, their text decoded as a mail program does it.
    fn arrived(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.mailbox.join("new")) else { return Vec::new() };
        let decode = "import sys, email, email.policy
mail = email.message_from_file(open(sys.argv[1]), policy=email.policy.default)
print(''.join(f'{name}: {value}\\n' for name, value in mail.items()) + '\\n' + mail.get_content())";
        entries
            .map(|entry| {
                let decoded = Command::new(python()).args(["-c", decode]).arg(entry.expect("a mail").path()).output().expect("Python");
                String::from_utf8(decoded.stdout).expect("text")
            })
            .collect()
    }

    /// The one mail to this address, which is taken out of the mailbox.
    fn mail_to(&self, address: &str) -> String {
        let mails = self.arrived();
        let mut to: Vec<String> = mails.into_iter().filter(|mail| mail.contains(&format!("To: {address}\n"))).collect();
        assert_eq!(to.len(), 1, "{to:?}");
        fs::remove_dir_all(self.mailbox.join("new")).and_then(|()| fs::create_dir(self.mailbox.join("new"))).expect("an empty mailbox");
        to.remove(0)
    }
}

fn token(mail: &str, page: &str) -> String {
    let link = mail.lines().find(|line| line.starts_with("https://")).unwrap_or_else(|| panic!("a link in {mail}"));
    link.strip_prefix(&format!("https://app.example.org/{page}#token=")).expect("a link to the page").to_owned()
}

#[test]
fn people_verify_change_and_recover_with_what_the_mail_says() {
    let post = Post::new();
    let db = &post.db;
    let _server = post.smtp_server();
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    db.app().run(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}', name => 'Buy at http://spam.example')"));
    assert!(post.deliver().status.success());
    let mail = post.mail_to("ann@example.org");
    assert!(
        mail.contains("Subject: Confirm your address for Example\n") && mail.contains("From: Example <no-reply@example.org>\n"),
        "{mail}"
    );
    assert!(mail.contains("Auto-Submitted: auto-generated") && !mail.contains("spam.example"), "{mail}");
    db.app().run(&format!("select auth.verify_email('{}')", token(&mail, "verify")));

    let mut ann = db.signed_in("Ann");
    ann.run("select auth.change_email('anna@example.org')");
    assert!(post.deliver().status.success());
    let mails = post.arrived();
    assert!(mails.iter().any(|mail| mail.contains("To: ann@example.org\n") && mail.contains("is to get the address anna@example.org")));
    let mail = post.mail_to("anna@example.org");
    db.app().run(&format!("select auth.verify_email('{}')", token(&mail, "verify")));
    assert!(post.deliver().status.success());
    assert!(post.mail_to("ann@example.org").contains("now has the address anna@example.org"));

    db.app().run("select auth.request_password_reset('anna@example.org'); select auth.request_password_reset('nobody@example.org')");
    assert!(post.deliver().status.success());
    let mail = post.mail_to("anna@example.org");
    db.app().run(&format!("select auth.reset_password('{}', 'another password')", token(&mail, "reset")));
    assert!(post.deliver().status.success());
    assert!(post.mail_to("anna@example.org").contains("password of your account at Example has been changed"));
    db.app().json("select auth.sign_in('anna@example.org', 'another password')")["token"].as_str().expect("signed in");
    assert!(post.arrived().is_empty(), "and nobody else got any");
}

#[test]
fn every_kind_has_a_text() {
    let post = Post::new();
    let _server = post.smtp_server();
    let mut dba = post.db.dba();
    let (ann, _) = (post.db.user("Ann"), post.db.user("Bob"));
    for (n, (kind, purpose, payload)) in [
        ("verify-email", "'verify-email'", "{}"),
        ("verify-email", "null", r#"{"reason": "already-registered"}"#),
        ("change-email", "'change-email'", "{}"),
        ("change-email", "null", r#"{"reason": "address-taken"}"#),
        ("email-changed", "null", r#"{"new_email": "x@example.org", "completed": false}"#),
        ("email-changed", "null", r#"{"new_email": "x@example.org", "completed": true}"#),
        ("reset-password", "'reset-password'", "{}"),
        ("password-changed", "null", "{}"),
    ]
    .into_iter()
    .enumerate()
    {
        dba.run(&format!("select auth_private.queue_message('{kind}', 'ann@example.org', '{}', {purpose}, '{payload}', 0)", ann.id));
        let output = post.deliver();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let arrived = post.arrived();
        assert_eq!(arrived.len(), n + 1, "{kind}");
        assert!(!arrived.iter().any(|mail| mail.contains('$')), "nothing left to fill in");
    }
    let kinds: Vec<String> = dba.column(
        "select m[1] from pg_constraint c, regexp_matches(pg_get_constraintdef(c.oid), '''([a-z-]+)''', 'g') m where conname = 'messages_kind_check'",
    );
    assert_eq!(kinds.len(), 5, "all of them are above: {kinds:?}");
}

#[test]
fn what_cannot_be_sent_is_noted_without_its_token_and_sent_later() {
    let post = Post::new();
    let db = &post.db;
    db.user("Ann");
    db.app().run("select auth.request_password_reset('ann@example.org')");
    let output = post.deliver();
    assert_eq!(output.status.code(), Some(1), "nobody listens");
    let noted: String = db.service().one("select format('%s %s %s', kind, attempts, last_error) from auth.list_messages()");
    assert_eq!(noted, "reset-password 1 ConnectionRefusedError 111");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ot_"));
    let _server = post.smtp_server();
    assert!(post.deliver().status.success() && post.arrived().is_empty(), "not due yet");
    assert!(db.service().one::<bool>("select auth.retry_message(id) from auth.list_messages()"));
    assert!(post.deliver().status.success());
    let token = token(&post.mail_to("ann@example.org"), "reset");
    db.app().run(&format!("select auth.reset_password('{token}', 'another password')"));
}

#[test]
fn it_waits_for_mail_and_ends_when_it_is_told() {
    let post = Post::new();
    let _server = post.smtp_server();
    post.db.user("Ann");
    let mut mailer = Running(post.mailer(&[]).spawn().expect("the mailer"));
    // It listens, so that what follows wakes it: it asks again by itself only after half a minute.
    let listening = format!(
        "select count(*) from pg_stat_activity where usename = 'mailer' and datname = '{}' and query like '%claim_messages%' and state = 'idle'",
        post.db.name
    );
    let began = Instant::now();
    while post.db.dba().one::<i64>(&listening) == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not listen");
        sleep(Duration::from_millis(20));
    }
    post.db.app().run("select auth.request_password_reset('ann@example.org')");
    let began = Instant::now();
    while post.arrived().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it was not woken");
        sleep(Duration::from_millis(20));
    }
    let pid = i32::try_from(mailer.0.id()).expect("a pid");
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let began = Instant::now();
    while mailer.0.try_wait().expect("the mailer").is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_says_what_is_not_set() {
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mailer/mailer.py"))
        .env_remove("SMTP_HOST")
        .output()
        .expect("the mailer");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "mailer: SMTP_HOST is not set\n");
}
