//! Small help for a loop on poll(2).

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Waits until one of these can be read, hung up, or (when wanted) written, or until `deadline`.
///
/// Answers which are ready, in the order they were given.
pub(super) fn wait(fds: &[(BorrowedFd<'_>, bool, bool)], deadline: Option<Instant>) -> std::io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds
        .iter()
        .map(|(fd, read, write)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, *read);
            flags.set(PollFlags::OUT, *write);
            PollFd::from_borrowed_fd(*fd, flags)
        })
        .collect();
    let timeout = deadline.map(|deadline| {
        // One millisecond more: waking before the deadline would spin.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
    });
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error.into()),
    }
}

/// What a read that does not wait brought.
pub(super) enum Got {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// Reads without waiting; the descriptor does not block.
pub(super) fn read(fd: impl AsFd, buffer: &mut [u8]) -> Got {
    match rustix::io::read(fd, buffer) {
        Ok(0) => Got::End,
        Ok(count) => Got::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
        // A terminal answers EIO when its last process is gone.
        Err(_) => Got::End,
    }
}
