//! Java, Kotlin and Scala on the JVM: Maven, Gradle and sbt, with their wrappers or without; Spring Boot, Quarkus,
//! Micronaut and others. A JDK builds, a JRE runs what was built.

mod gradle;
mod maven;
mod plain;
mod version;
mod xml;

use sh0_core::Result;

use super::{Provider, assets};
use crate::dockerignore::run_time_entries;
use crate::draft::Draft;
use crate::images;
use crate::text::At;
use crate::tree::Files;

pub(crate) struct Java;

const GRADLE: &[&str] = &["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradlew"];

impl Provider for Java {
    fn language(&self) -> &'static str {
        "java"
    }

    fn looks_for(&self) -> &'static str {
        "Java: pom.xml, build.gradle, settings.gradle, build.sbt, Main.java, or a JAR file"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.first(maven::POMS).is_some()
            || files.first(GRADLE).is_some()
            || files.is_file("build.sbt")
            || (!files.is_file("package.json") && plain::recognises(files))
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        draft.plan.language = "java".into();
        draft.tool("java", "Java (Debian: apt-get install default-jdk-headless)");
        if files.first(maven::POMS).is_some() {
            maven::plan(files, &mut draft)?;
        } else if files.first(GRADLE).is_some() {
            gradle::plan(files, &mut draft);
        } else {
            plain::plan(files, &mut draft);
        }
        Ok(draft)
    }
}

/// A framework: what marks it in a build file, and the option that sets its port.
struct Framework {
    name: &'static str,
    marks: &'static [&'static str],
    port: &'static str,
}

const FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "quarkus",
        marks: &["io.quarkus"],
        port: "-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT",
    },
    Framework { name: "micronaut", marks: &["io.micronaut"], port: "-Dmicronaut.server.port=$PORT" },
    Framework { name: "grails", marks: &["org.grails"], port: "-Dserver.port=$PORT" },
    Framework { name: "spring-boot", marks: &["org.springframework.boot"], port: "-Dserver.port=$PORT" },
    Framework { name: "helidon", marks: &["io.helidon"], port: "-Dserver.port=$PORT" },
    Framework { name: "ktor", marks: &["io.ktor"], port: "" },
    Framework { name: "dropwizard", marks: &["io.dropwizard"], port: "" },
    Framework { name: "play", marks: &["com.typesafe.play", "org.playframework"], port: "-Dhttp.port=$PORT" },
    Framework { name: "akka", marks: &["com.typesafe.akka"], port: "" },
    Framework { name: "pekko", marks: &["org.apache.pekko"], port: "" },
];

/// The framework that a build file names, noted with its line.
fn framework(file: &str, text: &str, draft: &mut Draft) -> Option<&'static Framework> {
    let (framework, line) = FRAMEWORKS.iter().find_map(|framework| {
        let found = crate::text::find_line(text, |line| framework.marks.iter().any(|mark| line.contains(mark)));
        found.map(|(line, _)| (framework, line))
    })?;
    draft.plan.framework = Some(framework.name.to_owned());
    draft.because_of(format!("framework = {}", framework.name), "the build names it", At::line(file, line));
    Some(framework)
}

/// Options in front of what is started: the framework's port, then the owner's.
fn options(framework: Option<&Framework>) -> String {
    match framework.map(|framework| framework.port).filter(|port| !port.is_empty()) {
        Some(port) => format!("{port} $JAVA_OPTS"),
        None => "$JAVA_OPTS".to_owned(),
    }
}

/// A build that calls Node itself finds it.
fn node_for_build(text: &str, draft: &mut Draft) {
    // These fetch a Node of their own.
    if text.contains("frontend-maven-plugin") || text.contains("node-gradle") {
        return;
    }
    let named = |tool: &str| {
        text.contains(&format!("<executable>{tool}"))
            || text.contains(&format!("\"{tool}\""))
            || text.contains(&format!("'{tool}'"))
    };
    if !["npm", "yarn", "pnpm", "npx", "node"].iter().any(|tool| named(tool)) {
        return;
    }
    draft.because("build with Node", "the build calls it");
    assets::add_node(draft, images::NODE.default.to_owned());
    if named("yarn") {
        draft.recipe.before_install.push("npm install --global --force yarn@1.22.22".into());
    }
}

/// What an app may read beside what was built from it.
fn ship(files: Files<'_>, built: &str, draft: &mut Draft) {
    let source = |name: &str| {
        name.ends_with(".gradle")
            || name.ends_with(".kts")
            || name.ends_with(".sbt")
            || name.ends_with(".iml")
            || matches!(
                name,
                "src"
                    | "pom.xml"
                    | "target"
                    | "build"
                    | "gradle"
                    | "project"
                    | "buildSrc"
                    | "frontend"
                    | "package.json"
            )
            || ["gradlew", "mvnw", "gradle.properties", "package-lock", "yarn.lock", "pnpm-lock"]
                .iter()
                .any(|start| name.starts_with(start))
            || ["pom.xml", "build.gradle", "build.gradle.kts"]
                .iter()
                .any(|file| files.is_file(&format!("{name}/{file}")))
    };
    draft.recipe.ship = run_time_entries(files, built, source);
}

/// Whether a name can stand for a class in a command.
fn is_class(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'))
        && !name.contains('$')
}
