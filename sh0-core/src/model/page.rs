//! Lists that end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a list, and where to go on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The items, in a stable order.
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits in one page.
    pub fn whole(items: Vec<T>) -> Self {
        Page { items, next_cursor: None }
    }
}
