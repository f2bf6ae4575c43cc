//! Gradle: with its wrapper or without; which project is the app, and which of its files is started.

use super::{GRADLE, framework, node_for_build, options, plain, ship, version};
use crate::detect::is_dir_name;
use crate::draft::Draft;
use crate::images;
use crate::text::{At, find_line, lines};
use crate::tree::Files;

/// A project of the build: its folder, its file, its text.
struct Project {
    folder: String,
    file: String,
    text: String,
}

impl Project {
    fn read(files: Files<'_>, folder: &str) -> Option<Project> {
        let below = |file: &str| if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
        let file = ["build.gradle.kts", "build.gradle"].map(below).into_iter().find(|file| files.is_file(file))?;
        // A plugin that is only made known to the projects below.
        let text = without_comments(&files.text(&file)?);
        let lines: Vec<&str> = text.lines().map(|line| if line.contains("apply false") { "" } else { line }).collect();
        let text = lines.join("\n");
        Some(Project { folder: folder.to_owned(), file, text })
    }

    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// A plugin by its id or by its name, as `id 'x'`, `id("x")`, `apply plugin: 'x'`, or bare `x`.
    fn applies(&self, plugin: &str) -> bool {
        let bare = self.text.lines().any(|line| line.trim() == plugin || line.trim() == format!("`{plugin}`"));
        bare || self.has(&format!("'{plugin}'")) || self.has(&format!("\"{plugin}\""))
    }

    fn starts(&self) -> bool {
        ["application", "war"].iter().any(|plugin| self.applies(plugin))
            || [
                "org.springframework.boot",
                "spring.boot",
                "io.quarkus",
                "io.micronaut.application",
                "io.ktor.plugin",
                "shadow",
                "Main-Class",
            ]
            .iter()
            .any(|mark| self.has(mark))
    }
}

pub(super) fn plan(files: Files<'_>, draft: &mut Draft) {
    let mark = files.first(GRADLE).unwrap_or("build.gradle");
    draft.plan.package_manager = Some("gradle".into());
    draft.because_of("language = java", "a file of a Gradle build", At::file(mark));
    draft.because_of("package_manager = gradle", "this is its file", At::file(mark));
    let project = project(files, draft);
    let (file, text) =
        project.as_ref().map(|project| (project.file.as_str(), project.text.as_str())).unwrap_or((mark, ""));
    let catalog = files.text("gradle/libs.versions.toml").unwrap_or_default();
    let root = Project::read(files, "").map(|root| root.text).unwrap_or_default();
    let named = framework(file, text, draft).or_else(|| framework("gradle/libs.versions.toml", &catalog, draft));
    let wrapper = Wrapper::find(files, draft);
    let (least, most) = wrapper.runs_on();
    let both = format!("{text}\n{root}");
    let version = version::choose(files, Some((file, &both)), least, most, draft);

    let name = named.map(|framework| framework.name);
    let folder = project.as_ref().map(|project| project.folder.clone()).unwrap_or_default();
    let built = if folder.is_empty() { "build".to_owned() } else { format!("{folder}/build") };
    let made = project.as_ref().map(|project| Made::find(files, project, name)).unwrap_or(Made::Jar);
    let path = if folder.is_empty() { String::new() } else { format!(":{}:", folder.replace('/', ":")) };
    let command = format!("{} --no-daemon {path}{} -x test", wrapper.command(), made.task());
    draft.because_of(
        format!("build = {command}"),
        "packs the app; tests are run before a deploy, not in it",
        At::file(file),
    );
    draft.plan.build.push(command);
    draft.recipe.caches.push(("gradle", "/root/.gradle"));
    node_for_build(&both, draft);

    draft.recipe.build = Some((wrapper.image(&version), version.clone()));
    draft.recipe.run = Some((&images::JAVA, version.clone()));
    // A package of the source may have this name.
    draft.recipe.ignore.extend(["**/.gradle", "**/build", "!**/src/**/build"].map(str::to_owned));
    let options = options(named);
    let start = match &made {
        Made::Quarkus => format!("java {options} -jar {built}/quarkus-app/quarkus-run.jar"),
        Made::Fat(_) => format!("java {options} -jar {built}/libs/*-all.jar"),
        Made::Install(name) => {
            let port = named.map(|framework| framework.port).unwrap_or_default();
            let set = if port.is_empty() { String::new() } else { format!("JAVA_OPTS=\"{port} $JAVA_OPTS\" ") };
            format!("{set}./{built}/install/{name}/bin/{name}")
        }
        Made::War if name != Some("spring-boot") => "catalina.sh run".to_owned(),
        Made::War => format!("java {options} -jar {built}/libs/*.war"),
        // As others write it, so that it is known: the port of Spring behind -jar.
        Made::Boot | Made::Jar => {
            let port = named.map(|framework| framework.port).unwrap_or_default();
            format!("java $JAVA_OPTS -jar {port} $(ls -1 {built}/libs/*jar | grep -v plain)")
        }
    };
    if matches!(made, Made::War) && name != Some("spring-boot") {
        draft.recipe.run = Some((&images::TOMCAT, version));
        draft.recipe.trim.push(format!("mv {built}/libs/*.war app.war"));
        plain::tomcat(files, draft);
    } else {
        draft.recipe.trim.push(format!(
            "find {built} -mindepth 1 -maxdepth 1 ! -name libs ! -name install ! -name quarkus-app -exec rm -rf {{}} + \
             && rm -f {built}/libs/*-sources.jar {built}/libs/*-javadoc.jar"
        ));
        ship(files, &built, draft);
    }
    draft.start(start.replace("-jar  $", "-jar $"), made.why(), Some(At::file(file)));
}

