//! Maven: which module is the app, and which of its files is started.

use sh0_core::Result;

use super::{Framework, framework, is_class, node_for_build, options, ship, version, xml};
use crate::detect::is_dir_name;
use crate::draft::{Draft, refuse};
use crate::images;
use crate::text::At;
use crate::tree::Files;

/// The project, in XML or in a dialect that an extension of Maven reads (github.com/takari/polyglot-maven).
pub(super) const POMS: &[&str] =
    &["pom.xml", "pom.yml", "pom.yaml", "pom.rb", "pom.groovy", "pom.scala", "pom.clj", "pom.kts", "pom.atom"];

/// A POM without its comments.
struct Pom {
    file: String,
    text: String,
}

impl Pom {
    fn read(files: Files<'_>, folder: &str) -> Option<Pom> {
        let below = |file: &&str| if folder.is_empty() { (*file).to_owned() } else { format!("{folder}/{file}") };
        let file = POMS.iter().map(below).find(|file| files.is_file(file))?;
        let text = xml::without_comments(&files.text(&file)?);
        Some(Pom { file, text })
    }

    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Whether its package can be started: a plugin makes it so, or it names a main class.
    fn starts(&self) -> bool {
        let plugins = [
            "spring-boot-maven-plugin",
            "quarkus-maven-plugin",
            "micronaut-maven-plugin",
            "mainClass",
            "exec.mainClass",
        ];
        plugins.iter().any(|plugin| self.has(plugin))
    }

    fn packs(&self, packaging: &str) -> bool {
        xml::value(&self.text, "packaging").is_some_and(|(_, value)| value == packaging)
    }
}

pub(super) fn plan(files: Files<'_>, draft: &mut Draft) -> Result<()> {
    let Some(root) = Pom::read(files, "") else { return refuse("pom.xml cannot be read") };
    if root.file.ends_with(".xml") && !root.has("<project") {
        return refuse("pom.xml is not the project of a Maven build: it has no <project>");
    }
    draft.plan.package_manager = Some("maven".into());
    draft.because_of("language = java", "the project of a Maven build", At::file(root.file.as_str()));
    draft.because_of("package_manager = maven", "this is its file", At::file(root.file.as_str()));
    let (folder, module) = match module(files, &root, draft) {
        Some((folder, module)) => (folder, Some(module)),
        None => (String::new(), None),
    };
    let pom = module.as_ref().unwrap_or(&root);
    let named = framework(&pom.file, &pom.text, draft).or_else(|| framework(&root.file, &root.text, draft));
    let version = version::choose(files, Some((&root.file, &root.text)), 8, 25, draft);
    let start = Start::find(files, pom, &folder, named);
    build(files, &root, &folder, &start, draft);
    node_for_build(&root.text, draft);

    draft.recipe.build = Some((&images::MAVEN, version.clone()));
    draft.recipe.run = Some((if start.tomcat { &images::TOMCAT } else { &images::JAVA }, version));
    // A package of the source may have this name.
    draft.recipe.ignore.extend(["**/target", "!**/src/**/target"].map(str::to_owned));
    let target = if folder.is_empty() { "target".to_owned() } else { format!("{folder}/target") };
    if start.tomcat {
        draft.recipe.trim.push(format!("mv {target}/*.war app.war"));
        super::plain::tomcat(files, draft);
    } else {
        draft.recipe.trim.push(trim(&target));
        ship(files, &target, draft);
    }
    if let Some(command) = start.command {
        draft.start(command, start.why, Some(At::file(pom.file.as_str())));
    }
    Ok(())
}

/// What a start needs stays; what the compiler left goes.
fn trim(target: &str) -> String {
    format!(
        "find {target} -mindepth 1 -maxdepth 1 ! -name '*.jar' ! -name '*.war' ! -name lib ! -name libs ! -name dependency ! -name classes ! -name quarkus-app -exec rm -rf {{}} + \
         && rm -f {target}/original-*.jar {target}/*-sources.jar {target}/*-javadoc.jar {target}/*-tests.jar"
    )
}

/// The module that is the app, when the root only gathers modules.
fn module(files: Files<'_>, root: &Pom, draft: &mut Draft) -> Option<(String, Pom)> {
    if !root.packs("pom") {
        return None;
    }
    let folders =
        xml::values(&root.text, "module").map(|(_, folder)| folder.to_owned()).filter(|folder| is_dir_name(folder));
    let found: Vec<(String, Pom)> =
        folders.take(200).filter_map(|folder| Some((folder.clone(), Pom::read(files, &folder)?))).collect();
    let starts = |pom: &Pom| pom.starts() || pom.packs("war");
    let names: Vec<&str> = found.iter().filter(|(_, pom)| starts(pom)).map(|(folder, _)| folder.as_str()).collect();
    if names.len() > 1 {
        draft.warn(format!(
            "the build has several programs ({}); `{}` is taken: set build and start_command in sh0.toml for another",
            names.join(", "),
            names[0]
        ));
    }
    let chosen = found.iter().position(|(_, pom)| starts(pom)).unwrap_or_default();
    let (folder, pom) = found.into_iter().nth(chosen)?;
    draft.because_of(
        format!("module = {folder}"),
        "the module whose package can be started",
        At::file(pom.file.as_str()),
    );
    Some((folder, pom))
}

