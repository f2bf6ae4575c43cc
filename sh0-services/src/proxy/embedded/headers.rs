//! What of a message's head goes on, and what ends here (RFC 9110 section 7.6.1).

use std::net::SocketAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Version, request};

/// The response header that says which release answered.
pub(super) const RELEASE: HeaderName = HeaderName::from_static("x-sh0-release");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Headers about one connection only, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Whether the request asks for a websocket (RFC 6455 section 4.1). Every other upgrade is ignored, as RFC 9110 section
/// 7.8 allows: what it would lead to could not be watched over (h2c smuggling).
pub(super) fn asks_for_websocket(parts: &request::Parts) -> bool {
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
        && upgrades_to_websocket(&parts.headers)
}

/// Whether a head says `Connection: upgrade` and `Upgrade: websocket`.
pub(super) fn upgrades_to_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let websocket = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket
        && upgrades.next().is_none()
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Turns the head of a client's request into the one that an instance gets. `chunked` says that the body has no known
/// length.
pub(super) fn to_instance(
    headers: &mut HeaderMap,
    host: Option<&HeaderValue>,
    peer: SocketAddr,
    door: SocketAddr,
    websocket: bool,
    chunked: bool,
) {
    let trailers_wanted = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    // RFC 9112 section 6.3: where both are, the length is the one that lies.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    headers.remove(TE);
    // Answered here: the server sends `100 Continue` once the body is read.
    headers.remove(EXPECT);
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_forged(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }

    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers_wanted {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if chunked && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(ip) = text(&peer.ip().to_canonical()) {
        headers.insert(FORWARDED_FOR, ip.clone());
        headers.insert(REAL_IP, ip);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_PORT, HeaderValue::from(door.port()));
    if let Some(host) = host {
        headers.insert(HOST, host.clone());
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// Turns the head of an instance's response into the one that the client gets.
pub(super) fn to_client(headers: &mut HeaderMap, release: Option<&HeaderValue>) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    match release {
        Some(release) => headers.insert(RELEASE, release.clone()),
        None => headers.remove(RELEASE),
    };
}

/// Takes out of trailers what would change how the message before them is read (RFC 9110 section 6.5.1).
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    for name in [CONTENT_LENGTH, HOST, TE, RELEASE] {
        trailers.remove(name);
    }
    let forged: Vec<HeaderName> = trailers.keys().filter(|name| is_forged(name)).cloned().collect();
    for name in forged {
        trailers.remove(name);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether only a proxy may say it: who asked, and how. `_` counts as `-`, because CGI and its children (WSGI, Rack) see
/// both as the same variable. `Proxy` would become `HTTP_PROXY` there (CVE-2016-5385).
fn is_forged(name: &HeaderName) -> bool {
    const NAMES: [&str; 5] = ["forwarded", "x-real-ip", "x-client-ip", "x-original-forwarded-for", "proxy"];
    let name = name.as_str();
    if !name.contains(['_', '.']) {
        return name.starts_with("x-forwarded-") || NAMES.contains(&name);
    }
    let name = name.replace(['_', '.'], "-");
    name.starts_with("x-forwarded-") || NAMES.contains(&name.as_str())
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn text(value: &impl ToString) -> Option<HeaderValue> {
    HeaderValue::from_str(&value.to_string()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn sent(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(lines);
        let host = HeaderValue::from_static("a.test");
        let (peer, door) = ("[::ffff:10.0.0.9]:5000".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
        to_instance(&mut headers, Some(&host), peer, door, false, false);
        headers
    }

    #[test]
    fn who_asked_is_the_truth() {
        let spoofed = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/admin"),
            ("x-real-ip", "1.1.1.1"),
            ("x.real.ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("proxy", "http://evil"),
            ("host", "evil"),
            ("accept", "*/*"),
        ];
        let expected = [
            ("accept", "*/*"),
            ("x-forwarded-for", "10.0.0.9"),
            ("x-real-ip", "10.0.0.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "80"),
            ("host", "a.test"),
            ("x-forwarded-host", "a.test"),
        ];
        assert_eq!(sent(&spoofed), map(&expected));
    }

    #[test]
    fn one_hop_is_one_hop() {
        let headers = sent(&[
            ("connection", "close, X-Secret, x-forwarded-for, host, content-length"),
            ("connection", "upgrade"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers, gzip"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
        ]);
        assert_eq!(headers.get(TE).unwrap(), "trailers");
        assert_eq!(headers.get("trailer").unwrap(), "x-sum");
        assert_eq!(headers.get(HOST).unwrap(), "a.test", "Connection cannot name the host away");
        assert_eq!(headers.get(FORWARDED_FOR).unwrap(), "10.0.0.9");
        for name in ["x-secret", "content-length", "transfer-encoding", "upgrade", "http2-settings", "keep-alive"] {
            assert!(!headers.contains_key(name), "{name} ends here");
        }
        for name in ["connection", "proxy-connection", "proxy-authorization", "expect"] {
            assert!(!headers.contains_key(name), "{name} ends here");
        }
    }

    #[test]
    fn only_the_table_names_the_release() {
        let mut headers =
            map(&[("x-sh0-release", "forged"), ("content-length", "3"), ("transfer-encoding", "chunked")]);
        to_client(&mut headers, Some(&HeaderValue::from_static("r1")));
        assert_eq!(headers, map(&[("x-sh0-release", "r1")]));
        to_client(&mut headers, None);
        assert!(headers.is_empty());
    }
}
