//! Extensions of PHP: what `composer.json`, `composer.lock` and the framework need beyond what the image has built in.

use std::collections::BTreeMap;

use crate::draft::Draft;
use crate::text::{At, Json};
use crate::tree::Files;

/// An extension that the image of PHP can make.
struct Extension {
    name: &'static str,
    /// Debian packages with headers.
    build: &'static [&'static str],
    /// Debian packages with the libraries.
    run: &'static [&'static str],
    /// From PECL; else among PHP's own sources.
    pecl: bool,
}

const fn own(name: &'static str, build: &'static [&'static str], run: &'static [&'static str]) -> Extension {
    Extension { name, build, run, pecl: false }
}

const fn pecl(name: &'static str, build: &'static [&'static str], run: &'static [&'static str]) -> Extension {
    Extension { name, build, run, pecl: true }
}

/// Names of packages are those of Debian 12.
const EXTENSIONS: &[Extension] = &[
    own("bcmath", &[], &[]),
    own("bz2", &["libbz2-dev"], &[]),
    own("calendar", &[], &[]),
    own("dba", &[], &[]),
    own("exif", &[], &[]),
    own("ffi", &["libffi-dev"], &[]),
    own(
        "gd",
        &["libfreetype-dev", "libjpeg-dev", "libpng-dev", "libwebp-dev"],
        &["libfreetype6", "libjpeg62-turbo", "libpng16-16", "libwebp7"],
    ),
    own("gettext", &[], &[]),
    own("gmp", &["libgmp-dev"], &["libgmp10"]),
    own("imap", &["libc-client-dev", "libkrb5-dev"], &["libc-client2007e"]),
    own("intl", &["libicu-dev"], &["libicu72"]),
    own("ldap", &["libldap-dev"], &["libldap-2.5-0"]),
    own("mysqli", &[], &[]),
    own("opcache", &[], &[]),
    own("pcntl", &[], &[]),
    own("pdo_mysql", &[], &[]),
    own("pdo_pgsql", &["libpq-dev"], &["libpq5"]),
    own("pgsql", &["libpq-dev"], &["libpq5"]),
    own("shmop", &[], &[]),
    own("soap", &["libxml2-dev"], &[]),
    own("sockets", &[], &[]),
    own("sysvmsg", &[], &[]),
    own("sysvsem", &[], &[]),
    own("sysvshm", &[], &[]),
    own("tidy", &["libtidy-dev"], &["libtidy5deb1"]),
    own("xsl", &["libxslt1-dev"], &["libxslt1.1"]),
    own("zip", &["libzip-dev"], &["libzip4"]),
    pecl("amqp", &["librabbitmq-dev"], &["librabbitmq4"]),
    pecl("apcu", &[], &[]),
    pecl("ds", &[], &[]),
    pecl("grpc", &[], &[]),
    pecl("igbinary", &[], &[]),
    pecl("imagick", &["libmagickwand-dev"], &["libmagickwand-6.q16-6"]),
    pecl("memcached", &["libmemcached-dev", "zlib1g-dev"], &["libmemcached11"]),
    pecl("mongodb", &["libssl-dev"], &[]),
    pecl("msgpack", &[], &[]),
    pecl("protobuf", &[], &[]),
    pecl("redis", &[], &[]),
    pecl("swoole", &["libssl-dev"], &[]),
    pecl("uuid", &["uuid-dev"], &[]),
    pecl("yaml", &["libyaml-dev"], &["libyaml-0-2"]),
];

/// What the official image has built in (`php -m`).
const BUILT_IN: &[&str] = &[
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "ftp",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "mysqlnd",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "random",
    "readline",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "standard",
    "tokenizer",
    "xml",
    "xmlreader",
    "xmlwriter",
    "zlib",
];

/// Adds what makes the extensions to the build, and what they load to the image. Answers whether there are any.
pub(super) fn find(
    files: Files<'_>,
    manifest: Option<&Json>,
    framework: Option<&str>,
    version: &str,
    draft: &mut Draft,
) -> bool {
    let wanted = wanted(files, manifest, framework);
    let mut chosen: Vec<&Extension> = Vec::new();
    for (name, (at, why)) in &wanted {
        // Part of PHP itself since 8.5.
        if BUILT_IN.contains(&name.as_str()) || (name == "opcache" && version == "8.5") {
            continue;
        }
        match EXTENSIONS.iter().find(|extension| extension.name == name) {
            Some(extension) => {
                draft.because_of(format!("extensions += {name}"), why.clone(), at.clone());
                chosen.push(extension);
            }
            None => {
                draft.warn(format!("{why}, but sh0 does not know how to install ext-{name}; bring a Dockerfile for it"))
            }
        }
    }
    if chosen.is_empty() {
        return false;
    }
    let recipe = &mut draft.recipe;
    for extension in &chosen {
        recipe.build_packages.extend(
            extension.build.iter().filter(|name| !recipe.build_packages.contains(name)).copied().collect::<Vec<_>>(),
        );
        // Libraries have other names in older releases of Debian; the packages with headers bring them.
        let run = if version == "7.4" { extension.build } else { extension.run };
        recipe.packages.extend(run.iter().filter(|name| !recipe.packages.contains(name)).copied().collect::<Vec<_>>());
    }
    let names = |pecl: bool| {
        chosen
            .iter()
            .filter(|extension| extension.pecl == pecl)
            .map(|extension| extension.name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut commands: Vec<String> = Vec::new();
    if chosen.iter().any(|extension| extension.name == "gd") {
        commands.push("docker-php-ext-configure gd --with-freetype --with-jpeg --with-webp".into());
    }
    if chosen.iter().any(|extension| extension.name == "imap") {
        commands.push("docker-php-ext-configure imap --with-kerberos --with-imap-ssl".into());
    }
    let (own, pecl) = (names(false), names(true));
    if !own.is_empty() {
        commands.push(format!("docker-php-ext-install -j\"$(nproc)\" {own}"));
    }
    if !pecl.is_empty() {
        commands.push(format!("pecl install {pecl} && docker-php-ext-enable {pecl}"));
    }
    recipe.before_install.push(commands.join(" && "));
    recipe.ship_system.extend(["/usr/local/lib/php/extensions", "/usr/local/etc/php/conf.d"]);
    let hint: Vec<String> = chosen.iter().map(|extension| debian(extension.name)).collect();
    if let Some(tool) = draft.plan.tools.iter_mut().find(|tool| tool.program == "php") {
        tool.install_hint = format!("PHP with its extensions (Debian: apt-get install php-cli {})", hint.join(" "));
    }
    true
}

type Wanted = BTreeMap<String, (At, String)>;

fn wanted(files: Files<'_>, manifest: Option<&Json>, framework: Option<&str>) -> Wanted {
    let mut wanted = Wanted::new();
    let mut add = |name: &str, at: At, why: String| {
        wanted.entry(name.to_ascii_lowercase().replace("zend-", "")).or_insert((at, why));
    };
    if let Some(manifest) = manifest {
        for name in extensions(manifest.get(&["require"])) {
            let key = format!("ext-{name}");
            add(&name, manifest.at(&["require", &key]), format!("composer.json requires {key}"));
        }
    }
    // What the packages need in turn. A lockfile that is too large to be read whole says nothing.
    if let Some(Ok(lock)) = Json::read(files, "composer.lock") {
        let packages = lock.get(&["packages"]).and_then(|list| list.as_array());
        for package in packages.into_iter().flatten() {
            let by = package.get("name").and_then(|name| name.as_str()).unwrap_or("a package");
            for name in extensions(package.get("require")) {
                add(&name, At::file("composer.lock"), format!("{by} requires ext-{name}"));
            }
        }
    }
    let at = || manifest.map(|manifest| At::file(manifest.file.as_str())).unwrap_or_else(|| At::file("index.php"));
    let by_framework: &[&str] = match framework {
        Some("laravel" | "lumen") => &["bcmath", "opcache", "pcntl", "pdo_mysql", "pdo_pgsql", "zip"],
        Some("symfony") => &["intl", "opcache", "pdo_mysql", "pdo_pgsql"],
        Some("wordpress") => &["exif", "gd", "intl", "mysqli", "opcache", "zip"],
        Some("drupal") => &["gd", "opcache", "pdo_mysql", "pdo_pgsql"],
        Some("cakephp" | "codeigniter" | "yii") => &["intl", "opcache", "pdo_mysql", "pdo_pgsql"],
        _ => &[],
    };
    for name in by_framework {
        add(name, at(), format!("{} uses it", framework.unwrap_or_default()));
    }
    wanted
}

/// Names of `ext-*` among requirements. They become part of a command: only plain ones.
fn extensions(require: Option<&serde_json::Value>) -> Vec<String> {
    let plain =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let names = require.and_then(|all| all.as_object()).into_iter().flat_map(|all| all.keys());
    names.filter_map(|name| name.strip_prefix("ext-")).filter(|name| plain(name)).map(str::to_owned).collect()
}

/// The package of Debian that has an extension.
fn debian(name: &str) -> String {
    let package = match name {
        "pdo_mysql" | "mysqli" => "mysql",
        "pdo_pgsql" | "pgsql" => "pgsql",
        "calendar" | "exif" | "ffi" | "gettext" | "pcntl" | "shmop" | "sockets" | "sysvmsg" | "sysvsem" | "sysvshm" => {
            "common"
        }
        other => other,
    };
    format!("php-{package}")
}
