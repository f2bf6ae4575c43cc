//! Texts that become types.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use sh0::Target;
use sh0_core::engine::fuzz;
use sh0_core::model::{
    AbsPath, AppId, AppName, AppRef, Bytes, EnvKey, GitRef, GitUrl, HostName, ImageRef, InstanceName, MilliCpus,
    Millis, ProjectRef, RelPath, UrlPath,
};
use sh0_docker::client::{ApiVersion, Endpoint};

/// What is printed parses to the same; what has a dangerous meaning is no name.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for name in [
        same::<AppName>(text),
        same::<EnvKey>(text),
        same::<HostName>(text),
        same::<ImageRef>(text),
        same::<InstanceName>(text),
        same::<AppId>(text),
        same::<AppRef>(text),
        same::<ProjectRef>(text),
        same::<GitRef>(text),
        same::<GitUrl>(text),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!name.starts_with('-') && !name.contains(|c: char| c.is_control() || c.is_whitespace()), "{name:?}");
    }
    let paths = [same::<AbsPath>(text), same::<RelPath>(text), same::<UrlPath>(text)];
    for path in paths.into_iter().flatten() {
        assert!(path.split('/').all(|part| part != "..") && !path.contains(char::is_control), "{path:?}");
    }
    if let Some(image) = same::<ImageRef>(text) {
        assert!(image.contains('/') && image.contains([':', '@']), "{image:?} is not complete");
    }
    // These print for people, and rounded.
    let _ = (text.parse::<Bytes>(), text.parse::<MilliCpus>(), text.parse::<Millis>());
    same::<Target>(text);
    same::<ApiVersion>(text);
    let _ = text.parse::<Endpoint>();
}

/// What is printed, when the text is a name.
fn same<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<String> {
    let name: T = text.parse().ok()?;
    let printed = name.to_string();
    assert_eq!(printed.parse::<T>().expect("what is printed parses"), name);
    Some(printed)
}

/// The text of a `.env` file: what was read, written with quotes, is read again; a fault names one of its lines.
pub fn dotenv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match fuzz::dotenv(text) {
        Ok(vars) => {
            let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let written: String =
                vars.iter().map(|(key, value)| format!("{key}=\"{}\"\n", quoted(value.expose()))).collect();
            assert!(fuzz::dotenv(&written).unwrap() == vars, "{written:?}");
        }
        Err(error) => {
            let number = error.fields()[0].reason.split(' ').nth(1).and_then(|number| number.parse::<usize>().ok());
            assert!(number.is_some_and(|line| (1..=text.lines().count()).contains(&line)), "{error}");
        }
    }
}
