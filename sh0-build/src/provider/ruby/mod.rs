//! Ruby, with Bundler: Rails, Sinatra, anything that Rack runs, sites that are generated, scripts. Gems go to
//! `vendor/bundle` inside the folder of the app, on a host and in an image alike.

mod gems;
mod start;

use sh0_core::Result;

use self::gems::Gems;
use super::{Provider, assets};
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::text::{At, Json};
use crate::tree::Files;

const SCRIPTS: &[&str] =
    &["app.rb", "main.rb", "server.rb", "web.rb", "application.rb", "bot.rb", "index.rb", "run.rb"];

pub(crate) struct Ruby;

impl Provider for Ruby {
    fn language(&self) -> &'static str {
        "ruby"
    }

    fn looks_for(&self) -> &'static str {
        "Ruby: Gemfile, gems.rb, config.ru, or app.rb, main.rb, server.rb"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        if files.is_file("package.json")
            && (only_for_phones(files) || files.first(&["Gemfile", "gems.rb", "config.ru"]).is_none())
        {
            return false;
        }
        files.first(&["Gemfile", "gems.rb", "config.ru"]).or_else(|| files.first(SCRIPTS)).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        let tree = Tree { files, gems: Gems::read(files) };
        tree.plan(&mut draft)?;
        Ok(draft)
    }
}

/// React Native keeps the tools that build for phones in a Gemfile.
fn only_for_phones(files: Files<'_>) -> bool {
    let text = files.text("Gemfile").unwrap_or_default();
    ["cocoapods", "fastlane"].iter().any(|gem| text.contains(gem)) && !files.is_file("config.ru")
}

struct Tree<'a> {
    files: Files<'a>,
    gems: Option<Gems>,
}

/// Frameworks by gem; those that write pages come with what they write.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("rails", "rails"),
    ("rails", "railties"),
    ("hanami", "hanami"),
    ("padrino", "padrino"),
    ("bridgetown", "bridgetown"),
    ("jekyll", "jekyll"),
    ("jekyll", "github-pages"),
    ("middleman", "middleman"),
    ("nanoc", "nanoc"),
    ("sinatra", "sinatra"),
    ("grape", "grape"),
    ("roda", "roda"),
    ("cuba", "cuba"),
    ("rack", "rack"),
];

