//! A cursor over a message's bytes that never reads past the end.

/// Bytes that are not of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed pgoutput message: {what} at byte {offset}")]
pub struct Malformed {
    /// What was expected there.
    pub what: &'static str,
    /// Offset from the message's start, in bytes.
    pub offset: usize,
}

#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, length: bytes.len() }
    }

    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.length - self.rest.len() }
    }

    pub(super) fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.malformed(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.malformed(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// A zero-terminated string.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let begin = self.clone();
        std::str::from_utf8(self.terminated(what)?).map_err(|_| begin.malformed(what))
    }

    /// The same in whatever encoding.
    pub(super) fn terminated(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| self.malformed(what))?;
        let text = self.bytes(end, what)?;
        self.u8(what)?;
        Ok(text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
