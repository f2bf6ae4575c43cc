//! How a Python app is started.

use super::{ENTRIES, Tree, VENV_PYTHON};
use crate::draft::{Draft, FixedPort};
use crate::text::{At, find_line, lines};

pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft) {
    let framework = [
        ("django", "django"),
        ("fastapi", "fastapi"),
        ("flask", "flask"),
        ("fasthtml", "python-fasthtml"),
        ("starlette", "starlette"),
        ("streamlit", "streamlit"),
        ("gradio", "gradio"),
    ]
    .into_iter()
    .find_map(|(name, package)| Some((name, tree.dependency(package)?)));
    if let Some((name, at)) = &framework {
        draft.plan.framework = Some((*name).to_owned());
        draft.because_of(format!("framework = {name}"), "it is among the dependencies", at.clone());
    }
    match framework.map(|(name, _)| name) {
        Some("django") => django(tree, draft),
        Some("fastapi" | "fasthtml" | "starlette") => asgi(tree, draft),
        Some("flask") => flask(tree, draft),
        Some("streamlit") => streamlit(tree, draft),
        _ => script(tree, draft),
    }
}

/// The project's WSGI or ASGI application, as its settings name it.
fn django(tree: &Tree<'_>, draft: &mut Draft) {
    let Some((module, at)) = django_application(tree) else {
        if tree.files.is_file("manage.py") {
            development(
                draft,
                format!("{VENV_PYTHON} manage.py runserver --noreload 0.0.0.0:$PORT"),
                At::file("manage.py"),
            );
        } else {
            script(tree, draft);
        }
        return;
    };
    if tree.dependency("gunicorn").is_some() {
        draft.start(
            format!("{VENV_PYTHON} -m gunicorn --bind 0.0.0.0:$PORT {module}.wsgi:application"),
            "gunicorn is among the dependencies; the project's package has a wsgi.py",
            Some(at),
        );
    } else if tree.dependency("uvicorn").is_some() {
        draft.start(
            format!("{VENV_PYTHON} -m uvicorn --host 0.0.0.0 --port $PORT {module}.asgi:application"),
            "uvicorn is among the dependencies; the project's package has an asgi.py",
            Some(at),
        );
    } else {
        development(draft, format!("{VENV_PYTHON} manage.py runserver --noreload 0.0.0.0:$PORT"), at);
    }
    collect_static(tree, draft, &module);
}

fn django_application(tree: &Tree<'_>) -> Option<(String, At)> {
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
    let file = format!("{module}/settings.py");
    let root = tree
        .files
        .text(&file)
        .and_then(|text| find_line(&text, |line| line.starts_with("STATIC_ROOT")).map(|(line, _)| line));
    if let (Some(line), Some(_)) = (root, tree.dependency("whitenoise")) {
        let command = format!("{VENV_PYTHON} manage.py collectstatic --noinput");
        draft.because_of(
            format!("build = {command}"),
            "STATIC_ROOT is set and WhiteNoise serves it",
            At::line(file, line),
        );
        draft.plan.build.push(command);
    }
}

fn development(draft: &mut Draft, command: String, at: At) {
    draft.start(
        command,
        "the framework's development server, as no production server is among the dependencies",
        Some(at),
    );
    draft.warn("the app runs on its framework's development server; add gunicorn (or uvicorn) to its dependencies");
}

/// An object made of `class`, in one of the usual files: module, name, place.
fn application(tree: &Tree<'_>, classes: &[&str]) -> Option<(String, String, At)> {
    let packages = tree.files.names("").into_iter().filter(|name| tree.files.is_file(&format!("{name}/__init__.py")));
    let inside =
        packages.flat_map(|name| [format!("{name}/main.py"), format!("{name}/app.py"), format!("{name}/__init__.py")]);
    ENTRIES.iter().map(|&entry| entry.to_owned()).chain(inside).find_map(|file| {
        let text = tree.files.text(&file)?;
        let (line, name) = lines(&text).find_map(|(number, line)| {
            let (name, value) = line.split_once('=')?;
            // `app: FastAPI = FastAPI()`
            let name = name.split(':').next().unwrap_or_default();
            let value = value.trim_start();
            let made = classes.iter().any(|class| {
                let value = value.strip_prefix(&format!("{}.", class.to_ascii_lowercase())).unwrap_or(value);
                value.strip_prefix(class).is_some_and(|rest| rest.starts_with('('))
            });
            // Only a name of the module itself: one inside a function is indented.
            let plain = !name.is_empty() && name.trim_end().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (made && plain).then(|| (number, name.trim().to_owned()))
        })?;
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        Some((module, name, At::line(file, line)))
    })
}

