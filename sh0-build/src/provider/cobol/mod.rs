//! COBOL: a program, by GnuCOBOL.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::{Draft, refuse};
use crate::images;
use crate::text::At;
use crate::tree::Files;

pub(crate) struct Cobol;

impl Provider for Cobol {
    fn language(&self) -> &'static str {
        "cobol"
    }

    fn looks_for(&self) -> &'static str {
        "COBOL: *.cbl"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        !sources(files).is_empty()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let sources = sources(files);
        let first = ["index", "main", "app"].iter().find_map(|name| {
            sources.iter().find(|path| path.ends_with(&format!("{name}.cbl")) || path.ends_with(&format!("{name}.cob")))
        });
        let Some(source) = first.or(sources.first()) else { return refuse("there is no source of COBOL") };
        let mut draft = found("cobol", None, source);
        let name = source.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or("main").to_owned();
        draft.tool("cobc", "GnuCOBOL (Debian: apt-get install gnucobol)");
        let command = format!("cobc -x -o {name} {source}");
        draft.because_of(format!("build = {command}"), "the first program", At::file(source.as_str()));
        draft.plan.build.push(command);
        draft.start(format!("./{name}"), "the program that the build makes", Some(At::file(source.as_str())));
        draft.recipe.build_packages.push("gnucobol");
        draft.recipe.packages.push("libcob4");
        draft.recipe.build = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        Ok(draft)
    }
}

fn sources(files: Files<'_>) -> Vec<String> {
    let is_source = |path: &String| (path.ends_with(".cbl") || path.ends_with(".cob")) && is_dir_name(path);
    let below = files.names("src").into_iter().map(|name| format!("src/{name}"));
    files.names("").into_iter().chain(below).filter(is_source).collect()
}
