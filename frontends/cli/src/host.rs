//! stub
use crate::{exit::Outcome, place::Place, run::Voice};
use sh0::{Error, Result, Sh0};
use std::path::Path;
#[derive(Debug, clap::Args)]
pub(crate) struct Up {}
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {}
pub(crate) fn role(_: &[std::ffi::OsString]) -> Option<std::process::ExitCode> { None }
pub(crate) async fn up(_: Voice, _: &Place, _: Up) -> Outcome { Err(Error::internal("stub").into()) }
pub(crate) async fn down(_: Voice, _: &Place) -> Outcome { Err(Error::internal("stub").into()) }
pub(crate) async fn serve(_: &Place, _: Serve) -> Outcome { Err(Error::internal("stub").into()) }
pub(crate) async fn trial(_: &Path) -> Result<Sh0> { Err(Error::internal("stub")) }
pub(crate) async fn quiet(_: &Path) -> Result<Sh0> { Err(Error::internal("stub")) }
pub(crate) async fn end(_: Voice, _: &Place, _: Sh0) -> Outcome<()> { Err(Error::internal("stub").into()) }
pub(crate) fn has_platform(_: &Path) -> bool { false }
pub(crate) async fn stop(_: Sh0) -> Result<()> { Ok(()) }
