//! Access tokens: JSON Web Tokens (RFC 7519) under Ed25519 (RFC 8037), for gateways that verify them themselves.

use super::token::random_bytes;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::{SignatureError, Signer, SigningKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, rust_crypto};
use jsonwebtoken::jwk::{AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::jwk::{OctetKeyPairParameters, OctetKeyPairType};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use uuid::Uuid;

/// The only role that a token of ours ever names.
pub const ROLE: &str = "authenticated";

/// How far, in seconds, a token may seem to come from the future: clocks of a standby and of its primary differ.
const SKEW: i64 = 30;

/// What a token says. Read strictly: a claim that is missing, twice there or of another type makes the token bad.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `auth.issuer`.
    pub iss: String,
    /// `auth.audience`.
    pub aud: String,
    /// The user.
    pub sub: Uuid,
    /// The database role.
    pub role: String,
    /// The session.
    pub sid: Uuid,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// When it ends, likewise.
    pub exp: i64,
    /// Its own id.
    pub jti: Uuid,
    /// From when it is good; ours do not say it, others' may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
}

impl Claims {
    /// Whether the claims are good at a moment, in seconds since 1970, for this issuer and audience.
    pub fn hold(&self, now: i64, issuer: &str, audience: &str) -> bool {
        self.iss == issuer
            && self.aud == audience
            && self.role == ROLE
            && self.exp > now
            && self.iat <= now + SKEW
            && self.nbf.is_none_or(|nbf| nbf <= now + SKEW)
    }
}

/// A new pair of keys.
pub struct SigningPair {
    /// Its name: the thumbprint of RFC 7638.
    pub kid: String,
    /// 32 bytes.
    pub public: Vec<u8>,
    /// PKCS #8.
    pub private: Vec<u8>,
}

/// Makes a pair of keys.
pub fn new_pair() -> SigningPair {
    let key = SigningKey::from_bytes(&random_bytes::<32>());
    let public = key.verifying_key().to_bytes().to_vec();
    let private = key.to_pkcs8_der().expect("an Ed25519 key as PKCS #8").as_bytes().to_vec();
    let kid = jwk(None, &public).thumbprint(ThumbprintHash::SHA256).expect("a key of four members");
    SigningPair { kid, public, private }
}

/// A public key as a JSON Web Key (RFC 7517).
pub fn public_jwk(kid: &str, public: &[u8]) -> Value {
    json!(jwk(Some(kid.to_owned()), public))
}

fn jwk(kid: Option<String>, public: &[u8]) -> Jwk {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::EdDSA),
            key_id: kid,
            ..CommonParameters::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(public),
        }),
    }
}

/// Signs claims with a private key.
pub fn sign(claims: &Claims, kid: String, private: &[u8]) -> Option<String> {
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(private)).ok()
}

/// Lets jsonwebtoken keep the key that signed last as it is once it is read and its public half computed, which takes as long as to sign. The key
/// is in the server's shared memory anyway. For the process, before anything is signed or verified; without it each signature reads its key.
pub fn keep_signer() {
    static KEEPING: LazyLock<CryptoProvider> =
        LazyLock::new(|| CryptoProvider { signer_factory: kept_signer, ..rust_crypto::DEFAULT_PROVIDER.clone() });
    // A provider that is there already signs as well.
    let _ = KEEPING.install_default();
}

/// A signer, shared.
struct Kept(Rc<dyn JwtSigner>);

impl Signer<Vec<u8>> for Kept {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.0.try_sign(message)
    }
}

impl JwtSigner for Kept {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
}

fn kept_signer(algorithm: &Algorithm, key: &EncodingKey) -> jsonwebtoken::errors::Result<Box<dyn JwtSigner>> {
    thread_local! {
        static LAST: RefCell<Option<(Vec<u8>, Rc<dyn JwtSigner>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        // By the whole key: of two by one name each signs for itself.
        let signer = match last {
            Some((of, signer)) if of == key.as_bytes() && signer.algorithm() == *algorithm => signer.clone(),
            _ => {
                let signer: Rc<dyn JwtSigner> = (rust_crypto::DEFAULT_PROVIDER.signer_factory)(algorithm, key)?.into();
                *last = Some((key.as_bytes().to_vec(), signer.clone()));
                signer
            }
        };
        Ok(Box::new(Kept(signer)) as Box<dyn JwtSigner>)
    })
}

/// The name of the key that a token says it is signed with. Only to look the key up.
pub fn key_id(token: &str) -> Option<String> {
    decode_header(token).ok()?.kid
}

