use async_trait::async_trait;

use crate::Result;
use crate::model::{Sealed, Secret};

/// Encrypts what lies in the store.
///
/// `row` names the place, such as `env/<app>/<key>`: it is bound to the text as associated data, so a sealed value that
/// is copied to another row does not open.
#[async_trait]
pub trait Sealer: Send + Sync {
    /// Encrypts.
    fn seal(&self, row: &str, secret: &Secret) -> Result<Sealed>;

    /// Decrypts. [`Code::Internal`](crate::Code::Internal) when key, row or text do not belong together.
    fn open(&self, row: &str, sealed: &Sealed) -> Result<Secret>;
}
