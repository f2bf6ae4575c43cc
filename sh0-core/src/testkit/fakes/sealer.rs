use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Sealed, Secret};
use crate::traits::Sealer;
use crate::{Error, Result};

/// Hides nothing from an attacker, but what it seals is nowhere in clear text, and opens only in its own row.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainSealer;

/// Nothing is sealed twice the same way.
static SEALED: AtomicU64 = AtomicU64::new(0);

impl Sealer for PlainSealer {
    fn seal(&self, row: &str, secret: &Secret) -> Result<Sealed> {
        let hex: String = secret.expose().bytes().map(|byte| format!("{byte:02x}")).collect();
        let nonce = SEALED.fetch_add(1, Ordering::Relaxed);
        Ok(Sealed::new(format!("{row}|{nonce}|{hex}")))
    }

    fn open(&self, row: &str, sealed: &Sealed) -> Result<Secret> {
        let wrong = || Error::internal(format!("the sealed value does not belong to the row `{row}`"));
        let (place, hex) = sealed.as_str().rsplit_once('|').ok_or_else(wrong)?;
        let (place, _) = place.rsplit_once('|').ok_or_else(wrong)?;
        if place != row || hex.len() % 2 != 0 {
            return Err(wrong());
        }
        let digits = hex.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes = digits.collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
        String::from_utf8(bytes).map(Secret::new).map_err(|_| wrong())
    }
}
