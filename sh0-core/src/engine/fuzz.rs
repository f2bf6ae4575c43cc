//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use std::collections::BTreeMap;

use crate::Result;
use crate::model::{EnvKey, Secret};

/// The text of a `.env` file.
pub fn dotenv(text: &str) -> Result<BTreeMap<EnvKey, Secret>> {
    super::dotenv::parse(text)
}
