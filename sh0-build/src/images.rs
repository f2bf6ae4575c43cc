//! Every base image that a generated Dockerfile names, in one table: what is built on, and what is shipped.

use std::collections::BTreeMap;

use crate::Options;

/// What a stack is built on and shipped on.
pub(crate) struct Base {
    /// The stack: the key of [`Options::base_images`].
    pub(crate) stack: &'static str,
    /// Repository below the library of the default registry.
    repository: &'static str,
    /// The versions that have a tag of their own, oldest first; the one taken when nothing asks for another is `default`.
    pub(crate) versions: &'static [&'static str],
    /// The version of trees that do not say.
    pub(crate) default: &'static str,
    /// In front of the version in the tag.
    before: &'static str,
    /// Behind the version in the tag of the image that builds: it has compilers.
    build: &'static str,
    /// Behind the version in the tag of the image that ships.
    run: &'static str,
}

/// One image both builds and ships, and the version is all of its tag.
const fn plain(
    stack: &'static str,
    repository: &'static str,
    versions: &'static [&'static str],
    default: &'static str,
) -> Base {
    Base { stack, repository, versions, default, before: "", build: "", run: "" }
}

/// Node: even versions are the long-term ones.
pub(crate) const NODE: Base = Base {
    stack: "node",
    repository: "node",
    versions: &["16", "18", "20", "22", "24", "25", "26"],
    default: "24",
    before: "",
    build: "-bookworm",
    run: "-bookworm-slim",
};
/// Python.
pub(crate) const PYTHON: Base = Base {
    stack: "python",
    repository: "python",
    versions: &["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"],
    default: "3.13",
    before: "",
    build: "-bookworm",
    run: "-slim-bookworm",
};
/// Python where nothing has to be compiled: one image both builds and ships.
pub(crate) const PYTHON_SLIM: Base = Base { build: "-slim-bookworm", ..PYTHON };
/// Zola, a generator of pages: one program.
pub(crate) const ZOLA: Base = plain("zola", "ghcr.io/getzola/zola", &["v0.20.0"], "v0.20.0");
/// Conda, which makes environments with their own Python.
pub(crate) const CONDA: Base = plain("conda", "condaforge/miniforge3", &["25.3.1-0"], "25.3.1-0");
/// Go builds anything older than itself.
pub(crate) const GO: Base = Base {
    stack: "go",
    repository: "golang",
    versions: &["1.22", "1.23", "1.24", "1.25", "1.26"],
    default: "1.25",
    before: "",
    build: "-bookworm",
    run: "-bookworm",
};
/// Rust builds anything older than itself; a toolchain file is followed by rustup within the image.
pub(crate) const RUST: Base = Base {
    stack: "rust",
    repository: "rust",
    versions: &[
        "1.70", "1.71", "1.72", "1.73", "1.74", "1.75", "1.76", "1.77", "1.78", "1.79", "1.80", "1.81", "1.82", "1.83",
        "1.84", "1.85", "1.86", "1.87", "1.88", "1.89", "1.90", "1.91", "1.92", "1.93", "1.94", "1.95",
    ],
    default: "1.95",
    before: "",
    build: "-bookworm",
    run: "-slim-bookworm",
};
/// Bun.
pub(crate) const BUN: Base = Base {
    stack: "bun",
    repository: "oven/bun",
    versions: &["1.0", "1.1", "1.2", "1.3"],
    default: "1.3",
    before: "",
    build: "-debian",
    run: "-slim",
};
/// What programs that need no interpreter are shipped on.
pub(crate) const DEBIAN: Base = Base {
    stack: "debian",
    repository: "debian",
    versions: &["bookworm"],
    default: "bookworm",
    before: "",
    build: "",
    run: "-slim",
};
/// PHP, with Apache. Its image builds extensions itself.
pub(crate) const PHP: Base = Base {
    stack: "php",
    repository: "php",
    versions: &["7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5"],
    default: "8.4",
    before: "",
    build: "-apache-bookworm",
    run: "-apache-bookworm",
};
/// Composer, a single file.
pub(crate) const COMPOSER: Base = plain("composer", "composer", &["2"], "2");
/// Ruby. Bundler wants exactly the release that a Gemfile names.
pub(crate) const RUBY: Base = Base {
    stack: "ruby",
    repository: "ruby",
    versions: &["2.5", "2.6", "2.7", "3.0", "3.1", "3.2", "3.3", "3.4", "4.0"],
    default: "3.4",
    before: "",
    build: "-bookworm",
    run: "-slim-bookworm",
};
/// Java: the long-term releases.
pub(crate) const JAVA: Base = Base {
    stack: "java",
    repository: "eclipse-temurin",
    versions: &["8", "11", "17", "21", "25"],
    default: "21",
    before: "",
    build: "-jdk",
    run: "-jre",
};
/// Maven, by version of Java.
pub(crate) const MAVEN: Base =
    Base { stack: "maven", repository: "maven", before: "3.9-eclipse-temurin-", build: "", run: "", ..JAVA };
