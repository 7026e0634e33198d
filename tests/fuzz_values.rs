//! Values for the arguments of functions, by their type: such as are right now and then, and such as nobody expects.

use crate::fuzz_texts::TEXTS;
use serde_json::{Value, json};

/// Numbers that a seed decides: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    pub fn among<'a>(&mut self, choices: &'a [String]) -> &'a str {
        if choices.is_empty() { "" } else { &choices[self.below(choices.len())] }
    }
}

/// What is in the database at the moment, so that calls reach what lies behind the checks.
#[derive(Default)]
pub struct Real {
    /// This call is to reach deep: nearly everything is right.
    pub tame: bool,
    pub ids: Vec<String>,
    pub users: Vec<String>,
    pub sessions: Vec<String>,
    pub messages: Vec<String>,
    pub emails: Vec<String>,
    pub passwords: Vec<String>,
    pub tokens: Vec<String>,
    pub mailed: Vec<String>,
    pub accounts: Vec<String>,
    pub roles: Vec<String>,
    pub database_roles: Vec<String>,
    pub cursors: Vec<String>,
}

fn long(chance: &mut Chance) -> String {
    let unit = chance.of(&["a", "\u{e9}", "\u{301}", "'", "\\", "[", "{\"a\":", "@", "%", "a.b@"]);
    // Seldom so much that copying it takes its time.
    let octets = if chance.one_in(60) { 10_000_000 } else { *chance.of(&[&63, &64, &255, &256, &512, &1_001, &2_049, &70_000]) };
    unit.repeat(octets / unit.len() + 1)
}

/// A text for an argument of this name.
pub fn text(chance: &mut Chance, real: &Real, name: &str) -> Option<String> {
    let rarely = if real.tame { 12 } else { 1 };
    if chance.one_in(12 * rarely) {
        return None;
    }
    if chance.one_in(25 * rarely) {
        return Some(long(chance));
    }
    if chance.one_in(3 * rarely) {
        return Some(chance.of(TEXTS).to_owned());
    }
    Some(match name {
        "password" | "current_password" | "new_password" => chance.among(&real.passwords).to_owned(),
        "email" | "new_email" if chance.one_in(3) => format!("new{}@example.org", chance.below(100_000)),
        "email" | "new_email" | "search_value" => chance.among(&real.emails).to_owned(),
        "token" if chance.one_in(2) => chance.among(&real.mailed).to_owned(),
        "token" => chance.among(&real.tokens).to_owned(),
        "role_name" if chance.one_in(2) => format!("made_{}", chance.below(30)),
        "role_name" => chance.among(&real.database_roles).to_owned(),
        "name" => chance.among(&real.roles).to_owned(),
        "provider" => chance.of(&["github", "google", "credential"]).to_owned(),
        "provider_user_id" => chance.below(20).to_string(),
        "after_cursor" => chance.among(&real.cursors).to_owned(),
        "permission" => chance.of(&["user:ban", "user:list", "audit:read"]).to_owned(),
        "action" => chance.of(&["sign_in", "ban_user", "update_user"]).to_owned(),
        "search_field" => chance.of(&["email", "name", "any"]).to_owned(),
        "search_operator" => chance.of(&["contains", "starts_with", "ends_with"]).to_owned(),
        "filter_field" => chance.of(&["email", "role", "created_at", "attributes.a", "banned"]).to_owned(),
        "filter_operator" => chance.of(&["eq", "ne", "in", "gt", "contains"]).to_owned(),
        "sort_by" => chance.of(&["email", "name", "created_at", "last_sign_in_at"]).to_owned(),
        "sort_direction" => chance.of(&["asc", "desc"]).to_owned(),
        "count" => chance.of(&["exact", "estimated", "none"]).to_owned(),
        "verifier" => TEXTS[TEXTS.len() - 5].to_owned(),
        _ => chance.of(&["127.0.0.1", "2020-01-01", "x", "user", "true", "[\"user\"]"]).to_owned(),
    })
}

