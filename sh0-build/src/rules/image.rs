//! Dockerfiles, and what comes of them.

use sh0_core::model::{Category::Image, Severity};

use super::context::Context;
use super::eol;
use super::image_layers::{apt_hygiene, cache_order, no_dockerignore, package_cache, runs};
use super::rule::{Check, Hits, Rule};
use crate::dockerfile::{Instruction, Stage};

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "IMG01",
        name: "root-user",
        category: Image,
        severity: Severity::Low,
        title: "The image runs as root",
        why: "A hole in the app is then a hole in everything that the container may touch, its volumes first.",
        fix: "Add a line such as `USER 10001:10001` near the end, and give that user the files it writes with `COPY --chown`.",
        check: Check::Tree(root_user),
    },
    Rule {
        id: "IMG02",
        name: "latest-tag",
        category: Image,
        severity: Severity::Medium,
        title: "A base image has no version",
        why: "The same source gives another image tomorrow: a new major version arrives without anybody asking for it.",
        fix: "Name a version: `node:24-slim` in place of `node` or `node:latest`.",
        check: Check::Tree(latest_tag),
    },
    Rule {
        id: "IMG03",
        name: "eol-base",
        category: Image,
        severity: Severity::High,
        title: "A base image is past its end of life",
        why: "Holes that are found in it stay open: nobody makes fixes for it any more.",
        fix: "Move to a version that still gets fixes.",
        check: Check::Tree(eol_base),
    },
    Rule {
        id: "IMG05",
        name: "no-dockerignore",
        category: Image,
        severity: Severity::Medium,
        title: "Everything is copied, and no .dockerignore leaves anything out",
        why: "Local builds, the git history and env files end up in the image, and every change of them ends the cache.",
        fix: "Add a .dockerignore with at least .git, .env* and the folders that builds make, such as node_modules.",
        check: Check::Tree(no_dockerignore),
    },
    Rule {
        id: "IMG06",
        name: "cache-order",
        category: Image,
        severity: Severity::Medium,
        title: "The whole source is copied before dependencies are installed",
        why: "Every change of a source file then installs all dependencies again.",
        fix: "Copy the manifest and the lockfile first, install, then copy the rest.",
        check: Check::Tree(cache_order),
    },
    Rule {
        id: "IMG07",
        name: "apt-hygiene",
        category: Image,
        severity: Severity::Low,
        title: "Packages of Debian are installed in a way that breaks or bloats",
        why: "Without `apt-get update` in the same step a cached, old list of packages is used; without `-y` the build asks and fails.",
        fix: "Write `apt-get update && apt-get install -y --no-install-recommends PACKAGES && rm -rf /var/lib/apt/lists/*`.",
        check: Check::Tree(apt_hygiene),
    },
    Rule {
        id: "IMG08",
        name: "add-url",
        category: Image,
        severity: Severity::Medium,
        title: "ADD downloads a file that nothing checks",
        why: "Whatever the server sends becomes part of the image.",
        fix: "Add `--checksum=sha256:...`, or download with curl and compare a checksum in the same step.",
        check: Check::Tree(add_url),
    },
    Rule {
        id: "IMG09",
        name: "ssh-exposed",
        category: Image,
        severity: Severity::High,
        title: "The image serves SSH",
        why: "It is a second way in with keys and updates of its own; the platform gives a shell without it.",
        fix: "Remove sshd and `EXPOSE 22`.",
        check: Check::Tree(ssh_exposed),
    },
    Rule {
        id: "IMG11",
        name: "shell-form-cmd",
        category: Image,
        severity: Severity::High,
        title: "The app is started through a shell that keeps SIGTERM for itself",
        why: "The app never hears that it should stop: after ten seconds it is killed, with its requests (measured: exit code 137).",
        fix: "Write the list form, `CMD [\"node\", \"server.js\"]`, or begin with `exec`.",
        check: Check::Tree(shell_form),
    },
    Rule {
        id: "IMG12",
        name: "duplicate-cmd",
        category: Image,
        severity: Severity::Medium,
        title: "A stage has more than one CMD, ENTRYPOINT or HEALTHCHECK",
        why: "Only the last one counts; the others mislead who reads the file.",
        fix: "Keep the one that is meant.",
        check: Check::Tree(duplicate_cmd),
    },
    Rule {
        id: "IMG13",
        name: "copy-missing-source",
        category: Image,
        severity: Severity::Critical,
        title: "COPY names a file that is not in the build's context",
        why: "The build fails at this line.",
        fix: "Mend the path, take it out of .dockerignore, or make the file in an earlier stage and copy it with `--from`.",
        check: Check::Tree(missing_source),
    },
    Rule {
        id: "IMG14",
        name: "bad-stage",
        category: Image,
        severity: Severity::Critical,
        title: "A stage is used that does not exist yet, or twice the same name is given",
        why: "The build fails, or takes another stage than the one that is meant.",
        fix: "Give every stage a name of its own, and name in `--from` one that stands before.",
        check: Check::Tree(bad_stage),
    },
    Rule {
        id: "IMG15",
        name: "sudo-or-open-modes",
        category: Image,
        severity: Severity::Medium,
        title: "A step uses sudo, or lets everybody write everything",
        why: "Both undo what a user without rights is for.",
        fix: "Do what needs root before `USER`, and give files to their user with `COPY --chown`.",
        check: Check::Tree(open_modes),
    },
    Rule {
        id: "IMG16",
        name: "unreadable-dockerfile",
        category: Image,
        severity: Severity::Critical,
        title: "A Dockerfile cannot be read",
        why: "No image can be made from it.",
        fix: "Mend the line.",
        check: Check::Tree(unreadable),
    },
    Rule {
        id: "IMG17",
        name: "package-cache-kept",
        category: Image,
        severity: Severity::Low,
        title: "What a package manager downloaded stays in the image",
        why: "The image is larger by every archive that was only needed to install.",
        fix: "Use `pip install --no-cache-dir`, `apk add --no-cache`, or a cache mount.",
        check: Check::Tree(package_cache),
    },
    Rule {
        id: "PRF01",
        name: "next-without-standalone",
        category: Image,
        severity: Severity::Low,
        title: "A Next.js server is shipped with all of node_modules",
        why: "With `output: 'standalone'` the image holds what the server uses: measured 67 MB in place of 588 MB.",
        fix: "Set `output: 'standalone'` in the Next.js configuration, and start `.next/standalone/server.js`.",
        check: Check::Tree(next_standalone),
    },
    Rule {
        id: "PRF03",
        name: "dev-dependencies-in-image",
        category: Image,
        severity: Severity::Low,
        title: "Development dependencies are installed in the stage that ships",
        why: "Test runners and compilers make the image larger, and their holes are then yours.",
        fix: "Install with `npm ci --omit=dev` in the last stage, or build in a stage of its own.",
        check: Check::Tree(dev_dependencies),
    },
];

