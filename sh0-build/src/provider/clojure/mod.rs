//! Clojure: one JAR with everything, by Leiningen or tools.build.

use sh0_core::Result;

use super::{Provider, found};
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

/// Libraries lie in the folder of the app.
const CLI: &str = "clojure -Sdeps '{:mvn/local-repo \".m2\"}'";
const FETCH: &str = "clojure -Sdeps '{:mvn/local-repo \".m2\"}' -P";

pub(crate) struct Clojure;

impl Provider for Clojure {
    fn language(&self) -> &'static str {
        "clojure"
    }

    fn looks_for(&self) -> &'static str {
        "Clojure: project.clj, deps.edn"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.first(&["project.clj", "deps.edn"]).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let Some(file) = files.first(&["project.clj", "deps.edn"]) else {
            return refuse("there is neither project.clj nor deps.edn");
        };
        let text = files.text(file).unwrap_or_default();
        let leiningen = file == "project.clj";
        let mut draft = found("clojure", Some(if leiningen { "leiningen" } else { "tools-deps" }), file);
        let mut pins: Vec<Pin> =
            version_file(files, ".java-version").or_else(|| version_file(files, ".jdk-version")).into_iter().collect();
        pins.extend(tool_versions(files, &["java"]));
        for pin in &mut pins {
            // `temurin-21.0.1+12`: the number alone.
            pin.wanted =
                pin.wanted.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        }
        let base = if leiningen { &images::LEIN } else { &images::CLOJURE };
        let version = draft.version(base, pins);
        draft.tool("java", "Java (Debian: apt-get install default-jdk-headless)");
        let command = if leiningen {
            draft.tool("lein", "Leiningen (Debian: apt-get install leiningen)");
            let ring = find_line(&text, |line| line.contains("lein-ring"));
            if ring.is_some() && text.contains(":ring") { "lein ring uberjar" } else { "lein uberjar" }
        } else {
            draft.tool("clojure", "the Clojure CLI (clojure.org/guides/install_clojure)");
            if files.is_file("build.clj") { "clojure -T:build uber" } else { FETCH }
        };
        draft.because_of(format!("build = {command}"), "one JAR with everything", At::file(file));
        draft.plan.build.push(command.into());
        if command == FETCH {
            start_sources(files, &text, &mut draft);
        } else {
            // The one with everything is the largest.
            draft.plan.build.push("cp \"$(find target -name '*.jar' -exec ls -S {} + | head -n 1)\" app.jar".into());
            draft.start("java $JAVA_OPTS -jar app.jar", "the JAR that the build makes", Some(At::file(file)));
            draft.recipe.ship.push("app.jar".into());
            draft.recipe.run = Some((&images::JAVA, version.clone()));
        }
        if draft.recipe.run.is_none() {
            draft.recipe.run = Some((base, version.clone()));
        }
        draft.recipe.caches.push(("maven", "/root/.m2"));
        draft.recipe.build = Some((base, version));
        draft.recipe.ignore.push("target".into());
        Ok(draft)
    }
}

/// Without a build the sources are run, by the alias that is there for it.
fn start_sources(files: Files<'_>, text: &str, draft: &mut Draft) {
    let alias = [":run-m", ":run", ":start", ":main", ":server"]
        .iter()
        .find(|alias| text.contains(&format!("{alias} ")) || text.contains(&format!("{alias}\n")));
    if let Some(alias) = alias {
        draft.start(format!("{CLI} -M{alias}"), "deps.edn has this alias", Some(At::file("deps.edn")));
    } else if files.is_file("src/core.clj") {
        draft.start(
            format!("{CLI} -M -m core"),
            "the usual name of the first namespace",
            Some(At::file("src/core.clj")),
        );
    }
}
