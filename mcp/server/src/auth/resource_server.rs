//! Resource-server mode: JWTs of a configured issuer, checked against a key file, and RFC 9728 metadata; it does not fetch anything.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use mcp::{Caller, Scope};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value, json};

use super::{AuthError, AuthRequest, Authenticator, Identity};
use crate::clock::now_ms;
use crate::server::ServerError;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Clock difference to the issuer that is tolerated.
const LEEWAY_S: u64 = 30;

/// Who issues tokens for which resources.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResourceServerConfig {
    /// The issuer: the exact `iss` of tokens, and the authorization server that metadata names.
    pub issuer: String,
    /// Public base of this server's URLs without a slash at its end, such as `https://mcp.example:6071`. The audience of an
    /// endpoint is this and its path.
    pub resource_base: String,
    /// JWK set with the issuer's public keys: RSA (RS256), P-256 (ES256), Ed25519 (EdDSA).
    pub keys_file: PathBuf,
    /// Prefix of the scopes `read`, `write` and `full` in tokens; other scopes are taken as finer ones.
    pub scope_prefix: String,
}

impl ResourceServerConfig {
    /// A configuration whose scopes are `mcp:read`, `mcp:write` and `mcp:full`.
    pub fn new(
        issuer: impl Into<String>,
        resource_base: impl Into<String>,
        keys_file: impl Into<PathBuf>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            resource_base: resource_base.into(),
            keys_file: keys_file.into(),
            scope_prefix: "mcp:".to_owned(),
        }
    }
}

enum KeyKind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

struct Key {
    id: Option<String>,
    kind: KeyKind,
}

/// Lets in who holds a token of the issuer for the endpoint.
pub struct ResourceServer {
    config: ResourceServerConfig,
    keys: ArcSwap<Vec<Key>>,
    others: Option<Arc<dyn Authenticator>>,
}

impl ResourceServer {
    /// Reads the key file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(config: ResourceServerConfig) -> Result<Self, ServerError> {
        let keys = read_keys(&config)?;
        Ok(Self { config, keys: ArcSwap::from_pointee(keys), others: None })
    }

    /// Asks another authenticator about tokens that are no JWTs, such as those of command-line tools.
    #[must_use]
    pub fn with_plain_tokens(mut self, others: Arc<dyn Authenticator>) -> Self {
        self.others = Some(others);
        self
    }

    /// Reads the key file again; gives the number of usable keys.
    ///
    /// # Errors
    /// What is wrong with it; the old keys stay.
    pub fn reload(&self) -> Result<usize, ServerError> {
        let keys = read_keys(&self.config)?;
        let count = keys.len();
        self.keys.store(Arc::new(keys));
        Ok(count)
    }

    fn check(&self, endpoint: &str, token: &str) -> Option<Map<String, Value>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Map<String, Value> = serde_json::from_slice(&base64url(head)?).ok()?;
        let signature = base64url(signature)?;
        // `alg` picks nothing by itself: each key verifies with its own algorithm only.
        let (alg, id) = (head.get("alg")?.as_str()?, head.get("kid").and_then(Value::as_str));
        if head.contains_key("crit") {
            return None;
        }
        let keys = self.keys.load();
        let mut candidates = keys.iter().filter(|k| id.is_none() || k.id.is_none() || k.id.as_deref() == id);
        candidates.find(|key| key.verifies(alg, signed.as_bytes(), &signature))?;
        let claims: Map<String, Value> = serde_json::from_slice(&base64url(claims)?).ok()?;
        self.claims_hold(endpoint, &claims).then_some(claims)
    }

    fn claims_hold(&self, endpoint: &str, claims: &Map<String, Value>) -> bool {
        let now = now_ms() / 1000;
        let time = |key: &str| claims.get(key).and_then(Value::as_f64).map(|t| t as u64);
        let issued = claims.get("iss").and_then(Value::as_str) == Some(self.config.issuer.as_str());
        let fresh = time("exp").is_some_and(|end| now < end.saturating_add(LEEWAY_S))
            && time("nbf").is_none_or(|start| start <= now.saturating_add(LEEWAY_S));
        let wanted = format!("{}{endpoint}", self.config.resource_base);
        let meant = match claims.get("aud") {
            Some(Value::String(one)) => *one == wanted,
            Some(Value::Array(many)) => many.iter().any(|a| a.as_str() == Some(&wanted)),
            _ => false,
        };
        issued && fresh && meant
    }

    fn caller(&self, claims: &Map<String, Value>) -> Result<Caller, AuthError> {
        let words: Vec<&str> = match claims.get("scope").or_else(|| claims.get("scp")) {
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let (mut scope, mut named) = (None, Vec::new());
        for word in words {
            let level = match word.strip_prefix(&self.config.scope_prefix) {
                Some("read") => Scope::Read,
                Some("write") => Scope::Write,
                Some("full") => Scope::Full,
                _ => {
                    named.push(word.to_owned());
                    continue;
                }
            };
            scope = scope.max(Some(level));
        }
        if scope.is_none() && named.is_empty() {
            return Err(AuthError::InsufficientScope);
        }
        let subject = claims.get("sub").or_else(|| claims.get("client_id")).and_then(Value::as_str);
        let name: String = subject.unwrap_or("unnamed").chars().take(128).collect();
        let mut caller = Caller::new(format!("jwt:{name}"), scope.unwrap_or(Scope::Read));
        caller.named_scopes = named;
        Ok(caller)
    }
}

