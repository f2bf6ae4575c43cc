//! What this host allows, found out once, and said in plain words.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sh0_core::model::{Capability, Resources, Secret, Support};

use super::cgroup::Cgroups;
use super::config::ProcessConfig;
use super::launch::{Confine, Namespace};
use super::layout::Layout;
use super::shim::Probe;

/// What apps may read everywhere. `/var` is not among them, nor homes.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/var/lib/ca-certificates",
];
/// Devices; their own rights decide.
const DEVICES: &str = "/dev";

/// What this host allows.
#[derive(Debug)]
pub(crate) struct Host {
    root: bool,
    probe: Probe,
    shim_error: Option<String>,
    pub cgroups: Cgroups,
    /// Every app has a user of its own.
    pub own_users: bool,
    unreachable: Option<PathBuf>,
    hidden: Vec<PathBuf>,
    read: Vec<PathBuf>,
}

impl Host {
    pub(crate) async fn find(config: &ProcessConfig, layout: &Layout) -> Host {
        let root = rustix::process::geteuid().is_root();
        let (probe, shim_error) = match probe(config, root).await {
            Ok(probe) => (probe, None),
            Err(error) => (Probe::default(), Some(error)),
        };
        let cgroups = match root {
            true => Cgroups::find(&std::fs::read_to_string("/proc/self/mounts").unwrap_or_default()),
            false => Cgroups::default(),
        };
        let unreachable = closed_above(&layout.root);
        let mut hidden: Vec<PathBuf> = config.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        hidden.push(layout.root.clone());
        let read = readable(config, &hidden);
        let own_users = root && config.own_users && (probe.namespace || unreachable.is_none());
        Host { root, probe, shim_error, cgroups, own_users, unreachable, hidden, read }
    }

    /// What holds for a command that may change `write`, sees `tmp` as `/tmp`, and belongs to this user.
    pub(crate) fn confine(
        &self,
        uid: Option<u32>,
        cgroups: Vec<PathBuf>,
        limits: &Resources,
        mut write: Vec<PathBuf>,
        tmp: PathBuf,
    ) -> Confine {
        let namespace = match (self.probe.namespace, self.root) {
            (false, _) => Namespace::None,
            (true, true) => Namespace::Mount,
            (true, false) => Namespace::UserAndMount,
        };
        let cover = match namespace {
            Namespace::None => Vec::new(),
            _ => self.covers(uid.is_some(), &write),
        };
        write.push(DEVICES.into());
        let under_tmp = |path: &PathBuf| path.starts_with("/tmp");
        let tmp_is_free = !cover.iter().chain(&self.read).chain(&write).chain(&self.hidden).any(under_tmp);
        if tmp_is_free {
            write.push("/tmp".into());
            write.push("/var/tmp".into());
        }
        let limited = self.cgroups.has("memory");
        Confine {
            uid,
            cgroups,
            data_limit: limits.memory.filter(|_| !limited).map(|bytes| bytes.0),
            namespace,
            private_tmp: (tmp_is_free && namespace != Namespace::None).then_some(tmp),
            cover,
            landlock: self.probe.landlock,
            scope_signals: self.probe.landlock && uid.is_none(),
            read: self.read.clone(),
            write,
        }
    }

    /// Folders to hide: the platform's own, and those that the app's user could not pass anyway, so that what it needs
    /// below them can be shown again. No folder within another.
    fn covers(&self, own_user: bool, write: &[PathBuf]) -> Vec<PathBuf> {
        let mut covers = self.hidden.clone();
        if own_user {
            covers.extend(self.read.iter().chain(write).filter_map(|path| closed_above(path)));
        }
        covers.sort();
        covers.dedup();
        let all = covers.clone();
        covers.retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
        covers
    }

