//! Which platform is meant: a server elsewhere, or the data folder of this machine.

use std::env::{home_dir, var, var_os};
use std::path::{PathBuf, absolute};

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use sh0::{Error, Result, RuntimeChoice, Secret, Sh0, Target, daemon};

/// Options of every verb.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Place {
    /// The folder of data [default: sh0 in the XDG data home, ~/.local/share]
    #[arg(long, global = true, env = "SH0_DATA", hide_env_values = true, value_name = "DIR")]
    #[arg(default_value_os_t = usual(), hide_default_value = true)]
    #[arg(value_parser = PathBufValueParser::new().try_map(absolute))]
    pub(crate) data: PathBuf,
    /// A server elsewhere: http(s)://HOST:PORT or unix:///PATH
    #[arg(long, global = true, env = "SH0_URL", hide_env_values = true)]
    url: Option<Target>,
    /// Where apps run that were never deployed: auto, docker or process
    #[arg(long, global = true, default_value = "auto")]
    pub(crate) runtime: RuntimeChoice,
    /// Print JSON: one document, or one a line for streams; errors as problem objects on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Without a home folder it is empty, and then has to be given.
fn usual() -> PathBuf {
    let xdg = var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = xdg.or_else(|| home_dir().map(|home| home.join(".local/share")));
    base.map(|base| base.join("sh0")).unwrap_or_default()
}

impl Place {
    /// The server that is meant.
    pub(crate) async fn connect(&self) -> Result<Sh0> {
        let hint = "start one with `sh0 serve` or `sh0 up -d`, or name one elsewhere with SH0_URL";
        let none = || Error::unavailable(format!("no server runs for {}: {hint}", self.data.display()));
        self.running().await?.ok_or_else(none)
    }

    /// The server that is meant, if it is one elsewhere or one that runs here.
    pub(crate) async fn running(&self) -> Result<Option<Sh0>> {
        if let Some(url) = &self.url {
            return Sh0::connect(url.clone(), var("SH0_TOKEN").ok().map(Secret::new)).await.map(Some);
        }
        daemon::running(&self.data).await
    }

    /// For verbs that own the platform's process: they mean this machine.
    pub(crate) fn here(&self) -> Result<&Place> {
        let hint = "leave it and SH0_URL out: this verb is for this machine";
        self.url.is_none().then_some(self).ok_or_else(|| Error::invalid("--url", "names a server elsewhere", hint))
    }
}