fn asgi(tree: &Tree<'_>, draft: &mut Draft) {
    let Some((module, name, at)) = application(tree, &["FastAPI", "FastHTML", "Starlette"]) else {
        return script(tree, draft);
    };
    let why = format!("`{name}` of {module} is the application");
    // FastHTML needs uvicorn itself.
    let brought = fastapi_standard(tree) || tree.dependency("python-fasthtml").is_some();
    if tree.dependency("uvicorn").is_some() || brought {
        draft.start(format!("{VENV_PYTHON} -m uvicorn --host 0.0.0.0 --port $PORT {module}:{name}"), why, Some(at));
    } else if tree.dependency("hypercorn").is_some() {
        draft.start(format!("{VENV_PYTHON} -m hypercorn --bind 0.0.0.0:$PORT {module}:{name}"), why, Some(at));
    } else {
        draft.warn("no ASGI server is among the dependencies; add uvicorn");
        script(tree, draft);
    }
}

/// `fastapi[standard]` brings uvicorn.
fn fastapi_standard(tree: &Tree<'_>) -> bool {
    let project = tree.project.as_ref().map(|project| project.text.as_str()).unwrap_or_default();
    [tree.requirements.as_str(), project]
        .iter()
        .any(|text| text.contains("fastapi[standard]") || text.contains("fastapi[all]"))
}

fn flask(tree: &Tree<'_>, draft: &mut Draft) {
    let Some((module, name, at)) = application(tree, &["Flask"]) else {
        return flask_factory(tree, draft);
    };
    if tree.dependency("gunicorn").is_some() {
        let why = format!("gunicorn is among the dependencies; `{name}` of {module} is the application");
        draft.start(format!("{VENV_PYTHON} -m gunicorn --bind 0.0.0.0:$PORT {module}:{name}"), why, Some(at));
    } else {
        development(draft, format!("{VENV_PYTHON} -m flask --app {module}:{name} run --host 0.0.0.0 --port $PORT"), at);
    }
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
    if tree.dependency("gunicorn").is_some() {
        draft.start(
            format!("{VENV_PYTHON} -m gunicorn --bind 0.0.0.0:$PORT '{module}:create_app()'"),
            "create_app makes the application",
            Some(at),
        );
    } else {
        development(draft, format!("{VENV_PYTHON} -m flask --app {module} run --host 0.0.0.0 --port $PORT"), at);
    }
}

fn streamlit(tree: &Tree<'_>, draft: &mut Draft) {
    let files = ["streamlit_app.py", "app.py", "main.py", "src/app.py"];
    let Some(file) = tree.files.first(&files) else { return script(tree, draft) };
    let command = format!(
        "{VENV_PYTHON} -m streamlit run {file} --server.address 0.0.0.0 --server.port $PORT --server.headless true"
    );
    draft.start(command, "the usual name of a Streamlit page", Some(At::file(file)));
}

/// A script with a usual name, run as it is.
fn script(tree: &Tree<'_>, draft: &mut Draft) {
    let python = if draft.plan.install.is_empty() { "python3" } else { VENV_PYTHON };
    let Some(file) = tree.files.first(&ENTRIES[..12]) else {
        let package = tree.files.names("").into_iter().find(|name| tree.files.is_file(&format!("{name}/__main__.py")));
        if let Some(package) = package.filter(|name| crate::detect::is_dir_name(name)) {
            let at = At::file(format!("{package}/__main__.py"));
            draft.start(format!("{python} -m {package}"), "the package can be run", Some(at));
        }
        return;
    };
    draft.start(format!("{python} {file}"), "the usual name of the first script", Some(At::file(file)));
    fixed_port(tree, draft, file);
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
