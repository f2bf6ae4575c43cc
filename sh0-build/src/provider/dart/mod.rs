//! Dart: one program without the SDK.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, refuse, tool_versions};
use crate::images;
use crate::text::At;
use crate::tree::Files;
use crate::yaml::Yaml;

pub(crate) struct Dart;

impl Provider for Dart {
    fn language(&self) -> &'static str {
        "dart"
    }

    fn looks_for(&self) -> &'static str {
        "Dart: pubspec.yaml"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("pubspec.yaml")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let text = files.text("pubspec.yaml").unwrap_or_default();
        let manifest = match Yaml::parse(&text) {
            Ok(manifest) => manifest,
            Err(error) => return refuse(format!("pubspec.yaml is not valid YAML: {error}")),
        };
        let mut draft = found("dart", Some("pub"), "pubspec.yaml");
        if manifest.get(&["dependencies", "flutter"]).is_some() {
            return refuse(
                "this is a Flutter app: build its pages with `flutter build web` and deploy build/web, or bring a Dockerfile",
            );
        }
        let mut pins: Vec<Pin> = tool_versions(files, &["dart"]).into_iter().collect();
        if let Some((key, wanted)) = manifest.get(&["environment"]).and_then(|all| all.entry("sdk"))
            && let Some(wanted) = wanted.text()
        {
            pins.push(Pin {
                wanted: wanted.to_owned(),
                by: "environment.sdk of pubspec.yaml".into(),
                at: At::line("pubspec.yaml", key.line),
            });
        }
        let version = draft.version(&images::DART, pins);
        draft.tool("dart", "the Dart SDK (dart.dev/get-dart)");
        draft.plan.install.push("dart pub get".into());
        draft.because("install = dart pub get", "fetches what pubspec.lock names");
        draft.recipe.manifests.extend(
            ["pubspec.yaml", "pubspec.lock"].iter().filter(|file| files.is_file(file)).map(|file| (*file).to_owned()),
        );
        draft.recipe.install_needs_source = text.contains("path:");
        draft.recipe.caches.push(("pub", "/root/.pub-cache"));
        let name = manifest.get(&["name"]).and_then(Yaml::text).unwrap_or_default().to_owned();
        let scripts = [name, "server".into(), "main".into()].map(|name| format!("bin/{name}.dart"));
        if let Some(script) = scripts.into_iter().find(|file| is_dir_name(file) && files.is_file(file)) {
            let program = script.replace(".dart", ".exe");
            let command = format!("dart compile exe {script} -o {program}");
            draft.because_of(format!("build = {command}"), "one program", At::file(script.as_str()));
            draft.plan.build.push(command);
            draft.start(format!("./{program}"), "the program that the build makes", Some(At::file(script)));
            draft.recipe.ship.push(program);
        }
        draft.recipe.build = Some((&images::DART, version));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.ignore.push(".dart_tool".into());
        Ok(draft)
    }
}
