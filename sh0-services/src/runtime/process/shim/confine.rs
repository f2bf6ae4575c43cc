//! The step between the shim and the app: a process that takes rights away from itself and then becomes the app.
//!
//! The order matters. Mounts need root, and Landlock forbids them; opening what Landlock allows needs root too, when
//! the folders belong to others; a change of user clears the parent-death signal (prctl(2), `PR_SET_PDEATHSIG`);
//! no_new_privs comes before Landlock (landlock(7)).

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Pid, Resource, Rlimit, Signal, Uid};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::reap::HANDED_OVER;
use super::{Failure, complain, volumes};
use crate::runtime::process::launch::{Confine, Launch, Namespace, Program, read_json, take_over};

/// `sh0-shim exec FILE PARENT [status]`: does not return when all goes well.
///
/// With a parent that supervises, the file is `-`: standard input is a socket that brings the launch, and on which a
/// failure is reported; it closes by itself when the program has started, and that is how the parent knows.
pub(super) fn main(file: &Path, parent: Option<OsString>) -> ExitCode {
    let handed_over = file == Path::new(HANDED_OVER);
    let status = match handed_over.then(report_pipe).transpose() {
        Ok(status) => status,
        Err(error) => return fail(None, 126, &error),
    };
    let launch = match &status {
        Some(status) => take_over(status).map(Some),
        None => read_json(file),
    };
    let launch: Launch = match launch {
        Ok(Some(launch)) => launch,
        _ => return fail(status, 126, &"the launch cannot be read"),
    };
    if !handed_over {
        let _ = std::fs::remove_file(file);
    }
    let parent = parent.and_then(|text| text.to_str()?.parse().ok()).and_then(Pid::from_raw);
    if let Err(error) = confine(&launch, parent).and_then(|()| volumes::show(&launch)) {
        return fail(status, 126, &format!("the surroundings of the command cannot be made: {error}"));
    }
    match &launch.program {
        Program::Static { dir, spa, port } => {
            drop(status);
            crate::static_files::serve_folder(dir, *spa, *port)
        }
        Program::Exec(words) => {
            let Some((program, arguments)) = words.split_first() else {
                return fail(status, 127, &"the command is empty");
            };
            let mut command = Command::new(program);
            command.args(arguments).env_clear();
            // `Command` looks the program up in the PATH that is given here.
            command.envs(launch.env.iter().map(|(key, value)| (key, value.expose())));
            let error = command.exec();
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            fail(status, code, &format!("cannot run `{program}`: {error}"))
        }
    }
}

/// Standard input is the way to report a failure; the command itself reads from nothing.
fn report_pipe() -> Result<File, Failure> {
    let pipe = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(File::from(pipe))
}

fn fail(status: Option<File>, code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    complain(error);
    if let Some(mut status) = status {
        let _ = write!(status, "{error}");
    }
    ExitCode::from(code)
}

fn confine(launch: &Launch, parent: Option<Pid>) -> Result<(), Failure> {
    let limits = &launch.confine;
    let _ = rustix::process::setsid();
    if launch.terminal.is_some() {
        rustix::process::ioctl_tiocsctty(std::io::stdin())?;
    }
    for group in &limits.cgroups {
        let joined = std::fs::write(group.join("cgroup.procs"), "0");
        joined.map_err(|error| format!("joining the control group {}: {error}", group.display()))?;
    }
    if let Some(bytes) = limits.data_limit {
        lower(Resource::Data, bytes)?;
    }
    lower(Resource::Core, 0)?;
    mounts(limits).map_err(|error| format!("mounts of its own: {error}"))?;
    let rules = limits.landlock.then(|| rules(limits)).transpose()?;
    std::env::set_current_dir(&launch.cwd).map_err(|error| format!("{}: {error}", launch.cwd.display()))?;
    if let Some(id) = limits.uid {
        become_user(id)?;
    }
    die_with(parent)?;
    rustix::thread::set_no_new_privs(true)?;
    if let Some(rules) = rules {
        rules.restrict_self()?;
    }
    Ok(())
}

