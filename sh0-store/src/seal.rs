//! Secrets at rest: XChaCha20-Poly1305 under a key in a file of its own, bound to the row that holds them.
//!
//! ```
//! use sh0_core::model::Secret;
//! use sh0_core::traits::Sealer;
//! use sh0_store::seal::KeyFileSealer;
//!
//! # let temp = tempfile::tempdir()?;
//! # let path = temp.path().join("key");
//! let sealer = KeyFileSealer::open_or_create(&path, true)?;
//! let sealed = sealer.seal("env/01hq/TOKEN", &Secret::new("hunter2"))?;
//! assert_eq!(sealer.open("env/01hq/TOKEN", &sealed)?.expose(), "hunter2");
//! assert!(sealer.open("env/01hq/OTHER", &sealed).is_err());
//! # Ok::<(), sh0_core::Error>(())
//! ```
//!
//! A sealed value is base64 of `version (1 byte) | key id (8) | nonce (24) | ciphertext and tag`. The associated data is
//! `sh0/v1|` and the row. 192-bit nonces are random: they do not repeat in practice
//! (draft-irtf-cfrg-xchacha-03, section 2.1), so no counter has to survive a restored backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, Generate, Key, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sh0_core::model::{Sealed, Secret};
use sh0_core::traits::Sealer;
use sh0_core::{Code, Error, Result};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What a key file begins with: a person who finds it knows what it is.
const PREFIX: &str = "sh0-key-1:";

/// A [`Sealer`] whose key lies in a file.
pub struct KeyFileSealer {
    // Wipes its key when dropped (feature `zeroize`).
    cipher: XChaCha20Poly1305,
    /// What other keys are made of.
    root: SecretKey,
    id: [u8; ID_BYTES],
    path: PathBuf,
}

impl KeyFileSealer {
    /// Reads the key, or makes one (mode 0600) when the file is not there and `may_create` says so.
    ///
    /// Say so only while the store is empty: a new key does not open what an old one sealed, and would hide its loss.
    pub fn open_or_create(path: impl Into<PathBuf>, may_create: bool) -> Result<KeyFileSealer> {
        let path = path.into();
        let key = match read_key(&path)? {
            Some(key) => key,
            None if may_create => create_key(&path)?,
            None => {
                return Err(Error::internal(format!(
                    "the key file {} is missing, and the store holds secrets that only this key opens: restore it from \
                     the recovery copy or a backup. sh0 makes no new one, because that would not open them",
                    path.display()
                )));
            }
        };
        let cipher = XChaCha20Poly1305::new_from_slice(&*key).map_err(|_| damaged(&path))?;
        Ok(KeyFileSealer { cipher, root: digest(b"derived", &key), id: key_id(&key), path })
    }

    /// A short name of the key that reveals nothing of it: the same key has the same name everywhere.
    pub fn key_id(&self) -> String {
        hex(&self.id)
    }

    /// A key for something else, the same each time: it says nothing of the one in the file, nor of those for other purposes.
    pub fn derived(&self, purpose: &str) -> Secret {
        let key = digest(purpose.as_bytes(), &self.root);
        Secret::new(hex(&*key))
    }

    fn refuse(&self, row: &str, why: &str) -> Error {
        Error::internal(format!("the secret in `{row}` does not open with the key {}: {why}", self.path.display()))
    }
}

impl std::fmt::Debug for KeyFileSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFileSealer")
            .field("path", &self.path)
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

