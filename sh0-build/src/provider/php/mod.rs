//! PHP, with Composer or without: Laravel, Symfony, other frameworks, plain scripts. An image serves it with Apache, as
//! `.htaccess` files expect; on a host the server that PHP has built in does.

mod extensions;
mod symfony;

use sh0_core::Result;

use super::{Procfile, Provider, assets};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::recipe::{Borrow, StandIn};
use crate::text::{At, Json};
use crate::tree::Files;

/// Folders that hold what the world may see, before the root itself.
const ROOTS: &[&str] = &["public", "web", "webroot", "pub", "htdocs", "public_html", "www", "html"];

/// What only PHP trees have.
const MANIFESTS: &[&str] = &["composer.json", "index.php", "artisan", "wp-config.php", "wp-load.php"];

/// Programs that bring a server of their own, or none.
const SCRIPTS: &[&str] = &["server.php", "main.php", "app.php", "bot.php", "worker.php", "src/main.php"];

const COMPOSER: &str = "composer install --no-dev --no-interaction --no-progress --prefer-dist --optimize-autoloader";

/// Frameworks, and the packages that bring them.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("laravel", "laravel/framework"),
    ("lumen", "laravel/lumen-framework"),
    ("symfony", "symfony/framework-bundle"),
    ("symfony", "symfony/symfony"),
    ("cakephp", "cakephp/cakephp"),
    ("codeigniter", "codeigniter4/framework"),
    ("yii", "yiisoft/yii2"),
    ("drupal", "drupal/core-recommended"),
    ("drupal", "drupal/core"),
    ("wordpress", "roots/wordpress"),
    ("wordpress", "johnpbloch/wordpress"),
    ("slim", "slim/slim"),
    ("laminas", "laminas/laminas-mvc"),
];

pub(crate) struct Php;

impl Provider for Php {
    fn language(&self) -> &'static str {
        "php"
    }

    fn looks_for(&self) -> &'static str {
        "PHP: composer.json, index.php, artisan, or index.php in public/, web/, htdocs/"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.first(MANIFESTS).is_some() || index(files).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match Json::read(files, "composer.json") {
            Some(Ok(manifest)) if manifest.value.is_object() => Some(manifest),
            Some(Ok(_)) => return refuse("composer.json is not a JSON object; write at least {}"),
            Some(Err(error)) => return refuse(error),
            None => None,
        };
        let mut draft = Draft::default();
        Tree { files, manifest }.plan(&mut draft);
        Ok(draft)
    }
}

/// `index.php` in a folder that is public by its name.
fn index(files: Files<'_>) -> Option<String> {
    ROOTS.iter().map(|root| format!("{root}/index.php")).find(|file| files.is_file(file))
}

/// Composer for what builds: its program comes from its own image.
fn bring_composer(draft: &mut Draft) {
    let recipe = &mut draft.recipe;
    recipe.caches.push(("composer", "/tmp/composer-cache"));
    recipe.build_env.extend([("COMPOSER_ALLOW_SUPERUSER", "1"), ("COMPOSER_CACHE_DIR", "/tmp/composer-cache")]);
    recipe.borrow.push(Borrow {
        base: &images::COMPOSER,
        version: images::COMPOSER.default.to_owned(),
        from: "/usr/bin/composer",
        to: "/usr/local/bin/composer",
    });
    draft.tool("composer", "Composer (Debian: apt-get install composer)");
}

struct Tree<'a> {
    files: Files<'a>,
    manifest: Option<Json>,
}

