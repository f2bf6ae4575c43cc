//! Versions of languages, frameworks and package managers.

use sh0_core::model::{Category::Versions, ImagePlan, Severity};

use super::context::Context;
use super::eol;
use super::rule::{Check, Hits, Rule};

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "VER01",
        name: "no-version-pin",
        category: Versions,
        severity: Severity::Low,
        title: "Nothing says which version of the language the app wants",
        why: "The platform's default is taken, and one day it is another one.",
        fix: "Write the version down: `.nvmrc` or `engines.node`, `.python-version` or `requires-python`, `.ruby-version`, `global.json`.",
        check: Check::Tree(no_pin),
    },
    Rule {
        id: "VER02",
        name: "version-conflict",
        category: Versions,
        severity: Severity::Medium,
        title: "Two files ask for different versions of the language",
        why: "One of them is not followed, and which one depends on who reads them.",
        fix: "Let them say the same, or remove one.",
        check: Check::Tree(conflict),
    },
    Rule {
        id: "VER03",
        name: "version-unreadable",
        category: Versions,
        severity: Severity::High,
        title: "A version file says nothing that is a version",
        why: "It is passed over, or the install stops.",
        fix: "Write a version such as `24`, `v24.1.0` or `3.13`.",
        check: Check::Tree(unreadable),
    },
    Rule {
        id: "VER04",
        name: "eol-runtime",
        category: Versions,
        severity: Severity::High,
        title: "The version of the language is past its end of life",
        why: "Holes that are found in it stay open: nobody makes fixes for it any more.",
        fix: "Move to a version that still gets fixes.",
        check: Check::Tree(eol_runtime),
    },
    Rule {
        id: "VER05",
        name: "framework-needs-newer",
        category: Versions,
        severity: Severity::High,
        title: "The framework needs a newer version of Node than the one that is asked for",
        why: "Its command line stops with an error, or the install refuses.",
        fix: "Ask for a version of Node that the framework supports.",
        check: Check::Tree(framework_needs_newer),
    },
    Rule {
        id: "VER06",
        name: "lockfile-format",
        category: Versions,
        severity: Severity::High,
        title: "The package manager that is named cannot read the lockfile",
        why: "It refuses to install, or writes the lockfile anew and installs other versions.",
        fix: "Name the version of the package manager that wrote the lockfile in `packageManager`.",
        check: Check::Tree(lockfile_format),
    },
];

/// What asks for a version of a language.
struct Ask {
    file: &'static str,
    line: Option<u32>,
    text: String,
}

fn first_line(cx: &Context<'_>, file: &'static str) -> Option<Ask> {
    let text = cx.text(file)?;
    let (line, text) = (1..)
        .zip(text.lines())
        .map(|(n, line)| (n, line.trim()))
        .find(|(_, line)| !line.is_empty() && !line.starts_with('#'))?;
    Some(Ask { file, line: Some(line), text: text.to_owned() })
}

fn node_asks(cx: &Context<'_>) -> Vec<Ask> {
    let mut asks: Vec<Ask> = [".nvmrc", ".node-version"].into_iter().filter_map(|file| first_line(cx, file)).collect();
    if let Some(json) = cx.package() {
        for path in [&["engines", "node"][..], &["volta", "node"][..]] {
            if let Some(text) = json.str(path) {
                asks.push(Ask { file: "package.json", line: json.at(path).line, text: text.to_owned() });
            }
        }
    }
    asks
}

fn python_asks(cx: &Context<'_>) -> Vec<Ask> {
    let mut asks: Vec<Ask> = [".python-version", "runtime.txt"]
        .into_iter()
        .filter_map(|file| first_line(cx, file))
        .map(|ask| Ask { text: ask.text.trim_start_matches("python-").to_owned(), ..ask })
        .collect();
    if let Some(toml) = cx.pyproject() {
        for path in [&["project", "requires-python"][..], &["tool", "poetry", "dependencies", "python"][..]] {
            if let Some(text) = toml.str(path) {
                asks.push(Ask { file: "pyproject.toml", line: toml.at(path).line, text: text.to_owned() });
            }
        }
    }
    asks
}

/// The line of a tool in `.tool-versions`: `nodejs 24.1.0`, and what to fall back on behind it.
fn tool_versions(cx: &Context<'_>, names: &[&str]) -> Option<Ask> {
    let text = cx.text(".tool-versions")?;
    (1..).zip(text.lines()).find_map(|(line, said)| {
        let mut words = said.split_whitespace();
        names.contains(&words.next()?).then_some(())?;
        Some(Ask { file: ".tool-versions", line: Some(line), text: words.next()?.to_owned() })
    })
}

