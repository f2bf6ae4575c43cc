//! How a Python app is started.

use sh0_core::model::OWN_PORT;

use super::{ENTRIES, SCRIPTS, Tree};
use crate::draft::{Draft, quote};
use crate::recipe::FixedPort;
use crate::text::{At, find_line, lines};

/// Frameworks by package, the more deciding ones first: Gradio brings FastAPI, FastAPI brings Starlette.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("django", "django"),
    ("fasthtml", "python-fasthtml"),
    ("streamlit", "streamlit"),
    ("gradio", "gradio"),
    ("google-adk", "google-adk"),
    ("chainlit", "chainlit"),
    ("reflex", "reflex"),
    ("nicegui", "nicegui"),
    ("litestar", "litestar"),
    ("fastapi", "fastapi"),
    ("flask", "flask"),
    ("quart", "quart"),
    ("sanic", "sanic"),
    ("starlette", "starlette"),
    ("tornado", "tornado"),
    ("aiohttp", "aiohttp"),
    ("bottle", "bottle"),
    ("falcon", "falcon"),
    ("pyramid", "pyramid"),
    ("dash", "dash"),
    ("panel", "panel"),
    ("robyn", "robyn"),
];

pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft) {
    web(tree, draft);
    if tree.dependency("celery").is_some() {
        workers(tree, draft);
    }
}

/// The workers of Celery, where a module holds its application. A package is enough of a name for its `celery` module
/// (docs.celeryq.dev, First steps with Django).
fn workers(tree: &Tree<'_>, draft: &mut Draft) {
    let folders = tree.files.names("").into_iter().filter(|name| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && tree.files.is_file(&format!("{name}/__init__.py"))
    });
    let inside =
        folders.flat_map(|name| ["celery", "celery_app", "worker", "tasks"].map(|file| format!("{name}/{file}.py")));
    let alone = ["celery_app.py", "celery_worker.py", "worker.py", "tasks.py"].map(str::to_owned);
    let found = inside.chain(alone).find_map(|file| {
        let text = tree.files.text(&file)?;
        // Only a name of the module itself.
        let (line, _) = find_line(&text, |line| {
            !line.starts_with([' ', '\t', '#'])
                && line.split_once('=').is_some_and(|(_, value)| value.contains("Celery("))
        })?;
        Some((file, line))
    });
    if let Some((file, line)) = found {
        let module = file.trim_end_matches(".py").trim_end_matches("/celery").replace('/', ".");
        let command = format!("celery --app {module} worker --loglevel INFO");
        draft.worker(command, "Celery is among the dependencies, and this is its application", At::line(file, line));
    }
}

fn web(tree: &Tree<'_>, draft: &mut Draft) {
    let framework = FRAMEWORKS.iter().find_map(|(name, package)| Some((*name, tree.dependency(package)?)));
    if let Some((name, at)) = &framework {
        draft.plan.framework = Some((*name).to_owned());
        draft.because_of(format!("framework = {name}"), "it is among the dependencies", at.clone());
    }
    match framework.map(|(name, _)| name) {
        Some("django") => django(tree, draft),
        Some("fastapi" | "starlette" | "fasthtml" | "litestar" | "quart") => asgi(tree, draft),
        Some("flask") => flask(tree, draft),
        Some("streamlit") => streamlit(tree, draft),
        Some("chainlit") => page(tree, draft, "chainlit run", "--headless --host 0.0.0.0 --port ${PORT:-8000}"),
        Some("google-adk") => agents(tree, draft),
        Some("gradio") => {
            // Gradio reads these (gradio.app/guides/environment-variables).
            draft.env("GRADIO_SERVER_NAME", "0.0.0.0");
            draft.env("GRADIO_SERVER_PORT", OWN_PORT);
            script(tree, draft);
        }
        _ => script(tree, draft),
    }
}