impl Sealer for KeyFileSealer {
    fn seal(&self, row: &str, secret: &Secret) -> Result<Sealed> {
        let nonce = XNonce::try_generate().map_err(no_randomness)?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &associated(row) };
        let text = self.cipher.encrypt(&nonce, payload).map_err(|_| {
            Error::new(Code::TooLarge, format!("the secret for `{row}` is too large to seal: make it shorter"))
        })?;
        let mut blob = Vec::with_capacity(1 + ID_BYTES + NONCE_BYTES + text.len());
        blob.push(VERSION);
        blob.extend_from_slice(&self.id);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&text);
        Ok(Sealed::new(BASE64.encode(blob)))
    }

    fn open(&self, row: &str, sealed: &Sealed) -> Result<Secret> {
        let damaged = || self.refuse(row, "the stored text is damaged; set the secret again, or restore a backup");
        let blob = BASE64.decode(sealed.as_str()).map_err(|_| damaged())?;
        let (version, rest) = blob.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(self.refuse(row, "it was sealed by a newer sh0; install that version again"));
        }
        let (id, rest) = rest.split_at_checked(ID_BYTES).ok_or_else(damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        if text.len() < TAG_BYTES {
            return Err(damaged());
        }
        if id != self.id {
            let why =
                format!("it needs key {}, and this is key {}; restore the right key file", hex(id), self.key_id());
            return Err(self.refuse(row, &why));
        }
        let nonce = XNonce::try_from(nonce).map_err(|_| damaged())?;
        let payload = Payload { msg: text, aad: &associated(row) };
        let plain = self.cipher.decrypt(&nonce, payload).map_err(|_| {
            self.refuse(
                row,
                "it was changed, or moved here from another row; set the secret again, or restore a backup",
            )
        })?;
        String::from_utf8(plain).map(Secret::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            damaged()
        })
    }
}

fn associated(row: &str) -> Vec<u8> {
    format!("sh0/v1|{row}").into_bytes()
}

fn key_id(key: &[u8; KEY_BYTES]) -> [u8; ID_BYTES] {
    let digest = Sha256::new().chain_update(b"sh0/v1|key id|").chain_update(key).finalize();
    std::array::from_fn(|n| digest[n])
}

/// Of a key, for one purpose (SHA-256 of a label and a key of one length).
fn digest(purpose: &[u8], key: &[u8; KEY_BYTES]) -> SecretKey {
    let digest = Sha256::new().chain_update(b"sh0/v1|").chain_update(purpose).chain_update(b"|").chain_update(key);
    Zeroizing::new(digest.finalize().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type SecretKey = Zeroizing<[u8; KEY_BYTES]>;

fn read_key(path: &Path) -> Result<Option<SecretKey>> {
    let unreadable = |error: io::Error| {
        let next = "run sh0 as the owner of its data directory, or restore the key file";
        Error::internal(format!("the key file {} cannot be read ({error}): {next}", path.display())).with_source(error)
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Error::internal(format!(
            "others may read the key file {path} (mode {:03o}): run `chmod 600 {path}`, and change the secrets if others \
             were on this machine",
            mode & 0o777
        )));
    }
    // With room to spare, so that the buffer never moves and leaves a copy of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(256));
    (&file).take(200).read_to_string(&mut text).map_err(unreadable)?;
    let coded = text.trim_end().strip_prefix(PREFIX).ok_or_else(|| damaged(path))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    BASE64.decode_vec(coded, &mut bytes).map_err(|_| damaged(path))?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| damaged(path))?;
    Ok(Some(Zeroizing::new(key)))
}

/// Makes a key that is on the disk, whole, before anything is sealed with it; never in the place of another.
fn create_key(path: &Path) -> Result<SecretKey> {
    let generated = Key::<XChaCha20Poly1305>::try_generate().map_err(no_randomness)?;
    let key: SecretKey = Zeroizing::new(generated.into());
    let coded = Zeroizing::new(BASE64.encode(*key));
    let text = Zeroizing::new(format!("{PREFIX}{}\n", *coded));
    let half = path.with_extension("new");
    let written = || -> io::Result<()> {
        match fs::remove_file(&half) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a link never replaces a file that is there.
        fs::hard_link(&half, path)?;
        fs::remove_file(&half)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    written().map_err(|error| Error::from(error).context(format_args!("creating the key file {}", path.display())))?;
    Ok(key)
}

fn damaged(path: &Path) -> Error {
    let path = path.display();
    Error::internal(format!("the key file {path} is damaged: restore it from the recovery copy or a backup"))
}

fn no_randomness(error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("the operating system gives no random bytes ({error}): try again"))
}