/// A value inside of JSON.
fn inner(chance: &mut Chance, real: &Real, depth: usize) -> Value {
    match chance.below(if depth > 2 { 9 } else { 12 }) {
        0 => Value::Null,
        1 => json!(chance.one_in(2)),
        2 => json!(chance.below(10_000) as i64 - 5_000),
        3 => serde_json::from_str(chance.of(&["1e400", "1e-400", "-0", "123456789012345678901234567890", "0.1e1"])).expect("a number"),
        4 => json!(chance.among(&real.emails)),
        5 => json!(chance.among(&real.ids)),
        6 | 7 => json!(text(chance, real, "x").unwrap_or_default().replace('\0', "")),
        8 => json!(chance.of(&[
            "2030-01-01T00:00:00Z",
            "infinity",
            "2020-13-01",
            "admin",
            "user",
            "github",
            "$argon2id$v=19$m=8192,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ"
        ])),
        9 => (0..chance.below(4)).map(|_| inner(chance, real, depth + 1)).collect(),
        _ => object(chance, real, depth + 1),
    }
}

const KEYS: &[&str] = &[
    "name",
    "image",
    "attributes",
    "email",
    "email_verified",
    "roles",
    "banned",
    "ban_reason",
    "ban_expires_at",
    "id",
    "created_at",
    "password",
    "password_hash",
    "accounts",
    "provider",
    "provider_user_id",
    "user",
    "session",
    "role",
    "ban",
    "list",
    "a",
    "",
    "$serde_json::private::Number",
    "__proto__",
    "\u{202e}",
    "'",
];

fn object(chance: &mut Chance, real: &Real, depth: usize) -> Value {
    (0..chance.below(5)).map(|_| (chance.of(KEYS).to_owned(), inner(chance, real, depth))).collect()
}

/// JSON for an argument of this name, as text; some of it is none.
pub fn jsonb(chance: &mut Chance, real: &Real, name: &str) -> Option<String> {
    let depth = *chance.of(&[&30, &128, &1_000, &6_000]);
    if real.tame && !chance.one_in(20) && name != "users" {
        return Some(match name {
            "permissions" => r#"{"user": ["ban", "list"], "session": ["list"]}"#.to_owned(),
            "patch" => chance
                .of(&[
                    "{}",
                    r#"{"name": "x", "image": null}"#,
                    r#"{"attributes": {"a": [1, null]}}"#,
                    r#"{"banned": true, "ban_reason": "x"}"#,
                    r#"{"roles": ["user"]}"#,
                ])
                .to_owned(),
            _ => r#"{"a": 1, "b": {"c": "d"}}"#.to_owned(),
        });
    }
    Some(match chance.below(24) {
        0 => return None,
        1 => format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth)),
        2 => format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
        3 => r#"{"name": "a\u0000b"}"#.to_owned(),
        4 => r#"{"name": "\ud800", "a": "\udc00\ud800"}"#.to_owned(),
        5 => r#"{"attributes": {"a": 1e400000}}"#.to_owned(),
        6 => r#"{"a": 1e131071, "b": -1e-16383}"#.to_owned(),
        7 => r#"{"$serde_json::private::Number": "1"}"#.to_owned(),
        8 => chance.of(&["", "{", "nul", "[1,]", "\"x\"", "7", "null", "[]", "{}", "{\"a\":1,\"a\":2}"]).to_owned(),
        9 => format!("{{\"attributes\": {{\"a\": \"{}\"}}}}", "x".repeat(if chance.one_in(20) { 10_000_000 } else { 70_000 })),
        10..=14 if name == "permissions" => r#"{"user": ["ban", "list"], "session": ["list"]}"#.to_owned(),
        10..=18 if name == "users" => {
            let user = |n: usize| json!({"email": format!("in{n}@example.org"), "name": inner(&mut Chance(n as u64), real, 2), "roles": ["user"], "accounts": [{"provider": "github", "provider_user_id": n.to_string()}]});
            (0..chance.below(5))
                .map(|_| if chance.one_in(3) { object(chance, real, 0) } else { user(chance.below(50)) })
                .collect::<Value>()
                .to_string()
        }
        _ => object(chance, real, 0).to_string(),
    })
}

