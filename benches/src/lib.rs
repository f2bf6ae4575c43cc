//! Proofs and figures: the real program `sh0` as processes of its own, real apps, real clients, real `kill -9`.
//!
//! | file | what |
//! | --- | --- |
//! | [`load`] | clients that never try again, and the verdict over all that they saw |
//! | [`platform`] | `sh0 serve` as a process: started, killed, started again, cleaned up |
//! | [`trees`] | source trees of the app in `apps/probe-app`, well-behaved and not |
//! | [`system`] | processes, memory and containers, as the machine sees them |
//! | [`engine`] | a Docker Engine of a proof's own, to be restarted at will |
//! | [`rows`] | what is proven: one module a row of proof, one program each in `src/bin` |
//! | [`report`] | figures and Markdown |
//!
//! `peers`, beside this crate, is no member of the workspace: programs of others that a row measures ours against. Only that
//! row builds it.
//!
//! ```
//! use sh0_benches::report::Series;
//!
//! let series: Series = [3.0, 1.0, 2.0].into_iter().collect();
//! assert_eq!(series.median(), 2.0);
//! ```
//!
//! **Deliberately absent:** fakes. A figure on a fake says nothing about a platform.

pub mod engine;
pub mod load;
pub mod platform;
pub mod report;
pub mod rows;
pub mod system;
pub mod trees;

/// What a proof ends with: the text of an error is for the person who runs it.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