/// Gradle, by version of Java.
pub(crate) const GRADLE: Base =
    Base { stack: "gradle", repository: "gradle", before: "8-jdk", build: "", run: "", ..JAVA };
/// Gradle for the newest Java.
pub(crate) const GRADLE_9: Base = Base { stack: "gradle", before: "9-jdk", ..GRADLE };
/// Tomcat, by version of Java.
pub(crate) const TOMCAT: Base = Base {
    stack: "tomcat",
    repository: "tomcat",
    versions: &["11", "17", "21", "25"],
    before: "10.1-jre",
    build: "",
    run: "",
    ..JAVA
};
/// Deno has no tags of lines: these are releases.
pub(crate) const DENO: Base = Base {
    stack: "deno",
    repository: "denoland/deno",
    versions: &["1.46.3", "2.5.6", "2.9.6"],
    default: "2.9.6",
    before: "debian-",
    build: "",
    run: "",
};
/// Elixir, with Erlang.
pub(crate) const ELIXIR: Base = Base {
    stack: "elixir",
    repository: "elixir",
    versions: &["1.14", "1.15", "1.16", "1.17", "1.18", "1.19"],
    default: "1.18",
    before: "",
    build: "",
    run: "-slim",
};
/// What builds .NET. Not in the default registry.
pub(crate) const DOTNET_SDK: Base =
    plain("dotnet-sdk", "mcr.microsoft.com/dotnet/sdk", &["3.1", "5.0", "6.0", "7.0", "8.0", "9.0", "10.0"], "10.0");
/// What runs ASP.NET.
pub(crate) const DOTNET: Base = Base { stack: "dotnet", repository: "mcr.microsoft.com/dotnet/aspnet", ..DOTNET_SDK };
/// Gleam, with Erlang.
pub(crate) const GLEAM: Base = Base {
    stack: "gleam",
    repository: "ghcr.io/gleam-lang/gleam",
    versions: &["1.10.0", "1.11.1", "1.12.0", "1.13.0"],
    default: "1.13.0",
    before: "v",
    build: "-erlang",
    run: "-erlang",
};
/// Dart; its programs need no SDK.
pub(crate) const DART: Base = plain("dart", "dart", &["2.19", "3"], "3");
/// Swift.
pub(crate) const SWIFT: Base = Base {
    stack: "swift",
    repository: "swift",
    versions: &["5.8", "5.9", "5.10", "6.0", "6.1", "6.2"],
    default: "6.2",
    before: "",
    build: "",
    run: "-slim",
};
/// Crystal.
pub(crate) const CRYSTAL: Base =
    plain("crystal", "crystallang/crystal", &["1.14.1", "1.15.1", "1.16.3", "1.17.1"], "1.17.1");
/// Leiningen, by version of Java.
pub(crate) const LEIN: Base = Base {
    stack: "leiningen",
    repository: "clojure",
    versions: &["8", "11", "17", "21"],
    before: "temurin-",
    build: "-lein",
    run: "-lein",
    ..JAVA
};
/// The Clojure CLI, by version of Java.
pub(crate) const CLOJURE: Base = Base { stack: "clojure", build: "-tools-deps", run: "-tools-deps", ..LEIN };
/// GHC, with Stack and Cabal.
pub(crate) const HASKELL: Base = plain("haskell", "haskell", &["9.4", "9.6", "9.8"], "9.6");

impl Base {
    /// The image to build on.
    pub(crate) fn build_image(&self, version: &str, options: &Options) -> String {
        self.image(version, self.build, options)
    }

    /// The image to ship on.
    pub(crate) fn run_image(&self, version: &str, options: &Options) -> String {
        self.image(version, self.run, options)
    }

    fn image(&self, version: &str, suffix: &str, options: &Options) -> String {
        if let Some(image) = options.base_images.get(self.stack) {
            return image.clone();
        }
        // An exact release has no tag of every release of Debian, nor has what ended before that.
        let exact = self.versions.iter().all(|line| *line != version);
        let suffix =
            if exact || OLDER.contains(&(self.stack, version)) { suffix.trim_end_matches("-bookworm") } else { suffix };
        let tag = format!("{}{version}{suffix}", self.before);
        match &options.mirror {
            // The library of the default registry has its own folder on every mirror.
            Some(_) if self.repository.starts_with("mcr.") || self.repository.starts_with("ghcr.") => {
                format!("{}:{tag}", self.repository)
            }
            Some(mirror) => {
                let folder = if self.repository.contains('/') { "" } else { "library/" };
                format!("{}/{folder}{}:{tag}", mirror.trim_end_matches('/'), self.repository)
            }
            None => format!("{}:{tag}", self.repository),
        }
    }

