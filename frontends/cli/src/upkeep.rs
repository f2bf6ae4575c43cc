//! Looking after a platform: `sh0 doctor`, `sh0 open`, `sh0 uninstall`.

use std::path::Path;
use std::process::{Command, Stdio};

use sh0::model::AppRef;
use sh0::ops::apps::{DeleteApp, GetApp, ListApps};
use sh0::ops::platform::Doctor;
use sh0::ops::projects::ListProjects;
use sh0::{Error, Sh0};

use crate::exit::{Failure, Outcome};
use crate::host;
use crate::place::Place;
use crate::run::{self, Job, Voice, named};
use crate::verbs::DOCTOR;

/// What to open.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// The app
    #[arg(short, long, env = "SH0_APP", hide_env_values = true)]
    app: AppRef,
}

/// `sh0 open`: prints the address, and shows it where there is a browser.
pub(crate) async fn open(voice: Voice, place: &Place, open: Open) -> Outcome {
    let app = place.connect().await?.call(GetApp { app: open.app }).await?;
    let Some(url) = app.urls.first() else {
        return Err(Error::conflict(format!("{} has no address yet: deploy it first", app.name)).into());
    };
    match voice.json {
        true => voice.document(&serde_json::json!({ "url": url, "urls": app.urls })),
        false => voice.data(&format!("{url}\n")),
    }
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if screen || cfg!(target_os = "macos") {
        let quiet = Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if quiet.is_err() {
            voice.say("no browser could be started: open the address yourself");
        }
    }
    Ok(0)
}

/// `sh0 doctor`: asks the server; where none runs, a platform that lives only as long as the question.
pub(crate) async fn doctor(voice: Voice, place: &Place) -> Outcome {
    let job = Job {
        op: named("platform.doctor")?,
        input: serde_json::to_value(Doctor::default())?,
        show: Some(&DOCTOR),
        yes: false,
        detach: false,
    };
    if let Some(running) = place.running().await? {
        return run::run(voice, &running, job).await;
    }
    voice.say(&format!("no server runs for {}: this is what one would find here", place.data.display()));
    let folder = tempfile::tempdir()?;
    let platform = host::trial(folder.path()).await?;
    let ended = run::run(voice, &platform, job).await;
    host::stop(platform).await?;
    ended
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
pub(crate) async fn uninstall(voice: Voice, place: &Place, uninstall: Uninstall) -> Outcome {
    place.here()?;
    let data = &place.data;
    let there = host::has_platform(data);
    let running = place.running().await?;
    if !there && running.is_none() {
        voice.say(&format!("nothing is installed in {}", data.display()));
        return Ok(0);
    }
    voice.say(&format!("This stops the server for {} and all its apps.", data.display()));
    match uninstall.purge {
        true => voice.say(&format!("It then REMOVES every app with its releases, volumes and data, and {}.", data.display())),
        false => voice.say(&format!("It keeps {} (--purge removes it with all apps and their data).", data.display())),
    }
    if !uninstall.yes {
        run::ask("Everything named above is done at once.", "uninstall")?;
    }
    if uninstall.purge {
        let platform = match running {
            Some(running) => running,
            None => host::quiet(data).await?,
        };
        destroy_all(voice, &platform).await?;
        host::end(voice, place, platform).await?;
        remove(data)?;
    } else {
        host::down(voice, place).await?;
    }
    let program = std::env::current_exe()?;
    voice.say(&format!("Left: the program {}{}.", program.display(), if uninstall.purge { "" } else { " and the data" }));
    Ok(0)
}

async fn destroy_all(voice: Voice, platform: &Sh0) -> Outcome<()> {
    for project in platform.call(ListProjects::default()).await?.items {
        loop {
            let list = ListApps { project: project.name.to_string().parse()?, cursor: None, limit: None };
            let apps = platform.call(list).await?.items;
            if apps.is_empty() {
                break;
            }
            for app in apps {
                voice.say(&format!("destroying {}", app.name));
                platform.call(DeleteApp { app: app.id.into(), keep_volumes: false }).await?;
            }
        }
    }
    Ok(())
}

/// Removes the folder of data: never one that is not ours.
fn remove(data: &Path) -> Outcome<()> {
    if !host::has_platform(data) {
        return Err(Failure::from(Error::conflict(format!("{} is no folder of sh0: it is left alone", data.display()))));
    }
    Ok(std::fs::remove_dir_all(data)?)
}
