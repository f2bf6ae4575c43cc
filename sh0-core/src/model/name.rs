//! Names: strings that are safe where they are used. One parser each, a clear error, `parse(print(x)) == x`.

use std::fmt;

/// Why a string is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    what: &'static str,
    reason: String,
    hint: String,
}

/// Separates reason and hint where only one string can travel (inside serde's error).
pub(crate) const HINT_MARK: &str = " — ";

impl ParseError {
    /// `what` is the field's term, such as `app name`.
    pub fn new(what: &'static str, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        ParseError { what, reason: reason.into(), hint: hint.into() }
    }

    /// What the string should have been.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// What is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{HINT_MARK}{}", self.reason, self.hint)
    }
}

impl std::error::Error for ParseError {}

/// Declares a name: a string newtype whose only door is its parser. `$parse` takes `&str` and returns the canonical
/// `String` or a [`ParseError`]; `$pattern` is what the JSON Schema says of it.
macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident = $what:literal, max $max:literal, pattern $pattern:literal, $parse:expr; )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The canonical text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                let fits = |text: &str| match text.len() <= $max {
                    true => Ok(()),
                    false => Err(ParseError::new($what, format!("is {} bytes long", text.len()), concat!("use at most ", $max, " bytes"))),
                };
                fits(text)?;
                let parse: fn(&'static str, &str) -> Result<String, ParseError> = $parse;
                let text = parse($what, text)?;
                // What was filled in counts too: what is printed must parse.
                fits(&text)?;
                Ok($name(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "maxLength": $max, "pattern": $pattern, "description": $what })
            }
        }
    )* };
}

names! {
    /// The name of an app: a DNS label (RFC 1123 section 2.1), so that it can be part of a host name.
    AppName = "app name", max 63, pattern "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", dns_label;
    /// The name of a project: a DNS label.
    ProjectName = "project name", max 63, pattern "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", dns_label;
    /// The name of a process type, such as `web` or `worker`: a DNS label.
    ProcessName = "process name", max 63, pattern "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", dns_label;
    /// The name of a volume within its app: a DNS label.
    VolumeName = "volume name", max 63, pattern "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", dns_label;
    /// The name of an API token: a DNS label.
    TokenName = "token name", max 63, pattern "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", dns_label;
    /// The name of an environment variable (POSIX.1-2017 section 8.1, lower case allowed).
    EnvKey = "environment variable name", max 255, pattern "^[A-Za-z_][A-Za-z0-9_]*$", env_key;
    /// A host name (RFC 1123), lower case, without trailing dot; `*.` in front matches one label.
    HostName = "host name", max 253, pattern "^(\\*\\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", host_name;
    /// A relative path with `/` between the parts, that stays below where it starts.
    RelPath = "relative path", max 1024, pattern "^[^/\\x00-\\x1f].*$", rel_path;
    /// An absolute path, without `..`, inside an instance or on the host.
    AbsPath = "absolute path", max 4096, pattern "^/.*$", abs_path;
    /// The path part of a URL: starts with `/`, printable ASCII, no `..` segment, no query.
    UrlPath = "URL path", max 1024, pattern "^/[!-~]*$", url_path;
    /// Where a git repository is: `https://`, `http://`, `ssh://`, `file://`, `git@host:path`, or an absolute path.
    GitUrl = "git URL", max 2048, pattern "^(https?://|ssh://|file:///|[a-z0-9_-]+@|/).+$", git_url;
    /// A branch, tag or commit (git-check-ref-format rules; never starts with `-`).
    GitRef = "git reference", max 255, pattern "^[^-/.~^:?*\\[\\\\\\s][^~^:?*\\[\\\\\\s]*$", git_ref;
    /// A container image: registry, repository, tag or digest (distribution's reference grammar), always complete.
    ImageRef = "image reference", max 512, pattern "^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$", image_ref;
}

/// The name of the project that exists from the first day.
impl Default for ProjectName {
    fn default() -> Self {
        ProjectName("default".into())
    }
}

