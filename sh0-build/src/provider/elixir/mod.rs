//! Elixir: a release of Mix, with the runtime of Erlang inside. Phoenix.

use sh0_core::Result;

use super::{Provider, assets};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

pub(crate) struct Elixir;

impl Provider for Elixir {
    fn language(&self) -> &'static str {
        "elixir"
    }

    fn looks_for(&self) -> &'static str {
        "Elixir: mix.exs"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("mix.exs")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let text = files.text("mix.exs").unwrap_or_default();
        let mut draft = Draft::default();
        draft.plan.language = "elixir".into();
        draft.plan.package_manager = Some("mix".into());
        draft.because_of("language = elixir", "the project of Mix", At::file("mix.exs"));
        let version = draft.version(&images::ELIXIR, pins(files, &text));
        draft.tool("mix", "Elixir (Debian: apt-get install elixir erlang-dev)");
        draft.env("MIX_ENV", "prod");
        draft.env("LANG", "C.UTF-8");
        let Some((name, line)) = release(&text) else {
            return refuse("mix.exs names no app: its project needs `app: :name`");
        };
        framework(&text, &mut draft);
        install(files, &mut draft);
        build(files, &text, &mut draft);
        let folder = format!("_build/prod/rel/{name}");
        draft.start(
            format!("./{folder}/bin/{name} start"),
            "the release that the build makes",
            Some(At::line("mix.exs", line)),
        );

        draft.recipe.build = Some((&images::ELIXIR, version.clone()));
        draft.recipe.run = Some((&images::ELIXIR, version));
        draft.recipe.ship.push(folder);
        draft.recipe.tool_home = Some(("MIX_HOME", "/opt/mix"));
        draft.recipe.ignore.extend(["_build", "deps"].map(str::to_owned));
        Ok(draft)
    }
}

fn pins(files: Files<'_>, text: &str) -> Vec<Pin> {
    // `1.18.2-otp-27` is a release and the Erlang that it was made for.
    let plain = |mut pin: Pin| {
        pin.wanted = pin.wanted.split("-otp").next().unwrap_or_default().to_owned();
        pin
    };
    let mut pins: Vec<Pin> = version_file(files, ".elixir-version").map(plain).into_iter().collect();
    pins.extend(tool_versions(files, &["elixir"]).map(plain));
    if let Some((line, found)) = find_line(text, |line| !line.trim_start().starts_with('#') && line.contains("elixir:"))
        && let Some((_, behind)) = found.split_once("elixir:")
        && let Some(wanted) = behind.split('"').nth(1)
    {
        pins.push(Pin { wanted: wanted.to_owned(), by: "elixir of mix.exs".into(), at: At::line("mix.exs", line) });
    }
    pins
}

/// The name of the release: the first of `releases:`, else the app.
fn release(text: &str) -> Option<(String, u32)> {
    // `[app: :name, ...]` may stand in one line.
    let (line, found) = find_line(text, |line| line.trim_start().starts_with("app:") || line.contains("[app:"))?;
    let app = atom(found.trim_start().strip_prefix("app:").or_else(|| Some(found.split_once("[app:")?.1))?)?;
    let (_, after) = text.split_once("releases: [").unwrap_or_default();
    let named: String = after.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let name = if after.trim_start()[named.len()..].starts_with(':') && !named.is_empty() { named } else { app };
    is_dir_name(&name).then_some((name, line))
}

fn atom(text: &str) -> Option<String> {
    let name: String =
        text.trim_start().strip_prefix(':')?.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn framework(text: &str, draft: &mut Draft) {
    let Some((line, _)) = find_line(text, |line| line.contains("{:phoenix,") && !line.trim_start().starts_with('#'))
    else {
        return;
    };
    draft.plan.framework = Some("phoenix".into());
    draft.because_of("framework = phoenix", "it is among the dependencies", At::line("mix.exs", line));
    draft.env("PHX_SERVER", "true");
    draft.warn("Phoenix needs SECRET_KEY_BASE (`mix phx.gen.secret` makes one) and PHX_HOST: set them for the app");
}

fn install(files: Files<'_>, draft: &mut Draft) {
    draft.recipe.before_install.push("mix local.hex --force && mix local.rebar --force".into());
    let locked = files.is_file("mix.lock");
    let (command, why) = if locked {
        ("mix deps.get --only prod --check-locked", "installs exactly what is locked")
    } else {
        draft.warn("there is no mix.lock: two builds may take different versions; commit it");
        ("mix deps.get --only prod", "nothing is locked")
    };
    draft.because_of(format!("install = {command}"), why, At::file(if locked { "mix.lock" } else { "mix.exs" }));
    draft.plan.install.push(command.into());
    draft
        .recipe
        .manifests
        .extend(["mix.exs", "mix.lock"].iter().filter(|file| files.is_file(file)).map(|file| (*file).to_owned()));
    // Apps of an umbrella and local packages.
    draft.recipe.install_needs_source = files.is_folder("apps")
        || files.text("mix.exs").is_some_and(|text| text.contains("path:") || text.contains("File.read"));
    draft.recipe.caches.push(("hex", "/root/.hex"));
}

fn build(files: Files<'_>, text: &str, draft: &mut Draft) {
    let mut run = |command: &str, why: &str, at: At| {
        draft.because_of(format!("build += {command}"), why, at);
        draft.plan.build.push(command.to_owned());
    };
    let assets = find_line(text, |line| line.contains("\"assets.deploy\"") || line.contains("assets.deploy:"));
    let own_packages = assets.is_some() && files.is_file("assets/package.json");
    if own_packages {
        let command = if files.is_file("assets/package-lock.json") {
            "npm ci --prefix assets"
        } else {
            "npm install --prefix assets"
        };
        run(command, "the assets have packages of their own", At::file("assets/package.json"));
    }
    run("mix compile", "the app's modules", At::file("mix.exs"));
    if let Some((line, _)) = assets {
        run("mix assets.deploy", "an alias of this name builds the assets", At::line("mix.exs", line));
    }
    run("mix release --overwrite", "the app with its runtime", At::file("mix.exs"));
    if own_packages {
        assets::add_node(draft, images::NODE.default.to_owned());
    }
}
