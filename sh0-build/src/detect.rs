//! From a tree to its plan: who recognises it, what overrides what.
//!
//! ```text
//! settings of the app  >  sh0.toml  >  nixpacks.toml, railpack.json, app.json  >  Procfile  >  Dockerfile (image, port)  >  the language's provider
//! ```

use sh0_core::model::{AppSettings, EnvKey, ImagePlan, Plan, ProcessName};
use sh0_core::{Code, Error, Result};

use crate::config::Config;
use crate::draft::{Draft, refuse, secret_env};
use crate::foreign::Foreign;
use crate::provider::{PROVIDERS, Procfile, Provider, keep_needed, passed_over, shell_plan, use_dockerfile};
use crate::render;
use crate::root::Root;
use crate::text::At;
use crate::tree::{Files, Remembered, Sub, Tree};
use crate::{DEFAULT_PORT, Options};

/// The plan for a tree. The same tree gives the same plan, byte for byte, in whatever order its folders list it.
///
/// A tree of a known language that says nowhere how it starts has a plan too, without a start command and with a
/// warning; [`deployable_plan`] refuses it.
pub fn plan_tree(tree: &dyn Tree, settings: &AppSettings, options: &Options) -> Result<Plan> {
    let (mut plan, missing) = planned(tree, settings, options)?;
    if let Some(missing) = missing {
        // A warning is one line.
        plan.warnings.push(missing.detail().replace("\n  - ", " ").replace('\n', " "));
    }
    Ok(plan)
}

/// The plan for a tree that is to run: one that says nowhere how it starts is an error with the quickest ways out.
pub fn deployable_plan(tree: &dyn Tree, settings: &AppSettings, options: &Options) -> Result<Plan> {
    match planned(tree, settings, options)? {
        (_, Some(missing)) => Err(missing),
        (plan, None) => Ok(plan),
    }
}

/// The plan, and what it lacks to be run.
fn planned(tree: &dyn Tree, settings: &AppSettings, options: &Options) -> Result<(Plan, Option<Error>)> {
    let remembered = Remembered::new(tree);
    let Some(root) = Root::find(Files(&remembered), options.root_of(settings))? else {
        let files = Files(&remembered);
        let draft = drafted(files, None, settings)?;
        return finished(files, draft, options);
    };
    if root.member_of.is_some() {
        remembered.pick(&root.app.folder);
        let files = Files(&remembered);
        let mut draft = drafted(files, Some(&root), settings).map_err(|error| root.app.named(error))?;
        root.explain(&mut draft.0);
        return finished(files, draft, options);
    }
    let inside = Remembered::new(&root.app);
    let files = Files(&inside);
    let mut draft = drafted(files, None, settings).map_err(|error| root.app.named(error))?;
    draft.0.plan.root = root.app.folder.parse().ok();
    draft.0.plan.reasons.iter_mut().filter_map(|r| r.file.as_mut()).for_each(|file| *file = root.app.outside(file));
    draft.0.said_of(&root.app.folder, 0, 0);
    root.explain(&mut draft.0);
    finished(files, draft, options)
}

