//! Registry credentials.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use http::HeaderValue;
use serde::Serialize;

use super::error::{Error, Result};

/// Text that must not be shown: `Debug` is redacted, there is no `Display` and no `Serialize`.
///
/// ```
/// use sh0_docker::client::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Credentials for one registry.
///
/// Without credentials no header is sent at all: an engine treats a header that it cannot read as none, and some
/// registries treat an empty one as wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAuth {
    login: Login,
    server: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    Password { username: String, password: Secret },
    IdentityToken(Secret),
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serveraddress: Option<&'a str>,
}

impl RegistryAuth {
    /// A user name and a password or access token.
    #[must_use]
    pub fn password(username: impl Into<String>, password: Secret) -> Self {
        Self { login: Login::Password { username: username.into(), password }, server: None }
    }

    /// A token got from the registry's login.
    #[must_use]
    pub fn identity_token(token: Secret) -> Self {
        Self { login: Login::IdentityToken(token), server: None }
    }

    /// The registry these credentials are for, as in the image name.
    #[must_use]
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.server = Some(address.into());
        self
    }

    /// User name and secret; no name beside an identity token.
    pub(crate) fn login(&self) -> (&str, &str) {
        match &self.login {
            Login::Password { username, password } => (username, password.expose()),
            Login::IdentityToken(token) => ("", token.expose()),
        }
    }

    fn wire(&self) -> Wire<'_> {
        let (username, password, identitytoken) = match &self.login {
            Login::Password { username, password } => (Some(username.as_str()), Some(password.expose()), None),
            Login::IdentityToken(token) => (None, None, Some(token.expose())),
        };
        Wire { username, password, identitytoken, serveraddress: self.server.as_deref() }
    }

    /// The value of `X-Registry-Auth` (API section "Authentication").
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        encode(&self.wire())
    }

    /// The value of `X-Registry-Config` for builds: credentials by registry.
    pub(crate) fn config_header(all: &BTreeMap<String, Self>) -> Result<HeaderValue> {
        encode(&all.iter().map(|(server, auth)| (server, auth.wire())).collect::<BTreeMap<_, _>>())
    }
}

/// The engine decodes the URL-safe alphabet only, and goes on anonymously when it cannot decode.
fn encode(value: &impl Serialize) -> Result<HeaderValue> {
    let json = serde_json::to_vec(value).map_err(Error::json("registry credentials"))?;
    let mut header = HeaderValue::try_from(URL_SAFE.encode(json)).map_err(|error| Error::head(error.to_string()))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_header_is_url_safe_and_padded() {
        // In the standard alphabet this password brings a `+` or `/` into the header.
        let auth = RegistryAuth::password("me", Secret::new("a>>>b???c~~~d")).server("registry.test");
        let header = auth.header().unwrap();
        let text = header.to_str().unwrap();
        assert!(!text.contains(['+', '/']), "{text}");
        assert_eq!(text.len() % 4, 0);
        let json: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(text).unwrap()).unwrap();
        assert_eq!(json["password"], "a>>>b???c~~~d");
        assert_eq!(json["serveraddress"], "registry.test");
        assert!(json.get("identitytoken").is_none());
    }

    #[test]
    fn nothing_shows_a_secret() {
        let auth = RegistryAuth::password("me", Secret::new("hunter2"));
        assert!(!format!("{auth:?} {:?}", auth.header().unwrap()).contains("hunter2"));
        assert_eq!(format!("{:?}", auth.header().unwrap()), "Sensitive");
        let auth = RegistryAuth::identity_token(Secret::new("hunter2"));
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
