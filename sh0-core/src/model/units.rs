//! Quantities with their unit in the type and in the schema.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParseError;

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

impl FromStr for Millis {
    type Err = ParseError;

    /// As a person writes it: `500ms`, `30s`, `1m30s`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let hint = "write a number with its unit, such as 500ms, 30s or 1m30s";
        let span: jiff::SignedDuration =
            text.parse().map_err(|_| ParseError::new("span of time", "is not one", hint))?;
        let millis = u64::try_from(span.as_millis());
        millis.map(Millis).map_err(|_| ParseError::new("span of time", "is negative or too long", hint))
    }
}

impl FromStr for Bytes {
    type Err = ParseError;

    /// As a person writes it: `1048576`, `512M`, `2GiB`; units are powers of 1024.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("size", "is not one", "write a number, with K, M or G behind it, such as 512M");
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
            "" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            _ => return Err(fail()),
        };
        let count: u64 = digits.trim_end().parse().map_err(|_| fail())?;
        count.checked_mul(1 << shift).map(Bytes).ok_or_else(fail)
    }
}

impl FromStr for MilliCpus {
    type Err = ParseError;

    /// As a person writes it: `2`, `0.5`, `500m`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("CPU amount", "is not one", "write a number of cores, such as 0.5 or 2");
        if let Some(millis) = text.strip_suffix('m') {
            return millis.parse().map(MilliCpus).map_err(|_| fail());
        }
        let cores: f64 = text.parse().map_err(|_| fail())?;
        let millis = (cores * 1000.0).round();
        if (0.0..=f64::from(u32::MAX)).contains(&millis) { Ok(MilliCpus(millis as u32)) } else { Err(fail()) }
    }
}

impl fmt::Display for Bytes {
    /// For a person: `1.5 MiB`, rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        let mut size = self.0 as f64;
        let mut unit = "B";
        for larger in units {
            if size < 1024.0 {
                break;
            }
            (size, unit) = (size / 1024.0, larger);
        }
        if unit == "B" { write!(f, "{size} B") } else { write!(f, "{size:.1} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_as_people_write_them() {
        let millis = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("30", None),
            ("-1s", None),
            ("", None),
        ];
        for (text, expected) in millis {
            assert_eq!(text.parse::<Millis>().ok(), expected.map(Millis), "{text}");
        }
        let bytes = [
            ("17", Some(17)),
            ("512M", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("1 kb", Some(1024)),
            ("1T", None),
            ("M", None),
            ("-1", None),
            ("99999999999999999G", None),
        ];
        for (text, expected) in bytes {
            assert_eq!(text.parse::<Bytes>().ok(), expected.map(Bytes), "{text}");
        }
        for (text, expected) in
            [("2", Some(2000)), ("0.5", Some(500)), ("250m", Some(250)), ("-1", None), ("NaN", None), ("x", None)]
        {
            assert_eq!(text.parse::<MilliCpus>().ok(), expected.map(MilliCpus), "{text}");
        }
    }
}