/// The claims of a token that this key has signed. The algorithm is the key's: what the header says must agree and decides nothing,
/// or the public key, which anybody knows, could be given to us as the secret of another algorithm.
pub fn verify(token: &str, public: &[u8]) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // What the claims say is judged in one place, for these and for those that a gateway has verified.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let key = DecodingKey::from_jwk(&jwk(None, public)).ok()?;
    decode::<Claims>(token, &key, &validation).ok().map(|token| token.claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ed25519_dalek::pkcs8::DecodePrivateKey;

    const NOW: i64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            iss: "i".into(),
            aud: "a".into(),
            sub: Uuid::from_u128(1),
            role: ROLE.into(),
            sid: Uuid::from_u128(2),
            iat: NOW,
            exp: NOW + 900,
            jti: Uuid::from_u128(3),
            nbf: None,
        }
    }

    #[test]
    fn a_token_is_good_under_its_own_key_only() {
        let (one, other) = (new_pair(), new_pair());
        assert_ne!(one.kid, other.kid);
        let token = sign(&claims(), one.kid.clone(), &one.private).unwrap();
        assert_eq!(key_id(&token), Some(one.kid.clone()));
        assert_eq!(verify(&token, &one.public), Some(claims()));
        assert_eq!(verify(&token, &other.public), None);
        for cut in ["", "a.b.c", &token[..token.len() - 4], &format!("{token}x")] {
            assert_eq!(verify(cut, &one.public), None);
        }
    }

    #[test]
    fn a_key_that_is_kept_signs_as_one_that_is_read() {
        let (one, other) = (new_pair(), new_pair());
        let signed = |algorithm: Algorithm, key: EncodingKey| kept_signer(&algorithm, &key).unwrap().try_sign(b"message").unwrap();
        let by = |pair: &SigningPair| signed(Algorithm::EdDSA, EncodingKey::from_ed_der(&pair.private));
        // RFC 8032: a signature is the same each time.
        let read = |pair: &SigningPair| SigningKey::from_pkcs8_der(&pair.private).unwrap().sign(b"message").to_vec();
        for pair in [&one, &one, &other, &one] {
            assert_eq!(by(pair), read(pair));
        }
        // A secret of the same octets is another key.
        let secret = signed(Algorithm::HS256, EncodingKey::from_secret(&one.private));
        assert_eq!(secret, signed(Algorithm::HS256, EncodingKey::from_secret(&one.private)));
        assert_eq!((secret.len(), by(&one)), (32, read(&one)));
        assert!(kept_signer(&Algorithm::EdDSA, &EncodingKey::from_ed_der(b"no key")).is_err());
        assert_eq!(by(&one), read(&one));
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let pair = new_pair();
        let hs = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&pair.public)).unwrap();
        assert_eq!(verify(&hs, &pair.public), None);
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(json!(claims()).to_string()));
        assert_eq!(verify(&none, &pair.public), None);
    }

    #[test]
    fn claims_are_read_strictly() {
        let good = json!(claims());
        assert!(serde_json::from_value::<Claims>(good.clone()).is_ok());
        for missing in ["iss", "aud", "sub", "role", "sid", "iat", "exp", "jti"] {
            let mut odd = good.clone();
            odd.as_object_mut().unwrap().remove(missing);
            assert!(serde_json::from_value::<Claims>(odd).is_err(), "{missing}");
        }
        let twice = good.to_string().replacen('{', r#"{"exp":99999999999,"#, 1);
        assert!(serde_json::from_str::<Claims>(&twice).is_err());
    }

    #[test]
    fn claims_hold_in_their_time_for_their_audience() {
        let good = claims();
        assert!(good.hold(NOW, "i", "a"));
        assert!(!good.hold(NOW, "x", "a") && !good.hold(NOW, "i", "x"));
        assert!(!good.hold(NOW + 900, "i", "a") && good.hold(NOW + 899, "i", "a"));
        assert!(!good.hold(NOW - 31, "i", "a"));
        assert!(!Claims { nbf: Some(NOW + 31), ..claims() }.hold(NOW, "i", "a"));
        assert!(!Claims { role: "postgres".into(), ..claims() }.hold(NOW, "i", "a"));
    }

    #[test]
    fn the_public_key_is_published_as_rfc_8037_writes_it() {
        // RFC 8037, appendix A.2 and A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = public_jwk("k", &x);
        assert_eq!((key["kty"].as_str(), key["crv"].as_str(), key["kid"].as_str()), (Some("OKP"), Some("Ed25519"), Some("k")));
        assert_eq!(key["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(jwk(None, &x).thumbprint(ThumbprintHash::SHA256).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(key.get("d").is_none());
    }
}