/// The project's WSGI or ASGI application, as its settings name it.
fn django(tree: &Tree<'_>, draft: &mut Draft) {
    let Some((module, at)) = django_application(tree) else {
        if tree.files.is_file("manage.py") {
            development(draft, "python manage.py runserver --noreload 0.0.0.0:$PORT", At::file("manage.py"));
        } else {
            script(tree, draft);
        }
        return;
    };
    let migrate = if tree.files.is_file("manage.py") { "python manage.py migrate && " } else { "" };
    let asgi = ["uvicorn", "daphne", "hypercorn"].into_iter().find(|server| tree.dependency(server).is_some());
    if tree.dependency("gunicorn").is_some() || asgi.is_none() {
        with_server(tree, draft, "gunicorn");
        draft.start(
            format!("{migrate}gunicorn --bind 0.0.0.0:${{PORT:-8000}} {module}.wsgi:application"),
            "the project's WSGI application, behind gunicorn; migrations first, which do nothing when they are done",
            Some(at),
        );
    } else {
        let command = match asgi {
            Some("daphne") => format!("daphne -b 0.0.0.0 -p ${{PORT:-8000}} {module}.asgi:application"),
            Some("hypercorn") => format!("hypercorn --bind 0.0.0.0:${{PORT:-8000}} {module}.asgi:application"),
            _ => format!("uvicorn --host 0.0.0.0 --port ${{PORT:-8000}} {module}.asgi:application"),
        };
        draft.start(format!("{migrate}{command}"), "the project's ASGI application; migrations first", Some(at));
    }
    collect_static(tree, draft, &module);
}

/// A production server, installed where the tree names none: the development servers of frameworks are not for this.
fn with_server(tree: &Tree<'_>, draft: &mut Draft, server: &'static str) {
    if tree.dependency(server).is_some() || draft.plan.install.is_empty() {
        return;
    }
    let release = if server == "gunicorn" { "gunicorn==23.0.0" } else { "uvicorn==0.35.0" };
    draft.because(
        format!("install += {release}"),
        "no production server is among the dependencies; the framework's own is for development",
    );
    draft.warn(format!("{server} is not among the dependencies and is added; name it there to choose its release"));
    draft.plan.install.push(format!("{} {release}", super::manager::PIP));
}

/// The settings that manage.py names, and the files that settings in a folder share.
fn settings(tree: &Tree<'_>) -> Vec<String> {
    let named = tree.files.text("manage.py").and_then(|text| {
        let (_, line) = find_line(&text, |line| line.contains("DJANGO_SETTINGS_MODULE"))?;
        line.split(['"', '\'']).rev().nth(1).map(str::to_owned).filter(|module| is_dotted(module))
    });
    let Some(base) = named.map(|module| module.replace('.', "/")) else { return Vec::new() };
    let mut files = vec![format!("{base}.py"), format!("{base}/base.py"), format!("{base}/__init__.py")];
    if let Some((folder, _)) = base.rsplit_once('/').filter(|(folder, _)| folder.ends_with("settings")) {
        files.extend(["base.py", "common.py", "__init__.py"].map(|file| format!("{folder}/{file}")));
    }
    files
}

fn is_dotted(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c))
}

/// `WSGI_APPLICATION` of the settings that manage.py names, else a package with a wsgi.py.
fn django_application(tree: &Tree<'_>) -> Option<(String, At)> {
    let quoted = |line: &str| line.split(['"', '\'']).rev().nth(1).map(str::to_owned);
    for file in settings(tree) {
        let Some(text) = tree.files.text(&file) else { continue };
        let Some((line, found)) = find_line(&text, |line| line.trim_start().starts_with("WSGI_APPLICATION")) else {
            continue;
        };
        let module = quoted(found).and_then(|path| path.strip_suffix(".wsgi.application").map(str::to_owned));
        if let Some(module) = module.filter(|module| is_dotted(module)) {
            return Some((module, At::line(file, line)));
        }
    }
    let is_module = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    tree.files.names("").into_iter().filter(|name| is_module(name)).find_map(|name| {
        let file = ["wsgi.py", "asgi.py"]
            .map(|file| format!("{name}/{file}"))
            .into_iter()
            .find(|file| tree.files.is_file(file))?;
        Some((name, At::file(file)))
    })
}