/// What a build makes.
enum Made {
    /// Spring Boot's JAR.
    Boot,
    Quarkus,
    /// A JAR with all dependencies, by this task.
    Fat(&'static str),
    /// A folder with a start script of this name.
    Install(String),
    War,
    Jar,
}

impl Made {
    fn find(files: Files<'_>, project: &Project, framework: Option<&str>) -> Made {
        if framework == Some("quarkus") {
            return Made::Quarkus;
        }
        if project.applies("war") {
            return Made::War;
        }
        if framework == Some("spring-boot") {
            return Made::Boot;
        }
        if project.has("io.ktor.plugin") || project.has("libs.plugins.ktor") {
            return Made::Fat("buildFatJar");
        }
        if project.has("shadow") {
            return Made::Fat("shadowJar");
        }
        if (project.applies("application") || project.has("io.micronaut.application") || project.has("mainClass"))
            && let Some(name) = name(files, &project.folder)
        {
            return Made::Install(name);
        }
        Made::Jar
    }

    fn task(&self) -> &'static str {
        match self {
            Made::Boot => "bootJar",
            Made::Quarkus => "quarkusBuild",
            Made::Fat(task) => task,
            Made::Install(_) => "installDist",
            Made::War => "war",
            Made::Jar => "assemble",
        }
    }

    fn why(&self) -> &'static str {
        match self {
            Made::Boot => "the JAR that Spring Boot packs",
            Made::Quarkus => "Quarkus packs this way",
            Made::Fat(_) => "one JAR with all dependencies",
            Made::Install(_) => "the start script of the plugin `application`",
            Made::War => "a WAR, and what serves it",
            Made::Jar => "the JAR that the build makes",
        }
    }
}

/// The name of a project: that of its folder, and of the root what the settings say.
fn name(files: Files<'_>, folder: &str) -> Option<String> {
    if !folder.is_empty() {
        return folder.rsplit('/').next().map(str::to_owned);
    }
    let (_, text) = settings(files)?;
    let (_, line) = find_line(&text, |line| line.trim_start().starts_with("rootProject.name"))?;
    let name = line.split(['"', '\'']).nth(1)?;
    is_dir_name(name).then(|| name.to_owned())
}

fn settings(files: Files<'_>) -> Option<(&'static str, String)> {
    let file = files.first(&["settings.gradle.kts", "settings.gradle"])?;
    Some((file, without_comments(&files.text(file)?)))
}

