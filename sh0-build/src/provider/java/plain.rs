//! Java without Maven and Gradle: sbt, a class, an unpacked or a finished JAR. Also Tomcat, for what needs it.

use super::{framework, is_class, options, ship, version};
use crate::detect::is_dir_name;
use crate::draft::Draft;
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

pub(super) fn recognises(files: Files<'_>) -> bool {
    manifest(files).is_some() || jar(files).is_some() || sources(files).next().is_some()
}

pub(super) fn plan(files: Files<'_>, draft: &mut Draft) {
    if files.is_file("build.sbt") {
        sbt(files, draft);
        return;
    }
    let version = version::choose(files, None, 8, 25, draft);
    draft.recipe.run = Some((&images::JAVA, version.clone()));
    if let Some((line, class)) = manifest(files) {
        let at = At::line("META-INF/MANIFEST.MF", line);
        draft.because_of("language = java", "an unpacked JAR", at.clone());
        draft.start(format!("java $JAVA_OPTS -cp . {class}"), "the main class of its manifest", Some(at));
        return;
    }
    if let Some(class) = main_in(files, "") {
        let at = At::file(format!("{class}.java"));
        draft.because_of("language = java", "a class with a `main`", at.clone());
        draft.plan.build.push("javac -d classes *.java".into());
        draft.because("build = javac -d classes *.java", "there is no build file");
        draft.recipe.build = Some((&images::JAVA, version));
        draft.start(format!("java $JAVA_OPTS -cp classes {class}"), "the class with a `main`", Some(at));
        return;
    }
    if let Some(jar) = jar(files) {
        draft.because_of("language = java", "a finished JAR", At::file(jar.as_str()));
        draft.start(format!("java $JAVA_OPTS -jar {jar}"), "the only JAR", Some(At::file(jar)));
        return;
    }
    if let Some(file) = sources(files).next() {
        draft.because_of("language = java", "a source of Java", At::file(file));
    }
}

/// The launcher of sbt, which fetches the release that the build names.
const LAUNCHER: &str = "1.11.7";

/// There is no official image of sbt: its launcher comes as a package of Maven's.
fn sbt(files: Files<'_>, draft: &mut Draft) {
    let text = files.text("build.sbt").unwrap_or_default();
    let plugins = files.text("project/plugins.sbt").unwrap_or_default();
    draft.plan.package_manager = Some("sbt".into());
    draft.because_of("language = java", "a build of sbt: Scala on the Java runtime", At::file("build.sbt"));
    draft.because_of("package_manager = sbt", "this is its file", At::file("build.sbt"));
    let named = framework("build.sbt", &text, draft).or_else(|| framework("project/plugins.sbt", &plugins, draft));
    let version = version::choose(files, None, 8, 21, draft);
    draft.tool("sbt", "sbt (scala-sbt.org/download)");
    let option = named.map(|framework| framework.port).filter(|port| !port.is_empty());
    let option = option.map(|port| format!(" {port}")).unwrap_or_default();
    let packs = ["sbt-native-packager", "sbt-plugin", "JavaAppPackaging", "JavaServerAppPackaging"];
    let (task, start) = if packs.iter().any(|word| plugins.contains(word) || text.contains(word)) {
        let name = script_name(&text).unwrap_or_else(|| "main".to_owned());
        ("stage".to_owned(), Some(format!("./target/universal/stage/bin/{name}{option}")))
    } else if plugins.contains("sbt-assembly") {
        ("assembly".to_owned(), Some(format!("java {} -jar target/scala-*/*-assembly-*.jar", options(named))))
    } else {
        // sbt writes the paths of classes and libraries; the libraries are kept where they are shipped.
        draft.env("COURSIER_CACHE", "target/coursier");
        let task = "-batch -error \"export Runtime / fullClasspath\" | tail -n 1 > target/classpath".to_owned();
        let class = main_of_scala(files);
        (task, class.map(|class| format!("java {} -cp \"$(cat target/classpath)\" {class}", options(named))))
    };
    let command = format!("sbt {task}");
    draft.because_of(format!("build = {command}"), "packs the app", At::file("build.sbt"));
    draft.plan.build.push(command);
    draft.recipe.before_install.push(format!(
        "mvn -B -q dependency:copy -Dartifact=org.scala-sbt:sbt-launch:{LAUNCHER} -DoutputDirectory=/opt/sbt && \
         printf '%s\\n' '#!/bin/sh' 'exec java -Dsbt.ci=true -jar /opt/sbt/sbt-launch-{LAUNCHER}.jar \"$@\"' > /usr/local/bin/sbt && chmod +x /usr/local/bin/sbt"
    ));
    draft.recipe.caches.extend([("sbt", "/root/.sbt"), ("coursier", "/root/.cache/coursier")]);
    draft.recipe.ignore.extend(["target", "project/target", "project/project"].map(str::to_owned));
    draft.recipe.build = Some((&images::MAVEN, version.clone()));
    draft.recipe.run = Some((&images::JAVA, version));
    ship(files, "target", draft);
    if let Some(start) = start {
        draft.start(start, "what the build makes", Some(At::file("build.sbt")));
    }
}

