//! A user for every app: numbers that belong to nobody else on the host.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use rustix::fs::FlockOperation;
use sh0_core::model::AppId;
use sha2::{Digest, Sha256};

use super::launch::{read_json, write_json};
use super::layout::Layout;

/// Above the users that people and packages get, below those that containers map (524288 on, systemd's nspawn).
const FIRST: u32 = 200_000;
const COUNT: u32 = 300_000;

/// The user of this app: the same for ever, chosen by hash and written down, so that no two apps share one.
pub(crate) fn of(layout: &Layout, app: AppId) -> io::Result<u32> {
    let lock = File::options().create(true).append(true).mode(0o600).open(layout.root.join("users.lock"))?;
    // Whoever can open it can hold it locked, for ever (flock(2)): no app may.
    lock.set_permissions(Permissions::from_mode(0o600))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let path = layout.root.join("users.json");
    let mut users: BTreeMap<AppId, u32> = read_json(&path)?.unwrap_or_default();
    if let Some(user) = users.get(&app) {
        return Ok(*user);
    }
    let hash = Sha256::digest(app.to_string().as_bytes());
    let start = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % COUNT;
    let free =
        (0..COUNT).map(|step| FIRST + (start + step) % COUNT).find(|user| !users.values().any(|used| used == user));
    let user = free.ok_or_else(|| io::Error::other("every user number of sh0 is taken"))?;
    users.insert(app, user);
    write_json(&path, &users)?;
    Ok(user)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_app_can_open_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let path = layout.root.join("users.lock");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        of(&layout, "01j9zq00000000000000000000".parse().unwrap()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn every_app_keeps_a_user_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let apps: Vec<AppId> = (0..50u32).map(|n| format!("01j9zq0000000000000000{n:04}").parse().unwrap()).collect();
        let first: Vec<u32> = apps.iter().map(|app| of(&layout, *app).unwrap()).collect();
        let again: Vec<u32> = apps.iter().map(|app| of(&layout, *app).unwrap()).collect();
        assert_eq!(first, again);
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 50);
        assert!(first.iter().all(|user| (FIRST..FIRST + COUNT).contains(user)));
    }
}
