//! The conformance suite of this trait.
