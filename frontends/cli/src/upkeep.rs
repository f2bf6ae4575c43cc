//! `sh0 open` and `sh0 uninstall`.

use std::process::{Command, Stdio};

use serde_json::json;
use sh0::model::AppRef;
use sh0::ops::apps::GetApp;
use sh0::{Error, Result, daemon};

use crate::host;
use crate::place::Place;
use crate::run::{self, Voice};

/// What to open.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// The app
    #[arg(short, long, env = "SH0_APP", hide_env_values = true)]
    app: AppRef,
}

/// `sh0 open`: prints the address, and shows it where there is a browser.
pub(crate) async fn open(voice: Voice, place: &Place, open: Open) -> Result<u8> {
    let app = place.connect().await?.call(GetApp { app: open.app }).await?;
    let url =
        app.urls.first().ok_or_else(|| Error::conflict(format!("{} has no address: deploy it first", app.name)))?;
    match voice.json {
        true => voice.document(&json!({ "url": url, "urls": app.urls })),
        false => voice.data(&format!("{url}\n")),
    }
    if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some()) {
        let mut opener = Command::new("xdg-open");
        let opener = opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if opener.spawn().is_err() {
            voice.say("no browser could be started: open the address yourself");
        }
    }
    Ok(0)
}

/// What to remove.
#[derive(Debug, clap::Args)]
pub(crate) struct Uninstall {
    /// Remove all apps, volumes and data too
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// `sh0 uninstall`: says what it will do, asks, does it, says what is left.
pub(crate) async fn uninstall(voice: Voice, place: &Place, uninstall: Uninstall) -> Result<u8> {
    let data = place.data.display();
    let running = place.here()?.running().await?;
    // Never a folder that is not ours.
    if running.is_none() && !place.data.join("lock").is_file() {
        voice.say(format!("nothing is installed in {data}"));
        return Ok(0);
    }
    let fate = match uninstall.purge {
        true => format!("then every app with its releases, volumes and data is REMOVED, and {data} with it"),
        false => format!("{data} stays (--purge removes it, with every app and its data)"),
    };
    voice.say(format!("The server for {data} and all its apps are stopped; {fate}."));
    if !uninstall.yes {
        run::ask("This is done at once.", "uninstall")?;
    }
    if uninstall.purge {
        let platform = match running {
            Some(running) => running,
            None => host::quiet(place).await?,
        };
        platform.destroy_everything().await?;
        daemon::end(&platform, &place.data).await?;
        platform.shutdown_with(true).await?;
        std::fs::remove_dir_all(&place.data)?;
    } else {
        host::down(voice, place).await?;
    }
    voice.say(format!("What is left: the program {}", std::env::current_exe()?.display()));
    Ok(0)
}
