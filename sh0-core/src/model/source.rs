//! Where code or an image comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AbsPath, GitRef, GitUrl, ImageRef, ParseError, RelPath, UploadId};

/// Where the code or the image of an app comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A folder on the machine of the platform; only local callers may name one.
    Folder {
        /// The folder.
        path: AbsPath,
    },
    /// A git repository.
    Git {
        /// Its address.
        url: GitUrl,
        /// Branch, tag or commit; the default branch when absent.
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<GitRef>,
        /// The folder of the app within the repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<RelPath>,
    },
    /// A container image from a registry.
    Image {
        /// The image.
        image: ImageRef,
    },
    /// An archive that was uploaded with `sources.upload`.
    Upload {
        /// The id that the upload answered.
        upload: UploadId,
    },
}

impl Source {
    /// A repository as a person writes it: its address, and a branch, tag or commit behind `#`.
    pub fn git(text: &str) -> Result<Source, ParseError> {
        let (url, reference) = match text.split_once('#') {
            Some((url, reference)) => (url, Some(reference.parse()?)),
            None => (text, None),
        };
        Ok(Source::Git { url: url.parse()?, reference, root: None })
    }
}

/// What exactly was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// A commit, an image digest, or the content hash of a folder.
    pub id: String,
    /// The first line of the commit message, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A source archive that the platform holds until a deployment has used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// Name it in a `upload` source.
    pub id: UploadId,
    /// Its size in bytes.
    pub size: u64,
}