impl Authenticator for ResourceServer {
    fn authenticate(&self, request: &AuthRequest<'_>) -> Result<Identity, AuthError> {
        let token = request.token.unwrap_or_default();
        if let Some(others) = &self.others
            && token.matches('.').count() != 2
        {
            return others.authenticate(request);
        }
        let claims = self.check(request.endpoint, token).ok_or(AuthError::Unauthorized)?;
        self.caller(&claims).map(Identity::new)
    }

    fn challenge(&self, endpoint: &str) -> String {
        let base = &self.config.resource_base;
        let prefix = &self.config.scope_prefix;
        format!(
            "resource_metadata=\"{base}/.well-known/oauth-protected-resource{endpoint}\", scope=\"{prefix}read\""
        )
    }

    fn metadata(&self, endpoint: &str) -> Option<Value> {
        let scopes = ["read", "write", "full"].map(|s| format!("{}{s}", self.config.scope_prefix));
        Some(json!({
            "resource": format!("{}{endpoint}", self.config.resource_base),
            "authorization_servers": [self.config.issuer],
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
        }))
    }
}

impl Key {
    fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        match (&self.kind, alg) {
            (KeyKind::Rsa { n, e }, "RS256") => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (KeyKind::P256(point), "ES256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (KeyKind::Ed25519(key), "EdDSA" | "Ed25519") => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }

    fn read(jwk: &Value) -> Option<Self> {
        let text = |key: &str| jwk.get(key).and_then(Value::as_str);
        let bytes = |key: &str| text(key).and_then(base64url);
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let kind = match (text("kty")?, text("crv")) {
            ("RSA", _) => KeyKind::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                KeyKind::P256([&[4][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), kind })
    }
}

fn read_keys(config: &ResourceServerConfig) -> Result<Vec<Key>, ServerError> {
    let name = config.keys_file.display();
    let text =
        std::fs::read(&config.keys_file).map_err(|e| ServerError::io(format!("cannot read {name}"), e))?;
    let invalid =
        |what: &str| ServerError::io(format!("{name} {what}"), std::io::ErrorKind::InvalidData.into());
    let set: Value = serde_json::from_slice(&text).map_err(|_| invalid("is not JSON"))?;
    let listed = set.get("keys").and_then(Value::as_array).ok_or_else(|| invalid("is no JWK set"))?;
    let keys: Vec<Key> = listed.iter().filter_map(Key::read).collect();
    if keys.is_empty() { Err(invalid("holds no usable key")) } else { Ok(keys) }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    const ENDPOINT: &str = "/mcp/test";

    fn server(keys: &[Value]) -> ResourceServer {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, json!({"keys": keys}).to_string()).unwrap();
        ResourceServer::load(ResourceServerConfig::new("https://issuer.example", "https://mcp.example", file))
            .unwrap()
    }

    fn let_in(server: &ResourceServer, token: &str) -> Result<Caller, AuthError> {
        server.authenticate(&AuthRequest::new(ENDPOINT, Some(token), "::1")).map(|i| i.caller)
    }

    struct Issuer(Ed25519KeyPair);

    impl Issuer {
        fn new() -> Self {
            let random = ring::rand::SystemRandom::new();
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
        }

        fn jwk(&self) -> Value {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64URL_NOPAD.encode(self.0.public_key().as_ref())})
        }

        fn token(&self, head: Value, changes: Value) -> String {
            let mut claims = json!({"iss": "https://issuer.example", "aud": ["x", "https://mcp.example/mcp/test"],
                "sub": "ada", "exp": 4_102_444_800_u64, "scope": "mcp:read mcp:full"});
            for (key, value) in changes.as_object().unwrap() {
                claims[key] = value.clone();
            }
            let signed =
                [head, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes())).join(".");
            let signature = BASE64URL_NOPAD.encode(self.0.sign(signed.as_bytes()).as_ref());
            format!("{signed}.{signature}")
        }
    }

    #[test]
    fn tokens_of_the_issuer_for_the_endpoint_are_let_in() {
        let issuer = Issuer::new();
        let server = server(&[issuer.jwk()]);
        let head = json!({"alg": "EdDSA", "kid": "ed"});
        let caller = let_in(&server, &issuer.token(head.clone(), json!({}))).unwrap();
        assert_eq!((caller.token_name.as_str(), caller.scope), ("jwt:ada", Scope::Full));
        for changes in [
            json!({"iss": "https://other.example"}),
            json!({"aud": "https://mcp.example/mcp/other"}),
            json!({"aud": null}),
            json!({"exp": 1}),
            json!({"exp": null}),
            json!({"nbf": 4_102_444_799_u64}),
        ] {
            let refused = let_in(&server, &issuer.token(head.clone(), changes.clone()));
            assert_eq!(refused.unwrap_err(), AuthError::Unauthorized, "{changes}");
        }
        let scopeless = let_in(&server, &issuer.token(head, json!({"scope": ""})));
        assert_eq!(scopeless.unwrap_err(), AuthError::InsufficientScope);
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (issuer, other) = (Issuer::new(), Issuer::new());
        let server = server(&[issuer.jwk()]);
        let good = json!({"alg": "EdDSA", "kid": "ed"});
        let unsigned = issuer.token(json!({"alg": "none"}), json!({}));
        for token in [
            other.token(good.clone(), json!({})),
            issuer.token(json!({"alg": "HS256", "kid": "ed"}), json!({})),
            issuer.token(json!({"alg": "EdDSA", "kid": "unknown"}), json!({})),
            issuer.token(json!({"alg": "EdDSA", "crit": ["x"]}), json!({})),
            unsigned.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap(),
            issuer.token(good, json!({})).replace('.', ".."),
            "a.b.c".into(),
            String::new(),
        ] {
            assert!(let_in(&server, &token).is_err(), "{token}");
        }
    }

    #[test]
    fn rsa_tokens_are_verified() {
        let fixture: Value = serde_json::from_str(include_str!("fixtures/rsa.json")).unwrap();
        let server = server(&[fixture["jwk"].clone()]);
        let token = fixture["token"].as_str().unwrap();
        let caller = let_in(&server, token).unwrap();
        assert_eq!((caller.scope, caller.named_scopes), (Scope::Write, vec!["rag:search".to_owned()]));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(let_in(&server, &format!("{signed}.{}", signature.replacen('A', "B", 1))).is_err());
    }

    #[test]
    fn metadata_and_challenge_name_each_other() {
        let server = server(&[Issuer::new().jwk()]);
        insta::assert_json_snapshot!([server.metadata(ENDPOINT), Some(server.challenge(ENDPOINT).into())]);
    }
}