fn root_user(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    let image = file.image(last).to_ascii_lowercase();
    let drops =
        ["nonroot", "unprivileged", "bitnami/", "chainguard", "rootless"].iter().any(|known| image.contains(known));
    let lineage = file.lineage(last);
    let script = |i: &&&Instruction| {
        ["gosu", "su-exec", "setpriv", "s6-setuidgid", "runuser", "su -c"].iter().any(|tool| i.script().contains(tool))
    };
    if drops || lineage.iter().any(|i| script(&i)) {
        return;
    }
    let user = lineage.iter().rev().find(|i| i.word == "USER");
    match user {
        Some(i) if matches!(i.rest.split(':').next().unwrap_or_default().trim(), "root" | "0") => {
            hits.at(path, i.line, format!("USER {}", i.rest));
            hits.severity(Severity::Medium);
        }
        Some(_) => {}
        None => hits.at(path, last.line, "no USER line"),
    }
}

fn latest_tag(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for stage in &file.stages {
            let base = &stage.base;
            if base == "scratch" || base.contains(['@', '$']) || file.parent(stage).is_some() {
                continue;
            }
            let tag = base.rsplit('/').next().unwrap_or(base).split_once(':').map(|(_, tag)| tag);
            if matches!(tag, None | Some("" | "latest")) || tag.is_some_and(|tag| names_no_version(base, tag)) {
                hits.at(path, stage.line, format!("FROM {base}"));
            }
        }
    }
}

