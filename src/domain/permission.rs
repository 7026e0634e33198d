//! Permissions and application roles.

use std::collections::BTreeSet;

/// The role that holds every permission but [`IMPERSONATE_ADMINS`].
pub const ADMIN: &str = "admin";
/// The role of every new user; it holds nothing.
pub const USER: &str = "user";
/// The one permission that "admin" does not hold: an administrator must not be able to act in another one's name.
pub const IMPERSONATE_ADMINS: &str = "user:impersonate-admins";

/// The permissions that this extension itself asks for.
pub const BUILT_IN: &[&str] = &[
    "audit:read",
    "database-role:create",
    "database-role:delete",
    "database-role:get",
    "database-role:list",
    "database-role:protect",
    "database-role:reset-password",
    "role:define",
    "role:list",
    "session:list",
    "session:revoke",
    "settings:get",
    "settings:update",
    "user:ban",
    "user:create",
    "user:delete",
    "user:get",
    "user:impersonate",
    "user:impersonate-admins",
    "user:list",
    "user:set-email",
    "user:set-password",
    "user:set-role",
    "user:update",
];

/// True for a permission that this extension itself asks for.
pub fn is_built_in(permission: &str) -> bool {
    BUILT_IN.binary_search(&permission).is_ok()
}

/// True for `[a-z][a-z0-9_-]{0,62}`, which names roles and both halves of permissions.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && text.len() <= 63
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// True for `resource:action`.
pub fn is_permission(text: &str) -> bool {
    text.split_once(':').is_some_and(|(resource, action)| is_name(resource) && is_name(action))
}

/// What somebody holds: the union over their roles.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Holds the role "admin", and with it every permission that exists or will, except [`IMPERSONATE_ADMINS`].
    pub admin: bool,
    /// What their roles list.
    pub listed: BTreeSet<String>,
}

impl Holdings {
    /// What these roles hold that list these permissions.
    pub fn new(roles: &[String], listed: impl IntoIterator<Item = String>) -> Self {
        Holdings { admin: roles.iter().any(|role| role == ADMIN), listed: listed.into_iter().collect() }
    }

    /// True when the permission is held.
    pub fn holds(&self, permission: &str) -> bool {
        (self.admin && permission != IMPERSONATE_ADMINS) || self.listed.contains(permission)
    }

    /// True when some built-in permission with this prefix is held.
    pub fn holds_any(&self, prefix: &str) -> bool {
        BUILT_IN.iter().any(|permission| permission.starts_with(prefix) && self.holds(permission))
    }

    /// True when the other holds nothing that is lacking here. Holding "admin" is more than any list: it also holds what will be added.
    pub fn dominates(&self, other: &Holdings) -> bool {
        (self.admin || !other.admin) && other.listed.iter().all(|permission| self.holds(permission))
    }

    /// "An admin", as a target of impersonation: anybody who holds a built-in permission.
    pub fn is_administrative(&self) -> bool {
        self.holds_any("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(roles: &[&str], permissions: &[&str]) -> Holdings {
        Holdings::new(&roles.iter().map(ToString::to_string).collect::<Vec<_>>(), permissions.iter().map(ToString::to_string))
    }

    #[test]
    fn the_list_is_sorted_for_its_binary_search() {
        assert!(BUILT_IN.is_sorted());
        assert!(BUILT_IN.iter().all(|permission| is_built_in(permission) && is_permission(permission)));
    }

    #[test]
    fn admin_holds_all_but_impersonating_admins() {
        let admin = holding(&["admin"], &[]);
        assert!(admin.holds("user:ban") && admin.holds("invoice:approve"));
        assert!(!admin.holds(IMPERSONATE_ADMINS));
        assert!(holding(&["admin", "root"], &[IMPERSONATE_ADMINS]).holds(IMPERSONATE_ADMINS));
    }

    #[test]
    fn dominance_is_by_permission_and_not_by_name() {
        let (admin, support) = (holding(&["admin"], &[]), holding(&["support"], &["user:ban", "user:list"]));
        assert!(admin.dominates(&support) && !support.dominates(&admin));
        assert!(support.dominates(&holding(&["x"], &["user:ban"])) && !support.dominates(&holding(&["x"], &["user:get"])));
        assert!(!admin.dominates(&holding(&["root"], &[IMPERSONATE_ADMINS])));
        let everything_listed = Holdings { admin: false, listed: BUILT_IN.iter().map(ToString::to_string).collect() };
        assert!(!everything_listed.dominates(&admin), "admin also holds what applications will add");
    }

    #[test]
    fn names_follow_their_pattern() {
        for good in ["a", "support-2", "a_b", &"a".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "2a", "A", "a b", "ä", "-a", "constructor ", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_permission("post:edit") && !is_permission("post") && !is_permission("post:") && !is_permission("a:b:c"));
    }
}
