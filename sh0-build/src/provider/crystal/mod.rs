//! Crystal: a program, built by Shards.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, refuse, tool_versions};
use crate::images;
use crate::text::At;
use crate::tree::Files;
use crate::yaml::Yaml;

pub(crate) struct Crystal;

impl Provider for Crystal {
    fn language(&self) -> &'static str {
        "crystal"
    }

    fn looks_for(&self) -> &'static str {
        "Crystal: shard.yml"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("shard.yml")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match Yaml::parse(&files.text("shard.yml").unwrap_or_default()) {
            Ok(manifest) => manifest,
            Err(error) => return refuse(format!("shard.yml is not valid YAML: {error}")),
        };
        let mut draft = found("crystal", Some("shards"), "shard.yml");
        let mut pins: Vec<Pin> = tool_versions(files, &["crystal"]).into_iter().collect();
        if let Some((key, wanted)) = manifest.entry("crystal")
            && let Some(wanted) = wanted.text()
        {
            pins.push(Pin {
                wanted: wanted.to_owned(),
                by: "crystal of shard.yml".into(),
                at: At::line("shard.yml", key.line),
            });
        }
        let version = draft.version(&images::CRYSTAL, pins);
        draft.tool("shards", "Crystal with Shards (Debian: apt-get install crystal shards)");
        for name in ["kemal", "lucky", "amber", "grip"] {
            if let Some((key, _)) = manifest.get(&["dependencies"]).and_then(|all| all.entry(name)) {
                draft.plan.framework = Some(name.to_owned());
                draft.because_of(
                    format!("framework = {name}"),
                    "it is among the dependencies",
                    At::line("shard.yml", key.line),
                );
                break;
            }
        }
        let frozen = if files.is_file("shard.lock") { " --frozen" } else { "" };
        draft.plan.install.push(format!("shards install --production{frozen}"));
        draft.because("install = shards install", "fetches what shard.lock names");
        draft.recipe.manifests.extend(
            ["shard.yml", "shard.lock"].iter().filter(|file| files.is_file(file)).map(|file| (*file).to_owned()),
        );
        draft.plan.build.push("shards build --production --release --no-debug".into());
        draft.because("build = shards build", "makes the targets of shard.yml");
        let target = manifest.get(&["targets"]).and_then(|targets| targets.entries().first());
        let name = target
            .map(|(key, _)| (key.name.clone(), Some(key.line)))
            .or_else(|| Some((manifest.get(&["name"])?.text()?.to_owned(), None)));
        if let Some((name, line)) = name.filter(|(name, _)| is_dir_name(name)) {
            draft.start(format!("./bin/{name}"), "the first target", Some(At::line("shard.yml", line)));
        }
        draft.recipe.drop.extend(["lib", ".shards"].map(str::to_owned));
        draft.recipe.build = Some((&images::CRYSTAL, version.clone()));
        draft.recipe.run = Some((&images::CRYSTAL, version));
        draft.recipe.ignore.extend(["bin", "lib"].map(str::to_owned));
        Ok(draft)
    }
}
