//! What sh0 itself runs on a host, one module and one feature each; no module imports another.

#[cfg(feature = "probe")]
pub mod probe;
#[cfg(feature = "proxy-embedded")]
pub mod proxy;
#[cfg(feature = "runtime-process")]
pub mod runtime;
#[cfg(feature = "git")]
pub mod source;
#[cfg(feature = "static-files")]
pub mod static_files;
