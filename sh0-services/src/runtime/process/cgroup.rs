//! Control groups of both versions: limits, use, and an end for all that is in one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sh0_core::model::{Resources, Usage};

/// The folders in which groups are made, one for every hierarchy that is of use; none when not root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cgroups {
    bases: Vec<Base>,
    /// Why there are none, or fewer.
    pub missing: Vec<String>,
}

#[derive(Debug, Clone)]
struct Base {
    path: PathBuf,
    controllers: Vec<&'static str>,
    unified: bool,
}

/// Longer than any start takes.
const FRESH: Duration = Duration::from_secs(600);
const WANTED: [&str; 4] = ["memory", "cpu", "pids", "cpuacct"];

impl Cgroups {
    /// Finds what this host has, and makes sure it can be used.
    pub(crate) fn find(mounts: &str) -> Cgroups {
        let mut groups = Cgroups::default();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, mount, kind, options, ..] = fields.as_slice() else { continue };
            let (mount, unified) = match *kind {
                "cgroup" => (Path::new(mount), false),
                "cgroup2" => (Path::new(mount), true),
                _ => continue,
            };
            let has = match unified {
                true => fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default(),
                false => options.replace(',', " "),
            };
            let controllers: Vec<_> =
                WANTED.into_iter().filter(|wanted| has.split_whitespace().any(|one| one == *wanted)).collect();
            if controllers.is_empty() && !unified {
                continue;
            }
            let path = mount.join("sh0");
            match open_base(mount, &path, &controllers, unified) {
                Ok(()) => groups.bases.push(Base { path, controllers, unified }),
                Err(error) => groups.missing.push(format!("{}: {error}", path.display())),
            }
        }
        groups
    }

    /// Whether this kind of limit can be set.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.bases.iter().any(|base| base.controllers.contains(&controller))
    }

    /// The folders of a group, whether they exist or not.
    pub(crate) fn paths(&self, name: &str) -> Vec<PathBuf> {
        self.bases.iter().map(|base| base.path.join(name)).collect()
    }

    /// Makes a group with these limits.
    pub(crate) fn make(&self, name: &str, limits: &Resources) -> io::Result<Vec<PathBuf>> {
        for base in &self.bases {
            let group = base.path.join(name);
            fs::create_dir_all(&group)?;
            for controller in &base.controllers {
                limit(&group, controller, base.unified, limits)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", group.display())))?;
            }
        }
        Ok(self.paths(name))
    }

    /// Removes an empty group; fine when it is gone.
    pub(crate) fn remove(&self, name: &str) {
        for group in self.paths(name) {
            let _ = fs::remove_dir(group);
        }
    }

    /// Removes empty groups that a crash left. A fresh one may be on its way to its first process: it is left alone.
    pub(crate) fn sweep(&self) {
        for base in &self.bases {
            for group in fs::read_dir(&base.path).into_iter().flatten().flatten() {
                let age = group.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
                if age.is_some_and(|age| age > FRESH) {
                    let _ = fs::remove_dir(group.path());
                }
            }
        }
    }

    /// What a group uses, as far as its controllers can tell.
    pub(crate) fn usage(&self, name: &str) -> Usage {
        let mut usage = Usage::default();
        for base in &self.bases {
            let group = base.path.join(name);
            let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
            let field = |file: &str, name: &str| {
                let text = fs::read_to_string(group.join(file)).ok()?;
                text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
            };
            for controller in &base.controllers {
                match (*controller, base.unified) {
                    ("memory", false) => {
                        let cache = field("memory.stat", "total_inactive_file ").unwrap_or(0);
                        usage.memory = number("memory.usage_in_bytes").map(|bytes| bytes.saturating_sub(cache));
                    }
                    ("memory", true) => {
                        let cache = field("memory.stat", "inactive_file ").unwrap_or(0);
                        usage.memory = number("memory.current").map(|bytes| bytes.saturating_sub(cache));
                    }
                    ("cpu", true) => usage.cpu_micros = field("cpu.stat", "usage_usec "),
                    ("cpuacct", false) => usage.cpu_micros = number("cpuacct.usage").map(|nanos| nanos / 1000),
                    ("pids", _) => usage.pids = number("pids.current"),
                    _ => {}
                }
            }
        }
        usage
    }
}

/// In version 2 a controller works in a group only when every group above hands it down.
fn open_base(mount: &Path, path: &Path, controllers: &[&str], unified: bool) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if unified {
        for controller in controllers {
            for group in [mount, path] {
                fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))?;
            }
        }
    }
    Ok(())
}

fn limit(group: &Path, controller: &str, unified: bool, limits: &Resources) -> io::Result<()> {
    let write = |file: &str, value: String| fs::write(group.join(file), value);
    match (controller, unified) {
        ("memory", true) => {
            let Some(bytes) = limits.memory else { return Ok(()) };
            write("memory.max", bytes.0.to_string())?;
            // Without swap accounting the file is not there.
            let swap = write("memory.swap.max", "0".to_owned());
            if group.join("memory.swap.max").exists() { swap } else { Ok(()) }
        }
        ("memory", false) => {
            let Some(bytes) = limits.memory else { return Ok(()) };
            write("memory.limit_in_bytes", bytes.0.to_string())?;
            if group.join("memory.memsw.limit_in_bytes").exists() {
                write("memory.memsw.limit_in_bytes", bytes.0.to_string())?;
            }
            Ok(())
        }
        ("cpu", unified) => {
            let Some(cpus) = limits.cpus else { return Ok(()) };
            // Microseconds of CPU in each period of 100 ms; the kernel takes no less than 1 ms.
            let quota = (u64::from(cpus.0) * 100).max(1000);
            if unified {
                return write("cpu.max", format!("{quota} 100000"));
            }
            write("cpu.cfs_period_us", "100000".to_owned())?;
            write("cpu.cfs_quota_us", quota.to_string())
        }
        ("pids", _) => match limits.pids {
            Some(pids) => write("pids.max", pids.to_string()),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