/// `python:slim`: a variant of the newest version of a language.
fn names_no_version(base: &str, tag: &str) -> bool {
    const LANGUAGES: &[&str] =
        &["node", "python", "ruby", "php", "golang", "rust", "oven/bun", "denoland/deno", "elixir", "eclipse-temurin"];
    const VARIANTS: &[&str] =
        &["slim", "alpine", "lts", "current", "trixie", "bookworm", "bullseye", "fpm", "apache", "cli", "jdk", "jre"];
    let repository = base.split(':').next().unwrap_or(base);
    let repository = repository.trim_start_matches("docker.io/").trim_start_matches("library/");
    LANGUAGES.contains(&repository) && tag.split('-').all(|part| VARIANTS.contains(&part))
}

fn eol_base(cx: &Context<'_>, hits: &mut Hits) {
    let today = cx.today();
    for (path, file) in cx.dockerfiles() {
        for stage in file.stages.iter().filter(|stage| file.parent(stage).is_none()) {
            if let Some((what, day)) = eol::image_ended(&stage.base, &today) {
                hits.at(path, stage.line, format!("FROM {}: {what} ended on {day}", stage.base));
            }
        }
    }
}

fn add_url(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for i in file.instructions.iter().filter(|i| i.word == "ADD" && i.flag("checksum").is_none()) {
            let paths = i.paths();
            let url = paths.iter().find(|source| source.starts_with("http://") || source.starts_with("https://"));
            if let Some(url) = url.filter(|url| !url.ends_with(".git") && !url.contains(".git#")) {
                hits.at(path, i.line, format!("ADD {url}"));
            }
        }
    }
}

fn ssh_exposed(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for i in &file.instructions {
            let exposes = i.word == "EXPOSE" && i.rest.split_whitespace().any(|port| matches!(port, "22" | "22/tcp"));
            let starts = matches!(i.word.as_str(), "CMD" | "ENTRYPOINT") && i.script().contains("sshd");
            if exposes || starts {
                hits.at(path, i.line, format!("{} {}", i.word, i.rest));
            }
        }
    }
}

fn shell_form(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    let lineage = file.lineage(last);
    let own_shell = lineage.iter().any(|i| i.word == "SHELL");
    let find = |word: &str| lineage.iter().rev().find(|i| i.word == word);
    let starter = match (find("ENTRYPOINT"), find("CMD")) {
        // With a list as entrypoint, a CMD in shell form is its arguments.
        (Some(entrypoint), Some(cmd)) if entrypoint.json().is_some() => cmd,
        (Some(entrypoint), _) => entrypoint,
        (None, Some(cmd)) => cmd,
        (None, None) => return,
    };
    let text = starter.rest.trim_start();
    if starter.json().is_none() && !text.starts_with("exec ") && !text.contains("&& exec ") && !own_shell {
        hits.at(path, starter.line, format!("{} {}", starter.word, starter.rest));
    }
}

fn duplicate_cmd(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for stage in &file.stages {
            for word in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
                let all: Vec<&Instruction> = file.of(stage).iter().filter(|i| i.word == word).collect();
                if let [first, .., last] = all[..] {
                    hits.at(path, first.line, format!("{word} stands again in line {}", last.line));
                }
            }
        }
    }
}

fn missing_source(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    // Below a folder, the context is not known.
    if path.contains('/') {
        return;
    }
    for i in file.instructions.iter().filter(|i| matches!(i.word.as_str(), "COPY" | "ADD") && i.flag("from").is_none())
    {
        let paths = i.paths();
        let Some((_, sources)) = paths.split_last() else { continue };
        for source in sources {
            let plain =
                source.trim_start_matches('/').trim_start_matches("./").trim_end_matches('/').trim_end_matches("/.");
            if plain.is_empty()
                || plain == "."
                // sh0 puts its server of static files there.
                || plain.starts_with(".sh0/")
                || source.contains(['*', '?', '[', '$', '<', '"', '\\'])
                || source.contains("://")
                || source.starts_with("git@")
                || plain.contains("..")
            {
                continue;
            }
            if cx.files.0.kind(plain).is_none() {
                hits.at(path, i.line, format!("{} {plain}: there is no such file", i.word));
            } else if cx.has(plain) && !cx.enters(plain) {
                hits.at(path, i.line, format!("{} {plain}: .dockerignore leaves it out", i.word));
            }
        }
    }
}