fn tool_file(cx: &Context<'_>, tool: &str) -> bool {
    [".tool-versions", "mise.toml", ".mise.toml"]
        .iter()
        .any(|file| cx.text(file).is_some_and(|text| text.contains(tool)))
}

fn no_pin(cx: &Context<'_>, hits: &mut Hits) {
    let own = cx.own_dockerfile().is_some();
    let settled = cx.text("sh0.toml").is_some_and(|text| text.contains("version"));
    if own || settled {
        return;
    }
    // The package.json of an app in another language may be there for its editors.
    let used = match cx.plan.map(|plan| &plan.image) {
        Some(ImagePlan::Generated { dockerfile, .. }) => dockerfile.contains("node:"),
        _ => true,
    };
    if cx.package().is_some()
        && used
        && node_asks(cx).is_empty()
        && !tool_file(cx, "node")
        && !cx.has("bun.lock")
        && !cx.has("bun.lockb")
        && !cx.has("deno.json")
    {
        hits.at("package.json", None, "no version of Node");
    }
    let python = ["requirements.txt", "Pipfile", "pyproject.toml"].into_iter().find(|file| cx.has(file));
    let pipfile =
        cx.text("Pipfile").is_some_and(|text| text.contains("python_version") || text.contains("python_full_version"));
    if let (Some(file), true) = (python, python_asks(cx).is_empty() && !tool_file(cx, "python") && !pipfile) {
        hits.at(file, None, "no version of Python");
    }
    let gemfile = cx.text("Gemfile");
    let in_gemfile =
        gemfile.as_ref().is_some_and(|text| text.lines().any(|line| line.trim_start().starts_with("ruby ")));
    if gemfile.is_some() && !in_gemfile && !cx.has(".ruby-version") && !tool_file(cx, "ruby") {
        hits.at("Gemfile", None, "no version of Ruby");
    }
}

/// `v20.11.1` as (20, 11); `None` for names and ranges.
fn exact(text: &str) -> Option<(u32, Option<u32>)> {
    let text = text.trim().trim_start_matches(['v', '=']);
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = match parts.next() {
        None | Some("x" | "*") => None,
        Some(part) => Some(part.parse().ok()?),
    };
    Some((major, minor))
}

/// Whether an exact version is in a range of npm or Python, as far as major and minor tell. `None` when it cannot be told.
fn in_range(version: (u32, Option<u32>), range: &str) -> Option<bool> {
    let (major, minor) = version;
    let any = range.split("||").map(|part| {
        let part = part.trim();
        if part.contains(" - ") {
            return None;
        }
        let joined = part
            .replace(">= ", ">=")
            .replace("<= ", "<=")
            .replace("> ", ">")
            .replace("< ", "<")
            .replace("^ ", "^")
            .replace(',', " ");
        let all = joined.split_whitespace().map(|bound| {
            let digits = bound.find(|c: char| c.is_ascii_digit() || c == 'x' || c == '*')?;
            let (operator, number) = bound.split_at(digits);
            let operator = operator.trim_end_matches('v');
            if number.starts_with(['x', '*']) {
                return Some(true);
            }
            let (wanted_major, wanted_minor) = exact(number.trim_end_matches(".*"))?;
            let (mine, theirs) = ((major, minor.unwrap_or(u32::MAX)), (wanted_major, wanted_minor.unwrap_or(0)));
            Some(match operator {
                ">=" => mine >= theirs,
                ">" => mine >= theirs,
                "<=" => major <= wanted_major,
                "<" => (major, minor.unwrap_or(0)) < theirs,
                "^" | "~=" => major == wanted_major && mine >= theirs,
                "!=" => true,
                "" | "=" | "==" | "===" | "~" | "~>" => {
                    major == wanted_major && (wanted_minor.is_none() || minor.is_none() || minor == wanted_minor)
                }
                _ => return None,
            })
        });
        all.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|fits| fits))
    });
    any.collect::<Option<Vec<bool>>>().map(|any| any.into_iter().any(|fits| fits))
}

fn conflict(cx: &Context<'_>, hits: &mut Hits) {
    for asks in [node_asks(cx), python_asks(cx)] {
        for (place, first) in asks.iter().enumerate() {
            let Some(version) = exact(&first.text) else { continue };
            let other =
                asks.iter().enumerate().find(|(at, ask)| *at != place && in_range(version, &ask.text) == Some(false));
            if let Some((_, other)) = other {
                hits.at(first.file, first.line, format!("{} here, `{}` in {}", first.text, other.text, other.file));
                break;
            }
        }
    }
}

