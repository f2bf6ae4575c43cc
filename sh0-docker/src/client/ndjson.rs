//! A stream of JSON values (progress, events, stats), cut into values without I/O.
//!
//! The engine ends messages in `\r\n`, but the ends may arrive apart from the values, two values may share a chunk and
//! a value may span chunks. So values are found by their brackets, not by lines: one is handed out as soon as it is
//! whole. Record separators (`json-seq`, offered by API 1.52) are skipped like white space.

use bytes::{Bytes, BytesMut};

/// Why a stream of JSON values cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NdjsonError {
    /// The stream ended inside a value.
    #[error("the stream was cut inside a message")]
    Truncated,
    /// Something between two values is neither white space nor the start of an object or array.
    #[error("not JSON: unexpected byte {0:#04x} between messages")]
    NotJson(u8),
    /// A value is longer than the limit.
    #[error("a message is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Turns bytes, split anywhere, into whole JSON objects or arrays, still as bytes.
///
/// It finds where a value ends; whether the value is valid JSON is for the parser to say.
///
/// ```
/// use sh0_docker::client::ndjson::NdjsonDecoder;
///
/// let mut decoder = NdjsonDecoder::new();
/// decoder.feed(b"{\"a\":\"}\"}\r\n{\"b\"");
/// assert_eq!(decoder.next_value()?.as_deref(), Some(&b"{\"a\":\"}\"}"[..]));
/// assert_eq!(decoder.next_value()?, None);
/// decoder.feed(b":1}");
/// assert_eq!(decoder.next_value()?.as_deref(), Some(&b"{\"b\":1}"[..]));
/// decoder.finish()?;
/// # Ok::<(), sh0_docker::client::ndjson::NdjsonError>(())
/// ```
#[derive(Debug)]
pub struct NdjsonDecoder {
    buffer: BytesMut,
    /// How much of `buffer` has been looked at.
    scanned: usize,
    depth: usize,
    text: Text,
    limit: usize,
    failed: Option<NdjsonError>,
}

/// Brackets inside strings do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    AfterBackslash,
}

impl NdjsonDecoder {
    /// Longest value accepted by [`NdjsonDecoder::new`], in bytes.
    pub const DEFAULT_LIMIT: usize = 8 * 1024 * 1024;

    /// A decoder with [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// A decoder that refuses values longer than `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, depth: 0, text: Text::Outside, limit, failed: None }
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next whole value, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`NdjsonError::NotJson`] and [`NdjsonError::TooLarge`]. The error is final.
    pub fn next_value(&mut self) -> Result<Option<Bytes>, NdjsonError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.step();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    /// Checks that the stream ended between two values.
    ///
    /// # Errors
    /// [`NdjsonError::Truncated`] when it did not, or the error that ended decoding before.
    pub fn finish(&self) -> Result<(), NdjsonError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.depth > 0 => Err(NdjsonError::Truncated),
            None => Ok(()),
        }
    }

    fn step(&mut self) -> Result<Option<Bytes>, NdjsonError> {
        if self.depth == 0 {
            self.skip_blanks();
        }
        while let Some(&byte) = self.buffer.get(self.scanned) {
            if self.scanned >= self.limit {
                return Err(NdjsonError::TooLarge { limit: self.limit });
            }
            self.scanned += 1;
            match (self.text, byte) {
                (Text::AfterBackslash, _) => self.text = Text::Inside,
                (Text::Inside, b'\\') => self.text = Text::AfterBackslash,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, _) => {}
                (Text::Outside, b'{' | b'[') => self.depth += 1,
                (Text::Outside, _) if self.depth == 0 => return Err(NdjsonError::NotJson(byte)),
                (Text::Outside, b'"') => self.text = Text::Inside,
                (Text::Outside, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let value = self.buffer.split_to(self.scanned).freeze();
                        self.scanned = 0;
                        return Ok(Some(value));
                    }
                }
                (Text::Outside, _) => {}
            }
        }
        Ok(None)
    }

    fn skip_blanks(&mut self) {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e);
        let count = self.buffer.iter().take_while(|byte| blank(byte)).count();
        let _ = self.buffer.split_to(count);
    }
}

impl Default for NdjsonDecoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fuzz::{self, cut};
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> (Vec<Bytes>, Result<(), NdjsonError>) {
        fuzz::values(chunks.iter().copied(), 4096)
    }

    #[test]
    fn a_value_needs_no_newline() {
        let (values, end) = decode(&[b"{\"a\":1}{\"b\":2}"]);
        assert_eq!(values.len(), 2);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn line_ends_may_come_apart() {
        let (values, end) = decode(&[b"{\"a\":1}", b"\r", b"\n{\"b\":2}\r", b"\n", b"\x1e{}\n"]);
        assert_eq!(values.len(), 3);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn brackets_and_quotes_in_strings_do_not_count() {
        let text = br#"{"stream":"}{ \"]\\"}"#;
        let (values, _) = decode(&[text]);
        assert_eq!(values, [Bytes::from_static(text)]);
    }

    #[test]
    fn the_end_inside_a_value_is_truncation() {
        assert_eq!(decode(&[b"{\"a\":{}"]).1, Err(NdjsonError::Truncated));
        assert_eq!(decode(&[b"{}\r\n"]).1, Ok(()));
    }

    #[test]
    fn text_is_not_json() {
        assert_eq!(decode(&[b"{}\nInternal error"]).1, Err(NdjsonError::NotJson(b'I')));
    }

    #[test]
    fn a_value_has_a_size_limit() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
        assert_eq!(decode(&[long.as_bytes()]).1, Err(NdjsonError::TooLarge { limit: 4096 }));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_values(
            texts in prop::collection::vec("[\"\\\\{}\\[\\]a-c\u{e9}\n]{0,20}", 0..6),
            ends in prop::collection::vec(prop::sample::select(vec!["\r\n", "\n", "", " "]), 6),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            lost in 0usize..6,
        ) {
            let mut data = Vec::new();
            for (text, end) in texts.iter().zip(&ends) {
                data.extend(serde_json::to_vec(&serde_json::json!({ "stream": text, "n": [1, {}] })).unwrap());
                data.extend_from_slice(end.as_bytes());
            }
            if lost == 0 {
                let (values, end) = decode(&[&data]);
                prop_assert_eq!(end, Ok(()));
                prop_assert_eq!(values.len(), texts.len());
                for (value, text) in values.iter().zip(&texts) {
                    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
                    prop_assert_eq!(value["stream"].as_str(), Some(text.as_str()));
                }
            }
            data.truncate(data.len().saturating_sub(lost));
            prop_assert_eq!(decode(&cut(&data, &cuts)), decode(&[&data]));
        }

        #[test]
        fn any_bytes_are_survived(
            data in prop::collection::vec(prop_oneof![prop::sample::select(b"{}[]\"\\ \n".to_vec()), any::<u8>()], 0..300),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            prop_assert_eq!(decode(&cut(&data, &cuts)), decode(&[&data]));
        }
    }
}