/// Limits only go down: raising one needs a capability, and nobody asks for it.
fn lower(resource: Resource, limit: u64) -> Result<(), Failure> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(limit, |maximum| maximum.min(limit));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// This process has one thread, so that the calls for threads change all of it.
fn become_user(id: u32) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    // Programs open /dev/stdout by name, and then the pipe's owner counts.
    let _ = rustix::fs::fchown(std::io::stdout(), Some(uid), Some(gid));
    let _ = rustix::fs::fchown(std::io::stderr(), Some(uid), Some(gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// The command dies with the shim that can report its end; a shim that died in between is noticed too.
fn die_with(parent: Option<Pid>) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match parent {
        Some(_) if rustix::process::getppid() != parent => Err("the shim is gone".into()),
        _ => Ok(()),
    }
}

/// Hides `cover` behind empty folders, and shows again what is needed below them, at the same paths: so that a folder
/// of the platform's may be closed to everybody, and an app in it still finds its own.
fn mounts(limits: &Confine) -> Result<(), Failure> {
    match limits.namespace {
        Namespace::None => return Ok(()),
        Namespace::Mount => unshare(UnshareFlags::NEWNS)?,
        Namespace::UserAndMount => {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            // user_namespaces(7): without this a group map is refused.
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
        }
    }
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let below = |path: &Path| limits.cover.iter().any(|cover| path.starts_with(cover));
    // Opened before they are hidden.
    let mut shown = Vec::new();
    for path in limits.read.iter().chain(&limits.write).filter(|path| below(path)) {
        if let Ok(fd) = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            shown.push((path, fd));
        }
    }
    // Outer folders first: an inner one would be hidden again.
    shown.sort_by_key(|(path, _)| path.components().count());
    let tmp = match &limits.private_tmp {
        // It gets all rights to it: a link would lead an app to where it has none.
        Some(path) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Some(rustix::fs::open(path, flags, Mode::empty())?)
        }
        None => None,
    };
    for cover in &limits.cover {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", cover, "tmpfs", flags, c"mode=0755,size=1m,nr_inodes=4k")?;
    }
    for (path, fd) in &shown {
        show(path, fd)?;
    }
    if let Some(tmp) = tmp {
        rustix::mount::mount_bind(link(&tmp), "/tmp")?;
    }
    Ok(())
}

fn show(path: &Path, fd: &OwnedFd) -> Result<(), Failure> {
    let is_dir = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == rustix::fs::FileType::Directory;
    if is_dir {
        std::fs::create_dir_all(path)?;
    } else {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        File::options().create(true).append(true).open(path)?;
    }
    Ok(rustix::mount::mount_bind_recursive(link(fd), path)?)
}

fn link(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// rustix calls this form unsafe only for flags that unshare the table of files; these do not.
#[allow(deprecated)]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(flags)
}

/// The newest rights that are asked for; an older kernel enforces those it knows.
const RIGHTS: ABI = ABI::V5;

fn rules(limits: &Confine) -> Result<RulesetCreated, Failure> {
    let all = AccessFs::from_all(RIGHTS);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if limits.scope_signals {
        rules = rules.scope(Scope::Signal)?;
    }
    let mut rules = rules.create()?;
    for (paths, access) in [(&limits.read, AccessFs::from_read(RIGHTS)), (&limits.write, all)] {
        for path in paths {
            let Ok(fd) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(RIGHTS) };
            rules = rules.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    Ok(rules)
}

/// What the host allows, found out by doing it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// It has Landlock.
    pub landlock: bool,
    /// Mounts of one's own can be had.
    pub namespace: bool,
    /// Why not.
    pub namespace_error: String,
}

/// `sh0-shim probe [root]`: prints a [`Probe`].
pub(super) fn probe(as_root: Option<OsString>) -> Result<ExitCode, Failure> {
    let namespace = if as_root.is_some() { Namespace::Mount } else { Namespace::UserAndMount };
    // /mnt exists everywhere (FHS 3.0 section 3.12); what is mounted there is seen by this process alone.
    let tried = mounts(&Confine { namespace, cover: vec!["/mnt".into()], ..Confine::default() });
    let landlock = rustix::thread::set_no_new_privs(true).is_ok()
        && rules(&Confine::default())
            .and_then(|rules| Ok(rules.restrict_self()?))
            .is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced);
    let probe = Probe {
        landlock,
        namespace: tried.is_ok(),
        namespace_error: tried.err().map(|error| error.to_string()).unwrap_or_default(),
    };
    serde_json::to_writer(std::io::stdout(), &probe)?;
    Ok(ExitCode::SUCCESS)
}