/// Where WhiteNoise serves what `collectstatic` gathered, it has to be gathered.
fn collect_static(tree: &Tree<'_>, draft: &mut Draft, module: &str) {
    let mut files = settings(tree);
    files.push(format!("{}/settings.py", module.replace('.', "/")));
    let root = files.into_iter().find_map(|file| {
        let text = tree.files.text(&file)?;
        let (line, _) = find_line(&text, |line| line.starts_with("STATIC_ROOT"))?;
        Some((file, line))
    });
    if let (Some((file, line)), Some(_)) = (root, tree.dependency("whitenoise")) {
        let command = "python manage.py collectstatic --noinput".to_owned();
        draft.because_of(
            format!("build = {command}"),
            "STATIC_ROOT is set and WhiteNoise serves it",
            At::line(file, line),
        );
        draft.plan.build.push(command);
    }
}

fn development(draft: &mut Draft, command: impl Into<String>, at: At) {
    draft.start(
        command,
        "the framework's development server, as no production server is among the dependencies",
        Some(at),
    );
    draft.warn("the app runs on its framework's development server; add gunicorn (or uvicorn) to its dependencies");
}

/// An object made of one of `classes`, in one of the usual files: module, name, place.
fn application(tree: &Tree<'_>, classes: &[&str]) -> Option<(String, String, At)> {
    object(tree, |_, value| {
        classes.iter().any(|class| {
            let value = value.strip_prefix(&format!("{}.", class.to_ascii_lowercase())).unwrap_or(value);
            value.strip_prefix(class).is_some_and(|rest| rest.starts_with('('))
        })
    })
}

/// `app = create_application()`: what a function of the app makes, both with a usual name.
fn made_by_factory(tree: &Tree<'_>) -> Option<(String, String, At)> {
    object(tree, |name, value| {
        let Some((function, _)) = value.split_once('(') else { return false };
        if function.starts_with("os.") {
            return false;
        }
        let function = function.rsplit('.').next().unwrap_or(function);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let makes = ["create", "make", "build", "get_app", "init"].iter().any(|start| function.starts_with(start))
            || ["app", "application"].iter().any(|end| function.ends_with(end));
        matches!(name, "app" | "application" | "api") && makes && function.chars().all(plain)
    })
}

/// The first name of a module itself in one of the usual files, with what it is set to.
fn object(tree: &Tree<'_>, wanted: impl Fn(&str, &str) -> bool) -> Option<(String, String, At)> {
    let packages = tree.files.names("").into_iter().filter(|name| tree.files.is_file(&format!("{name}/__init__.py")));
    let inside =
        packages.flat_map(|name| [format!("{name}/main.py"), format!("{name}/app.py"), format!("{name}/__init__.py")]);
    ENTRIES.iter().map(|&entry| entry.to_owned()).chain(inside).find_map(|file| {
        let text = tree.files.text(&file)?;
        let (line, name) = lines(&text).find_map(|(number, line)| {
            let (name, value) = line.split_once('=')?;
            // `app: FastAPI = FastAPI()`
            let name = name.split(':').next().unwrap_or_default();
            // One inside a function is indented.
            let plain = !name.is_empty() && name.trim_end().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = name.trim();
            (plain && wanted(name, value.trim_start())).then(|| (number, name.to_owned()))
        })?;
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        Some((module, name, At::line(file, line)))
    })
}

fn asgi(tree: &Tree<'_>, draft: &mut Draft) {
    let classes = ["FastAPI", "Starlette", "FastHTML", "Litestar", "Quart"];
    let factory = || made_by_factory(tree).filter(|_| draft.plan.framework.as_deref() == Some("fastapi"));
    let Some((module, name, at)) = application(tree, &classes).or_else(|| fast_app(tree)).or_else(factory) else {
        return script(tree, draft);
    };
    let why = format!("`{name}` of {module} is the application");
    let gunicorn = tree.dependency("gunicorn").is_some() && tree.dependency("uvicorn-worker").is_some();
    let command = if gunicorn {
        format!("gunicorn --bind 0.0.0.0:${{PORT:-8000}} --worker-class uvicorn_worker.UvicornWorker {module}:{name}")
    } else if tree.dependency("uvicorn").is_none() && tree.dependency("hypercorn").is_some() {
        format!("hypercorn --bind 0.0.0.0:${{PORT:-8000}} {module}:{name}")
    } else {
        if !brings_uvicorn(tree) {
            with_server(tree, draft, "uvicorn");
        }
        format!("uvicorn {module}:{name} --host 0.0.0.0 --port ${{PORT:-8000}}")
    };
    draft.start(command, why, Some(at));
}

