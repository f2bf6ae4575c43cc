//! One inotify descriptor for a whole runtime (the kernel gives a user only 128 of them by default): wakes those who
//! follow a log, and tells those who follow the states which of them changed.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::{broadcast, watch};

use super::procfs::evented;

/// A state file changed, came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// This one.
    State(String),
    /// Some were not reported.
    Lost,
}

pub(crate) struct Hub {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    inotify: AsyncFd<OwnedFd>,
    watches: Mutex<HashMap<i32, watch::Sender<()>>>,
    states: broadcast::Sender<Change>,
    states_watch: i32,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    /// Watches the folder of states from now on.
    pub(crate) fn start(states: &Path) -> io::Result<Hub> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let states_watch = inotify::add_watch(&inotify, states, flags)?;
        let shared = Arc::new(Shared {
            inotify: evented(inotify)?,
            watches: Mutex::default(),
            states: broadcast::channel(1024).0,
            states_watch,
        });
        let task = tokio::spawn(read(shared.clone()));
        Ok(Hub { shared, task })
    }

    /// Wakes when something in this folder is written, made or removed.
    pub(crate) fn watch(&self, folder: &Path) -> io::Result<watch::Receiver<()>> {
        let mut watches = lock(&self.shared.watches);
        watches.retain(|id, sender| {
            let used = sender.receiver_count() > 0;
            if !used {
                let _ = inotify::remove_watch(self.shared.inotify.get_ref(), *id);
            }
            used
        });
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE_SELF;
        let id = inotify::add_watch(self.shared.inotify.get_ref(), folder, flags)?;
        Ok(watches.entry(id).or_insert_with(|| watch::channel(()).0).subscribe())
    }

    /// Changes of states from now on.
    pub(crate) fn states(&self) -> broadcast::Receiver<Change> {
        self.shared.states.subscribe()
    }
}

async fn read(shared: Arc<Shared>) {
    let mut buffer = vec![MaybeUninit::uninit(); 16 * 1024];
    while let Ok(mut ready) = shared.inotify.readable().await {
        let mut events = Reader::new(shared.inotify.get_ref(), &mut buffer);
        loop {
            match events.next() {
                Ok(event) => shared.tell(&event),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        ready.clear_ready();
    }
}

impl Shared {
    fn tell(&self, event: &inotify::Event<'_>) {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            let _ = self.states.send(Change::Lost);
            for sender in lock(&self.watches).values() {
                let _ = sender.send(());
            }
        } else if event.wd() == self.states_watch {
            let name = event.file_name().and_then(|name| name.to_str().ok());
            if let Some(name) = name.and_then(|name| name.strip_suffix(".json")).filter(|name| !name.starts_with('.')) {
                let _ = self.states.send(Change::State(name.to_owned()));
            }
        } else if event.events().contains(ReadFlags::IGNORED) {
            // Dropping the sender tells the followers that the folder is gone.
            lock(&self.watches).remove(&event.wd());
        } else if let Some(sender) = lock(&self.watches).get(&event.wd()) {
            let _ = sender.send(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
