//! `data/<name>` in an app's folder leads to its volume.
//!
//! Done by the step that becomes the command, when it has no more rights than the command: the folder is the app's, and
//! whatever lies under these names, the app may have put it there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::Failure;
use crate::runtime::process::build::copy_tree;
use crate::runtime::process::launch::{Launch, Shown};

/// Makes the links, in the working folder of the launch.
pub(super) fn show(launch: &Launch) -> Result<(), Failure> {
    for volume in &launch.volumes {
        show_one(&launch.cwd.join("data"), volume).map_err(|error| format!("data/{}: {error}", volume.name))?;
    }
    Ok(())
}

/// What the release brought there is the first content of an empty volume, as with containers.
fn show_one(data: &Path, volume: &Shown) -> Result<(), Failure> {
    let link = data.join(volume.name.as_str());
    let leads_there = || fs::read_link(&link).is_ok_and(|target| target == volume.path);
    match fs::create_dir(data) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    // An app that has something else there finds its volume by its variable.
    if leads_there() || !data.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    // Several instances of one release may come here at once.
    let lock = File::open(&volume.path)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    if leads_there() {
        return Ok(());
    }
    if let Ok(found) = link.symlink_metadata() {
        if found.is_dir() && fs::read_dir(&volume.path)?.next().is_none() {
            copy_tree(&link, &volume.path, None)?;
        }
        let aside = (0..100)
            .map(|count| if count == 0 { String::new() } else { format!("-{count}") })
            .map(|count| data.join(format!(".{}.of-the-release{count}", volume.name)))
            .find(|aside| aside.symlink_metadata().is_err());
        fs::rename(&link, aside.ok_or("there is no free name for what lies there")?)?;
    }
    Ok(std::os::unix::fs::symlink(&volume.path, &link)?)
}
