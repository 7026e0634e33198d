//! Which call a client makes next.

use super::deeds::{Deed, Identity, Meaning};
use super::world::{Chance, World};
use uuid::Uuid;

/// Database roles belong to the cluster; nobody else in it has one of these.
pub const DATABASE_ROLES: [&str; 3] = ["history_one", "history_two", "history_three"];

fn deed(action: &'static str, arguments: String, meaning: Meaning) -> Deed {
    Deed { action, arguments, meaning }
}

/// One of the first so many; the number says how often it comes.
fn weighted<T: Copy>(chance: &mut Chance, choices: &[(u64, T)]) -> T {
    let mut at = chance.below(choices.iter().map(|(weight, _)| weight).sum());
    for (weight, choice) in choices {
        if at < *weight {
            return *choice;
        }
        at -= weight;
    }
    choices[0].1
}

/// Of somebody who is nobody yet.
pub fn of_anybody(world: &World, chance: &mut Chance) -> Deed {
    let known = world.user(chance);
    let email = World::address(chance);
    let choices = [
        (4, "sign_up"),
        (30, "sign_in"),
        (6, "refresh_session"),
        (5, "request_password_reset"),
        (3, "send_verification_email"),
        (6, "token"),
    ];
    match weighted(chance, &choices) {
        "sign_up" => sign_up(world, email),
        "refresh_session" => match world.session(chance) {
            Some((token, identity)) => deed("refresh_session", format!("'{token}'"), Meaning::Refresh(identity)),
            None => sign_up(world, email),
        },
        "request_password_reset" => deed("request_password_reset", format!("'{}'", known.email), Meaning::Plain),
        "send_verification_email" => deed("send_verification_email", format!("'{}'", known.email), Meaning::Plain),
        "token" => match world.mail(chance) {
            Some(mail) if mail.kind == "reset-password" => {
                let password = world.new_password();
                deed("reset_password", format!("'{}', '{password}'", mail.token), Meaning::Reset { token: mail.token, password })
            }
            Some(mail) => deed("verify_email", format!("'{}'", mail.token), Meaning::Verify { token: mail.token }),
            None => deed("request_password_reset", format!("'{}'", known.email), Meaning::Plain),
        },
        _ => {
            let password = if chance.percent(75) { known.password } else { known.former };
            deed("sign_in", format!("'{}', '{password}'", known.email), Meaning::SignIn { password })
        }
    }
}

fn sign_up(world: &World, email: String) -> Deed {
    let password = world.new_password();
    deed("sign_up", format!("'{email}', '{password}'"), Meaning::SignUp { email, password })
}

/// Becomes the user of a session.
pub fn use_session(token: &str, identity: Identity, is_local: bool) -> Deed {
    deed("use_session", format!("'{token}', {is_local}"), Meaning::Use(identity))
}

