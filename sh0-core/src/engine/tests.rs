//! Tests of the engine on fakes.
