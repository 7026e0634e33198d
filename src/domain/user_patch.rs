//! A partial update: an absent key is left alone, null clears, an unknown key is an error.

use super::{email::Email, profile};
use crate::error::{Code, Error, Result, invalid};
use serde_json::{Map, Value};

/// Fields that exist but that no patch can set; the password has functions of its own.
const NOT_ALLOWED: &[&str] = &["id", "created_at", "updated_at", "last_sign_in_at", "password"];

/// What a patch says about a ban. `None` is an absent key.
#[derive(Debug, Default, PartialEq)]
pub struct BanPatch {
    /// Ban or lift.
    pub banned: Option<bool>,
    /// The reason; null for the default one.
    pub reason: Option<Option<String>>,
    /// The end as text that PostgreSQL reads; null for never.
    pub expires_at: Option<Option<String>>,
}

/// A patch of a user. `None` is an absent key.
#[derive(Debug, Default, PartialEq)]
pub struct UserPatch {
    pub name: Option<String>,
    pub image: Option<Option<String>>,
    pub attributes: Option<Value>,
    pub email: Option<String>,
    pub email_verified: Option<bool>,
    pub roles: Option<Vec<String>>,
    pub ban: BanPatch,
}

/// The keys of a patch, before their values are looked at: permissions come before arguments.
#[derive(Default)]
pub struct Keys {
    /// Has `email` or `email_verified`.
    pub email: bool,
    /// Has `roles`.
    pub roles: bool,
    /// Has `banned`, `ban_reason` or `ban_expires_at`.
    pub ban: bool,
}

impl Keys {
    /// What a patch touches; a patch that is no object touches nothing.
    pub fn of(patch: &Value) -> Self {
        let has = |keys: &[&str]| keys.iter().any(|key| patch.get(key).is_some());
        Keys { email: has(&["email", "email_verified"]), roles: has(&["roles"]), ban: has(&["banned", "ban_reason", "ban_expires_at"]) }
    }
}

impl UserPatch {
    /// Reads a patch, or says which key is wrong.
    pub fn parse(patch: Value) -> Result<Self> {
        let Value::Object(fields) = patch else { return Err(invalid("patch")) };
        reject_unknown(&fields)?;
        let mut parsed = UserPatch::default();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("name", Value::Null) => parsed.name = Some(String::new()),
                ("name", Value::String(text)) => parsed.name = Some(profile::name(text)?),
                ("image", Value::Null) => parsed.image = Some(None),
                ("image", Value::String(text)) => parsed.image = Some(Some(profile::image(text)?)),
                ("attributes", Value::Null) => parsed.attributes = Some(Value::Object(Map::new())),
                ("attributes", value) => parsed.attributes = Some(profile::attributes(value)?),
                ("email", Value::String(text)) => parsed.email = Some(Email::parse(&text, "email")?.as_str().to_owned()),
                ("email_verified", Value::Bool(verified)) => parsed.email_verified = Some(verified),
                ("roles", Value::Array(roles)) => parsed.roles = Some(strings(roles).ok_or_else(|| invalid("roles"))?),
                ("banned", Value::Bool(banned)) => parsed.ban.banned = Some(banned),
                ("ban_reason", Value::Null) => parsed.ban.reason = Some(None),
                ("ban_reason", Value::String(text)) => parsed.ban.reason = Some(profile::ban_reason(text)?),
                ("ban_expires_at", Value::Null) => parsed.ban.expires_at = Some(None),
                ("ban_expires_at", Value::String(text)) => parsed.ban.expires_at = Some(Some(text)),
                _ => return Err(invalid(key)),
            }
        }
        Ok(parsed)
    }

    /// True when nothing is to be done.
    pub fn is_empty(&self) -> bool {
        *self == UserPatch::default()
    }
}

fn reject_unknown(fields: &Map<String, Value>) -> Result<()> {
    const KNOWN: &[&str] = &["name", "image", "attributes", "email", "email_verified", "roles", "banned", "ban_reason", "ban_expires_at"];
    for key in fields.keys() {
        if NOT_ALLOWED.contains(&key.as_str()) {
            return Err(Error::about(Code::FIELD_NOT_ALLOWED, key));
        }
        if !KNOWN.contains(&key.as_str()) {
            return Err(Error::about(Code::UNKNOWN_FIELD, key.chars().take(63).collect::<String>()));
        }
    }
    Ok(())
}

fn strings(values: Vec<Value>) -> Option<Vec<String>> {
    values.into_iter().map(|value| if let Value::String(text) = value { Some(text) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(patch: Value) -> (Code, Option<String>) {
        let error = UserPatch::parse(patch).unwrap_err();
        (error.code, error.data)
    }

    #[test]
    fn absent_is_not_null() {
        assert!(UserPatch::parse(json!({})).unwrap().is_empty());
        let patch = UserPatch::parse(json!({"name": null, "image": null, "attributes": null})).unwrap();
        assert_eq!((patch.name, patch.image, patch.attributes), (Some(String::new()), Some(None), Some(json!({}))));
        assert_eq!(UserPatch::parse(json!({"name": "Ann"})).unwrap().image, None);
    }

    #[test]
    fn wrong_keys_are_named() {
        assert_eq!(refusal(json!({"nmae": "x"})), (Code::UNKNOWN_FIELD, Some("nmae".into())));
        for key in NOT_ALLOWED {
            assert_eq!(refusal(json!({*key: "x"})), (Code::FIELD_NOT_ALLOWED, Some(key.to_string())));
        }
        assert_eq!(refusal(json!({"name": "x", "Banned": true})).0, Code::UNKNOWN_FIELD);
    }

    #[test]
    fn wrong_values_are_named() {
        for (patch, key) in [
            (json!("x"), "patch"),
            (json!(null), "patch"),
            (json!([1]), "patch"),
            (json!({"name": 1}), "name"),
            (json!({"name": "x".repeat(256)}), "name"),
            (json!({"name": "a\u{0}b"}), "name"),
            (json!({"image": "x".repeat(2049)}), "image"),
            (json!({"attributes": []}), "attributes"),
            (json!({"attributes": (0..40).fold(json!(1), |inner, _| json!({"a": inner}))}), "attributes"),
            (json!({"email": null}), "email"),
            (json!({"email_verified": "true"}), "email_verified"),
            (json!({"roles": "admin"}), "roles"),
            (json!({"roles": [1]}), "roles"),
            (json!({"roles": null}), "roles"),
            (json!({"banned": "true"}), "banned"),
            (json!({"banned": null}), "banned"),
            (json!({"ban_expires_at": 5}), "ban_expires_at"),
        ] {
            assert_eq!(refusal(patch), (Code::INVALID_ARGUMENT, Some(key.into())));
        }
        assert_eq!(refusal(json!({"email": "no"})).0, Code::INVALID_EMAIL);
    }
}
