//! Which Java builds and runs an app.

use super::xml;
use crate::draft::{Draft, Pin, tool_versions, version_file};
use crate::images;
use crate::text::{At, find_line, line_at};
use crate::tree::Files;

/// Notes and answers the version; `least` and `most` are what the build tool itself runs on.
pub(super) fn choose(
    files: Files<'_>,
    build: Option<(&str, &str)>,
    least: u32,
    most: u32,
    draft: &mut Draft,
) -> String {
    let mut pins = pins(files);
    pins.extend(build.into_iter().filter_map(|(file, text)| in_build(file, text)));
    let pin = pins.into_iter().find_map(|pin| Some((number(&pin.wanted)?, pin)));
    let releases = || images::JAVA.versions.iter().filter_map(|version| version.parse::<u32>().ok());
    let within = |wanted: u32| {
        let fits = releases().filter(|release| (least..=most).contains(release));
        // What compiles for one release runs on any later one.
        fits.clone().find(|release| *release >= wanted).or_else(|| fits.max())
    };
    let version = match &pin {
        Some((wanted, pin)) => {
            let chosen = within(*wanted).unwrap_or(*wanted).to_string();
            draft.because_of(
                format!("version = {chosen}"),
                format!("{} asks for `{}`", pin.by, pin.wanted),
                pin.at.clone(),
            );
            chosen
        }
        None => {
            let default = images::JAVA.default.parse().unwrap_or(21);
            let chosen = within(default).unwrap_or(default).to_string();
            draft.because(format!("version = {chosen}"), "nothing in the tree asks for another");
            chosen
        }
    };
    draft.plan.version = Some(version.clone());
    version
}

/// `17`, `1.8`, `17.0.2`, `temurin-21.0.1+12`, `17.0.2-tem`, `openjdk-17`.
fn number(text: &str) -> Option<u32> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
    let first: u32 = parts.next()?.parse().ok()?;
    let number = if first == 1 { parts.next()?.parse().ok()? } else { first };
    (5..100).contains(&number).then_some(number)
}

fn pins(files: Files<'_>) -> Vec<Pin> {
    let mut pins = Vec::new();
    pins.extend(version_file(files, ".java-version"));
    for (file, key) in [(".sdkmanrc", "java="), ("system.properties", "java.runtime.version=")] {
        let Some(text) = files.text(file) else { continue };
        let found = find_line(&text, |line| line.replace(' ', "").starts_with(key));
        pins.extend(found.map(|(line, text)| Pin {
            wanted: text.split('=').nth(1).unwrap_or_default().trim().to_owned(),
            by: file.to_owned(),
            at: At::line(file, line),
        }));
    }
    pins.extend(tool_versions(files, &["java"]));
    pins
}

/// What the build file says of the language level or of a toolchain.
fn in_build(file: &str, text: &str) -> Option<Pin> {
    if !file.contains(".gradle") {
        // maven.apache.org/plugins/maven-toolchains-plugin: the JDK that compiles.
        let toolchain = text.find("<jdk>").filter(|_| text.contains("maven-toolchains-plugin")).and_then(|start| {
            let (_, version) = xml::value(&text[start..], "version")?;
            Some((line_at(text, start), xml::resolved(text, version)))
        });
        if let Some((line, wanted)) = toolchain.filter(|(_, wanted)| number(wanted).is_some()) {
            return Some(Pin { wanted, by: format!("the toolchain of {file}"), at: At::line(file, line) });
        }
        let tags = [
            "maven.compiler.release",
            "java.version",
            "maven.compiler.source",
            "maven.compiler.target",
            "jdk.version",
            "release",
        ];
        return tags.iter().find_map(|tag| {
            let (line, raw) = xml::value(text, tag)?;
            let wanted = xml::resolved(text, raw);
            number(&wanted)?;
            Some(Pin { wanted, by: format!("{tag} of {file}"), at: At::line(file, line) })
        });
    }
    let words = ["JavaLanguageVersion.of", "jvmToolchain", "sourceCompatibility", "targetCompatibility", "jvmTarget"];
    words.iter().find_map(|word| {
        let (line, found) = find_line(text, |line| !line.trim_start().starts_with("//") && line.contains(word))?;
        let behind = found.split_once(word)?.1;
        let wanted: String = behind.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '_')).collect();
        let wanted = wanted.trim_matches(['.', '_']).replace('_', ".");
        number(&wanted)?;
        Some(Pin { wanted, by: format!("{word} of {file}"), at: At::line(file, line) })
    })
}
