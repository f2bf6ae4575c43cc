//! For which host a request is: one answer, or a refusal (RFC 9112 section 3.2, RFC 9113 section 8.3.1).

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Version, request};

/// The host that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// As the client wrote it, port included: what the app sees.
    pub(super) written: HeaderValue,
    /// Lower case, without port and trailing dot: what routes are found by.
    pub(super) name: String,
    port: Option<u16>,
}

/// The host of a request; `None` where HTTP/1.0 may leave it out. The error says what is wrong with it.
pub(super) fn host_of(parts: &request::Parts) -> Result<Option<Host>, &'static str> {
    let mut written = parts.headers.get_all(HOST).iter();
    let header = written.next();
    if written.next().is_some() {
        return Err("the request has more than one Host header");
    }
    let target = parts.uri.authority();
    if parts.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err("the request target has a scheme that is not http");
    }
    let header = header.map(parse_header).transpose()?;
    let target = target.map(parse_authority).transpose()?;
    match (target, header) {
        // RFC 9112 section 3.2.2 lets the target win; software behind us may read the other one, so they must agree.
        (Some(target), Some(header)) if !target.same(&header) => Err("the request target and the Host header differ"),
        (_, Some(host)) | (Some(host), None) if parts.version >= Version::HTTP_2 => Ok(Some(host)),
        (None, None) if parts.version >= Version::HTTP_11 => Err("the request has no Host header"),
        (Some(_), None) if parts.version >= Version::HTTP_11 => Err("the request has no Host header"),
        (target, header) => Ok(header.or(target)),
    }
}

impl Host {
    fn same(&self, other: &Host) -> bool {
        self.name == other.name && self.port.unwrap_or(80) == other.port.unwrap_or(80)
    }
}

fn parse_header(value: &HeaderValue) -> Result<Host, &'static str> {
    let text = value.to_str().map_err(|_| "the Host header has characters that no host name has")?;
    parse(text, value.clone())
}

fn parse_authority(authority: &Authority) -> Result<Host, &'static str> {
    let written = HeaderValue::from_str(authority.as_str()).map_err(|_| "the request target has an unusable host")?;
    parse(authority.as_str(), written)
}

fn parse(text: &str, written: HeaderValue) -> Result<Host, &'static str> {
    if text.contains('@') {
        return Err("the host has user information in it");
    }
    let (name, port) = split_port(text)?;
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| "the port of the host is out of range")?)
        }
        Some(_) => return Err("the port of the host is not a number"),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err("the host is empty");
    }
    Ok(Host { written, name: name.to_ascii_lowercase(), port })
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("the IPv6 address of the host has no end")?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("the host is not an IPv6 address");
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err("the host goes on after its IPv6 address"),
        };
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    // `_` is in no host name (RFC 1123), but people have it in internal ones.
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        true => Ok((name, port)),
        false => Err("the host has characters that no host name has"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::Request;

    use super::*;

    fn host(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        host_of(&parts).map(|host| host.map(|host| host.name))
    }

    /// Version, target, values of `Host`, and what is found.
    type Case<'a> = (Version, &'a str, &'a [&'a str], Result<Option<&'a str>, &'a str>);

    #[test]
    fn one_host_or_a_refusal() {
        let cases: &[Case] = &[
            (Version::HTTP_11, "/", &["App.Example.COM:8080"], Ok(Some("app.example.com"))),
            (Version::HTTP_11, "/", &["app.example.com."], Ok(Some("app.example.com"))),
            (Version::HTTP_11, "/", &["app.example.com.:80"], Ok(Some("app.example.com"))),
            (Version::HTTP_11, "/", &["app.example.com.."], Ok(Some("app.example.com."))),
            (Version::HTTP_11, "/", &["[::1]:80"], Ok(Some("::1"))),
            (Version::HTTP_11, "/", &["a:"], Ok(Some("a"))),
            (Version::HTTP_11, "http://a/", &["a:80"], Ok(Some("a"))),
            (Version::HTTP_11, "http://a/", &["A."], Ok(Some("a"))),
            (Version::HTTP_2, "http://a/", &[], Ok(Some("a"))),
            (Version::HTTP_10, "/", &[], Ok(None)),
            (Version::HTTP_11, "/", &[], Err("no Host")),
            (Version::HTTP_2, "/", &[], Err("no Host")),
            (Version::HTTP_11, "/", &["a", "a"], Err("more than one")),
            (Version::HTTP_11, "http://b/", &["a"], Err("differ")),
            (Version::HTTP_11, "http://a:81/", &["a"], Err("differ")),
            (Version::HTTP_2, "http://a/", &["b"], Err("differ")),
            (Version::HTTP_11, "http://u:p@a/", &["a"], Err("user information")),
            (Version::HTTP_11, "/", &["u@a"], Err("user information")),
            (Version::HTTP_11, "ftp://a/", &["a"], Err("scheme")),
            (Version::HTTP_11, "/", &[""], Err("empty")),
            (Version::HTTP_11, "/", &["."], Err("empty")),
            (Version::HTTP_11, "/", &["a b"], Err("characters")),
            (Version::HTTP_11, "/", &["a/b"], Err("characters")),
            (Version::HTTP_11, "/", &["a,b"], Err("characters")),
            (Version::HTTP_11, "/", &["a:x"], Err("not a number")),
            (Version::HTTP_11, "/", &["a:80:81"], Err("not a number")),
            (Version::HTTP_11, "/", &["a:99999"], Err("out of range")),
            (Version::HTTP_11, "/", &["[::1"], Err("no end")),
            (Version::HTTP_11, "/", &["[zz]"], Err("not an IPv6")),
            (Version::HTTP_11, "/", &["[::1]x"], Err("goes on")),
        ];
        for (version, target, hosts, expected) in cases {
            let found = host(*version, target, hosts);
            let as_expected = match (&found, expected) {
                (Ok(found), Ok(expected)) => found.as_deref() == *expected,
                (Err(found), Err(part)) => found.contains(part),
                _ => false,
            };
            assert!(as_expected, "{version:?} {target} {hosts:?}: {found:?}, not {expected:?}");
        }
    }
}
