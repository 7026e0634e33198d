//! The settings, declared once. Superusers set them, with ALTER SYSTEM or ALTER DATABASE … SET.

use crate::domain::password::{Cost, Policy};
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::{CStr, CString};

/// A hundred years of seconds do not fit an integer; sixty do, and are for ever enough.
const FOREVER: i32 = 60 * 366 * 24 * 60 * 60;

macro_rules! settings {
    (
        seconds { $($seconds:ident $seconds_name:literal $seconds_default:literal $seconds_about:literal;)* }
        integers { $($integer:ident $integer_name:literal $integer_default:literal $min:literal $max:literal $flags:expr, $integer_about:literal;)* }
        switches { $($switch:ident $switch_name:literal $switch_default:literal $switch_about:literal;)* }
        texts { $($text:ident $text_name:literal $text_default:literal $text_about:literal;)* }
    ) => {
        $(static $seconds: GucSetting<i32> = GucSetting::<i32>::new($seconds_default);)*
        $(static $integer: GucSetting<i32> = GucSetting::<i32>::new($integer_default);)*
        $(static $switch: GucSetting<bool> = GucSetting::<bool>::new($switch_default);)*
        $(static $text: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some($text_default));)*

        fn define_all() {
            $(GucRegistry::define_int_guc($seconds_name, $seconds_about, c"", &$seconds, 1, FOREVER, GucContext::Suset, GucFlags::UNIT_S);)*
            $(GucRegistry::define_int_guc($integer_name, $integer_about, c"", &$integer, $min, $max, GucContext::Suset, $flags);)*
            $(GucRegistry::define_bool_guc($switch_name, $switch_about, c"", &$switch, GucContext::Suset, GucFlags::default());)*
            $(GucRegistry::define_string_guc($text_name, $text_about, c"", &$text, GucContext::Suset, GucFlags::default());)*
        }
    };
}

settings! {
    seconds {
        SESSION_LIFETIME c"auth.session_lifetime" 604_800 c"How long a session lasts; refresh_session moves its end.";
        SESSION_UPDATE_AGE c"auth.session_update_age" 86_400 c"How often refresh_session moves the end of a session, at most.";
        SESSION_FRESH_AGE c"auth.session_fresh_age" 86_400 c"For how long after a sign-in or verify_password delete_user, change_email, set_password and unlink_account are allowed.";
        SHORT_SESSION_LIFETIME c"auth.short_session_lifetime" 86_400 c"How long a session with remember_me => false lasts; it never slides.";
        ACCESS_TOKEN_LIFETIME c"auth.access_token_lifetime" 900 c"How long an access token is good, and never longer than its session.";
        RESET_TOKEN_LIFETIME c"auth.reset_token_lifetime" 3_600 c"How long a token for reset_password is good.";
        VERIFICATION_TOKEN_LIFETIME c"auth.verification_token_lifetime" 86_400 c"How long a token for verify_email is good.";
        MESSAGE_LEASE c"auth.message_lease" 60 c"How long a claimed message is hidden from other workers.";
        FAILED_ATTEMPT_WINDOW c"auth.failed_attempt_window" 900 c"For how long failed attempts count, and the longest pause after them.";
    }
    integers {
        PASSWORD_MIN_LENGTH c"auth.password_min_length" 8 1 1024 GucFlags::default(), c"Least number of characters of a new password.";
        PASSWORD_MAX_LENGTH c"auth.password_max_length" 128 8 4096 GucFlags::default(), c"Greatest number of characters of a password.";
        ARGON2_MEMORY c"auth.argon2_memory" 19_456 8_192 262_144 GucFlags::UNIT_KB, c"Memory that a new password hash takes.";
        ARGON2_ITERATIONS c"auth.argon2_iterations" 2 1 10 GucFlags::default(), c"Passes over that memory.";
        MESSAGE_INTERVAL c"auth.message_interval" 60 0 86_400 GucFlags::UNIT_S, c"How long no further mail with a token for the same purpose goes to an address.";
        PURGE_INTERVAL c"auth.purge_interval" 3_600 0 86_400 GucFlags::UNIT_S, c"How often what is over is purged, where the library is preloaded; 0 for never.";
        HASH_SLOTS c"auth.hash_slots" 0 0 1_024 GucFlags::default(), c"How many passwords the cluster hashes at once; 0 for as many as there are cores.";
        HASH_WAIT c"auth.hash_wait" 5_000 0 600_000 GucFlags::UNIT_MS, c"How long a password waits for its turn to be hashed.";
        MAX_FAILED_ATTEMPTS c"auth.max_failed_attempts" 10 1 100 GucFlags::default(), c"Failed attempts after which further ones must wait.";
    }
    switches {
        PASSWORD_BLOCKLIST c"auth.password_blocklist" true c"Refuse the commonest passwords.";
        REDACT_LOG c"auth.redact_log" true c"Leave statements that carry passwords or tokens, and their parameters, out of the log.";
        SIGN_UP c"auth.sign_up" true c"Let anybody sign up.";
        SET_SESSION_COOKIE c"auth.set_session_cookie" false c"Behind a gateway, let sign_in and sign_up set the cookie that pre_request reads.";
        REQUIRE_EMAIL_VERIFICATION c"auth.require_email_verification" false c"Open sessions only for verified addresses.";
        SEND_VERIFICATION_ON_SIGN_UP c"auth.send_verification_on_sign_up" false c"Let sign_up send a mail to verify the address, also where that is not required.";
    }
    texts {
        TRUSTED_GATEWAYS c"auth.trusted_gateways" c"authenticator" c"Login roles whose connections are those of a gateway, separated by commas.";
        TRUSTED_ORIGINS c"auth.trusted_origins" c"" c"Origins besides the server's own from which the session cookie is accepted, separated by commas.";
        CLIENT_ADDRESS_HEADER c"auth.client_address_header" c"" c"The header in which a gateway finds the client's address; in a list of addresses the last.";
        ISSUER c"auth.issuer" c"pg_auth" c"The claim iss of access tokens.";
        AUDIENCE c"auth.audience" c"authenticated" c"The claim aud of access tokens.";
        DEFAULT_BAN_REASON c"auth.default_ban_reason" c"No reason" c"The reason of a ban that is given none.";
        BANNED_USER_MESSAGE c"auth.banned_user_message" c"This user is banned" c"What a banned user is told after the right password.";
    }
}