fn unreadable(cx: &Context<'_>, hits: &mut Hits) {
    let names = ["node", "latest", "stable", "current", "lts", "system", "default"];
    let lts = [
        "argon", "boron", "carbon", "dubnium", "erbium", "fermium", "gallium", "hydrogen", "iron", "jod", "krypton",
        "*",
    ];
    for ask in node_asks(cx) {
        let text = ask.text.split('#').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = text.trim_start_matches("node/").trim_start_matches("node-");
        let alias = names.contains(&text)
            || text
                .strip_prefix("lts/")
                .is_some_and(|name| lts.contains(&name.trim_start_matches('-')) || name.starts_with('-'));
        let readable = alias
            || text.contains(|c: char| c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || " .<>=^~|*-+,".contains(c))
            || text == "*"
            || text == "x";
        let none = exact(text).is_some_and(|(major, _)| major > 40 || major == 0);
        if !readable || none {
            hits.at(ask.file, ask.line, format!("`{}`", ask.text));
        }
    }
    for ask in python_asks(cx) {
        let text = ask.text.trim();
        let other = ["pypy", "graalpy", "miniconda", "anaconda", "cpython", "jython", "system"]
            .iter()
            .any(|kind| text.starts_with(kind));
        let readable = other
            || text == "*"
            || text.contains(|c: char| c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || " .<>=^~!|*-+,".contains(c));
        let none = exact(text).is_some_and(|(major, _)| !(2..=3).contains(&major));
        if !readable || none {
            hits.at(ask.file, ask.line, format!("`{}`", ask.text));
        }
    }
}

fn eol_runtime(cx: &Context<'_>, hits: &mut Hits) {
    let today = cx.today();
    let over = |hits: &mut Hits, product: &str, file: &str, line: Option<u32>, text: &str| {
        // A pin, or the upper end of a range that has one: `>=16` admits newer ones.
        let text = text.trim().trim_start_matches(['v', '=', '^', '~']).trim_end_matches(".x");
        let pinned = text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == 'x' || c == '*');
        if let (true, Some(day)) = (pinned, eol::ended(product, text, &today)) {
            hits.at(file, line, format!("{product} {text} ended on {day}"));
        }
    };
    // What only a tool reads counts where the language's own files are silent.
    let of_tools = |names: &[&str]| tool_versions(cx, names).into_iter();
    for ask in node_asks(cx).into_iter().chain(of_tools(&["nodejs", "node"])).take(1) {
        over(hits, "node", ask.file, ask.line, &ask.text);
    }
    // `^3.8` of Poetry admits newer ones.
    let pins = python_asks(cx).into_iter().chain(of_tools(&["python"]));
    for ask in pins.filter(|ask| !ask.text.starts_with(['^', '~', '>'])).take(1) {
        over(hits, "python", ask.file, ask.line, ask.text.trim_end_matches(".*"));
    }
    if let Some(ask) = first_line(cx, ".ruby-version").or_else(|| tool_versions(cx, &["ruby"])) {
        over(hits, "ruby", ask.file, ask.line, ask.text.trim_start_matches("ruby-"));
    }
    let gemfile = cx.text("Gemfile").unwrap_or_default();
    if let Some((line, text)) = (1..).zip(gemfile.lines()).find(|(_, line)| line.starts_with("ruby ")) {
        let version = text.trim_start_matches("ruby ").trim().trim_matches(['"', '\'']);
        over(hits, "ruby", "Gemfile", Some(line), version);
    }
    if let Some(text) = cx.text("composer.json")
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(wanted) = json.get("config").and_then(|config| config.get("platform")?.get("php")?.as_str())
    {
        let line = (1..)
            .zip(text.lines())
            .find(|(_, line)| line.contains("\"php\"") && line.contains(wanted))
            .map(|(line, _)| line);
        over(hits, "php", "composer.json", line, wanted);
    }
    for path in cx.paths.iter().filter(|path| path.ends_with(".csproj") && path.matches('/').count() <= 2) {
        let text = cx.text(path).unwrap_or_default();
        let found = (1..).zip(text.lines()).find_map(|(line, text)| {
            Some((line, text.split("<TargetFramework>net").nth(1)?.split('<').next()?.to_owned()))
        });
        if let Some((line, version)) = found {
            over(hits, "dotnet", path, Some(line), version.trim_start_matches("coreapp"));
        }
    }
}