    /// The version whose image has what `wanted` asks for: `20`, `v20.11.1`, `>=18`, `^22`, `3.11.x`, `lts/*`. Exact
    /// releases map to their line, because tags of lines get security fixes. `None` when no line fits.
    pub(crate) fn choose(&self, wanted: &str) -> Option<&'static str> {
        // `a || b`: the newest line of either.
        wanted.split("||").filter_map(|part| self.choose_one(part.trim())).max_by_key(|line| self.place(line))
    }

    /// Whether `wanted` asks for something newer than all of these.
    pub(crate) fn ends_before(&self, wanted: &str) -> bool {
        let Some(newest) = self.versions.last().and_then(|line| Bound::parse(line)) else { return false };
        self.choose(wanted).is_none()
            && comparators(&wanted.to_ascii_lowercase())
                .filter_map(|text| Bound::parse(&text))
                .any(|bound| !bound.operator.starts_with('<') && bound.numbers > newest.numbers)
    }

    fn place(&self, line: &str) -> usize {
        self.versions.iter().position(|version| *version == line).unwrap_or_default()
    }

    fn choose_one(&self, wanted: &str) -> Option<&'static str> {
        let lower = wanted.to_ascii_lowercase();
        if matches!(lower.as_str(), "" | "*" | "latest" | "node" | "stable" | "current" | "lts" | "lts/*") {
            return Some(self.default);
        }
        if let Some(line) = CODE_NAMES.iter().find(|(name, _)| lower == format!("lts/{name}")).map(|(_, line)| *line) {
            return self.versions.iter().copied().find(|version| *version == line);
        }
        // `18 - 20`: from one to the other, both included.
        let lower = match lower.split_once(" - ") {
            Some((from, to)) => format!(">={} <={}", from.trim(), to.trim()),
            None => lower,
        };
        let bounds: Vec<Bound> = comparators(&lower).map(|text| Bound::parse(&text)).collect::<Option<_>>()?;
        if bounds.is_empty() {
            return None;
        }
        let fits = |line: &str| bounds.iter().all(|bound| bound.admits(line));
        // The default when it fits; else the newest line that does.
        let default = Some(self.default).filter(|line| fits(line));
        default.or_else(|| self.versions.iter().rev().copied().find(|line| fits(line)))
    }
}

/// Lines that ended before Debian 12 came out, by stack: their images are of an older one.
const OLDER: &[(&str, &str)] = &[("ruby", "2.5"), ("ruby", "2.6"), ("ruby", "2.7"), ("php", "7.4")];

/// Names of Node's long-term lines (nodejs/Release, README.md).
const CODE_NAMES: &[(&str, &str)] =
    &[("gallium", "16"), ("hydrogen", "18"), ("iron", "20"), ("jod", "22"), ("krypton", "24")];

/// `>= 18 <21` and `>=3.9,<4`: operators joined to their numbers.
fn comparators(text: &str) -> impl Iterator<Item = String> {
    let mut parts: Vec<String> = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match parts.last_mut() {
            Some(last) if last.ends_with(['<', '>', '=', '^', '~']) => last.push_str(word),
            _ => parts.push(word.to_owned()),
        }
    }
    parts.into_iter()
}

/// One comparison with a version, as far as lines of versions can tell.
struct Bound {
    operator: String,
    numbers: Vec<u32>,
}

impl Bound {
    fn parse(text: &str) -> Option<Bound> {
        let start = text.find(|c: char| c.is_ascii_alphanumeric() || c == '*')?;
        let (operator, version) = text.split_at(start);
        if !matches!(operator, "" | "=" | "==" | "===" | ">" | ">=" | "<" | "<=" | "^" | "~" | "~=" | "~>" | "!=") {
            return None;
        }
        let version = version.strip_prefix('v').unwrap_or(version);
        let parts = version.split(['.', '-', '+']).take_while(|part| !matches!(*part, "x" | "*"));
        let numbers: Vec<u32> = parts.map_while(|part| part.parse().ok()).collect();
        // What does not begin with a number (`system`, `pypy3.9`) is not a version.
        let known = !numbers.is_empty() || version.starts_with(['x', '*']);
        known.then(|| Bound { operator: operator.to_owned(), numbers })
    }

