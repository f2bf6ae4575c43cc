//! One conformance suite for each trait, run against every backend, real ones included: a backend that passes behaves.
//! A failing check panics with what was expected and what came.

pub mod chaos;
pub mod fakes;
pub mod log_store;
pub mod proxy;
pub mod runtime;
pub mod store;
