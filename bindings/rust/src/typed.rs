//! What a person types for the fields of an operation: forms that are handy at a keyboard, beside those of the API.
//!
//! ```
//! use sh0::ops::fields::Kind;
//! use sh0::typed;
//!
//! assert_eq!(typed::read(&Kind::Number, "v3").unwrap(), 3, "a release as people call it");
//! assert!(typed::read(&Kind::Time, "10m").unwrap().is_string(), "ten minutes ago");
//! assert_eq!(typed::json("{\"app\": \"web\"}").unwrap()["app"], "web");
//! ```

use serde_json::Value;
use sh0_core::ParseError;
use sh0_core::model::Timestamp;
use sh0_core::ops::fields::{Field, Kind};

/// The value that a text stands for; an empty one takes away what is there. A secret is the content of a file, or of
/// standard input for `-`: other users can see arguments. The error is in words.
pub fn read(kind: &Kind, text: &str) -> Result<Value, String> {
    let words = |error: ParseError| format!("it {}: {}", error.reason(), error.hint());
    match kind {
        Kind::List | Kind::Texts | Kind::Numbers => kind.read(text).map_err(words),
        _ if text.is_empty() => Ok(Value::Null),
        Kind::Secret => content(text).map(Value::from),
        Kind::Number => kind.read(text.trim_start_matches('v')).map_err(words),
        Kind::Time => {
            let ago = text.parse::<jiff::SignedDuration>().ok();
            let then = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok());
            then.map_or_else(|| kind.read(text).map_err(words), |then| Ok(then.to_string().into()))
        }
        kind => kind.read(text).map_err(words),
    }
}

/// JSON as it is, from `@FILE`, or from standard input for `-`.
pub fn json(text: &str) -> Result<Value, String> {
    let path = if text == "-" { Some(text) } else { text.strip_prefix('@') };
    let text = path.map_or(Ok(text.to_owned()), content)?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// What an option for this field is called: the path to it, without the steps that say nothing.
pub fn option(field: &Field) -> String {
    let path = field.path.iter().filter(|name| !["settings", "resources"].contains(name));
    path.map(|name| if *name == "contains" { "grep" } else { name }).collect::<Vec<_>>().join("-").replace('_', "-")
}

fn content(path: &str) -> Result<String, String> {
    let text = if path == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| error.to_string())
}