/// How the package is started.
struct Start {
    command: Option<String>,
    why: &'static str,
    /// Libraries have to be copied beside the classes.
    copies: bool,
    /// The package is for a servlet container.
    tomcat: bool,
}

impl Start {
    fn find(files: Files<'_>, pom: &Pom, folder: &str, framework: Option<&Framework>) -> Start {
        let target = if folder.is_empty() { "target".to_owned() } else { format!("{folder}/target") };
        let options = options(framework);
        let start =
            |command: String, why: &'static str| Start { command: Some(command), why, copies: false, tomcat: false };
        let name = framework.map(|framework| framework.name);
        if name == Some("quarkus") {
            let jar = if old_quarkus(&pom.text) {
                format!("{target}/*-runner.jar")
            } else {
                format!("{target}/quarkus-app/quarkus-run.jar")
            };
            return start(format!("java {options} -jar {jar}"), "Quarkus packs this way");
        }
        if pom.packs("war") {
            if pom.has("spring-boot-maven-plugin") {
                return start(format!("java {options} -jar {target}/*.war"), "a WAR that Spring Boot made executable");
            }
            let command = Some("catalina.sh run".to_owned());
            return Start {
                command,
                why: "a WAR is served by a servlet container: Tomcat",
                copies: false,
                tomcat: true,
            };
        }
        if pom.has("maven-assembly-plugin") && pom.has("jar-with-dependencies") {
            return start(
                format!("java {options} -jar {target}/*-jar-with-dependencies.jar"),
                "one JAR with all dependencies",
            );
        }
        let packs = ["spring-boot-maven-plugin", "maven-shade-plugin", "micronaut-maven-plugin"]
            .iter()
            .any(|plugin| pom.has(plugin));
        let manifest = pom.has("maven-jar-plugin") && pom.has("mainClass");
        if packs || manifest {
            return start(
                format!("java {options} -jar {target}/*jar"),
                "the JAR that the build makes starts by itself",
            );
        }
        match main_class(files, pom, folder) {
            Some(class) => Start {
                command: Some(format!("java {options} -cp \"{target}/classes:{target}/dependency/*\" {class}")),
                why: "no plugin makes a JAR that starts by itself: the main class, with its libraries",
                copies: true,
                tomcat: false,
            },
            None => start(format!("java {options} -jar {target}/*jar"), "the JAR that the build makes"),
        }
    }
}

/// Before 1.12 Quarkus wrote `NAME-runner.jar` (quarkus.io/blog/quarkus-1-12-0-final-released).
fn old_quarkus(text: &str) -> bool {
    let tags = ["quarkus.version", "quarkus.platform.version", "quarkus-plugin.version"];
    let version = tags.iter().find_map(|tag| xml::value(text, tag)).map(|(_, version)| version).unwrap_or("3");
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(0), _) | (Some(1), Some(0..=11)))
}

/// The class that the POM names, or the only one with a `main`.
fn main_class(files: Files<'_>, pom: &Pom, folder: &str) -> Option<String> {
    let named =
        ["mainClass", "exec.mainClass", "main.class", "start-class"].iter().find_map(|tag| xml::value(&pom.text, tag));
    if let Some((_, class)) = named {
        let class = xml::resolved(&pom.text, class);
        return is_class(&class).then_some(class);
    }
    let root = if folder.is_empty() { "src/main/java".to_owned() } else { format!("{folder}/src/main/java") };
    super::plain::main_in(files, &root)
}

fn build(files: Files<'_>, root: &Pom, folder: &str, start: &Start, draft: &mut Draft) {
    let wrapper = files.is_file("mvnw") && files.is_file(".mvn/wrapper/maven-wrapper.properties");
    let maven = if wrapper {
        draft.because_of("build with mvnw", "the tree brings Maven's wrapper", At::file("mvnw"));
        "sh mvnw"
    } else {
        draft.tool("mvn", "Maven (Debian: apt-get install maven)");
        "mvn"
    };
    // What comes from elsewhere needs more than the POM.
    let whole = ["<module>", "<scope>system", "file://"].iter().all(|mark| !root.has(mark));
    if whole && !wrapper && root.file.ends_with(".xml") {
        draft.because(
            "install = mvn -B dependency:resolve",
            "fetches the libraries that the POM names, before the source is looked at",
        );
        draft.plan.install.push("mvn -B dependency:resolve".into());
        draft.recipe.manifests.push("pom.xml".into());
    }
    let production = if root.has("<id>production</id>") { " -Pproduction" } else { "" };
    let module = if folder.is_empty() { String::new() } else { format!(" --projects {folder} --also-make") };
    let copies = if start.copies { " dependency:copy-dependencies -DincludeScope=runtime" } else { "" };
    let command = format!("{maven} -B -DskipTests{production}{module} package{copies}");
    draft.because_of(
        format!("build = {command}"),
        "packs the app; tests are run before a deploy, not in it",
        At::file(root.file.as_str()),
    );
    draft.plan.build.push(command);
    draft.recipe.caches.push(("maven", "/root/.m2"));
}
