//! What kind of file a path names. Rules use it to leave out what is not the app: tests, examples, lockfiles, bundles.

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Class(u16);

impl Class {
    /// Tests, fixtures and what belongs to them.
    pub(crate) const TEST: Class = Class(1);
    /// Documentation.
    pub(crate) const DOC: Class = Class(1 << 1);
    /// Made to be copied and filled in: `.env.example`.
    pub(crate) const SAMPLE: Class = Class(1 << 2);
    /// Lists of resolved dependencies.
    pub(crate) const LOCK: Class = Class(1 << 3);
    /// Somebody else's code, or the output of a bundler.
    pub(crate) const VENDORED: Class = Class(1 << 4);
    /// Program text that runs on a server or is built.
    pub(crate) const CODE: Class = Class(1 << 5);
    /// Markup and style: what a browser shows.
    pub(crate) const MARKUP: Class = Class(1 << 6);
    /// Not text.
    pub(crate) const BINARY: Class = Class(1 << 7);
    /// Scripts of a shell, Dockerfiles.
    pub(crate) const SHELL: Class = Class(1 << 8);
    /// Translations and other long prose in data.
    pub(crate) const PROSE: Class = Class(1 << 9);
    /// Settings of a developer's tools: bundlers, linters, test runners.
    pub(crate) const TOOLING: Class = Class(1 << 10);

    /// Whether any of `other` is in it.
    pub(crate) fn any(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    /// The kinds that a path tells of.
    pub(crate) fn of(path: &str) -> Class {
        let lower = path.to_ascii_lowercase();
        let (folders, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let mut class = Class::default();
        let mut set = |when: bool, kind: Class| {
            if when {
                class = class.and(kind);
            }
        };
        let parts = || folders.split('/');
        set(
            parts().any(|part| TEST_FOLDERS.contains(&part) || part.ends_with("-tests") || part.ends_with(".tests"))
                || [".test.", ".spec.", "_test.", "_spec.", ".cy.", "-test."].iter().any(|mark| name.contains(mark))
                || name.starts_with("test_")
                || name == "conftest.py",
            Class::TEST,
        );
        set(
            parts().any(|part| matches!(part, "docs" | "doc" | "documentation"))
                || matches!(extension, "md" | "mdx" | "rst" | "adoc"),
            Class::DOC,
        );
        set(
            ["example", "sample", "template", "dist", "tpl", "defaults"].contains(&extension)
                || [".example.", ".sample.", ".template.", "-example.", "-sample.", "_example", ".env-example"]
                    .iter()
                    .any(|mark| name.contains(mark))
                || ["example.", "sample."].iter().any(|mark| name.starts_with(mark)),
            Class::SAMPLE,
        );
        set(LOCKS.contains(&name) || extension == "lock" || name.ends_with(".sum"), Class::LOCK);
        set(
            parts().any(|part| VENDOR_FOLDERS.contains(&part))
                || name.contains(".min.")
                || name.starts_with(".pnp.")
                || name.contains(".bundle.")
                || extension == "map",
            Class::VENDORED,
        );
        set(CODE.contains(&extension), Class::CODE);
        set(
            matches!(
                extension,
                "html"
                    | "htm"
                    | "css"
                    | "scss"
                    | "less"
                    | "svg"
                    | "vue"
                    | "svelte"
                    | "jsx"
                    | "tsx"
                    | "erb"
                    | "hbs"
                    | "ejs"
                    | "pug"
                    | "twig"
                    | "astro"
            ),
            Class::MARKUP,
        );
        set(BINARY.contains(&extension), Class::BINARY);
        set(
            "sh bash zsh fish ps1 bat cmd dockerfile".split(' ').any(|shell| shell == extension)
                || name.starts_with("dockerfile")
                || name.starts_with("containerfile")
                || matches!(name, "makefile" | "justfile" | "procfile"),
            Class::SHELL,
        );
        set(
            matches!(extension, "po" | "pot" | "csv" | "tsv" | "srt" | "ipynb" | "log")
                || parts().any(|part| matches!(part, "locales" | "locale" | "i18n" | "lang" | "translations")),
            Class::PROSE,
        );
        set(
            name.contains(".config.")
                || name.starts_with("webpack.")
                || name.starts_with("vite.")
                || name.starts_with("gulpfile")
                || name.starts_with(".eslintrc")
                || parts().any(|part| {
                    matches!(part, ".storybook" | ".devcontainer" | ".github" | "scripts" | ".circleci" | "ci")
                }),
            Class::TOOLING,
        );
        class
    }
}

const TEST_FOLDERS: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "spec",
    "specs",
    "fixtures",
    "fixture",
    "testdata",
    "test-data",
    "test_data",
    "e2e",
    "cypress",
    "__mocks__",
    "mocks",
    "testing",
    "androidtest",
];

const VENDOR_FOLDERS: &[&str] =
    &["vendor", "vendored", "third_party", "third-party", ".yarn", "bower_components", "node_modules", "jspm_packages"];

const LOCKS: &[&str] = &[
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "bun.lockb",
    "go.sum",
    "packages.lock.json",
    "paket.lock",
    "gradle.lockfile",
    "deno.lock",
    "manifest.toml",
    "cargo.lock",
    "rebar.lock",
    "pubspec.lock",
    "verification-metadata.xml",
    "package.resolved",
    "checksums.txt",
];

const CODE: &[&str] = &[
    "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "py", "rb", "php", "go", "rs", "java", "kt", "kts", "scala",
    "cs", "fs", "ex", "exs", "clj", "gleam", "swift", "dart", "vue", "svelte", "lua", "pl", "cr", "hs", "astro",
    "groovy",
];

const BINARY: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "bmp", "tiff", "pdf", "zip", "gz", "tgz", "bz2", "xz", "zst",
    "7z", "rar", "tar", "jar", "war", "class", "dll", "exe", "so", "dylib", "a", "o", "wasm", "woff", "woff2", "ttf",
    "otf", "eot", "mp3", "mp4", "mov", "avi", "webm", "ogg", "wav", "flac", "pyc", "node", "bin", "db", "sqlite",
    "sqlite3", "psd", "ai", "keystore", "jks", "p12", "pfx", "der", "onnx", "pt", "parquet", "lockb", "nupkg", "gem",
    "whl",
];
