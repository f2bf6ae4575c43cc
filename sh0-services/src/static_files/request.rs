//! From a request to a file: paths, conditions, ranges.

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{Method, Request, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use super::answer::{self, Body};

/// A folder that is served.
pub(super) struct Site {
    /// Without symlinks in it.
    pub(super) root: PathBuf,
    pub(super) spa: bool,
}

/// A file that answers a request.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) kind: &'static str,
    pub(super) encoding: Option<&'static str>,
    /// There are other encodings of it.
    pub(super) varies: bool,
    pub(super) tag: String,
    pub(super) modified: String,
}

/// What a path leads to.
pub(super) enum Outcome {
    File(Found),
    /// A folder without its slash.
    Redirect(String),
    /// The site's own page for it, when it has one.
    Missing(Option<Found>),
}

impl Site {
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer::method_not_allowed();
        }
        let head = request.method() == Method::HEAD;
        let Some(segments) = segments(request.uri().path()) else { return answer::missing(None, head).await };
        let accepted = Accepted::of(request.headers());
        let (root, spa, query) = (self.root.clone(), self.spa, request.uri().query().map(str::to_owned));
        let slash = request.uri().path().ends_with('/');
        let found =
            tokio::task::spawn_blocking(move || look_up(&root, &segments, slash, query.as_deref(), spa, accepted))
                .await;
        match found {
            Ok(Outcome::File(found)) => {
                let want = want(request.headers(), &found);
                answer::file(found, want, head).await
            }
            Ok(Outcome::Redirect(to)) => answer::redirect(&to),
            Ok(Outcome::Missing(page)) => answer::missing(page, head).await,
            Err(_) => answer::missing(None, head).await,
        }
    }
}

/// The decoded parts of a path; `None` for one that names nothing that may be served.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    for (place, raw) in path.split('/').filter(|raw| !raw.is_empty()).enumerate() {
        let segment = decode(raw)?;
        let hidden = segment.starts_with('.') && !(place == 0 && segment == ".well-known");
        if hidden || segment.contains(['/', '\0']) {
            return None;
        }
        segments.push(segment);
    }
    Some(segments)
}

/// Percent-decoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn look_up(
    root: &Path,
    segments: &[String],
    slash: bool,
    query: Option<&str>,
    spa: bool,
    accepted: Accepted,
) -> Outcome {
    let path = segments.iter().fold(root.to_owned(), |path, segment| path.join(segment));
    let is_dir = inside(root, &path).is_some_and(|path| path.is_dir());
    let found = match (is_dir, slash || segments.is_empty()) {
        (true, true) => open(root, &path.join("index.html"), accepted),
        (true, false) if inside(root, &path.join("index.html")).is_some() => {
            return Outcome::Redirect(with_slash(segments, query));
        }
        (true, false) => page(root, &path, accepted),
        (false, true) => None,
        (false, false) => open(root, &path, accepted).or_else(|| page(root, &path, accepted)),
    };
    let looks_like_page = segments.last().is_none_or(|last| !last.contains('.'));
    let fallback = || (spa && looks_like_page).then(|| open(root, &root.join("index.html"), accepted)).flatten();
    match found.or_else(fallback) {
        Some(found) => Outcome::File(found),
        None => Outcome::Missing(open(root, &root.join("404.html"), Accepted::default())),
    }
}

/// `about` is `about.html`.
fn page(root: &Path, path: &Path, accepted: Accepted) -> Option<Found> {
    let mut name = path.file_name()?.to_owned();
    name.push(".html");
    open(root, &path.with_file_name(name), accepted)
}

/// Built from the decoded parts, so that it never starts with two slashes, which would name another host.
pub(super) fn with_slash(segments: &[String], query: Option<&str>) -> String {
    let mut to = String::from("/");
    for segment in segments {
        for byte in segment.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => to.push(char::from(byte)),
                byte => to.push_str(&format!("%{byte:02X}")),
            }
        }
        to.push('/');
    }
    query.map_or(to.clone(), |query| format!("{to}?{query}"))
}

/// The real path of something that exists, when that lies in the folder.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().filter(|real| real.starts_with(root))
}

fn open(root: &Path, path: &Path, accepted: Accepted) -> Option<Found> {
    let (plain, meta) = open_file(root, path)?;
    let kind = answer::content_type(path);
    let sibling = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        open_file(root, Path::new(&name))
    };
    let (br, gzip) = (sibling(".br"), sibling(".gz"));
    let varies = br.is_some() || gzip.is_some();
    let better = br.filter(|_| accepted.br).map(|found| (found, "br"));
    let better = better.or_else(|| gzip.filter(|_| accepted.gzip).map(|found| (found, "gzip")));
    let (file, meta, encoding) = match better {
        Some(((file, meta), encoding)) => (file, meta, Some(encoding)),
        None => (plain, meta, None),
    };
    let modified = meta.modified().unwrap_or(UNIX_EPOCH);
    let nanos = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let tag = format!("\"{nanos:x}-{:x}{}\"", meta.len(), encoding.unwrap_or_default());
    Some(Found { file, length: meta.len(), kind, encoding, varies, tag, modified: http_date(modified)? })
}