fn bad_stage(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for (number, stage) in file.stages.iter().enumerate() {
            let names = |range: &[Stage], name: &str| range.iter().any(|s| s.name.as_deref() == Some(name));
            if let Some(name) = &stage.name
                && names(&file.stages[..number], name)
            {
                hits.at(path, stage.line, format!("the name {name} is given twice"));
            }
            for i in file.of(stage) {
                let Some(from) = i.flag("from").map(str::to_ascii_lowercase) else { continue };
                let later = names(&file.stages[number..], &from) && !names(&file.stages[..number], &from);
                let beyond = from.parse::<usize>().is_ok_and(|wanted| wanted >= number);
                if later || beyond {
                    hits.at(path, i.line, format!("--from={from}: no such stage stands before"));
                }
            }
        }
    }
}

fn open_modes(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for (_, i) in runs(file) {
            let script = i.script();
            let words: Vec<&str> = script.split_whitespace().collect();
            let starts = |place: usize| place == 0 || words[place - 1].ends_with(['&', ';', '|', '(']);
            let sudo = words.iter().enumerate().any(|(place, word)| *word == "sudo" && starts(place));
            let open = script.split(['&', ';', '\n']).find(|command| {
                command.contains("chmod")
                    && command.split_whitespace().any(|word| matches!(word, "777" | "0777" | "a+rwx" | "a+rwX"))
                    && !command.contains("/tmp")
            });
            if sudo {
                hits.at(path, i.line, "a step uses sudo");
            } else if let Some(open) = open {
                hits.at(path, i.line, open.trim());
            }
        }
    }
}

fn unreadable(cx: &Context<'_>, hits: &mut Hits) {
    let own = cx.own_dockerfile().map(|(path, _)| path.as_str());
    for (path, file) in cx.dockerfiles() {
        for (line, error) in &file.errors {
            hits.at(path, *line, error);
            if own != Some(path) {
                hits.severity(Severity::Medium);
            }
        }
    }
}

fn next_standalone(cx: &Context<'_>, hits: &mut Hits) {
    if cx.range("next").is_none() || cx.plan.is_some_and(|plan| plan.static_dir.is_some()) {
        return;
    }
    let configs = ["next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"];
    let config = configs.into_iter().find_map(|name| Some((name, cx.text(name)?)));
    let starts =
        cx.package().and_then(|json| json.str(&["scripts", "start"])).is_some_and(|start| start.contains("next start"));
    match config {
        Some((_, text)) if text.contains("output") || !starts => {}
        Some((name, _)) => hits.at(name, 1, "no `output`"),
        None if starts => hits.at(
            "package.json",
            cx.package().and_then(|json| json.at(&["scripts", "start"]).line),
            "next start, and no next.config",
        ),
        None => {}
    }
}

fn dev_dependencies(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    if cx.section("devDependencies").is_empty() {
        return;
    }
    let lineage = file.lineage(last);
    let text: String = lineage.iter().map(|i| i.script() + "\n").collect();
    let lean = [
        "--omit",
        "--production",
        "--prod",
        "prune",
        "NODE_ENV=production",
        "NODE_ENV production",
        "npm run build",
        "yarn build",
        "pnpm build",
        "pnpm run build",
        "build",
    ];
    if lean.iter().any(|word| text.contains(word)) {
        return;
    }
    let install = file.of(last).iter().find(|i| {
        i.word == "RUN"
            && ["npm ci", "npm install", "yarn install", "pnpm install"]
                .iter()
                .any(|install| i.rest.trim_end().ends_with(install) || i.rest.contains(&format!("{install} &&")))
    });
    if let Some(i) = install {
        hits.at(path, i.line, &i.rest);
    }
}
