//! A row's key as one run of bytes, to be looked up without an allocation.

/// Writes the key's values into `out`, which is emptied first. One value stands as it is; of several each is preceded by
/// its length, so that `("a", "bc")` and `("ab", "c")` differ.
pub fn encode_key<'a>(out: &mut Vec<u8>, mut values: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.clear();
    if values.len() == 1 {
        out.extend(values.next().into_iter().flatten());
        return;
    }
    for value in values {
        out.extend_from_slice(&(value.len() as u64).to_be_bytes());
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