/// The provider's plan, with what the owner says in its place; and whether the image is the owner's. `member` is the
/// app, where that is one of the workspace in `files`.
fn drafted(files: Files<'_>, member: Option<&Root<'_>>, settings: &AppSettings) -> Result<(Draft, bool)> {
    let app = member.map_or(files, |root| Files(&root.app));
    let config = Config::read(app)?;
    let foreign = Foreign::read(app);
    let procfile = Procfile::read(app);
    let mut draft = match member.and_then(|root| root.member_of) {
        Some(_) if config.language.as_deref() == Some("docker") && has_dockerfile(app, &config) => docker_plan(),
        Some(provider) => planned_by(provider, files, has_dockerfile(app, &config))?,
        None => {
            let told = procfile.is_some() || foreign.start.is_some();
            let language = config.language.as_deref().or(foreign.language.as_deref().filter(|name| is_known(name)));
            recognise(files, &config, language, told, settings)?
        }
    };
    draft.list_web();
    let image = |from: Files<'_>, draft: &mut Draft| {
        // A compose file may have named one already.
        let named = matches!(draft.plan.image, ImagePlan::Dockerfile { .. }) && config.dockerfile.is_none();
        named || use_dockerfile(from, config.dockerfile.as_ref(), draft)
    };
    let own_image = match member {
        None => image(app, &mut draft),
        // A path of the file at the top is one of the top.
        Some(root) if root.app.lends && config.dockerfile.is_some() => image(files, &mut draft),
        Some(root) => draft.said_in(&root.app.folder, |draft| Ok(image(app, draft)))?,
    };
    if let (Some(path), false) = (&config.dockerfile, own_image) {
        return Err(config.wrong(
            "dockerfile",
            format!("there is no Dockerfile at `{path}`"),
            "name a file of the tree",
        ));
    }
    if own_image && draft.plan.language != "compose" && member.is_none() {
        passed_over(app, &mut draft);
    }
    if own_image {
        // The image has a command and variables of its own; the language's are for runtimes without images.
        draft.plan.processes.clear();
        draft.plan.host_env = std::mem::take(&mut draft.plan.env);
    }
    let others = |draft: &mut Draft| {
        if let Some(procfile) = procfile {
            procfile.apply(draft);
        }
        foreign.apply(draft);
        own_web(draft);
        Ok(())
    };
    match member {
        None => others(&mut draft).and_then(|()| config.apply(&mut draft))?,
        Some(root) if root.app.lends => {
            draft.said_in(&root.app.folder, others)?;
            config.apply(&mut draft)?;
        }
        Some(root) => draft.said_in(&root.app.folder, |draft| others(draft).and_then(|()| config.apply(draft)))?,
    }
    apply_settings(settings, &mut draft);
    draft.build_programs();
    draft.end_build();
    if !own_image {
        keep_needed(&mut draft);
    }
    Ok((draft, own_image))
}

/// What the tree's Dockerfile runs is `web` in its image; what a Procfile or another builder's file starts is for runtimes
/// without images.
fn own_web(draft: &mut Draft) {
    let Ok(web) = "web".parse::<ProcessName>() else { return };
    if draft.recipe.own_command && draft.plan.processes.remove(&web).is_some() {
        draft.warn(
            "the image runs what its Dockerfile says; the start command of the Procfile, or of another builder's file, is for \
             runtimes without images: to run it in the image, write it as `start_command` in sh0.toml",
        );
    }
}

fn finished(files: Files<'_>, draft: (Draft, bool), options: &Options) -> Result<(Plan, Option<Error>)> {
    let (mut draft, own_image) = draft;
    let missing = startable(&draft, own_image).err();
    finish(files, own_image, options, &mut draft)?;
    Ok((draft.plan, missing))
}

/// The provider's plan; a tree without a language may still say how it starts.
fn recognise(
    files: Files<'_>,
    config: &Config,
    language: Option<&str>,
    told: bool,
    settings: &AppSettings,
) -> Result<Draft> {
    let has_dockerfile = has_dockerfile(files, config);
    let provider = match language {
        None => PROVIDERS.iter().copied().find(|provider| provider.recognises(files)),
        Some("shell") => None,
        Some("docker") if has_dockerfile => return Ok(docker_plan()),
        Some(language) => Some(named(config, language)?),
    };
    if let Some(provider) = provider {
        return planned_by(provider, files, has_dockerfile);
    }
    if has_dockerfile {
        return Ok(docker_plan());
    }
    if let Some(dir) = &config.static_dir {
        let mut draft = shell_plan();
        draft.plan.language = "static".into();
        draft.because(format!("static_dir = {dir}"), "sh0.toml names the folder");
        return Ok(draft);
    }
    let told =
        told || config.start_command.is_some() || !config.processes.is_empty() || settings.start_command.is_some();
    if told {
        return Ok(shell_plan());
    }
    match files.first(&["start.sh", "run.sh"]) {
        Some(script) => Ok(shell_script(files, script)),
        None => Err(unrecognised(files)),
    }
}

fn has_dockerfile(files: Files<'_>, config: &Config) -> bool {
    config.dockerfile.is_some() || files.first(&["Dockerfile", "Containerfile", "dockerfile"]).is_some()
}

/// The provider's plan. A Dockerfile makes an image also of what the provider refuses.
fn planned_by(provider: &dyn Provider, files: Files<'_>, has_dockerfile: bool) -> Result<Draft> {
    match provider.plan(files) {
        Err(error) if has_dockerfile => {
            let mut draft = docker_plan();
            draft.warn(format!("only the Dockerfile is used: {}", error.detail()));
            Ok(draft)
        }
        planned => planned,
    }
}

