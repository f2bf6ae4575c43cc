//! Runtimes that sh0 itself provides.

pub mod process;
