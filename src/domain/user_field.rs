//! The fields by which users are filtered and ordered, and the operators.

use crate::error::{Result, invalid};
use uuid::Uuid;

/// An argument of the composed statement. All are sent as text and cast in the statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    Text(String),
    Texts(Vec<String>),
    /// To be read by PostgreSQL before they are used, so that a wrong one is our error, about this argument, and not the server's.
    Timestamps(Vec<String>, &'static str),
    Integer(i64),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Uuid,
    Boolean,
    Timestamp,
}

impl Kind {
    /// The type's name in SQL.
    pub fn cast(self) -> &'static str {
        match self {
            Kind::Text => "pg_catalog.text",
            Kind::Uuid => "pg_catalog.uuid",
            Kind::Boolean => "pg_catalog.bool",
            Kind::Timestamp => "pg_catalog.timestamptz",
        }
    }
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// As clients name it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// As a filter sees it.
    pub column: &'static str,
    /// As an order sees it: never null, so that a cursor can compare, and letter by letter what an index is on.
    pub order: &'static str,
}

const FIELDS: &[Field] = &[
    Field { name: "id", kind: Kind::Uuid, column: "d.id", order: "d.id" },
    Field { name: "email", kind: Kind::Text, column: "d.email", order: "coalesce(d.email, ''::pg_catalog.text)" },
    Field { name: "email_verified", kind: Kind::Boolean, column: "d.email_verified", order: "d.email_verified" },
    Field { name: "name", kind: Kind::Text, column: "d.name", order: "d.name" },
    Field { name: "banned", kind: Kind::Boolean, column: "d.banned", order: "d.banned" },
    Field {
        name: "ban_expires_at",
        kind: Kind::Timestamp,
        column: "d.ban_expires_at",
        order: "coalesce(d.ban_expires_at, '-infinity'::pg_catalog.timestamptz)",
    },
    Field { name: "created_at", kind: Kind::Timestamp, column: "d.created_at", order: "d.created_at" },
    Field { name: "updated_at", kind: Kind::Timestamp, column: "d.updated_at", order: "d.updated_at" },
    Field {
        name: "last_sign_in_at",
        kind: Kind::Timestamp,
        column: "d.last_sign_in_at",
        order: "coalesce(d.last_sign_in_at, '-infinity'::pg_catalog.timestamptz)",
    },
];

/// The field of that name.
pub fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// Values of a field's kind, or INVALID_ARGUMENT where one does not parse.
pub fn typed(kind: Kind, values: Vec<String>, argument: &'static str) -> Result<Argument> {
    let wrong = || invalid(argument);
    if values.iter().any(|value| value.contains('\0')) {
        return Err(wrong());
    }
    Ok(match kind {
        Kind::Text => Argument::Texts(values),
        Kind::Timestamp => Argument::Timestamps(values, argument),
        Kind::Uuid => {
            let parsed = values.iter().map(|value| Uuid::parse_str(value).map(|id| id.to_string())).collect::<Result<_, _>>();
            Argument::Texts(parsed.map_err(|_| wrong())?)
        }
        Kind::Boolean => {
            let all = values.iter().all(|value| matches!(value.as_str(), "true" | "false" | "t" | "f"));
            if !all {
                return Err(wrong());
            }
            Argument::Texts(values)
        }
    })
}

/// `%`, `_` and `\` mean themselves.
fn literal_pattern(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, c| {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

/// What `like` compares with, for the operators that search within a text.
pub fn pattern(operator: &str, text: &str) -> Option<String> {
    let text = literal_pattern(text);
    match operator {
        "contains" => Some(format!("%{text}%")),
        "starts_with" => Some(format!("{text}%")),
        "ends_with" => Some(format!("%{text}")),
        _ => None,
    }
}

/// The comparisons, as SQL.
pub fn comparison(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "eq" => "operator(pg_catalog.=)",
        "lt" => "operator(pg_catalog.<)",
        "lte" => "operator(pg_catalog.<=)",
        "gt" => "operator(pg_catalog.>)",
        "gte" => "operator(pg_catalog.>=)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_literal() {
        assert_eq!(pattern("contains", r"50%_\").unwrap(), r"%50\%\_\\%");
    }
}
