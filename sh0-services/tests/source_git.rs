//! Fetching with the real git program, from bare repositories on disk and over HTTP.

#![cfg(feature = "git")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use sh0_core::Code;
use sh0_core::model::{DeploymentId, Source};
use sh0_core::traits::{Checkout, Fetcher, NoOutput};
use sh0_services::source::{GitProgram, Limits, LocalFetcher};

struct Bench {
    folder: tempfile::TempDir,
    fetcher: LocalFetcher,
}

/// A repository with three commits, two branches and a tag.
impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fetcher = LocalFetcher::open(folder.path().join("home"), Limits::default()).unwrap();
        let bench = Bench { folder, fetcher };
        let work = bench.work();
        fs::create_dir(&work).unwrap();
        bench.git(&["init", "--quiet", "--initial-branch=main"]);
        bench.commit("version", "one", "The first");
        bench.git(&["tag", "--annotate", "-m", "tag", "v1"]);
        bench.commit("version", "two", "The second\n\nwith a body");
        bench.git(&["checkout", "--quiet", "-b", "feature/x"]);
        bench.commit("version", "three", "On a branch");
        bench.git(&["checkout", "--quiet", "main"]);
        bench
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str, message: &str) {
        let path = self.work().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", message]);
    }

    fn source(&self, reference: Option<&str>, root: Option<&str>) -> Source {
        Source::Git {
            url: format!("file://{}", self.work().display()).parse().unwrap(),
            reference: reference.map(|text| text.parse().unwrap()),
            root: root.map(|text| text.parse().unwrap()),
        }
    }

    async fn fetch(&self, source: &Source) -> sh0_core::Result<Checkout> {
        let id: DeploymentId = "01k9zr3v5g8yqk7t2m4n6p8r0s".parse().unwrap();
        self.fetcher.discard(id).await?;
        self.fetcher.fetch(id, source, &NoOutput).await
    }
}

fn version(checkout: &Checkout) -> String {
    fs::read_to_string(checkout.dir.join("version")).unwrap()
}

#[tokio::test]
async fn every_kind_of_reference() {
    let bench = Bench::new();
    let first = bench.git(&["rev-parse", "v1^{commit}"]);
    let second = bench.git(&["rev-parse", "main"]);
    for (reference, text) in [
        (None, "two"),
        (Some("main"), "two"),
        (Some("feature/x"), "three"),
        (Some("refs/heads/feature/x"), "three"),
        (Some("v1"), "one"),
        (Some(first.as_str()), "one"),
        (Some(&first[..8]), "one"),
        (Some(&second[..12]), "two"),
    ] {
        let checkout = bench.fetch(&bench.source(reference, None)).await.unwrap();
        assert_eq!(version(&checkout), text, "{reference:?}");
        assert_eq!(checkout.revision.id.len(), 40);
        assert!(!checkout.dir.join(".git").exists());
    }
    let checkout = bench.fetch(&bench.source(Some("main"), None)).await.unwrap();
    assert_eq!((checkout.revision.id, checkout.revision.message.as_deref()), (second, Some("The second")));
}

#[tokio::test]
async fn a_bare_repository_by_path() {
    let bench = Bench::new();
    let bare = bench.folder.path().join("bare.git");
    bench.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let source = Source::Git { url: bare.to_str().unwrap().parse().unwrap(), reference: None, root: None };
    assert_eq!(version(&bench.fetch(&source).await.unwrap()), "two");
}

#[tokio::test]
async fn a_commit_that_no_reference_names_is_found_or_said_to_be_missing() {
    let bench = Bench::new();
    // The server gives commits by id only when it is told to: without, the whole history is fetched.
    bench.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]);
    let first = bench.git(&["rev-parse", "main~1"]);
    let checkout = bench.fetch(&bench.source(Some(&first), None)).await.unwrap();
    assert_eq!(version(&checkout), "one");
    let error = bench.fetch(&bench.source(Some(&"ab".repeat(20)), None)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let bench = Bench::new();
    let error = bench.fetch(&bench.source(Some("prodution"), None)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.detail().contains("branches there: feature/x, main"), "{error}");
    let error = bench.fetch(&bench.source(Some("deadbeef"), None)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    let error = bench.fetch(&bench.source(None, Some("services/api"))).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    let source = Source::Git { url: "/nowhere/at/all.git".parse().unwrap(), reference: None, root: None };
    let error = bench.fetch(&source).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    let source = Source::Git { url: "http://127.0.0.1:1/x.git".parse().unwrap(), reference: None, root: None };
    let error = bench.fetch(&source).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(fs::read_dir(bench.folder.path().join("home/trees")).unwrap().next().is_none());
}

#[tokio::test]
async fn an_empty_repository_says_so() {
    let bench = Bench::new();
    let empty = bench.folder.path().join("empty");
    bench.git(&["init", "--quiet", "--bare", empty.to_str().unwrap()]);
    let source = Source::Git { url: empty.to_str().unwrap().parse().unwrap(), reference: None, root: None };
    let error = bench.fetch(&source).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.detail().contains("no commits"), "{error}");
}