/// The root when it is a program, else the first project that is one.
fn project(files: Files<'_>, draft: &mut Draft) -> Option<Project> {
    let root = Project::read(files, "");
    // A root without sources only gathers projects, whatever it applies to them.
    if let Some(root) = root.as_ref().filter(|root| root.starts() && files.is_folder("src")) {
        return Some(Project { folder: String::new(), file: root.file.clone(), text: root.text.clone() });
    }
    let folders: Vec<String> = match settings(files) {
        Some((_, text)) => lines(&text)
            .filter(|(_, line)| {
                line.trim_start().starts_with("include") || line.trim_start().starts_with(['"', '\'', ':'])
            })
            .flat_map(|(_, line)| line.split(['"', '\'']).skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
            .map(|path| path.trim_start_matches(':').replace(':', "/"))
            .collect(),
        None => files.names(""),
    };
    let found: Vec<Project> = folders
        .iter()
        .filter(|folder| is_dir_name(folder))
        .take(200)
        .filter_map(|folder| Project::read(files, folder))
        .collect();
    let names: Vec<&str> =
        found.iter().filter(|project| project.starts()).map(|project| project.folder.as_str()).collect();
    if names.len() > 1 {
        draft.warn(format!(
            "the build has several programs ({}); `{}` is taken: set build and start_command in sh0.toml for another",
            names.join(", "),
            names[0]
        ));
    }
    match found.into_iter().find(Project::starts) {
        Some(project) => {
            draft.because_of(
                format!("project = {}", project.folder),
                "the project that can be started",
                At::file(project.file.as_str()),
            );
            Some(project)
        }
        None => root,
    }
}

/// Who builds.
struct Wrapper {
    /// The release of Gradle that the wrapper fetches: major and minor.
    release: Option<(u32, u32)>,
    whole: bool,
}

impl Wrapper {
    fn find(files: Files<'_>, draft: &mut Draft) -> Wrapper {
        let file = "gradle/wrapper/gradle-wrapper.properties";
        let properties = files.text(file).unwrap_or_default();
        let found = find_line(&properties, |line| line.trim_start().starts_with("distributionUrl"));
        let release = found.and_then(|(_, line)| {
            let version = line.split_once("gradle-")?.1;
            let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
            Some((numbers.next()?, numbers.next().unwrap_or_default()))
        });
        let whole = files.is_file("gradlew") && files.is_file("gradle/wrapper/gradle-wrapper.jar");
        if let (Some((line, _)), true) = (found, whole) {
            draft.because_of("build with gradlew", "the tree brings Gradle's wrapper", At::line(file, line));
        } else if files.is_file("gradlew") && !whole {
            draft.warn("gradlew needs gradle/wrapper/gradle-wrapper.jar, which is not in the tree; the image's Gradle builds instead");
        }
        if !whole {
            draft.tool("gradle", "Gradle (Debian: apt-get install gradle, or a newer one from gradle.org)");
        }
        Wrapper { release, whole }
    }

    fn command(&self) -> &'static str {
        if self.whole { "sh gradlew" } else { "gradle" }
    }

    /// The releases of Java that Gradle itself runs on (docs.gradle.org/current/userguide/compatibility.html).
    fn runs_on(&self) -> (u32, u32) {
        match self.release.filter(|_| self.whole) {
            Some((0..=4, _)) => (8, 8),
            Some((5..=6, _) | (7, 0..=2)) => (8, 11),
            Some((7, _) | (8, 0..=4)) => (8, 17),
            Some((8, _)) => (8, 21),
            Some((9, 0)) => (17, 21),
            Some(_) => (17, 25),
            None => (8, 25),
        }
    }

    fn image(&self, version: &str) -> &'static images::Base {
        match (self.whole, version) {
            (true, _) => &images::JAVA,
            // Gradle 8 does not run on Java 25.
            (false, "25") => &images::GRADLE_9,
            (false, _) => &images::GRADLE,
        }
    }
}

/// The text with its comments blanked, so that lines stay where they are. `//` within a text (an address) stays.
fn without_comments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        // A pattern such as "src/**/*.java" is no comment.
        let quoted = rest[..start].rsplit('\n').next().is_some_and(|line| line.matches(['"', '\'']).count() % 2 == 1);
        if quoted {
            clean.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        }
        clean.push_str(&rest[..start]);
        let comment = &rest[start..];
        let end = comment.find("*/").map(|end| end + 2).unwrap_or(comment.len());
        clean.extend(comment[..end].chars().filter(|c| *c == '\n'));
        rest = &comment[end..];
    }
    clean.push_str(rest);
    let lines: Vec<&str> =
        clean.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect();
    lines.join("\n")
}
