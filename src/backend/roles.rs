//! Database roles, by calls of the server's own functions: there is no SQL text that a password or a verifier could be read from,
//! in a log, in pg_stat_statements or in the context of an error.

use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char};

/// Serialises the creation of roles by this extension, in all databases of the cluster: a lock on an oid that no role has.
pub fn lock_creation() {
    lock(pg_sys::InvalidOid, pg_sys::ExclusiveLock);
}

/// Makes changes of one role by this extension take turns.
pub fn lock_change(role: pg_sys::Oid) {
    lock(role, pg_sys::ShareUpdateExclusiveLock);
}

/// Keeps everybody from giving the role an object or a privilege until the transaction ends.
pub fn lock_dependencies(role: pg_sys::Oid) {
    lock(role, pg_sys::AccessExclusiveLock);
}

fn lock(role: pg_sys::Oid, mode: u32) {
    // SAFETY: waits, and is interruptible; released at the end of the transaction.
    unsafe { pg_sys::LockSharedObject(pg_sys::AuthIdRelationId, role, 0, mode as i32) };
}

/// The role of that name, as committed now, whatever the transaction's snapshot is.
pub fn find(name: &str) -> Option<pg_sys::Oid> {
    let name = CString::new(name).ok()?;
    // SAFETY: a look-up by name.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The SCRAM-SHA-256 verifier of a password: the server's own function, with its SASLprep and its number of iterations.
pub fn scram_verifier(role: &str, password: &str) -> String {
    let (role, password) = (c_string(role), c_string(password));
    // SAFETY: two C strings that outlive the call; the result is a C string in the server's memory.
    unsafe {
        let verifier = pg_sys::encrypt_password(pg_sys::PasswordType::PASSWORD_TYPE_SCRAM_SHA_256, role.as_ptr(), password.as_ptr());
        CStr::from_ptr(verifier).to_string_lossy().into_owned()
    }
}

/// CREATE ROLE, with LOGIN and a verifier or without both.
pub fn create(name: &str, verifier: Option<&str>) -> pg_sys::Oid {
    // SAFETY: a statement as the parser makes it, in the server's memory.
    unsafe {
        let options = options(verifier.is_some(), verifier);
        let statement = make::<pg_sys::CreateRoleStmt>(pg_sys::NodeTag::T_CreateRoleStmt);
        (*statement).stmt_type = pg_sys::RoleStmtType::ROLESTMT_ROLE;
        (*statement).role = server_string(name);
        (*statement).options = options;
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        pg_sys::CreateRole(state, statement)
    }
}

/// ALTER ROLE … PASSWORD with a verifier.
pub fn set_verifier(name: &str, verifier: &str) {
    // SAFETY: as above. "+1" is what the grammar says for ALTER ROLE without ADD or DROP.
    unsafe {
        let statement = make::<pg_sys::AlterRoleStmt>(pg_sys::NodeTag::T_AlterRoleStmt);
        (*statement).role = role_spec(name);
        (*statement).options = pg_sys::lappend(std::ptr::null_mut(), password(verifier).cast());
        (*statement).action = 1;
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        pg_sys::AlterRole(state, statement);
    }
}

/// DROP ROLE.
pub fn drop(name: &str) {
    // SAFETY: as above.
    unsafe {
        let statement = make::<pg_sys::DropRoleStmt>(pg_sys::NodeTag::T_DropRoleStmt);
        (*statement).roles = pg_sys::lappend(std::ptr::null_mut(), role_spec(name).cast());
        pg_sys::DropRole(statement);
    }
}

/// Takes the role's privileges in this database and on shared objects away, as DROP OWNED does. The role must own nothing, and
/// must not be able to come to own anything meanwhile: [`lock_dependencies`].
///
/// Privileges are taken by who gave them, the owners of the objects, whom auth_role_manager is not; only a superuser may stand in
/// for each of them. For this one call, in which no code of anybody runs: it changes access lists and policies.
pub fn revoke_privileges(role: pg_sys::Oid) {
    // SAFETY: the bootstrap superuser always exists.
    unsafe {
        super::state::as_user(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), pg_sys::SECURITY_RESTRICTED_OPERATION, || {
            pg_sys::shdepDropOwned(pg_sys::lappend_oid(std::ptr::null_mut(), role), pg_sys::DropBehavior::DROP_RESTRICT);
        });
        pg_sys::CommandCounterIncrement();
    }
}

unsafe fn options(can_login: bool, verifier: Option<&str>) -> *mut pg_sys::List {
    // SAFETY: nodes in the server's memory.
    unsafe {
        let can_login = pg_sys::makeDefElem(server_string("canlogin"), pg_sys::makeBoolean(can_login).cast(), -1);
        let list = pg_sys::lappend(std::ptr::null_mut(), can_login.cast());
        verifier.map_or(list, |verifier| pg_sys::lappend(list, password(verifier).cast()))
    }
}

unsafe fn password(verifier: &str) -> *mut pg_sys::DefElem {
    // SAFETY: nodes in the server's memory.
    unsafe { pg_sys::makeDefElem(server_string("password"), pg_sys::makeString(server_string(verifier)).cast(), -1) }
}

unsafe fn role_spec(name: &str) -> *mut pg_sys::RoleSpec {
    // SAFETY: a node in the server's memory.
    unsafe {
        let spec = make::<pg_sys::RoleSpec>(pg_sys::NodeTag::T_RoleSpec);
        (*spec).roletype = pg_sys::RoleSpecType::ROLESPEC_CSTRING;
        (*spec).rolename = server_string(name);
        (*spec).location = -1;
        spec
    }
}

/// makeNode.
unsafe fn make<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: a zeroed node of its size begins with its tag.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        node.cast::<pg_sys::NodeTag>().write(tag);
        node.cast()
    }
}

fn server_string(text: &str) -> *mut c_char {
    let text = c_string(text);
    // SAFETY: pstrdup copies up to the NUL.
    unsafe { pg_sys::pstrdup(text.as_ptr()) }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("a text of PostgreSQL has no NUL")
}
