//! What a Docker Engine sends.

use bytes::Bytes;
use serde::Deserialize;
use sh0_docker::client::{
    Container, ContainerSummary, DiskUsage, EngineInfo, EngineVersion, Event, ExecState, Image, ImageSummary, Network,
    Progress, Volume, fuzz,
};
use tokio_util::io::StreamReader;

/// The most that a decoder holds: small, so that inputs reach it.
const LIMIT: usize = 1 << 12;

/// Output of containers: the same frames and the same end, however it is cut; the log of them likewise.
pub fn frames(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    assert_eq!(fuzz::frames([whole], LIMIT), fuzz::frames(chunks.clone(), LIMIT));
    for (tty, timestamps) in [(false, true), (true, true), (false, false)] {
        let log = |chunks: Vec<Bytes>| {
            let (records, end) = crate::run(fuzz::log(chunks, tty, timestamps));
            (records, end.map_err(|error| error.to_string()))
        };
        let all = log(vec![Bytes::copy_from_slice(whole)]);
        assert_eq!(all, log(chunks.clone().map(Bytes::copy_from_slice).collect()));
        assert!(!tty || all.1.is_ok(), "a terminal has no framing to break: {:?}", all.1);
    }
}

/// Streams of JSON: the same values and the same end, however it is cut, and no other values than a JSON parser finds.
pub fn json(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    let found = fuzz::values([whole], LIMIT);
    assert_eq!(found, fuzz::values(chunks, LIMIT));
    let (values, end) = found;
    let mut parser = serde_json::Deserializer::from_slice(whole).into_iter::<serde_json::Value>();
    for value in &values {
        match parser.next() {
            Some(Ok(expected)) => assert_eq!(serde_json::from_slice::<serde_json::Value>(value).unwrap(), expected),
            // Not JSON, which is for the parser to say, or separators that only `json-seq` has.
            _ => return,
        }
    }
    if end.is_ok() {
        assert!(!matches!(parser.next(), Some(Ok(_))), "the decoder missed a value");
    }
}

/// Messages of a build's progress and the questions of its session: what they tell is not much longer than they are.
pub fn build(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    fuzz::question(whole);
    let messages: Vec<&[u8]> = chunks.collect();
    // A step's name is told again with each of its lines, and damaged text in three bytes for one.
    let bound = 8 * (whole.len() + 8) * (whole.len() + 8);
    assert!(fuzz::progress(&messages).len() <= bound);
    assert!(fuzz::progress(&[whole]).len() <= bound);
}

/// Whole answers: heads that hand a connection over, refusals, and every type that is read from JSON.
pub fn answer(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    let head = |chunks: Vec<Bytes>| {
        let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
        crate::run(async {
            let mut stream = StreamReader::new(chunks);
            let (status, mut rest) = fuzz::head(&mut stream).await.map(|(status, rest)| (status, rest.to_vec()))?;
            tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
            Ok::<_, sh0_docker::Error>((status, rest))
        })
        .map_err(|error| error.to_string())
    };
    let all = head(vec![Bytes::copy_from_slice(whole)]);
    assert_eq!(all.is_ok(), head(chunks.map(Bytes::copy_from_slice).collect()).is_ok());
    if let Ok((status, rest)) = all {
        assert!(whole.ends_with(&rest) && status >= 101);
    }
    for status in [400, 403, 404, 409, 500] {
        assert!(!fuzz::refusal(status, whole).to_string().is_empty());
    }
    if let Ok(stats) = fuzz::stats(whole) {
        assert!(stats.cpus_since(&stats).is_none_or(f64::is_finite));
    }
    if let Ok(event) = serde_json::from_slice::<Event>(whole) {
        let _ = (event.id(), event.verb(), event.detail(), event.time(), event.exit_code());
    }
    if let Ok(usage) = serde_json::from_slice::<DiskUsage>(whole) {
        let _ = usage.build_cache_bytes();
    }
    survives::<Container>(whole);
    survives::<ContainerSummary>(whole);
    survives::<EngineInfo>(whole);
    survives::<EngineVersion>(whole);
    survives::<ExecState>(whole);
    survives::<Image>(whole);
    survives::<ImageSummary>(whole);
    survives::<Network>(whole);
    survives::<Progress>(whole);
    survives::<Volume>(whole);
}

fn survives<'a, T: Deserialize<'a>>(text: &'a [u8]) {
    let _ = serde_json::from_slice::<T>(text);
}
