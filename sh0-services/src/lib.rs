//! What sh0 itself runs on a host: each module implements a trait of `sh0-core` and has a feature of its own. None uses
//! another, but for the process runtime, whose shim serves static apps with [`static_files`].
//!
//! ```
//! use sh0_core::model::{DeploymentId, Source};
//! use sh0_core::traits::{Fetcher, NoOutput};
//! use sh0_services::source::{Limits, LocalFetcher};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temp = tempfile::tempdir()?;
//! # let (app, home) = (temp.path().join("app"), temp.path().join("sources"));
//! # std::fs::create_dir(&app)?;
//! # std::fs::write(app.join("index.html"), "hello")?;
//! let fetcher = LocalFetcher::open(&home, Limits::default())?;
//! let source = Source::Folder { path: app.display().to_string().parse()? };
//! let deployment: DeploymentId = "01k9zr3v5g8yqk7t2m4n6p8r0s".parse()?;
//! let checkout = fetcher.fetch(deployment, &source, &NoOutput).await?;
//! assert_eq!(std::fs::read_to_string(checkout.dir.join("index.html"))?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! | module | feature | what |
//! | --- | --- | --- |
//! | [`runtime`] | `runtime-process` | instances as processes, each below a shim |
//! | [`proxy`] | `proxy-embedded` | HTTP in front of them, in this process or as one of its own |
//! | [`source`] | `git` | folders, git repositories and uploaded archives as source trees |
//! | [`probe`] | `probe` | asks an instance from outside whether it is ready |
//! | [`static_files`] | `static-files` | serves a folder over HTTP |
//!
//! **Deliberately absent:** rules about apps and deployments, which are the engine's, and the store.

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
