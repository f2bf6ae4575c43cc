//! What reaches a host: uploads, requests of browsers, and our own processes talking to each other.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use sh0_core::Code;
use sh0_core::model::{DeploymentId, Source, UploadId};
use sh0_core::traits::{Fetcher, NoOutput};
use sh0_services::proxy::{edge, embedded};
use sh0_services::runtime::process;
use sh0_services::source::{Limits, LocalFetcher};
use sh0_services::static_files;
use tempfile::TempDir;

/// Uploaded archives: a tree whose links stay inside, or an error of the caller's that leaves nothing.
pub fn archive(data: &[u8]) {
    static HOME: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    static FETCHER: LazyLock<LocalFetcher> = LazyLock::new(|| {
        let limits = Limits { tree_bytes: 1 << 16, tree_entries: 32, upload_bytes: 1 << 14, ..Limits::default() };
        LocalFetcher::open(HOME.path(), limits).unwrap()
    });
    let mut data = data.to_vec();
    sum_headers(&mut data);
    let upload: UploadId = crate::ID.parse().unwrap();
    let deployment: DeploymentId = crate::ID.parse().unwrap();
    let chunks = stream::iter(data.chunks(700).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>());
    crate::run(async {
        if let Err(error) = FETCHER.receive(upload, chunks.boxed()).await {
            assert!(matches!(error.code(), Code::Invalid | Code::TooLarge), "{error:?}");
            assert_eq!(fs::read_dir(HOME.path().join("uploads")).unwrap().count(), 0);
            return;
        }
        match FETCHER.fetch(deployment, &Source::Upload { upload }, &NoOutput).await {
            Ok(checkout) => {
                let mut entries = 0;
                harmless(&checkout.dir, &checkout.dir.canonicalize().unwrap(), &mut entries);
                assert!(entries <= 32, "{entries} entries");
                FETCHER.discard(deployment).await.unwrap();
            }
            Err(error) => assert!(matches!(error.code(), Code::Invalid | Code::TooLarge), "{error:?}"),
        }
        fs::remove_file(HOME.path().join("uploads").join(upload.to_string())).unwrap();
        let left: Vec<_> = fs::read_dir(HOME.path().join("trees")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

/// Makes the checksums of a tar archive's headers right: no mutation would ever find one.
fn sum_headers(data: &mut [u8]) {
    if data.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let mut at = 0;
    while let Some(block) = data.get_mut(at..at + 512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let digits: Vec<u8> = block[124..136].iter().copied().filter(|byte| (b'0'..=b'7').contains(byte)).collect();
        let size = digits.iter().fold(0_usize, |size, digit| (size << 3) | usize::from(digit - b'0')).min(1 << 20);
        at += 512 + size.next_multiple_of(512);
    }
}

fn harmless(folder: &Path, root: &Path, entries: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        *entries += 1;
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{}", path.display());
        assert_ne!(path.file_name().unwrap(), ".git");
        if kind.is_dir() {
            harmless(&path, root, entries);
        } else if kind.is_symlink()
            && let Ok(real) = path.canonicalize()
        {
            assert!(real.starts_with(root), "{} leads to {}", path.display(), real.display());
        }
    }
}

/// The head of a request, a line each for target and headers: which host it is for, which file, which part of it.
pub fn request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let target = lines.next().unwrap_or_default();
    let mut request = Request::builder().uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name == "range" {
            for length in [0, 1, 10, u64::MAX] {
                let part = static_files::fuzz::range(value, length);
                assert!(part.is_none_or(|(from, count)| from.checked_add(count).is_some_and(|end| end <= length)));
            }
        }
        request = request.header(name, value);
    }
    if let Some(segments) = static_files::fuzz::path(target) {
        let names_a_place =
            |part: &String| !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\0']);
        assert!(segments.iter().all(names_a_place), "{segments:?}");
        let to = static_files::fuzz::redirect(&segments);
        assert!(!to.starts_with("//"), "{to} is on another host");
        assert_eq!(static_files::fuzz::path(&to), Some(segments));
    }
    let Ok(request) = request.body(()) else { return };
    if let Some(host) = embedded::fuzz::host(&request.into_parts().0) {
        let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.' | '_' | ':');
        assert!(!host.is_empty() && host.chars().all(fits), "{host:?}");
    }
}

/// A websocket: what has gone by does not depend on the cuts, and neither do the ends of frames.
pub fn websocket(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    let state = embedded::fuzz::websocket([whole]);
    assert_eq!(state, embedded::fuzz::websocket(chunks));
    let frames = embedded::fuzz::websocket_frames(whole);
    assert!(frames.iter().all(|frame| !frame.is_empty()));
    assert_eq!(frames.concat(), whole);
    if let Some((last, before)) = frames.split_last() {
        assert!(before.iter().all(|frame| embedded::fuzz::websocket([*frame]).0));
        assert_eq!(embedded::fuzz::websocket([*last]).0, state.0);
    }
}

/// Control plane and edge: a message is what it was after it was sent again.
pub fn edge(data: &[u8]) {
    crate::run(async {
        if let Ok(sent) = edge::fuzz::requests(data).await {
            assert_eq!(edge::fuzz::requests(&sent).await.unwrap(), sent);
        }
        if let Ok(sent) = edge::fuzz::answers(data).await {
            assert_eq!(edge::fuzz::answers(&sent).await.unwrap(), sent);
        }
    });
}

/// A shim and the control plane: any bytes, and any output.
pub fn session(data: &[u8]) {
    crate::run(async {
        let (output, _) = process::fuzz::session(data).await;
        assert!(output.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= data.len());
        let (output, end) = process::fuzz::session(&process::fuzz::stdout(data)[..]).await;
        assert!(end.is_err(), "it says nothing of an exit");
        assert_eq!(output.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [data]);
    });
}
