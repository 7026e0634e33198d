//! What is in the database when all is over, beside what the clients have seen.

use super::judge;
use super::record::History;
use pgrx_tests::Database;
use std::collections::HashMap;

/// Rows that nobody should have left behind.
const LEFTOVERS: [(&str, &str); 7] = [
    ("orphans", "select count(*) from (select user_id from auth.sessions union all select user_id from auth.accounts union all select user_id from auth.user_roles
                   union all select user_id from auth.bans union all select user_id from auth_private.passwords union all select user_id from auth_private.one_time_tokens
                   union all select user_id from auth_private.session_epochs union all select user_id from auth_private.messages where user_id is not null) left_behind
                  where not exists (select from auth.users u where u.id = left_behind.user_id)"),
    ("keys without a session", "select count(*) from auth_private.session_keys k where not exists (select from auth.sessions s where s.id = k.session_id)"),
    ("passwords without an account", "select count(*) from auth_private.passwords p where not exists (select from auth.accounts a where a.user_id = p.user_id and a.provider = 'credential')"),
    ("accounts without a password", "select count(*) from auth.accounts a where a.provider = 'credential' and not exists (select from auth_private.passwords p where p.user_id = a.user_id)"),
    ("addresses that two have", "select count(*) from (select from auth.users group by lower(email) having count(*) > 1) twice"),
    ("days without an administrator", "select case when exists (select from auth.user_roles r where r.role = 'admin' and not exists (select from auth.bans b where b.user_id = r.user_id)) then 0 else 1 end::bigint"),
    ("database roles that are known here or to the server only",
     "select count(*) from (select role_oid from auth_private.managed_roles m where made_here) ours full join
                           (select oid from pg_roles where rolname like 'history\\_%') theirs on theirs.oid = ours.role_oid where role_oid is null or oid is null"),
];

pub fn breaches(db: &Database, history: &History) -> Vec<String> {
    let mut dba = db.dba();
    // A message to somebody who is gone stays until it is due, a ban of somebody who has left until the next purge.
    dba.run("select auth.purge_expired(100000)");
    db.mailer().run("select count(*) from auth.claim_messages(1000)");
    let mut found = Vec::new();
    for (what, count) in LEFTOVERS {
        let count: i64 = dba.one(count);
        if count > 0 {
            found.push(format!("{what}: {count}"));
        }
    }
    let rows = dba.client.query("select action, details ->> 'outcome', count(*) from auth.audit_log group by 1, 2", &[]);
    let lines = rows.expect("the audit log").iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    found.extend(audit_breaches(history, &lines));
    found
}

/// Where the log has other lines than was done.
pub fn audit_breaches(history: &History, lines: &HashMap<(String, String), i64>) -> Vec<String> {
    let bounds = judge::audited(history);
    let mut found = Vec::new();
    for ((action, outcome), (least, most)) in &bounds {
        let count = lines.get(&((*action).to_owned(), (*outcome).to_owned())).copied().unwrap_or(0);
        if count < *least || count > *most {
            found.push(format!("{count} audit lines {action} {outcome}, {least} to {most} were done"));
        }
    }
    let unknown = lines.keys().filter(|(action, outcome)| !bounds.contains_key(&(action, outcome)));
    found.extend(unknown.map(|key| format!("audit lines of what was not done: {key:?}")));
    found
}
