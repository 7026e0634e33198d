//! A user who comes from another system.

use super::email::Email;
use super::{permission, profile, stored_hash};
use crate::error::{Code, Error, Result, invalid, required};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A user to be created.
#[derive(Debug)]
pub struct UserImport {
    pub email: String,
    /// As in the other system, where tables refer to it.
    pub id: Option<Uuid>,
    pub email_verified: bool,
    pub name: String,
    pub image: Option<String>,
    /// As it is to be stored.
    pub hash: Option<String>,
    /// Sorted.
    pub roles: Vec<String>,
    pub attributes: Value,
    /// Provider and its id of the user.
    pub accounts: Vec<(String, String)>,
    /// As text, which PostgreSQL reads.
    pub created_at: Option<String>,
}

impl UserImport {
    /// Reads a row, or says what is wrong with it. A null is as if the key were absent: columns of other systems have them.
    pub fn parse(row: Value) -> Result<Self> {
        let Value::Object(mut fields) = row else { return Err(invalid("users")) };
        fields.retain(|_, value| !value.is_null());
        let email = required(text(&mut fields, "email")?, "email")?;
        let import = UserImport {
            email: Email::parse(&email, "email")?.as_str().to_owned(),
            id: text(&mut fields, "id")?.map(|id| Uuid::try_parse(&id).map_err(|_| invalid("id"))).transpose()?,
            email_verified: match fields.remove("email_verified") {
                None => false,
                Some(Value::Bool(verified)) => verified,
                Some(_) => return Err(invalid("email_verified")),
            },
            name: profile::name(text(&mut fields, "name")?.unwrap_or_default())?,
            image: text(&mut fields, "image")?.map(profile::image).transpose()?,
            hash: text(&mut fields, "password_hash")?
                .map(|hash| stored_hash::imported(&hash).ok_or_else(|| invalid("password_hash")))
                .transpose()?,
            roles: roles(fields.remove("roles"))?,
            attributes: fields.remove("attributes").map_or_else(|| Ok(Value::Object(Map::new())), profile::attributes)?,
            accounts: accounts(fields.remove("accounts"))?,
            created_at: text(&mut fields, "created_at")?,
        };
        match fields.keys().next() {
            Some(key) => Err(Error::about(Code::UNKNOWN_FIELD, key.chars().take(63).collect::<String>())),
            None => Ok(import),
        }
    }
}

fn text(fields: &mut Map<String, Value>, key: &'static str) -> Result<Option<String>> {
    match fields.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(invalid(key)),
    }
}

fn roles(value: Option<Value>) -> Result<Vec<String>> {
    let Some(value) = value else { return Ok(vec![permission::USER.to_owned()]) };
    let mut roles: Vec<String> = serde_json::from_value(value).map_err(|_| invalid("roles"))?;
    if roles.is_empty() || roles.iter().any(|role| role.contains('\0')) {
        return Err(invalid("roles"));
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

fn accounts(value: Option<Value>) -> Result<Vec<(String, String)>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let Value::Array(values) = value else { return Err(invalid("accounts")) };
    let mut accounts = Vec::with_capacity(values.len());
    for value in values {
        let Value::Object(mut fields) = value else { return Err(invalid("accounts")) };
        let provider = text(&mut fields, "provider")?.map(profile::provider).transpose()?;
        let id = text(&mut fields, "provider_user_id")?.map(profile::provider_user_id).transpose()?;
        let (Some(provider), Some(id), true) = (provider, id, fields.is_empty()) else { return Err(invalid("accounts")) };
        accounts.push((provider, id));
    }
    accounts.sort_unstable();
    accounts.dedup();
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_of_nulls_and_an_address_is_a_plain_user() {
        let row =
            json!({"email": "Ann@Example.org", "name": null, "password_hash": null, "roles": null, "accounts": null, "created_at": null});
        let user = UserImport::parse(row).unwrap();
        assert_eq!((user.email.as_str(), user.roles, user.hash), ("ann@example.org", vec!["user".to_owned()], None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refusal = |extra: Value| {
            let mut row = json!({"email": "ann@example.org"});
            row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let error = UserImport::parse(row).unwrap_err();
            (error.code, error.data.unwrap_or_default())
        };
        for (extra, code, data) in [
            (json!({"email": null}), Code::MISSING_ARGUMENT, "email"),
            (json!({"email": 1}), Code::INVALID_ARGUMENT, "email"),
            (json!({"email": "ann"}), Code::INVALID_EMAIL, "email"),
            (json!({"nmae": "x"}), Code::UNKNOWN_FIELD, "nmae"),
            (json!({"password": "x"}), Code::UNKNOWN_FIELD, "password"),
            (json!({"password_hash": "x"}), Code::INVALID_ARGUMENT, "password_hash"),
            (json!({"email_verified": "t"}), Code::INVALID_ARGUMENT, "email_verified"),
            (json!({"name": "x".repeat(256)}), Code::INVALID_ARGUMENT, "name"),
            (json!({"roles": []}), Code::INVALID_ARGUMENT, "roles"),
            (json!({"roles": "admin"}), Code::INVALID_ARGUMENT, "roles"),
            (json!({"attributes": [1]}), Code::INVALID_ARGUMENT, "attributes"),
            (json!({"accounts": {}}), Code::INVALID_ARGUMENT, "accounts"),
            (json!({"accounts": [{"provider": "x"}]}), Code::INVALID_ARGUMENT, "accounts"),
            (json!({"accounts": [{"provider": "credential", "provider_user_id": "x"}]}), Code::INVALID_ARGUMENT, "provider"),
            (json!({"id": "17"}), Code::INVALID_ARGUMENT, "id"),
        ] {
            assert_eq!(refusal(extra), (code, data.to_owned()));
        }
        assert_eq!(UserImport::parse(json!("x")).unwrap_err().code, Code::INVALID_ARGUMENT);
    }
}
