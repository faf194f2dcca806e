//! What a text that is not its type's output is answered with.

use crate::error::{Error, ErrorKind};

/// A text that its type's output function cannot have written.
///
/// It never carries any of the value: values are the user's data, errors end up in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {shape} text at byte {at}: {reason}")]
pub struct Malformed {
    /// What the text was read as. Of nested values the innermost.
    pub shape: &'static str,
    /// Where, in bytes from the start of the whole text; for a nested value, where the outermost element begins.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl Malformed {
    pub(super) fn new(shape: &'static str, at: usize, reason: &'static str) -> Self {
        Malformed { shape, at, reason }
    }

    /// The same failure as seen from the text around it. A position within an element counts unescaped bytes, which
    /// mean nothing outside, so the element's own start takes its place.
    pub(super) fn within(self, at: usize) -> Self {
        Malformed { at, ..self }
    }
}

/// Why a value was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// Its text is not of its type.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its JSON is longer than the caller has room for.
    #[error("the JSON is too long")]
    TooLong,
}

impl Unwritten {
    /// See [`Malformed::within`].
    pub(super) fn within(self, at: usize) -> Self {
        match self {
            Unwritten::Malformed(malformed) => Unwritten::Malformed(malformed.within(at)),
            Unwritten::TooLong => self,
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Error::new(ErrorKind::Protocol, malformed.to_string()).source(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_shape_position_and_reason() {
        let error = Error::from(Malformed::new("array", 7, "unterminated quote"));
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(error.message(), "malformed array text at byte 7: unterminated quote");
    }
}
