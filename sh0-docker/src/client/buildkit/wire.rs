//! Protocol buffers (protobuf.dev, "Encoding") and the frames of gRPC ("gRPC over HTTP2"), as far as BuildKit's session
//! and progress need them: a handful of messages of numbers, texts and messages.

/// These bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of BuildKit cannot be read")]
pub(crate) struct Malformed;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Of a kind that no field read here has.
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    pub(super) fn text(self) -> Result<String, Malformed> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn flag(self) -> Result<bool, Malformed> {
        match self {
            Self::Number(number) => Ok(number != 0),
            _ => Err(Malformed),
        }
    }
}

/// The fields of a message, in the order in which they were written. Ends after the first error.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Appends a field of bytes.
pub(super) fn put(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = value.len();
    while length >= 0x80 {
        message.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(value);
}

/// A message in the frame of gRPC: not compressed, and how long it is.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// The one message of a gRPC request.
pub(super) fn unframe(body: &[u8]) -> Result<&[u8], Malformed> {
    match body.split_at_checked(5) {
        Some(([0, length @ ..], message)) if length == (message.len() as u32).to_be_bytes() => Ok(message),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_every_kind_are_read() {
        // 1: number 300; 2: fixed 64; 3: text; 4: fixed 32; 15: empty bytes.
        let message = b"\x08\xac\x02\x11\0\0\0\0\0\0\0\0\x1a\x02hi\x25\0\0\0\0\x7a\0";
        let fields: Vec<_> = Fields::of(message).collect::<Result<_, _>>().unwrap();
        let bytes = |text: &'static [u8]| Value::Bytes(text);
        let expected =
            [(1, Value::Number(300)), (2, Value::Other), (3, bytes(b"hi")), (4, Value::Other), (15, bytes(b""))];
        assert_eq!(fields, expected);
    }

    #[test]
    fn damage_is_an_error_and_the_end() {
        for message in [&b"\x08"[..], b"\x1a\x05hi", b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b", b"\x80"]
        {
            let fields: Vec<_> = Fields::of(message).collect();
            assert_eq!(fields, [Err(Malformed)], "{message:?}");
        }
    }

    #[test]
    fn a_frame_has_one_whole_message() {
        assert_eq!(unframe(&frame(b"abc")), Ok(&b"abc"[..]));
        for body in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\0x", b"\x01\0\0\0\x01x"] {
            assert_eq!(unframe(body), Err(Malformed), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(number in 1u8..16, value in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut message = Vec::new();
            put(&mut message, number, &value);
            prop_assert_eq!(Fields::of(&message).collect::<Vec<_>>(), [Ok((u64::from(number), Value::Bytes(&value)))]);
            let framed = frame(&message);
            prop_assert_eq!(unframe(&framed), Ok(&message[..]));
        }

        #[test]
        fn any_bytes_are_survived(message in prop::collection::vec(any::<u8>(), 0..200)) {
            Fields::of(&message).for_each(drop);
            let _ = unframe(&message);
        }
    }
}
