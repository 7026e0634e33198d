//! The calls that clients make, and what a result means.

use super::record::{Fact, Which};
use super::world::{Account, Known, World};
use serde_json::{Value, json};
use uuid::Uuid;

/// As whom a connection calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub session: Uuid,
    pub user: Uuid,
    /// Of an impersonation: session and user of the person who runs it.
    pub parent: Option<(Uuid, Uuid)>,
}

/// A call.
pub struct Deed {
    /// The function.
    pub action: &'static str,
    /// Its arguments.
    pub arguments: String,
    pub meaning: Meaning,
}

/// What it means when a call goes well.
pub enum Meaning {
    /// A line in the audit log.
    Plain,
    /// No line.
    Silent,
    SignUp {
        email: String,
        password: String,
    },
    SignIn {
        password: String,
    },
    Provider,
    /// The token and whose it is.
    Use(Identity),
    Refresh(Identity),
    Uid,
    SignOut,
    RevokeOne(Uuid),
    RevokeOwn,
    RevokeOthers,
    RevokeAll(Uuid),
    ChangePassword {
        new: String,
        revoke: bool,
    },
    SetPassword {
        user: Uuid,
        new: Option<String>,
        revoke: bool,
    },
    Ban(Uuid),
    Unban(Uuid),
    Roles(Uuid, Vec<String>),
    Delete(Uuid),
    Create {
        email: String,
        password: Option<String>,
    },
    Reset {
        token: String,
        password: String,
    },
    Verify {
        token: String,
    },
    Unlink(Account),
    Link,
    Impersonate,
    Stop,
    Claim,
    ListAccounts,
    ListUsers,
}

impl Deed {
    pub fn sql(&self) -> String {
        let call = format!("auth.{}({})", self.action, self.arguments);
        match self.meaning {
            Meaning::Claim | Meaning::ListAccounts | Meaning::ListUsers => {
                format!("select coalesce(jsonb_agg(r), '[]')::text from {call} r")
            }
            _ if self.action == "import_users" => format!("select count(*)::text from {call}"),
            _ => format!("select {call}::text"),
        }
    }

    /// Whether it does anything that others could have to wait for.
    pub fn needs_session(&self) -> bool {
        use Meaning::*;
        matches!(self.meaning, Uid | SignOut | RevokeOne(_) | RevokeOwn | RevokeOthers | ChangePassword { .. } | Stop)
            || matches!(self.action, "verify_password" | "change_email" | "impersonate_user")
    }

    /// What has happened when this came back; `as_whom` it was called.
    pub fn facts(&self, result: &Value, as_whom: Option<Identity>) -> Vec<Fact> {
        if let Some(code) = result["code"].as_str() {
            return vec![Fact::Audited(self.action, code.to_owned())];
        }
        let mut facts = self.effects(result, as_whom);
        if self.is_audited(result) {
            facts.push(Fact::Audited(self.action, "ok".to_owned()));
        }
        if let Some(identity) = as_whom.filter(|_| self.needs_session() && !matches!(self.meaning, Meaning::Uid)) {
            facts.push(Fact::Checked { session: identity.session, good: true });
        }
        facts
    }

    /// What may have happened when nothing came back.
    pub fn facts_if_lost(&self, as_whom: Option<Identity>) -> Vec<Fact> {
        let mut facts = match &self.meaning {
            Meaning::SignUp { password, .. } => set(None, Some(password.clone())),
            Meaning::Create { password, .. } => set(None, password.clone()),
            Meaning::Reset { password, .. } => [set(None, Some(password.clone())), vec![Fact::Ended(Which::Somebodys)]].concat(),
            Meaning::RevokeOne(session) => vec![Fact::Ended(Which::One(*session))],
            Meaning::Use(_) | Meaning::Refresh(_) | Meaning::Uid => vec![],
            Meaning::ChangePassword { new, .. } => {
                [set(as_whom.map(|who| who.user), Some(new.clone())), vec![Fact::Ended(Which::Somebodys)]].concat()
            }
            _ => self.effects(&Value::Null, as_whom),
        };
        let codes = ["ok", "INVALID_EMAIL_OR_PASSWORD", "INVALID_PASSWORD", "BANNED_USER"];
        facts.extend(codes.map(|code| Fact::Audited(self.action, code.to_owned())));
        facts
    }

