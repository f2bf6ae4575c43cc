//! How a person names a project or an app: by id, by name, or by `project/name`.

use std::fmt;
use std::str::FromStr;

use super::{AppId, AppName, ParseError, ProjectId, ProjectName};

/// A project by id or by name; the default project when left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProjectRef {
    /// By its immutable id.
    Id(ProjectId),
    /// By its present name.
    Name(ProjectName),
}

impl FromStr for ProjectRef {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.parse() {
            Ok(id) => Ok(ProjectRef::Id(id)),
            Err(_) => text.parse().map(ProjectRef::Name),
        }
    }
}

impl fmt::Display for ProjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProjectRef::Id(id) => id.fmt(f),
            ProjectRef::Name(name) => name.fmt(f),
        }
    }
}

impl Default for ProjectRef {
    fn default() -> Self {
        ProjectRef::Name(ProjectName::default())
    }
}

/// An app by id, by `project/name`, or by `name` in the default project.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AppRef {
    /// By its immutable id.
    Id(AppId),
    /// By its present name within a project.
    Name(ProjectRef, AppName),
}

impl FromStr for AppRef {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some((project, app)) = text.split_once('/') {
            // `-` stands for "whichever project": a path of the REST API has a place for it even where an id is enough.
            return match app.parse::<AppId>() {
                Ok(id) => Ok(AppRef::Id(id)),
                Err(_) => Ok(AppRef::Name(project.parse()?, app.parse()?)),
            };
        }
        match text.parse() {
            Ok(id) => Ok(AppRef::Id(id)),
            Err(_) => Ok(AppRef::Name(ProjectRef::default(), text.parse()?)),
        }
    }
}

impl fmt::Display for AppRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppRef::Id(id) => id.fmt(f),
            AppRef::Name(project, name) if *project == ProjectRef::default() => name.fmt(f),
            AppRef::Name(project, name) => write!(f, "{project}/{name}"),
        }
    }
}

impl From<AppName> for AppRef {
    fn from(name: AppName) -> Self {
        AppRef::Name(ProjectRef::default(), name)
    }
}

impl From<AppId> for AppRef {
    fn from(id: AppId) -> Self {
        AppRef::Id(id)
    }
}

macro_rules! reference {
    ($name:ident, $description:literal, $pattern:literal) => {
        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(reference: $name) -> String {
                reference.to_string()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "maxLength": 127, "pattern": $pattern, "description": $description })
            }
        }
    };
}

reference!(ProjectRef, "a project: its id or its name", "^[a-z0-9-]+$");
reference!(AppRef, "an app: its id, `project/name`, or `name` in the default project", "^[a-z0-9-]+(/[a-z0-9-]+)?$");
