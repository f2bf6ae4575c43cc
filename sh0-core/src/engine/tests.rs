//! The engine on fakes: time flies, and nothing but the engine is real.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fakes;