    fn is_audited(&self, result: &Value) -> bool {
        use Meaning::*;
        match self.meaning {
            Silent | Use(_) | Refresh(_) | Uid | Claim | ListAccounts | ListUsers => false,
            RevokeOne(_) | Delete(_) => result.as_bool() == Some(true),
            _ if self.action == "delete_role" => !result.is_null(),
            _ => true,
        }
    }

    fn effects(&self, result: &Value, as_whom: Option<Identity>) -> Vec<Fact> {
        let user = id(&result["user"]["id"]);
        let own = |which: fn(Identity) -> Which| as_whom.map(|who| Fact::Ended(which(who))).into_iter().collect();
        match &self.meaning {
            Meaning::SignUp { password, .. } => [set(user, Some(password.clone())), opened(result, None)].concat(),
            Meaning::SignIn { password } => [admitted(user, Some(password.clone())), opened(result, None)].concat(),
            Meaning::Provider => [admitted(user, None), opened(result, None)].concat(),
            Meaning::Use(identity) | Meaning::Refresh(identity) => vec![Fact::Checked { session: identity.session, good: true }],
            Meaning::Uid => seen(id(result), as_whom),
            Meaning::SignOut => own(|who| Which::One(who.session)),
            Meaning::RevokeOne(session) if result.as_bool() == Some(true) => vec![Fact::Ended(Which::One(*session))],
            Meaning::RevokeOwn => own(|who| Which::All(who.user)),
            Meaning::RevokeOthers => own(|who| Which::Others(who.user, who.session)),
            Meaning::RevokeAll(user) => vec![Fact::Ended(Which::All(*user))],
            Meaning::ChangePassword { new, revoke } => {
                let ended = if *revoke { own(|who| Which::All(who.user)) } else { vec![] };
                [set(as_whom.map(|who| who.user), Some(new.clone())), ended, opened(result, None)].concat()
            }
            Meaning::SetPassword { user, new, revoke } => {
                let ended = if *revoke { vec![Fact::Ended(Which::All(*user))] } else { vec![] };
                [set(Some(*user), new.clone()), ended].concat()
            }
            Meaning::Ban(user) => {
                [must_say(result, "banned", json!(true)), vec![Fact::Banned(*user), Fact::Ended(Which::All(*user))]].concat()
            }
            // Who speaks of themselves takes no turn, or they could keep a ban waiting: it may come between the deed and the answer.
            Meaning::Unban(user) if as_whom.is_some_and(|who| who.user == *user) => vec![Fact::Unbanned(*user)],
            Meaning::Unban(user) => [must_say(result, "banned", json!(false)), vec![Fact::Unbanned(*user)]].concat(),
            Meaning::Roles(user, roles) => [must_say(result, "roles", json!(roles)), vec![Fact::Rights(*user)]].concat(),
            Meaning::Delete(user) if result.is_null() || result.as_bool() == Some(true) => vec![Fact::Ended(Which::All(*user))],
            Meaning::Create { password, .. } => set(id(&result["id"]), password.clone()),
            Meaning::Reset { token, password } => {
                let user = id(&result["id"]);
                let ended = user.map(|user| Fact::Ended(Which::All(user))).into_iter().collect();
                [vec![Fact::TokenUsed(token.clone())], set(user, Some(password.clone())), ended].concat()
            }
            Meaning::Verify { token } => vec![Fact::TokenUsed(token.clone())],
            Meaning::Unlink(account) if account.provider == "credential" => set(Some(account.user), None),
            Meaning::Impersonate => opened(result, as_whom.map(|who| who.session)),
            Meaning::Stop => own(|who| Which::One(who.session)),
            _ => vec![],
        }
    }

