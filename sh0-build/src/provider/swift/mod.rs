//! Swift: a program of the package manager; Vapor.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, tool_versions, version_file};
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

pub(crate) struct Swift;

impl Provider for Swift {
    fn language(&self) -> &'static str {
        "swift"
    }

    fn looks_for(&self) -> &'static str {
        "Package.swift"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("Package.swift")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let text = files.text("Package.swift").unwrap_or_default();
        let mut draft = found("swift", Some("swiftpm"), "Package.swift");
        let mut pins: Vec<Pin> = version_file(files, ".swift-version").into_iter().collect();
        pins.extend(tool_versions(files, &["swift"]));
        // The first line is the oldest release that reads the file.
        if let Some((line, found)) = find_line(&text, |line| line.contains("swift-tools-version"))
            && let Some((_, wanted)) = found.split_once(':')
        {
            pins.push(Pin {
                wanted: format!(">={}", wanted.trim()),
                by: "swift-tools-version".into(),
                at: At::line("Package.swift", line),
            });
        }
        let version = draft.version(&images::SWIFT, pins);
        draft.tool("swift", "Swift (swift.org/install)");
        let vapor = find_line(&text, |line| line.contains("vapor/vapor"));
        if let Some((line, _)) = vapor {
            draft.plan.framework = Some("vapor".into());
            draft.because_of("framework = vapor", "it is among the dependencies", At::line("Package.swift", line));
        }
        draft.plan.install.push("swift package resolve".into());
        draft.because("install = swift package resolve", "fetches what Package.resolved locks");
        draft.recipe.manifests.extend(
            ["Package.swift", "Package.resolved"]
                .iter()
                .filter(|file| files.is_file(file))
                .map(|file| (*file).to_owned()),
        );
        draft.recipe.install_needs_source = text.contains("path:");
        if let Some((name, line)) = program(&text) {
            let command = format!("swift build --configuration release --product {name}");
            draft.because_of(
                format!("build = {command}"),
                "the program of the package",
                At::line("Package.swift", line),
            );
            draft.plan.build.push(command);
            let serve = if vapor.is_some() { " serve --env production --hostname 0.0.0.0 --port $PORT" } else { "" };
            draft.start(
                format!("./.build/release/{name}{serve}"),
                "the program that the build makes",
                Some(At::line("Package.swift", line)),
            );
        }
        // Resources lie beside the program, in `.build` and in the tree.
        let made = ["checkouts", "repositories", "release/*.build", "release/ModuleCache"];
        draft.recipe.drop.extend(made.map(|name| format!(".build/{name}")));
        draft.recipe.build = Some((&images::SWIFT, version.clone()));
        draft.recipe.run = Some((&images::SWIFT, version));
        draft.recipe.ignore.push(".build".into());
        Ok(draft)
    }
}

/// The name of the first target that is a program.
fn program(text: &str) -> Option<(String, u32)> {
    let start = text.find(".executableTarget(").or_else(|| text.find(".executable("))?;
    let behind = text.get(start..)?;
    let name = behind.split_once("name:")?.1.split('"').nth(1)?;
    is_dir_name(name).then(|| (name.to_owned(), crate::text::line_at(text, start)))
}