    /// In words, for `sh0 doctor`.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let yes = || Support::Yes;
        let no = |reason: String| Support::No { reason };
        let degraded = |reason: String| Support::Degraded { reason };
        let as_root = "sh0 does not run as root; run it as root to have this";
        let mut list = Vec::new();
        let mut add = |name: &str, support| list.push(Capability { name: name.to_owned(), support });
        add(
            "supervisor",
            match &self.shim_error {
                None => yes(),
                Some(error) => no(format!("the shim does not answer, so that nothing can be started: {error}")),
            },
        );
        add(
            "own user per app",
            match (&self.unreachable, self.own_users, self.root) {
                (_, true, _) => yes(),
                (Some(path), false, true) => no(format!(
                    "users other than root cannot enter {}, and mounts of its own cannot be had here ({}): put the data folder below one that they can enter, such as /var/lib/sh0",
                    path.display(),
                    self.probe.namespace_error
                )),
                (None, false, true) => no("it is switched off".to_owned()),
                (_, false, false) => no(as_root.to_owned()),
            },
        );
        add(
            "hidden platform files",
            match (self.probe.namespace, self.probe.landlock, self.own_users) {
                (true, ..) => yes(),
                (false, true, _) => degraded(format!(
                    "Landlock keeps apps from reading them, but mounts of its own cannot be had here ({}), so that an app of the same user can see the platform's sockets; it does not have their keys",
                    self.probe.namespace_error
                )),
                (false, false, true) => degraded("only the rights of files keep apps from them".to_owned()),
                (false, false, false) => no(self.open_to_apps()),
            },
        );
        add(
            "file sandbox",
            match self.probe.landlock {
                true => yes(),
                false => no("this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)".to_owned()),
            },
        );
        let problems = self.cgroups.missing.join("; ");
        for (name, controller) in [("memory limit", "memory"), ("cpu limit", "cpu"), ("process limit", "pids")] {
            let support = match (self.cgroups.has(controller), self.root, controller) {
                (true, ..) => yes(),
                (false, false, "memory") => {
                    degraded(format!("it holds for each process, not for all of an app together: {as_root}"))
                }
                (false, false, _) => no(as_root.to_owned()),
                (false, true, _) if problems.is_empty() => no(format!("no control group has `{controller}` here")),
                (false, true, _) => no(format!("control groups cannot be used here: {problems}")),
            };
            add(name, support);
        }
        add("survives the control plane", yes());
        add("own network", no("apps share the host's network; each has a port of its own".to_owned()));
        add("images", no("it starts programs of the host; use the docker runtime for images".to_owned()));
        let level = self.level();
        add("isolation between apps", if level == FULL { yes() } else { degraded(level.to_owned()) });
        list
    }

    /// For a start: where no user, no mounts and no Landlock stand between apps and the platform.
    pub(crate) fn caution(&self) -> Option<String> {
        let open = !self.probe.namespace && !self.probe.landlock && !self.own_users && self.shim_error.is_none();
        open.then(|| format!("apps are not kept away from the platform: {}", self.open_to_apps()))
    }

    fn open_to_apps(&self) -> String {
        format!(
            "this kernel has no Landlock, and mounts of its own cannot be had here ({}): an app can read what the user of sh0 can, the keys of the platform too, and drive it: deploy only apps that you trust, or use Docker",
            self.probe.namespace_error
        )
    }

    /// Why the shim does not answer.
    pub(crate) fn shim_error(&self) -> Option<&str> {
        self.shim_error.as_deref()
    }

    /// All of it in one word and its meaning.
    pub(crate) fn level(&self) -> &'static str {
        let limits = self.cgroups.has("memory") && self.cgroups.has("pids");
        let sandbox = self.probe.landlock && self.probe.namespace;
        match (self.own_users, limits, sandbox) {
            (true, true, true) => FULL,
            (true, true, false) => "limits: own users and limits, but no full sandbox",
            (_, _, true) => "sandboxed: apps cannot read the platform's files, but have no hard limits",
            _ => "supervised: apps are kept running, and trusted with what the user of sh0 may do",
        }
    }
}

const FULL: &str = "full: own users, limits, a sandbox for files and mounts of their own";

/// The first folder above this one, or itself, that users other than its owner cannot pass.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above.into_iter().find(|dir| dir.metadata().is_ok_and(|meta| meta.mode() & 0o001 == 0)).map(Path::to_owned)
}

/// The system, and where the toolchains of `PATH` have their files.
fn readable(config: &ProcessConfig, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    let mut add = |path: PathBuf| {
        let Ok(path) = path.canonicalize() else { return };
        let known = read.iter().any(|known| path.starts_with(known));
        let holds_secrets = hidden.iter().any(|hidden| hidden.starts_with(&path) || path.starts_with(hidden));
        if !known && !holds_secrets && path != Path::new("/") {
            read.push(path);
        }
    };
    for path in config.path.split(':').map(Path::new).filter(|path| path.is_absolute()) {
        // Such as .pyenv/shims, .nvm/versions/node/v22/bin: the toolchain is the folder above. In a home or in .local
        // that folder is everybody's, and .cargo holds credentials.
        let above =
            path.parent().filter(|_| path.ends_with("bin") || path.ends_with("shims") || path.ends_with("sbin"));
        let shared = |dir: &Path| {
            dir.ends_with(".local")
                || dir.ends_with(".cargo")
                || dir == Path::new("/root")
                || dir.parent() == Some(Path::new("/home"))
        };
        match above {
            Some(dir) if !shared(dir) => add(dir.to_owned()),
            Some(dir) if dir.ends_with(".cargo") => {
                add(path.to_owned());
                add(dir.with_file_name(".rustup"));
            }
            Some(dir) if dir.ends_with(".local") => {
                add(path.to_owned());
                add(dir.join("lib"));
                add(dir.join("share/uv"));
            }
            _ => add(path.to_owned()),
        }
    }
    let named = config.toolchain.values().map(String::as_str).chain(config.build_env.values().map(Secret::expose));
    named.map(PathBuf::from).filter(|path| path.is_absolute()).for_each(&mut add);
    config.readable.iter().cloned().for_each(&mut add);
    read
}

/// Asks the shim what works here.
async fn probe(config: &ProcessConfig, root: bool) -> Result<Probe, String> {
    let mut command = tokio::process::Command::new(&config.shim.program);
    command.args(&config.shim.args).arg("probe").args(root.then_some("root")).env_clear().kill_on_drop(true);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let name = config.shim.program.display();
    let output = match tokio::time::timeout(Duration::from_secs(20), command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{name}: {error}")),
        Err(_) => return Err(format!("{name} did not answer in 20 s")),
    };
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{name} answered nonsense: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_keeps_apps_from_nothing_is_warned_about_in_the_words_of_doctor() {
        let host = |root, landlock, namespace| Host {
            root,
            probe: Probe { landlock, namespace, namespace_error: "not allowed".to_owned() },
            shim_error: None,
            cgroups: Cgroups::default(),
            own_users: root,
            unreachable: None,
            hidden: Vec::new(),
            read: Vec::new(),
        };
        let open = host(false, false, false);
        let caution = open.caution().unwrap_or_default();
        assert!(caution.contains("deploy only apps that you trust") && caution.contains("not allowed"), "{caution}");
        let hidden = open.capabilities().into_iter().find(|one| one.name == "hidden platform files");
        assert!(
            matches!(hidden.map(|one| one.support), Some(Support::No { reason }) if caution.contains(&reason)),
            "{caution}"
        );
        for (root, landlock, namespace) in [(true, false, false), (false, true, false), (false, false, true)] {
            assert_eq!(host(root, landlock, namespace).caution(), None);
        }
    }
}