impl Tree<'_> {
    fn plan(&self, draft: &mut Draft) {
        draft.plan.language = "php".into();
        let mark = self.files.first(MANIFESTS).map(str::to_owned).or_else(|| index(self.files)).unwrap_or_default();
        draft.because_of("language = php", "a file of a PHP app", At::file(mark));
        let version = draft.version(&images::PHP, self.pins());
        if matches!(version.as_str(), "7.4" | "8.0") {
            draft.warn(format!("PHP {version} gets no security fixes any more"));
        }
        draft.tool("php", "PHP (Debian: apt-get install php-cli)");
        let framework = self.framework(draft);

        let installs = self.composer(draft);
        let extensions = extensions::find(self.files, self.manifest.as_ref(), framework, &version, draft);
        if framework == Some("symfony") {
            symfony::settings(self, draft);
        }
        let builds = self.scripts(draft);
        draft.recipe.run = Some((&images::PHP, version.clone()));
        let assets = assets::build_assets(self.files, draft);
        if installs || extensions || builds || assets {
            draft.recipe.build = Some((&images::PHP, version));
        }
        self.optimise(draft, framework, installs);
        self.serve(draft, framework);
        // Committed packages are all there is, where nothing installs them.
        draft.recipe.ignore.extend(installs.then(|| "vendor".into()));
        if framework == Some("laravel") {
            draft.recipe.ignore.extend(["storage/logs/*.log", "bootstrap/cache/*.php"].map(str::to_owned));
        }
    }

    fn pins(&self) -> Vec<Pin> {
        let mut pins = Vec::new();
        pins.extend(version_file(self.files, ".php-version"));
        pins.extend(tool_versions(self.files, &["php"]));
        if let Some(manifest) = &self.manifest {
            for path in [&["config", "platform", "php"][..], &["require", "php"]] {
                if let Some(wanted) = manifest.str(path) {
                    let by = format!("{} of composer.json", path.join("."));
                    // A single `|` is as good as two (getcomposer.org/doc/articles/versions.md).
                    let wanted = wanted.replace("||", "|").replace('|', "||").replace("@stable", "");
                    pins.push(Pin { wanted, by, at: manifest.at(path) });
                }
            }
        }
        pins
    }

    fn required(&self, package: &str) -> Option<At> {
        let manifest = self.manifest.as_ref()?;
        manifest.get(&["require", package])?;
        Some(manifest.at(&["require", package]))
    }

    fn framework(&self, draft: &mut Draft) -> Option<&'static str> {
        let by_package = || FRAMEWORKS.iter().find_map(|(name, package)| Some((*name, self.required(package)?)));
        let by_file = || {
            let file = self.files.first(&["artisan", "wp-load.php", "wp-config.php"])?;
            Some((if file == "artisan" { "laravel" } else { "wordpress" }, At::file(file)))
        };
        let (name, at) = by_package().or_else(by_file)?;
        draft.plan.framework = Some(name.to_owned());
        draft.because_of(format!("framework = {name}"), "its package or its file is there", at);
        Some(name)
    }

    /// Answers whether there is anything to install.
    fn composer(&self, draft: &mut Draft) -> bool {
        let Some(manifest) = &self.manifest else {
            draft.because("install = nothing", "no file names dependencies");
            return false;
        };
        draft.plan.package_manager = Some("composer".into());
        draft.because_of("package_manager = composer", "this is its file", At::file("composer.json"));
        let locked = self.files.is_file("composer.lock");
        // Requirements of the platform alone (`php`, `ext-gd`) bring no package.
        let packages = manifest
            .get(&["require"])
            .and_then(|all| all.as_object())
            .is_some_and(|all| all.keys().any(|name| name.contains('/')));
        if !packages && !locked && manifest.get(&["autoload"]).is_none() {
            draft.because("install = nothing", "composer.json names no package");
            return false;
        }
        let (file, why) = match locked {
            true => ("composer.lock", "installs what is locked, for production"),
            false => ("composer.json", "installs what it asks for, for production"),
        };
        if !locked && packages {
            draft.warn("there is no composer.lock: two builds may take different versions; commit it");
        }
        // Scripts of the app need its source, and the manifests are copied before it.
        let command = format!("{COMPOSER} --no-scripts");
        draft.because_of(format!("install = {command}"), why, At::file(file));
        draft.plan.install.push(command);
        let recipe = &mut draft.recipe;
        recipe.manifests.extend(
            ["composer.json", "composer.lock", "symfony.lock", "auth.json"]
                .iter()
                .filter(|file| self.files.is_file(file))
                .map(|file| (*file).to_owned()),
        );
        let paths = manifest.get(&["repositories"]).is_some_and(|all| all.to_string().contains("\"path\""));
        recipe.install_needs_source |= paths || !locked || self.maps_classes(manifest);
        // What an owner committed of it is source.
        if !self.files.is_folder("vendor") {
            recipe.installed = Some("./vendor/*");
        }
        recipe.build_packages.extend(["git", "unzip"]);
        bring_composer(draft);
        true
    }

    /// The autoloader lists classes or files of the app: they have to be there when it is made.
    fn maps_classes(&self, manifest: &Json) -> bool {
        ["classmap", "files"].iter().any(|kind| manifest.get(&["autoload", kind]).is_some())
    }

    /// What Composer runs behind an install, once the source is there; also `build` of the manifest.
    fn scripts(&self, draft: &mut Draft) -> bool {
        let Some(manifest) = &self.manifest else { return false };
        let mut any = false;
        if !draft.plan.install.is_empty() {
            // The autoloader knows the app's own classes now.
            let scripts = ["post-autoload-dump", "post-install-cmd"];
            let runs = scripts.iter().any(|name| manifest.get(&["scripts", name]).is_some());
            let command = if runs {
                "composer install --no-dev --no-interaction --no-progress --optimize-autoloader"
            } else {
                "composer dump-autoload --no-dev --no-interaction --optimize"
            };
            draft.because(format!("build = {command}"), "the classes of the app, and the scripts behind an install");
            draft.plan.build.push(command.to_owned());
            any = true;
        }
        // Platforms have names of their own for it: Heroku's is `compile`.
        let own = ["build", "compile", "gcp-build"].into_iter().find(|name| manifest.get(&["scripts", name]).is_some());
        if let Some(name) = own {
            if !any {
                bring_composer(draft);
            }
            let command = format!("composer run-script {name}");
            let at = manifest.at(&["scripts", name]);
            draft.because_of(format!("build += {command}"), "composer.json has a script of this name", at);
            draft.plan.build.push(command);
            any = true;
        }
        any
    }

    /// What a framework keeps instead of reading it anew for each request, as far as it does not hold settings: those
    /// are only known to instances.
    fn optimise(&self, draft: &mut Draft, framework: Option<&str>, installs: bool) {
        match framework {
            Some("laravel") if installs => {
                draft.env("APP_ENV", "production");
                draft.env("LOG_CHANNEL", "stderr");
                if self.files.is_file("artisan") {
                    let command = "php artisan view:cache";
                    let folder = self.files.is_folder("resources/views");
                    if folder {
                        draft.because_of(
                            format!("build += {command}"),
                            "templates are compiled once",
                            At::file("artisan"),
                        );
                        draft.plan.build.push(command.into());
                    }
                    // Folders that git does not keep when they are empty.
                    draft.recipe.trim.push(
                        "mkdir -p bootstrap/cache storage/app/public storage/logs storage/framework/cache/data storage/framework/sessions storage/framework/views".into(),
                    );
                    draft.warn("Laravel needs APP_KEY: set it as a secret of the app (`php artisan key:generate --show` makes one)");
                }
            }
            Some("symfony") => symfony::assets(self, draft),
            _ => {}
        }
    }

    /// What a Procfile starts with the servers that Heroku's buildpack brings, and the folder that it names
    /// (devcenter.heroku.com/articles/custom-php-settings).
    fn heroku(&self) -> Option<(String, String)> {
        let procfile = Procfile::read(self.files)?;
        let command = procfile.main()?;
        let mut words = command.split_whitespace();
        let program = words.next()?.trim_start_matches("./").trim_start_matches("vendor/bin/");
        if !matches!(program, "heroku-php-apache2" | "heroku-php-nginx") {
            return None;
        }
        // The options that take a value are `-C FILE`, `-F FILE`, `-i FILE`, `-l FILE`, and the like: one letter each.
        let mut root = "";
        while let Some(word) = words.next() {
            match word.strip_prefix('-') {
                Some(letter) if letter.len() == 1 && !matches!(letter, "v" | "h") => drop(words.next()),
                Some(_) => {}
                None => root = word.trim_start_matches("./").trim_end_matches('/'),
            }
        }
        Some((command.to_owned(), root.to_owned()))
    }

    /// The folder whose files the world may see.
    fn document_root(&self) -> (String, At) {
        if let Some((_, root)) = self.heroku().filter(|(_, root)| is_dir_name(root) && self.files.is_folder(root)) {
            return (root, At::file("Procfile"));
        }
        let has_index = |folder: &str| self.files.is_file(&format!("{folder}/index.php"));
        if let Some(folder) = ROOTS.iter().find(|folder| has_index(folder)) {
            return ((*folder).to_owned(), At::file(format!("{folder}/index.php")));
        }
        if self.files.is_file("index.php") {
            return (".".into(), At::file("index.php"));
        }
        // Some name it (Drupal's `extra.drupal-scaffold`, Symfony's `extra.public-dir`).
        if let Some(manifest) = &self.manifest
            && let Some(dir) = manifest.str(&["extra", "public-dir"])
        {
            let dir = dir.trim_end_matches('/');
            if is_dir_name(dir) {
                return (dir.to_owned(), manifest.at(&["extra", "public-dir"]));
            }
        }
        match ROOTS.iter().find(|folder| self.files.is_folder(folder)) {
            Some(folder) => ((*folder).to_owned(), At::file(*folder)),
            None => (".".into(), At::file("composer.json")),
        }
    }

    /// Whether there is anything to serve; a library has only classes.
    fn has_pages(&self, root: &str) -> bool {
        let pages = self.files.names(if root == "." { "" } else { root });
        pages.iter().any(|name| name.ends_with(".php") || name.ends_with(".html"))
    }

    fn serve(&self, draft: &mut Draft, framework: Option<&str>) {
        let (root, at) = self.document_root();
        if framework.is_none() && !self.has_pages(&root) {
            return;
        }
        let index = ["index.php", "index.html"]
            .map(|file| if root == "." { file.to_owned() } else { format!("{root}/{file}") });
        let script = self.files.first(SCRIPTS).filter(|_| framework.is_none());
        if let Some(file) = script.filter(|_| !index.iter().any(|file| self.files.is_file(file))) {
            draft.start(format!("php {file}"), "the usual name of the first script", Some(At::file(file)));
            return;
        }
        draft.because_of(format!("document root = {root}"), "what lies here is served", at.clone());
        let command = format!(
            "command -v apache2-foreground >/dev/null && exec apache2-foreground; exec php -S 0.0.0.0:$PORT -t {root}"
        );
        draft.recipe.stand_ins.extend(self.heroku().map(|(says, _)| StandIn {
            says,
            runs: command.clone(),
            arguments: None,
            why: "which is a program of another platform",
        }));
        draft.start(command, "Apache in an image; on a host, the server that PHP has built in", Some(at));
        if self.required("laravel/horizon").is_some() && self.files.is_file("config/horizon.php") {
            let at = At::file("config/horizon.php");
            draft.worker("php artisan horizon", "Horizon is required and set up", at);
        }
        draft.env("PHP_CLI_SERVER_WORKERS", "4");
        draft.recipe.before_ship.extend(apache(&root));
    }
}

