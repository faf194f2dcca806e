//! The stream's login: the words that a password may have to be.
//!
//! A module of its own, because the statements' client knows them by itself and the stream's does
//! not.

use std::borrow::Cow;

/// What to log in with, in the order of trying. SCRAM takes a password as SASLprep makes it (RFC
/// 4013), or as it is where SASLprep forbids it; MD5 takes it as it is. Which of the two a server
/// asks for is known only once it is answered.
pub(super) fn passwords(given: &str) -> Vec<String> {
    match stringprep::saslprep(given) {
        Ok(Cow::Owned(prepared)) if prepared != given => vec![prepared, given.to_owned()],
        _ => vec![given.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_saslprep_changes_is_tried_twice() {
        for plain in ["", "secret", "\u{e9}t\u{e9}", "\u{7}bell"] {
            assert_eq!(passwords(plain), [plain]);
        }
        assert_eq!(passwords("I\u{ad}X"), ["IX", "I\u{ad}X"]);
        assert_eq!(passwords("\u{2168}"), ["IX", "\u{2168}"]);
        assert_eq!(passwords("a\u{a0}b"), ["a b", "a\u{a0}b"]);
    }
}
