//! `sh0 open`, `sh0 destroy` and `sh0 uninstall`.

use serde_json::{Value, json};
use sh0::{Error, Result, Sh0, console, daemon};

use crate::host;
use crate::place::Place;
use crate::run::{Job, Voice};

/// `sh0 open`: prints the address of an app, and shows it where there is a browser.
pub(crate) fn open(voice: Voice, app: &Value) -> Result<()> {
    let url = app["urls"][0].as_str().ok_or_else(|| Error::conflict("it has no address: deploy it first"))?;
    voice.data(&format!("{url}\n"));
    if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some()) {
        console::browse(url);
    }
    Ok(())
}

/// `sh0 destroy`: waits until nothing is left of the app, whose name is free again then.
pub(crate) async fn destroy(voice: Voice, platform: &Sh0, job: Job) -> Result<u8> {
    let app = platform.destroy(serde_json::from_value(job.input)?, !job.detach).await?;
    match (voice.json, job.detach) {
        (true, detach) => voice.document(&json!({ "app": app.name, "gone": !detach })),
        (_, true) => voice.say(format!("{} is being destroyed; `sh0 status` tells when it is gone", app.name)),
        (_, false) => voice.say(format!("{} is gone", app.name)),
    }
    Ok(0)
}

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
    if running.is_none() && !place.data.join("sh0.db").is_file() {
        voice.say(format!("nothing is installed in {data}"));
        return Ok(0);
    }
    let fate = match uninstall.purge {
        true => format!("then every app with its releases, volumes and data is REMOVED, and {data} with it"),
        false => format!("{data} stays (--purge removes it, with every app and its data)"),
    };
    voice.say(format!("The server for {data} and all its apps are stopped; {fate}."));
    if !uninstall.yes {
        console::confirm("This is done at once.", "uninstall")?;
    }
    match (uninstall.purge, running) {
        (true, Some(running)) => daemon::purge(running, &place.data).await?,
        (true, None) => daemon::purge(host::quiet(place, &place.data, true).await?, &place.data).await?,
        (false, _) => drop(host::down(voice, place).await?),
    }
    voice.say(format!("What is left: the program {}", std::env::current_exe()?.display()));
    Ok(0)
}