    /// Whether some release of `line` fits.
    fn admits(&self, line: &str) -> bool {
        let line: Vec<u32> = line.split('.').filter_map(|part| part.parse().ok()).collect();
        let shared = line.len().min(self.numbers.len());
        let order = line[..shared].cmp(&self.numbers[..shared]);
        match self.operator.as_str() {
            "" | "=" | "==" | "===" => order.is_eq(),
            "!=" => !order.is_eq() || self.numbers.len() > line.len(),
            ">=" => order.is_ge(),
            // `>18` admits 18.1: node reads a partial version as a range, but 18.1 is in the line 18 only if more is said.
            ">" => order.is_gt() || (order.is_eq() && self.numbers.len() > line.len()),
            "<=" => order.is_le(),
            "<" => order.is_lt() || (order.is_eq() && self.numbers[shared..].iter().any(|n| *n > 0)),
            "^" => line.first() == self.numbers.first() && order.is_ge(),
            // `~=3.11`, and `~> 3.11` of Ruby and Elixir, is "3.11 or later in 3"; `~=3.11.2` and `~20.1` stay in the line.
            "~=" | "~>" if self.numbers.len() == 2 => line.first() == self.numbers.first() && order.is_ge(),
            _ => order.is_eq(),
        }
    }
}

/// What has the versions of a language; `None` for languages without any.
pub(crate) fn of_language(language: &str) -> Option<&'static Base> {
    let all = [
        &NODE, &PYTHON, &GO, &RUST, &PHP, &RUBY, &JAVA, &DENO, &ELIXIR, &DOTNET, &SWIFT, &GLEAM, &CRYSTAL, &HASKELL,
        &DART, &CLOJURE,
    ];
    all.into_iter().find(|base| base.stack == language)
}

/// The images that a plan would use by default, by stack, for documentation.
pub fn default_images() -> BTreeMap<&'static str, String> {
    let options = Options::default();
    [
        NODE, PYTHON, ZOLA, CONDA, GO, RUST, BUN, DEBIAN, PHP, COMPOSER, RUBY, JAVA, MAVEN, GRADLE, TOMCAT, DENO,
        ELIXIR, DOTNET_SDK, DOTNET, GLEAM, DART, SWIFT, CRYSTAL, LEIN, CLOJURE, HASKELL,
    ]
    .iter()
    .map(|base| (base.stack, base.run_image(base.default, &options)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stack_has_a_default_image() {
        let known = default_images();
        let source = include_str!("images.rs").split("mod tests").next().unwrap_or_default();
        let named =
            |before: &str| source.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>();
        let stacks = [named("stack: \""), named("plain(\"")].concat();
        assert!(stacks.len() > 20 && stacks.iter().all(|stack| known.contains_key(stack)), "{stacks:?}");
    }

    #[test]
    fn versions_find_their_line() {
        for (wanted, line) in [
            ("20", Some("20")),
            ("v20.11.1", Some("20")),
            (">=18", Some("24")),
            (">= 18 <21", Some("20")),
            ("^22.1.0", Some("22")),
            ("18.x || 20.x", Some("20")),
            ("~18.2", Some("18")),
            ("lts/iron", Some("20")),
            ("lts/*", Some("24")),
            ("*", Some("24")),
            (">=20.0.0 <21.0.0", Some("20")),
            ("14", None),
            ("system", None),
            ("", Some("24")),
            ("18 - 22", Some("22")),
            ("18.1.0 - 25", Some("24")),
        ] {
            assert_eq!(NODE.choose(wanted), line, "node {wanted:?}");
        }
        for (wanted, line) in [
            (">=3.9,<4", Some("3.13")),
            ("==3.11.*", Some("3.11")),
            ("~=3.11", Some("3.13")),
            ("~=3.11.2", Some("3.11")),
            ("^3.10", Some("3.13")),
            ("3.12.4", Some("3.12")),
            (">=3.8, !=3.9.1, <3.12", Some("3.11")),
            ("pypy3.9", None),
        ] {
            assert_eq!(PYTHON.choose(wanted), line, "python {wanted:?}");
        }
    }

    #[test]
    fn a_mirror_or_an_image_of_ones_own() {
        let mirror = Options { mirror: Some("mirror.example.com/hub/".into()), ..Options::default() };
        assert_eq!(NODE.run_image("22", &mirror), "mirror.example.com/hub/library/node:22-bookworm-slim");
        assert_eq!(BUN.run_image("1.3", &mirror), "mirror.example.com/hub/oven/bun:1.3-slim");
        let own = Options { base_images: [("node".to_owned(), "local/node:1".to_owned())].into(), ..mirror };
        assert_eq!(NODE.build_image("22", &own), "local/node:1");
        assert_eq!(PYTHON.build_image("3.13", &own), "mirror.example.com/hub/library/python:3.13-bookworm");
    }
}