/// `app, rt = fast_app()` of FastHTML, which runs itself only where `serve()` stands.
fn fast_app(tree: &Tree<'_>) -> Option<(String, String, At)> {
    let file = tree.files.first(&ENTRIES[..10])?;
    let text = tree.files.text(file)?;
    let (line, found) = find_line(&text, |line| line.contains("fast_app("))?;
    let name = found.split(['=', ',']).next()?.trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| (file.trim_end_matches(".py").replace('/', "."), name.to_owned(), At::line(file, line)))
}

/// uvicorn is there: named, or brought by `fastapi[standard]` or FastHTML.
fn brings_uvicorn(tree: &Tree<'_>) -> bool {
    let project = tree.project.as_ref().map(|project| project.text.as_str()).unwrap_or_default();
    let extra = |text: &str| text.contains("fastapi[standard]") || text.contains("fastapi[all]");
    ["uvicorn", "python-fasthtml", "gradio"].iter().any(|name| tree.dependency(name).is_some())
        || extra(project)
        || tree.required().any(|(_, _, line)| extra(line))
}

fn flask(tree: &Tree<'_>, draft: &mut Draft) {
    let Some((module, name, at)) = application(tree, &["Flask"]) else {
        return flask_factory(tree, draft);
    };
    // A script that listens on every address is meant to be run as it is.
    let file = at.file.clone();
    let serves = |text: &str| text.contains(".run(") && text.contains("0.0.0.0") && text.contains("__main__");
    if tree.dependency("gunicorn").is_none() && tree.files.text(&file).is_some_and(|text| serves(&text)) {
        draft.start(format!("python {}", quote(&file)), "the script runs its application on every address", Some(at));
        draft.warn("the app runs on its framework's development server; add gunicorn to its dependencies");
        return fixed_port(tree, draft, &file);
    }
    with_server(tree, draft, "gunicorn");
    let why = format!("`{name}` of {module} is the application, behind gunicorn");
    draft.start(format!("gunicorn --bind 0.0.0.0:${{PORT:-8000}} {module}:{name}"), why, Some(at));
}

/// `create_app()` makes the application.
fn flask_factory(tree: &Tree<'_>, draft: &mut Draft) {
    let packages = tree.files.names("").into_iter().map(|name| format!("{name}/__init__.py"));
    let found = ENTRIES.iter().map(|&entry| entry.to_owned()).chain(packages).find_map(|file| {
        let text = tree.files.text(&file)?;
        let (line, _) = find_line(&text, |line| line.starts_with("def create_app("))?;
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        Some((module, At::line(file, line)))
    });
    let Some((module, at)) = found else { return script(tree, draft) };
    with_server(tree, draft, "gunicorn");
    draft.start(
        format!("gunicorn --bind 0.0.0.0:${{PORT:-8000}} '{module}:create_app()'"),
        "create_app makes the application",
        Some(at),
    );
}

fn streamlit(tree: &Tree<'_>, draft: &mut Draft) {
    let options = "--server.address 0.0.0.0 --server.port ${PORT:-8501} --server.headless true";
    page(tree, draft, "streamlit run", options);
}

/// A page that its framework's own program runs.
fn page(tree: &Tree<'_>, draft: &mut Draft, program: &str, options: &str) {
    let files = ["streamlit_app.py", "app.py", "main.py", "Home.py", "src/app.py", "src/main.py"];
    let Some(file) = tree.files.first(&files) else { return script(tree, draft) };
    draft.start(format!("{program} {file} {options}"), "the usual name of the page", Some(At::file(file)));
}

