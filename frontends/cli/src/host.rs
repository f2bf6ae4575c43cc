//! `sh0 up`, `sh0 down` and `sh0 serve`: the platform in this process, or as a server in the background.

use std::env::{current_exe, home_dir, var, var_os};
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use sh0::model::{AppName, AppRef, suggest_label};
use sh0::ops::deployments::CreateDeployment;
use sh0::{Config, Error, Program, Result, RuntimeChoice, Sh0, daemon};
use sh0_server::{ServeOptions, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::deploy;
use crate::exit::INTERRUPTED;
use crate::place::Place;
use crate::run::Voice;

/// How a platform of this machine runs.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Hosting {
    /// Where apps run that were never deployed: auto, docker or process
    #[arg(long, default_value = "auto")]
    runtime: RuntimeChoice,
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
    /// The port of a new app on this machine; a free one unless given
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

/// `sh0 up`.
pub(crate) async fn up(voice: Voice, place: &Place, up: Up) -> Result<u8> {
    let running = match place.running().await? {
        None if up.detach => Some(background(voice, place, &up.hosting).await?),
        running => running,
    };
    if let Some(running) = running {
        deploy_folder(voice, &running, &up).await?;
        voice.say("the server runs in the background; `sh0 down` stops it");
        return Ok(0);
    }
    let config = config(&place.data, &up.hosting, false, free())?;
    let host = Host::start(place, config, ServeOptions::default()).await?;
    let deployed = tokio::select! {
        deployed = deploy_folder(voice, &host.platform, &up) => deployed,
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
    host.end(stop_apps).await
}

async fn deploy_folder(voice: Voice, platform: &Sh0, up: &Up) -> Result<u8> {
    let source = platform.folder(&up.path).await?;
    let folder = std::fs::canonicalize(&up.path)?;
    let label = suggest_label(&folder.file_name().unwrap_or_default().to_string_lossy());
    let app = AppRef::from(up.name.clone().map_or_else(|| label.parse(), Ok)?);
    let known = platform.find_app(&app).await?.and_then(|app| app.source);
    if up.name.is_none() && known.is_some_and(|known| known != source) {
        let detail = format!("the app {app} is there already, from another source; give this one a name with --name");
        return Err(Error::conflict(detail));
    }
    let create = CreateDeployment { app, source: Some(source), runtime: up.hosting.runtime.kind(), no_cache: false };
    deploy::place(voice, platform, create, up.port, false).await
}

/// `sh0 down`.
pub(crate) async fn down(voice: Voice, place: &Place) -> Result<u8> {
    // A dead server may have left its edge and its apps.
    let left = || place.data.join("edge/edge.sock").exists();
    match place.running().await? {
        Some(running) => daemon::end(running, &place.data).await?,
        None if left() => quiet(&place.data, true).await?.shutdown_with(true).await?,
        None => voice.say(format!("no server runs for {}", place.data.display())),
    }
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
    let config = config(&place.data, &serve.hosting, child, (Ipv4Addr::UNSPECIFIED, port).into())?;
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
pub(crate) async fn quiet(data: &Path, child: bool) -> Result<Sh0> {
    Sh0::open(config(data, &Hosting::default(), child, free())?).await
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

/// Ctrl-C, or the request to end that service managers send.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn config(data: &Path, hosting: &Hosting, child: bool, listen: SocketAddr) -> Result<Config> {
    let listen = if hosting.listen.is_empty() { vec![listen] } else { hosting.listen.clone() };
    // Apps are no more public than the proxy is.
    let public = listen.iter().any(|addr| !addr.ip().is_loopback());
    let app_bind = if public { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let mut config = Config::new(data).runtime(hosting.runtime).listen(listen).app_bind(app_bind.into());
    config.image_mirror.clone_from(&hosting.image_mirror);
    config.docker_socket = hosting.docker_socket.clone().unwrap_or(config.docker_socket);
    config.path = var("PATH").ok();
    // Rust's tools are links to a program that has to find them; no other toolchain needs more than `PATH`.
    let usual = || home_dir().map(|home| home.join(".rustup")).filter(|path| path.is_dir());
    if let Some(home) = var_os("RUSTUP_HOME").map(PathBuf::from).or_else(usual) {
        config = config.toolchain("RUSTUP_HOME", home.to_string_lossy());
    }
    config.own_program(child)
}

/// A port of loopback that is free now: 8080 if it is.
fn free() -> SocketAddr {
    let bound = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|bound| bound.local_addr());
    bound(8080).or_else(|_| bound(0)).unwrap_or((Ipv4Addr::LOCALHOST, 8080).into())
}

/// `sh0 serve` in the background.
async fn background(voice: Voice, place: &Place, hosting: &Hosting) -> Result<Sh0> {
    let listen = if hosting.listen.is_empty() { vec![free()] } else { hosting.listen.clone() };
    let data = place.data.to_str().ok_or_else(|| Error::invalid("--data", "is not UTF-8", "name another folder"))?;
    let serve = ["serve", "--background", "--data", data, "--runtime"].map(str::to_owned).into_iter();
    let serve = serve.chain([hosting.runtime.to_string()]);
    let serve = serve.chain(listen.iter().flat_map(|addr| ["--listen".to_owned(), addr.to_string()]));
    let serve =
        serve.chain(hosting.image_mirror.iter().flat_map(|mirror| ["--image-mirror".to_owned(), mirror.clone()]));
    let socket = hosting.docker_socket.iter();
    let serve = serve.chain(socket.flat_map(|path| ["--docker-socket".to_owned(), path.display().to_string()]));
    voice.say(format!("starting a server for {data}"));
    daemon::start(&Program { program: current_exe()?, args: serve.collect() }, data).await
}