static PEPPER_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Only the server's configuration names the file: who could point a database or a session at another one could have hashes made
/// with a key of theirs. The server refuses a setting of its start from a library that is loaded later; then a reload changes it.
fn define_pepper_file() {
    // SAFETY: reads of the postmaster's own state.
    let context = if unsafe { pg_sys::process_shared_preload_libraries_in_progress } { GucContext::Postmaster } else { GucContext::Sighup };
    let about = c"The file with the keys of the server that go into every password hash; none without.";
    GucRegistry::define_string_guc(c"auth.pepper_file", about, c"", &PEPPER_FILE, context, GucFlags::SUPERUSER_ONLY);
}

/// Where the library is loaded late, a setting that a client gave before, in its startup packet, has displaced what the
/// server's configuration says, and would then be refused: what remained would be the default that is compiled in. Whoever could bring
/// that about could sign up where nobody may, or have hashes made without the server's key. So nothing is loaded at all. Names are compared
/// as the server does, in any case: AUTH.sign_up would be let through otherwise.
fn refuse_what_others_have_set() {
    // SAFETY: the server's own table of settings, each of which lives as long as the process.
    let strangers = unsafe {
        #[cfg(feature = "pg15")]
        let (settings, count) = (pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions());
        #[cfg(not(feature = "pg15"))]
        let (settings, count) = {
            let mut count = 0;
            (pg_sys::get_guc_variables(&mut count), count)
        };
        (0..count as usize).map(|n| &**settings.add(n)).find(|setting| {
            CStr::from_ptr(setting.name).to_bytes().get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"auth."))
                && matches!(setting.reset_scontext, pg_sys::GucContext::PGC_BACKEND | pg_sys::GucContext::PGC_USERSET)
                && setting.reset_source != pg_sys::GucSource::PGC_S_DEFAULT
        })
    };
    if let Some(setting) = strangers {
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(setting.name) }.to_string_lossy();
        pgrx::ereport!(
            ERROR,
            pgrx::PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied to set parameter \"{name}\"")
        );
    }
}

/// Refuses to be loaded where the settings are not the server's. Before anything else.
pub fn check() {
    // SAFETY: reads of the postmaster's own state.
    if unsafe { !pg_sys::process_shared_preload_libraries_in_progress } {
        refuse_what_others_have_set();
    }
}

/// Defines every setting and keeps the prefix. Once, when the library is loaded.
pub fn define() {
    define_all();
    define_pepper_file();
    crate::backend::identity::define();
    // SAFETY: a C string that lives for ever. Without this a misspelt setting would be accepted in silence.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"auth".as_ptr()) };
}

fn text(setting: &GucSetting<Option<CString>>, or: &CStr) -> String {
    setting.get().filter(|value| !value.is_empty()).as_deref().unwrap_or(or).to_string_lossy().into_owned()
}

/// `auth.session_lifetime`, or `auth.short_session_lifetime`, in seconds.
pub fn session_lifetime(remember_me: bool) -> i32 {
    if remember_me { SESSION_LIFETIME.get() } else { SHORT_SESSION_LIFETIME.get() }
}

/// `auth.session_update_age`, in seconds.
pub fn session_update_age() -> i32 {
    SESSION_UPDATE_AGE.get()
}

