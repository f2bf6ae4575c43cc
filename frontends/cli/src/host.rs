//! `sh0 up`, `sh0 down`, `sh0 serve` and `sh0 uninstall`: the platform in this process, or as a server in the background.

use std::env::{current_exe, home_dir, var, var_os, vars_os};
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sh0::console::{confirm, interrupted};
use sh0::daemon::free_port;
use sh0::model::AppName;
use sh0::ops::deployments::CreateDeployment;
use sh0::{Config, Error, Program, Result, Sh0, daemon};
use sh0_server::{ServeOptions, Server};

use crate::deploy;
use crate::exit::INTERRUPTED;
use crate::place::Place;
use crate::run::Voice;

/// How a platform of this machine runs.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Hosting {
    /// Where the proxy listens for host names
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// A mirror of the registry that base images come from
    #[arg(long, env = "SH0_IMAGE_MIRROR", hide_env_values = true, value_name = "HOST/PATH")]
    image_mirror: Option<String>,
    /// The socket of the Docker Engine
    #[arg(long, env = "SH0_DOCKER_SOCKET", hide_env_values = true, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
}

/// Its options: a server that runs already has its own.
pub(crate) const HOSTING: &[&str] = &["listen", "image_mirror", "docker_socket"];

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// The folder of the app
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Leave the server running in the background
    #[arg(short, long)]
    detach: bool,
    /// The name of the app; the folder's unless given
    #[arg(long)]
    name: Option<AppName>,
    /// The app's own port on this machine; unless given, what it has, or a free one
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    hosting: Hosting,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    hosting: Hosting,
    /// Where the API listens for holders of tokens, beside the Unix socket in the folder of data
    #[arg(long, value_name = "ADDR")]
    api: Vec<SocketAddr>,
    /// A host name of the API, beside its addresses
    #[arg(long, value_name = "NAME")]
    api_host: Vec<String>,
    /// Where the proxy runs: in a process of its own, so that apps answer while the server is restarted, or in this one
    #[arg(long, default_value = "child", value_parser = ["child", "in-process"])]
    edge: String,
    /// Leaves the terminal: `sh0 up -d` starts it so.
    #[arg(long, hide = true)]
    background: bool,
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

/// `sh0 up`.
pub(crate) async fn up(voice: Voice, place: &Place, up: Up, hosting_typed: bool) -> Result<u8> {
    let running = match place.running().await? {
        None if up.detach => Some(background(voice, place, &up.hosting).await?),
        Some(_) if hosting_typed => {
            return Err(Error::conflict("a server runs already, with options of its own; `sh0 down` ends it"));
        }
        running => running,
    };
    if let Some(running) = running {
        deploy_folder(voice, place, &running, &up).await?;
        voice.say("the server runs in the background; `sh0 down` stops it");
        return Ok(0);
    }
    let config = config(place, &place.data, &up.hosting, false, free_port(8080))?;
    let host = Host::start(place, config, ServeOptions::default()).await?;
    let deployed = tokio::select! {
        deployed = deploy_folder(voice, place, &host.platform, &up) => deployed,
        () = interrupted() => Ok(INTERRUPTED),
    };
    if !matches!(deployed, Ok(0)) {
        host.end(true).await?;
        return deployed;
    }
    voice.say("Ctrl-C stops it");
    let stop_apps = tokio::select! {
        stop_apps = host.platform.stopped() => stop_apps,
        () = interrupted() => true,
    };
    voice.say("stopping; Ctrl-C again ends at once");
    host.end(stop_apps).await
}

async fn deploy_folder(voice: Voice, place: &Place, platform: &Sh0, up: &Up) -> Result<u8> {
    platform.caution(place.runtime.kind()).await?.iter().for_each(|caution| voice.say(caution));
    let source = platform.folder(&up.path).await?;
    let app = platform.app_of_folder(&up.path, &source, up.name.clone()).await?;
    let create = CreateDeployment { app, source: Some(source), runtime: place.runtime.kind(), no_cache: false };
    deploy::release(voice, platform, create, up.port, false).await
}

/// `sh0 down`.
pub(crate) async fn down(voice: Voice, place: &Place) -> Result<u8> {
    // A dead server may have left its edge and its apps.
    let left = || place.data.join("edge/edge.sock").exists();
    match place.running().await? {
        Some(running) => daemon::end(running, &place.data).await?,
        None if left() => quiet(place, &place.data, true).await?.shutdown_with(true).await?,
        None => voice.say(format!("no server runs for {}", place.data.display())),
    }
    Ok(0)
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
        confirm("This is done at once.", "uninstall")?;
    }
    match (uninstall.purge, running) {
        (true, Some(running)) => daemon::purge(running, &place.data).await?,
        (true, None) => daemon::purge(quiet(place, &place.data, true).await?, &place.data).await?,
        (false, _) => drop(down(voice, place).await?),
    }
    voice.say(format!("What is left: the program {}", current_exe()?.display()));
    Ok(0)
}

