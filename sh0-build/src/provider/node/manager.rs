//! The four package managers: which one, and its commands.

use super::Tree;
use super::dev::DevOnly;
use super::frameworks::Framework;
use crate::command;
use crate::draft::{Draft, Pin, tool_versions, version_file};
use crate::images;
use crate::text::At;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Npm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
    Pnpm,
    Bun,
}

/// Lockfiles, in the order in which they win when there are several: what was chosen beside npm was chosen on purpose.
const LOCKFILES: &[(&str, Manager)] = &[
    ("bun.lock", Manager::Bun),
    ("bun.lockb", Manager::Bun),
    ("pnpm-lock.yaml", Manager::Pnpm),
    ("yarn.lock", Manager::Yarn),
    ("package-lock.json", Manager::Npm),
    ("npm-shrinkwrap.json", Manager::Npm),
];

/// Scripts that an install runs.
const HOOKS: &[&str] = &["preinstall", "install", "postinstall", "prepare"];

/// The manifests of more members than this are not copied one by one.
const MAX_COPIED: usize = 100;

/// The manager of a tree as it is when the app runs: what the manifest and the settings at the top of a workspace say
/// holds for its members too.
pub(super) struct Runner {
    pub(super) manager: Manager,
    pub(super) plug_and_play: bool,
    pub(super) package: Option<String>,
    /// The version of Bun that the tree asks for.
    pub(super) bun: Option<Pin>,
}

impl Runner {
    pub(super) fn of(tree: &Tree<'_>, manager: Manager) -> Runner {
        Runner {
            manager,
            plug_and_play: manager.plug_and_play(tree),
            package: manager.package(tree),
            bun: bun_pin(tree),
        }
    }
}

