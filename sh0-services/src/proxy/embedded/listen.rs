//! Doors: sockets that accept connections, opened and closed as the table says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Shared, connection};

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: u32 = 4096;

/// All listeners. Whoever holds them changes the table.
#[derive(Default)]
pub(super) struct Doors {
    open: BTreeMap<SocketAddr, Door>,
    failed: BTreeMap<SocketAddr, String>,
}

struct Door {
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

impl Doors {
    /// Listeners that could not be opened, and why.
    pub(super) fn failed(&self) -> &BTreeMap<SocketAddr, String> {
        &self.failed
    }

    /// Stops listening where it is not wanted any more. Connections that exist finish what they do. Returns once the
    /// sockets are closed, so that what replaces them can be opened.
    pub(super) async fn close_all_but(&mut self, wanted: &BTreeSet<SocketAddr>) {
        self.failed.retain(|addr, _| wanted.contains(addr));
        let closing: Vec<SocketAddr> = self.open.keys().filter(|addr| !wanted.contains(addr)).copied().collect();
        for addr in closing {
            if let Some(door) = self.open.remove(&addr) {
                door.stop.cancel();
                // It ends at the cancellation; that it panicked changes nothing here.
                let _ = door.accepting.await;
            }
        }
    }

    /// Opens what is wanted and not open. Nothing is accepted yet.
    pub(super) fn open(&mut self, wanted: &BTreeSet<SocketAddr>) -> Vec<(SocketAddr, TcpListener)> {
        let missing: Vec<SocketAddr> = wanted.iter().filter(|addr| !self.open.contains_key(addr)).copied().collect();
        let mut opened = Vec::with_capacity(missing.len());
        for addr in missing {
            match listen(addr) {
                Ok(listener) => {
                    self.failed.remove(&addr);
                    opened.push((addr, listener));
                }
                Err(error) => {
                    if self.failed.insert(addr, error.to_string()).is_none() {
                        tracing::warn!(%addr, %error, "a listener could not be opened; it is tried again");
                    }
                }
            }
        }
        opened
    }

    /// Begins to accept.
    pub(super) fn accept(&mut self, shared: &Arc<Shared>, opened: Vec<(SocketAddr, TcpListener)>) {
        for (addr, listener) in opened {
            let stop = shared.end.child_token();
            let accepting = tokio::spawn(accept(listener, addr, shared.clone(), stop.clone()));
            self.open.insert(addr, Door { stop, accepting });
        }
    }

    /// Tries again what failed.
    pub(super) fn retry(&mut self, shared: &Arc<Shared>) {
        let failed: BTreeSet<SocketAddr> = self.failed.keys().copied().collect();
        let opened = self.open(&failed);
        self.accept(shared, opened);
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    if addr.port() == 0 {
        return Err(io::Error::other("a listener needs a port of its own, 0 is none"));
    }
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the former owner of the port may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, door: SocketAddr, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        // At the limit, new connections wait in the kernel.
        let room = tokio::select! {
            room = shared.room.clone().acquire_owned() => room,
            () = stop.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (own, stop) = (shared.clone(), stop.clone());
                shared.spawn(async move {
                    let _room = room;
                    connection::serve(own, stream, door, peer, stop).await;
                });
            }
            // Out of file descriptors, or a connection that died while it waited: neither ends the listener.
            Err(error) => {
                tracing::debug!(%door, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
