//! Functions that the SQL of earlier releases names and this one's does not: who has installed the library and not yet updated the extension
//! goes on working.

use crate::backend::json::WholeJson;
use crate::store::sessions;
use crate::{caller, deeds};
use pgrx::{Uuid, pg_extern};

/// `auth_private.resolve_identity()` of 0.1.0.
#[pg_extern(sql = false)]
fn resolve_identity() {}

/// `auth.get_session()` of 0.1.0, which belongs to auth_owner.
#[pg_extern(sql = false)]
fn get_session() -> Option<WholeJson> {
    sessions::rendered_with_user(&caller::live_session()?)
}

/// `auth_private.sign_access_token()` of 0.1.0, a door that nobody but auth_owner may call, and that nothing calls any more.
#[pg_extern(sql = false)]
fn sign_access_token(of_session: Option<Uuid>) -> Option<String> {
    let session = of_session?;
    deeds::sessions::access_token(session, &sessions::fresh(session, None)?)
}

/// `auth_private.dominates_user()` of 0.1.0, which its policies ask beside `auth.has_permission()`.
#[pg_extern(sql = false)]
fn dominates_user(user_id: Option<Uuid>) -> bool {
    user_id.is_some_and(|user| caller::current().dominates(user))
}