impl Manager {
    /// `packageManager` says, else the lockfile, else npm.
    pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft) -> Manager {
        let found = Self::told(tree)
            .or_else(|| Self::named(tree))
            .or_else(|| Self::locked(tree))
            .or_else(|| Self::in_engines(tree))
            .or_else(|| Self::by_its_files(tree))
            .or_else(|| Self::in_scripts(tree));
        let (manager, why, at) = found.unwrap_or_else(|| {
            (Manager::Npm, "nothing in the tree asks for another".to_owned(), At::file("package.json"))
        });
        draft.because_of(format!("package_manager = {}", manager.name()), why, at);
        draft.plan.package_manager = Some(manager.name().to_owned());
        manager
    }

    /// `package_manager` of sh0.toml.
    fn told(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        let (wanted, at) = crate::config::package_manager(tree.files)?;
        let manager = match wanted.as_str() {
            "npm" => Manager::Npm,
            "yarn" => Self::locked(tree)
                .map(|(manager, ..)| manager)
                .filter(|m| *m == Manager::Berry)
                .unwrap_or(Manager::Yarn),
            "pnpm" => Manager::Pnpm,
            "bun" => Manager::Bun,
            _ => return None,
        };
        Some((manager, "the owner wrote it down".to_owned(), at))
    }

    /// Files that only one of them reads.
    fn by_its_files(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        const FILES: &[(&str, Manager)] = &[
            ("pnpm-workspace.yaml", Manager::Pnpm),
            (".pnpmfile.cjs", Manager::Pnpm),
            ("package.json5", Manager::Pnpm),
            (".yarnrc.yml", Manager::Berry),
            (".yarnrc", Manager::Yarn),
            ("bunfig.toml", Manager::Bun),
        ];
        // A lockfile for each branch (pnpm.io/git_branch_lockfiles).
        let is_lockfile = |name: &String| name.starts_with("pnpm-lock.") && name.ends_with(".yaml");
        if let Some(file) = tree.files.names("").into_iter().find(is_lockfile) {
            return Some((Manager::Pnpm, format!("only pnpm writes {file}"), At::file(file)));
        }
        let (file, manager) = FILES.iter().find(|(file, _)| tree.files.is_file(file))?;
        Some((*manager, format!("only {} reads {file}", manager.name()), At::file(*file)))
    }

    fn named(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        let wanted = tree
            .manifest
            .str(&["packageManager"])
            .or_else(|| tree.manifest.str(&["devEngines", "packageManager", "name"]))?;
        // `pnpm@9.1.0+sha512.abc`
        let wanted = wanted.split('+').next().unwrap_or(wanted);
        let (name, version) = wanted.split_once('@').unwrap_or((wanted, ""));
        let manager = match name {
            "npm" => Manager::Npm,
            "yarn" if version.starts_with("1.") || version == "1" => Manager::Yarn,
            "yarn" if version.is_empty() => Self::locked(tree).map_or(Manager::Yarn, |(manager, ..)| manager),
            "yarn" => Manager::Berry,
            "pnpm" => Manager::Pnpm,
            "bun" => Manager::Bun,
            _ => return None,
        };
        Some((manager, format!("packageManager is `{wanted}`"), tree.manifest.at(&["packageManager"])))
    }

    /// `engines` names the one that people have to have.
    fn in_engines(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        let engines = [("pnpm", Manager::Pnpm), ("yarn", Manager::Yarn), ("bun", Manager::Bun)];
        let (name, manager) = engines.into_iter().find(|(name, _)| tree.manifest.str(&["engines", name]).is_some())?;
        Some((manager, format!("engines asks for {name}"), tree.manifest.at(&["engines", name])))
    }

    /// Scripts that Bun runs, where nobody committed a lockfile and no script says what starts the app: Bun does.
    fn in_scripts(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        let by_bun = |name: &&str| tree.script(name).and_then(command::program) == Some("bun");
        let name = ["dev", "build"].into_iter().find(by_bun).filter(|_| tree.script("start").is_none())?;
        Some((Manager::Bun, format!("the script `{name}` runs with it"), tree.manifest.at(&["scripts", name])))
    }

    fn locked(tree: &Tree<'_>) -> Option<(Manager, String, At)> {
        let (file, manager) = LOCKFILES.iter().find(|(file, _)| tree.files.is_file(file))?;
        // Yarn 2 writes `__metadata` at the top of its lockfile; Yarn 1 a comment with `v1`.
        let berry = *manager == Manager::Yarn
            && (tree.files.is_file(".yarnrc.yml")
                || tree.files.head(file).is_some_and(|text| text.contains("\n__metadata:")));
        let manager = if berry { Manager::Berry } else { *manager };
        Some((manager, format!("{file} is its lockfile"), At::file(*file)))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Manager::Npm => "npm",
            Manager::Yarn | Manager::Berry => "yarn",
            Manager::Pnpm => "pnpm",
            Manager::Bun => "bun",
        }
    }

    /// Yarn 2 and later install no `node_modules` unless they are told to (yarnpkg.com/configuration/yarnrc#nodeLinker).
    fn plug_and_play(self, tree: &Tree<'_>) -> bool {
        let config = tree.files.text(".yarnrc.yml").unwrap_or_default();
        let linker = config
            .lines()
            .find_map(|line| line.strip_prefix("nodeLinker:"))
            .map(|value| value.trim().trim_matches(['"', '\'']));
        self == Manager::Berry && !matches!(linker, Some("node-modules" | "pnpm"))
    }

    fn lockfile(self, tree: &Tree<'_>) -> Option<&'static str> {
        let own = |manager: Manager| manager.name() == self.name();
        LOCKFILES.iter().find(|(file, manager)| own(*manager) && tree.files.is_file(file)).map(|(file, _)| *file)
    }

    /// How a script of the manifest is run.
    pub(super) fn run(self, script: &str) -> String {
        format!("{} run {script}", self.name())
    }

    /// The install command, what it reads, and where it keeps what it fetched. Answers whether it brings what only
    /// builds need: for a build, and for the hooks of the packages, which may call any of it (`prepare: husky`).
    pub(super) fn install(self, tree: &Tree<'_>, draft: &mut Draft, dev_only: &mut DevOnly, builds: bool) -> bool {
        let lockfile = self.lockfile(tree);
        if self.plug_and_play(tree) {
            // Packages stay in the archives that were fetched: those have to lie in the folder of the app.
            draft.env("YARN_ENABLE_GLOBAL_CACHE", "false");
        }
        let members = super::workspace::folders(tree.files, Some(&tree.manifest));
        let runs_hook = |folder: &String| {
            let text = tree.files.text(&format!("{folder}/package.json")).unwrap_or_default();
            HOOKS.iter().any(|hook| text.contains(&format!("\"{hook}\"")))
        };
        let own_hooks = HOOKS.iter().any(|hook| tree.script(hook).is_some());
        let hooks = own_hooks || members.iter().any(runs_hook);
        let dev = builds || hooks && !dev_only.is_empty();
        let command = self.install_command(lockfile.is_some(), dev);
        if !dev {
            dev_only.install = Some((command, self.install_command(lockfile.is_some(), true)));
        }
        match lockfile {
            Some(file) => {
                draft.because_of(format!("install = {command}"), "installs exactly what is locked", At::file(file))
            }
            None => {
                draft.because(format!("install = {command}"), "there is no lockfile");
                draft.warn(format!("there is no lockfile: two builds may install different versions; commit the one that `{} install` writes", self.name()));
            }
        }
        draft.plan.install.push(command.to_owned());
        self.manifests(tree, draft, lockfile, &members, hooks);
        dev
    }

    /// `NODE_ENV=production` is in the air, so each command says whether it wants what builds.
    fn install_command(self, locked: bool, dev: bool) -> &'static str {
        match (self, locked, dev) {
            (Manager::Npm, true, true) => "npm ci --include=dev",
            (Manager::Npm, true, false) => "npm ci --omit=dev",
            (Manager::Npm, false, true) => "npm install --include=dev",
            (Manager::Npm, false, false) => "npm install --omit=dev",
            (Manager::Yarn, true, true) => "yarn install --frozen-lockfile --production=false",
            (Manager::Yarn, true, false) => "yarn install --frozen-lockfile --production=true",
            (Manager::Yarn, false, true) => "yarn install --production=false",
            (Manager::Yarn, false, false) => "yarn install --production=true",
            (Manager::Berry, true, _) => "yarn install --immutable",
            (Manager::Berry, false, _) => "yarn install --no-immutable",
            (Manager::Pnpm, true, true) => "pnpm install --frozen-lockfile --prod=false",
            (Manager::Pnpm, true, false) => "pnpm install --frozen-lockfile --prod",
            (Manager::Pnpm, false, true) => "pnpm install --no-frozen-lockfile --prod=false",
            (Manager::Pnpm, false, false) => "pnpm install --no-frozen-lockfile --prod",
            (Manager::Bun, true, true) => "bun install --frozen-lockfile",
            (Manager::Bun, true, false) => "bun install --frozen-lockfile --production",
            (Manager::Bun, false, true) => "bun install",
            (Manager::Bun, false, false) => "bun install --production",
        }
    }

    fn manifests(self, tree: &Tree<'_>, draft: &mut Draft, lockfile: Option<&str>, members: &[String], hooks: bool) {
        let recipe = &mut draft.recipe;
        let beside = [".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", "bunfig.toml"];
        let present = beside.into_iter().filter(|file| tree.files.is_file(file));
        recipe.manifests =
            [tree.manifest.file.as_str()].into_iter().chain(lockfile).chain(present).map(str::to_owned).collect();
        // What an install runs or links lies anywhere in the tree.
        let local = |value: &serde_json::Value| {
            value.as_str().is_some_and(|v| ["file:", "link:", "portal:"].iter().any(|prefix| v.starts_with(prefix)))
        };
        let linked = ["dependencies", "devDependencies", "optionalDependencies"]
            .into_iter()
            .filter_map(|section| tree.manifest.get(&[section])?.as_object())
            .any(|all| all.values().any(local));
        let plain = members.len() <= MAX_COPIED && members.iter().all(|folder| crate::detect::is_dir_name(folder));
        let links = |folder: &String| {
            let text = tree.files.text(&format!("{folder}/package.json")).unwrap_or_default();
            text.contains("\"file:") || text.contains("\"link:")
        };
        recipe.install_needs_source = linked || hooks || !plain || members.iter().any(links);
        if !recipe.install_needs_source {
            recipe.manifests.extend(members.iter().map(|folder| format!("{folder}/package.json")));
            let folders = ["patches", "prisma", ".yarn"].into_iter().filter(|folder| tree.files.is_folder(folder));
            recipe.manifests.extend(folders.map(|folder| format!("{folder}/")));
        }
        if !self.plug_and_play(tree) {
            recipe.installed = Some("*/node_modules/*");
        }
        recipe.caches.push(match self {
            Manager::Npm => ("npm", "/root/.npm"),
            Manager::Yarn => ("yarn", "/usr/local/share/.cache/yarn"),
            Manager::Berry => ("yarn-berry", "/root/.yarn/berry/cache"),
            Manager::Pnpm => ("pnpm", "/root/.local/share/pnpm/store"),
            Manager::Bun => ("bun", "/root/.bun/install/cache"),
        });
        if let Some(package) = self.package(tree) {
            // `--force`: Node's own images carry an older yarn.
            draft.recipe.before_install.push(format!("npm install --global --force {package}"));
        }
    }

    /// The package of npm that is this manager, in the release that `packageManager` pins: Node's images do not all
    /// carry Corepack, and the newest ones never do.
    fn package(self, tree: &Tree<'_>) -> Option<String> {
        let pinned = tree
            .manifest
            .str(&["packageManager"])
            .and_then(|wanted| wanted.split_once('@'))
            .map(|(_, version)| version);
        // `pnpm@9.1.0+sha512.abc`
        let pinned =
            pinned.map(|version| version.split('+').next().unwrap_or(version)).filter(|version| is_version(version));
        let own_release = || tree.files.text(".yarnrc.yml").is_some_and(|text| text.contains("yarnPath"));
        match self {
            Manager::Npm => None,
            Manager::Yarn => Some(format!("yarn@{}", pinned.unwrap_or("1.22.22"))),
            // Yarn 1 hands over to the release that the tree carries.
            Manager::Berry if own_release() => Some("yarn@1.22.22".into()),
            Manager::Berry => Some(format!("@yarnpkg/cli-dist@{}", pinned.unwrap_or_else(|| berry_release(tree)))),
            Manager::Pnpm => Some(format!("pnpm@{}", pinned.unwrap_or_else(|| pnpm_line(tree)))),
            Manager::Bun => {
                let wanted = bun_pin(tree).map(|pin| pin.wanted);
                let line = wanted.as_deref().and_then(|wanted| images::BUN.choose(wanted));
                let exact = wanted.as_deref().filter(|wanted| is_version(wanted));
                Some(format!("bun@{}", exact.or(line).unwrap_or(images::BUN.default)))
            }
        }
    }

    /// The programs that the process runtime needs.
    pub(super) fn tools(self, draft: &mut Draft) {
        draft.tool("node", "Node.js (Debian: apt-get install nodejs)");
        match self {
            Manager::Npm => draft.tool("npm", "npm (Debian: apt-get install npm)"),
            Manager::Yarn | Manager::Berry => {
                draft.tool("yarn", "Yarn (npm install --global corepack && corepack enable)")
            }
            Manager::Pnpm => draft.tool("pnpm", "pnpm (npm install --global pnpm)"),
            Manager::Bun => draft.tool("bun", "Bun (npm install --global bun)"),
        }
    }

    /// What drops what only the build needed. Not for frameworks whose servers import it at run time.
    pub(super) fn prune(self, tree: &Tree<'_>, framework: Option<&Framework>) -> Option<&'static str> {
        if framework.is_some_and(|framework| framework.keeps_dev) || tree.manifest.get(&["workspaces"]).is_some() {
            return None;
        }
        match self {
            Manager::Npm => Some("npm prune --omit=dev --ignore-scripts"),
            Manager::Yarn => Some("yarn install --frozen-lockfile --production=true --ignore-scripts --prefer-offline"),
            Manager::Pnpm if tree.files.is_file("pnpm-lock.yaml") => Some("pnpm prune --prod --ignore-scripts"),
            Manager::Berry | Manager::Pnpm | Manager::Bun => None,
        }
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
}

/// What asks for a version of Bun.
fn bun_pin(tree: &Tree<'_>) -> Option<Pin> {
    let named = |path: &[&str], by: &str, wanted: &str| Pin {
        wanted: wanted.to_owned(),
        by: by.to_owned(),
        at: tree.manifest.at(path),
    };
    let manager = || {
        let wanted = tree.manifest.str(&["packageManager"])?.strip_prefix("bun@")?;
        // `bun@1.1.0+sha256.abc`
        Some(named(&["packageManager"], "packageManager", wanted.split('+').next().unwrap_or(wanted)))
    };
    let engines = || Some(named(&["engines", "bun"], "engines.bun", tree.manifest.str(&["engines", "bun"])?));
    manager()
        .or_else(|| version_file(tree.files, ".bun-version"))
        .or_else(|| tool_versions(tree.files, &["bun"]))
        .or_else(engines)
}

/// The release of Yarn that writes lockfiles like this one: another would write it anew, which `--immutable` forbids
/// (YN0028). Yarn 4.0 wrote checksums without the key of the cache in front.
fn berry_release(tree: &Tree<'_>) -> &'static str {
    let text = tree.files.head("yarn.lock").unwrap_or_default();
    let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::trim);
    match (value("version:"), value("cacheKey:")) {
        (Some("4"), Some("7")) => "2.4.2",
        (Some("4"), _) => "3.0.2",
        (Some("5"), _) => "3.1.1",
        (Some("6"), _) => "3.8.7",
        (Some("8"), _) if value("checksum:").is_some_and(|checksum| !checksum.contains('/')) => "4.0.2",
        (Some("9"), _) => "4.14.1",
        (Some("10"), _) => "4.18.1",
        _ => "4.10.3",
    }
}

/// The line of pnpm that writes lockfiles of this version, and so can read them.
fn pnpm_line(tree: &Tree<'_>) -> &'static str {
    let text = tree.files.head("pnpm-lock.yaml").unwrap_or_default();
    let first = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:")).unwrap_or_default();
    match first.trim().trim_matches(['"', '\'']).chars().next() {
        Some('5') => "7",
        Some('6') => "8",
        _ => "10",
    }
}
