//! Side-by-side benchmarks: each is a binary in `src/bin`, run by `cargo xtask bench NAME`. It prints its figures as
//! Markdown on standard output, so that `cargo xtask prove` can keep them.
