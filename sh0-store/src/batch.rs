//! What every backend refuses in the same words.

use std::fmt::Display;

use serde_json::Value;
use sh0_core::traits::{Batch, Check, Kind};
use sh0_core::{Error, Result};

/// `serde_json` reads no deeper than 128 levels; a body beyond that could be written and never be read again.
const MAX_DEPTH: usize = 120;

/// Refuses what could be stored and not be read back.
pub(crate) fn readable(batch: &Batch) -> Result<()> {
    let bodies = batch.puts.iter().map(|put| &put.body).chain(batch.appends.iter().map(|append| &append.body));
    match bodies.into_iter().all(|body| no_deeper(body, MAX_DEPTH)) {
        true => Ok(()),
        false => Err(Error::invalid(
            "body",
            format!("is nested deeper than {MAX_DEPTH} levels"),
            "flatten it: deeper documents cannot be read back",
        )),
    }
}

fn no_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| no_deeper(item, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|member| no_deeper(member, levels - 1)),
        _ => true,
    }
}

/// Whether a batch of `epoch` may still write.
pub(crate) fn fence(epoch: u64, current: u64) -> Result<()> {
    match epoch == 0 || epoch == current {
        true => Ok(()),
        false => Err(Error::conflict(format!(
            "another writer took this store over (epoch {current}, this one has {epoch}): stop this process; the other \
             one does the work now"
        ))),
    }
}

/// Whether a record is where the check expects it.
pub(crate) fn hold(check: &Check, actual: Option<u64>) -> Result<()> {
    let Check { kind, id, revision } = check;
    match (*revision, actual) {
        (expected, actual) if expected == actual => Ok(()),
        (None, Some(_)) => Err(Error::conflict(format!("the {kind} `{id}` exists already: read it and decide again"))),
        (Some(_), None) => Err(Error::conflict(format!("the {kind} `{id}` was removed meanwhile"))),
        (Some(expected), Some(actual)) => Err(Error::conflict(format!(
            "the {kind} `{id}` was changed meanwhile (revision {actual}, not {expected}): read it and try again"
        ))),
        (None, None) => Ok(()),
    }
}

/// The error for a unique key that another record holds.
pub(crate) fn taken(kind: Kind, key: &str, holder: impl Display) -> Error {
    Error::conflict(format!(
        "`{key}` is taken by another {kind} (id {holder}): choose another, or remove that one first"
    ))
}