/// `auth.session_fresh_age`, in seconds.
pub fn session_fresh_age() -> i32 {
    SESSION_FRESH_AGE.get()
}

/// `auth.max_failed_attempts`, and `auth.failed_attempt_window` in seconds.
pub fn throttle() -> (i32, i32) {
    (MAX_FAILED_ATTEMPTS.get(), FAILED_ATTEMPT_WINDOW.get())
}

/// What a new password must fulfil.
pub fn password_policy() -> Policy {
    let max_length = PASSWORD_MAX_LENGTH.get() as usize;
    Policy { min_length: (PASSWORD_MIN_LENGTH.get() as usize).min(max_length), max_length, blocklist: PASSWORD_BLOCKLIST.get() }
}

/// What a new hash costs.
pub fn password_cost() -> Cost {
    Cost { memory_kib: ARGON2_MEMORY.get() as u32, iterations: ARGON2_ITERATIONS.get() as u32 }
}

/// `auth.pepper_file`.
pub fn pepper_file() -> Option<String> {
    Some(text(&PEPPER_FILE, c"")).filter(|path| !path.is_empty())
}

/// `auth.purge_interval`, in seconds; 0 for never.
pub fn purge_interval() -> i32 {
    PURGE_INTERVAL.get()
}

/// To count them takes reading files.
static CORES: std::sync::OnceLock<u32> = std::sync::OnceLock::new();

/// `auth.hash_slots`, as a number of at least one.
pub fn hash_slots() -> u32 {
    match HASH_SLOTS.get() {
        0 => *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)),
        slots => slots as u32,
    }
}

/// `auth.hash_wait`, in milliseconds.
pub fn hash_wait() -> i32 {
    HASH_WAIT.get()
}

/// `auth.redact_log`.
pub fn redact_log() -> bool {
    REDACT_LOG.get()
}

/// `auth.sign_up`.
pub fn sign_up() -> bool {
    SIGN_UP.get()
}

/// `auth.require_email_verification`.
pub fn require_email_verification() -> bool {
    REQUIRE_EMAIL_VERIFICATION.get()
}

/// `auth.send_verification_on_sign_up`.
pub fn send_verification_on_sign_up() -> bool {
    SEND_VERIFICATION_ON_SIGN_UP.get()
}

/// `auth.reset_token_lifetime`, in seconds.
pub fn reset_token_lifetime() -> i32 {
    RESET_TOKEN_LIFETIME.get()
}

/// `auth.verification_token_lifetime`, in seconds.
pub fn verification_token_lifetime() -> i32 {
    VERIFICATION_TOKEN_LIFETIME.get()
}

/// `auth.message_lease`, in seconds.
pub fn message_lease() -> i32 {
    MESSAGE_LEASE.get()
}

/// `auth.message_interval`, in seconds.
pub fn message_interval() -> i32 {
    MESSAGE_INTERVAL.get()
}

/// `auth.default_ban_reason`.
pub fn default_ban_reason() -> String {
    text(&DEFAULT_BAN_REASON, c"No reason").chars().take(1_000).collect()
}

/// `auth.banned_user_message`.
pub fn banned_user_message() -> String {
    text(&BANNED_USER_MESSAGE, c"This user is banned")
}

/// `auth.access_token_lifetime`, in seconds.
pub fn access_token_lifetime() -> i32 {
    ACCESS_TOKEN_LIFETIME.get()
}

/// `auth.issuer`.
pub fn issuer() -> String {
    text(&ISSUER, c"pg_auth")
}

/// `auth.audience`.
pub fn audience() -> String {
    text(&AUDIENCE, c"authenticated")
}

/// `auth.set_session_cookie`.
pub fn set_session_cookie() -> bool {
    SET_SESSION_COOKIE.get()
}

/// `auth.client_address_header`, in lower case.
pub fn client_address_header() -> Option<String> {
    Some(text(&CLIENT_ADDRESS_HEADER, c"").to_ascii_lowercase()).filter(|name| !name.is_empty())
}

fn list(setting: &GucSetting<Option<CString>>) -> Vec<String> {
    let list = setting.get();
    let names = list.as_deref().map(|list| names(&list.to_string_lossy()).map(str::to_owned).collect());
    names.unwrap_or_default()
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// The origins that `auth.trusted_origins` lists.
pub fn trusted_origins() -> Vec<String> {
    list(&TRUSTED_ORIGINS)
}

/// The login roles that `auth.trusted_gateways` lists.
pub fn trusted_gateways() -> Vec<String> {
    list(&TRUSTED_GATEWAYS)
}

/// True for a login role that `auth.trusted_gateways` lists.
pub fn is_trusted_gateway(role: &str) -> bool {
    TRUSTED_GATEWAYS.get().is_some_and(|list| names(&list.to_string_lossy()).any(|name| name == role))
}