/// Of a user, about themselves.
pub fn of_user(world: &World, chance: &mut Chance, who: Identity) -> Deed {
    let some_session = world.session(chance).map_or(who.session, |(_, identity)| identity.session);
    let choices = [
        (16, "uid"),
        (2, "sign_out"),
        (3, "revoke_session"),
        (2, "revoke_sessions"),
        (4, "revoke_other_sessions"),
        (5, "change_password"),
        (2, "verify_password"),
        (3, "change_email"),
        (4, "update_user"),
        (3, "list_accounts"),
        (2, "unlink_account"),
        (1, "delete_user"),
        (8, "impersonate_user"),
        (if who.parent.is_some() { 12 } else { 1 }, "stop_impersonating"),
    ];
    match weighted(chance, &choices) {
        "sign_out" => deed("sign_out", String::new(), Meaning::SignOut),
        "revoke_session" => deed("revoke_session", format!("'{some_session}'"), Meaning::RevokeOne(some_session)),
        "revoke_sessions" => deed("revoke_sessions", String::new(), Meaning::RevokeOwn),
        "revoke_other_sessions" => deed("revoke_other_sessions", String::new(), Meaning::RevokeOthers),
        "change_password" => {
            let (old, new, revoke) = (world.password_of(who.user), world.new_password(), chance.percent(50));
            deed("change_password", format!("'{old}', '{new}', {revoke}"), Meaning::ChangePassword { new, revoke })
        }
        "verify_password" => deed("verify_password", format!("'{}'", world.password_of(who.user)), Meaning::Plain),
        "change_email" => deed("change_email", format!("'{}'", World::address(chance)), Meaning::Plain),
        "update_user" => deed("update_user", format!(r#"auth.uid(), '{{"name": "{}"}}'"#, chance.below(100)), Meaning::Plain),
        "list_accounts" => deed("list_accounts", String::new(), Meaning::ListAccounts),
        "unlink_account" => unlink(world, chance),
        "delete_user" => delete(who.user),
        "impersonate_user" => deed("impersonate_user", format!("'{}'", world.user(chance).id), Meaning::Impersonate),
        "stop_impersonating" => deed("stop_impersonating", String::new(), Meaning::Stop),
        _ => deed("uid", String::new(), Meaning::Uid),
    }
}

fn delete(user: Uuid) -> Deed {
    deed("delete_user", format!("'{user}'"), Meaning::Delete(user))
}

fn unlink(world: &World, chance: &mut Chance) -> Deed {
    match world.account(chance) {
        Some(account) => deed("unlink_account", format!("'{}'", account.id), Meaning::Unlink(account)),
        None => deed("list_user_roles", String::new(), Meaning::Silent),
    }
}

/// Of an administrator, or of a user who would like to be one.
pub fn of_administrator(world: &World, chance: &mut Chance) -> Deed {
    let user = world.user(chance).id;
    let session = world.session(chance).map_or(user, |(_, identity)| identity.session);
    let choices = [
        (5, "ban_user"),
        (7, "unban_user"),
        (10, "set_user_roles"),
        (2, "delete_user"),
        (3, "set_user_password"),
        (3, "revoke_user_sessions"),
        (3, "revoke_user_session"),
        (3, "create_user"),
        (3, "update_user"),
        (1, "define_user_role"),
        (1, "drop_user_role"),
    ];
    match weighted(chance, &choices) {
        "ban_user" => deed("ban_user", format!("'{user}'"), Meaning::Ban(user)),
        "unban_user" => deed("unban_user", format!("'{user}'"), Meaning::Unban(user)),
        "set_user_roles" => {
            let roles = *chance.pick(&["admin", "admin", "admin", "user", "user", "admin,user", "editor"]);
            let list = roles.split(',').map(str::to_owned).collect();
            deed("set_user_roles", format!("'{user}', '{{{roles}}}'"), Meaning::Roles(user, list))
        }
        "delete_user" => delete(user),
        "set_user_password" => {
            let (new, revoke) = (Some(world.new_password()).filter(|_| chance.percent(90)), chance.percent(70));
            let quoted = new.as_ref().map_or("null".to_owned(), |new| format!("'{new}'"));
            deed("set_user_password", format!("'{user}', {quoted}, {revoke}"), Meaning::SetPassword { user, new, revoke })
        }
        "revoke_user_sessions" => deed("revoke_user_sessions", format!("'{user}'"), Meaning::RevokeAll(user)),
        "revoke_user_session" => deed("revoke_user_session", format!("'{session}'"), Meaning::RevokeOne(session)),
        "create_user" => {
            let (email, password) = (World::address(chance), world.new_password());
            deed("create_user", format!("'{email}', '{password}'"), Meaning::Create { email, password: Some(password) })
        }
        "define_user_role" => deed("define_user_role", "'editor', '{document:edit}'".to_owned(), Meaning::Plain),
        "drop_user_role" => deed("drop_user_role", "'editor'".to_owned(), Meaning::Plain),
        _ => patch(chance, user),
    }
}

fn patch(chance: &mut Chance, user: Uuid) -> Deed {
    match chance.below(4) {
        0 => deed("update_user", format!(r#"'{user}', '{{"banned": true}}'"#), Meaning::Ban(user)),
        1 => deed("update_user", format!(r#"'{user}', '{{"banned": false}}'"#), Meaning::Unban(user)),
        2 => deed("update_user", format!(r#"'{user}', '{{"roles": ["user"]}}'"#), Meaning::Roles(user, vec!["user".to_owned()])),
        _ => deed("update_user", format!(r#"'{user}', '{{"email": "{}"}}'"#, World::address(chance)), Meaning::Plain),
    }
}

/// Of a back end: an administrator's, and what only it can.
pub fn of_service(world: &World, chance: &mut Chance) -> Deed {
    let user = world.user(chance).id;
    let account = format!("'github', '{}'", chance.below(6));
    let role = *chance.pick(&DATABASE_ROLES);
    let choices = [
        (24, "administrator"),
        (4, "list_users"),
        (3, "link_account"),
        (2, "unlink_account"),
        (5, "sign_in_with_provider"),
        (2, "import_users"),
        (2, "purge_expired"),
        (2, "create_role"),
        (2, "delete_role"),
        (1, "reset_role_password"),
    ];
    match weighted(chance, &choices) {
        "list_users" => deed("list_users", String::new(), Meaning::ListUsers),
        "link_account" => deed("link_account", format!("'{user}', {account}"), Meaning::Link),
        "unlink_account" => unlink(world, chance),
        "sign_in_with_provider" => {
            deed("sign_in_with_provider", format!("{account}, '{}', true", World::address(chance)), Meaning::Provider)
        }
        "import_users" => {
            let (one, two) = (World::address(chance), World::address(chance));
            deed("import_users", format!(r#"'[{{"email": "{one}"}}, {{"email": "{two}"}}]'"#), Meaning::Plain)
        }
        "purge_expired" => deed("purge_expired", String::new(), Meaning::Silent),
        "create_role" => deed("create_role", format!("'{role}'"), Meaning::Plain),
        "delete_role" => deed("delete_role", format!("'{role}'"), Meaning::Plain),
        "reset_role_password" => deed("reset_role_password", format!("'{role}'"), Meaning::Plain),
        _ => of_administrator(world, chance),
    }
}

/// Of the mailer.
pub fn of_mailer() -> Deed {
    deed("claim_messages", "5".to_owned(), Meaning::Claim)
}
