//! The build context: a tree as a tar stream, filtered by `.dockerignore`, held in memory one chunk at a time.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use tokio::sync::mpsc::{self, Sender};

/// Chunks of the stream.
const CHUNK: usize = 64 * 1024;

/// How many chunks wait for the engine.
const AHEAD: usize = 8;

/// What goes to the engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// The tree.
    pub(super) tree: PathBuf,
    /// The text of the `.dockerignore` in force.
    pub(super) ignore: String,
    /// Never left out, whatever `ignore` says.
    pub(super) keep: Option<PathBuf>,
    /// Files with a text of ours: path in the context and text.
    pub(super) texts: Vec<(String, String)>,
    /// Files of this host: path in the context, and the file.
    pub(super) files: Vec<(String, PathBuf)>,
}

impl Context {
    /// Streams it. A file that cannot be read ends the stream with an error that names it.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let errors = sender.clone();
            if let Err(error) = self.write(BufWriter::with_capacity(CHUNK, Chunks(sender))) {
                // Nobody listens any more when the build was cancelled.
                let _ = errors.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
    }

    fn write(self, out: impl Write) -> io::Result<()> {
        let rules = rules(&self.ignore)?;
        let mut tar = tar::Builder::new(out);
        tar.follow_symlinks(false);
        // The engine does not know GNU sparse entries.
        tar.sparse(false);
        self.add_folder(&mut tar, &rules, Path::new(""))?;
        for (path, text) in &self.texts {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append_data(&mut header, path, text.as_bytes())?;
        }
        for (path, file) in &self.files {
            tar.append_path_with_name(file.canonicalize()?, path).map_err(|error| named(error, file))?;
        }
        tar.into_inner()?.flush()
    }

    /// The entries of one folder in the order of their names, so that the same tree is the same stream.
    fn add_folder(&self, tar: &mut tar::Builder<impl Write>, rules: &Gitignore, folder: &Path) -> io::Result<()> {
        let here = self.tree.join(folder);
        let mut names: Vec<_> = std::fs::read_dir(&here)
            .map_err(|error| named(error, &here))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let full = self.tree.join(&path);
            let meta = full.symlink_metadata().map_err(|error| named(error, &full))?;
            let ignored = self.keep.as_ref() != Some(&path)
                && rules.matched_path_or_any_parents(&path, meta.is_dir()).is_ignore();
            if meta.is_dir() {
                if !ignored {
                    tar.append_dir(&path, &full).map_err(|error| named(error, &full))?;
                }
                // An ignored folder may hold what a later `!` brings back.
                if !ignored || self.ignore.contains('!') {
                    self.add_folder(tar, rules, &path)?;
                }
            } else if !ignored && (meta.is_file() || meta.is_symlink()) {
                tar.append_path_with_name(&full, &path).map_err(|error| named(error, &full))?;
            }
        }
        Ok(())
    }
}

/// The patterns of a `.dockerignore`: each is anchored at the root, unlike git's.
fn rules(text: &str) -> io::Result<Gitignore> {
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (not, pattern) = line.strip_prefix('!').map_or(("", line), |pattern| ("!", pattern.trim()));
        let pattern = pattern.trim_start_matches("./").trim_matches('/');
        if !pattern.is_empty() && pattern != "." {
            builder.add_line(None, &format!("{not}/{pattern}")).map_err(io::Error::other)?;
        }
    }
    builder.build().map_err(io::Error::other)
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Chunks(Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn paths(ignore: &str) -> Vec<String> {
        let tree = tempfile::tempdir().unwrap();
        for file in ["a.txt", ".env", "node_modules/x.js", "sub/node_modules/y.js", "sub/keep.md", "sub/drop.md"] {
            let path = tree.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let context = Context {
            tree: tree.path().to_owned(),
            ignore: ignore.to_owned(),
            texts: vec![(".sh0/Dockerfile".into(), "FROM scratch".into())],
            ..Context::default()
        };
        let mut out = Vec::new();
        context.write(&mut out).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let entries =
            archive.entries().unwrap().map(Result::unwrap).filter(|entry| entry.header().entry_type().is_file());
        entries.map(|entry| entry.path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn patterns_are_anchored_and_can_be_taken_back() {
        assert_eq!(
            paths("node_modules\n.env*\n# note\n\nsub/*.md\n!sub/keep.md"),
            ["a.txt", "sub/keep.md", "sub/node_modules/y.js", ".sh0/Dockerfile"]
        );
        assert_eq!(paths("**/node_modules\nsub/*.md\n.env"), ["a.txt", ".sh0/Dockerfile"]);
        assert_eq!(paths("*\n!sub\nsub/node_modules"), ["sub/drop.md", "sub/keep.md", ".sh0/Dockerfile"]);
        assert_eq!(
            paths("**/node_modules\n!**/sub/**/node_modules\n**/*.md\n**/.env"),
            ["a.txt", "sub/node_modules/y.js", ".sh0/Dockerfile"]
        );
    }

    #[tokio::test]
    async fn an_unreadable_tree_is_an_error_of_the_stream() {
        use futures_util::StreamExt;
        let context = Context { tree: "/nowhere/at/all".into(), ..Context::default() };
        let items: Vec<_> = context.stream().collect().await;
        assert!(items.last().unwrap().as_ref().unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