/// The only object with a `main` below the usual folder, a few levels deep.
fn main_of_scala(files: Files<'_>) -> Option<String> {
    let text = files.text("build.sbt")?;
    let named = find_line(&text, |line| line.contains("mainClass") && line.contains("Some("));
    if let Some(class) = named.and_then(|(_, line)| line.split('"').nth(1)).filter(|class| is_class(class)) {
        return Some(class.to_owned());
    }
    let mut folders = vec!["src/main/scala".to_owned()];
    let mut found = Vec::new();
    for _ in 0..100 {
        let Some(folder) = folders.pop() else { break };
        for name in files.names(&folder) {
            let path = format!("{folder}/{name}");
            match files.text(&path).filter(|_| name.ends_with(".scala")) {
                Some(text) => found.extend(scala_object(&text)),
                None if files.is_folder(&path) => folders.push(path),
                None => {}
            }
        }
    }
    found.pop().filter(|class| found.is_empty() && is_class(class))
}

/// `package a.b` and `object Main extends App`, or one with `def main(`; also `@main def run`.
fn scala_object(text: &str) -> Option<String> {
    let starts = text.contains("extends App")
        || text.contains("def main(")
        || text.contains("@main ")
        || text.contains("extends IOApp");
    let object = find_line(text, |line| line.starts_with("object ") || line.starts_with("@main def "))?.1;
    let name = object.trim_start_matches("@main def ").trim_start_matches("object ");
    let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let package = find_line(text, |line| line.starts_with("package ")).map(|(_, line)| line[8..].trim());
    starts.then(|| package.map(|package| format!("{package}.{name}")).unwrap_or(name))
}

/// The packager's script: `executableScriptName := "app"`, else `name := "App"` in lower case with dashes.
fn script_name(text: &str) -> Option<String> {
    let value = |key: &str| {
        let (_, line) = find_line(text, |line| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with(":="))
        })?;
        line.split('"').nth(1)
    };
    let name = match value("executableScriptName") {
        Some(name) => name.to_owned(),
        None => value("name")?.to_lowercase().replace(' ', "-"),
    };
    is_dir_name(&name).then_some(name)
}

/// The main class of an unpacked JAR.
fn manifest(files: Files<'_>) -> Option<(u32, String)> {
    let text = files.text("META-INF/MANIFEST.MF")?;
    let (line, found) = find_line(&text, |line| line.starts_with("Main-Class:"))?;
    let class = found.split_once(':')?.1.trim().to_owned();
    is_class(&class).then_some((line, class))
}

/// The only JAR of the root.
fn jar(files: Files<'_>) -> Option<String> {
    let mut jars =
        files.names("").into_iter().filter(|name| name.ends_with(".jar") && is_dir_name(name) && files.is_file(name));
    let first = jars.next()?;
    jars.next().is_none().then_some(first)
}

fn sources(files: Files<'_>) -> impl Iterator<Item = String> {
    files.names("").into_iter().filter(|name| name.ends_with(".java"))
}

/// The only class with a `main` below a folder of sources, a few levels deep.
pub(super) fn main_in(files: Files<'_>, root: &str) -> Option<String> {
    const MOST: usize = 500;
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for name in files.names(&folder) {
            seen += 1;
            if seen > MOST {
                break;
            }
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if name.ends_with(".java") && files.text(&path).is_some_and(|text| text.contains("static void main(")) {
                found.push(path);
            } else if !root.is_empty() && files.is_folder(&path) {
                folders.push(path);
            }
        }
    }
    found.sort_unstable();
    let preferred = |path: &String| {
        ["/Main.java", "/Application.java", "/App.java"].iter().any(|end| format!("/{path}").ends_with(end))
    };
    let chosen = found.iter().find(|path| preferred(path)).or_else(|| found.first().filter(|_| found.len() == 1))?;
    let class = chosen.strip_prefix(root)?.trim_start_matches('/').trim_end_matches(".java").replace('/', ".");
    is_class(&class).then_some(class)
}

/// Serves `app.war` as the root, on `PORT`, as any user.
pub(super) fn tomcat(files: Files<'_>, draft: &mut Draft) {
    ship(files, "app.war", draft);
    draft.env(
        "CATALINA_OPTS",
        "-Dorg.apache.tomcat.util.digester.PROPERTY_SOURCE=org.apache.tomcat.util.digester.EnvironmentPropertySource",
    );
    draft.recipe.before_ship.extend([
        "sed -i 's/port=\"8080\"/port=\"${PORT}\"/; s/port=\"8005\"/port=\"-1\"/' /usr/local/tomcat/conf/server.xml".to_owned(),
        "mkdir -p /usr/local/tomcat/conf/Catalina/localhost && echo '<Context docBase=\"/app/app.war\"/>' > /usr/local/tomcat/conf/Catalina/localhost/ROOT.xml && chmod -R a+rwX /usr/local/tomcat/work /usr/local/tomcat/temp /usr/local/tomcat/logs /usr/local/tomcat/webapps /usr/local/tomcat/conf/Catalina".to_owned(),
    ]);
    draft.tool("catalina.sh", "Apache Tomcat 10 (tomcat.apache.org), with its bin folder in PATH");
    draft.warn("a WAR needs a servlet container: an image brings Tomcat 10 (jakarta.servlet); for javax.servlet bring a Dockerfile");
}
