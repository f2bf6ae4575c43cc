//! stub
use crate::{place::Place, run::Voice};
use sh0::{Error, Result, Sh0};
#[derive(Debug, clap::Args)]
pub(crate) struct Up {}
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {}
pub(crate) fn role(_: &[std::ffi::OsString]) -> Option<std::process::ExitCode> {
    None
}
pub(crate) async fn up(_: Voice, _: &Place, _: Up) -> Result<u8> {
    Err(Error::internal("stub").into())
}
pub(crate) async fn down(_: Voice, _: &Place) -> Result<u8> {
    Err(Error::internal("stub").into())
}
pub(crate) async fn serve(_: &Place, _: Serve) -> Result<u8> {
    Err(Error::internal("stub").into())
}
pub(crate) async fn quiet(_: &Place) -> Result<Sh0> {
    Err(Error::internal("stub"))
}
pub(crate) async fn trial(_: Voice, p: &Place) -> Result<Sh0> {
    p.connect().await
}
pub(crate) async fn end(_: &Place, _: &Sh0) -> Result<()> {
    Err(Error::internal("stub").into())
}
