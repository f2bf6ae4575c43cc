//! Stores without a disk: for tests, and for embedding sh0 where nothing has to outlive the process.
//!
//! They behave like their siblings on disk (the same conformance suites say so) but are not durable, and listings look
//! at every record of the kind.

mod logs;
mod records;

pub use logs::MemoryLogStore;
pub use records::MemoryStore;
