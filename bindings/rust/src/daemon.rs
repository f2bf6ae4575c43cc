//! A platform of this machine that runs as a server in the background: found by its folder of data, started, ended.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sh0_core::ops::platform::Shutdown;
use sh0_core::{Code, Error, Result};
use sh0_services::proxy::edge::open_log;

use crate::{Program, Sh0, Target, holder};

/// A server that has not started, or not ended, after so many looks is given up.
const LOOKS: u32 = 600;
const BETWEEN: Duration = Duration::from_millis(100);

/// The platform whose folder of data this is, where a server runs for it.
pub async fn running(data: impl AsRef<Path>) -> Result<Option<Sh0>> {
    let Some(socket) = holder(data)?.and_then(|holder| holder.socket) else { return Ok(None) };
    match Sh0::connect(Target::unix(socket), None).await {
        Err(error) if error.code() == Code::Unavailable => Ok(None),
        running => running.map(Some),
    }
}

/// Starts `server` for this folder of data, and waits until it answers. What it prints goes to `serve.log` there, which
/// begins anew when it is longer than 4 MiB. It is
/// the server's business to leave the caller's session.
pub async fn start(server: &Program, data: impl AsRef<Path>) -> Result<Sh0> {
    let data = data.as_ref();
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let path = data.join("serve.log");
    let log = open_log(&path)?;
    let began = log.metadata()?.len();
    let mut command = Command::new(&server.program);
    command.args(&server.args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    for _ in 0..LOOKS {
        if let Some(platform) = running(data).await? {
            return Ok(platform);
        }
        if let Some(status) = child.try_wait()? {
            let text = fs::read(&path)?.split_off(usize::try_from(began).unwrap_or_default());
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            return Err(Error::unavailable(format!("the server ended at once ({status}): {text}")));
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(Error::new(Code::Timeout, format!("the server does not answer; see {}", path.display())))
}

/// An address of loopback that nobody listens on now: with the preferred port if that is one.
pub fn free_port(preferred: u16) -> SocketAddr {
    let bound = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|bound| bound.local_addr());
    bound(preferred).or_else(|_| bound(0)).unwrap_or((Ipv4Addr::LOCALHOST, preferred).into())
}

/// Ends a platform and its apps, and waits until it has let go of its folder of data.
pub async fn end(platform: Sh0, data: impl AsRef<Path>) -> Result<()> {
    platform.call(Shutdown { stop_apps: true }).await?;
    // In this process, nobody else does what was asked.
    platform.shutdown_with(true).await?;
    drop(platform);
    for _ in 0..LOOKS {
        if holder(&data)?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(Error::new(Code::Timeout, "the server was asked to end, and has not ended yet"))
}

/// What a platform keeps in its folder of data.
const OURS: &[&str] = &[
    "apps",
    "docker",
    "edge",
    "key",
    "lock",
    "logs",
    "serve.log",
    "sh0.db",
    "sh0.db-shm",
    "sh0.db-wal",
    "sh0.sock",
    "sh0.sock.key",
    "sources",
];

/// Destroys every app with all its data, ends the platform, and removes its folder of data: only what is ours in it, for
/// somebody may have named a folder that has other things too.
pub async fn purge(platform: Sh0, data: impl AsRef<Path>) -> Result<()> {
    let data = data.as_ref();
    platform.destroy_everything().await?;
    end(platform, data).await?;
    for path in OURS.iter().map(|name| data.join(name)) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    // Stays when there is something else in it.
    let _ = fs::remove_dir(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_log_begins_anew() -> Result<()> {
        let data = tempfile::tempdir()?;
        let log = data.path().join("serve.log");
        for (before, stays) in [(1024, true), (5 * 1024 * 1024, false)] {
            fs::write(&log, vec![b'\n'; before])?;
            let ended = start(&Program::new("/proc/self/exe").arg("--list"), data.path()).await.err();
            assert!(ended.is_some_and(|error| error.detail().contains("the server ended at once")));
            assert_eq!(fs::metadata(&log)?.len() > before as u64, stays, "what it printed was added, or stands alone");
        }
        Ok(())
    }
}
