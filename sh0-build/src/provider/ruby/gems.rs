//! What a Gemfile and its lockfile say.

use crate::draft::{Draft, Pin};
use crate::text::{At, find_line, lines};
use crate::tree::Files;

pub(super) struct Gems {
    /// `Gemfile`, or `gems.rb`.
    pub(super) file: &'static str,
    lockfile: &'static str,
    text: String,
    lock: Option<String>,
}

/// What Bundler is told in this project: how gems are compiled, among others (bundler.io/man/bundle-config.1.html).
const CONFIG: &str = ".bundle/config";

/// The file, but not one that says where gems go or which: what it says wins over the plan's variables.
pub(super) fn config(files: Files<'_>) -> Option<&'static str> {
    const PLANNED: &[&str] = &["BUNDLE_PATH", "BUNDLE_WITHOUT", "BUNDLE_DEPLOYMENT", "BUNDLE_FROZEN"];
    let text = files.text(CONFIG)?;
    let planned = |line: &str| PLANNED.iter().any(|name| line.trim_start().starts_with(name));
    (!text.lines().any(planned)).then_some(CONFIG)
}

/// Bundler names its folder after the version of Ruby's interface, which is the host's or the image's to say.
const CURRENT: &str = "mkdir -p vendor/bundle/ruby && \
    ln -sfn \"$(ruby -e 'print RbConfig::CONFIG[\"ruby_version\"]')\" vendor/bundle/ruby/current";

impl Gems {
    pub(super) fn read(files: Files<'_>) -> Option<Gems> {
        // The order of Bundler (bundler.io/man/gemfile.5.html).
        let (file, lockfile) = [("gems.rb", "gems.locked"), ("Gemfile", "Gemfile.lock")]
            .into_iter()
            .find(|(file, _)| files.is_file(file))?;
        Some(Gems { file, lockfile, text: files.text(file)?, lock: files.text(lockfile) })
    }

    /// Where the Gemfile names a gem.
    pub(super) fn named(&self, gem: &str) -> Option<At> {
        let (line, _) = find_line(&self.text, |line| argument(line, "gem").is_some_and(|name| name == gem))?;
        Some(At::line(self.file, line))
    }

    /// Whether a gem is among those that are installed, by name or because another one needs it.
    pub(super) fn locked(&self, gem: &str) -> bool {
        self.locked_version(gem).is_some() || self.named(gem).is_some()
    }

    /// `    rack (2.2.3)`.
    pub(super) fn locked_version(&self, gem: &str) -> Option<&str> {
        let lock = self.lock.as_deref()?;
        lock.lines().find_map(|line| {
            let version = line.strip_prefix("    ")?.strip_prefix(gem)?.strip_prefix(" (")?;
            Some(version.trim_end_matches(')'))
        })
    }

    /// The Ruby that Bundler insists on: `ruby "3.1.2"`, `ruby ">= 3.1", "< 3.4"`, `ruby file: ".ruby-version"`.
    pub(super) fn ruby(&self, version_file: Option<&Pin>) -> Option<Pin> {
        let (line, text) = find_line(&self.text, |line| {
            let line = line.trim_start();
            line.strip_prefix("ruby").is_some_and(|rest| rest.starts_with([' ', '(']))
        })?;
        if text.contains("file:") || text.contains("File.read") {
            let pin = version_file?;
            return Some(Pin { wanted: pin.wanted.clone(), by: pin.by.clone(), at: pin.at.clone() });
        }
        let code = text.split('#').next().unwrap_or(text);
        let wanted: Vec<&str> = code
            .split(['"', '\''])
            .skip(1)
            .step_by(2)
            .filter(|part| part.chars().any(|c| c.is_ascii_digit()))
            .collect();
        let wanted = wanted.join(",");
        (!wanted.is_empty()).then(|| Pin { wanted, by: self.file.to_owned(), at: At::line(self.file, line) })
    }

    /// The Ruby that wrote the lockfile.
    pub(super) fn locked_ruby(&self) -> Option<Pin> {
        let lock = self.lock.as_deref()?;
        let (line, _) = find_line(lock, |line| line == "RUBY VERSION")?;
        let text = lock.lines().nth(line as usize)?.trim();
        let wanted = text.strip_prefix("ruby ")?.split('p').next()?.to_owned();
        Some(Pin { wanted, by: self.lockfile.to_owned(), at: At::line(self.lockfile, line + 1) })
    }

    pub(super) fn install(&self, files: Files<'_>, draft: &mut Draft) {
        draft.plan.package_manager = Some("bundler".into());
        draft.because_of("package_manager = bundler", "this is its file", At::file(self.file));
        draft.env("BUNDLE_PATH", "vendor/bundle");
        draft.env("BUNDLE_WITHOUT", "development:test");
        let (at, why) = match &self.lock {
            None => {
                draft.warn(format!("there is no {}: two builds may take different versions; commit it", self.lockfile));
                (self.file, "nothing is locked")
            }
            Some(lock) if !knows_linux(lock) => {
                draft.warn(format!(
                    "{} is not for Linux, so versions may differ; run `bundle lock --add-platform x86_64-linux` and commit it",
                    self.lockfile
                ));
                (self.lockfile, "the lockfile is for another platform")
            }
            Some(_) => {
                draft.env("BUNDLE_DEPLOYMENT", "1");
                (self.lockfile, "installs exactly what is locked")
            }
        };
        draft.because_of("install = bundle install", why, At::file(at));
        draft.plan.install.push("bundle install".into());
        // `ruby app.rb`, `puma`, `rake` of a Procfile: only Bundler looks below its folder by itself.
        draft.plan.install.push(CURRENT.into());
        draft.because(format!("install += {CURRENT}"), "gems are found by what Bundler does not start, too");
        draft.env("GEM_PATH", "vendor/bundle/ruby/current");
        draft.path("vendor/bundle/ruby/current/bin");
        let recipe = &mut draft.recipe;
        recipe.manifests.extend(
            [self.file, self.lockfile, ".ruby-version"]
                .iter()
                .filter(|file| files.is_file(file))
                .map(|file| (*file).to_owned()),
        );
        if let Some(config) = config(files) {
            recipe.manifests.push(config.to_owned());
            // The images name another folder.
            recipe.build_env.push(("BUNDLE_APP_CONFIG", ".bundle"));
        }
        // Archives of gems that the owner committed: Bundler asks no registry for these.
        if files.is_folder("vendor/cache") {
            recipe.manifests.push("vendor/cache/".into());
            recipe.drop.push("vendor/cache".into());
        }
        // A gem that is a folder of the tree, and files that a Gemfile reads.
        let local = ["path:", ":path", "gemspec", "eval_gemfile", "path \"", "path '", "File.read", "require_relative"];
        let code = lines(&self.text).map(|(_, line)| line.split('#').next().unwrap_or_default());
        recipe.install_needs_source |= code.into_iter().any(|line| local.iter().any(|word| line.contains(word)));
        recipe.caches.push(("bundle", "/tmp/bundle-cache"));
        recipe.build_env.extend([("BUNDLE_USER_CACHE", "/tmp/bundle-cache"), ("BUNDLE_GLOBAL_GEM_CACHE", "1")]);
        recipe.drop.extend(["vendor/bundle/ruby/*/cache", "tmp/cache/assets"].map(str::to_owned));
        recipe.installed = Some("./vendor/bundle/*");
    }

    /// Libraries that common gems load at run time; the image that builds has their headers.
    pub(super) fn system_packages(&self, draft: &mut Draft) {
        const NATIVE: &[(&str, &[&str])] = &[
            ("pg", &["libpq5"]),
            ("mysql2", &["libmariadb3"]),
            ("trilogy", &[]),
            ("sqlite3", &["libsqlite3-0"]),
            ("rmagick", &["libmagickwand-6.q16-6"]),
            ("mini_magick", &["imagemagick"]),
            ("ruby-vips", &["libvips42"]),
            ("image_processing", &["libvips42"]),
            ("charlock_holmes", &["libicu72"]),
            ("rbnacl", &["libsodium23"]),
            ("ruby-filemagic", &["libmagic1"]),
            ("curb", &["libcurl4"]),
        ];
        for (gem, libraries) in NATIVE {
            if !self.locked(gem) {
                continue;
            }
            for library in
                libraries.iter().filter(|library| !draft.recipe.packages.contains(library)).copied().collect::<Vec<_>>()
            {
                let at = self.named(gem).unwrap_or_else(|| At::file(self.lockfile));
                draft.because_of(format!("packages += {library}"), format!("{gem} loads it"), at);
                draft.recipe.packages.push(library);
            }
        }
    }
}

/// Whether a lockfile can be installed on Linux as it is.
fn knows_linux(lock: &str) -> bool {
    let Some((line, _)) = find_line(lock, |line| line == "PLATFORMS") else { return true };
    let platforms = lock.lines().skip(line as usize).take_while(|line| line.starts_with(' '));
    platforms.map(str::trim).any(|platform| platform == "ruby" || platform.contains("linux"))
}

/// The first text behind a word: `gem "rack", "~> 3"`, `gem('rack')`.
fn argument<'t>(line: &'t str, word: &str) -> Option<&'t str> {
    let rest = line.trim_start().strip_prefix(word)?.trim_start_matches([' ', '(']);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next()
}