/// The text of a value of any of the types that our functions take; none for null.
pub fn value(chance: &mut Chance, real: &Real, name: &str, type_name: &str) -> Option<String> {
    if type_name == "pg_catalog.text" {
        return text(chance, real, name);
    }
    if type_name == "pg_catalog.jsonb" {
        return jsonb(chance, real, name);
    }
    if chance.one_in(if real.tame { 100 } else { 10 }) {
        return None;
    }
    if real.tame && !chance.one_in(20) {
        return Some(match (name, type_name) {
            ("account_id", _) => chance.among(&real.accounts).to_owned(),
            ("session_id", _) => chance.among(&real.sessions).to_owned(),
            ("id", _) => chance.among(&real.messages).to_owned(),
            (_, "pg_catalog.uuid") => chance.among(&real.users).to_owned(),
            (_, "pg_catalog.bool") => chance.of(&["true", "false"]).to_owned(),
            (_, "pg_catalog.int4") => chance.of(&["1", "10", "100"]).to_owned(),
            (_, "pg_catalog.interval") => chance.of(&["1 hour", "1 min"]).to_owned(),
            ("permissions", _) => chance.of(&["{post:edit}", "{user:ban}", "{}"]).to_owned(),
            (_, "pg_catalog._text") => chance.of(&["{user}", "{user}", "{helper}", "{admin}"]).to_owned(),
            _ => "2020-01-01".to_owned(),
        });
    }
    Some(match type_name {
        "pg_catalog.uuid" if name == "account_id" && chance.one_in(2) => chance.among(&real.accounts).to_owned(),
        "pg_catalog.uuid" if !chance.one_in(4) => chance.among(&real.ids).to_owned(),
        "pg_catalog.uuid" => chance
            .of(&[
                "00000000-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}",
                "x",
                "",
            ])
            .to_owned(),
        "pg_catalog.bool" => chance.of(&["true", "false", "on", "0", "maybe"]).to_owned(),
        "pg_catalog.int4" => chance
            .of(&["1", "10", "100", "1000", "0", "-1", "1001", "100001", "2147483647", "-2147483648", "2147483648", "1.5", "0x10", ""])
            .to_owned(),
        "pg_catalog.interval" => chance
            .of(&[
                "1 hour",
                "1 min",
                "30",
                "0",
                "-1 hour",
                "infinity",
                "-infinity",
                "178000000 years",
                "-178000000 years",
                "1 month -1 day",
                "0.000001 s",
                "P1Y2M",
                "99999999999999 s",
                "1e30 s",
                "x",
            ])
            .to_owned(),
        "pg_catalog.timestamptz" => chance
            .of(&[
                "now",
                "infinity",
                "-infinity",
                "294276-12-31 23:59:59+00",
                "4713-01-01 BC",
                "2020-01-01",
                "epoch",
                "300000-01-01",
                "2020-02-30",
                "x",
            ])
            .to_owned(),
        "pg_catalog._text" => chance
            .of(&[
                "{}",
                "{user}",
                "{admin}",
                "{user,admin}",
                "{user,user}",
                "{NULL}",
                "{user,NULL}",
                "{{user,admin},{user,user}}",
                "[5:6]={user,user}",
                "[-2147483648:-2147483648]={user}",
                "{user:ban}",
                "{post:edit,x:y}",
                "{\"\"}",
                "{\"a'b\"}",
                "{",
                "x",
            ])
            .to_owned(),
        other => panic!("no values of type {other}: add some"),
    })
}
