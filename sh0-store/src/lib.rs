//! Where sh0 keeps what it knows: records and streams ([`memory`], [`sqlite`]), what apps print ([`memory`],
//! [`logs`]), and the key that seals secrets ([`seal`]). [`lock`] makes one process the owner of a data directory.
//!
//! ```
//! use sh0_core::traits::{Batch, Kind, Put, Query, Store};
//! use sh0_store::{lock::DataDir, sqlite::SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sh0_core::Result<()> {
//! # let temp = tempfile::tempdir()?;
//! # let path = temp.path().join("data");
//! let dir = DataDir::acquire(&path)?;
//! let store = SqliteStore::open(dir.path()).await?;
//!
//! const APP: Kind = Kind("app");
//! let app = Put {
//!     kind: APP,
//!     id: "01hq".into(),
//!     parent: "default".into(),
//!     unique: vec!["default/hello".into()],
//!     indexes: [("state", "running".to_owned())].into(),
//!     schema: 1,
//!     body: serde_json::json!({ "name": "hello" }),
//! };
//! let epoch = store.claim().await?;
//! store.commit(Batch { epoch, puts: vec![app], ..Batch::default() }).await?;
//!
//! let found = store.find(APP, "default/hello").await?;
//! assert_eq!(found.map(|record| record.id), Some("01hq".to_owned()));
//! assert_eq!(store.list(&Query::all(APP).with("state", "running")).await?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | feature | brings |
//! | --- | --- |
//! | (always) | [`memory`], [`lock`] |
//! | `sqlite` (default) | [`sqlite`]: records in one file |
//! | `logs` (default) | [`logs`]: segment files, one folder an app |
//! | `seal` (default) | [`seal`]: secrets under a key file |
//!
//! **Deliberately absent:** apps, releases and every other entity. A store keeps JSON bodies under a kind and an id and
//! never looks into them; typed repositories live in `sh0-core`.

mod batch;
mod lines;
pub mod lock;
#[cfg(feature = "logs")]
pub mod logs;
pub mod memory;
#[cfg(feature = "seal")]
pub mod seal;
#[cfg(feature = "sqlite")]
pub mod sqlite;
