//! How a process of this machine proves that it may drive another: it shows a random key from a file that the platform's
//! user alone can read. The user id of a socket's other end does not prove that much, because where sh0 is not root its
//! apps are processes of the same user; what keeps them from the file is their sandbox.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Secret, wire};
use crate::{Error, Result};

/// Bytes of randomness.
const BYTES: usize = 16;

/// A random key that is shown over a local socket.
///
/// ```
/// use sh0_core::LocalKey;
///
/// let folder = std::env::temp_dir().join(format!("sh0-local-key-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// let socket = folder.join("api.sock");
/// let key = LocalKey::open_or_create(&socket)?;
/// let shown = LocalKey::read(&socket)?.expect("it was made");
/// assert!(key.is(shown.expose()) && !key.is("a guess"));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), sh0_core::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalKey(#[serde(with = "wire")] Secret);

impl LocalKey {
    /// A new one.
    pub fn generate() -> io::Result<LocalKey> {
        let mut bytes = [0; BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(LocalKey(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
    }

    /// The file with the key of a socket: beside it, `.key` behind its name.
    pub fn path(socket: &Path) -> PathBuf {
        let mut name = socket.as_os_str().to_owned();
        name.push(".key");
        name.into()
    }

    /// The key of a socket, for the side that listens. It is kept from one start to the next, so that whoever has it need
    /// not ask again; one that others could have read is replaced.
    pub fn open_or_create(socket: &Path) -> Result<LocalKey> {
        let path = LocalKey::path(socket);
        let failed =
            |error: io::Error| Error::from(error).context(format!("the key {} cannot be made", path.display()));
        let private =
            fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 == 0);
        if let Some(key) = LocalKey::read(socket)?.filter(|_| private) {
            return Ok(key);
        }
        let key = LocalKey::generate().map_err(failed)?;
        let new = path.with_extension(format!("key.{}", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(key.expose().as_bytes())?;
            fs::rename(&new, &path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&new))).map_err(failed)?;
        Ok(key)
    }

    /// The key of a socket, for the side that connects. `None` where there is none, or nothing that could be one.
    pub fn read(socket: &Path) -> Result<Option<LocalKey>> {
        let path = LocalKey::path(socket);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim()).filter(|text| is_key(text)).map(|text| LocalKey(Secret::new(text)))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(Error::from(error).context(format!("the key {} cannot be read", path.display()))),
        }
    }

    /// Whether this is what was shown. Takes the same time wherever the two differ.
    pub fn is(&self, shown: &str) -> bool {
        let (own, shown) = (self.expose().as_bytes(), shown.as_bytes());
        let differ = own.iter().zip(shown).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
        own.len() == shown.len() && differ == 0
    }

    /// The key itself: call it only where it is shown.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn is_key(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_kept_while_it_is_private() {
        let dir = std::env::temp_dir().join(format!("sh0-key-test-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("a.sock");
        assert!(LocalKey::read(&socket).unwrap().is_none());
        let first = LocalKey::open_or_create(&socket).unwrap();
        let path = LocalKey::path(&socket);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((path.clone(), mode()), (dir.join("a.sock.key"), 0o600));
        assert!(LocalKey::open_or_create(&socket).unwrap().is(first.expose()), "kept");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = LocalKey::open_or_create(&socket).unwrap();
        assert!(!second.is(first.expose()) && mode() == 0o600, "others could have read it");
        fs::write(&path, "").unwrap();
        assert!(LocalKey::read(&socket).unwrap().is_none());
        assert!(!LocalKey::open_or_create(&socket).unwrap().is(second.expose()), "a broken file is replaced");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no other file is left");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_the_whole_key_is_the_key() {
        let key = LocalKey::generate().unwrap();
        let text = key.expose();
        assert!(key.is(text));
        let last = if text.ends_with('0') { "1" } else { "0" };
        for wrong in ["", &text[1..], &format!("{text}0"), &format!("{}{last}", &text[..31])] {
            assert!(!key.is(wrong));
        }
    }
}
