//! Which platform is meant: a server elsewhere, or the data folder of this machine.

use std::env::{home_dir, var, var_os};
use std::path::PathBuf;

use sh0::{Code, Error, Result, Secret, Sh0, Target};

/// Options of every verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder of data [default: sh0 in the XDG data home, ~/.local/share]
    #[arg(long, global = true, env = "SH0_DATA", hide_env_values = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A server elsewhere: http(s)://HOST:PORT, or unix:///PATH
    #[arg(long, global = true, env = "SH0_URL", hide_env_values = true, value_name = "URL")]
    url: Option<Target>,
    /// Print JSON: one document, or one a line for streams; errors as problem objects on standard error
    #[arg(long, global = true)]
    json: bool,
}

/// Where the platform is.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder of data of this machine's platform.
    pub(crate) data: PathBuf,
    url: Option<Target>,
}

impl Place {
    pub(crate) fn from(options: Options) -> Result<Place> {
        let home = || home_dir().map(|home| home.join(".local/share"));
        let xdg = || var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = match options.data {
            Some(data) => std::path::absolute(data)?,
            None => xdg().or_else(home).map(|base| base.join("sh0")).ok_or_else(|| {
                Error::invalid("--data", "is not given, and there is no home folder", "give --data DIR")
            })?,
        };
        Ok(Place { data, url: options.url })
    }

    /// The server that is meant.
    pub(crate) async fn connect(&self) -> Result<Sh0> {
        match self.running().await? {
            Some(running) => Ok(running),
            None => Err(Error::unavailable(format!(
                "no server runs for {}: start one with `sh0 serve` or `sh0 up -d`, or name one elsewhere with SH0_URL",
                self.data.display()
            ))),
        }
    }

    /// The server that is meant, if it is one elsewhere or one that runs here.
    pub(crate) async fn running(&self) -> Result<Option<Sh0>> {
        if let Some(url) = &self.url {
            return Sh0::connect(url.clone(), var("SH0_TOKEN").ok().map(Secret::new)).await.map(Some);
        }
        match Sh0::connect(Target::unix(self.data.join("sh0.sock")), None).await {
            Ok(running) => Ok(Some(running)),
            Err(error) if error.code() == Code::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Verbs that own the platform's process mean this machine.
    pub(crate) fn here(&self) -> Result<()> {
        match &self.url {
            None => Ok(()),
            Some(url) => Err(Error::invalid("--url", format!("names {url}"), "leave it (and SH0_URL) out: this verb is for this machine")),
        }
    }
}