    /// Tells the others what came back.
    pub fn tell(&self, world: &World, result: &Value, as_whom: Option<Identity>) {
        let (session, user) = (id(&result["session"]["id"]), id(&result["user"]["id"]));
        if let (Some(token), Some(session), Some(user)) = (result["token"].as_str(), session, user) {
            let parent = as_whom.filter(|_| matches!(self.meaning, Meaning::Impersonate)).map(|who| (who.session, who.user));
            world.learn_session(token, Identity { session, user, parent });
        }
        match &self.meaning {
            Meaning::SignUp { email, password } | Meaning::Create { email, password: Some(password) } => {
                if let Some(id) = user.or(id(&result["id"])) {
                    world.learn_user(Known::new(id, email, password));
                }
            }
            Meaning::ChangePassword { new, .. } => as_whom.into_iter().for_each(|who| world.learn_password(who.user, new)),
            Meaning::SetPassword { user, new: Some(new), .. } => world.learn_password(*user, new),
            Meaning::Reset { password, .. } => id(&result["id"]).into_iter().for_each(|user| world.learn_password(user, password)),
            Meaning::Delete(user) => world.forget_user(*user),
            Meaning::Claim => {
                for mail in result.as_array().into_iter().flatten() {
                    if let Some(token) = mail["token"].as_str() {
                        world.learn_mail(mail["kind"].as_str().unwrap_or_default(), token);
                    }
                }
            }
            Meaning::ListAccounts => result.as_array().into_iter().flatten().for_each(|row| learn_account(world, row)),
            Meaning::ListUsers => {
                let row = |row: &Value| Some((id(&row["id"])?, row["email"].as_str().unwrap_or_default().to_owned()));
                world.learn_all(&result.as_array().into_iter().flatten().filter_map(row).collect::<Vec<_>>());
            }
            Meaning::Link => learn_account(world, result),
            _ => {}
        }
    }

    /// As whom the connection calls afterwards.
    pub fn identity_after(&self, before: Option<Identity>) -> Option<Identity> {
        match self.meaning {
            Meaning::Use(identity) => Some(identity),
            Meaning::SignOut => None,
            Meaning::Stop => before.and_then(|who| who.parent).map(|(session, user)| Identity { session, user, parent: None }),
            _ => before,
        }
    }
}

fn id(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn set(user: Option<Uuid>, password: Option<String>) -> Vec<Fact> {
    vec![Fact::PasswordSet { user, password }]
}

fn admitted(user: Option<Uuid>, password: Option<String>) -> Vec<Fact> {
    user.map(|user| Fact::Admitted { user, password }).into_iter().collect()
}

fn opened(result: &Value, parent: Option<Uuid>) -> Vec<Fact> {
    let opened = result["token"].as_str().and(id(&result["session"]["id"])).zip(id(&result["user"]["id"]));
    opened.map(|(session, user)| Fact::Opened { session, user, parent }).into_iter().collect()
}

/// What comes back is what was asked for: nobody else can change it before the transaction ends.
fn must_say(result: &Value, key: &str, value: Value) -> Vec<Fact> {
    let breach = || Fact::Breach(format!("{key} should be {value} and is {}", result[key]));
    (result.is_object() && result[key] != value).then(breach).into_iter().collect()
}

fn seen(user: Option<Uuid>, as_whom: Option<Identity>) -> Vec<Fact> {
    match (user, as_whom) {
        (Some(user), Some(who)) if user == who.user => vec![Fact::Checked { session: who.session, good: true }],
        (None, Some(who)) => vec![Fact::Checked { session: who.session, good: false }],
        (None, None) => vec![],
        (Some(user), who) => vec![Fact::Breach(format!("the caller is {user} and should be {who:?}"))],
    }
}

fn learn_account(world: &World, row: &Value) {
    if let Some((id, user)) = id(&row["id"]).zip(id(&row["user_id"])) {
        world.learn_account(Account { id, user, provider: row["provider"].as_str().unwrap_or_default().to_owned() });
    }
}
