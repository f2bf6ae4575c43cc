//! Immutable ids: ULIDs, printed in lower case so that they fit host names and container names.

use std::fmt;
use std::str::FromStr;

use ulid::Ulid;

use super::ParseError;

fn parse_ulid(what: &'static str, text: &str) -> Result<Ulid, ParseError> {
    Ulid::from_str(&text.to_ascii_uppercase())
        .map_err(|_| ParseError::new(what, "is not an id", "ids have 26 letters and digits, as lists print them"))
}

macro_rules! ids {
    ($( $(#[$doc:meta])* $name:ident = $what:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// Wraps a ULID that a [`Clock`](crate::traits::Clock) made.
            pub fn new(ulid: Ulid) -> Self {
                $name(ulid)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_ulid($what, text).map($name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.to_string().to_ascii_lowercase())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{26}$", "description": $what })
            }
        }
    )* };
}

ids! {
    /// Names a platform: the owner of what it labelled. Two platforms on one engine never touch each other's things.
    PlatformId = "platform id";
    /// Names a project.
    ProjectId = "project id";
    /// Names an app for ever, whatever it is called.
    AppId = "app id";
    /// Names a release of an app.
    ReleaseId = "release id";
    /// Names a deployment.
    DeploymentId = "deployment id";
    /// Names a domain of an app.
    DomainId = "domain id";
    /// Names an API token.
    TokenId = "token id";
    /// Names an uploaded source archive.
    UploadId = "upload id";
}
