//! One provider a language, one folder each: it knows how trees of its language look, and how they are built and
//! started. Providers are asked in a fixed order; the first that recognises the tree makes the plan.

mod assets;
mod clojure;
mod cobol;
mod compose;
mod cpp;
mod crystal;
mod dart;
mod deno;
mod dockerfile;
mod dotnet;
mod elixir;
mod gleam;
mod go;
mod haskell;
mod java;
mod listens;
mod node;
mod php;
mod procfile;
mod python;
mod ruby;
mod rust;
mod static_files;
mod swift;
mod zig;

pub(crate) use compose::passed_over;
pub(crate) use dockerfile::use_dockerfile;
pub(crate) use node::{DevOnly, keep_needed, members, several};
pub(crate) use procfile::{Procfile, shell_plan};

use sh0_core::Result;

use crate::draft::Draft;
use crate::text::At;
use crate::tree::Files;

/// What knows a language.
pub(crate) trait Provider: Sync {
    /// The language, as plans name it.
    fn language(&self) -> &'static str;

    /// The files it looks for, in words.
    fn looks_for(&self) -> &'static str;

    /// Whether the tree is one of its own.
    fn recognises(&self, files: Files<'_>) -> bool;

    /// Whether `folder` is a member of a workspace of this tree: it is built from the root then, by this provider, which
    /// finds the member with [`Tree::picked`](crate::tree::Tree::picked).
    fn has_member(&self, _files: Files<'_>, _folder: &str) -> bool {
        false
    }

    /// How the tree is built and started. A tree of its language that says nowhere how it starts has no start command
    /// in its plan: a Procfile or a setting may still say.
    fn plan(&self, files: Files<'_>) -> Result<Draft>;
}

/// A draft that knows what it is about, by this file.
fn found(language: &str, manager: Option<&str>, mark: &str) -> Draft {
    let mut draft = Draft::default();
    draft.plan.language = language.to_owned();
    draft.plan.package_manager = manager.map(str::to_owned);
    draft.because_of(format!("language = {language}"), "this is its file", At::file(mark));
    draft
}

/// In the order in which they are asked. A Go, Rust or Python server often carries a `package.json` for its assets,
/// hardly ever the other way round; a folder of static files may lie in any of them.
pub(crate) const PROVIDERS: &[&dyn Provider] = &[
    &compose::Compose,
    &go::Go,
    &rust::Rust,
    &python::Python,
    &php::Php,
    &ruby::Ruby,
    &java::Java,
    &dotnet::Dotnet,
    &elixir::Elixir,
    &deno::Deno,
    &gleam::Gleam,
    &swift::Swift,
    &crystal::Crystal,
    &clojure::Clojure,
    &haskell::Haskell,
    &zig::Zig,
    &dart::Dart,
    &node::Node,
    &cpp::Cpp,
    &cobol::Cobol,
    &static_files::StaticFiles,
];