/// Apache as any user, on `PORT`, with the app's folder. Unknown paths go to the front controller, unless an
/// `.htaccess` says otherwise.
fn apache(root: &str) -> Vec<String> {
    let folder = if root == "." { "/app".to_owned() } else { format!("/app/{root}") };
    let site = [
        "<VirtualHost *:${PORT}>".to_owned(),
        format!("DocumentRoot {folder}"),
        format!("<Directory {folder}>"),
        "AllowOverride All".into(),
        "Require all granted".into(),
        "FallbackResource /index.php".into(),
        "</Directory>".into(),
        // Manifests, version control and settings that lie in the folder that is served.
        "<FilesMatch \"^(\\.(?!well-known)|composer\\.|auth\\.json|package.*\\.json|Procfile|sh0\\.toml)\">".into(),
        "Require all denied".into(),
        "</FilesMatch>".into(),
        "</VirtualHost>".into(),
    ];
    let quoted: Vec<String> = site.iter().map(|line| format!("'{line}'")).collect();
    vec![
        "mv \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"".into(),
        "a2enmod rewrite headers && printf '%s\\n' 'ServerName localhost' 'ServerTokens Prod' 'Listen ${PORT}' > /etc/apache2/ports.conf".into(),
        format!("printf '%s\\n' {} > /etc/apache2/sites-available/000-default.conf", quoted.join(" ")),
    ]
}
