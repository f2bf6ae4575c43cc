//! An app as the files of another platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParseError;

/// Another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportTarget {
    /// Docker Compose.
    Compose,
    /// Kubernetes.
    Kubernetes,
    /// Amazon ECS on Fargate.
    Ecs,
    /// Google Cloud Run.
    CloudRun,
    /// Vercel.
    Vercel,
    /// Railway.
    Railway,
    /// Render.
    Render,
}

impl ExportTarget {
    /// All of them.
    pub const ALL: [ExportTarget; 7] = [
        ExportTarget::Compose,
        ExportTarget::Kubernetes,
        ExportTarget::Ecs,
        ExportTarget::CloudRun,
        ExportTarget::Vercel,
        ExportTarget::Railway,
        ExportTarget::Render,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportTarget::Compose => "compose",
            ExportTarget::Kubernetes => "kubernetes",
            ExportTarget::Ecs => "ecs",
            ExportTarget::CloudRun => "cloudrun",
            ExportTarget::Vercel => "vercel",
            ExportTarget::Railway => "railway",
            ExportTarget::Render => "render",
        }
    }
}

impl std::fmt::Display for ExportTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ExportTarget {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        ExportTarget::ALL.into_iter().find(|target| target.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = ExportTarget::ALL.iter().map(|target| target.as_str()).collect();
            let hint = format!("there are {}", known.join(", "));
            ParseError::new("export target", format!("`{text}` is no platform that sh0 exports to"), hint)
        })
    }
}

/// An app as the files of another platform. Values of secrets are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// The platform.
    pub target: ExportTarget,
    /// The files: those of the platform first, then what the image is built from.
    pub files: Vec<ExportFile>,
    /// What the platform cannot carry, and what is left to do by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Export {
    /// The text of the file with this path.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.contents.as_str())
    }
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportFile {
    /// Where it belongs, below the folder of the app.
    pub path: String,
    /// Its text.
    pub contents: String,
}

impl ExportFile {
    /// Whether the image is built from it: no file of the platform's own.
    pub fn is_build(&self) -> bool {
        matches!(self.path.as_str(), "Dockerfile" | ".dockerignore")
    }
}
