//! A row's key as one run of bytes, to be looked up without an allocation.

use std::hash::{BuildHasher, RandomState};

/// Writes the key's values into `out`, which is emptied first. One value stands as it is; of several each is preceded by
/// its length, so that `("a", "bc")` and `("ab", "c")` differ.
pub fn encode_key<'a>(out: &mut Vec<u8>, mut values: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.clear();
    if values.len() == 1 {
        out.extend_from_slice(values.next().unwrap_or_default());
        return;
    }
    for value in values {
        out.extend_from_slice(&(value.len() as u64).to_be_bytes());
        out.extend_from_slice(value);
    }
}

/// A key of more bytes than these is known by its digest: what a subscription takes in memory does not depend on its key. Hardly any
/// is so long.
const LONGEST: usize = 256;

/// What a digest begins with. No key does: one value is UTF-8, and of several the first is shorter than 2^63.
const DIGEST: u8 = 0xff;

/// Puts digests in the place of long keys. They are an index's own: it takes chance for two keys to have the same, which whoever chooses
/// the keys cannot help along.
#[derive(Debug, Default)]
pub struct Digests([RandomState; 2]);

impl Digests {
    /// The key, or its digest if it is long.
    pub fn shorten(&self, key: &mut Vec<u8>) {
        if key.len() > LONGEST {
            let Digests([one, other]) = self;
            let digest = [one, other].map(|state| state.hash_one(key.as_slice()).to_be_bytes());
            key.clear();
            key.push(DIGEST);
            key.extend(digest.as_flattened());
        }
    }
}

/// The one spelling of a number under which its row is looked for: to a primary key 1.0 and 1.00 are the same numeric, and
/// 0 and -0 the same float. `event._key_text` brings subscriptions to it.
pub fn number_key(text: &[u8]) -> &[u8] {
    let is_plain = text.contains(&b'.') && !text.contains(&b'e');
    let zeros = text.iter().rev().take_while(|byte| is_plain && **byte == b'0').count();
    let text = text.get(..text.len() - zeros).unwrap_or(text);
    match text.strip_suffix(b".").unwrap_or(text) {
        b"-0" => b"0",
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_key() {
        for (text, key) in [
            ("1.00", "1"),
            ("-1.50", "-1.5"),
            ("100", "100"),
            ("0.00", "0"),
            ("-0", "0"),
            ("0.10", "0.1"),
            ("1e+20", "1e+20"),
            ("1.5e+20", "1.5e+20"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("", ""),
        ] {
            assert_eq!(number_key(text.as_bytes()), key.as_bytes());
        }
    }

    #[test]
    fn long_keys_are_told_apart_by_their_digests() {
        let digests = Digests::default();
        let shortened = |key: &str| {
            let mut key = key.as_bytes().to_vec();
            digests.shorten(&mut key);
            key
        };
        let long = "k".repeat(LONGEST);
        assert_eq!(shortened(&long), long.as_bytes());
        let [one, other] = ["1", "2"].map(|end| shortened(&format!("{long}{end}")));
        assert_eq!((one.len(), other.len()), (17, 17));
        assert_ne!(one, other);
        assert_eq!(one, shortened(&format!("{long}1")));
        assert!(std::str::from_utf8(&one).is_err(), "no key is one");
    }

    #[test]
    fn keys_of_several_values_are_told_apart() {
        let mut left = Vec::new();
        let mut right = Vec::new();
        encode_key(&mut left, [b"a".as_slice(), b"bc"].into_iter());
        encode_key(&mut right, [b"ab".as_slice(), b"c"].into_iter());
        assert_ne!(left, right);
        encode_key(&mut left, [b"7".as_slice()].into_iter());
        assert_eq!(left, b"7");
    }
}
