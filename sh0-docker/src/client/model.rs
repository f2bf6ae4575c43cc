//! What the answers have in common: open words, lenient fields, times.
//!
//! Every field of an answer is optional and every word may be one this client has never heard of: engines and their
//! imitations differ (Podman says `stopped`, writes null for empty lists, a string for a list of one), and a reader
//! that insists would fail on a value it does not even need.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Defines an enum over words that keeps unknown ones in `Other`.
macro_rules! open_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$word_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_meta])* $variant,)+
            /// A word this client does not know.
            Other(String),
        }

        impl $name {
            /// The word as the engine writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from(word.as_ref()))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use open_enum;

/// Whether a call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It did.
    Made,
    /// The object was already in that state (HTTP 304).
    AlreadySo,
}

/// Variables (environment, build arguments) whose values may be secrets: `Debug` shows the names only.
///
/// ```
/// use sh0_docker::client::Vars;
/// let vars = Vars::from([("TOKEN", "s3cret")]);
/// assert_eq!(format!("{vars:?}"), r#"{"TOKEN": ".."}"#);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `NAME=value`, as containers take them.
    pub(crate) fn pairs(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// As an object, as builds take them.
    pub(crate) fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(vars: I) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<N: Into<String>, V: Into<String>, const C: usize> From<[(N, V); C]> for Vars {
    fn from(vars: [(N, V); C]) -> Self {
        vars.into_iter().collect()
    }
}

impl std::fmt::Debug for Vars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, ".."))).finish()
    }
}

/// Reads null like an absent field.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads `["a", "b"]`, `"a"` or null.
pub(crate) fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Many(Vec<String>),
        One(String),
        Other(IgnoredAny),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Many(strings) => strings,
        Form::One(string) => vec![string],
        Form::Other(_) => Vec::new(),
    })
}

/// Reads the keys of an object whose values say nothing (`{"80/tcp": {}}`).
pub(crate) fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let object: Option<BTreeMap<String, IgnoredAny>> = Option::deserialize(deserializer)?;
    Ok(object.unwrap_or_default().into_keys().collect())
}

/// Reads RFC 3339. The year 1 means "never" here; anything unreadable is not worth failing for.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Text(text) => text.parse().ok().filter(|time: &Timestamp| time.as_second() > YEAR_2.as_second()),
        Form::Other(_) => None,
    })
}

/// Year-1 times may come with a zone, so some hours around it count too.
const YEAR_2: Timestamp = Timestamp::constant(-62_104_000_000, 0);

/// A time as queries take it: seconds, a dot, nine digits of nanoseconds.
pub(crate) fn unix_nano(time: Timestamp) -> String {
    let nanos = time.as_nanosecond();
    format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000))
}

/// Filters of list, prune and events calls: each key with its accepted values (API section "Filters").
///
/// ```
/// use sh0_docker::client::Filters;
/// let filters = Filters::new().label("sh0.managed=1").add("status", "running");
/// assert_eq!(filters.to_string(), r#"{"label":["sh0.managed=1"],"status":["running"]}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// No filter: everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts `value` for `key`. Values of one key are alternatives, except for labels, which must all match.
    #[must_use]
    pub fn add(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.entry(key.into()).or_default().push(value.into());
        self
    }

    /// Objects with this label: `key`, or `key=value` exactly.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        self.add("label", label)
    }

    /// Whether nothing is filtered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_label(&self) -> bool {
        self.0.get("label").is_some_and(|labels| labels.iter().any(|label| !label.is_empty()))
    }

    /// The query value; none when empty.
    pub(crate) fn query(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_string())
    }
}

/// The JSON that the API takes.
impl std::fmt::Display for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| std::fmt::Error)?)
    }
}

/// What a prune removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Ids or names of what is gone.
    pub removed: Vec<String>,
    /// Bytes freed on the engine's disk, when told.
    pub freed_bytes: Option<u64>,
}

/// A network protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A container's port, written `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// Port number inside the container.
    pub number: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl Port {
    /// A TCP port.
    #[must_use]
    pub fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp }
    }

    /// A UDP port.
    #[must_use]
    pub fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp }
    }

    /// Reads `80/tcp` or `80`; other protocols are of no use here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = number.parse().ok()?;
        match protocol {
            "tcp" => Some(Self::tcp(number)),
            "udp" => Some(Self::udp(number)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::inspect::Status;
    use super::*;

    #[test]
    fn an_unknown_word_is_kept() {
        let word: Status = serde_json::from_str(r#""thaw\u0069ng""#).unwrap();
        assert_eq!(word, Status::Other("thawing".into()));
        assert_eq!(serde_json::to_string(&word).unwrap(), r#""thawing""#);
        assert_eq!(Status::from("running"), Status::Running);
    }

    #[derive(Deserialize)]
    struct Lenient {
        #[serde(default, deserialize_with = "strings")]
        list: Vec<String>,
        #[serde(default, deserialize_with = "time")]
        at: Option<Timestamp>,
        #[serde(default, deserialize_with = "or_default")]
        labels: Labels,
    }

    #[test]
    fn lists_and_times_are_read_leniently() {
        let read = |text: &str| serde_json::from_str::<Lenient>(text).unwrap();
        assert_eq!(read(r#"{"list":"sh"}"#).list, ["sh"]);
        assert_eq!(read(r#"{"list":["a","b"]}"#).list, ["a", "b"]);
        assert!(read(r#"{"list":null,"labels":null,"at":null}"#).list.is_empty());
        assert!(read("{}").labels.is_empty());
        assert_eq!(read(r#"{"at":"0001-01-01T00:00:00Z"}"#).at, None);
        assert_eq!(read(r#"{"at":""}"#).at, None);
        assert_eq!(read(r#"{"at":12}"#).at, None);
        assert_eq!(read(r#"{"at":"2026-01-02T03:04:05.678901234+02:00"}"#).at.unwrap().as_second(), 1_767_315_845);
    }

    #[test]
    fn query_times_keep_their_nanoseconds() {
        assert_eq!(unix_nano("1970-01-01T00:00:01.5Z".parse().unwrap()), "1.500000000");
        assert_eq!(unix_nano("2026-01-02T01:04:05.000000007Z".parse().unwrap()), "1767315845.000000007");
    }

    #[test]
    fn ports_have_one_notation() {
        assert_eq!(Port::parse("80/tcp"), Some(Port::tcp(80)));
        assert_eq!(Port::parse("53/udp").unwrap().to_string(), "53/udp");
        assert_eq!(Port::parse("70000/tcp"), None);
    }
}