/// A script that starts an app, run by the shell that its first line names.
fn shell_script(files: Files<'_>, script: &str) -> Draft {
    let mut draft = shell_plan();
    let first = files.head(script).and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default();
    let named = first.strip_prefix("#!").and_then(|line| line.split(['/', ' ']).rfind(|word| !word.is_empty()));
    let (shell, why) = match named {
        Some(shell @ ("bash" | "zsh" | "ksh" | "dash" | "fish")) => (shell, "its first line names this shell"),
        _ => ("sh", "the usual name of a script that starts an app"),
    };
    if matches!(shell, "zsh" | "ksh" | "fish") {
        draft.recipe.debian_packages.push(shell.to_owned());
        draft.tool(shell, "the shell of the script");
    }
    draft.start(format!("{shell} {script}"), why, Some(At::line(script, named.map(|_| 1))));
    draft
}

fn is_known(language: &str) -> bool {
    PROVIDERS.iter().any(|provider| provider.language() == language)
}

fn named(config: &Config, language: &str) -> Result<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.language() == language).ok_or_else(|| {
        let mut known: Vec<&str> = PROVIDERS.iter().map(|provider| provider.language()).collect();
        known.extend(["shell", "docker (with a Dockerfile)"]);
        config.wrong(
            "language",
            format!("there is no provider for `{language}`"),
            format!("there are {}", known.join(", ")),
        )
    })
}

fn docker_plan() -> Draft {
    let mut draft = Draft::default();
    draft.plan.language = "docker".into();
    draft
}

fn apply_settings(settings: &AppSettings, draft: &mut Draft) {
    if let Some(command) = &settings.start_command {
        draft.set_web(command.clone());
        draft.because(format!("start_command = {command}"), "the settings of the app say so");
    }
    if let Some(command) = &settings.release_command {
        draft.plan.release_command = Some(command.clone());
        draft.because(format!("release_command = {command}"), "the settings of the app say so");
    }
    if let Some(port) = settings.port {
        draft.plan.port = Some(port);
        draft.because(format!("port = {port}"), "the settings of the app say so");
    }
}

/// A plan without anything to run is none.
fn startable(draft: &Draft, own_image: bool) -> Result<()> {
    let plan = &draft.plan;
    if own_image || plan.static_dir.is_some() || plan.start_command.is_some() || !plan.processes.is_empty() {
        return Ok(());
    }
    if !plan.services.is_empty() {
        let names: Vec<&str> = plan.services.keys().map(String::as_str).collect();
        return refuse(format!(
            "this tree is a compose file with the services {}; several services at once are not deployed yet. Deploy each as an app \
             of its own: name the folder that it is built from as the root, or deploy its image",
            names.join(", ")
        ));
    }
    if let Some(several) = &draft.recipe.several {
        return refuse(several.as_str());
    }
    let looked = match plan.language.as_str() {
        "node" => "a script `start`, `main` of package.json, or server.js, index.js, app.js, main.js",
        "python" => "an application of a known framework, or main.py, app.py, server.py, run.py, wsgi.py, bot.py",
        "go" => "a package `main` in the folder or below cmd",
        "php" => "index.php, in the folder or in public/, web/ or htdocs/, or server.php, main.php",
        "ruby" => "config.ru, bin/rails, a script such as app.rb, or a default task of the Rakefile",
        "java" => "a plugin that makes a JAR that starts, or a class with a `main`",
        "rust" => "src/main.rs, src/bin, or a [[bin]] of Cargo.toml or of a workspace's member",
        _ => "a start command",
    };
    let ways = [
        "put `web: COMMAND` in a Procfile;",
        "put `start_command = \"COMMAND\"` in sh0.toml;",
        "when the app lies in a subfolder, name that folder as its root",
    ];
    refuse(format!(
        "this is a {} app, but nothing says how it starts; looked for {looked}.\n{}",
        plan.language,
        list("Do one of these:", ways.into_iter())
    ))
}

