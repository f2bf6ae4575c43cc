//! Which API version a connection speaks.
//!
//! Every connection asks once, when it is opened, with an unversioned `/_ping` (API section "Ping"), and puts
//! `/v1.xx` before every path afterwards. So an engine that was upgraded under us is noticed with the first new
//! connection, and no call can be sent with a version its connection did not agree on.

use std::{fmt, str::FromStr};

use http::HeaderMap;

use super::build::Builder;
use super::error::{Error, Result};

/// A version of the Docker Engine API, such as `1.41`.
///
/// ```
/// use sh0_docker::client::ApiVersion;
/// let version: ApiVersion = "1.41".parse()?;
/// assert!(version < "1.100".parse()?);
/// assert_eq!(version.to_string(), "1.41");
/// # Ok::<(), sh0_docker::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// The oldest version this client speaks: Docker 20.10, Podman 4.
    pub const OLDEST: Self = Self::new(1, 41);
    /// The newest version this client speaks: Docker 28.3.
    pub const NEWEST: Self = Self::new(1, 51);

    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The version to speak with an engine whose newest version is `engine`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] when the engine is too old.
    pub fn agree(engine: Self) -> Result<Self> {
        if engine < Self::OLDEST {
            let oldest = Self::OLDEST;
            let message = format!(
                "this Docker engine speaks API {engine} at most and {oldest} is needed; upgrade it to Docker 20.10 or newer"
            );
            return Err(Error::UnsupportedVersion { message });
        }
        Ok(engine.min(Self::NEWEST))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('.').and_then(|(major, minor)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (digits(major) && digits(minor)).then(|| Some(Self::new(major.parse().ok()?, minor.parse().ok()?)))?
        });
        parsed.ok_or_else(|| Error::InvalidInput { what: "API version", reason: format!("{text:?} is not like 1.41") })
    }
}

/// What `/_ping` tells about an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Engine {
    /// The version spoken with it.
    pub api: ApiVersion,
    /// The newest version it offers.
    pub newest: ApiVersion,
    /// Whether it is Podman behind Docker's API.
    pub podman: bool,
    /// The builder to use with it.
    pub builder: Builder,
    /// `linux` or `windows`, when told.
    pub os_type: Option<String>,
}

impl Engine {
    /// Reads the headers of a ping. All but `Api-Version` are optional.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(newest) = text("Api-Version") else {
            return Err(Error::head("no Api-Version header in the answer to /_ping: is this a Docker engine?"));
        };
        let newest = newest.trim().parse().map_err(|_| Error::head(format!("Api-Version is {newest:?}")))?;
        Ok(Self {
            api: ApiVersion::agree(newest)?,
            newest,
            podman: headers.contains_key("Libpod-API-Version"),
            builder: builder(headers),
            os_type: text("Ostype").map(str::to_owned),
        })
    }
}

/// The builder of an engine. From 23.0 on it says which one (`2` is BuildKit, `1` where an administrator has switched that
/// off, and on Windows). 20.10 says nothing and has both. Podman says nothing, or an empty word, and has the classic one.
fn builder(headers: &HeaderMap) -> Builder {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("Builder-Version") {
        "2" => Builder::BuildKit,
        "" if text("Server").starts_with("Docker/") && text("Ostype") == "linux" => Builder::BuildKit,
        _ => Builder::Classic,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ping(version: &'static str) -> Result<Engine> {
        let mut headers = HeaderMap::new();
        headers.insert("api-version", http::HeaderValue::from_static(version));
        Engine::from_headers(&headers)
    }

    #[test]
    fn the_smaller_of_both_is_spoken() {
        assert_eq!(ping("1.41").unwrap().api, ApiVersion::new(1, 41));
        assert_eq!(ping("1.44").unwrap().api, ApiVersion::new(1, 44));
        assert_eq!(ping("1.56").unwrap().api, ApiVersion::NEWEST);
        assert_eq!(ping("2.0").unwrap().api, ApiVersion::NEWEST);
    }

    #[test]
    fn an_old_engine_is_refused_in_plain_words() {
        let error = ping("1.40").unwrap_err();
        assert!(error.to_string().contains("upgrade it to Docker 20.10 or newer"), "{error}");
        assert_eq!(ping("1.9").unwrap_err().code(), "docker.unsupported_version");
    }

    #[test]
    fn the_builder_is_buildkit_where_the_engine_has_it() {
        let builder_of = |headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
            builder(&headers.collect())
        };
        let docker = [("server", "Docker/20.10.24 (linux)"), ("ostype", "linux")];
        assert_eq!(builder_of(&docker), Builder::BuildKit);
        assert_eq!(builder_of(&[docker[0], docker[1], ("builder-version", "2")]), Builder::BuildKit);
        assert_eq!(builder_of(&[docker[0], docker[1], ("builder-version", "1")]), Builder::Classic);
        assert_eq!(builder_of(&[docker[0], ("ostype", "windows")]), Builder::Classic);
        let podman = [("server", "Libpod/4.3.1 (linux)"), ("ostype", "linux"), ("builder-version", "")];
        assert_eq!(builder_of(&podman), Builder::Classic);
        assert_eq!(builder_of(&[]), Builder::Classic);
    }

    #[test]
    fn nonsense_is_not_a_version() {
        for text in ["", "1", "1.", ".1", "1.x", "-1.41", "1.41.0", "1.99999999", "+1.41"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
        assert!(Engine::from_headers(&HeaderMap::new()).is_err());
    }
}
