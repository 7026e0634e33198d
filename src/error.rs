//! The catalogue of errors, declared once: code, SQLSTATE, HTTP status, sentence.
//!
//! The sentence is constant. What varies goes behind the code into DETAIL, and is never a secret nor a sign of whether an
//! account exists.

/// What a client may rely on about one kind of error.
pub struct Entry {
    /// The machine code, which DETAIL begins with.
    pub code: &'static str,
    /// The SQLSTATE with which it is raised; of an answer, the one that it would have.
    pub sqlstate: &'static str,
    /// The HTTP status behind a gateway.
    pub http: u16,
    /// MESSAGE.
    pub sentence: &'static str,
}

macro_rules! catalogue {
    ($($code:ident $sqlstate:literal $http:literal $sentence:literal;)*) => {
        /// A machine code of the catalogue.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $sentence] $code,)* }

        impl Code {
            /// Every code, in the order of the catalogue.
            #[allow(dead_code)] // the tests compare README with it
            pub const ALL: &[Code] = &[$(Code::$code,)*];

            /// The catalogue's line about this code.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Code::$code => Entry { code: stringify!($code), sqlstate: $sqlstate, http: $http, sentence: $sentence },)*
                }
            }
        }
    };
}

catalogue! {
    NOT_SIGNED_IN "28000" 401 "You are not signed in";
    INVALID_SESSION "28000" 401 "The session is unknown, has expired or was revoked";
    INVALID_EMAIL_OR_PASSWORD "28P01" 401 "Invalid email or password";
    INVALID_PASSWORD "28P01" 401 "The password is wrong";
    BANNED_USER "28000" 403 "This user is banned";
    EMAIL_NOT_VERIFIED "28000" 403 "The email address has not been verified";
    SESSION_NOT_FRESH "28000" 403 "The session is too old for this; confirm the password or sign in again";
    PERMISSION_DENIED "42501" 403 "You do not have the permission to do this";
    YOU_CANNOT_BAN_YOURSELF "42501" 403 "You cannot ban yourself";
    YOU_CANNOT_IMPERSONATE_ADMINS "42501" 403 "You cannot impersonate administrators";
    NOT_WHILE_IMPERSONATING "42501" 403 "This is not possible while impersonating";
    SIGN_UP_DISABLED "42501" 403 "Sign-up is disabled";
    PROTECTED_ROLE "42501" 403 "This role is protected, or was not made here";
    TARGET_OUTRANKS_YOU "42501" 403 "This involves a permission that you do not have yourself";
    LAST_ADMIN "55000" 409 "The last active administrator must stay";
    PASSWORD_ALREADY_SET "55000" 409 "The user already has a password";
    CREDENTIAL_ACCOUNT_NOT_FOUND "55000" 409 "The user has no password";
    FAILED_TO_UNLINK_LAST_ACCOUNT "55000" 409 "The last way to sign in must stay";
    NOT_IMPERSONATING "55000" 409 "You are not impersonating anyone";
    ROLE_IN_USE "55006" 409 "The role is held by users";
    USER_IN_USE "23503" 409 "Other data refers to this user";
    USER_NOT_FOUND "42704" 404 "User not found";
    ACCOUNT_NOT_FOUND "42704" 404 "Account not found";
    ROLE_NOT_FOUND "42704" 404 "Role not found";
    ROLE_ALREADY_EXISTS "42710" 409 "A role with this name already exists";
    ROLE_OWNS_OBJECTS "2BP01" 409 "The role owns objects, holds privileges elsewhere or is connected";
    USER_ALREADY_EXISTS "23505" 409 "A user with this email already exists";
    ACCOUNT_ALREADY_LINKED "23505" 409 "This account is linked already";
    INVALID_EMAIL "22023" 400 "The email address is not valid";
    PASSWORD_TOO_SHORT "22023" 400 "The password is too short";
    PASSWORD_TOO_LONG "22023" 400 "The password is too long";
    PASSWORD_TOO_COMMON "22023" 400 "The password is one of the most common ones";
    INVALID_ROLE "22023" 400 "There is no such role";
    INVALID_ARGUMENT "22023" 400 "An argument is not valid";
    UNKNOWN_FIELD "22023" 400 "There is no such field";
    FIELD_NOT_ALLOWED "22023" 400 "This field cannot be set";
    MISSING_ARGUMENT "22004" 400 "A required argument is missing";
    INVALID_TOKEN "22023" 400 "The token is unknown, was used or superseded, or has expired";
    TOO_MANY_ATTEMPTS "53400" 429 "Too many attempts; try again later";
    SERVER_BUSY "53300" 503 "Too many passwords are being checked; try again in a moment";
    READ_ONLY "25006" 405 "This is not possible in a read-only transaction or on a standby";
    OUT_OF_MEMORY "53200" 503 "There is not enough memory to check a password";
    MISCONFIGURED "F0000" 500 "The server is not set up to check passwords; its log says why";
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub code: Code,
    /// What follows the code in DETAIL: an argument's name, a permission, a number of seconds.
    pub data: Option<String>,
    /// What the client could do about it.
    pub hint: Option<String>,
    /// The cookie that brought the credential is of no use any more.
    pub forgets_cookie: bool,
}

impl Error {
    /// The error with data behind its code, as in `PERMISSION_DENIED: user:ban`.
    pub fn about(code: Code, data: impl Into<String>) -> Self {
        Error { code, data: Some(data.into()), hint: None, forgets_cookie: false }
    }

    /// The error with advice for the client.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Error { hint: Some(hint.into()), ..self }
    }

    /// DETAIL.
    pub fn detail(&self) -> String {
        match &self.data {
            Some(data) => format!("{}: {data}", self.code.entry().code),
            None => self.code.entry().code.to_owned(),
        }
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Error { code, data: None, hint: None, forgets_cookie: false }
    }
}

/// A result of anything that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The value of a required argument, or MISSING_ARGUMENT with its name.
pub fn required<T>(value: Option<T>, argument: &'static str) -> Result<T> {
    value.ok_or_else(|| Error::about(Code::MISSING_ARGUMENT, argument))
}

/// INVALID_ARGUMENT with the argument's name.
pub fn invalid(argument: impl Into<String>) -> Error {
    Error::about(Code::INVALID_ARGUMENT, argument)
}
