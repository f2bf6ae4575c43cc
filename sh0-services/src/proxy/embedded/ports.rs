//! Free ports of the loopback address.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use sh0_core::{Error, Result};

/// Below the range from which Linux takes ports for outgoing connections (32768 and up), so that a port that was given
/// is still free after a restart.
const RANGE: Range<u16> = 20_000..32_000;
/// How far from the preferred port a neighbour is still as good.
const NEIGHBOURS: u16 = 20;

/// `preferred` if it is free, else one close above it, else any.
pub(super) fn find(preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
    let near = preferred.filter(|port| *port > 0).into_iter().flat_map(|port| port..=port.saturating_add(NEIGHBOURS));
    // Begins anywhere: several that look at once should not all find the same one.
    let any = RandomState::new().hash_one(0u8) % u64::try_from(RANGE.len()).unwrap_or(1);
    let middle = RANGE.start.saturating_add(u16::try_from(any).unwrap_or_default());
    let mut candidates = near.chain(middle..RANGE.end).chain(RANGE.start..middle);
    candidates
        .find(|port| !taken.contains(port) && is_free(*port))
        .ok_or_else(|| Error::unavailable("no port of 127.0.0.1 is free; stop something that listens there"))
}

/// The standard library sets SO_REUSEADDR before it binds, so connections that ended lately do not count as an owner.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
