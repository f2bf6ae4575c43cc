//! Files in and out of containers, as tar streams.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Client,
    body::{ByteStream, upload},
    containers::container_path,
    error::{Error, Result},
    model::{or_default, time},
    request::Call,
    transport::whole,
};

/// A file in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PathStat {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    #[serde(deserialize_with = "or_default")]
    pub size: Option<u64>,
    /// Type and permissions as Go has them: the low nine bits are the permissions, see [`PathStat::is_dir`].
    #[serde(deserialize_with = "or_default")]
    pub mode: u32,
    /// When it was changed.
    #[serde(rename = "mtime", deserialize_with = "time")]
    pub modified: Option<Timestamp>,
    /// Where it points, for a symbolic link; empty otherwise.
    #[serde(rename = "linkTarget", deserialize_with = "or_default")]
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a directory. The bit is Go's `fs.ModeDir`, not the kernel's.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    /// Whether it is a symbolic link (`fs.ModeSymlink`).
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & (1 << 27) != 0
    }

    /// Permission bits.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.mode & 0o777
    }

    fn from_headers(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get("X-Docker-Container-Path-Stat") else {
            return Err(Error::head("no X-Docker-Container-Path-Stat header"));
        };
        let json = STANDARD.decode(value).map_err(|error| Error::head(format!("path stat: {error}")))?;
        serde_json::from_slice(&json).map_err(Error::json("path stat"))
    }
}

/// How to unpack files into a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutArchive {
    /// Fail rather than replace a directory by a file, or a file by a directory.
    pub keep_kinds: bool,
    /// Take owner and group from the archive as numbers, instead of making root the owner.
    pub keep_owners: bool,
}

impl Client {
    /// Looks at a file in a container, which need not run. API: `HEAD /containers/{id}/archive`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the container or the path.
    pub async fn stat_path(&self, container: &str, path: &str) -> Result<PathStat> {
        let call = Call::new(Method::HEAD, container_path(container, "archive")?).query("path", path);
        match self.transport.call(&call).await {
            Ok(answer) => PathStat::from_headers(&answer.headers),
            // The answer to a HEAD has no text.
            Err(Error::NotFound { .. }) => {
                Err(Error::NotFound { message: format!("no container {container}, or no {path} in it") })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a file or directory as a tar stream, whose first entry is what the path names.
    /// API: `GET /containers/{id}/archive`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the container or the path.
    pub async fn get_archive(&self, container: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let call = Call::get(container_path(container, "archive")?).query("path", path).slow();
        let (response, _) = self.transport.stream(&call, whole(Bytes::new())).await?;
        let stat = PathStat::from_headers(response.headers())?;
        Ok((stat, ByteStream::new(response.into_body())))
    }

    /// Unpacks a tar stream into an existing directory of a container. API: `PUT /containers/{id}/archive`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the container or the path; [`Error::BadRequest`] or, from old engines,
    /// [`Error::Server`] for a path that is no directory, a read-only file system, or an archive that is none;
    /// [`Error::Upload`] when `archive` fails.
    pub async fn put_archive<S>(&self, container: &str, path: &str, options: PutArchive, archive: S) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        // The engine learns only from the first bytes whether the path exists; ask before sending gigabytes.
        self.stat_path(container, path).await?;
        let call = Call::new(Method::PUT, container_path(container, "archive")?)
            .query("path", path)
            .flag("noOverwriteDirNonDir", options.keep_kinds)
            .flag("copyUIDGID", options.keep_owners)
            .header("content-type", HeaderValue::from_static("application/x-tar"));
        self.transport.stream_untimed(&call, upload(archive)).await.map(drop)
    }
}
