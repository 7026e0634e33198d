//! What clients of PostgREST see: its own page, and postgrest-js.

use crate::gateway_calls::Stage;
use pgrx_tests::{PASSWORD, development_directory, succeed};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn its_page_lists_just_what_may_be_called_with_the_comments() {
    let stage = Stage::new();
    let server = stage.db.postgrest(&[("PGRST_OPENAPI_MODE", "follow-privileges")]);
    let mut dba = stage.db.dba();
    let access = server.rpc("refresh_session", &[], &json!({"token": stage.root.token})).body["access_token"].clone();
    let bearer = format!("Bearer {}", access.as_str().unwrap());
    for (role, headers) in [("anon", vec![]), ("authenticated", vec![("authorization", bearer.as_str())])] {
        let page = server.send("GET", "/", &headers, None);
        assert_eq!(page.status, 200, "{page:?}");
        let paths = page.body["paths"].as_object().unwrap();
        let listed: BTreeSet<String> = paths.keys().filter_map(|path| path.strip_prefix("/rpc/")).map(str::to_owned).collect();
        let may: Vec<String> = dba.column(&format!(
            "select p.proname::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and has_function_privilege('{role}', p.oid, 'execute')"
        ));
        assert_eq!(listed, may.into_iter().collect(), "{role}");
        let tables: BTreeSet<&str> =
            paths.keys().filter_map(|path| path.strip_prefix('/')).filter(|path| !path.is_empty() && !path.starts_with("rpc/")).collect();
        let readable = ["accounts", "audit_log", "bans", "role_permissions", "roles", "sessions", "user_roles", "users"];
        assert_eq!(tables, if role == "anon" { BTreeSet::new() } else { BTreeSet::from(readable) });
        for function in &listed {
            let post = &page.body["paths"][format!("/rpc/{function}")]["post"];
            let comment: String = dba.one(&format!(
                "select obj_description(p.oid) from pg_proc p where p.pronamespace = 'auth'::regnamespace and p.proname = '{function}'"
            ));
            assert_eq!(post["summary"].as_str(), comment.lines().next(), "{function}");
        }
    }
}

const FRONT_END: &str = r#"
const { PostgrestClient } = require(process.argv[1] + '/node_modules/@supabase/postgrest-js');
const [url, password] = process.argv.slice(2);
const assert = require('node:assert/strict');
const as = (token) => new PostgrestClient(url, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
(async () => {
  const anybody = as();
  let { data, error, status } = await anybody.rpc('sign_in', { email: 'root@example.org', password: 'not the password' });
  assert.equal(status, 401); assert.equal(error.code, 'INVALID_EMAIL_OR_PASSWORD'); assert.equal(data, null);
  ({ data, error } = await anybody.rpc('sign_in', { email: 'root@example.org', password }));
  assert.equal(error, null);
  const root = as(data.access_token);
  ({ data, error } = await anybody.rpc('sign_up', { email: 'zoe@example.org', password, name: 'Zoe', attributes: { plan: 'free' } }));
  assert.equal(error, null);
  const zoe = as(data.access_token), id = data.user.id, { token } = data;
  assert.equal((await zoe.rpc('uid')).data, id);
  assert.equal((await zoe.rpc('uid', {}, { get: true })).data, id);
  assert.deepEqual((await zoe.from('users').select('email').maybeSingle()).data, { email: 'zoe@example.org' });
  ({ data } = await zoe.rpc('update_user', { user_id: id, patch: { name: null, image: 'https://example.org/z.png', attributes: undefined } }));
  assert.deepEqual([data.name, data.image, data.attributes.plan], ['', 'https://example.org/z.png', 'free']);
  ({ error, status } = await zoe.rpc('list_users'));
  assert.deepEqual([status, error.code, error.details], [403, 'PERMISSION_DENIED', 'PERMISSION_DENIED: user:list']);
  ({ data, error } = await root.rpc('list_users', { search_value: 'zoe' }).select('email, roles').order('email'));
  assert.deepEqual(data, [{ email: 'zoe@example.org', roles: ['user'] }]);
  ({ data } = await root.rpc('list_users_page', { page_size: 1 }));
  assert.equal(data.total, 2); assert.equal(data.users.length, 1);
  ({ error } = await root.rpc('get_user', { user_id: '00000000-0000-0000-0000-000000000000' }));
  assert.equal(error.code, 'USER_NOT_FOUND');
  assert.equal((await zoe.rpc('reset_session')).status, 204);
  ({ data, error } = await root.rpc('ban_user', { user_id: id, ban_reason: 'spam', ban_expires_in: 60 }));
  assert.equal(data.banned, true);
  ({ error, status } = await zoe.rpc('uid'));
  assert.deepEqual([status, error.code], [401, 'INVALID_SESSION']);
  ({ error } = await anybody.rpc('refresh_session', { token }));
  assert.equal(error.code, 'INVALID_SESSION');
  ({ error, status } = await anybody.rpc('sign_in', { email: 'zoe@example.org', password }));
  assert.deepEqual([status, error.code, error.details.reason], [403, 'BANNED_USER', 'spam']);
  await assert.rejects(async () => { await anybody.rpc('sign_in', { email: 'zoe@example.org', password: 'wrong one' }).throwOnError(); }, { code: 'INVALID_EMAIL_OR_PASSWORD' });
  console.log('ok');
})();
"#;

#[test]
fn postgrest_js_signs_people_in_and_administers_them() {
    let stage = Stage::new();
    stage.db.dba().run("delete from auth.users where email like 'gone%'");
    let directory = development_directory();
    let output = succeed(Command::new(directory.join("python/bin/node")).args(["-e", FRONT_END, "--"]).args([
        directory.join("node").to_str().unwrap(),
        &stage.server.url(""),
        PASSWORD,
    ]));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}
