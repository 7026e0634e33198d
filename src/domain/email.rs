//! Email addresses in the one form in which they are stored and compared.

use crate::error::{Code, Error, Result};
use email_address::{EmailAddress, Options};
use icu_normalizer::ComposingNormalizerBorrowed as Normalizer;
use icu_properties::{CodePointMapData, CodePointSetData, props};

/// RFC 5321 4.5.3.1.3 allows 256 octets with the angle brackets.
const MAX_OCTETS: usize = 254;

/// A canonical email address: NFC, ASCII letters lower-cased, the domain as IDNA A-label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Parses and canonicalises an argument, or INVALID_EMAIL with its name.
    ///
    /// Letters outside ASCII are not folded: Unicode's lower-casing makes one address of two (LATIN CAPITAL LETTER I WITH DOT ABOVE
    /// and "i"), and mail meant for one person would then reach the other.
    pub fn parse(text: &str, argument: &'static str) -> Result<Self> {
        Self::canonical(text).map(Email).ok_or_else(|| Error::about(Code::INVALID_EMAIL, argument))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn canonical(text: &str) -> Option<String> {
        // Bounded before any work: normalising is linear, but in what an anonymous caller sends.
        if text.len() > 4 * MAX_OCTETS || text.chars().any(is_deceptive) {
            return None;
        }
        let text = Normalizer::new_nfc().normalize(text);
        // FULLWIDTH COMMERCIAL AT folds to "@": an address that some later system reads differently than we do.
        if Normalizer::new_nfkc().normalize(&text).matches('@').count() != 1 {
            return None;
        }
        let (local, domain) = text.split_once('@')?;
        // A quoted local part is a second spelling of a plain one.
        if local.contains('"') {
            return None;
        }
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        // No top-level domain is a number: this is the address of a host without its brackets.
        if domain.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let canonical = format!("{}@{domain}", local.to_ascii_lowercase());
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let well_formed = canonical.len() <= MAX_OCTETS && EmailAddress::parse_with_options(&canonical, options).is_ok();
        well_formed.then_some(canonical)
    }
}

/// Spaces, controls, and whatever is invisible or turns the direction of text: two addresses that look the same must be the same.
fn is_deceptive(c: char) -> bool {
    use props::GeneralCategory as G;
    matches!(
        CodePointMapData::<G>::new().get(c),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::SpaceSeparator
            | G::LineSeparator
            | G::ParagraphSeparator
    ) || CodePointSetData::new::<props::DefaultIgnorableCodePoint>().contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Email::parse(text, "email").ok().map(|email| email.0)
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        for spelling in ["Ann@Example.ORG", "ann@example.org", "ANN@EXAMPLE.org"] {
            assert_eq!(parsed(spelling).as_deref(), Some("ann@example.org"));
        }
        assert_eq!(parsed("ann@BÜCHER.example"), parsed("ann@xn--bcher-kva.example"));
        assert_eq!(parsed("cafe\u{301}@x.io"), parsed("caf\u{e9}@x.io"));
    }

    #[test]
    fn letters_outside_ascii_are_not_folded() {
        assert_ne!(parsed("\u{130}da@x.io"), parsed("ida@x.io"));
        assert_ne!(parsed("\u{17F}am@x.io"), parsed("sam@x.io"));
        assert_ne!(parsed("É@x.io"), parsed("é@x.io"));
    }

    #[test]
    fn deceptive_addresses_are_refused() {
        for address in [
            "",
            "ann",
            "@x.io",
            "ann@",
            "ann@x",
            " ann@x.io",
            "ann@x.io ",
            "an n@x.io",
            "ann@x.io\n",
            "a\u{200B}nn@x.io",
            "a\u{202E}nn@x.io",
            "a\u{AD}nn@x.io",
            "ann@exam\u{AD}ple.com",
            "a@b@x.io",
            "admin\u{FF20}x.io",
            "a\u{FF20}b@x.io",
            "a\u{FE6B}b@x.io",
            "ann\u{0}@x.io",
            "\"ann\"@x.io",
            "ann@[127.0.0.1]",
            "a..b@x.io",
            ".a@x.io",
            "ann@-x.io",
            "ann@x..io",
            "Ann <ann@x.io>",
            "a\u{3164}@x.io",
            "a\u{34F}@x.io",
            "ann@x.io.",
            "ann@1.2.3.4",
        ] {
            assert_eq!(parsed(address), None, "{address:?}");
        }
    }

    #[test]
    fn length_is_bounded_at_254_octets() {
        let domain = format!("{}.{}.{}.io", "a".repeat(63), "b".repeat(63), "c".repeat(57));
        assert_eq!(domain.len(), 188);
        assert!(parsed(&format!("{}@{domain}", "x".repeat(64))).is_some());
        let domain = format!("{}.{}.{}.io", "a".repeat(63), "b".repeat(63), "c".repeat(60));
        assert!(parsed(&format!("{}@{domain}", "x".repeat(64))).is_none());
        assert!(parsed(&"x".repeat(10_000_000)).is_none());
    }
}
