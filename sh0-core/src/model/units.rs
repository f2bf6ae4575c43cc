//! Quantities with their unit in the type and in the schema.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Millis(#[schemars(range(max = 86_400_000u64), extend("description" = "milliseconds"))] pub u64);

impl Millis {
    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Millis(seconds * 1000)
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Duration {
        Duration::from_millis(millis.0)
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Bytes(#[schemars(extend("description" = "bytes"))] pub u64);

impl Bytes {
    /// From binary megabytes (2^20).
    pub const fn from_mib(mib: u64) -> Self {
        Bytes(mib * 1024 * 1024)
    }
}

/// An amount of CPU in thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct MilliCpus(
    #[schemars(range(min = 10u32, max = 1_024_000u32), extend("description" = "thousandths of a CPU core"))] pub u32,
);
