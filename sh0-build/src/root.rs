//! Which folder of a tree is the app.
//!
//! Who names it, and what a member of a workspace and any other folder mean, is said once, for users of the crate:
//! [Folders of apps](crate#folders-of-apps). Plan, check and build see what is here.

use sh0_core::model::RelPath;
use sh0_core::{Error, Result};

use crate::config;
use crate::draft::Draft;
use crate::provider::{PROVIDERS, Provider};
use crate::text::At;
use crate::tree::{Files, Kind, Sub, Tree};

/// The folder of the app, where it is not the tree itself.
pub(crate) struct Root<'a> {
    pub(crate) app: AppFolder<'a>,
    /// Where the tree's own file names it, unless somebody asked for it.
    pub(crate) written: Option<At>,
    /// Who plans it together with the workspace around it.
    pub(crate) member_of: Option<&'static dyn Provider>,
}

impl<'a> Root<'a> {
    /// The folder that `asked` names, else the tree's own `sh0.toml`; `None` for the tree itself.
    pub(crate) fn find(files: Files<'a>, asked: Option<&RelPath>) -> Result<Option<Root<'a>>> {
        let written = config::root(files)?;
        let by_file = written.as_ref().map(|(folder, _)| folder.as_str());
        let Some(folder) = asked.map(RelPath::as_str).or(by_file) else { return Ok(None) };
        if !files.is_folder(folder) {
            let field = if asked.is_some() { "root".to_owned() } else { format!("{}: root", config::FILE) };
            return Err(Error::invalid(field, format!("there is no folder `{folder}`"), "name a folder of the tree"));
        }
        let app = AppFolder::new(files, folder, by_file);
        if !app.lends && config::root(Files(&app)).map_err(|error| app.named(error))?.is_some() {
            return Err(Error::invalid(
                format!("{}: root", app.outside(config::FILE)),
                "the file lies in the folder of the app already",
                "remove `root` there, and name the innermost folder once",
            ));
        }
        let language = config::language(Files(&app));
        // Its Dockerfile is used with the workspace around it.
        let language = language.as_deref().filter(|language| *language != "docker");
        let of_language = |provider: &&dyn Provider| language.is_none_or(|language| provider.language() == language);
        let member_of =
            PROVIDERS.iter().copied().filter(of_language).find(|provider| provider.has_member(files, &app.folder));
        let written = written.map(|(_, at)| at).filter(|_| asked.is_none());
        Ok(Some(Root { app, written, member_of }))
    }
}

impl Root<'_> {
    /// Notes who named the folder.
    pub(crate) fn explain(&self, draft: &mut Draft) {
        let what = format!("root = {}", self.app.folder);
        match &self.written {
            Some(at) => draft.because_of(what, "the owner wrote it down", at.clone()),
            None => draft.because(what, "whoever asks says so; `root` in sh0.toml says it for good"),
        }
    }
}

/// The folder of the app as a tree of its own, with the `sh0.toml` that speaks of it.
#[derive(Clone)]
pub(crate) struct AppFolder<'a> {
    top: Files<'a>,
    inside: Sub<'a>,
    pub(crate) folder: String,
    /// The file at the top is the app's.
    pub(crate) lends: bool,
}

impl<'a> AppFolder<'a> {
    /// `written` is what `root` at the top says.
    fn new(top: Files<'a>, folder: &str, written: Option<&str>) -> AppFolder<'a> {
        let lends = written == Some(folder) && !top.is_file(&format!("{folder}/{}", config::FILE));
        AppFolder { top, inside: Sub::new(top, folder), folder: folder.to_owned(), lends }
    }

    /// The folder of a plan that was made before.
    pub(crate) fn of_plan(top: Files<'a>, folder: &str) -> AppFolder<'a> {
        let written = config::root(top).ok().flatten();
        AppFolder::new(top, folder, written.as_ref().map(|(folder, _)| folder.as_str()))
    }

    /// An error of the file that speaks of the folder, with that file's place in the tree.
    pub(crate) fn named(&self, error: Error) -> Error {
        let [field] = error.fields() else { return error };
        match field.field.strip_prefix(config::FILE) {
            Some(rest) => Error::invalid(self.outside(config::FILE) + rest, &*field.reason, &*field.hint),
            None => error,
        }
    }

    /// A path in the folder, as the tree around it names it.
    pub(crate) fn outside(&self, path: &str) -> String {
        if self.is_lent(path) { path.to_owned() } else { below(&self.folder, path) }
    }

    fn is_lent(&self, path: &str) -> bool {
        self.lends && path == config::FILE
    }
}

impl Tree for AppFolder<'_> {
    fn kind(&self, path: &str) -> Option<Kind> {
        if self.is_lent(path) { self.top.0.kind(path) } else { self.inside.kind(path) }
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names = self.inside.names(folder);
        names.extend((self.lends && folder.is_empty()).then(|| config::FILE.to_owned()));
        names
    }

    fn entries(&self, folder: &str) -> Vec<(String, Kind)> {
        let mut entries = self.inside.entries(folder);
        entries.extend((self.lends && folder.is_empty()).then(|| (config::FILE.to_owned(), Kind::File)));
        entries
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        if self.is_lent(path) { self.top.0.bytes(path, limit) } else { self.inside.bytes(path, limit) }
    }
}

/// `path` in the folder of a member, where one was picked.
pub(crate) fn within(member: Option<&str>, path: &str) -> String {
    member.map_or_else(|| path.to_owned(), |folder| below(folder, path))
}

/// `path` in `folder`; `.` is the folder.
pub(crate) fn below(folder: &str, path: &str) -> String {
    if path == "." { folder.to_owned() } else { format!("{folder}/{path}") }
}
