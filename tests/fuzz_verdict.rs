//! Which errors may be: those of the catalogue, whole, and a few of the server's own.

use crate::error::Code;
use postgres::error::DbError;
use serde_json::Value;

/// What the server itself refuses before any of our code runs, or while it reads an argument; and calls of what one may not call (42501),
/// or without a required argument (42883).
const SERVERS: &[(&str, &str)] = &[
    ("22P02", "the text is no value of the argument's type"),
    ("22007", "no interval or timestamp"),
    ("22008", "one that is out of range"),
    ("22015", "an interval that is out of range"),
    ("22003", "a number that is out of range"),
    ("22P05", "\\u0000 in jsonb"),
    ("22021", "NUL in a parameter"),
    ("2202E", "an array's dimensions"),
    ("54000", "an array's bounds, or a string of jsonb, is out of range"),
    ("54001", "jsonb that is nested deeper than the stack allows"),
    ("25P02", "what follows an error in a transaction"),
];

/// The code of an error that may be; none for any other.
pub fn judged(error: &DbError) -> Option<String> {
    let sqlstate = error.code().code();
    let of_catalogue = |code: &str| Code::ALL.iter().map(|code| code.entry()).find(|entry| entry.code == code);
    if sqlstate == "PGRST" {
        let (body, response): (Value, Value) = (serde_json::from_str(error.message()).ok()?, serde_json::from_str(error.detail()?).ok()?);
        let entry = of_catalogue(body["code"].as_str()?)?;
        return (response["status"] == entry.http
            && body["details"].as_str()?.starts_with(entry.code)
            && body["message"] == entry.sentence)
            .then(|| entry.code.to_owned());
    }
    if let Some(detail) = error.detail()
        && let Some(entry) = of_catalogue(detail.split(':').next().unwrap_or_default())
    {
        return (entry.sqlstate == sqlstate && entry.sentence == error.message()).then(|| entry.code.to_owned());
    }
    let is_about_the_call = match sqlstate {
        "42501" => error.message().starts_with("permission denied for function "),
        "42883" => error.message().starts_with("function auth."),
        _ => SERVERS.iter().any(|(state, _)| *state == sqlstate),
    };
    // Of our own statements there would be a context.
    let is_ours = error.where_().is_some_and(|context| context.contains("auth") || context.contains("SQL"));
    (is_about_the_call && !is_ours).then(|| sqlstate.to_owned())
}
