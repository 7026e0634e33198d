//! A call of every function of schema auth in SQL, with arguments that are good and with arguments that are not.

use crate::gateway_calls::ROWS;
use pgrx_tests::Actor;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the catalogue says of a function.
pub struct Signature {
    /// Each argument's name, and its type as `pg_catalog.…`.
    pub arguments: Vec<(String, String)>,
    /// How many of them have no default.
    pub required: usize,
    pub returns_set: bool,
}

/// Every function of schema auth by its name. No name is overloaded; see lints.rs.
pub fn signatures(dba: &mut Actor) -> BTreeMap<String, Signature> {
    let rows = dba.client.query(
        "select p.proname::text, p.proretset, coalesce(p.proargnames[:p.pronargs], '{}')::text[],
                array(select 'pg_catalog.' || t.typname from unnest(p.proargtypes::oid[]) with ordinality a (type, n) join pg_type t on t.oid = a.type order by n),
                (p.pronargs - p.pronargdefaults)::int
           from pg_proc p where p.pronamespace = 'auth'::regnamespace",
        &[],
    );
    rows.expect("functions")
        .iter()
        .map(|row| {
            let (names, types): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
            (
                row.get(0),
                Signature {
                    arguments: names.into_iter().zip(types).collect(),
                    required: row.get::<_, i32>(4) as usize,
                    returns_set: row.get(1),
                },
            )
        })
        .collect()
}

/// Those that the table of HTTP requests does not have, because no request may call them or because they need an arrangement there.
const OTHERS: &[(&str, &str, &str)] = &[
    ("stop_impersonating", "{}", "{}"),
    ("set_password", r#"{"new_password": "another password"}"#, r#"{"new_password": "short"}"#),
    (
        "sign_in_with_provider",
        r#"{"provider": "github", "provider_user_id": "1", "email": "git@example.org", "email_verified": true}"#,
        r#"{"provider": "credential", "provider_user_id": "1"}"#,
    ),
    (
        "link_account",
        r#"{"user_id": "{t}", "provider": "gitlab", "provider_user_id": "1"}"#,
        r#"{"user_id": "{t}", "provider": "", "provider_user_id": "1"}"#,
    ),
    (
        "update_user_provider_id",
        r#"{"user_id": "{t}", "provider": "github", "provider_user_id": "2"}"#,
        r#"{"user_id": "{t}", "provider": "credential", "provider_user_id": "2"}"#,
    ),
    (
        "import_users",
        r#"{"users": [{"email": "in@example.org", "roles": ["user"], "created_at": "2020-01-02T03:04:05Z", "attributes": {"a": 1}}, {"email": "no"}]}"#,
        r#"{"users": {}}"#,
    ),
    ("claim_messages", "{}", r#"{"max_messages": 0}"#),
    ("complete_message", r#"{"id": "{t}"}"#, r#"{"id": null}"#),
    ("fail_message", r#"{"id": "{t}", "error": "no such host"}"#, r#"{"id": "{t}", "error": null}"#),
    ("postgrest_config", "{}", "{}"),
    // What parses and prints moments, patterns and identifiers.
    (
        "list_users",
        r#"{"search_value": "a\\_%'", "search_field": "any", "filter_field": "created_at", "filter_operator": "gt", "filter_value": "2020-02-01T00:00:00Z"}"#,
        r#"{"filter_field": "created_at", "filter_value": "yesterday evening"}"#,
    ),
    (
        "list_users_page",
        r#"{"sort_by": "created_at", "sort_direction": "asc", "page_size": 1, "after_cursor": "{cursor}"}"#,
        r#"{"after_cursor": "x"}"#,
    ),
    (
        "update_user",
        r#"{"user_id": "{t}", "patch": {"banned": true, "ban_expires_at": "2099-02-01T00:00:00Z", "ban_reason": "x\\y'z"}}"#,
        r#"{"user_id": "{t}", "patch": {"ban_expires_at": "tomorrow"}}"#,
    ),
    ("list_audit_log", r#"{"user_id": "{t}", "since": "2020-02-01T00:00:00Z"}"#, r#"{"after_cursor": "x"}"#),
];

/// A function, and its arguments as a JSON object, where `{…}` is to be filled in; good ones and bad ones.
pub fn calls() -> impl Iterator<Item = (&'static str, [&'static str; 2])> {
    let rows = ROWS.iter().map(|row| (row.function, [row.allowed.1, row.refused.1]));
    rows.chain(OTHERS.iter().map(|(function, good, bad)| (*function, [*good, *bad])))
}

/// The call, whose text means the same whatever the search path and the settings are.
pub fn call(function: &str, signature: &Signature, arguments: &Value) -> String {
    let given = arguments.as_object().expect("an object");
    let passed: Vec<String> = signature
        .arguments
        .iter()
        .filter_map(|(name, type_name)| Some(format!("{name} => {}", literal(given.get(name)?, type_name))))
        .collect();
    let column = if signature.returns_set { "pg_catalog.to_jsonb(r)" } else { "r::pg_catalog.text" };
    format!("select {column} from auth.{function}({}) r", passed.join(", "))
}

/// In dollars, since a backslash between quotes means what a setting says.
fn literal(value: &Value, type_name: &str) -> String {
    let text = match value {
        Value::Null => return "null".to_owned(),
        Value::String(text) if type_name != "pg_catalog.jsonb" => text.clone(),
        Value::Array(items) if type_name == "pg_catalog._text" => {
            format!("{{{}}}", items.iter().map(Value::to_string).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    };
    format!("$literal${text}$literal$::{type_name}")
}
