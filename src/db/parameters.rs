//! The parameters that a connection string names, in either of its two forms.
//!
//! A module of its own, because the client says what they came to and not which were given.

/// A parameter as it was given, but for the password's and the host's place in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As libpq calls it.
    pub name: String,
    /// Its value, in a URL decoded.
    pub value: String,
}

/// What a connection string holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What it names.
    pub parameters: Vec<Parameter>,
    /// Where in it a port would stand, if it is a URL that names a host and no port.
    pub port_at: Option<usize>,
}

/// Whether a URL has a second `@` before its parameters: as libpq has it the first ends the password, and what is left of that would be
/// taken, and shown, for a host or a database.
pub fn has_raw_password(text: &str) -> bool {
    let is_url = ["postgresql://", "postgres://"].iter().any(|scheme| text.starts_with(scheme));
    is_url && text.split('?').next().is_some_and(|place| place.matches('@').count() > 1)
}

/// Reads them as far as the text is what it should be; whether it is the client says.
pub fn given(text: &str) -> Given {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    match scheme {
        Some(scheme) => of_url(text, scheme.len()),
        None => Given { parameters: of_words(text), port_at: None },
    }
}

fn of_url(text: &str, scheme: usize) -> Given {
    let host_at = text[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
    let host_end = text[host_at..].find(['/', '?']).map_or(text.len(), |at| host_at + at);
    let host = &text[host_at..host_end];
    let bare = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let query = text[host_end..].split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter_map(of_pair);
    let port_at = (!host.is_empty() && !bare.contains(':')).then_some(host_end);
    Given { parameters: parameters.collect(), port_at }
}

fn of_pair(pair: &str) -> Option<Parameter> {
    let (name, value) = pair.split_once('=')?;
    Some(match (decoded(name), decoded(value)) {
        // as JDBC writes it; libpq takes it too
        (name, value) if name == "ssl" && value == "true" => {
            Parameter { name: "sslmode".to_owned(), value: "require".to_owned() }
        }
        (name, value) => Parameter { name, value },
    })
}

/// What `%41` and the like stand for. What stands for nothing stays: the client will not read it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text without the parameters that the client would not read.
pub fn without(text: &str, is_left_out: impl Fn(&Parameter) -> bool) -> String {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    let Some(scheme) = scheme else {
        let parameters = of_words(text);
        if !parameters.iter().any(&is_left_out) {
            return text.to_owned();
        }
        let kept = parameters.iter().filter(|parameter| !is_left_out(parameter));
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let words: Vec<_> = kept.map(|kept| format!("{}='{}'", kept.name, escaped(&kept.value))).collect();
        return words.join(" ");
    };
    let host_at = text[scheme.len()..].find('@').map_or(scheme.len(), |at| scheme.len() + at + 1);
    let Some((place, query)) = text[host_at..].split_once('?') else { return text.to_owned() };
    let kept: Vec<_> =
        query.split('&').filter(|pair| !of_pair(pair).is_some_and(|found| is_left_out(&found))).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{}{place}{mark}{}", &text[..host_at], kept.join("&"))
}

fn of_words(text: &str) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, behind)) = rest.split_once('=') {
        let Some((value, behind)) = value(behind.trim_start()) else { break };
        parameters.push(Parameter { name: name.trim_end().to_owned(), value });
        rest = behind.trim_start();
    }
    parameters
}

/// A value at the start of `text`, and what follows it; none if its quotes do not end.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Some((value, &body[at + 1..])),
            _ if quoted.is_none() && character.is_whitespace() => return Some((value, &body[at..])),
            _ => value.push(character),
        }
    }
    quoted.is_none().then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        given(text).parameters.into_iter().map(|parameter| (parameter.name, parameter.value)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_urls_parameters_are_behind_its_question_mark() {
        let url = "postgresql://ann:a?b=c@db/shop?sslmode=require&host=/run/pg";
        assert_eq!(names(url), pairs(&[("sslmode", "require"), ("host", "/run/pg")]));
        assert_eq!(names("postgres:///shop"), []);
        assert_eq!(names("postgresql://db?ssl%6Dode=a%2db%zz"), pairs(&[("sslmode", "a-b%zz")]));
        assert_eq!(names("postgresql://db?ssl=true&ssl=x"), pairs(&[("sslmode", "require"), ("ssl", "x")]));
    }

    #[test]
    fn what_is_left_out_leaves_the_rest_as_it_is() {
        let without = |text| without(text, |parameter| parameter.name == "b");
        for (text, rest) in [
            ("postgresql://a?b=c:d@h/x?a=1&b=2&c=%20", "postgresql://a?b=c:d@h/x?a=1&c=%20"),
            ("postgresql://h/x?b=1", "postgresql://h/x"),
            ("postgresql://h/x?%62=1&a", "postgresql://h/x?a"),
            (r"a=1 b=2 c='x\' \\y'", r"a='1' c='x\' \\y'"),
            ("a=1  c = 2", "a=1  c = 2"),
        ] {
            assert_eq!(without(text), rest, "{text}");
        }
    }

    #[test]
    fn words_may_be_quoted_and_spaced() {
        let words = r" host=a  options = '-c a=b \' ' password=x\ y ";
        assert_eq!(names(words), pairs(&[("host", "a"), ("options", "-c a=b ' "), ("password", "x y")]));
        assert_eq!(names("host='a"), []);
    }

    #[test]
    fn a_url_without_a_port_has_a_place_for_one() {
        let with_port = |url: &str| given(url).port_at.map(|at| format!("{}:1{}", &url[..at], &url[at..]));
        assert_eq!(with_port("postgresql://db/shop").unwrap(), "postgresql://db:1/shop");
        assert_eq!(with_port("postgresql://a:b@[::1]?x=y").unwrap(), "postgresql://a:b@[::1]:1?x=y");
        assert_eq!(with_port("postgresql://db").unwrap(), "postgresql://db:1");
        for url in ["postgresql://db:2/shop", "postgresql://[::1]:2", "postgresql:///shop", "host=db"] {
            assert_eq!(with_port(url), None, "{url}");
        }
    }
}
