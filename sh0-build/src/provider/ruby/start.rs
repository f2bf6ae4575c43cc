//! How a Ruby app is started.

use super::SCRIPTS;
use super::gems::Gems;
use crate::draft::Draft;
use crate::provider::static_files;
use crate::text::{At, find_line};
use crate::tree::Files;

/// Generators of pages: framework, command, and where the pages go.
const GENERATORS: &[(&str, &str, &str)] = &[
    ("jekyll", "bundle exec jekyll build", "_site"),
    ("middleman", "bundle exec middleman build", "build"),
    ("nanoc", "bundle exec nanoc compile", "output"),
    ("bridgetown", "bundle exec bridgetown build", "output"),
];

pub(super) fn find(files: Files<'_>, gems: Option<&Gems>, framework: Option<&str>, draft: &mut Draft) {
    web(files, gems, framework, draft);
    if gems.is_some_and(|gems| gems.named("sidekiq").is_some()) {
        workers(files, draft);
    }
}

/// Sidekiq where it is set up: it finds a Rails app by itself (github.com/sidekiq/sidekiq/wiki/Advanced-Options).
fn workers(files: Files<'_>, draft: &mut Draft) {
    let adapter = |file: &&str| {
        let text = files.text(file)?;
        let (line, _) = find_line(&text, |line| {
            let line = line.trim_start();
            !line.starts_with('#') && line.contains("queue_adapter") && line.contains(":sidekiq")
        })?;
        Some(At::line(*file, line))
    };
    let own = files.first(&["config/sidekiq.yml", "config/initializers/sidekiq.rb"]).map(At::file);
    let rails = files.is_file("config/application.rb");
    let at = own.or_else(|| ["config/application.rb", "config/environments/production.rb"].iter().find_map(adapter));
    if let Some(at) = at.filter(|_| rails) {
        draft.worker("bundle exec sidekiq", "Sidekiq is among the gems and set up", at);
    }
}

fn web(files: Files<'_>, gems: Option<&Gems>, framework: Option<&str>, draft: &mut Draft) {
    let generator = GENERATORS.iter().find(|(name, ..)| Some(*name) == framework);
    if let (Some((name, command, dir)), Some(gems)) = (generator, gems) {
        draft.because_of(format!("build += {command}"), format!("{name} writes pages"), At::file(gems.file));
        draft.plan.build.push((*command).to_owned());
        let at = gems.named(name).unwrap_or_else(|| At::file(gems.file));
        static_files::serve(draft, dir, "the framework writes its pages there", at);
        draft.recipe.ignore.push((*dir).to_owned());
        return;
    }
    let bundled = if gems.is_some() { "bundle exec " } else { "" };
    let puma = gems.is_some_and(|gems| gems.locked("puma"));
    if puma && files.is_file("config/puma.rb") && files.is_file("config.ru") {
        // Without a word of where to listen it is Puma's own port.
        let listens = |line: &str| ["port", "bind"].iter().any(|word| line.trim_start().starts_with(word));
        let told = files.text("config/puma.rb").is_some_and(|text| find_line(&text, listens).is_some());
        let port = if told { "" } else { " -b tcp://0.0.0.0:${PORT:-3000}" };
        draft.start(
            format!("bundle exec puma -C config/puma.rb{port}"),
            "the server that the app configures",
            Some(At::file("config/puma.rb")),
        );
        return;
    }
    if let Some(file) = files.first(&["bin/rails", "script/rails"]) {
        draft.start(
            format!("{bundled}{file} server -b 0.0.0.0 -p ${{PORT:-3000}} -e $RAILS_ENV"),
            "Rails brings its server",
            Some(At::file(file)),
        );
        draft.env("RAILS_ENV", "production");
        return;
    }
    if files.is_file("config.ru") {
        draft.start(rack(gems, bundled), "config.ru names the application", Some(At::file("config.ru")));
        return;
    }
    let sinatra = gems.is_some_and(|gems| gems.named("sinatra").is_some());
    let script = files.first(SCRIPTS).map(str::to_owned).or_else(|| sinatra.then(|| classic(files)).flatten());
    if let Some(file) = script {
        draft.start(format!("{bundled}ruby {file}"), "the usual name of the first script", Some(At::file(file)));
        return;
    }
    if let Some(text) = files.text("Rakefile")
        && let Some((line, _)) =
            find_line(&text, |line| line.contains("default") && line.trim_start().starts_with("task"))
    {
        draft.start(format!("{bundled}rake"), "the default task of the Rakefile", Some(At::line("Rakefile", line)));
    }
}

/// What serves a Rack application: the server that is among the gems.
fn rack(gems: Option<&Gems>, bundled: &str) -> String {
    let has = |gem: &str| gems.is_some_and(|gems| gems.locked(gem));
    // Before Rack 3, `rackup` was part of it.
    let old = gems.and_then(|gems| gems.locked_version("rack")).is_some_and(|version| version.starts_with(['1', '2']));
    if has("rackup") || old || gems.is_none() {
        format!("{bundled}rackup config.ru -o 0.0.0.0 -p ${{PORT:-3000}}")
    } else if has("puma") {
        format!("{bundled}puma -b tcp://0.0.0.0:$PORT")
    } else if has("falcon") {
        format!("{bundled}falcon serve --bind http://0.0.0.0:$PORT")
    } else if has("unicorn") {
        format!("{bundled}unicorn -l 0.0.0.0:$PORT")
    } else if has("thin") {
        format!("{bundled}thin start -a 0.0.0.0 -p $PORT")
    } else {
        format!("{bundled}rackup config.ru -o 0.0.0.0 -p ${{PORT:-3000}}")
    }
}

/// The only script that is a Sinatra app by itself, whatever its name.
fn classic(files: Files<'_>) -> Option<String> {
    let mut found = files.names("").into_iter().filter(|name| {
        name.ends_with(".rb")
            && crate::detect::is_dir_name(name)
            && files.text(name).is_some_and(|text| {
                find_line(&text, |line| line.starts_with("require \"sinatra") || line.starts_with("require 'sinatra"))
                    .is_some()
            })
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
