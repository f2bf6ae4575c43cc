//! What a provider knows about building an image, beside the plan that people read.

use sh0_core::model::RelPath;

use crate::images::Base;
use crate::provider::DevOnly;
use crate::text::At;

/// What the renderer needs beyond the plan.
#[derive(Default)]
pub(crate) struct Recipe {
    /// What builds, with the version; nothing has to be built when absent.
    pub(crate) build: Option<(&'static Base, String)>,
    /// What the app runs on; absent for static files.
    pub(crate) run: Option<(&'static Base, String)>,
    /// What the build takes from other images: a package manager of another stack, say.
    pub(crate) borrow: Vec<Borrow>,
    /// Debian packages that the build needs.
    pub(crate) build_packages: Vec<&'static str>,
    /// Debian packages that the app needs when it runs.
    pub(crate) packages: Vec<&'static str>,
    /// Debian packages that the owner asks for, in the build and when it runs.
    pub(crate) debian_packages: Vec<String>,
    /// What dependencies are installed from: copied before the source, so that a change of source keeps that layer.
    pub(crate) manifests: Vec<String>,
    /// Installing needs the whole source (local packages).
    pub(crate) install_needs_source: bool,
    /// Runs before the install, on manifests only.
    pub(crate) before_install: Vec<String>,
    /// Runs in images before the build, in one command with it.
    pub(crate) before_build: Vec<&'static str>,
    /// Ends the build, whoever wrote it, as long as `ship_for` is what starts: the command, why, and where that is said.
    pub(crate) build_last: Option<(String, &'static str, At)>,
    /// What the install alone fills, in the folder of the app: its paths as `find -path` matches them. A layer of its own
    /// ships it, which a change of the source leaves as it is.
    pub(crate) installed: Option<&'static str>,
    /// Drops what only the build needed from what was installed, by the manifests alone.
    pub(crate) prune: Option<String>,
    /// Runs after the build, on what is shipped.
    pub(crate) trim: Vec<String>,
    /// What is never shipped, in the folder of the app: patterns of a shell.
    pub(crate) drop: Vec<String>,
    /// Files and folders that are shipped; the whole folder of the app when empty.
    pub(crate) ship: Vec<String>,
    /// The only command for which `ship` is enough, where others need the whole folder.
    pub(crate) ship_for: Option<String>,
    /// Folders outside of the app's that the build fills and the app needs; they stay root's.
    pub(crate) ship_system: Vec<&'static str>,
    /// What the build fetches, kept between builds where the builder can: id and folder.
    pub(crate) caches: Vec<(&'static str, &'static str)>,
    /// Variables of the build stage alone.
    pub(crate) build_env: Vec<(&'static str, &'static str)>,
    /// Runs in the stage that ships, before the app is copied.
    pub(crate) before_ship: Vec<String>,
    /// Why nothing starts although the tree has an app: there are several, or it is none of a server.
    pub(crate) several: Option<String>,
    /// The port that the detected start command listens on, whatever `PORT` says.
    pub(crate) fixed_port: Option<FixedPort>,
    /// What Node's image leaves out, unless a command needs it.
    pub(crate) dev_only: Option<DevOnly>,
    /// What a Procfile says for another platform, where the provider has something in its place.
    pub(crate) stand_ins: Vec<StandIn>,
    /// What the build makes too, where a command names it.
    pub(crate) programs: Vec<Program>,
    /// Where the build leaves programs that are not shipped from there.
    pub(crate) unshipped: Option<&'static str>,
    /// Where the tool that builds keeps what it needs of itself, when that is shipped: its variable and the folder.
    pub(crate) tool_home: Option<(&'static str, &'static str)>,
    /// A command runs the tool that builds: it is shipped with the source.
    pub(crate) ship_tool: bool,
    /// The tree's own Dockerfile says what its image runs, and a Procfile's program may not be in it.
    pub(crate) own_command: bool,
    /// Lines of the `.dockerignore` beyond the common ones.
    pub(crate) ignore: Vec<String>,
}

/// A file or folder of another image that the build needs.
pub(crate) struct Borrow {
    pub(crate) base: &'static Base,
    pub(crate) version: String,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A command that stands for one of another platform.
pub(crate) struct StandIn {
    /// What the other platform has.
    pub(crate) says: String,
    /// What is run here.
    pub(crate) runs: String,
    /// What stands between it and its arguments; without, it is the whole command.
    pub(crate) arguments: Option<&'static str>,
    pub(crate) why: &'static str,
}

impl StandIn {
    /// What is run for this command, if it is meant.
    pub(crate) fn of(&self, command: &str) -> Option<String> {
        let (before, rest) = command.split_once(&self.says)?;
        let before = before.strip_suffix("./").unwrap_or(before);
        let Some(between) = self.arguments else {
            return (before.is_empty() && rest.is_empty()).then(|| self.runs.clone());
        };
        let arguments = match rest {
            "" => String::new(),
            _ => format!(" {}", rest.strip_prefix(between)?),
        };
        (before.is_empty() || before.ends_with(' ')).then(|| format!("{before}{}{arguments}", self.runs))
    }
}

/// A program of the tree beside the one that starts.
pub(crate) struct Program {
    /// Where the build puts it, in the folder where commands run.
    pub(crate) path: String,
    /// The name by which commands may call it, where its folder is in `PATH`.
    pub(crate) name: Option<String>,
    /// Where it lies in the folder of the app.
    pub(crate) ship: RelPath,
    /// What makes it, and the command of the build that this follows at once.
    pub(crate) build: String,
    pub(crate) follows: String,
}

/// A port that is written into a script.
pub(crate) struct FixedPort {
    pub(crate) port: u16,
    pub(crate) at: At,
    /// What to use in place of the number.
    pub(crate) instead: &'static str,
    /// The command that starts this script.
    pub(crate) command: String,
}
