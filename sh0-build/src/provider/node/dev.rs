//! What an image leaves out, unless a command that it runs needs it: what `devDependencies` alone hold, the package
//! manager, the library of Prisma.

use std::collections::{BTreeMap, BTreeSet};

use super::prisma::Prisma;
use crate::draft::{Draft, commands};
use crate::images;
use crate::text::Json;

/// Programs that bear another name than the package they come with.
const PROGRAMS: &[(&str, &str)] = &[
    ("babel-node", "@babel/node"),
    ("cross-env-shell", "cross-env"),
    ("dotenv", "dotenv-cli"),
    ("dotenvx", "@dotenvx/dotenvx"),
    ("esr", "esbuild-runner"),
    ("medusa", "@medusajs/cli"),
    ("mikro-orm", "@mikro-orm/cli"),
    ("nest", "@nestjs/cli"),
    ("ng", "@angular/cli"),
    ("pm2-runtime", "pm2"),
    ("react-router", "@react-router/dev"),
    ("remix", "@remix-run/dev"),
    ("run-p", "npm-run-all"),
    ("run-p", "npm-run-all2"),
    ("run-s", "npm-run-all"),
    ("run-s", "npm-run-all2"),
    ("npm-run-all", "npm-run-all2"),
    ("sequelize", "sequelize-cli"),
    ("ts-node-esm", "ts-node"),
    ("tsc", "typescript"),
    ("tsnd", "ts-node-dev"),
    ("typeorm-ts-node-commonjs", "ts-node"),
    ("typeorm-ts-node-esm", "ts-node"),
    ("vue-cli-service", "@vue/cli-service"),
    ("webpack", "webpack-cli"),
];

/// What runs scripts of the manifest.
const RUNNERS: &[&str] = &["npm", "yarn", "pnpm", "bun", "run-s", "run-p", "npm-run-all", "concurrently"];