impl Tree<'_> {
    fn plan(&self, draft: &mut Draft) -> Result<()> {
        draft.plan.language = "ruby".into();
        let marks: Vec<&str> = ["Gemfile", "gems.rb", "config.ru"].iter().chain(SCRIPTS).copied().collect();
        let mark = self.files.first(&marks).unwrap_or("Gemfile");
        draft.because_of("language = ruby", "a file of a Ruby app", At::file(mark));
        let version = self.version(draft)?;
        if version.starts_with("2.") || version.starts_with("3.0") || version.starts_with("3.1") {
            draft.warn(format!("Ruby {version} gets no security fixes any more"));
        }
        let framework = self.framework(draft);
        draft.recipe.run = Some((&images::RUBY, version.clone()));
        draft.env("RACK_ENV", "production");
        match &self.gems {
            Some(gems) => {
                draft.tool(
                    "ruby",
                    "Ruby with headers and a compiler (Debian: apt-get install ruby-dev build-essential)",
                );
                draft.tool("bundle", "Bundler (Debian: apt-get install ruby-bundler)");
                draft.recipe.build = Some((&images::RUBY, version));
                gems.install(self.files, draft);
                gems.system_packages(draft);
            }
            None => {
                draft.tool("ruby", "Ruby (Debian: apt-get install ruby)");
                draft.because("install = nothing", "no file names gems");
            }
        }
        match framework {
            Some("rails") => self.rails(draft),
            _ => {
                assets::build_assets(self.files, draft);
            }
        }
        self.javascript(draft);
        start::find(self.files, self.gems.as_ref(), framework, draft);
        draft
            .recipe
            .ignore
            .extend(["vendor/bundle", ".bundle", "log/*.log", "tmp/cache", "tmp/pids"].map(str::to_owned));
        if let Some(config) = gems::config(self.files) {
            draft.recipe.ignore.push(format!("!{config}"));
        }
        Ok(())
    }

    /// The image's version. Bundler refuses every Ruby but the one that a Gemfile asks for, to the last digit.
    fn version(&self, draft: &mut Draft) -> Result<String> {
        let mut file = version_file(self.files, ".ruby-version");
        if let Some(pin) = &mut file {
            pin.wanted = pin.wanted.trim_start_matches("ruby-").to_owned();
        }
        if let Some(wanted) = self.gems.as_ref().and_then(|gems| gems.ruby(file.as_ref())) {
            if is_exact(&wanted.wanted) {
                let version = wanted.wanted;
                draft.because_of(format!("version = {version}"), "Bundler wants exactly this Ruby", wanted.at);
                draft.plan.version = Some(version.clone());
                return Ok(version);
            }
            if images::RUBY.choose(&wanted.wanted).is_none() {
                let place = wanted.at.line.map(|line| format!("{}:{line}", wanted.at.file)).unwrap_or(wanted.at.file);
                return refuse(format!(
                    "{place} asks for Ruby `{}`, for which there is no base image, and Bundler refuses any other; there are {}: \
                     ask for one of them, or bring a Dockerfile",
                    wanted.wanted,
                    images::RUBY.versions.join(", ")
                ));
            }
            return Ok(draft.version(&images::RUBY, vec![wanted]));
        }
        let mut pins: Vec<Pin> = file.into_iter().collect();
        pins.extend(tool_versions(self.files, &["ruby"]));
        pins.extend(self.gems.as_ref().and_then(Gems::locked_ruby));
        Ok(draft.version(&images::RUBY, pins))
    }

    fn framework(&self, draft: &mut Draft) -> Option<&'static str> {
        let by_gem = || {
            let gems = self.gems.as_ref()?;
            FRAMEWORKS.iter().find_map(|(name, gem)| Some((*name, gems.named(gem)?)))
        };
        let by_file = || {
            let rails = self.files.is_file("config/application.rb") && self.files.is_file("bin/rails");
            let rack = || self.files.is_file("config.ru").then(|| ("rack", At::file("config.ru")));
            rails.then(|| ("rails", At::file("bin/rails"))).or_else(rack)
        };
        let (name, at) = by_gem().or_else(by_file)?;
        draft.plan.framework = Some(name.to_owned());
        draft.because_of(format!("framework = {name}"), "its gem or its file is there", at);
        Some(name)
    }

    /// Compiled caches and assets.
    fn rails(&self, draft: &mut Draft) {
        draft.env("RAILS_ENV", "production");
        draft.env("RAILS_LOG_TO_STDOUT", "1");
        draft.env("RAILS_SERVE_STATIC_FILES", "1");
        let Some(gems) = &self.gems else { return };
        if let Some(at) = gems.named("bootsnap") {
            let folders: Vec<&str> =
                ["app/", "lib/"].into_iter().filter(|name| self.files.is_folder(name.trim_end_matches('/'))).collect();
            if !folders.is_empty() {
                let command = format!("bundle exec bootsnap precompile {}", folders.join(" "));
                draft.because_of(format!("build += {command}"), "bootsnap keeps compiled Ruby", at);
                draft.plan.build.push(command);
            }
        }
        let finished = self.files.names("public/assets").iter().any(|name| name.contains("manifest"));
        let pipeline = [
            "sprockets-rails",
            "propshaft",
            "sprockets",
            "webpacker",
            "shakapacker",
            "vite_rails",
            "jsbundling-rails",
            "cssbundling-rails",
        ];
        let brings = pipeline.iter().any(|gem| gems.locked(gem));
        if finished || !brings || !(self.files.is_folder("app/assets") || self.files.is_file("package.json")) {
            return;
        }
        if self.bundles_javascript(gems) {
            assets::install_node(self.files, draft);
        }
        // Nothing that is built holds the key; a value has to be there for the app to load.
        let rails = if self.files.is_file("Rakefile") { "rake" } else { "rails" };
        let command = format!("SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=unused bundle exec {rails} assets:precompile");
        draft.because_of(format!("build += {command}"), "the app serves its assets itself", At::file(gems.file));
        draft.plan.build.push(command);
        if !self.files.is_file("config/master.key") && self.files.is_file("config/credentials.yml.enc") {
            draft.warn("Rails needs RAILS_MASTER_KEY (or SECRET_KEY_BASE): set it as a secret of the app");
        }
    }

    /// Assets are made with packages of Node: a gem calls them, or they are no mere tools of those who write the app.
    fn bundles_javascript(&self, gems: &Gems) -> bool {
        let callers = ["jsbundling-rails", "cssbundling-rails", "webpacker", "shakapacker", "vite_ruby", "vite_rails"];
        let Some(Ok(manifest)) = Json::read(self.files, "package.json") else { return true };
        let entries = |section: &str| manifest.get(&[section]).and_then(|entries| entries.as_object());
        let builds = entries("scripts").is_some_and(|scripts| scripts.keys().any(|name| name.starts_with("build")));
        let packages = entries("dependencies").is_some_and(|packages| !packages.is_empty());
        builds || packages || callers.iter().any(|gem| gems.locked(gem))
    }

    /// Gems that run scripts in Node.
    fn javascript(&self, draft: &mut Draft) {
        let Some(gems) = &self.gems else { return };
        let there = draft.recipe.borrow.iter().any(|borrowed| borrowed.base.stack == "node");
        let caller = ["execjs", "uglifier", "coffee-rails", "autoprefixer-rails"].iter().find(|gem| gems.locked(gem));
        if let Some(gem) = caller.filter(|_| !there) {
            draft.because_of("build with Node", format!("{gem} runs scripts with it"), At::file(gems.file));
            assets::add_node(draft, images::NODE.default.to_owned());
            if gems.named("execjs").is_some() {
                // Named by the app itself: it runs scripts when it runs, too.
                draft.recipe.ship_system.push("/usr/local/bin/node");
            }
        }
    }
}

/// `3.1.2`: three numbers and nothing else.
fn is_exact(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && part.len() < 4 && part.chars().all(|c| c.is_ascii_digit()))
}
