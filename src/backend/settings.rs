//! Settings of the server and of others than us.

use pgrx::pg_sys;
use std::ffi::CStr;

/// The value as text, whoever may see it; none where it is empty or there is no such setting.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: a look-up by name; the value is copied.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
    // SAFETY: null or a C string. After a transaction that had a value it is empty.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// Sets one that anybody may set; for the role, the server asks whether the login role may.
pub fn set(name: &CStr, value: &CStr, action: pg_sys::GucAction::Type) {
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            pg_sys::PGERROR as i32,
            false,
        );
    }
}

/// Runs something under values of settings that anybody may set.
pub fn with<T>(values: &[(&CStr, &CStr)], body: impl FnOnce() -> T) -> T {
    // SAFETY: an error in between ends the transaction or the subtransaction, which sets it back too.
    unsafe {
        let level = pg_sys::NewGUCNestLevel();
        values.iter().for_each(|(name, value)| set(name, value, pg_sys::GucAction::GUC_ACTION_SAVE));
        let outcome = body();
        pg_sys::AtEOXact_GUC(true, level);
        outcome
    }
}
