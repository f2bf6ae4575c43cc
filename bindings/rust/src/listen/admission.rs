//! Which requests may come in at all, whoever sends them: it keeps the web out. A page in a browser, an app deployed on
//! this machine, or a DNS name that was pointed here must not drive the platform through somebody's browser.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http::uri::{Authority, Uri};
use http::{Extensions, Request};
use sh0_core::{Code, Error, Result};

use super::Peer;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names of a server, and the check of requests against them.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Beside `localhost` and addresses; lower case.
    hosts: Vec<String>,
}

impl Admission {
    /// Names, beside `localhost` and the server's own addresses, under which requests may come.
    pub fn new<S: AsRef<str>>(hosts: impl IntoIterator<Item = S>) -> Self {
        Admission { hosts: hosts.into_iter().map(|host| canonical(host.as_ref())).collect() }
    }

    /// [`Code::Forbidden`] unless the request names this server as its host, and was made by no page of another origin.
    /// Over a Unix socket the peer's user decides, and a key or a token: no browser speaks there.
    pub fn admit<B>(&self, request: &Request<B>) -> Result<()> {
        let local = match peer(request.extensions()) {
            Some(Peer::Owner { .. }) => return Ok(()),
            // A token is as good here as over TCP.
            Some(Peer::Keyless { .. }) if request.headers().contains_key(AUTHORIZATION) => return Ok(()),
            Some(Peer::Keyless { .. }) => {
                let detail = "the request does not show the key of this socket: send what is in the file `<socket>.key` \
                              as the header `Sh0-Key`, or a token; an app of this platform may not drive it";
                return Err(forbidden(detail));
            }
            Some(Peer::Stranger { uid }) => {
                return Err(forbidden(format!("user {uid} may not use this socket: come over TCP with a token")));
            }
            Some(Peer::Network { local }) => Some(local.ip().to_canonical()),
            None => None,
        };
        // RFC 9112 section 3.2.2: an absolute URI counts before the header, so both have to be right.
        let mut hosts = request.headers().get_all(HOST).iter().map(HeaderValue::to_str);
        let authority = match (hosts.next(), hosts.next(), request.uri().authority()) {
            (Some(Ok(host)), None, _) => host.parse::<Authority>().ok(),
            (None, None, Some(authority)) => Some(authority.clone()),
            _ => None,
        };
        let authority = authority.ok_or_else(|| forbidden("the request does not name one host"))?;
        for named in [Some(&authority), request.uri().authority()].into_iter().flatten() {
            if !self.is_ours(named.host(), local) {
                let detail = format!("`{}` is not a name of this server; its options can allow it", named.host());
                return Err(forbidden(detail));
            }
        }
        same_origin(request.headers(), &authority)
    }

    /// Loopback, the address that the connection came to, or a configured name. A page whose own DNS name points here
    /// (DNS rebinding) still sends that name.
    fn is_ours(&self, host: &str, local: Option<IpAddr>) -> bool {
        let host = canonical(host);
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let ip = ip.to_canonical();
            if ip.is_loopback() || Some(ip) == local {
                return true;
            }
        }
        host == "localhost" || self.hosts.contains(&host)
    }
}

/// Who sent this request; `None` when it did not come through [`listen`](super::listen).
pub fn peer(extensions: &Extensions) -> Option<&Peer> {
    extensions.get()
}

/// Browsers say where a request was made (Fetch section 3.2, Fetch Metadata); programs say nothing. An app on another
/// port or name of this very machine is another origin. `none` is a person who typed the address.
fn same_origin(headers: &HeaderMap, host: &Authority) -> Result<()> {
    for origin in headers.get_all(ORIGIN) {
        let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let http = origin.as_ref().is_some_and(|origin| matches!(origin.scheme_str(), Some("http" | "https")));
        if !(http && origin.as_ref().and_then(Uri::authority) == Some(host)) {
            return Err(forbidden("a web page of another origin may not use this API"));
        }
    }
    match headers.get_all(SEC_FETCH_SITE).iter().all(|site| site == "same-origin" || site == "none") {
        true => Ok(()),
        false => Err(forbidden("a web page of another site may not use this API")),
    }
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn forbidden(detail: impl Into<String>) -> Error {
    Error::new(Code::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).expect("a request");
        request.extensions_mut().insert(Peer::Network { local: ([10, 1, 2, 3], 9000).into() });
        match Admission::new(["Sh0.Example.COM."]).admit(&request) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.code(), Code::Forbidden);
                false
            }
        }
    }

    #[test]
    fn only_names_of_the_server_are_hosts() {
        for host in [
            "localhost",
            "localhost:9000",
            "LOCALHOST.",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:9000",
            "10.1.2.3:9000",
            "[::ffff:10.1.2.3]",
            "sh0.example.com",
            "SH0.example.com.:443",
        ] {
            assert!(admitted("/", &[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.com",
            "10.1.2.4",
            "localhost.evil.com",
            "evil.localhost",
            "evil.com:9000",
            "0.0.0.0",
            "a b",
            "sh0.example.com.evil.com",
            "[::2]",
            "0x7f000001",
        ] {
            assert!(!admitted("/", &[("host", host)]), "{host}");
        }
        assert!(!admitted("/", &[]), "no host at all");
        assert!(!admitted("/", &[("host", "localhost"), ("host", "evil.com")]), "two hosts");
        assert!(admitted("http://localhost:9000/", &[("host", "localhost:9000")]));
        assert!(!admitted("http://evil.com/", &[("host", "localhost")]), "another host in the request line");
        assert!(admitted("http://localhost/", &[]), "HTTP/2 names its host there");
    }

    #[test]
    fn only_pages_of_the_server_itself_may_ask() {
        let from = |headers: &[(&str, &str)]| admitted("/", &[&[("host", "localhost:9000")], headers].concat());
        assert!(from(&[("origin", "http://localhost:9000")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("sec-fetch-site", "none")]));
        for origin in [
            "http://localhost:8080",
            "http://localhost",
            "http://hello.localhost:9000",
            "null",
            "",
            "http://evil.com",
            "file://",
            "chrome-extension://localhost:9000",
            "http://127.0.0.1:9000",
        ] {
            assert!(!from(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!from(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!from(&[("origin", "http://localhost:9000"), ("origin", "http://evil.com")]), "two origins");
    }
}
