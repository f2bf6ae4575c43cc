//! C and C++: a program, by CMake or Meson.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::dockerignore::run_time_entries;
use crate::draft::Draft;
use crate::images;
use crate::text::{At, line_at};
use crate::tree::Files;

pub(crate) struct Cpp;

impl Provider for Cpp {
    fn language(&self) -> &'static str {
        "cpp"
    }

    fn looks_for(&self) -> &'static str {
        "C and C++: CMakeLists.txt, meson.build"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.first(&["CMakeLists.txt", "meson.build"]).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let file = files.first(&["CMakeLists.txt", "meson.build"]).unwrap_or("CMakeLists.txt");
        let cmake = file == "CMakeLists.txt";
        let mut draft = found("cpp", Some(if cmake { "cmake" } else { "meson" }), file);
        let commands: &[&str] = if cmake {
            draft.tool("cmake", "CMake and a compiler (Debian: apt-get install cmake ninja-build g++)");
            &["cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release", "cmake --build build"]
        } else {
            draft.tool("meson", "Meson and a compiler (Debian: apt-get install meson g++)");
            &["meson setup build --buildtype=release", "meson compile -C build"]
        };
        draft.because_of(
            format!("build = {}", commands.join(" && ")),
            "makes the program in a folder of its own",
            At::file(file),
        );
        draft.plan.build.extend(commands.iter().map(|command| (*command).to_owned()));
        draft.recipe.build_packages.extend([
            "ca-certificates",
            "git",
            "g++",
            "pkg-config",
            "ninja-build",
            if cmake { "cmake" } else { "meson" },
        ]);
        let text = files.text(file).unwrap_or_default();
        if let Some((name, line)) = program(&text, if cmake { "add_executable(" } else { "executable(" }) {
            let source = |entry: &str| {
                matches!(
                    entry,
                    "src" | "include" | "tests" | "build" | "CMakeLists.txt" | "meson.build" | "cmake" | "subprojects"
                ) || [".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"].iter().any(|end| entry.ends_with(end))
            };
            draft.recipe.ship = run_time_entries(files, &format!("build/{name}"), source);
            draft.start(format!("./build/{name}"), "the program that the build makes", Some(At::line(file, line)));
        }
        draft.recipe.packages.push("libstdc++6");
        draft.recipe.build = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.ignore.push("build".into());
        Ok(draft)
    }
}

/// The first argument behind a word; `${PROJECT_NAME}` is the project's.
fn program(text: &str, word: &str) -> Option<(String, u32)> {
    let argument = |word: &str| {
        let start = text.find(word)? + word.len();
        let name = text.get(start..)?.trim_start().trim_start_matches(['\'', '"']);
        let end = name.find(|c: char| c.is_whitespace() || matches!(c, ')' | ',' | '\'' | '"')).unwrap_or(name.len());
        Some((name[..end].to_owned(), line_at(text, start)))
    };
    let (name, line) = argument(word)?;
    let name = if name.contains("PROJECT_NAME") { argument("project(")?.0 } else { name };
    is_dir_name(&name).then_some((name, line))
}
