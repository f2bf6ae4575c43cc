//! Writes apps of twelve shapes as the files of every other platform and a report as SARIF into a folder, for validators that
//! are not ours:
//! `cargo run -p sh0-build --example exports -- FOLDER`.

#[path = "../tests/shapes/mod.rs"]
mod shapes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder")?;
    for (path, text) in shapes::files() {
        let path = std::path::Path::new(&folder).join(path);
        std::fs::create_dir_all(path.parent().ok_or("a path without a folder")?)?;
        std::fs::write(path, text)?;
    }
    let tree = sh0_build::MemoryTree::from([(
        "Dockerfile",
        "FROM node\n# sh0:ignore SEC06 only a name\nARG API_TOKEN=abc123def\nCMD npm start\n",
    )]);
    let report = sh0_build::check_tree(&tree, None, &sh0_build::CheckOptions::default());
    let sarif = serde_json::to_string_pretty(&sh0_build::to_sarif(&report))?;
    std::fs::write(std::path::Path::new(&folder).join("report.sarif"), sarif)?;
    Ok(())
}