/// The packages of `devDependencies` alone, and the scripts through which a command comes to them.
#[derive(Default)]
pub(crate) struct DevOnly {
    packages: BTreeSet<String>,
    scripts: BTreeMap<String, String>,
    /// The install without them, and with.
    pub(super) install: Option<(&'static str, &'static str)>,
    /// The package manager, where Node's image has none of its release, and the package of npm that it is.
    pub(super) manager: Option<(&'static str, String)>,
    pub(super) prisma: Option<Prisma>,
}

impl DevOnly {
    /// Those of a manifest, and of the member of its workspace that is the app.
    pub(crate) fn of(manifests: &[&Json]) -> DevOnly {
        let entries = |section: &'static str| {
            manifests.iter().filter_map(move |manifest| manifest.get(&[section])?.as_object()).flatten()
        };
        let mut packages: BTreeSet<String> = entries("devDependencies").map(|(name, _)| name.clone()).collect();
        for (name, _) in ["dependencies", "optionalDependencies"].into_iter().flat_map(entries) {
            packages.remove(name);
        }
        let scripts = entries("scripts").filter_map(|(name, body)| Some((name.clone(), body.as_str()?.to_owned())));
        DevOnly { packages, scripts: scripts.collect(), ..DevOnly::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The first of them that a command runs or loads, through scripts too.
    pub(crate) fn needed_by(&self, command: &str) -> Option<&str> {
        let all = self.followed(command);
        all.into_iter().find_map(|command| words(command).find_map(|word| self.package(word)))
    }

    /// Whether a command has a word like this, or one of the scripts that it comes to.
    pub(super) fn runs(&self, command: &str, is: impl Fn(&str) -> bool) -> bool {
        self.followed(command).into_iter().any(|command| words(command).any(&is))
    }

    /// Whether a command installs or takes away packages, or names their folder, through scripts too.
    fn rewrites(&self, command: &str) -> bool {
        const VERBS: &[&str] = &["install", "i", "ci", "prune", "add", "remove", "dedupe"];
        self.followed(command).into_iter().any(|command| {
            let bare_yarn = command.split(['&', '|', ';']).any(|part| part.trim() == "yarn");
            bare_yarn || command.contains("node_modules") || words(command).any(|word| VERBS.contains(&word))
        })
    }

    /// The command, and those of all scripts that it comes to.
    fn followed<'c>(&'c self, command: &'c str) -> Vec<&'c str> {
        let mut commands = vec![command];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next = 0;
        while let Some(command) = commands.get(next).copied() {
            next += 1;
            if words(command).any(|word| RUNNERS.contains(&word)) {
                let called = words(command).map(|word| word.strip_prefix("npm:").unwrap_or(word));
                for (name, body) in called.filter_map(|word| self.scripts.get_key_value(word)) {
                    if seen.insert(name) {
                        let around = [format!("pre{name}"), format!("post{name}")];
                        commands.extend(around.iter().filter_map(|name| self.scripts.get(name)).map(String::as_str));
                        commands.push(body);
                    }
                }
            }
        }
        commands
    }

    /// The package of a program, of a file in it, or of what stands behind `--require`: `tsx`, `dotenv/config`,
    /// `node_modules/.bin/prisma`, `prisma@5`.
    fn package(&self, word: &str) -> Option<&str> {
        let word = word.rsplit_once("node_modules/").map_or(word, |(_, rest)| rest);
        let word = word.strip_prefix(".bin/").unwrap_or(word);
        let segments = if word.starts_with('@') { 2 } else { 1 };
        let end = word.match_indices('/').nth(segments - 1).map_or(word.len(), |(end, _)| end);
        let name = &word[..end];
        let name = name.rsplit_once('@').map_or(name, |(name, _)| if name.is_empty() { &word[..end] } else { name });
        let others = || {
            PROGRAMS.iter().filter(|(program, _)| *program == name).find_map(|(_, package)| self.packages.get(*package))
        };
        self.packages.get(name).or_else(others).map(String::as_str)
    }
}

/// The words of a command: `--import` and `tsx` of `NODE_OPTIONS=--import=tsx`.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(|c: char| c.is_whitespace() || "&|;()=\"'`".contains(c)).filter(|word| !word.is_empty())
}

/// Puts into the image what a command that runs in it needs, once everybody has said theirs.
pub(crate) fn keep_needed(draft: &mut Draft) {
    let Some(dev) = draft.recipe.dev_only.take() else { return };
    keep_manager(&dev, draft);
    dev.prisma.iter().for_each(|prisma| prisma.keep_library(&dev, draft));
    keep_packages(&dev, draft);
}

/// Installs the manager there. Bun's image has itself, and no npm that would install another.
fn keep_manager(dev: &DevOnly, draft: &mut Draft) {
    let Some((program, package)) = &dev.manager else { return };
    let on_bun = draft.recipe.run.as_ref().is_some_and(|(base, _)| base.stack == images::BUN.stack);
    let runner = match *program {
        "pnpm" => "pnpx",
        "bun" => "bunx",
        other => other,
    };
    let called = |command: &&String| dev.runs(command, |word| word == *program || word == runner);
    let Some(command) = commands(&draft.plan).find(called).cloned() else { return };
    match on_bun {
        false => draft.recipe.before_ship.push(format!("npm install --global --force {package}")),
        true if *program == "bun" => {}
        true => draft.warn(format!("`{command}` runs {program}, which Bun's image has not: name what it runs instead")),
    }
}

/// Leaves them in the image after all. Packages that the build changes are shipped as it leaves them.
fn keep_packages(dev: &DevOnly, draft: &mut Draft) {
    if draft.plan.build.iter().any(|command| dev.rewrites(command)) {
        draft.recipe.installed = None;
    }
    let needed = |command: &String| Some(format!("`{command}` needs {}", dev.needed_by(command)?));
    let Some(why) = commands(&draft.plan).find_map(needed) else { return };
    let plan = &mut draft.plan;
    let mut kept = false;
    // An install that somebody wrote down stays as it is.
    let told = plan.reasons.iter().any(|reason| reason.what.starts_with("install = as "));
    if let Some((without, with)) = dev.install.filter(|_| !told) {
        for command in plan.install.iter_mut().filter(|command| *command == without) {
            with.clone_into(command);
            kept = true;
        }
        let said = format!("install = {without}");
        plan.reasons.iter_mut().filter(|r| kept && r.what == said).for_each(|r| r.what = format!("install = {with}"));
    }
    if draft.recipe.prune.take().is_some() || kept {
        draft.because("devDependencies = kept", why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Files, MemoryTree};

    #[test]
    fn commands_and_the_packages_they_need() {
        let manifest = r#"{
            "scripts": { "start": "run-s migrate serve", "migrate": "prisma migrate deploy", "serve": "node a.js",
                "prejob": "tsc", "job": "node job.js", "loop": "npm run loop" },
            "dependencies": { "dotenv": "16" },
            "devDependencies": { "prisma": "5", "tsx": "4", "@nestjs/cli": "11", "typescript": "5", "dotenv": "16",
                "@swc-node/register": "1" } }"#;
        let tree = MemoryTree::from([("package.json", manifest)]);
        let json = Json::read(Files(&tree), "package.json").unwrap().unwrap();
        let dev = DevOnly::of(&[&json]);
        for (command, package) in [
            ("tsx src/server.ts", Some("tsx")),
            ("node --import=tsx a.ts", Some("tsx")),
            ("NODE_OPTIONS=--import=tsx node a.ts", Some("tsx")),
            ("node -r @swc-node/register/esm a.ts", Some("@swc-node/register")),
            ("node ./node_modules/.bin/tsx a.ts", Some("tsx")),
            ("npx prisma@5 migrate deploy", Some("prisma")),
            ("nest start", Some("@nestjs/cli")),
            ("npm start", Some("prisma")),
            ("cd apps/a && yarn job", Some("typescript")),
            ("npm run loop", None),
            ("npm run serve", None),
            ("job", None),
            ("node -r dotenv/config dist/server.js", None),
            ("@", None),
        ] {
            assert_eq!(dev.needed_by(command), package, "{command}");
        }
        assert!(
            dev.runs("cd a && pnpm start", |word| word == "pnpm") && dev.runs("npm start", |word| word == "deploy")
        );
        assert!(!dev.runs("npm start", |word| word == "yarn") && !dev.runs("node pnpm.js", |word| word == "pnpm"));
    }
}