/// Framework, from this major version on, the oldest Node that it takes.
const NEEDS: &[(&str, u32, (u32, u32))] = &[
    ("next", 16, (20, 9)),
    ("next", 15, (18, 18)),
    ("next", 14, (18, 17)),
    ("next", 13, (16, 14)),
    ("vite", 7, (20, 19)),
    ("vite", 5, (18, 0)),
    ("vite", 4, (14, 18)),
    ("nuxt", 4, (20, 0)),
    ("nuxt", 3, (18, 0)),
    ("astro", 5, (18, 20)),
    ("astro", 4, (18, 17)),
    ("@angular/core", 20, (20, 19)),
    ("@angular/core", 19, (18, 19)),
    ("@angular/core", 17, (18, 13)),
    ("@nestjs/core", 11, (20, 0)),
    ("@nestjs/core", 10, (16, 0)),
    ("express", 5, (18, 0)),
    ("fastify", 5, (20, 0)),
    ("@remix-run/dev", 2, (18, 0)),
    ("gatsby", 5, (18, 0)),
    ("vitest", 3, (18, 0)),
    ("react-router", 7, (20, 0)),
];

fn framework_needs_newer(cx: &Context<'_>, hits: &mut Hits) {
    let asks = node_asks(cx);
    let Some((ask, (major, minor))) = asks.iter().find_map(|ask| Some((ask, exact(&ask.text)?))) else { return };
    for name in [
        "next",
        "vite",
        "nuxt",
        "astro",
        "@angular/core",
        "@nestjs/core",
        "express",
        "fastify",
        "@remix-run/dev",
        "gatsby",
        "react-router",
    ] {
        let Some(range) = cx.range(name) else { continue };
        let wanted = range.trim_start_matches(['^', '~', '>', '=', ' ', 'v']);
        let Some((framework, _)) = exact(wanted.split(['-', ' ']).next().unwrap_or_default())
            .or_else(|| exact(wanted.split('.').next().unwrap_or_default()))
        else {
            continue;
        };
        let need = NEEDS.iter().find(|(known, from, _)| *known == name && framework >= *from);
        if let Some((_, _, (need_major, need_minor))) = need
            && (major < *need_major || major == *need_major && minor.is_some_and(|minor| minor < *need_minor))
        {
            hits.at(
                ask.file,
                ask.line,
                format!("Node {}, and {name} {framework} needs {need_major}.{need_minor} or later", ask.text),
            );
            return;
        }
    }
}

fn lockfile_format(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return };
    let Some((manager, version)) = json.str(&["packageManager"]).and_then(|text| text.split_once('@')) else { return };
    let Some((major, _)) = exact(version.split(['+', '-']).next().unwrap_or(version)) else { return };
    let line = json.at(&["packageManager"]).line;
    let wrong = match manager {
        "npm" => cx
            .text("package-lock.json")
            .is_some_and(|text| major < 7 && text.contains("\"lockfileVersion\": 3"))
            .then(|| "package-lock.json is of version 3, for npm 7 and later".to_owned()),
        "pnpm" => cx.text("pnpm-lock.yaml").and_then(|text| {
            let written = text
                .lines()
                .find_map(|line| line.strip_prefix("lockfileVersion:"))?
                .trim()
                .trim_matches(['"', '\''])
                .to_owned();
            let (from, to) = match written.as_str() {
                "9.0" => (9, u32::MAX),
                "6.0" | "6.1" => (8, 8),
                old if old.starts_with("5.") => (1, 7),
                _ => return None,
            };
            (major < from || major > to).then(|| format!("pnpm-lock.yaml is of version {written}"))
        }),
        "yarn" => cx.text("yarn.lock").and_then(|text| {
            let berry = text.contains("__metadata:");
            let classic = text.contains("# yarn lockfile v1");
            (berry && major < 2 || classic && major >= 2)
                .then(|| format!("yarn.lock was written by yarn {}", if berry { "2 or later" } else { "1" }))
        }),
        _ => None,
    };
    if let Some(wrong) = wrong {
        hits.at("package.json", line, format!("{manager}@{version}, but {wrong}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (version, range, fits) in [
            ("18", ">=20", Some(false)),
            ("20", ">=18", Some(true)),
            ("v20.11.0", "^20.0.0", Some(true)),
            ("20", "18.x || 20.x", Some(true)),
            ("18", ">= 18 < 21", Some(true)),
            ("22", ">=18 <21", Some(false)),
            ("3.9", ">=3.10,<4", Some(false)),
            ("3.11.2", "~=3.11", Some(true)),
            ("20", "18 - 22", None),
            ("20", "*", Some(true)),
            ("18.1", ">=18.17", Some(false)),
            ("18", ">=18.17", Some(true)),
        ] {
            assert_eq!(exact(version).and_then(|version| in_range(version, range)), fits, "{version} in {range}");
        }
    }
}