fn dns_label(what: &'static str, text: &str) -> Result<String, ParseError> {
    let suggestion = suggest_label(text);
    let hint = || format!("use lower-case letters, digits and `-` inside, at most 63: for example `{suggestion}`");
    if text.is_empty() {
        return Err(ParseError::new(what, "is empty", hint()));
    }
    if text.len() > 63 {
        return Err(ParseError::new(what, format!("is {} bytes long", text.len()), hint()));
    }
    if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(ParseError::new(what, format!("contains {bad:?}"), hint()));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(ParseError::new(what, "starts or ends with `-`", hint()));
    }
    Ok(text.to_owned())
}

/// The nearest text that is a DNS label: what a hint offers, and how a folder's name becomes an app's.
pub fn suggest_label(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars().take(200) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => label.push(c),
            _ if !label.ends_with('-') => label.push('-'),
            _ => {}
        }
        if label.len() >= 63 {
            break;
        }
    }
    let label = label.trim_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

fn env_key(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint = "use letters, digits and `_`, not starting with a digit, such as DATABASE_URL";
    let mut chars = text.chars();
    match chars.next() {
        None => return Err(ParseError::new(what, "is empty", hint)),
        Some(c) if !(c.is_ascii_alphabetic() || c == '_') => {
            return Err(ParseError::new(what, format!("starts with {c:?}"), hint));
        }
        Some(_) => {}
    }
    match chars.find(|c| !(c.is_ascii_alphanumeric() || *c == '_')) {
        Some(bad) => Err(ParseError::new(what, format!("contains {bad:?}"), hint)),
        None => Ok(text.to_owned()),
    }
}

fn host_name(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint = "write only the name, such as app.example.com; `*.` in front matches any one label";
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let labels = name.strip_prefix("*.").unwrap_or(name);
    if labels.is_empty() {
        return Err(ParseError::new(what, "is empty", hint));
    }
    if name.len() > 253 {
        return Err(ParseError::new(what, "is longer than 253 bytes", hint));
    }
    for label in labels.split('.') {
        dns_label(what, label)
            .map_err(|error| ParseError::new(what, format!("label `{label}` {}", error.reason()), hint))?;
    }
    if labels.split('.').next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(ParseError::new(
            what,
            "ends like an IP address",
            "use a DNS name; an app always answers on its own port too",
        ));
    }
    Ok(name.to_owned())
}

fn path_parts(what: &'static str, text: &str) -> Result<String, ParseError> {
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(ParseError::new(what, "contains `..`", "name a place below the folder itself")),
            part => parts.push(part),
        }
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(ParseError::new(
            what,
            format!("contains the control character {bad:?}"),
            "use printable characters",
        ));
    }
    Ok(parts.join("/"))
}

fn rel_path(what: &'static str, text: &str) -> Result<String, ParseError> {
    if text.starts_with('/') {
        return Err(ParseError::new(what, "starts with `/`", "give it relative to the folder of the app"));
    }
    let path = path_parts(what, text)?;
    if path.is_empty() {
        return Err(ParseError::new(what, "is empty", "give a path such as `web` or `packages/api`"));
    }
    Ok(path)
}

fn abs_path(what: &'static str, text: &str) -> Result<String, ParseError> {
    if !text.starts_with('/') {
        return Err(ParseError::new(what, "does not start with `/`", "give the whole path, such as /data"));
    }
    Ok(format!("/{}", path_parts(what, text)?))
}

fn url_path(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint = "start with `/` and leave out host, query and fragment, such as /healthz";
    if !text.starts_with('/') {
        return Err(ParseError::new(what, "does not start with `/`", hint));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\' | '"' | '<' | '>')) {
        return Err(ParseError::new(what, format!("contains {bad:?}"), hint));
    }
    let lower = text.to_ascii_lowercase().replace("%2e", ".");
    if lower.split('/').any(|part| part == "..") {
        return Err(ParseError::new(what, "contains `..`", hint));
    }
    Ok(text.to_owned())
}