/// Port and image.
fn finish(files: Files<'_>, own_image: bool, options: &Options, draft: &mut Draft) -> Result<()> {
    if !options.buildkit {
        draft.plan.warnings.append(&mut draft.classic_warnings);
    }
    let one_offs: Vec<String> =
        draft.plan.processes.keys().filter(|name| name.is_one_off()).map(ToString::to_string).collect();
    for name in one_offs {
        draft.warn(format!("`{name}` is run by hand, as its name says: none starts until `sh0 scale {name}=1`"));
    }
    let secret: Vec<EnvKey> = secret_env(&draft.plan).cloned().collect();
    for key in secret {
        draft.warn(format!(
            "the tree writes down the secret {key}: instances get it, and no image and no export has it; set it with `sh0 env set`, and take it out of the tree"
        ));
    }
    if !own_image {
        draft.apply_fixed_port();
    }
    let listens = draft.plan.static_dir.is_some() || draft.plan.start_command.is_some();
    if !listens && !own_image {
        draft.plan.port = None;
    } else if draft.plan.port.is_none() && !own_image {
        draft.plan.port = Some(DEFAULT_PORT);
        draft.because(format!("port = {DEFAULT_PORT}"), "the app is told in PORT");
    }
    if own_image {
        if draft.plan.start_command.is_none() && draft.plan.static_dir.is_none() {
            draft.warn("only a container runtime can run this: the start command is inside the Dockerfile; add a Procfile to run it as a process");
        }
        return Ok(());
    }
    if draft.plan.static_dir.is_some() && draft.plan.release_command.is_some() {
        draft.warn(
            "a folder of files is served without a shell: the release command runs only where there are processes",
        );
    }
    if !listens && !draft.plan.services.is_empty() {
        return Ok(());
    }
    let builds = !draft.plan.install.is_empty() || !draft.plan.build.is_empty();
    if let (Some(secret), true, false) = (options.build_secrets.first(), builds, options.buildkit) {
        return Err(Error::invalid(
            "build secrets",
            format!("{secret} would be kept in a layer of the image: this builder is not BuildKit"),
            "use an engine with BuildKit, or build without the secret",
        ));
    }
    if let Some(dir) = draft.plan.static_dir.as_ref().filter(|dir| !render::can_copy(dir)) {
        return Err(Error::invalid(
            "static_dir",
            format!("a Dockerfile cannot name the folder {dir:?}"),
            "rename it: letters, digits, `.`, `_`, `-` and `/` are safe",
        ));
    }
    let (dockerfile, dockerignore) = render::render(files, draft, options);
    draft.plan.image = ImagePlan::Generated { dockerfile, dockerignore };
    Ok(())
}

/// What was looked for, what is there, and the three quickest ways out.
fn unrecognised(files: Files<'_>) -> Error {
    let plain = |name: &String| !name.starts_with('.') && !name.contains(char::is_control);
    let present: Vec<String> = files.names("").into_iter().filter(plain).take(12).collect();
    let folders = files.names("").into_iter().filter(|name| is_dir_name(name) && files.is_folder(name));
    let below = folders.take(50).find(|name| {
        let sub = Sub::new(files, name);
        let inside = Files(&sub);
        inside.is_file("Dockerfile") || PROVIDERS.iter().any(|provider| provider.recognises(inside))
    });
    let there = match (present.is_empty(), below) {
        (true, _) => "The folder is empty.".to_owned(),
        (_, Some(folder)) => format!("`{folder}` looks like an app: is it the one? Then name it as the root."),
        _ => format!("There is only {}.", present.join(", ")),
    };
    let looked = ["Procfile", "Dockerfile", "start.sh"].into_iter().chain(PROVIDERS.iter().map(|p| p.looks_for()));
    Error::new(
        Code::BuildFailed,
        format!(
            "no app was recognised in this folder. {there}\n{}\n{}",
            list("Looked for:", looked),
            list("The three quickest ways out:", WAYS_OUT.iter().copied())
        ),
    )
}

const WAYS_OUT: [&str; 3] = [
    "a Procfile with `web: COMMAND`",
    "a sh0.toml with `start_command = \"COMMAND\"`, or `static_dir = \"FOLDER\"`",
    "a Dockerfile",
];

/// A heading with its items in lines below.
fn list<'t>(heading: &str, items: impl Iterator<Item = &'t str>) -> String {
    items.fold(heading.to_owned(), |text, item| format!("{text}\n  - {item}"))
}

/// A relative path of plain characters: safe in a Dockerfile and in a shell command.
pub(crate) fn is_dir_name(path: &str) -> bool {
    !path.starts_with(['-', '/'])
        && path.len() <= 512
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@/".contains(c))
}