#[tokio::test]
async fn a_missing_git_names_the_package() {
    let bench = Bench::new();
    let fetcher =
        bench.fetcher.clone().with_git(GitProgram { program: "/nowhere/git".into(), ..GitProgram::default() });
    let id = "01k9zr3v5g8yqk7t2m4n6p8r0s".parse().unwrap();
    let error = fetcher.fetch(id, &bench.source(None, None), &NoOutput).await.unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.detail().contains("apt-get install git"), "{error}");
}

#[tokio::test]
async fn a_subfolder_and_links() {
    let bench = Bench::new();
    bench.commit("services/api/version", "sub", "A subfolder");
    symlink("services/api", bench.work().join("api")).unwrap();
    symlink("/etc", bench.work().join("etc")).unwrap();
    symlink("../../../../../../../etc/passwd", bench.work().join("services/up")).unwrap();
    bench.commit("x", "x", "Links");
    let whole = bench.fetch(&bench.source(None, None)).await.unwrap();
    assert!(fs::symlink_metadata(whole.dir.join("etc")).is_err());
    assert!(fs::symlink_metadata(whole.dir.join("services/up")).is_err());
    assert_eq!(fs::read_to_string(whole.dir.join("api/version")).unwrap(), "sub");
    for root in ["services/api", "api"] {
        assert_eq!(version(&bench.fetch(&bench.source(None, Some(root))).await.unwrap()), "sub");
    }
    let error = bench.fetch(&bench.source(None, Some("version"))).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

/// Nothing that the host or the repository configures is run.
#[tokio::test]
async fn hooks_filters_and_submodules_stay_quiet() {
    let bench = Bench::new();
    let mark = bench.folder.path().join("ran");
    let run = format!("touch {}", mark.display());
    let hook = bench.work().join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\n{run}\n")).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bench.git(&["config", "uploadpack.packObjectsHook", &run]);
    bench.git(&["config", "filter.evil.smudge", &run]);
    bench.commit(".gitattributes", "* filter=evil\n", "Attributes");
    bench.commit(".gitmodules", "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c touch% ran\n", "Modules");
    let _ = fs::remove_file(&mark);
    let checkout = bench.fetch(&bench.source(None, None)).await.unwrap();
    assert_eq!(version(&checkout), "two");
    assert!(!mark.exists(), "something of the repository was run");
}

/// The smart protocol over HTTP: `git http-backend` behind a server of a few lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_and_where_a_password_is_asked_for() {
    let bench = Bench::new();
    let bare = bench.folder.path().join("bare.git");
    bench.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let port = http::serve(bench.folder.path().to_owned()).await;
    let source = |path: &str, reference: Option<&str>| Source::Git {
        url: format!("http://127.0.0.1:{port}/{path}").parse().unwrap(),
        reference: reference.map(|text| text.parse().unwrap()),
        root: None,
    };
    let checkout = bench.fetch(&source("bare.git", Some("feature/x"))).await.unwrap();
    assert_eq!(version(&checkout), "three");
    let first = bench.git(&["rev-parse", "v1^{commit}"]);
    assert_eq!(version(&bench.fetch(&source("bare.git", Some(&first))).await.unwrap()), "one");

    let error = bench.fetch(&source("private/x.git", None)).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden, "{error:?}");
    assert!(error.detail().contains("deploy key"), "{error}");
    let error = bench.fetch(&source("absent.git", None)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
}

mod http {
    use super::*;
    use std::process::Stdio;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Answers until the test's runtime ends.
    pub(super) async fn serve(root: PathBuf) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let root = root.clone();
                tokio::spawn(async move { answer(stream, &root).await });
            }
        });
        port
    }

    /// One request: read whole, handed to the CGI program of git, answered, closed.
    async fn answer(mut stream: TcpStream, root: &Path) -> Option<()> {
        let mut request = Vec::new();
        let head = loop {
            if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8(request[..head].to_vec()).ok()?;
        let header = |name: &str| {
            text.lines()
                .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
                .map(|(_, value)| value.to_owned())
        };
        let length: usize = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while request.len() < head + 4 + length {
            stream.read_buf(&mut request).await.ok()?;
        }
        let mut words = text.split_whitespace();
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.starts_with("/private") {
            let refusal = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(refusal).await.ok();
        }
        let mut child = tokio::process::Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
            .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut input = child.stdin.take()?;
        input.write_all(&request[head + 4..]).await.ok()?;
        drop(input);
        let output = child.wait_with_output().await.ok()?.stdout;
        let text = String::from_utf8_lossy(&output[..output.len().min(2000)]).into_owned();
        let status = text.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
        stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n").as_bytes()).await.ok()?;
        stream.write_all(&output).await.ok()?;
        stream.shutdown().await.ok()
    }
}
