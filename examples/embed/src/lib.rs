//! Ten-line programs that embed sh0, in `src/bin`, and the runtime that one of them brings along.
//!
//! | program | what it shows |
//! | --- | --- |
//! | `deploy` | open a platform in this process, deploy a folder, follow what happens |
//! | `connect` | the same against a server |
//! | `custom_runtime` | a platform with a runtime of its own: [`pages`] |

pub mod pages;
