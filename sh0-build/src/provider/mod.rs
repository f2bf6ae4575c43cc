//! One provider a language, one folder each: it knows how trees of its language look, and how they are built and
//! started. Providers are asked in a fixed order; the first that recognises the tree makes the plan.

mod assets;
mod compose;
mod deno;
mod dockerfile;
mod elixir;
mod go;
mod java;
mod node;
mod php;
mod procfile;
mod python;
mod ruby;
mod rust;
mod static_files;

pub(crate) use dockerfile::use_dockerfile;
pub(crate) use procfile::{Procfile, shell_plan};

use sh0_core::Result;

use crate::draft::Draft;
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
    /// finds the member with [`config::root`](crate::config::root).
    fn has_member(&self, _files: Files<'_>, _folder: &str) -> bool {
        false
    }

    /// How the tree is built and started. A tree of its language that says nowhere how it starts has no start command
    /// in its plan: a Procfile or a setting may still say.
    fn plan(&self, files: Files<'_>) -> Result<Draft>;
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
    &elixir::Elixir,
    &deno::Deno,
    &node::Node,
    &static_files::StaticFiles,
];
