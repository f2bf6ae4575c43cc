//! Exports, written to a folder of this machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use sh0_core::model::{Export, ExportFile, RelPath};
use sh0_core::{Error, Result};

/// Writes the files of an export, and answers where they are. `to` is a folder; or a file, where it ends in `.yaml`, `.yml`,
/// `.json` or `.toml` and is no folder: the platform's own file is called so then, and what it is built from lies beside it.
/// A file that is there already and says something else is overwritten only with `force`; without, nothing at all is written.
///
/// ```
/// # use sh0::model::{Export, ExportFile, ExportTarget};
/// # fn main() -> sh0::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let file = ExportFile { path: "compose.yaml".into(), contents: "name: shop\n".into() };
/// # let export = Export { target: ExportTarget::Compose, files: vec![file], notes: vec![] };
/// let written = sh0::export::write(&export, &folder.path().join("deploy"), false)?;
/// assert!(written[0].ends_with("deploy/compose.yaml"));
/// let named = sh0::export::write(&export, &folder.path().join("shop.yaml"), false)?;
/// assert!(named[0].ends_with("shop.yaml"));
/// # Ok(())
/// # }
/// ```
pub fn write(export: &Export, to: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let places = places(export, to)?;
    let differs = |(path, file): &&(PathBuf, &ExportFile)| {
        path.symlink_metadata().is_ok() && fs::read(path).ok().as_deref() != Some(file.contents.as_bytes())
    };
    let there: Vec<String> = places.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    if !(force || there.is_empty()) {
        let text = format!("{} is there already; choose another place, or --force to overwrite it", there.join(", "));
        return Err(Error::conflict(text));
    }
    for (path, file) in &places {
        let cannot = |error| Error::from(error).context(format!("{} cannot be written", path.display()));
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(path, &file.contents))
            .map_err(cannot)?;
    }
    Ok(places.into_iter().map(|(path, _)| path).collect())
}

/// Where each file goes.
fn places<'a>(export: &'a Export, to: &Path) -> Result<Vec<(PathBuf, &'a ExportFile)>> {
    // A dot alone makes no file: `releases/v1.2` is a folder.
    let named = to.extension().is_some_and(|end| ["yaml", "yml", "json", "toml"].iter().any(|known| end == *known));
    let folder = to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/") || !named;
    let own: Vec<&str> = export.files.iter().filter(|file| !file.is_build()).map(|file| file.path.as_str()).collect();
    if !folder && own.len() > 1 {
        let text = format!("names one file, and there are several: {}", own.join(", "));
        return Err(Error::invalid("output", text, "name a folder"));
    }
    let base = if folder { to } else { to.parent().unwrap_or(Path::new("")) };
    let place = |file: &'a ExportFile| {
        // A server is not trusted with places outside of the folder.
        let path: RelPath = file.path.parse()?;
        let name =
            if folder || file.is_build() { OsStr::new(path.as_str()) } else { to.file_name().unwrap_or_default() };
        Ok((base.join(name), file))
    };
    export.files.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use sh0_core::Code;
    use sh0_core::model::ExportTarget;

    use super::*;

    fn export(paths: &[&str]) -> Export {
        let file = |path: &&str| ExportFile { path: (*path).to_owned(), contents: format!("{path}\n") };
        Export { target: ExportTarget::Compose, files: paths.iter().map(file).collect(), notes: Vec::new() }
    }

    #[test]
    fn nothing_is_overwritten_unless_forced() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let made = export(&["compose.yaml", "Dockerfile"]);
        write(&made, folder.path(), false)?;
        // What says the same already is nobody's loss.
        write(&made, folder.path(), false)?;
        fs::write(folder.path().join("Dockerfile"), "mine")?;
        fs::remove_file(folder.path().join("compose.yaml"))?;
        let error = write(&made, folder.path(), false).err();
        assert!(
            error.is_some_and(|error| error.code() == Code::Conflict && error.detail().contains("Dockerfile is there"))
        );
        assert!(!folder.path().join("compose.yaml").exists(), "all or nothing");
        assert_eq!(fs::read_to_string(folder.path().join("Dockerfile"))?, "mine");
        write(&made, folder.path(), true)?;
        assert_eq!(fs::read_to_string(folder.path().join("Dockerfile"))?, "Dockerfile\n");
        Ok(())
    }

    #[test]
    fn a_name_is_for_one_file_and_its_build_lies_beside_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let to = folder.path().join("deploy/shop.yaml");
        let written = write(&export(&["compose.yaml", "Dockerfile"]), &to, false)?;
        assert_eq!(written, [to.clone(), folder.path().join("deploy/Dockerfile")]);
        let version = folder.path().join("releases/v1.2");
        assert_eq!(write(&export(&["compose.yaml"]), &version, false)?, [version.join("compose.yaml")]);
        let several = write(&export(&["ecs/web.yaml", "ecs/worker.yaml"]), &folder.path().join("x.yaml"), false);
        assert!(several.is_err_and(|error| error.detail().contains("ecs/worker.yaml")));
        Ok(())
    }

    #[test]
    fn no_file_leaves_its_folder() -> Result<()> {
        let folder = tempfile::tempdir()?;
        for path in ["../x", "/etc/x", "a/../../x", ""] {
            assert!(write(&export(&[path]), &folder.path().join("in"), true).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
