//! Values that must not be seen by accident.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that is never printed: no `Display`, no `Serialize`, and `Debug` shows only that it is there.
///
/// It leaves the process through [`wire`] alone: find every place with `grep -rn 'wire::'`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself: call it only where the value is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 131_072, "format": "password", "writeOnly": true, "description": "a secret value, stored encrypted" })
    }
}

/// The only response type that holds a secret: the caller asked to see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Revealed(
    #[serde(with = "wire")]
    #[schemars(with = "String")]
    Secret,
);

impl Revealed {
    /// Shows a secret to somebody who may see it.
    pub fn new(secret: Secret) -> Self {
        Revealed(secret)
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The wire codec of secrets: the only code that writes one.
pub mod wire {
    use super::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the value.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the value.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Secret::deserialize(deserializer)
    }

    /// The same for a map of secrets.
    pub mod map {
        use std::collections::BTreeMap;

        use super::Secret;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        /// Writes the values.
        pub fn serialize<K: Serialize, S: Serializer>(
            secrets: &BTreeMap<K, Secret>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_map(secrets.iter().map(|(key, secret)| (key, secret.expose())))
        }

        /// Reads the values.
        pub fn deserialize<'de, K: Deserialize<'de> + Ord, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<BTreeMap<K, Secret>, D::Error> {
            BTreeMap::deserialize(deserializer)
        }
    }
}

/// A secret as it lies in the store: sealed to the row that holds it, useless anywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Wraps what a [`Sealer`](crate::traits::Sealer) made.
    pub fn new(text: impl Into<String>) -> Self {
        Sealed(text.into())
    }

    /// The sealed text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
