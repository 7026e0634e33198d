//! Mail: the kinds that there are.

/// A kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Proves the address of a user.
    VerifyEmail,
    /// Proves the address that a user wants to have.
    ChangeEmail,
    /// Tells the old address.
    EmailChanged,
    /// Lets in who has forgotten the password.
    ResetPassword,
    /// Tells the user.
    PasswordChanged,
}

impl Kind {
    /// Its name, which is also that of what its token is for.
    pub fn name(self) -> &'static str {
        match self {
            Kind::VerifyEmail => "verify-email",
            Kind::ChangeEmail => "change-email",
            Kind::EmailChanged => "email-changed",
            Kind::ResetPassword => "reset-password",
            Kind::PasswordChanged => "password-changed",
        }
    }
}