/// `sh0 serve`.
pub(crate) async fn serve(place: &Place, serve: Serve) -> Result<u8> {
    if serve.background {
        rustix::process::setsid().map_err(std::io::Error::from)?;
    }
    let filter = tracing_subscriber::EnvFilter::new(var("SH0_LOG").unwrap_or_else(|_| "info".into()));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let port = if rustix::process::geteuid().is_root() { 80 } else { 8080 };
    let child = serve.edge == "child";
    let config = config(place, &place.data, &serve.hosting, child, (Ipv4Addr::UNSPECIFIED, port).into())?;
    tracing::info!(data = %place.data.display(), listen = ?config.listen, "sh0 {} starts", config.version);
    let options = ServeOptions { tcp: serve.api, allowed_hosts: serve.api_host, ..ServeOptions::default() };
    let host = Host::start(place, config, options).await?;
    tracing::info!(socket = ?host.server.unix_socket(), api = ?host.server.tcp(), "ready");
    let stop_apps = tokio::select! {
        stop_apps = host.platform.stopped() => stop_apps,
        () = interrupted() => false,
    };
    tracing::info!(stop_apps, "ending");
    host.end(stop_apps).await
}

/// A platform in this process alone: for a question where no server runs, or to put a folder in order.
pub(crate) async fn quiet(place: &Place, data: &Path, child: bool) -> Result<Sh0> {
    Sh0::open(config(place, data, &Hosting::default(), child, free_port(8080))?).await
}

/// A platform in this process, and the server that lets others in.
struct Host {
    platform: Sh0,
    server: Server,
}

impl Host {
    async fn start(place: &Place, config: Config, options: ServeOptions) -> Result<Host> {
        let platform = Sh0::open(config).await?;
        let socket = Some(place.data.join("sh0.sock"));
        let server = sh0_server::serve(platform.clone(), ServeOptions { unix_socket: socket, ..options }).await?;
        Ok(Host { platform, server })
    }

    /// In good order; a second Ctrl-C forces it.
    async fn end(self, stop_apps: bool) -> Result<u8> {
        let ending = async {
            self.server.shutdown().await;
            self.platform.shutdown_with(stop_apps).await
        };
        tokio::select! {
            ended = ending => ended.map(|()| 0),
            () = interrupted() => Ok(INTERRUPTED),
        }
    }
}

/// How the place's platform runs, its data in `data`; the proxy listens at `listen` unless `hosting` says where.
fn config(place: &Place, data: &Path, hosting: &Hosting, child: bool, listen: SocketAddr) -> Result<Config> {
    let listen = if hosting.listen.is_empty() { vec![listen] } else { hosting.listen.clone() };
    let mut config = Config::new(data).runtime(place.runtime).listen(listen);
    config.image_mirror.clone_from(&hosting.image_mirror);
    config.docker_socket = hosting.docker_socket.clone().unwrap_or(config.docker_socket);
    config.path = var("PATH").ok();
    // Rust's tools are links to a program that has to find them; no other toolchain needs more than `PATH`.
    let usual = || home_dir().map(|home| home.join(".rustup")).filter(|path| path.is_dir());
    if let Some(home) = var_os("RUSTUP_HOME").map(PathBuf::from).or_else(usual) {
        config = config.toolchain("RUSTUP_HOME", home.to_string_lossy());
    }
    config.build_env(vars_os()).own_program(child)
}

/// `sh0 serve` in the background.
async fn background(voice: Voice, place: &Place, hosting: &Hosting) -> Result<Sh0> {
    let listen = if hosting.listen.is_empty() { vec![free_port(8080)] } else { hosting.listen.clone() };
    let data = place.data.to_str().ok_or_else(|| Error::invalid("--data", "is not UTF-8", "name another folder"))?;
    let mut args = vec!["serve".into(), "--background".into(), format!("--data={data}")];
    args.push(format!("--runtime={}", place.runtime));
    args.extend(listen.iter().map(|addr| format!("--listen={addr}")));
    args.extend(hosting.image_mirror.iter().map(|mirror| format!("--image-mirror={mirror}")));
    args.extend(hosting.docker_socket.iter().map(|path| format!("--docker-socket={}", path.display())));
    voice.say(format!("starting a server for {data}"));
    daemon::start(&Program { program: current_exe()?, args }, data).await
}
