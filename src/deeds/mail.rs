//! Mail that functions send.

use crate::config;
use crate::domain::message::Kind;
use crate::store::messages::{self, NewMessage};
use pgrx::Uuid;
use serde_json::{Value, json};

/// A token for an address, within the limit of how often. To nobody, the same work is done and nothing sent.
pub fn with_token(kind: Kind, address: &str, user: Option<Uuid>) {
    messages::queue(NewMessage { kind, address, user, with_token: true, payload: json!({}), interval: config::message_interval() });
}

/// A token for the user's own address.
pub fn verification(address: &str, user: Option<Uuid>) {
    with_token(Kind::VerifyEmail, address, user);
}

// What strangers can cause is bounded by the interval. What happens to an account its owner hears each time: a decoy sent first would
// otherwise silence the notice that matters.

/// Tells the owner of a proved address that somebody has tried to sign up with it.
pub fn already_registered(address: &str, user: Uuid) {
    notice(Kind::VerifyEmail, address, user, json!({"reason": "already-registered"}), config::message_interval());
}

/// Tells the owner of an address that somebody wanted it for another user.
pub fn address_taken(address: &str, owner: Uuid) {
    notice(Kind::ChangeEmail, address, owner, json!({"reason": "address-taken"}), config::message_interval());
}

/// A notice instead of a token; `interval` in seconds, within which no other of its kind goes there.
fn notice(kind: Kind, address: &str, user: Uuid, payload: Value, interval: i32) {
    messages::queue(NewMessage { kind, address, user: Some(user), with_token: false, payload, interval });
}

/// Tells the address that a user has, or had until now, of another one.
pub fn email_changed(former: Option<&str>, user: Uuid, new: &str, completed: bool) {
    if let Some(address) = former {
        notice(Kind::EmailChanged, address, user, json!({"new_email": new, "completed": completed}), 0);
    }
}

/// Tells a user of another password (NIST SP 800-63B-4 4.6).
pub fn password_changed(address: Option<&str>, user: Uuid) {
    if let Some(address) = address {
        notice(Kind::PasswordChanged, address, user, json!({}), 0);
    }
}
