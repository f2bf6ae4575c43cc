//! Gleam: a shipment for the runtime of Erlang.

use sh0_core::Result;

use super::{Provider, found};
use crate::draft::{Draft, Pin, refuse, tool_versions};
use crate::images;
use crate::text::{At, Toml};
use crate::tree::Files;

pub(crate) struct Gleam;

impl Provider for Gleam {
    fn language(&self) -> &'static str {
        "gleam"
    }

    fn looks_for(&self) -> &'static str {
        "gleam.toml"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("gleam.toml")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match Toml::read(files, "gleam.toml") {
            Some(Ok(manifest)) => manifest,
            Some(Err(error)) => return refuse(error),
            None => return refuse("gleam.toml cannot be read"),
        };
        let mut draft = found("gleam", Some("gleam"), "gleam.toml");
        let mut pins: Vec<Pin> = tool_versions(files, &["gleam"]).into_iter().collect();
        if let Some(wanted) = manifest.str(&["gleam"]) {
            pins.push(Pin {
                wanted: wanted.replace(" and ", ","),
                by: "gleam of gleam.toml".into(),
                at: manifest.at(&["gleam"]),
            });
        }
        let version = draft.version(&images::GLEAM, pins);
        draft.tool("gleam", "Gleam (gleam.run) with Erlang (Debian: apt-get install erlang)");
        for (name, package) in [("wisp", "wisp"), ("mist", "mist"), ("lustre", "lustre")] {
            if manifest.get(&["dependencies", package]).is_some() {
                draft.plan.framework = Some(name.to_owned());
                draft.because_of(
                    format!("framework = {name}"),
                    "it is among the dependencies",
                    manifest.at(&["dependencies", package]),
                );
                break;
            }
        }
        draft.plan.install.push("gleam deps download".into());
        draft.because("install = gleam deps download", "fetches what manifest.toml locks");
        draft.recipe.manifests.extend(
            ["gleam.toml", "manifest.toml"].iter().filter(|file| files.is_file(file)).map(|file| (*file).to_owned()),
        );
        draft.recipe.install_needs_source = manifest.text.contains("path =");
        draft.plan.build.push("gleam export erlang-shipment".into());
        draft.because("build = gleam export erlang-shipment", "everything that the runtime of Erlang needs");
        draft.start(
            "./build/erlang-shipment/entrypoint.sh run",
            "the shipment that the build makes",
            Some(At::file("gleam.toml")),
        );
        draft.recipe.build = Some((&images::GLEAM, version.clone()));
        draft.recipe.run = Some((&images::GLEAM, version));
        draft.recipe.ship.push("build/erlang-shipment".into());
        draft.recipe.ignore.push("build".into());
        Ok(draft)
    }
}
