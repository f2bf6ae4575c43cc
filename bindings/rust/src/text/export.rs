//! An export, as it is printed.

use sh0_core::model::{Export, ExportFile};

use super::plain;

/// The platform's own file, as it is; several below their names. What the image is built from is left out.
///
/// ```
/// use sh0::model::{Export, ExportFile, ExportTarget};
///
/// let file = |path: &str, contents: &str| ExportFile { path: path.into(), contents: contents.into() };
/// let files = vec![file("compose.yaml", "name: shop\n"), file("Dockerfile", "FROM scratch\n")];
/// let export = Export { target: ExportTarget::Compose, files, notes: vec!["\u{1b}[31m".into()] };
/// assert_eq!(sh0::text::export(&export, false), "name: shop\n");
/// assert_eq!(sh0::text::export_notes(&export), ["compose.yaml needs Dockerfile beside it", "[31m"]);
/// ```
pub fn export(export: &Export, _colour: bool) -> String {
    let own: Vec<&ExportFile> = export.files.iter().filter(|file| !file.is_build()).collect();
    match own.as_slice() {
        [one] => one.contents.clone(),
        several => several.iter().map(|file| format!("==> {} <==\n{}\n", file.path, file.contents)).collect(),
    }
}

/// What whoever exports should know beside the files: what is needed with them, and notes that none of them carries.
pub fn export_notes(export: &Export) -> Vec<String> {
    let (build, own): (Vec<&ExportFile>, Vec<&ExportFile>) = export.files.iter().partition(|file| file.is_build());
    let names = |files: &[&ExportFile]| files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
    let beside = (!build.is_empty()).then(|| format!("{} needs {} beside it", names(&own), names(&build)));
    let said = |note: &&String| own.iter().any(|file| file.contents.contains(note.as_str()));
    let notes = export.notes.iter().filter(|note| !said(note)).map(|note| plain(note));
    beside.into_iter().chain(notes).collect()
}