/// The agents below the folder, behind the server of the kit (google.github.io/adk-docs).
fn agents(tree: &Tree<'_>, draft: &mut Draft) {
    let agent =
        tree.files.names("").into_iter().map(|name| format!("{name}/agent.py")).find(|file| tree.files.is_file(file));
    match agent {
        Some(file) => draft.start(
            "adk api_server --host 0.0.0.0 --port ${PORT:-8000}",
            "an agent of the kit",
            Some(At::file(file)),
        ),
        None => script(tree, draft),
    }
}

/// A script with a usual name, else one that the project installs, else a package that can be run.
fn script(tree: &Tree<'_>, draft: &mut Draft) {
    if let Some(file) = tree.files.first(SCRIPTS) {
        draft.start(format!("python {file}"), "the usual name of the first script", Some(At::file(file)));
        return fixed_port(tree, draft, file);
    }
    if let Some((name, at)) = installed_script(tree) {
        let package =
            tree.project.as_ref().and_then(|project| project.get(&["tool", "poetry", "package-mode"])?.as_bool());
        if package == Some(false) {
            draft.start(format!("poetry run {name}"), "a script of a project that is no package", Some(at));
        } else {
            super::manager::install_project(draft);
            draft.start(name, "the project installs this script", Some(at));
        }
        return;
    }
    let packages = tree.files.names("");
    let main = |folder: &str, name: &str| {
        tree.files.is_file(&format!("{folder}{name}/__main__.py")).then(|| (folder.to_owned(), name.to_owned()))
    };
    let package = packages
        .iter()
        .find_map(|name| main("", name))
        .or_else(|| tree.files.names("src").iter().find_map(|name| main("src/", name)));
    if let Some((folder, name)) = package.filter(|(_, name)| crate::detect::is_dir_name(name)) {
        let at = At::file(format!("{folder}{name}/__main__.py"));
        if name.contains(['-', '.']) {
            // Not the name of a module: Python runs the folder.
            draft.start(format!("python {folder}{name}"), "the folder can be run", Some(at));
            return;
        }
        let path = if folder.is_empty() { "" } else { "PYTHONPATH=src " };
        draft.start(format!("{path}python -m {name}"), "the package can be run", Some(at));
    }
}

/// The one script of the project's, or the one with its name or a usual one.
fn installed_script(tree: &Tree<'_>) -> Option<(String, At)> {
    let project = tree.project.as_ref()?;
    let own =
        project.str(&["project", "name"]).or_else(|| project.str(&["tool", "poetry", "name"])).unwrap_or_default();
    for path in [&["project", "scripts"][..], &["tool", "poetry", "scripts"]] {
        let Some(scripts) = project.get(path).and_then(|scripts| scripts.as_table()) else { continue };
        let usual = [own, "start", "serve", "server", "web", "app", "main", "run"];
        let name = match scripts.len() {
            1 => scripts.keys().next()?.as_str(),
            _ => usual.into_iter().find(|name| scripts.contains_key(*name))?,
        };
        let mut key = path.to_vec();
        key.push(name);
        return Some((quote(name), project.at(&key)));
    }
    None
}

/// A script that never looks at `PORT` gets the port that it names.
fn fixed_port(tree: &Tree<'_>, draft: &mut Draft, file: &str) {
    let Some(text) = tree.files.text(file) else { return };
    if text.contains("PORT\"") || text.contains("PORT'") {
        return;
    }
    let number = |text: &str| {
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 0)
    };
    let named = lines(&text).find_map(|(line, text)| {
        let squeezed: String = text.split('#').next().unwrap_or_default().split_whitespace().collect();
        let after = squeezed.to_ascii_lowercase().split_once("port=").map(|(_, after)| after.to_owned())?;
        Some((line, number(&after)?))
    });
    if let (Some((line, port)), Some(command)) = (named, draft.plan.start_command.clone()) {
        let at = At::line(file, line);
        draft.recipe.fixed_port = Some(FixedPort { port, at, instead: "os.environ[\"PORT\"]", command });
    }
}