fn open_file(root: &Path, path: &Path) -> Option<(File, Metadata)> {
    let real = inside(root, path)?;
    // Looked at before it is opened: opening a pipe would wait.
    if !real.is_file() {
        return None;
    }
    let file = File::open(real).ok()?;
    let meta = file.metadata().ok()?;
    meta.is_file().then_some((file, meta))
}

fn http_date(time: SystemTime) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::try_from(time).ok()?).ok()
}

/// Encodings that the client takes (RFC 9110 section 12.5.3). A range is of the file itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Accepted {
    br: bool,
    gzip: bool,
}

impl Accepted {
    fn of(headers: &HeaderMap) -> Accepted {
        let mut accepted = Accepted::default();
        if headers.contains_key(RANGE) {
            return accepted;
        }
        for item in
            headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
        {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let refused = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0));
            match name.trim().to_ascii_lowercase().as_str() {
                "br" => accepted.br = !refused,
                "gzip" | "x-gzip" => accepted.gzip = !refused,
                _ => {}
            }
        }
        accepted
    }
}

/// What of the file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    All,
    /// The client has it.
    NotModified,
    /// From, and how many bytes.
    Part(u64, u64),
    /// Behind its end.
    NoSuchPart,
}

fn want(headers: &HeaderMap, found: &Found) -> Want {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let known = match text(IF_NONE_MATCH) {
        // The date counts only without a tag (RFC 9110 section 13.1.3).
        Some(tags) => tags.trim() == "*" || tags.split(',').any(|tag| weak(tag) == weak(&found.tag)),
        None => text(IF_MODIFIED_SINCE).is_some_and(|since| not_after(&found.modified, since)),
    };
    if known {
        return Want::NotModified;
    }
    let same = text(IF_RANGE).is_none_or(|known| known.trim() == found.tag || known.trim() == found.modified);
    text(RANGE).filter(|_| same).map_or(Want::All, |range| part(range, found.length))
}

fn weak(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

fn not_after(modified: &str, since: &str) -> bool {
    let parse = |date: &str| DateTimeParser::new().parse_timestamp(date).ok();
    matches!((parse(modified), parse(since)), (Some(modified), Some(since)) if modified <= since)
}

/// One range of bytes; several at once, or another unit, are answered with everything (RFC 9110 section 14.2).
pub(super) fn part(range: &str, length: u64) -> Want {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Want::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first, number(first), number(last)) {
        ("", _, Some(0)) => Want::NoSuchPart,
        ("", _, Some(_)) if length == 0 => Want::NoSuchPart,
        ("", _, Some(count)) => Want::Part(length - count.min(length), count.min(length)),
        (_, Some(from), _) if last.is_empty() && from < length => Want::Part(from, length - from),
        (_, Some(from), Some(to)) if from <= to && from < length => Want::Part(from, to.min(length - 1) - from + 1),
        (_, Some(from), Some(to)) if from <= to => Want::NoSuchPart,
        (_, Some(_), _) if last.is_empty() => Want::NoSuchPart,
        _ => Want::All,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_that_name_nothing() {
        for path in [
            "/../x",
            "/%2e%2e/x",
            "/a/%2E%2E",
            "/.env",
            "/a/.git/config",
            "/a%2fb",
            "/a%00",
            "/%zz",
            "/%e",
            "/%ff",
            "/a/.well-known/x",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
        assert_eq!(segments("//a///b%20c/").unwrap(), ["a", "b c"]);
        assert_eq!(segments("/.well-known/x").unwrap(), [".well-known", "x"]);
        assert_eq!(segments("/").unwrap(), [""; 0]);
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-4", Want::Part(0, 5)),
            ("bytes=5-", Want::Part(5, 5)),
            ("bytes=-3", Want::Part(7, 3)),
            ("bytes=-30", Want::Part(0, 10)),
            ("bytes=9-100", Want::Part(9, 1)),
            ("bytes=10-", Want::NoSuchPart),
            ("bytes=10-12", Want::NoSuchPart),
            ("bytes=-0", Want::NoSuchPart),
            ("bytes=4-2", Want::All),
            ("bytes=0-1,3-4", Want::All),
            ("bytes=x-1", Want::All),
            ("bytes=-", Want::All),
            ("lines=0-1", Want::All),
            ("bytes=99999999999999999999-", Want::All),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Want::NoSuchPart);
        assert_eq!(part("bytes=-1", 0), Want::NoSuchPart);
    }

    #[test]
    fn encodings() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            let accepted = Accepted::of(&headers);
            (accepted.br, accepted.gzip)
        };
        assert_eq!(of("gzip, deflate, br"), (true, true));
        assert_eq!(of("br;q=0, GZIP;q=0.5"), (false, true));
        assert_eq!(of("identity"), (false, false));
    }

    #[test]
    fn a_redirect_stays_on_the_host() {
        assert_eq!(with_slash(&["evil.example".into()], None), "/evil.example/");
        assert_eq!(with_slash(&["a b".into(), "ü".into()], Some("x=1")), "/a%20b/%C3%BC/?x=1");
    }
}
