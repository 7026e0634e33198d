//! What must hold for every input of the parsers in src/domain. `cargo fuzz` searches for one for which it does not; tests/parsers.rs
//! tries some in `make test`.

use crate::domain::access_token;
use crate::domain::address;
use crate::domain::email::Email;
use crate::domain::password::{Cost, Password, Policy};
use crate::domain::pepper::Peppers;
use crate::domain::permission;
use crate::domain::profile;
use crate::domain::role_name;
use crate::domain::stored_hash::{StoredHash, imported};
use crate::domain::user_import::UserImport;
use crate::domain::user_patch::{Keys, UserPatch};
use crate::domain::user_query::{Request, UserQuery};
use serde_json::Value;
use std::cell::OnceCell;

/// A parser's name, what must hold, and inputs to start from.
pub struct Property {
    /// As the fuzz target is called.
    pub name: &'static str,
    /// Panics where something does not hold; false where the parser has refused the input.
    pub check: fn(&str) -> bool,
    /// Each is understood by the parser.
    pub seeds: &'static [&'static str],
}

/// All of them.
pub const PROPERTIES: &[Property] = &[
    Property { name: "emails", check: emails, seeds: &["Ann.Lee+tag@Example.ORG", "jürgen@bücher.example", "a@xn--bcher-kva.example"] },
    Property {
        name: "passwords", check: passwords, seeds: &["correct horse battery", "A\u{30A}ngstro\u{308}m-1868", "😀😀😀😀😀😀😀😀"]
    },
    Property {
        name: "stored_hashes",
        check: stored_hashes,
        seeds: &[
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$2b$10$abcdefghijklmnopqrstuu5Lt0g67CMDyf2EK8vJxo2CtnMNvUZnW",
            "pbkdf2_sha256$600000$saltsaltsaltsalt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "$pbkdf2-sha256$29000$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "s2:saltsaltsaltsalt:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=AAECAwQFBgcICQoLDA0ODw==$c2FsdA==$AAECAwQFBgcICQoLDA0ODw==",
        ],
    },
    Property {
        name: "peppers",
        check: peppers,
        seeds: &["# keys\nnew AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nold\tAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
    },
    Property { name: "addresses", check: addresses, seeds: &["192.0.2.1", "[2001:db8::1]:443", "10.0.0.1, 192.0.2.7:80"] },
    Property { name: "access_tokens", check: access_tokens, seeds: &["eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJzdWIiOiJhIn0.c2ln"] },
    Property { name: "names", check: names, seeds: &["user:set-role", "editor", "auth_x", "pg_monitor"] },
    Property {
        name: "verifiers",
        check: verifiers,
        seeds: &[
            "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ],
    },
    Property {
        name: "imports",
        check: imports,
        seeds: &[
            r#"{"email": "Ann@example.org", "name": "Ann", "roles": ["user", "admin"], "attributes": {"a": [1]}, "email_verified": true,
                     "accounts": [{"provider": "github", "provider_user_id": "1"}], "id": "00000000-0000-4000-8000-000000000000"}"#,
        ],
    },
    Property {
        name: "patches",
        check: patches,
        seeds: &[
            r#"{"name": null, "image": "x", "attributes": {"a": {"b": 1e400}}, "email": "B@c.de", "roles": ["user"], "banned": true, "ban_expires_at": "tomorrow"}"#,
        ],
    },
    Property {
        name: "queries",
        check: queries,
        seeds: &[
            r#"["ann", "any", "contains", "attributes.plan", "pro", "eq", "email", "asc", 10, 0, null]"#,
            r#"[null, "email", "contains", "email", "[\"a\"]", "in", "email", "asc", 1000, 0, "WyJlbWFpbCIsZmFsc2UsImEiLCIwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ"]"#,
        ],
    },
];

fn emails(text: &str) -> bool {
    let Ok(email) = Email::parse(text, "email") else { return false };
    let stored = email.as_str();
    assert!(stored.len() <= 254 && stored.matches('@').count() == 1, "{stored}");
    assert!(!stored.chars().any(|c| c.is_control() || c.is_whitespace() || c.is_ascii_uppercase()), "{stored}");
    let (_, domain) = stored.rsplit_once('@').expect("an @");
    assert!(domain.is_ascii(), "{stored}");
    assert_eq!(
        Email::parse(stored, "email").map(|again| again.as_str().to_owned()).ok().as_deref(),
        Some(stored),
        "canonical is canonical"
    );
    true
}

fn passwords(text: &str) -> bool {
    let policy = Policy { min_length: 8, max_length: 128, blocklist: true };
    let Ok(password) = Password::chosen(text, "password", &policy) else { return false };
    let cost = Cost { memory_kib: 8, iterations: 1 };
    let none = Peppers::default();
    let hash = password.hash(cost, &none, &mut Vec::new()).expect("8 KiB");
    let presented = |text: &str| {
        Password::presented(text, "password", &policy).is_ok_and(|password| password.matches(&hash, &none, &mut Vec::new()).expect("8 KiB"))
    };
    assert!(presented(text), "who has chosen it can sign in");
    let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
    assert!(!presented(&text[..last]) && !presented(""), "and nobody with less of it");
    true
}

fn stored_hashes(text: &str) -> bool {
    let Some(stored) = imported(text) else { return false };
    assert!(StoredHash::parse(&stored).is_some_and(|hash| hash.key_id().is_none()), "{stored}");
    assert_eq!(imported(&stored).as_deref(), Some(stored.as_str()), "what is stored can be moved on");
    true
}

fn peppers(text: &str) -> bool {
    match Peppers::parse(text) {
        Ok(peppers) => {
            let current = peppers.current().expect("a file has a key");
            assert!(current.key.len() >= 32 && peppers.find(current.id.as_bytes()).is_some());
            true
        }
        Err(problem) => {
            assert!(problem.len() < 200, "says where, and not what is in it");
            false
        }
    }
}

fn addresses(text: &str) -> bool {
    if let Some(address) = address::forwarded_address(text) {
        assert_eq!(address::forwarded_address(&address.to_string()), Some(address));
    }
    if let Ok(Some(address)) = address::ip_address(Some(text)) {
        assert_eq!(address::forwarded_address(text), Some(address), "what is an address alone is one in a header");
    }
    assert!(address::user_agent(Some(text.to_owned())).is_some_and(|agent| agent.chars().count() <= 512));
    assert!(!address::is_own_origin(text, None, &[String::new()]), "an origin that nobody trusts");
    address::forwarded_address(text).is_some()
}

fn access_tokens(text: &str) -> bool {
    thread_local! { static KEY: OnceCell<Vec<u8>> = const { OnceCell::new() } }
    KEY.with(|key| {
        let key = key.get_or_init(|| access_token::new_pair().public);
        assert!(access_token::verify(text, key).is_none(), "nobody else has the key");
    });
    access_token::key_id(text).is_some()
}

fn names(text: &str) -> bool {
    if permission::is_permission(text) {
        assert!(text.len() <= 127 && text.split(':').count() == 2 && text.split(':').all(permission::is_name), "{text}");
    }
    if role_name::new(text).is_ok() {
        assert!((1..=63).contains(&text.len()) && !text.starts_with("pg_") && !text.starts_with("auth_"), "{text}");
    }
    for limited in
        [profile::name(text.to_owned()), profile::image(text.to_owned()), profile::provider(text.to_owned())].into_iter().flatten()
    {
        assert!(limited == text && !text.contains('\0'));
    }
    permission::is_permission(text) || permission::is_name(text) || role_name::existing(text).is_ok()
}

fn verifiers(text: &str) -> bool {
    let understood = role_name::verifier(text).is_ok();
    if understood {
        assert!(text.starts_with("SCRAM-SHA-256$") && text.is_ascii() && text.len() < 300, "{text}");
        assert!(!text.contains(|c: char| c.is_whitespace() || c == '\''), "{text}");
    }
    understood
}

fn is_canonical(email: &str) -> bool {
    Email::parse(email, "email").is_ok_and(|parsed| parsed.as_str() == email)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(values) => 1 + values.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn imports(text: &str) -> bool {
    let Ok(row) = serde_json::from_str::<Value>(text) else { return false };
    let Ok(import) = UserImport::parse(row) else { return false };
    assert!(is_canonical(&import.email) && !import.roles.is_empty() && import.roles.is_sorted());
    assert!(import.attributes.is_object() && depth(&import.attributes) <= 33);
    assert!(import.hash.is_none_or(|hash| StoredHash::parse(&hash).is_some()));
    true
}

fn patches(text: &str) -> bool {
    let Ok(patch) = serde_json::from_str::<Value>(text) else { return false };
    let keys = Keys::of(&patch);
    let Ok(parsed) = UserPatch::parse(patch) else { return false };
    assert!(parsed.email.as_deref().is_none_or(is_canonical));
    // Whatever is done was asked a permission for.
    assert!(keys.email || (parsed.email.is_none() && parsed.email_verified.is_none()));
    assert!(keys.roles || parsed.roles.is_none());
    assert!(keys.ban || (parsed.ban.banned.is_none() && parsed.ban.reason.is_none() && parsed.ban.expires_at.is_none()));
    true
}

/// What a client sends is told by this apart from what stands in the source.
const MARK: &str = "zq9";

fn queries(text: &str) -> bool {
    let Ok(Value::Array(fields)) = serde_json::from_str::<Value>(text) else { return false };
    let text = |at: usize| fields.get(at).and_then(Value::as_str).map(str::to_owned);
    let number = |at: usize| fields.get(at).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()).unwrap_or(1);
    let or = |at: usize, default: &str| text(at).unwrap_or_else(|| default.to_owned());
    let request = || Request {
        search_value: text(0).map(|value| format!("{value}{MARK}")),
        search_field: or(1, "email"),
        search_operator: or(2, "contains"),
        filter_field: text(3).map(|field| if field.starts_with("attributes.") { format!("{field}{MARK}") } else { field }),
        filter_value: text(4),
        filter_operator: or(5, "eq"),
        sort_by: or(6, "created_at"),
        sort_direction: or(7, "desc"),
        page_size: number(8),
        page_offset: number(9),
        after_cursor: text(10),
    };
    let Ok(query) = UserQuery::build(request()) else { return false };
    let pages = [false, true].map(|in_order| query.page(in_order));
    for (sql, arguments) in pages.into_iter().map(|page| (page.sql, page.arguments)).chain([query.total()]) {
        assert!(!sql.contains(MARK), "what a client sends is only ever an argument: {sql}");
        let numbers = sql.split('$').skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let highest = numbers.map(|number| number.parse::<usize>().expect("$ and a number")).max().unwrap_or(0);
        assert!(highest <= arguments.len(), "{sql}: {} arguments", arguments.len());
    }
    let (size, offset) = query.bounds();
    assert!((1..=1_000).contains(&size) && offset >= 0);
    // A cursor that we hand out is understood, whatever lies in the row.
    let next = query.cursor(&or(0, ""), "00000000-0000-4000-8000-000000000000");
    let followed = UserQuery::build(Request { after_cursor: Some(next), page_offset: 0, ..request() });
    assert!(
        followed.is_ok()
            || ["id", "email_verified", "banned", "ban_expires_at", "created_at", "updated_at", "last_sign_in_at"]
                .contains(&or(6, "created_at").as_str())
    );
    true
}
