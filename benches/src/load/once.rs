//! One request, and whether the answer is the right app's.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::who;
use crate::Outcome;

/// Between two requests of a watch.
const OFTEN: Duration = Duration::from_millis(20);
/// No app that is watched takes longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks once, on a connection of its own; answers the head and the body as they came.
pub async fn ask(addr: SocketAddr, host: &str, path: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A way to an app of `apps/probe-app`, and the label that its answers must have.
#[derive(Debug, Clone)]
pub struct Way {
    /// What is connected to.
    pub addr: SocketAddr,
    /// The host name that is asked for.
    pub host: String,
    /// The label in the body.
    pub label: String,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The app itself.
    Own,
    /// Nobody, or the proxy: why.
    Nobody(String),
    /// Something that is not this app: its text.
    Other(String),
}

impl Way {
    /// Asks once.
    pub async fn ask(&self) -> Who {
        let answer = tokio::time::timeout(PATIENCE, ask(self.addr, &self.host, "/")).await;
        match answer {
            Ok(Ok(text)) => self.who(&text),
            Ok(Err(error)) => Who::Nobody(error.to_string()),
            Err(_) => Who::Nobody(format!("no answer within {PATIENCE:?}")),
        }
    }

    /// A proxy that reaches no app says 5xx, and no app's label.
    fn who(&self, text: &str) -> Who {
        let whole = text.split_once("\r\n\r\n").filter(|(head, body)| length(head).is_none_or(|all| body.len() >= all));
        let Some((head, body)) = whole else { return Who::Nobody("the answer broke off".to_owned()) };
        let line = head.lines().next().unwrap_or_default().to_owned();
        let good = line.starts_with("HTTP/1.1 200");
        match who(body).1 {
            Some(label) if *label == *self.label && good => Who::Own,
            None if line.starts_with("HTTP/1.1 5") => Who::Nobody(line),
            _ => Who::Other(format!("{line}: {}", body.trim())),
        }
    }
}

fn length(head: &str) -> Option<usize> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = { fields }.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}

/// What a watch saw.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// Answers of the app itself.
    pub own: usize,
    /// Requests that no app answered.
    pub nobody: usize,
    /// Answers that must never be, in words.
    pub other: Vec<String>,
}

/// Asks every way again and again.
pub struct Watch {
    stop: CancellationToken,
    clients: JoinSet<Watched>,
}

impl Watch {
    /// Begins to ask.
    pub fn start(ways: &[Way]) -> Watch {
        let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
        for way in ways.iter().cloned() {
            let stop = stop.clone();
            clients.spawn(async move {
                let mut watched = Watched::default();
                while !stop.is_cancelled() {
                    match way.ask().await {
                        Who::Own => watched.own += 1,
                        Who::Nobody(_) => watched.nobody += 1,
                        Who::Other(text) => watched.other.push(format!("{} at {}: {text}", way.host, way.addr)),
                    }
                    tokio::time::sleep(OFTEN).await;
                }
                watched
            });
        }
        Watch { stop, clients }
    }

    /// Ends, and answers what was seen on all ways.
    pub async fn stop(self) -> Watched {
        self.stop.cancel();
        let mut all = Watched::default();
        for watched in self.clients.join_all().await {
            all.own += watched.own;
            all.nobody += watched.nobody;
            all.other.extend(watched.other);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Way, Who};

    #[test]
    fn who_answers() {
        let way = Way { addr: ([127, 0, 0, 1], 1).into(), host: "one.localhost".into(), label: "one".into() };
        let said = |status: &str, body: &str| way.who(&format!("HTTP/1.1 {status}\r\nx: y\r\n\r\n{body}"));
        assert_eq!(said("200 OK", "release=r label=one\n"), Who::Own);
        assert!(matches!(said("200 OK", "release=r label=two\n"), Who::Other(_)));
        assert!(matches!(said("200 OK", "It works!"), Who::Other(_)), "a stranger at that address");
        assert!(matches!(said("503 Service Unavailable", "release=r label=two not ready\n"), Who::Other(_)));
        assert!(matches!(said("404 Not Found", "no such app"), Who::Other(_)), "its route is there all the time");
        assert!(matches!(said("502 Bad Gateway", "the app does not answer"), Who::Nobody(_)));
        for broken in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\nrelease=r label=o"] {
            assert!(matches!(way.who(broken), Who::Nobody(_)), "{broken}");
        }
    }
}