fn git_url(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint = "use https://host/owner/repo.git, ssh://, git@host:owner/repo.git, file:///path or an absolute path";
    if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(ParseError::new(what, format!("contains {bad:?}"), hint));
    }
    if text.starts_with('-') || text.contains("::") {
        return Err(ParseError::new(what, "names a remote helper or an option", hint));
    }
    if text.starts_with('/') {
        return abs_path(what, text);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh" | "file") {
            return Err(ParseError::new(what, format!("has the scheme `{scheme}`"), hint));
        }
        let url = url::Url::parse(text).map_err(|error| ParseError::new(what, error.to_string(), hint))?;
        if scheme != "file" && url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
            return Err(ParseError::new(what, "has no usable host", hint));
        }
        let public = "leave it out: addresses are stored and shown as they are; name a repository that needs no password, or \
            deploy a folder that has it";
        if url.password().is_some() || (scheme.starts_with("http") && !url.username().is_empty()) {
            return Err(ParseError::new(what, "has a user, password or token in it", public));
        }
        if url.query().is_some() {
            return Err(ParseError::new(what, "has a query, which may hold a token", public));
        }
        if url.username().starts_with('-') {
            return Err(ParseError::new(what, "has a user that starts with `-`", hint));
        }
        return Ok(text.to_owned());
    }
    // scp-like: user@host:path (git-clone(1), "GIT URLS").
    let scp = text.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    let plain = |s: &str| {
        !s.is_empty() && !s.starts_with('-') && s.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    match scp {
        Some((user, (host, path))) if plain(user) && plain(host) && !path.is_empty() && !path.starts_with('-') => {
            Ok(text.to_owned())
        }
        _ => Err(ParseError::new(what, "is not the address of a repository", hint)),
    }
}

fn git_ref(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint = "use a branch, a tag or a commit id, such as main, v1.2.0 or 3f2a1c9";
    let bad_char = text.chars().find(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(*c));
    if let Some(bad) = bad_char {
        return Err(ParseError::new(what, format!("contains {bad:?}"), hint));
    }
    let bad_shape = text.is_empty()
        || text == "@"
        || text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.ends_with(".lock")
        || text.contains("..")
        || text.contains("//")
        || text.contains("/.")
        || text.contains("@{");
    if bad_shape {
        return Err(ParseError::new(what, "is not a valid reference name (git-check-ref-format)", hint));
    }
    Ok(text.to_owned())
}

/// Fills in what is left out, as every container tool does: `nginx` is `docker.io/library/nginx:latest`.
fn image_ref(what: &'static str, text: &str) -> Result<String, ParseError> {
    let hint =
        "use [registry/]repository[:tag][@sha256:digest], such as nginx:1.27 or registry.example.com/team/app:v3";
    let fail = |reason: String| Err(ParseError::new(what, reason, hint));
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return fail(format!("has the digest `{digest}`, which is not sha256 and 64 hex digits"));
        }
    }
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let good_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 128
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if let Some(tag) = tag.filter(|tag| !good_tag(tag)) {
        return fail(format!("has the tag `{tag}`"));
    }
    let (registry, path) = match repository.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (first.to_owned(), rest.to_owned())
        }
        Some(_) => ("docker.io".to_owned(), repository.to_owned()),
        None => ("docker.io".to_owned(), format!("library/{repository}")),
    };
    let (host, port) = registry.split_once(':').unwrap_or((&registry, "443"));
    let good_label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(inside)
    };
    let good_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if !good_port || !host.split('.').all(good_label) {
        return fail(format!("has the registry `{registry}`"));
    }
    let good_part = |part: &str| {
        let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(alnum) && part.ends_with(alnum) && part.chars().all(|c| alnum(c) || "._-".contains(c))
    };
    if let Some(part) = path.split('/').find(|part| !good_part(part)) {
        return fail(format!("has the repository part `{part}`"));
    }
    let tag = match (tag, digest) {
        (Some(tag), _) => format!(":{tag}"),
        (None, None) => ":latest".to_owned(),
        (None, Some(_)) => String::new(),
    };
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    Ok(format!("{registry}/{path}{tag}{digest}"))
}

#[cfg(test)]
mod tests;
